use super::super::Node;
use super::*;

#[test]
fn a_map_of_very_many_keys_is_still_checked_for_the_same_key_in_another_case() {
    let source = "x".repeat(5_000);
    let mut builder = Builder::new(&source);
    builder.begin_map(0).unwrap();
    for n in 0..2_000 {
        builder.key(n, &format!("key{n}")).unwrap();
        builder.null(n).unwrap();
    }
    let broken = builder.key(4_000, "KEY1234").unwrap_err();
    let expected = Wrong::DuplicateKey { key: Quoted::new("KEY1234"), line: 1 };
    assert_eq!((broken.wrong, broken.place.unwrap().column), (expected, 4_001));
}

#[test]
fn merged_maps_give_what_the_map_does_not_have_itself_the_first_of_them_first() {
    let mut builder = Builder::new("");
    builder.begin_map(0).unwrap();
    builder.key(0, "a").unwrap();
    builder.begin_map(0).unwrap();
    for (key, value) in [("x", "first"), ("y", "first")] {
        builder.key(0, key).unwrap();
        builder.text(0, value).unwrap();
    }
    let first = builder.end().unwrap();
    builder.key(0, "b").unwrap();
    builder.begin_map(0).unwrap();
    for (key, value) in [("Y", "second"), ("z", "second")] {
        builder.key(0, key).unwrap();
        builder.text(0, value).unwrap();
    }
    let second = builder.end().unwrap();
    builder.key(0, "c").unwrap();
    builder.begin_map(0).unwrap();
    builder.merge_key(0).unwrap();
    builder.begin_list(0).unwrap();
    builder.alias(0, first).unwrap();
    builder.alias(0, second).unwrap();
    builder.end().unwrap();
    builder.key(0, "X").unwrap();
    builder.text(0, "own").unwrap();
    builder.end().unwrap();
    builder.end().unwrap();
    let tree = builder.finish().unwrap();
    let entries = tree.root().entries();
    let merged = entries.iter().find(|entry| entry.key == "c").unwrap().value.entries();
    let texts: Vec<_> =
        merged.iter().map(|entry| (entry.key, entry.value.text().unwrap())).collect();
    assert_eq!(texts, [("X", "own"), ("y", "first"), ("z", "second")]);
}
/// `{server: {KEY: [x, {a: b}, ..]}}`, an anchor before the element of that number.
fn entries_of(key: &str, anchor: Option<usize>) -> (Vec<(List, String)>, Vec<String>) {
    let source = "0123456789";
    let text = |node: Node<'_>| match node.text() {
        Some(text) => format!("{text}@{}", node.place().column),
        None => node.entries().iter().map(|one| one.key).collect(),
    };
    let mut taken = Vec::new();
    let mut take = |list, node: Node<'_>| taken.push((list, text(node)));
    let mut builder = Builder::new(source).handing_to(&mut take);
    builder.begin_map(0).unwrap();
    builder.key(0, "Server").unwrap();
    builder.begin_map(0).unwrap();
    builder.key(0, key).unwrap();
    builder.begin_list(0).unwrap();
    for at in 0..4 {
        if anchor == Some(at) {
            builder.keep();
        }
        if at % 2 == 0 {
            builder.text(at, "x").unwrap();
        } else {
            builder.begin_map(at).unwrap();
            builder.key(at, &format!("key{at}")).unwrap();
            builder.text(at, "y").unwrap();
            builder.end().unwrap();
        }
    }
    builder.end().unwrap();
    builder.key(8, "after").unwrap();
    builder.text(9, "z").unwrap();
    builder.end().unwrap();
    builder.end().unwrap();
    let tree = builder.finish().unwrap();
    let server = tree.root().entries()[0].value.entries();
    assert_eq!((server[1].key, &*text(server[1].value)), ("after", "z@10"));
    (taken, server[0].value.items().map(text).collect())
}

#[test]
fn mappings_are_handed_over_and_forgotten_and_kept_from_an_anchor_on() {
    let all = ["x@1", "key1", "x@3", "key3"];
    for (key, anchor, count) in [
        ("mapRoles", None, 4),
        ("MAPUSERS", None, 4),
        ("mapAccounts", None, 0),
        ("mapRoles", Some(0), 0),
        ("mapRoles", Some(1), 1),
        ("mapRoles", Some(2), 2),
        ("mapRoles", Some(3), 3),
    ] {
        let (taken, kept) = entries_of(key, anchor);
        let expected = List::at(key).unwrap_or(List::Roles);
        assert!(taken.iter().all(|(list, _)| *list == expected), "{key}");
        let texts: Vec<_> = taken.iter().map(|(_, text)| &**text).collect();
        assert_eq!((&*texts, &*kept), (&all[..count], &all.map(String::from)[count..]), "{key}");
    }
}

#[test]
fn what_cannot_be_merged_is_told_before_it_is_handed_over() {
    let mut take = |_, _: Node<'_>| panic!("handed over");
    let mut builder = Builder::new("0123456789").handing_to(&mut take);
    for key in ["server", "mapRoles"] {
        builder.begin_map(0).unwrap();
        builder.key(0, key).unwrap();
    }
    builder.begin_list(0).unwrap();
    builder.begin_map(0).unwrap();
    builder.merge_key(1).unwrap();
    builder.text(4, "x").unwrap();
    let broken = builder.end().unwrap_err();
    assert_eq!((broken.wrong, broken.place.unwrap().column), (Wrong::Merge, 5));
}
