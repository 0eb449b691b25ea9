use super::*;
use crate::mapping::{Mapping, RulesInput};

const CALLER: &str = "arn:aws:sts::123456789012:assumed-role/Admin/ann";
const MADE: &str =
    "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_ViewOnly_0123456789abcdef/ann";

fn identity(arn: &str) -> Identity {
    let arn: Arn = arn.parse().unwrap();
    let session = arn.as_str().rsplit('/').next().unwrap();
    Identity {
        account: arn.account(),
        user_id: "AROAEXAMPLE".into(),
        session_name: session.into(),
        access_key_id: "ASIAEXAMPLE".into(),
        sts_host: "sts.amazonaws.com".into(),
        arn,
    }
}

fn mapping(text: &str) -> Mapping {
    let who = match text.strip_prefix("sso:") {
        Some(rest) => {
            let (account, set) = rest.split_once('/').unwrap();
            Who::Sso(SsoRole::new(set, account, None).unwrap())
        }
        None if !text.contains(['*', '?']) => Who::Arn(text.parse().unwrap()),
        None => Who::Pattern(ArnPattern::role(text).or_else(|_| ArnPattern::user(text)).unwrap()),
    };
    let username = "u:{{SessionName}}".parse().unwrap();
    Mapping { who, username, groups: vec![], line: NonZeroU32::new(7) }
}

fn roles(texts: &[&str]) -> RulesInput {
    let roles = texts.iter().map(|text| mapping(text)).collect();
    RulesInput { roles, sso: true, ..RulesInput::default() }
}

fn misses(explanation: &Explanation) -> Vec<(usize, Likeness)> {
    let misses = explanation.near_misses.iter();
    misses.map(|miss| (miss.place.position.unwrap_or(99), miss.likeness)).collect()
}

#[test]
fn the_winner_is_told_with_its_place_and_reason() {
    for (entry, caller, reason) in [
        ("arn:aws:iam::123456789012:role/admin", CALLER, Reason::Arn),
        ("arn:aws:iam::123456789012:role/x/admin", CALLER, Reason::ArnWithoutPath),
        ("arn:aws:iam::123456789012:role/ad*", CALLER, Reason::Pattern),
        ("sso:123456789012/ViewOnly", MADE, Reason::PermissionSet),
    ] {
        let explanation = explain(&Rules::new(roles(&[entry])), &identity(caller));
        let winner = explanation.winner.unwrap();
        assert_eq!(winner.reason, reason, "{entry}");
        assert_eq!(winner.place.kind, RuleKind::MapRoles);
        assert_eq!((winner.place.position, winner.place.line), (Some(0), NonZeroU32::new(7)));
        assert_eq!(&*winner.user.unwrap().name, "u:ann");
        assert_eq!(explanation.near_misses, []);
    }
}

#[test]
fn an_account_wins_where_nothing_else_does_and_is_told_where_something_does() {
    let accounts = vec!["123456789012".parse().unwrap()];
    let alone = RulesInput { accounts: accounts.clone(), ..RulesInput::default() };
    let winner = explain(&Rules::new(alone), &identity(CALLER)).winner.unwrap();
    assert_eq!((winner.reason, &*winner.place.entry), (Reason::Account, "123456789012"));
    assert_eq!(&*winner.user.unwrap().name, "arn:aws:iam::123456789012:role/Admin");

    let beside = RulesInput { accounts, ..roles(&["arn:aws:iam::123456789012:role/Admin"]) };
    let explanation = explain(&Rules::new(beside), &identity(CALLER));
    assert_eq!(explanation.winner.as_ref().unwrap().reason, Reason::Arn);
    assert_eq!(misses(&explanation), [(99, Likeness::LaterInOrder)]);
}

#[test]
fn each_near_miss_is_the_one_that_is_named() {
    for (entry, caller, likeness) in [
        ("arn:aws:iam::210987654321:role/Admin", CALLER, Likeness::OtherAccount),
        ("arn:aws:iam::210987654321:role/x/Admin", CALLER, Likeness::OtherAccount),
        ("arn:aws-cn:iam::123456789012:role/Admin", CALLER, Likeness::OtherPartition),
        ("arn:aws:iam::123456789012:user/Admin", CALLER, Likeness::OtherKind),
        ("arn:aws:iam::123456789012:role/Admins", CALLER, Likeness::CloseName),
        ("arn:aws:iam::123456789012:role/Amdin", CALLER, Likeness::CloseName),
        ("arn:aws:iam::210987654321:role/Ad*", CALLER, Likeness::OtherAccount),
        ("arn:aws-cn:iam::123456789012:role/Ad*", CALLER, Likeness::OtherPartition),
        ("arn:aws:iam::123456789012:user/Ad*", CALLER, Likeness::OtherKind),
        ("arn:aws:iam::123456789012:role/dm?", CALLER, Likeness::PatternTooNarrow),
        // A pattern sees the path of a user, and of a role none.
        (
            "arn:aws:iam::210987654321:user/team/*",
            "arn:aws:iam::123456789012:user/team/ann",
            Likeness::OtherAccount,
        ),
        (
            "arn:aws:iam::210987654321:role/Ad*",
            "arn:aws:iam::123456789012:role/x/Admin",
            Likeness::OtherAccount,
        ),
        (
            "arn:aws:iam::123456789012:user/team/ann",
            "arn:aws:iam::123456789012:user/ann",
            Likeness::OtherPath,
        ),
        (
            "arn:aws:iam::123456789012:role/y/Admin",
            "arn:aws:iam::123456789012:role/x/Admin",
            Likeness::OtherPath,
        ),
        (
            "arn:aws:iam::123456789012:role/AWSReservedSSO_ViewOnly_fedcba9876543210",
            MADE,
            Likeness::SsoSuffix,
        ),
        ("sso:123456789012/View", &MADE.replace("ViewOnly", "View_All"), Likeness::SsoSuffix),
        ("sso:123456789012/ViewOnly", &MADE.replace("abcdef", "ABCDEF"), Likeness::SsoSuffix),
        ("sso:210987654321/ViewOnly", MADE, Likeness::OtherAccount),
        ("sso:123456789012/ViewOnlyy", MADE, Likeness::CloseName),
    ] {
        let explanation = explain(&Rules::new(roles(&[entry])), &identity(caller));
        assert_eq!(explanation.winner, None, "{entry}");
        assert_eq!(misses(&explanation), [(0, likeness)], "{entry}");
    }
}

#[test]
fn an_sso_entry_that_is_switched_off_is_told_where_it_would_fit() {
    for (entry, likeness) in [
        ("sso:123456789012/ViewOnly", Likeness::SsoOff),
        ("sso:123456789012/ViewOnlyy", Likeness::CloseName),
    ] {
        let off = RulesInput { sso: false, ..roles(&[entry]) };
        let explanation = explain(&Rules::new(off), &identity(MADE));
        assert_eq!(explanation.winner, None);
        assert_eq!(misses(&explanation), [(0, likeness)], "{entry}");
    }
}

#[test]
fn what_the_winner_shadows_is_told_first() {
    let rules = Rules::new(roles(&[
        "arn:aws:iam::123456789012:role/Admins",
        "arn:aws:iam::123456789012:role/A*",
        "arn:aws:iam::123456789012:role/Admin",
        "arn:aws:iam::123456789012:role/x/Admin",
        "arn:aws:iam::123456789012:role/ADMIN",
        "arn:aws:iam::123456789012:role/Unlike",
    ]));
    let explanation = explain(&rules, &identity(CALLER));
    assert_eq!(explanation.winner.as_ref().unwrap().place.position, Some(4));
    assert_eq!(
        misses(&explanation),
        [
            (2, Likeness::Duplicate),
            (1, Likeness::LaterInOrder),
            (3, Likeness::LaterInOrder),
            (0, Likeness::CloseName),
        ],
    );
}

#[test]
fn of_permission_sets_with_any_suffix_the_first_wins_and_of_equal_ones_the_later() {
    let any = |sets: &[&str]| RulesInput { any_sso_suffix: true, ..roles(sets) };
    let (view, view_only) = ("sso:123456789012/View", "sso:123456789012/View_Only");
    for (sets, name, winner, miss) in [
        ([view, view_only], "View_Only_x", 0, (1, Likeness::LaterInOrder)),
        ([view_only, view], "View_Only_x", 0, (1, Likeness::LaterInOrder)),
        ([view, view_only], "View_Only_0123456789abcdef", 1, (0, Likeness::LaterInOrder)),
        ([view_only, view_only], "View_Only_0123456789abcdef", 1, (0, Likeness::Duplicate)),
    ] {
        let caller = format!("arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_{name}/ann");
        let explanation = explain(&Rules::new(any(&sets)), &identity(&caller));
        let place = explanation.winner.as_ref().unwrap().place.position;
        assert_eq!((place, misses(&explanation)), (Some(winner), vec![miss]), "{sets:?} {name}");
    }
}

#[test]
fn near_misses_fit_on_a_screen() {
    let texts: Vec<String> = (0..50).map(|n| format!("arn:aws:iam::{n:012}:role/Admin")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let explanation = explain(&Rules::new(roles(&texts)), &identity(CALLER));
    assert_eq!((explanation.near_misses.len(), explanation.left_out), (10, 40));
}

#[test]
fn a_name_that_ec2_would_tell_stands_for_itself_and_a_denial_is_told() {
    let username = "system:node:{{EC2PrivateDNSName}}".parse().unwrap();
    let node = Mapping { username, ..mapping("arn:aws:iam::123456789012:role/Admin") };
    let roles = [node].into_iter().collect();
    let rules = Rules::new(RulesInput { roles, ..RulesInput::default() });
    let instance = "arn:aws:sts::123456789012:assumed-role/Admin/i-0123abcd";
    let winner = explain(&rules, &identity(instance)).winner.unwrap();
    assert!(winner.asks_ec2);
    assert_eq!(&*winner.user.unwrap().name, "system:node:{{EC2PrivateDNSName}}");
    let winner = explain(&rules, &identity(CALLER)).winner.unwrap();
    assert_eq!(winner.user, Err(RenderFault::NotAnInstance));
}

#[test]
fn every_reason_and_every_likeness_has_words_of_its_own() {
    use Likeness::{CloseName, Duplicate, LaterInOrder, OtherAccount, OtherKind, OtherPartition};
    use Likeness::{OtherPath, PatternTooNarrow, SsoOff, SsoSuffix};
    use Reason::{Account, Arn, ArnWithoutPath, Pattern, PermissionSet};
    let likenesses = [Duplicate, LaterInOrder, SsoOff, SsoSuffix, OtherPath, OtherKind]
        .into_iter()
        .chain([OtherAccount, OtherPartition, PatternTooNarrow, CloseName]);
    let reasons = [Arn, ArnWithoutPath, PermissionSet, Pattern, Account].map(Reason::describe);
    let mut told: Vec<&str> = likenesses.map(Likeness::describe).chain(reasons).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 15);
}

#[test]
fn whoever_is_only_a_little_alike_is_not_told() {
    for (entry, caller) in [
        // A close name counts in the same account and for the same kind alone.
        ("arn:aws:iam::210987654321:role/Admins", CALLER),
        ("arn:aws-cn:iam::123456789012:role/Admins", CALLER),
        ("arn:aws:iam::123456789012:user/Admins", CALLER),
        ("arn:aws:iam::210987654321:user/Admin", CALLER),
        // Permission sets that have only the prefix in common.
        ("arn:aws:iam::123456789012:role/AWSReservedSSO_Billing_fedcba9876543210", MADE),
        ("sso:123456789012/Billing", MADE),
        ("sso:210987654321/Billing", MADE),
        ("sso:123456789012/Admin", CALLER),
        (
            "arn:aws:iam::123456789012:role/Backup_fedcba9876543210",
            "arn:aws:sts::123456789012:assumed-role/Backup_0123456789abcdef/ann",
        ),
        // Patterns that no part of the name fits, or that fit somebody else's.
        ("arn:aws:iam::123456789012:role/Ops*", CALLER),
        ("arn:aws:iam::210987654321:role/dm?", CALLER),
        ("arn:aws:iam::210987654321:user/Ad*", CALLER),
        ("arn:aws:iam::123456789012:user/dm?", CALLER),
    ] {
        let explanation = explain(&Rules::new(roles(&[entry])), &identity(caller));
        assert_eq!((explanation.winner, explanation.near_misses), (None, vec![]), "{entry}");
    }
}

#[test]
fn close_names_differ_in_two_characters_at_most_and_in_less_than_half() {
    for (one, other, close) in [
        ("abc", "abc", true),
        ("Abc", "aBC", true),
        ("abc", "abx", true),
        ("ab", "ax", false),
        ("abcde", "abcxy", true),
        ("abcd", "abxy", false),
        ("abcd", "abcdxy", false),
        ("abcdefgh", "abcdexyz", false),
        ("a", "b", false),
    ] {
        assert_eq!(is_close(one, other), close, "{one} {other}");
        assert_eq!(is_close(other, one), close, "{other} {one}");
    }
}
