use std::fmt;

use crate::identity::{Arn, ArnError, ArnFault, Principal, Subject};

/// `rolePattern` or `userPattern`: an ARN whose name may hold `*` (any run) and `?` (exactly one
/// character).
///
/// Everything before the name is literal, so that a pattern never leaves its account. Letter case
/// does not count, as IAM names are unique without it. All other characters mean themselves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ArnPattern {
    /// As the file spelt it.
    text: Box<str>,
    /// Lower-cased: `arn:aws:iam::123456789012:role/`.
    head: Box<str>,
    /// Lower-cased: `dev-*`.
    name: Box<str>,
}

/// Why text is not an [`ArnPattern`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PatternFault {
    #[error(
        "a pattern is an ARN with `*` and `?` in its last field only, such as \
         arn:aws:iam::123456789012:role/dev-*, but here {0}"
    )]
    Arn(ArnFault),
    #[error("a rolePattern is about roles: arn:PARTITION:iam::ACCOUNT:role/NAME")]
    NotRole,
    #[error("a userPattern is about users: arn:PARTITION:iam::ACCOUNT:user/NAME")]
    NotUser,
    #[error("a rolePattern holds a role name without its path, which STS never tells")]
    Path,
    #[error("a pattern needs at least one character of the name beside `*` and `?`")]
    OnlyWildcards,
    #[error("`:` is never part of a role or user name")]
    Colon,
    #[error("the name of a pattern may be {max} bytes long, not {0}", max = ArnPattern::MAX_NAME)]
    Length(usize),
}

impl PatternFault {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Arn(_) => "write partition and account in full; wildcards go into the name",
            Self::NotRole => "for users there is userPattern",
            Self::NotUser => "for roles there is rolePattern",
            Self::Path => "leave the path out: role names are unique in an account",
            Self::OnlyWildcards => "to let in a whole account, list it under mapAccounts",
            Self::Colon => "leave out what follows the `:`",
            Self::Length(_) => "write a shorter pattern",
        }
    }
}

impl ArnPattern {
    /// The longest name, in bytes: an IAM path of 512 and a name of 64 (IAM and STS quotas).
    pub const MAX_NAME: usize = 576;

    /// A `rolePattern`.
    ///
    /// # Errors
    /// The text is not a role's ARN with wildcards in its name alone.
    pub fn role(text: &str) -> Result<Self, PatternFault> {
        let arn: Arn = text.parse().map_err(fault)?;
        let Principal::Role { name } = arn.principal() else {
            return Err(PatternFault::NotRole);
        };
        match name.contains('/') {
            true => Err(PatternFault::Path),
            false => Self::new(&arn, "role", name),
        }
    }

    /// A `userPattern`. STS tells the path of a user, so the name may have one; `*` runs over `/`.
    ///
    /// # Errors
    /// The text is not a user's ARN with wildcards in its name alone.
    pub fn user(text: &str) -> Result<Self, PatternFault> {
        let arn: Arn = text.parse().map_err(fault)?;
        let Principal::User { name } = arn.principal() else {
            return Err(PatternFault::NotUser);
        };
        Self::new(&arn, "user", name)
    }

    fn new(arn: &Arn, kind: &str, name: &str) -> Result<Self, PatternFault> {
        if name.len() > Self::MAX_NAME {
            return Err(PatternFault::Length(name.len()));
        }
        if name.contains(':') {
            return Err(PatternFault::Colon);
        }
        if name.bytes().all(|byte| matches!(byte, b'*' | b'?' | b'/')) {
            return Err(PatternFault::OnlyWildcards);
        }
        Ok(Self {
            text: arn.as_str().into(),
            head: format!("arn:{}:iam::{}:{kind}/", arn.partition(), arn.account()).into(),
            name: name.to_ascii_lowercase().into(),
        })
    }

    /// The pattern as the file spelt it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is about `subject`.
    pub fn matches(&self, subject: &Subject) -> bool {
        let name = subject.as_str().strip_prefix(&*self.head);
        name.is_some_and(|name| self.matches_lower(name))
    }

    /// Whether `name` fits, whoever it is.
    pub(super) fn matches_name(&self, name: &str) -> bool {
        self.matches_lower(&name.to_ascii_lowercase())
    }

    /// Whether some part of `name` fits.
    pub(super) fn within_name(&self, name: &str) -> bool {
        glob(&format!("*{}*", self.name), &name.to_ascii_lowercase())
    }

    fn matches_lower(&self, name: &str) -> bool {
        !name.contains(':') && glob(&self.name, name)
    }
}

impl fmt::Display for ArnPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn fault(error: ArnError) -> PatternFault {
    PatternFault::Arn(error.fault)
}

/// Two pointers and one place to go back to: at most `pattern` times `text` steps, whatever the
/// pattern, and no memory.
fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // What follows the last `*`, and the text from which that `*` may take one more character.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, text) {
            ([], []) => return true,
            ([b'*', rest @ ..], _) => {
                star = Some((rest, text));
                pattern = rest;
            }
            ([p, pattern_rest @ ..], [t, text_rest @ ..]) if *p == b'?' || p == t => {
                (pattern, text) = (pattern_rest, text_rest);
            }
            _ => {
                let Some((after, [_, shorter @ ..])) = star else { return false };
                star = Some((after, shorter));
                (pattern, text) = (after, shorter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "arn:aws:iam::123456789012:";

    fn subject(arn: &str) -> Subject {
        arn.parse::<Arn>().unwrap().subject()
    }

    #[test]
    fn wildcards_stand_in_the_name_only() {
        for (pattern, name, matches) in [
            ("dev-*", "dev-", true),
            ("dev-*", "dev-ann", true),
            ("dev-*", "DEV-Ann", true),
            ("Dev-*", "dev-ann", true),
            ("dev-*", "xdev-ann", false),
            ("dev-*", "dev", false),
            ("*-admin", "team-a-admin", true),
            ("*-admin", "team-a-admins", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("a**c", "abc", true),
            ("dev?", "dev1", true),
            ("dev?", "dev", false),
            ("dev?", "dev12", false),
            ("d?v*1", "dxv-101", true),
            ("admin", "admin", true),
            ("admin", "admin2", false),
            ("a.c", "abc", false),
            ("a.c", "a.c", true),
            ("a+(b)|[c]{d}^$\\*", "a+(b)|[c]{d}^$\\x", true),
            ("a+(b)|[c]{d}^$\\*", "aab", false),
            ("[a-z]*", "admin", false),
        ] {
            let parsed = ArnPattern::role(&format!("{ACCOUNT}role/{pattern}")).unwrap();
            let subject = subject(&format!("{ACCOUNT}role/{name}"));
            assert_eq!(parsed.matches(&subject), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_stays_in_its_account_and_kind() {
        let pattern = ArnPattern::role("arn:aws:iam::123456789012:role/dev-*").unwrap();
        for (arn, matches) in [
            ("arn:aws:sts::123456789012:assumed-role/dev-a/session", true),
            ("arn:aws:iam::210987654321:role/dev-a", false),
            ("arn:aws-cn:iam::123456789012:role/dev-a", false),
            ("arn:aws:iam::123456789012:user/dev-a", false),
            ("arn:aws:sts::123456789012:federated-user/dev-a", false),
            ("arn:aws:iam::123456789012:role/dev-a:b", false),
        ] {
            assert_eq!(pattern.matches(&subject(arn)), matches, "{arn}");
        }
    }

    #[test]
    fn a_user_pattern_sees_the_path() {
        let pattern = ArnPattern::user("arn:aws:iam::123456789012:user/team/*").unwrap();
        assert!(pattern.matches(&subject("arn:aws:iam::123456789012:user/team/a/ann")));
        assert!(!pattern.matches(&subject("arn:aws:iam::123456789012:user/ann")));
        assert!(!pattern.matches(&subject("arn:aws:iam::123456789012:role/team/ann")));
    }

    #[test]
    fn each_fault_of_a_role_pattern_is_the_one_that_is_named() {
        let long = format!("{ACCOUNT}role/{}", "a".repeat(ArnPattern::MAX_NAME + 1));
        for (text, fault) in [
            ("", PatternFault::Arn(ArnFault::Scheme)),
            ("*", PatternFault::Arn(ArnFault::Scheme)),
            ("arn:*", PatternFault::Arn(ArnFault::Fields(2))),
            ("arn:*:iam::123456789012:role/dev-*", PatternFault::Arn(ArnFault::Partition)),
            ("arn:aws*:iam::123456789012:role/dev-*", PatternFault::Arn(ArnFault::Partition)),
            ("arn:aws:*::123456789012:role/dev-*", PatternFault::Arn(ArnFault::Resource)),
            ("arn:aws:iam:*:123456789012:role/dev-*", PatternFault::Arn(ArnFault::Region)),
            ("arn:aws:iam::*:role/dev-*", PatternFault::Arn(ArnFault::Account)),
            ("arn:aws:iam::12345678901?:role/dev-*", PatternFault::Arn(ArnFault::Account)),
            ("arn:aws:iam::123456789012:*", PatternFault::Arn(ArnFault::Resource)),
            ("arn:aws:iam::123456789012:role*", PatternFault::Arn(ArnFault::Resource)),
            ("arn:aws:iam::123456789012:rol?/dev", PatternFault::Arn(ArnFault::Resource)),
            ("arn:aws:iam::123456789012:role/", PatternFault::Arn(ArnFault::Name)),
            ("arn:aws:iam::123456789012:role/dév*", PatternFault::Arn(ArnFault::Character)),
            ("arn:aws:iam::123456789012:user/dev-*", PatternFault::NotRole),
            ("arn:aws:sts::123456789012:assumed-role/dev-*/x", PatternFault::NotRole),
            ("arn:aws:iam::123456789012:root", PatternFault::NotRole),
            ("arn:aws:iam::123456789012:role/*", PatternFault::OnlyWildcards),
            ("arn:aws:iam::123456789012:role/**?", PatternFault::OnlyWildcards),
            ("arn:aws:iam::123456789012:role/team/*", PatternFault::Path),
            ("arn:aws:iam::123456789012:role/*/dev", PatternFault::Path),
            ("arn:aws:iam::123456789012:role/a:*", PatternFault::Colon),
            (&long, PatternFault::Length(577)),
        ] {
            assert_eq!(ArnPattern::role(text), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn a_pattern_of_the_greatest_length_is_read_and_told_as_it_came() {
        let text = format!("{ACCOUNT}role/A{}", "*".repeat(ArnPattern::MAX_NAME - 1));
        assert_eq!(ArnPattern::role(&text).unwrap().to_string(), text);
    }

    #[test]
    fn every_fault_has_a_hint_of_its_own() {
        use PatternFault::{Arn, Colon, Length, NotRole, NotUser, OnlyWildcards, Path};
        let faults =
            [Arn(ArnFault::Scheme), Colon, Length(577), NotRole, NotUser, OnlyWildcards, Path];
        let hints: std::collections::HashSet<_> = faults.map(PatternFault::hint).into();
        assert_eq!(hints.len(), faults.len());
    }

    #[test]
    fn each_fault_of_a_user_pattern_is_the_one_that_is_named() {
        for (text, fault) in [
            ("arn:aws:iam::123456789012:role/dev-*", PatternFault::NotUser),
            ("arn:aws:sts::123456789012:federated-user/dev-*", PatternFault::NotUser),
            ("arn:aws:iam::123456789012:user/*", PatternFault::OnlyWildcards),
            ("arn:aws:iam::123456789012:user/*/?", PatternFault::OnlyWildcards),
            ("arn:aws:iam::*:user/ann", PatternFault::Arn(ArnFault::Account)),
        ] {
            assert_eq!(ArnPattern::user(text), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_length_times_the_names() {
        let pattern = "a*".repeat(ArnPattern::MAX_NAME / 2);
        let pattern = ArnPattern::role(&format!("{ACCOUNT}role/{pattern}b")[..600]).unwrap();
        // Backtracking over every `*` would not end in this test's lifetime.
        assert!(!pattern.matches(&subject(&format!("{ACCOUNT}role/{}c", "a".repeat(1_900)))));
    }

    proptest::proptest! {
        #[test]
        fn the_glob_agrees_with_the_recursive_definition(
            pattern in "[ab*?]{0,8}", text in "[ab]{0,8}",
        ) {
            fn naive(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern, text) {
                    ([], text) => text.is_empty(),
                    ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
                    ([b'?', rest @ ..], [_, text @ ..]) => naive(rest, text),
                    ([p, rest @ ..], [t, text @ ..]) => p == t && naive(rest, text),
                    (_, []) => false,
                }
            }
            assert_eq!(
                glob(&pattern, &text),
                naive(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
    }
}
