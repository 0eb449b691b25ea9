use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::rules::{Asked, By, Sso};
use super::{ArnPattern, Mapping, SsoRole, Template, Who};
use crate::identity::Subject;

/// A [`Mapping`] as it is kept: half its size, since a hundred thousand of them have to fit beside
/// everything else in a small memory limit. An ARN is kept as text and taken apart when it is
/// compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Rule {
    whom: Whom,
    username: Template,
    groups: Arc<[Template]>,
    line: Option<NonZeroU32>,
}

impl Rule {
    /// Whom it is about, the user name, and the groups as Go prints a list.
    pub(super) fn told(&self) -> (String, &str, String) {
        let whom = match &self.whom {
            Whom::Arn(text) => text.to_string(),
            Whom::Pattern(pattern) => pattern.to_string(),
            Whom::Sso(role) => role.to_string(),
        };
        let groups: Vec<&str> = self.groups.iter().map(Template::as_str).collect();
        (whom, self.username.as_str(), format!("[{}]", groups.join(" ")))
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Whom {
    /// The text of an `Arn`.
    Arn(Box<str>),
    Pattern(Box<ArnPattern>),
    Sso(Box<SsoRole>),
}

/// What equal rules come to share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    templates: HashSet<Template>,
    groups: HashSet<Arc<[Template]>>,
}

impl Rule {
    pub(super) fn new(mapping: Mapping, shared: &mut Shared) -> Self {
        let Mapping { who, username, groups, line } = mapping;
        Self {
            whom: match who {
                Who::Arn(arn) => Whom::Arn(arn.as_str().into()),
                Who::Pattern(pattern) => Whom::Pattern(pattern.into()),
                Who::Sso(role) => Whom::Sso(role.into()),
            },
            username: shared.template(username),
            groups: shared.groups(groups),
            line,
        }
    }

    /// Whom it is about. Never `None`: the text was an ARN when it came.
    pub(super) fn who(&self) -> Option<Who> {
        Some(match &self.whom {
            Whom::Arn(text) => Who::Arn(text.parse().ok()?),
            Whom::Pattern(pattern) => Who::Pattern(ArnPattern::clone(pattern)),
            Whom::Sso(role) => Who::Sso(SsoRole::clone(role)),
        })
    }

    pub(super) fn pattern(&self) -> Option<&ArnPattern> {
        match &self.whom {
            Whom::Pattern(pattern) => Some(pattern),
            Whom::Arn(_) | Whom::Sso(_) => None,
        }
    }

    pub(super) fn sso(&self) -> Option<&SsoRole> {
        match &self.whom {
            Whom::Sso(role) => Some(role),
            Whom::Arn(_) | Whom::Pattern(_) => None,
        }
    }

    pub(super) fn username(&self) -> &Template {
        &self.username
    }

    pub(super) fn groups(&self) -> &[Template] {
        &self.groups
    }

    pub(super) fn line(&self) -> Option<NonZeroU32> {
        self.line
    }
}

impl Who {
    pub(super) fn subject(&self) -> Option<Subject> {
        match self {
            Self::Arn(arn) => Some(arn.subject()),
            Self::Pattern(_) | Self::Sso(_) => None,
        }
    }

    pub(super) fn pathless(&self) -> Option<Subject> {
        match self {
            Self::Arn(arn) => arn.pathless_role(),
            Self::Pattern(_) | Self::Sso(_) => None,
        }
    }

    pub(super) fn stem(&self) -> Option<Subject> {
        match self {
            Self::Sso(role) => role.stem(),
            Self::Arn(_) | Self::Pattern(_) => None,
        }
    }

    /// Whether an entry with it alone would be found for a caller, and by what: what the indices
    /// do, for one entry.
    pub(super) fn fits(&self, asked: &Asked, sso: Sso) -> Option<By> {
        match self {
            Self::Arn(arn) if arn.subject() == asked.subject => Some(By::Arn),
            Self::Arn(arn) => {
                let pathless = match asked.has_path {
                    true => Some(arn.subject()),
                    false => arn.pathless_role(),
                };
                (pathless.as_ref() == Some(&asked.pathless)).then_some(By::ArnWithoutPath)
            }
            Self::Sso(role) => {
                let fits = match sso {
                    Sso::Off => false,
                    Sso::MadeSuffix => asked.is_made_for(role),
                    Sso::AnySuffix => role.begins(&asked.pathless),
                };
                fits.then_some(By::Sso)
            }
            Self::Pattern(pattern) => pattern.matches(&asked.pathless).then_some(By::Pattern),
        }
    }
}

impl Shared {
    fn template(&mut self, template: Template) -> Template {
        if let Some(same) = self.templates.get(&template) {
            return same.clone();
        }
        self.templates.insert(template.clone());
        template
    }

    fn groups(&mut self, groups: Vec<Template>) -> Arc<[Template]> {
        if let Some(same) = self.groups.get(&*groups) {
            return Arc::clone(same);
        }
        let groups: Arc<[Template]> =
            groups.into_iter().map(|group| self.template(group)).collect();
        self.groups.insert(Arc::clone(&groups));
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_small_and_shares_what_it_has_in_common() {
        assert!(size_of::<Rule>() <= 64, "{}", size_of::<Rule>());
        let mut shared = Shared::default();
        let mut rule = |name: &str, username: &str, group: &str| {
            let arn = format!("arn:aws:iam::123456789012:role/{name}");
            let mapping = Mapping {
                who: Who::Arn(arn.parse().unwrap()),
                username: username.parse().unwrap(),
                groups: vec![group.parse().unwrap()],
                line: NonZeroU32::new(3),
            };
            let rule = Rule::new(mapping.clone(), &mut shared);
            assert_eq!(rule.who(), Some(mapping.who));
            assert_eq!((rule.username(), rule.groups()), (&mapping.username, &*mapping.groups));
            assert_eq!(rule.line(), mapping.line);
            rule
        };
        let (a, b, c) = (rule("A", "x", "x"), rule("B", "x", "x"), rule("C", "y", "y"));
        assert!(Arc::ptr_eq(&a.groups, &b.groups));
        for same in [b.username(), &a.groups()[0]] {
            assert!(std::ptr::eq(a.username().as_str(), same.as_str()));
        }
        assert_ne!(c.username(), a.username());
    }
}
