//! `iamgate explain`: which mapping wins for a principal and why, and which ones nearly did.
//!
//! Offline: neither AWS nor a cluster is asked, and no token is read.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::identity::{Arn, Identity, Principal};
use crate::mapping::{Explanation, NearMiss, Place, RenderFault, RuleKind, Rules, Winner, explain};
use crate::outcome::Failure;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The principal: a role, an assumed role, a user, a federated user or an account's root
    arn: String,
    /// The session's name, for templates [default: the one in the ARN]
    #[arg(long)]
    session_name: Option<String>,
    /// How to print the answer
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How to print an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// Explains one principal with the rules that `load` reads.
///
/// Being mapped to nobody is an answer, not a failure.
pub(crate) fn run(
    args: &ExplainArgs,
    out: &mut impl Write,
    load: impl FnOnce() -> Result<Rules, Failure>,
) -> Result<(), Failure> {
    let question = Question::of(&args.arn, args.session_name.as_deref())?;
    let rules = load()?;
    let answer = explain(&rules, &question.identity);
    let notes = question.notes(&answer, &rules);
    match args.output {
        Output::Text => text(out, &question, &answer, &notes)?,
        Output::Json => writeln!(out, "{:#}", to_json(&question, &answer, &notes))?,
    }
    Ok(())
}

/// What was asked, and the caller that STS would name.
struct Question {
    arn: Arn,
    identity: Identity,
    session: Session,
}

/// Where the session's name comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Session {
    Given,
    Assumed,
    None,
}

impl Question {
    fn of(text: &str, session_name: Option<&str>) -> Result<Self, Failure> {
        if text.starts_with("k8s-aws-v1.") {
            return Err(Failure::usage("explain takes an ARN, not a token")
                .hint("`iamgate verify` reads tokens and prints the ARN"));
        }
        let arn: Arn = text.parse().map_err(|error| {
            Failure::usage(error)
                .hint("write it as in arn:aws:iam::123456789012:role/Admin or ...:user/ann")
        })?;
        let session_name = session_name.map(session).transpose()?;
        let (told, session_name, session) = match arn.principal() {
            Principal::Role { name } => {
                let kind = if session_name.is_some() { Session::Given } else { Session::Assumed };
                let session_name = session_name.unwrap_or(ANY_SESSION);
                (assumed(&arn, name, session_name)?, session_name, kind)
            }
            Principal::AssumedRole { role, session } => {
                let session_name = session_name.unwrap_or(session);
                (assumed(&arn, role, session_name)?, session_name, Session::Given)
            }
            Principal::User { .. } | Principal::Root | Principal::FederatedUser { .. } => {
                if session_name.is_some() {
                    return Err(Failure::usage("only roles have session names")
                        .hint("leave --session-name out"));
                }
                (arn.clone(), "", Session::None)
            }
        };
        let identity = Identity {
            account: told.account(),
            arn: told,
            user_id: "-".into(),
            session_name: session_name.into(),
            access_key_id: ANY_KEY.into(),
            sts_host: "-".into(),
        };
        Ok(Self { arn, identity, session })
    }

    fn notes(&self, answer: &Explanation, rules: &Rules) -> Vec<Box<str>> {
        let mut notes: Vec<Box<str>> = Vec::new();
        if let Some(path) = self.other_path(answer) {
            notes.push(
                format!(
                    "the mapping says {path}: STS tells no paths, and role names are unique in an \
                     account, so it is taken for the same role"
                )
                .into(),
            );
        }
        let user = answer.winner.as_ref().map(|winner| &winner.user);
        if let Some(Ok(user)) = user {
            let named = |part: &str| {
                user.name.contains(part) || user.groups.iter().any(|group| group.contains(part))
            };
            if self.session == Session::Assumed && named(ANY_SESSION) {
                notes.push(format!("{ANY_SESSION} stands for the session's name").into());
            }
            if named(ANY_KEY) {
                notes.push(format!("{ANY_KEY} stands for the access key id").into());
            }
        }
        if answer.winner.as_ref().is_some_and(|winner| winner.asks_ec2) {
            notes.push(match (user, self.session) {
                (Some(Err(RenderFault::NotAnInstance)), Session::Assumed) => {
                    "give the instance with --session-name i-...".into()
                }
                _ => "EC2 would be asked for the private DNS name of the instance, which must be \
                      of the caller's account, and running"
                    .into(),
            });
        }
        if rules.leaves_sso_out() {
            notes.push("SSO entries take no part: feature gate SSORoleMatch is off".into());
        }
        notes
    }

    /// The mapping's ARN where it names another path than the question.
    fn other_path(&self, answer: &Explanation) -> Option<Arn> {
        let entry: Arn = answer.winner.as_ref()?.place.entry.parse().ok()?;
        let paths = (entry.pathless_role().is_some(), self.arn.pathless_role().is_some());
        (paths == (true, true) && entry.subject() != self.arn.subject()).then_some(entry)
    }
}

/// A session of the role `name`, as STS names it: without the path.
fn assumed(arn: &Arn, name: &str, session_name: &str) -> Result<Arn, Failure> {
    let (partition, account) = (arn.partition(), arn.account());
    let name = name.rsplit_once('/').map_or(name, |(_, last)| last);
    let told = format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}");
    told.parse::<Arn>().map_err(Failure::usage)
}

/// STS API reference, AssumeRole, `RoleSessionName`.
fn session(name: &str) -> Result<&str, Failure> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    match (2..=64).contains(&name.len()) && name.bytes().all(allowed) {
        true => Ok(name),
        false => Err(Failure::usage(format!("{name:?} is not a session name"))
            .hint("a session name is 2 to 64 letters, digits and _+=,.@-")),
    }
}

fn text(
    out: &mut impl Write,
    question: &Question,
    answer: &Explanation,
    notes: &[Box<str>],
) -> io::Result<()> {
    writeln!(out, "{}", question.arn)?;
    let mut line = |name: &str, value: &str| writeln!(out, "  {name:<13} {value}");
    line("looked up as", &answer.canonical)?;
    match &answer.winner {
        None => line("rule", "none: identity is not mapped")?,
        Some(Winner { place, reason, user, .. }) => {
            line("rule", &told(place))?;
            line("because", reason.describe())?;
            match user {
                Ok(user) => {
                    line("username", &user.name.escape_debug().to_string())?;
                    let mut name = "groups";
                    for group in &user.groups {
                        line(name, &group.escape_debug().to_string())?;
                        name = "";
                    }
                    if user.groups.is_empty() {
                        line(name, "none")?;
                    }
                }
                Err(fault) => line("denied", &fault.to_string())?,
            }
        }
    }
    for note in notes {
        line("note", note)?;
    }
    if !answer.near_misses.is_empty() {
        writeln!(out, "near misses")?;
    }
    for NearMiss { place, likeness } in &answer.near_misses {
        writeln!(out, "  {}\n    {}", told(place), likeness.describe())?;
    }
    match answer.left_out {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

fn told(place: &Place) -> String {
    let list = list(place.kind);
    let position = place.position.map(|position| format!("[{position}]")).unwrap_or_default();
    let line = place.line.map(|line| format!(", line {line}")).unwrap_or_default();
    format!("{list}{position}{line}: {}", place.entry)
}

fn to_json(question: &Question, answer: &Explanation, notes: &[Box<str>]) -> Value {
    let winner = answer.winner.as_ref();
    let user = winner.map(|winner| &winner.user);
    json!({
        "schema": "iamgate/v1",
        "arn": question.arn.as_str(),
        "canonicalArn": answer.canonical,
        "mapped": winner.is_some(),
        "rule": winner.map(|winner| place_json(&winner.place, winner.reason.describe())),
        "user": user.and_then(|user| user.as_ref().ok()).map(|user| json!({
            "username": user.name,
            "groups": user.groups,
        })),
        "denied": user.and_then(|user| user.as_ref().err()).map(ToString::to_string),
        "asksEC2": winner.is_some_and(|winner| winner.asks_ec2),
        "notes": notes,
        "nearMisses": answer.near_misses.iter()
            .map(|miss| place_json(&miss.place, miss.likeness.describe()))
            .collect::<Vec<_>>(),
        "nearMissesLeftOut": answer.left_out,
    })
}

fn place_json(place: &Place, because: &str) -> Value {
    json!({
        "list": list(place.kind),
        "index": place.position,
        "line": place.line,
        "entry": place.entry,
        "because": because,
    })
}

fn list(kind: RuleKind) -> &'static str {
    match kind {
        RuleKind::MapRoles => "mapRoles",
        RuleKind::MapUsers => "mapUsers",
        RuleKind::MapAccounts => "mapAccounts",
    }
}

/// Stand for what the question does not tell. No such names exist: STS and IAM allow no `<`.
const ANY_SESSION: &str = "<session-name>";
const ANY_KEY: &str = "<access-key-id>";

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use clap::Parser;

    use super::*;
    use crate::mapping::{Mapping, RulesInput, Who};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ExplainArgs,
    }

    fn rules() -> Rules {
        let mapping = |line, arn: &str, username: &str, groups: &[&str]| Mapping {
            who: Who::Arn(arn.parse().unwrap()),
            username: username.parse().unwrap(),
            groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
            line: NonZeroU32::new(line),
        };
        let account = "arn:aws:iam::123456789012:";
        Rules::new(RulesInput {
            roles: [
                mapping(3, "arn:aws:iam::210987654321:role/Admin", "x", &[]),
                mapping(
                    6,
                    &format!("{account}role/ops/Admin"),
                    "admin:{{SessionName}}",
                    &["a", "b"],
                ),
                mapping(
                    9,
                    &format!("{account}role/Node"),
                    "system:node:{{EC2PrivateDNSName}}",
                    &["system:nodes"],
                ),
            ]
            .into_iter()
            .collect(),
            users: [mapping(12, &format!("{account}user/ann"), "{{AccessKeyID}}", &[])]
                .into_iter()
                .collect(),
            ..RulesInput::default()
        })
    }

    fn answer(line: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from([&["explain"], line].concat()).unwrap();
        let mut out = Vec::new();
        let load = || Ok(rules());
        run(&line.args, &mut out, load).map_err(|failure| failure.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_answer_is_readable() {
        let told = answer(&["arn:aws:iam::123456789012:role/team/Admin"]).unwrap();
        assert_eq!(
            told,
            "arn:aws:iam::123456789012:role/team/Admin
  looked up as  arn:aws:iam::123456789012:role/Admin
  rule          mapRoles[1], line 6: arn:aws:iam::123456789012:role/ops/Admin
  because       it names this role, but for the path, which STS never tells
  username      admin:<session-name>
  groups        a
                b
  note          the mapping says arn:aws:iam::123456789012:role/ops/Admin: STS tells no paths, \
             and role names are unique in an account, so it is taken for the same role
  note          <session-name> stands for the session's name
near misses
  mapRoles[0], line 3: arn:aws:iam::210987654321:role/Admin
    has the same name in another account
",
        );
    }

    #[test]
    fn nobody_is_an_answer_too() {
        assert_eq!(
            answer(&["arn:aws:iam::123456789012:user/anne"]).unwrap(),
            "arn:aws:iam::123456789012:user/anne
  looked up as  arn:aws:iam::123456789012:user/anne
  rule          none: identity is not mapped
near misses
  mapUsers[0], line 12: arn:aws:iam::123456789012:user/ann
    has a name that differs in one or two characters
",
        );
    }

    #[test]
    fn what_ec2_would_be_asked_is_said() {
        let node = "arn:aws:sts::123456789012:assumed-role/Node/i-0123456789abcdef0";
        let told = answer(&[node]).unwrap();
        assert!(told.contains("username      system:node:{{EC2PrivateDNSName}}\n"), "{told}");
        assert!(told.contains("note          EC2 would be asked for the private DNS"), "{told}");
        let role = "arn:aws:iam::123456789012:role/Node";
        let told = answer(&[role]).unwrap();
        assert!(told.contains("denied        the session name is not an EC2 instance"), "{told}");
        assert!(told.contains("note          give the instance with --session-name"), "{told}");
        let told = answer(&[role, "--session-name", "i-0123abcd"]).unwrap();
        assert!(told.contains("username      system:node:{{EC2PrivateDNSName}}\n"), "{told}");
    }

    #[test]
    fn json_is_one_object() {
        let told = answer(&["arn:aws:iam::123456789012:user/ann", "-o", "json"]).unwrap();
        let value: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            value,
            json!({
                "schema": "iamgate/v1",
                "arn": "arn:aws:iam::123456789012:user/ann",
                "canonicalArn": "arn:aws:iam::123456789012:user/ann",
                "mapped": true,
                "rule": {
                    "list": "mapUsers",
                    "index": 0,
                    "line": 12,
                    "entry": "arn:aws:iam::123456789012:user/ann",
                    "because": "it names this principal",
                },
                "user": {"username": "<access-key-id>", "groups": []},
                "denied": null,
                "asksEC2": false,
                "notes": ["<access-key-id> stands for the access key id"],
                "nearMisses": [],
                "nearMissesLeftOut": 0,
            }),
        );
    }

    #[test]
    fn a_wrong_question_is_answered_with_a_cure() {
        let user = "arn:aws:iam::123456789012:user/ann";
        for (line, error, hint) in [
            (vec!["k8s-aws-v1.aHR0cHM6"], "explain takes an ARN, not a token", "iamgate verify"),
            (vec!["Admin"], "does not name an IAM principal", "arn:aws:iam::"),
            (vec![user, "--session-name", "ann"], "only roles have session names", "leave"),
            (
                vec!["arn:aws:iam::123456789012:role/A", "--session-name", "a b"],
                "\"a b\" is not a session name",
                "2 to 64",
            ),
        ] {
            let told = answer(&line).unwrap_err();
            assert!(told.contains(error), "{told}");
            assert!(told.contains(hint), "{told}");
            assert!(!told.contains("aHR0cHM6"), "{told}");
        }
    }
}
