use super::super::*;
use super::{annotation, flag, manifest, mount, read};

/// Our lines as an edit puts them.
fn edited(text: &str) -> (String, Added) {
    let mut edit = flag("x", "1", Policy::Must);
    edit.mounts = mount("ours", "/srv/a", "/m", true).mounts;
    edit.annotations = annotation("iamgate.k", "h").annotations;
    let edited = read(text).edit(&edit).unwrap();
    (String::from_utf8(edited.text).unwrap(), edited.added)
}

fn remove(text: &str, added: &Added) -> (String, Vec<Warning>) {
    let removed = read(text).remove(added).unwrap();
    assert!(removed.added.is_empty());
    (String::from_utf8(removed.text).unwrap(), removed.warnings)
}

const VOLUMES: &str = "  volumes:\n  - name: v\n    emptyDir: {}\n";

#[test]
fn what_the_installer_wrote_anew_is_left_as_it_is() {
    let text = manifest("", VOLUMES);
    let (_, added) = edited(&text);
    assert_eq!(remove(&text, &added), (text, vec![]));
}

#[test]
fn nothing_that_was_there_before_is_taken_out() {
    let text = manifest("", VOLUMES).replace("[kube-apiserver]", "[kube-apiserver, --x=1]");
    let (ours, added) = edited(&text);
    assert_eq!(added.flags, vec![]);
    assert_eq!(remove(&ours, &added).0, text);
}

#[test]
fn what_was_changed_since_is_left_and_told() {
    let text = manifest("", VOLUMES);
    let (ours, added) = edited(&text);
    let line = |part: &str| {
        ours.lines().collect::<Vec<_>>().iter().rposition(|line| line.contains(part)).unwrap() + 1
    };

    let changed = ours.replace("--x=1", "--x=2");
    let (left, warnings) = remove(&changed, &added);
    assert!(left.contains("--x=2") && !left.contains("ours"), "{left}");
    let name = "x".into();
    assert_eq!(warnings, vec![Warning::FlagChanged { line: line("--x=1"), name }]);

    let changed = ours.replace("mountPath: /m", "mountPath: /n");
    let (left, warnings) = remove(&changed, &added);
    assert!(left.contains("mountPath: /n") && left.contains("/srv/a"), "{left}");
    assert!(!left.contains("--x=1"));
    let volume = Shown::new("ours");
    assert_eq!(warnings, vec![Warning::MountChanged { line: line("mountPath: /m"), volume }]);

    let changed = ours.replace("path: /srv/a", "path: /srv/b");
    let (left, warnings) = remove(&changed, &added);
    assert!(left.contains("/srv/b") && !left.contains("volumeMounts"), "{left}");
    let volume = Shown::new("ours");
    assert_eq!(warnings, vec![Warning::MountChanged { line: line("- name: ours"), volume }]);

    let changed = ours.replace(r#""h""#, "other");
    let (left, warnings) = remove(&changed, &added);
    assert!(left.contains("iamgate.k: other"), "{left}");
    let key = Shown::new("iamgate.k");
    assert_eq!(warnings, vec![Warning::AnnotationChanged { line: line("iamgate.k"), key }]);
}

#[test]
fn a_volume_that_another_container_mounts_is_left() {
    let text = manifest("", "  - name: side\n    volumeMounts: []\n");
    let (ours, added) = edited(&text);
    let shared = ours.replace("volumeMounts: []", "volumeMounts: [{name: ours, mountPath: /z}]");
    let (left, warnings) = remove(&shared, &added);
    assert!(left.contains("/srv/a") && !left.contains("mountPath: /m\n"), "{left}");
    assert!(matches!(&warnings[..], [Warning::VolumeInUse { .. }]), "{warnings:?}");
}

#[test]
fn what_others_put_beside_ours_stays() {
    let text = manifest("", "");
    let (ours, added) = edited(&text);
    let with_theirs = ours
        .replace("  volumes:\n", "  volumes:\n  - name: theirs\n    emptyDir: {}\n")
        .replace("  annotations:\n", "  annotations:\n    their: note\n")
        .replace("[kube-apiserver,", "[kube-apiserver, --theirs,");
    let (left, warnings) = remove(&with_theirs, &added);
    let expected = text.replace("[kube-apiserver]", "[kube-apiserver, --theirs]")
        + "  volumes:\n  - name: theirs\n    emptyDir: {}\n";
    let expected = expected.replace(
        "  name: kube-apiserver\n",
        "  name: kube-apiserver\n  annotations:\n    their: note\n",
    );
    assert_eq!((left, warnings), (expected, vec![]));
}

#[test]
fn a_list_that_lost_all_but_ours_becomes_nothing() {
    let text = manifest("", VOLUMES);
    let (ours, added) = edited(&text);
    let alone = ours.replace("  - name: v\n    emptyDir: {}\n", "");
    let (left, _) = remove(&alone, &added);
    assert_eq!(left, manifest("", "  volumes:\n"));
}

#[test]
fn an_annotation_gets_the_value_of_before_in_its_spelling() {
    for spelling in ["'old'", "old", r#""o\x6cd""#, "\"o\\\n      ld\""] {
        let line = format!("metadata:\n  annotations:\n    iamgate.k: {spelling}\n");
        let text = manifest("", "").replace("metadata:\n", &line);
        let (first, added) = edited(&text);
        let previous = Previous { value: "old".into(), source: spelling.into() };
        assert_eq!(added.annotations[0].previous.as_ref(), Some(&previous));
        assert_eq!(remove(&first, &added), (text, vec![]));
    }
}

#[test]
fn edits_in_a_row_are_undone_as_one() {
    let line = "metadata:\n  annotations:\n    iamgate.k: old\n";
    let text = manifest("", VOLUMES).replace("metadata:\n", line);
    let (first, added) = edited(&text);
    let mut edit = flag("y", "2", Policy::Keep);
    edit.annotations = annotation("iamgate.k", "h2").annotations;
    edit.mounts = mount("second", "/srv/b", "/n", false).mounts;
    let second = read(&first).edit(&edit).unwrap();
    let both = added.then(second.added);
    let second = String::from_utf8(second.text).unwrap();
    assert_eq!(remove(&second, &both), (text, vec![]));
}

#[test]
fn after_the_installer_wrote_it_anew_and_we_edited_again_both_are_one() {
    let text = manifest("", "");
    let (_, first) = edited(&text);
    let (again, second) = edited(&text);
    let both = first.clone().then(second.clone());
    assert_eq!(both, second);
    assert_eq!(remove(&again, &both), (text, vec![]));
    assert_eq!(first.clone().then(Added::default()), first);
}

#[test]
fn a_ledger_of_json_holds_it_all() {
    let (_, added) = edited(&manifest("    volumeMounts: null\n", "  volumes:\n"));
    let json = serde_json::to_string(&added).unwrap();
    assert!(json.contains(r#""volumes":{"null":""},"volumeMounts":{"null":"null"}"#), "{json}");
    assert_eq!(serde_json::from_str::<Added>(&json).unwrap(), added);
}
