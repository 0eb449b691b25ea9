use super::*;

fn mapping(arn: &str, username: &str, groups: &[&str]) -> Mapping {
    Mapping {
        who: Who::Arn(arn.parse().unwrap()),
        username: username.parse().unwrap(),
        groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        line: NonZeroU32::new(3),
    }
}

#[test]
fn what_is_kept_is_what_came() {
    let role = "arn:aws:iam::123456789012:role/";
    let sso = SsoRole::new("View", "123456789012", None).unwrap();
    let pattern = ArnPattern::role(&format!("{role}team-*")).unwrap();
    let mut came = vec![
        mapping(&format!("{role}A"), "x", &["x", "y"]),
        mapping(&format!("{role}Org/team/B"), "", &[]),
        mapping("arn:aws:iam::123456789012:root", "{{SessionName}}", &["y", "x"]),
        mapping("arn:aws-cn:sts::123456789012:assumed-role/C/s", "x", &["x", "y"]),
    ];
    came.push(Mapping { who: Who::Sso(sso), line: None, ..came[0].clone() });
    came.push(Mapping { who: Who::Pattern(pattern), ..came[0].clone() });
    let list: Mappings = came.iter().cloned().collect();
    assert_eq!(list.iter().collect::<Vec<_>>(), came);
    assert_eq!((list.len(), list.is_empty(), list.has_sso()), (6, false, true));
    let whom: Vec<_> = (0..7).map(|at| list.who(at)).collect();
    assert_eq!(whom[..6], came.iter().map(|one| Some(one.who.clone())).collect::<Vec<_>>());
    assert_eq!(whom[6], None);
    // A role without a slash in its name has no path, nor have patterns and permission sets.
    let with_path: Vec<_> = (0..7).map(|at| list.who_with_path(at)).collect();
    let is_one: Vec<_> = with_path.iter().map(Option::is_some).collect();
    assert_eq!(is_one, [false, true, true, true, false, false, false]);
    assert_eq!(with_path[1], whom[1]);
    assert_eq!(list.finish().iter().nth(3).unwrap().told().2, "[x y]");
}

#[test]
fn lists_are_equal_where_their_entries_are_and_show_them() {
    let list = |name: &str| -> Mappings {
        [mapping("arn:aws:iam::123456789012:role/A", name, &["g"])].into_iter().collect()
    };
    assert_eq!(list("x"), list("x"));
    assert_ne!(list("x"), list("y"));
    let shown = format!("{:?}", list("x"));
    assert_eq!(shown, r#"[Rule(Some(3), ("arn:aws:iam::123456789012:role/A", "x", "[g]"))]"#);
}

/// Equal hashes would still find what is shared, only ever more slowly.
#[test]
fn texts_are_spread() {
    let hashes: std::collections::HashSet<_> =
        (0..100).map(|n| hash(&format!("dev-{n}"))).collect();
    assert_eq!(hashes.len(), 100);
}

#[test]
fn a_list_of_nothing_has_nothing() {
    let none = Mappings::default();
    assert_eq!((none.len(), none.is_empty(), none.has_sso()), (0, true, false));
}

#[test]
fn entries_are_small_and_share_what_they_have_in_common() {
    assert_eq!(size_of::<Raw>(), 24);
    let arn = |n: usize| format!("arn:aws:iam::123456789012:role/r{n}");
    let many = (0..9).map(|n| mapping(&arn(n), "dev:{{SessionName}}", &["a", "b"]));
    let kept = many.collect::<Mappings>().finish();
    let once = "dev:{{SessionName}}ab".len() + "arn:aws:iam::123456789012:role/".len();
    assert_eq!(kept.text.len(), once + "r0".len() * 9);
    assert_eq!((kept.heads.len(), kept.groups.len(), kept.members.len()), (1, 1, 2));
}

#[test]
fn more_beginnings_than_can_be_numbered_are_kept_whole() {
    let arn = |n: usize| format!("arn:aws:iam::{n:012}:role/r");
    let count = usize::from(u16::MAX) + 2;
    let list: Mappings = (0..count).map(|n| mapping(&arn(n), "x", &[])).collect();
    let kept = list.finish();
    for n in [0, count - 3, count - 2, count - 1] {
        assert_eq!(kept.get(n).unwrap().told().0, arn(n));
    }
    assert_eq!(kept.get(count - 1).unwrap().raw.head, 0);
}
