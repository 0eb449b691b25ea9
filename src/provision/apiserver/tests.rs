use super::*;

mod removal;

/// A small manifest with these lines in its container and in its spec.
fn manifest(container: &str, spec: &str) -> String {
    let head = "kind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n  containers:\n";
    format!("{head}  - command: [kube-apiserver]\n{container}{spec}")
}

fn read(text: &str) -> Manifest {
    Manifest::read(text.as_bytes()).unwrap()
}

fn refused(text: &str) -> Refusal {
    Manifest::read(text.as_bytes()).unwrap_err()
}

fn flag(name: &str, value: &str, policy: Policy) -> Edit {
    let flag = WantedFlag { name: name.into(), value: value.into(), policy };
    Edit { flags: vec![flag], ..Edit::default() }
}

fn mount(volume: &str, host: &str, path: &str, read_only: bool) -> Edit {
    let mount = WantedMount {
        volume: volume.into(),
        host_path: host.into(),
        mount_path: path.into(),
        read_only,
        host_type: DirectoryType::Directory,
    };
    Edit { mounts: vec![mount], ..Edit::default() }
}

fn annotation(key: &str, value: &str) -> Edit {
    let annotation = WantedAnnotation { key: key.into(), value: value.into() };
    Edit { annotations: vec![annotation], ..Edit::default() }
}

#[test]
fn what_cannot_be_read_plainly_is_refused_with_its_line() {
    let shape = |line, path: &str, wanted| Refusal::Shape { line, path: path.into(), wanted };
    for (text, refusal) in [
        ("kind: Pod\na: 1\n? [b]\n: c\n", Refusal::KeyNotText { line: 3 }),
        ("kind: Pod\nmetadata: a\n", shape(2, "/metadata", "a map")),
        ("kind: Pod\nmetadata: {}\n", shape(1, "/spec", "a map")),
        (
            "kind: Pod\nmetadata: {}\nspec:\n  containers: []\n",
            shape(4, "/spec/containers", "a list of containers"),
        ),
        ("- kind: Pod\n", Refusal::NotAPod { line: 1, kind: Shown::new("") }),
        ("a: &x 1\n", Refusal::Anchor { line: 1 }),
        ("a: 1\nb: !x 1\n", Refusal::Tag { line: 2, tag: Shown::new("!x") }),
        ("a: {b: 1, <<: {}}\n", Refusal::MergeKey { line: 1 }),
        (
            "a:\n  b: 1\n  'b': 2\n",
            Refusal::DuplicateKey { line: 3, key: Shown::new("b"), first: 2 },
        ),
    ] {
        assert_eq!(refused(text), refusal, "{text}");
        assert!(refusal.line().is_some() && !refusal.cure().is_empty());
    }
    let syntax = |text: &str| {
        let refusal = refused(text);
        let Refusal::Syntax { line, message } = refusal else { panic!("{text}: {refusal:?}") };
        (line, message)
    };
    assert_eq!(syntax(""), (None, "it is empty".into()));
    assert_eq!(syntax("# nothing\n"), (None, "it is empty".into()));
    assert_eq!(syntax("a: [b\n\nc: d\n").0, Some(3));
    assert_eq!(syntax("a:\n\t- b\n").0, Some(2));
    assert_eq!(syntax("a: *x\n").0, Some(1));
    assert_eq!(syntax(&"[".repeat(200)).0, Some(1));
}

#[test]
fn what_begins_as_json_is_json_and_not_yaml_in_brackets() {
    let spec = r#""spec": {"containers": [{"command": ["kube-apiserver"]}]}"#;
    let json = format!(r#"{{"kind": "Pod", "metadata": {{}}, {spec}}}"#);
    read(&json);
    let yaml = json.replace(r#""kind""#, "kind");
    let message = "key must be a string at line 1 column 2".into();
    assert_eq!(refused(&yaml), Refusal::Syntax { line: Some(1), message });
}

#[test]
fn what_kubelet_would_not_read_for_its_size_or_encoding_is_refused() {
    let large = vec![b' '; MOST_BYTES + 1];
    let size = MOST_BYTES + 1;
    assert_eq!(Manifest::read(&large).unwrap_err(), Refusal::TooLarge { size, most: MOST_BYTES });
    assert_eq!(Manifest::read(b"a: b\nc: \xff\n").unwrap_err(), Refusal::NotUtf8 { line: 2 });
}

#[test]
fn flags_are_read_as_the_api_server_reads_them() {
    let words = "[kube-apiserver, --a=1, --b, two, -c=3, --d, --e_f=4, --a=5, --, --g=6]";
    let text = manifest("", "").replace("[kube-apiserver]", words);
    let manifest = read(&text);
    let value = |name| manifest.flag(name).map(|flag| flag.value);
    assert_eq!(value("a"), Some(Some("5")));
    assert_eq!(manifest.occurrences("a").len(), 2);
    assert_eq!(value("b"), Some(Some("two")));
    assert_eq!(value("c"), Some(Some("3")));
    assert_eq!(value("d"), Some(None));
    assert_eq!(value("e-f"), Some(Some("4")));
    assert_eq!(value("g"), None, "behind --");
    assert_eq!(value("two"), None);
}

#[test]
fn a_flag_of_another_value_is_refused_or_kept_as_its_policy_says() {
    for (spelled, value) in [("--x=1", "1"), ("--x, '1'", "1"), ("-x=1", "1"), ("--x", "")] {
        let text =
            manifest("", "").replace("[kube-apiserver]", &format!("[kube-apiserver, {spelled}]"));
        let refusal = read(&text).edit(&flag("x", "2", Policy::Must)).unwrap_err();
        let (line, name, wanted) = (6, "x".into(), Shown::new("2"));
        assert_eq!(
            refusal,
            Refusal::PointsElsewhere { line, name, value: Shown::new(value), wanted },
        );
        let kept = read(&text).edit(&flag("x", "2", Policy::Keep)).unwrap();
        assert_eq!((kept.changed, kept.text.as_slice()), (false, text.as_bytes()));
        let (name, wanted) = ("x".into(), Shown::new("2"));
        let value = Shown::new(value);
        assert_eq!(kept.warnings, vec![Warning::Kept { line: 6, name, value, wanted }]);
    }
    let bare = manifest("", "").replace("[kube-apiserver]", "[kube-apiserver, --x]");
    assert!(!read(&bare).edit(&flag("x", "true", Policy::Must)).unwrap().changed);
}

#[test]
fn a_flag_that_is_there_twice_is_refused_in_any_spelling_and_with_any_value() {
    for words in ["--x-y=1, --x-y=1", "--x-y=1, --x_y, '1'", "--x-y=2, --x-y=1", "-x_y, --x-y"] {
        let text =
            manifest("", "").replace("[kube-apiserver]", &format!("[kube-apiserver, {words}]"));
        for policy in [Policy::Must, Policy::Keep] {
            assert_eq!(
                read(&text).edit(&flag("x-y", "1", policy)).unwrap_err(),
                Refusal::DuplicateFlag { line: 6, name: "x-y".into(), first: 6 },
                "{words}"
            );
        }
    }
}

#[test]
fn nothing_is_changed_when_one_thing_cannot_be() {
    let text = manifest("", "").replace("[kube-apiserver]", "[kube-apiserver, --x=1]");
    let mut edit = flag("y", "1", Policy::Must);
    edit.flags.extend(flag("x", "2", Policy::Must).flags);
    let refusal = read(&text).edit(&edit).unwrap_err();
    assert!(matches!(refusal, Refusal::PointsElsewhere { .. }), "{refusal:?}");
}

#[test]
fn what_no_manifest_can_hold_is_refused_before_anything_else() {
    let wanted = |edit: Edit| {
        let refusal = read(&manifest("", "")).edit(&edit).unwrap_err();
        let Refusal::Wanted { wanted, .. } = refusal else { panic!("{refusal:?}") };
        wanted
    };
    for (name, value) in [("--x", "1"), ("X", "1"), ("", "1"), ("x=y", "1")] {
        let told = wanted(flag(name, value, Policy::Must));
        assert_eq!(told, "a flag's name, without dashes before it", "{name}");
    }
    for value in ["a\nb", "$(HOME)", "a\u{2028}b", "\u{feff}"] {
        assert_eq!(wanted(flag("x", value, Policy::Must)), "a flag's value, in one line");
    }
    let volume = "a volume's name of lower-case letters, digits and dashes";
    for name in ["", "-a", "a-", "A", &"a".repeat(62)] {
        assert_eq!(wanted(mount(name, "/a", "/b", true)), volume);
    }
    let path = "an absolute path below /, without `.`, `..`, `:` and `$`";
    for bad in ["a", "/", "/a/", "/a/../b", "/a:b", "/a\n", ""] {
        assert_eq!(wanted(mount("v", bad, "/b", true)), path, "{bad}");
        assert_eq!(wanted(mount("v", "/b", bad, true)), path, "{bad}");
    }
    assert_eq!(wanted(annotation("a b", "x")), "an annotation's key");
    assert_eq!(wanted(annotation("a", "x\ny")), "an annotation's value, in one line");
}

#[test]
fn the_user_is_the_containers_before_the_pods() {
    let user = |container: &str, spec: &str| read(&manifest(container, spec)).run_as_user();
    let pods = "  securityContext: {runAsUser: 7}\n";
    assert_eq!(user("", ""), None);
    assert_eq!(user("", pods), Some(7));
    assert_eq!(user("    securityContext: {privileged: false}\n", pods), Some(7));
    assert_eq!(user("    securityContext: {runAsUser: 0}\n", pods), Some(0));
}

#[test]
fn two_containers_that_run_it_and_none_are_refused() {
    let second = "  - command: [/go-runner]\n    args: [--l=x, /bin/kube-apiserver]\n";
    let text = manifest("", second);
    assert_eq!(refused(&text), Refusal::Candidates { line: 7, first: 6 });
    let none = text.replace("kube-apiserver]", "kube-scheduler]");
    assert_eq!(refused(&none), Refusal::NoContainer { line: 6 });
    let hidden = manifest("", "").replace("[kube-apiserver]", "[env, A=b, kube-apiserver]");
    let program = Shown::new("env");
    assert_eq!(refused(&hidden), Refusal::Wrapped { line: 6, program });
}

/// A container's mount and its volume, in one manifest.
fn mounted(mount: &str, volume: &str) -> String {
    let container = format!("    volumeMounts:\n    - {{name: v, {mount}}}\n");
    manifest(&container, &format!("  volumes:\n  - {{name: v, {volume}}}\n"))
}

#[test]
fn host_paths_are_those_of_the_deepest_mount() {
    let text = manifest(
        "    volumeMounts:\n    - {name: a, mountPath: /}\n    - {name: b, mountPath: /etc/x/, readOnly: yes}\n    - {name: c, mountPath: /etc/x/y}\n",
        "  volumes:\n  - {name: a, hostPath: {path: /root}}\n  - {name: b, hostPath: {path: /srv/x}}\n  - {name: c, emptyDir: {}}\n",
    );
    let manifest = read(&text);
    let host = |path| manifest.host_path(path).map(|host| (host.path, host.read_only));
    assert_eq!(host("/var"), Some(("/root/var".into(), false)));
    assert_eq!(host("/"), Some(("/root".into(), false)));
    assert_eq!(host("/etc/x"), Some(("/srv/x".into(), true)));
    assert_eq!(host("/etc/x/./z/"), Some(("/srv/x/z".into(), true)));
    assert_eq!(host("/etc/xx"), Some(("/root/etc/xx".into(), false)));
    assert_eq!(host("/etc/x/y/z"), None, "not of the host");
    assert_eq!(host("/etc/../x"), None);
    assert_eq!(host("etc"), None);
    assert!(!manifest.is_covered("/srv/x", "/etc/x"), "something is mounted inside");
    assert!(manifest.is_covered("/srv/x/z", "/etc/x/z"));
    assert!(!manifest.is_covered("/srv/x/z", "/etc/x/zz"));
}

#[test]
fn a_sub_path_is_part_of_the_way_and_an_expression_is_not_known() {
    let host = |mount: &str| {
        let text = mounted(mount, "hostPath: {path: /srv}");
        read(&text).host_path("/m/f").map(|host| host.path)
    };
    assert_eq!(host("mountPath: /m"), Some("/srv/f".into()));
    assert_eq!(host("mountPath: /m, subPath: a/b"), Some("/srv/a/b/f".into()));
    assert_eq!(host("mountPath: /m, subPath: ../b"), None);
    assert_eq!(host("mountPath: /m, subPathExpr: $(X)"), None);
}

#[test]
fn a_mount_that_something_stands_in_the_way_of_is_refused() {
    let wanted = mount("ours", "/srv/a", "/m/a", true);
    let writable = mount("ours", "/srv/a", "/m/a", false);
    let (line, shown) = (8, Shown::new);
    let is = |mount: &str, host: &str, edit: &Edit| {
        let text = mounted(mount, &format!("hostPath: {{path: {host}}}"));
        read(&text).edit(edit).map(|edited| edited.changed)
    };
    let taken = |there: &str| {
        let (mount_path, there, wanted) = (shown("/m/a"), shown(there), shown("/srv/a"));
        Err(Refusal::MountTaken { line, mount_path, there, wanted })
    };
    assert_eq!(is("mountPath: /m/a", "/srv/b", &wanted), taken("/srv/b"));
    assert_eq!(is("mountPath: /m/a, subPath: x", "/srv/a", &wanted), taken("/srv/a/x"));
    assert_eq!(is("mountPath: /m/a/, subPathExpr: x", "/srv/a", &wanted), taken("v"));
    // The same, at the same place or above.
    assert_eq!(is("mountPath: /m/a, readOnly: true", "/srv/a", &wanted), Ok(false));
    assert_eq!(is("mountPath: /m", "/srv", &wanted), Ok(false));
    assert_eq!(is("mountPath: /m", "/srv", &writable), Ok(false));
    // The same, and not to be written to.
    let read_only = Refusal::ReadOnly { line, mount_path: shown("/m/a") };
    assert_eq!(is("mountPath: /m/a, readOnly: true", "/srv/a", &writable), Err(read_only));
    assert_eq!(is("mountPath: /m, readOnly: true", "/srv", &writable), Ok(true));
    // Above it, something else.
    let (mount_path, there) = (shown("/m"), shown("/other"));
    let parent = Refusal::ParentReadOnly { line, mount_path, there };
    assert_eq!(is("mountPath: /m, readOnly: true", "/other", &wanted), Err(parent));
    assert_eq!(is("mountPath: /m", "/other", &wanted), Ok(true));
    // Below it.
    let (mount_path, there) = (shown("/m/a/b"), shown("/other"));
    let hidden = Refusal::Hidden { line, mount_path, there };
    assert_eq!(is("mountPath: /m/a/b", "/other", &wanted), Err(hidden));
    assert_eq!(is("mountPath: /m/a/b", "/srv/a/b", &wanted), Ok(true));
    assert_eq!(is("mountPath: /m/ab", "/other", &wanted), Ok(true));
}

#[test]
fn a_volume_of_our_name_is_ours_if_it_is_the_same_and_another_name_is_taken_if_not() {
    let edit = |volumes: &str| {
        let text = manifest("", &format!("  volumes:\n{volumes}"));
        let edited = read(&text).edit(&mount("vol", "/srv/a", "/m", true));
        edited.map(|edited| (edited.added.mounts[0].clone(), edited.warnings))
    };
    let same = "  - {name: vol, hostPath: {path: /srv/a, type: Directory}}\n";
    let (added, warnings) = edit(same).unwrap();
    assert_eq!((added.volume.as_str(), added.with_volume, warnings.len()), ("vol", false, 0));
    let other = "  - {name: vol, hostPath: {path: /srv/a, type: File}}\n";
    let (added, warnings) = edit(other).unwrap();
    assert_eq!((added.volume.as_str(), added.with_volume), ("vol-2", true));
    let (name, ours) = (Shown::new("vol"), Shown::new("vol-2"));
    assert_eq!(warnings, vec![Warning::VolumeName { line: 8, name, ours }]);
    let mut all = other.to_owned();
    for number in 2..10 {
        all += &format!("  - {{name: vol-{number}, emptyDir: {{}}}}\n");
    }
    let name = Shown::new("vol");
    assert_eq!(edit(&all).unwrap_err(), Refusal::VolumeNames { line: 8, name });
}

#[test]
fn an_annotation_of_our_key_is_replaced_and_of_no_text_is_refused() {
    let text =
        manifest("", "").replace("metadata:\n", "metadata:\n  annotations: {k: 'a', x: [1]}\n");
    let edited = read(&text).edit(&annotation("k", "b")).unwrap();
    assert_eq!(String::from_utf8(edited.text).unwrap(), text.replace("'a'", "'b'"));
    let refusal = read(&text).edit(&annotation("x", "b")).unwrap_err();
    let path = "/metadata/annotations/x".into();
    assert_eq!(refusal, Refusal::Shape { line: 3, path, wanted: "a text" });
}

#[test]
fn refusals_and_warnings_are_one_line_however_long_what_they_show() {
    let long = "x\n\u{1b}".repeat(4_000);
    let told = Refusal::NotAPod { line: 1, kind: Shown::new(&long) }.to_string();
    assert!(told.len() < 1_000 && !told.contains(['\n', '\u{1b}']), "{told}");
    let (mount_path, line) = (Shown::new(&long), 1);
    assert!(Warning::OwnMount { line, mount_path }.to_string().len() < 1_000);
    assert!(refusal::one_line(&long).len() <= 200);
}
