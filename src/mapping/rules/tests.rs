use proptest::prelude::*;

use super::*;
use crate::identity::Principal;

mod listing;

const ROLE: &str = "arn:aws:iam::123456789012:role/";
const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/";
const USER: &str = "arn:aws:iam::123456789012:user/";

fn identity(arn: &str) -> Identity {
    let arn: Arn = arn.parse().unwrap();
    let session_name = match arn.principal() {
        Principal::AssumedRole { session, .. } => session.clone(),
        Principal::FederatedUser { .. }
        | Principal::Role { .. }
        | Principal::Root
        | Principal::User { .. } => "".into(),
    };
    Identity {
        account: arn.account(),
        arn,
        user_id: "AROAEXAMPLE".into(),
        session_name,
        access_key_id: "ASIAEXAMPLE".into(),
        sts_host: "sts.amazonaws.com".into(),
    }
}

fn mapping(who: Who, name: &str) -> Mapping {
    let username = name.parse().unwrap();
    Mapping { who, username, groups: vec!["readers".parse().unwrap()], line: None }
}

/// `sso:SET`, a pattern if there is a wildcard, else an ARN.
fn who(text: &str) -> Who {
    match text.strip_prefix("sso:") {
        Some(set) => Who::Sso(SsoRole::new(set, "123456789012", None).unwrap()),
        None if !text.contains(['*', '?']) => Who::Arn(text.parse().unwrap()),
        None => {
            let pattern = ArnPattern::role(text).or_else(|_| ArnPattern::user(text));
            Who::Pattern(pattern.unwrap())
        }
    }
}

/// Each entry's user name is its list and place: `r0`, `u1`.
fn input(roles: &[&str], users: &[&str]) -> RulesInput {
    let list = |letter: &str, texts: &[&str]| {
        let entries = texts.iter().enumerate();
        entries.map(|(at, text)| mapping(who(text), &format!("{letter}{at}"))).collect()
    };
    RulesInput { roles: list("r", roles), users: list("u", users), sso: true, ..Default::default() }
}

fn found(rules: &Rules, arn: &str) -> Result<Box<str>, NotMapped> {
    let identity = identity(arn);
    let found = rules.find(&identity)?;
    Ok(found.render(&identity, None).unwrap().name)
}

#[test]
fn a_caller_is_found_by_the_role_behind_the_session() {
    let admin = format!("{ROLE}Admin");
    let session = format!("{SESSION}Admin/ann");
    for entry in [
        "arn:aws:iam::123456789012:role/Admin",
        "arn:aws:iam::123456789012:role/ADMIN",
        "arn:aws:iam::123456789012:role/org/team/admin",
        "arn:aws:sts::123456789012:assumed-role/Admin/whoever",
        "arn:aws:sts::123456789012:assumed-role/Org/Team/Admin/whoever",
        "arn:aws:iam::123456789012:role/Adm*",
    ] {
        let rules = Rules::new(input(&[entry], &[]));
        assert_eq!(found(&rules, &session).as_deref(), Ok("r0"), "{entry}");
        assert_eq!(found(&rules, &admin).as_deref(), Ok("r0"), "{entry}");
    }
}

#[test]
fn nobody_else_is() {
    let rules = Rules::new(input(
        &[
            "arn:aws:iam::123456789012:role/Admin",
            "arn:aws:iam::123456789012:role/org/Ops",
            "arn:aws:iam::123456789012:role/dev-*",
            "sso:View",
        ],
        &["arn:aws:iam::123456789012:user/team/Ann", "arn:aws:iam::123456789012:root"],
    ));
    for arn in [
        "arn:aws:sts::210987654321:assumed-role/Admin/ann",
        "arn:aws-cn:sts::123456789012:assumed-role/Admin/ann",
        "arn:aws:sts::123456789012:assumed-role/Admin2/ann",
        "arn:aws:sts::123456789012:assumed-role/Admi/n",
        "arn:aws:iam::123456789012:user/Admin",
        "arn:aws:sts::123456789012:federated-user/Admin",
        "arn:aws:sts::210987654321:assumed-role/Ops/ann",
        "arn:aws:iam::123456789012:role/other/Ops",
        "arn:aws:iam::123456789012:user/org/Ops",
        "arn:aws:sts::210987654321:assumed-role/dev-a/ann",
        "arn:aws:iam::123456789012:user/dev-a",
        "arn:aws:iam::123456789012:user/Ann",
        "arn:aws:iam::123456789012:user/other/Ann",
        "arn:aws:iam::123456789012:role/team/Ann",
        "arn:aws:sts::123456789012:assumed-role/root/ann",
        "arn:aws:iam::210987654321:root",
        "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_Only_0123456789abcdef/ann",
        "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View/ann",
        "arn:aws:sts::210987654321:assumed-role/AWSReservedSSO_View_0123456789abcdef/ann",
    ] {
        assert_eq!(found(&rules, arn), Err(NotMapped), "{arn}");
    }
}

#[test]
fn every_kind_of_principal_is_found_under_its_own_arn() {
    for arn in [
        "arn:aws:iam::123456789012:user/Ann",
        "arn:aws:iam::123456789012:user/team/Ann",
        "arn:aws:iam::123456789012:root",
        "arn:aws:sts::123456789012:federated-user/Bob",
        "arn:aws-us-gov:iam::012345678901:user/Ann",
    ] {
        // Entries are not checked for their kind: either list takes either.
        for (rules, name) in [(input(&[arn], &[]), "r0"), (input(&[], &[arn]), "u0")] {
            assert_eq!(found(&Rules::new(rules), arn).as_deref(), Ok(name), "{arn}");
        }
    }
}

#[test]
fn of_several_rules_always_the_same_one_wins() {
    let sso = "AWSReservedSSO_View_0123456789abcdef";
    for (roles, users, name, winner) in [
        // An ARN before a pattern, wherever they stand.
        (vec!["role/a*", "role/admin"], vec![], "admin", "r1"),
        (vec!["role/admin", "role/a*"], vec![], "admin", "r0"),
        // The first pattern.
        (vec!["role/ad*", "role/a*"], vec![], "admin", "r0"),
        (vec!["role/a*", "role/ad*"], vec![], "admin", "r0"),
        // The last of duplicates.
        (vec!["role/admin", "role/Admin", "role/other"], vec![], "admin", "r1"),
        (vec!["role/x/admin", "role/y/admin"], vec![], "admin", "r1"),
        (vec!["role/x/admin", "role/x/admin"], vec![], "admin", "r1"),
        // No path before a path that was left out, before a pattern.
        (vec!["role/admin", "role/x/admin"], vec![], "admin", "r0"),
        (vec!["role/x/admin", "role/admin"], vec![], "admin", "r1"),
        (vec!["role/a*", "role/x/admin"], vec![], "admin", "r1"),
        // An ARN before a permission set before a pattern.
        (vec!["role/AWSReservedSSO_View_*", "sso:View"], vec![], sso, "r1"),
        (vec!["sso:View", "role/AWSReservedSSO_View_0123456789abcdef"], vec![], sso, "r1"),
        (
            vec!["sso:View", "role/aws-reserved/x/AWSReservedSSO_View_0123456789abcdef"],
            vec![],
            sso,
            "r1",
        ),
        (vec!["sso:View", "sso:view", "sso:Vi"], vec![], sso, "r1"),
        // Of the named ones, and of the described ones, role entries before user entries.
        (vec!["role/admin"], vec!["role/admin"], "admin", "r0"),
        (vec!["role/a*"], vec!["role/admin"], "admin", "u0"),
        (vec!["role/b*"], vec!["role/admin"], "admin", "u0"),
    ] {
        let full = |texts: &[&str]| -> Vec<String> {
            let prefix = |text: &&str| match text.starts_with("sso:") {
                true => (*text).to_owned(),
                false => format!("arn:aws:iam::123456789012:{text}"),
            };
            texts.iter().map(prefix).collect()
        };
        let (roles, users) = (full(&roles), full(&users));
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let rules = Rules::new(input(&roles, &users));
        let session = format!("{SESSION}{name}/ann");
        assert_eq!(found(&rules, &session).as_deref(), Ok(winner), "{roles:?} {users:?}");
    }
}

#[test]
fn a_caller_whose_path_is_told_is_its_role_but_not_one_of_another_path() {
    let caller = format!("{ROLE}x/Admin");
    for (entry, result) in [
        ("role/x/admin", Ok("r0")),
        ("role/Admin", Ok("r0")),
        ("role/Adm*", Ok("r0")),
        ("role/y/Admin", Err(NotMapped)),
    ] {
        let entry = format!("arn:aws:iam::123456789012:{entry}");
        let rules = Rules::new(input(&[&entry], &[]));
        assert_eq!(found(&rules, &caller).as_deref(), result.as_ref().copied(), "{entry}");
    }
}

#[test]
fn sso_entries_take_part_as_they_are_told_to() {
    let made = format!("{SESSION}AWSReservedSSO_View_0123456789abcdef/ann");
    let only = format!("{SESSION}AWSReservedSSO_View_Only_0123456789abcdef/ann");
    let bare = format!("{SESSION}AWSReservedSSO_View/ann");
    for (sso, any, arn, result) in [
        (true, false, &made, Ok("r0")),
        (true, false, &only, Err(NotMapped)),
        (true, true, &made, Ok("r0")),
        (true, true, &only, Ok("r0")),
        (true, true, &bare, Err(NotMapped)),
        (false, false, &made, Err(NotMapped)),
        (false, true, &made, Err(NotMapped)),
    ] {
        let input = RulesInput { sso, any_sso_suffix: any, ..input(&["sso:View"], &[]) };
        let rules = Rules::new(input);
        assert_eq!(found(&rules, arn).as_deref(), result.as_ref().copied(), "{sso} {any} {arn}");
        assert_eq!(rules.leaves_sso_out(), !sso);
    }
    // Where a path is told it does not count, as for other roles.
    let path = format!("{SESSION}aws-reserved/sso.amazonaws.com/AWSReservedSSO_View_x/ann");
    for (any, result) in [(true, Ok("r0")), (false, Err(NotMapped))] {
        let rules = Rules::new(RulesInput { any_sso_suffix: any, ..input(&["sso:View"], &[]) });
        assert_eq!(found(&rules, &path).as_deref(), result.as_ref().copied(), "{any}");
    }
    // With any suffix, the exact permission set still comes before a shorter name.
    let both = RulesInput { any_sso_suffix: true, ..input(&["sso:View", "sso:View_Only"], &[]) };
    assert_eq!(found(&Rules::new(both), &only).as_deref(), Ok("r1"));
}

#[test]
fn a_listed_account_comes_last_and_names_the_caller_by_arn() {
    let rules = Rules::new(RulesInput {
        accounts: vec!["123456789012".parse().unwrap()],
        reserved_prefixes: vec!["arn:".into()],
        ..input(&["arn:aws:iam::123456789012:role/Admin"], &[])
    });
    assert_eq!(found(&rules, &format!("{SESSION}Admin/ann")).as_deref(), Ok("r0"));
    let caller = identity("arn:aws:sts::123456789012:assumed-role/Dev/ann");
    let found = rules.find(&caller).unwrap();
    assert_eq!(
        (found.kind, found.rule.is_none(), found.needs_private_dns()),
        (RuleKind::MapAccounts, true, false)
    );
    let user = found.render(&caller, None).unwrap();
    assert_eq!((&*user.name, user.groups.len()), ("arn:aws:iam::123456789012:role/Dev", 0));
    let other = identity("arn:aws:iam::210987654321:root");
    assert_eq!(rules.find(&other).unwrap_err(), NotMapped);
}

#[test]
fn rendering_denies_what_a_template_must_not_become() {
    let caller = identity("arn:aws:sts::123456789012:assumed-role/Admin/eks:ann");
    for (username, group, fault) in [
        ("", "g", RenderFault::Empty),
        ("{{EC2PrivateDNSName}}", "g", RenderFault::NotAnInstance),
        ("ann", "{{EC2PrivateDNSName}}", RenderFault::NotAnInstance),
        ("aws:ann", "g", RenderFault::ReservedPrefix("aws:".into())),
        ("{{SessionName}}", "g", RenderFault::ReservedPrefix("eks:".into())),
    ] {
        let groups = vec![group.parse().unwrap()];
        let admin = mapping(who("arn:aws:iam::123456789012:role/Admin"), username);
        let roles = [Mapping { groups, ..admin }].into_iter().collect();
        let reserved_prefixes = vec!["".into(), "aws:".into(), "eks:".into()];
        let rules = Rules::new(RulesInput { roles, reserved_prefixes, ..Default::default() });
        let found = rules.find(&caller).unwrap();
        assert_eq!(found.needs_private_dns(), format!("{username}{group}").contains("EC2"));
        assert_eq!(found.render(&caller, None), Err(fault), "{username} {group}");
    }
}

#[test]
fn reserved_prefixes_are_compared_with_case_and_are_not_about_groups() {
    let caller = identity("arn:aws:sts::123456789012:assumed-role/Admin/ann");
    for name in ["eksb:ann", "EKS:ann", "ann:eks:"] {
        let groups = vec!["eks:readers".parse().unwrap(), "".parse().unwrap()];
        let admin = mapping(who("arn:aws:iam::123456789012:role/Admin"), name);
        let roles = [Mapping { groups, ..admin }].into_iter().collect();
        let reserved_prefixes = vec!["eks:".into()];
        let rules = Rules::new(RulesInput { roles, reserved_prefixes, ..Default::default() });
        let user = rules.find(&caller).unwrap().render(&caller, None).unwrap();
        assert_eq!((&*user.name, &*user.groups), (name, &["eks:readers".into(), "".into()][..]));
    }
}

/// The order of [`Rules`], read off its documentation, one entry after another.
fn naive(input: &RulesInput, caller: &Arn) -> Option<Box<str>> {
    let text = caller.canonical().to_ascii_lowercase();
    let last = |arn: &str| match arn.split_once(":role/") {
        Some((head, name)) => format!("{head}:role/{}", name.rsplit('/').next().unwrap()),
        None => arn.to_owned(),
    };
    let of_arn = |entry: &&Mapping, same: &dyn Fn(&str) -> bool| match &entry.who {
        Who::Arn(arn) => same(&arn.canonical().to_ascii_lowercase()),
        Who::Pattern(_) | Who::Sso(_) => false,
    };
    let lists: [Vec<Mapping>; 2] = [&input.roles, &input.users].map(|list| list.iter().collect());
    let named = lists.iter().find_map(|list| {
        let exact = list.iter().rfind(|entry| of_arn(entry, &|arn| arn == text));
        let told = last(&text) != text;
        let pathless = list.iter().rfind(|entry| {
            of_arn(entry, &|arn| match told {
                true => arn == last(&text),
                false => last(arn) == text,
            })
        });
        exact.or(pathless)
    });
    let described = || {
        lists.iter().find_map(|list| {
            let set = list.iter().rfind(|entry| match &entry.who {
                Who::Sso(role) => {
                    let arn = last(&caller.canonical());
                    let stem = role.to_string();
                    let stem = stem.trim_end_matches('*');
                    let (head, tail) = arn.split_at_checked(stem.len()).unwrap_or_default();
                    head.eq_ignore_ascii_case(stem)
                        && tail.len() == 16
                        && tail.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
                }
                Who::Arn(_) | Who::Pattern(_) => false,
            });
            let pattern = list.iter().find(|entry| match &entry.who {
                Who::Pattern(pattern) => {
                    pattern.matches(&last(&text).parse::<Arn>().unwrap().subject())
                }
                Who::Arn(_) | Who::Sso(_) => false,
            });
            set.or(pattern)
        })
    };
    if let Some(entry) = named.or_else(described) {
        return Some(entry.username.as_str().into());
    }
    input.accounts.contains(&caller.account()).then(|| caller.canonical())
}

fn principals() -> impl Strategy<Value = String> {
    let partition = prop_oneof![4 => Just("aws"), 1 => Just("aws-cn")];
    let account = prop_oneof![4 => Just("123456789012"), 1 => Just("210987654321")];
    let name = prop_oneof!["[aAb]{1,2}", "(x/|y/)[aAb]"];
    let resource = prop_oneof![
        4 => name.clone().prop_map(|name| format!("iam|role/{name}")),
        3 => name.clone().prop_map(|name| format!("sts|assumed-role/{name}/s")),
        2 => name.prop_map(|name| format!("iam|user/{name}")),
        1 => "[VW]".prop_map(|set| {
            format!("sts|assumed-role/AWSReservedSSO_{set}_0123456789abcdef/s")
        }),
        1 => Just("iam|root".to_owned()),
        1 => Just("sts|federated-user/a".to_owned()),
    ];
    (partition, account, resource).prop_map(|(partition, account, resource)| {
        let (service, resource) = resource.split_once('|').unwrap();
        format!("arn:{partition}:{service}::{account}:{resource}")
    })
}

fn entries() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => principals(),
        1 => "[aAb?*]{1,2}[ab]".prop_map(|glob| format!("{ROLE}{glob}*")),
        1 => "(x/)?[aAb?*]{1,2}[ab]".prop_map(|glob| format!("{USER}{glob}*")),
        1 => "[VWv]".prop_map(|set| format!("sso:{set}")),
    ]
}

proptest! {
    #[test]
    fn finding_agrees_with_looking_at_one_entry_after_another(
        roles in prop::collection::vec(entries(), 1..25),
        users in prop::collection::vec(entries(), 1..25),
        account in any::<bool>(),
        callers in prop::collection::vec(principals(), 1..20),
    ) {
        let texts = |texts: &'_ [String]| -> Mappings {
            let entries = texts.iter().enumerate();
            entries.map(|(at, text)| mapping(who(text), &format!("{at}:{text}"))).collect()
        };
        let input = RulesInput {
            roles: texts(&roles),
            users: texts(&users),
            accounts: if account { vec!["210987654321".parse().unwrap()] } else { vec![] },
            sso: true,
            ..Default::default()
        };
        let rules = Rules::new(input.clone());
        for caller in callers {
            let expected = naive(&input, &caller.parse().unwrap());
            prop_assert_eq!(found(&rules, &caller).ok(), expected, "{}", caller);

            let identity = identity(&caller);
            let asked = Asked::of(&identity);
            let mut entries = input.roles.iter().chain(input.users.iter());
            let fits = entries.any(|entry| entry.who.fits(&asked, rules.sso()).is_some());
            let hit = rules.find(&identity).is_ok_and(|found| found.hit.is_some());
            prop_assert_eq!(fits, hit, "{}", caller);
        }
    }
}
