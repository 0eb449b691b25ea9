//! Spellings of single values, and the rules that bind several.

use proptest::prelude::*;

use super::*;

#[test]
fn an_sts_host_is_a_name_and_nothing_beside_it() {
    let file = |host: &str| with(&format!("  extraSTSHosts: [\"{host}\"]"));
    for host in ["sts.example.com", "vpce-1.sts.us-east-1.vpce.amazonaws.com", "sts"] {
        assert_eq!(warned(&file(host)), [""; 0], "{host}");
    }
    for host in [
        "user@sts.example.com",
        "user:secret@sts.example.com",
        "sts.example.com:443",
        "sts.example.com:",
        "sts.example.com/",
        "sts.example.com/x",
        "sts.example.com?x",
        "sts.example.com#x",
        "sts.example.com.",
        "STS.example.com",
        "*.example.com",
        "sts..example.com",
        ".example.com",
        "sts.-a.com",
        "127.0.0.1",
        "[::1]",
        "sts.example.com%2f",
        "sts.exämple.com",
        "sts.example.com\\n",
    ] {
        let found = told(&file(host));
        let [fault] = &found[..] else { panic!("{host}: {found:?}") };
        assert!(
            fault.contains("server.extraSTSHosts[0]: expected a host name in lower"),
            "{fault}"
        );
    }
}

#[test]
fn no_cluster_id_can_end_a_header_or_be_taken_for_another() {
    for id in [
        "\"\"",
        "\" \"",
        "\"\\t\"",
        "\"c \"",
        "\" c\"",
        "\"a b\"",
        "\"c\\r\\nx-amz-target: x\"",
        "\"c\\n\"",
        "\"c\\0\"",
        "\"\\x1b[31m\"",
        "\"\\x7f\"",
        "\"\\u00a0\"",
        "\"n\\u00e4h\"",
        "\"\\ufeffc\"",
        &format!("\"{}\"", "c".repeat(257)),
    ] {
        for (text, path) in [
            (
                format!("clusterID: {id}\nserver: {{mapAccounts: ['111122223333']}}\n"),
                "clusterID: ",
            ),
            (format!("acceptedClusterIDs: [{id}]\n{}", with("")), "acceptedClusterIDs[0]: "),
            (with(&format!("  acceptedClusterIDs: [{id}]")), "server.acceptedClusterIDs[0]: "),
        ] {
            let found = told(&text);
            let [fault] = &found[..] else { panic!("{text}: {found:?}") };
            let told = fault.split_once(path).map(|(_, told)| told).unwrap_or_default();
            assert!(
                told.starts_with("cluster ID cannot") || told.starts_with("a cluster ID "),
                "{fault}"
            );
            assert!(!fault.contains(char::is_control), "{fault}");
        }
    }
}

#[test]
fn backend_modes_follow_the_known_names_and_rules() {
    let cure = "(known are MountedFile, EKSConfigMap, CRD, DynamicFile)";
    let mode = "3:16: server.backendMode:";
    let absent =
        |name| format!("{mode} backend {name} is not part of this version (use MountedFile)");
    let none = format!("{mode} at least one backend-mode must be specified (use MountedFile)");
    for (rest, expected) in [
        ("  backendMode: MountedFile CRD", vec![absent("CRD")]),
        ("  backendMode: MountedFile,EKSConfigMap", vec![absent("EKSConfigMap")]),
        ("  backendMode: mountedfile", vec![format!("{mode} backend-mode \"mountedfile\" is not a valid mode {cure}")]),
        (
            "  backendMode: [MountedFile, MountedFile]",
            vec!["3:30: server.backendMode[1]: backend-mode \"MountedFile\" is listed twice (name each mode once)".into()],
        ),
        ("  backendMode: []", vec![none.clone()]),
        ("  backendMode: ''", vec![none]),
        ("  backendMode: {a: b}", vec![format!("{mode} expected a list of texts, found a mapping")]),
        (
            "  backendMode: DynamicFile",
            vec![
                absent("DynamicFile"),
                format!("{mode} dynamicfile is set in backend-mode but dynamicfilepath is not set (set server.dynamicfilepath)"),
            ],
        ),
        (
            "  dynamicFilePath: /x",
            vec!["3:20: server.dynamicfilepath: dynamicfile is not set in backend-mode but dynamicfilepath is set (remove server.dynamicfilepath)".into()],
        ),
        (
            "  dynamicBackendModePath: /x",
            vec!["3:27: server.dynamicBackendModePath: a file that switches backend modes is not part of this version (remove the key and set server.backendMode)".into()],
        ),
    ] {
        assert_eq!(told(&with(rest)), expected, "{rest}");
    }
    for rest in ["  backendMode: ", "  backendMode: [File, MountedFile]", "  dynamicfilepath: ''"] {
        checked("c.yaml", &with(rest)).unwrap();
    }
}

#[test]
fn truths_have_the_spellings_that_files_have_had() {
    let read = |text: &str| checked("c.yaml", &with(&format!("  kubeconfigPregenerated: {text}")));
    for text in ["true", "True", "TRUE", "t", "T", "1", "'true'"] {
        assert!(read(text).unwrap().value.fixed.kubeconfig_pregenerated, "{text}");
    }
    for text in ["false", "False", "FALSE", "f", "F", "0", "'0'", "", "~"] {
        assert!(!read(text).unwrap().value.fixed.kubeconfig_pregenerated, "{text}");
    }
    for text in ["yes", "on", "y", "no", "off", "tRUE", "2", "''"] {
        let found = text.trim_matches('\'');
        let expected = format!(
            "c.yaml:3:27: server.kubeconfigPregenerated: expected true or false, found \"{found}\" (write true or false)"
        );
        assert_eq!(read(text).unwrap_err(), expected);
    }
}

#[test]
fn numbers_are_decimal() {
    for text in
        ["-1", "+1", "65536", "1.0", "0x10", "010", "1_000", "' 1'", "''", "99999999999999999999"]
    {
        let found = text.trim_matches('\'');
        let expected = format!(
            "3:9: server.port: expected a whole number from 0 to 65535, found \"{found}\" (write it in decimal, without leading zeros)"
        );
        assert_eq!(told(&with(&format!("  port: {text}"))), [expected]);
    }
    assert_eq!(checked("c.yaml", &with("  port: '0'")).unwrap().value.fixed.port, 0);
}

#[test]
fn at_most_eight_cluster_ids_are_accepted_wherever_they_are_written() {
    let text = |n: usize| {
        let ids: Vec<_> = (1..=n).map(|n| format!("id{n}")).collect();
        let ids = ids.join(", ");
        format!(
            "clusterID: id1\nacceptedClusterIDs: id2\nserver: {{mapAccounts: ['111122223333'], acceptedClusterIDs: [{ids}]}}\n"
        )
    };
    let accept = checked("c.yaml", &text(8)).unwrap().value.policy.accept;
    assert_eq!(accept.cluster_ids.len(), 8);
    assert_eq!(
        told(&text(9)),
        [
            "3:61: server.acceptedClusterIDs: 9 cluster IDs are accepted; at most 8 may be, for each costs a call to STS (remove those that no client uses)"
        ]
    );
}

#[test]
fn what_needs_a_restart_is_named() {
    let fixed = |rest: &str| checked("c.yaml", &with(rest)).unwrap().value.fixed;
    let plain = fixed("");
    assert_eq!(plain.differences(&plain.clone()), [""; 0]);
    let other = fixed(
        "  port: 1\n  sts: {timeout: 1}\n  sourceARN: 'arn:aws:iam::1:role/x'\n  maxTokenAge: 60",
    );
    assert_eq!(
        plain.differences(&other),
        ["server.port", "server.sts.timeout", "server.sourceARN"]
    );
}

#[test]
fn faults_and_warnings_are_json_for_scripts() {
    let document = read("c.yaml", "clusterID: c\nserver: {port: abc}\n").unwrap();
    let told = server(Some(document), &ServerOverrides::default(), Face::Own).unwrap_err();
    assert_eq!(
        serde_json::to_value(told).unwrap(),
        serde_json::json!([{
            "file": "c.yaml", "line": 2, "column": 16, "path": "server.port",
            "message": "expected a whole number from 0 to 65535, found \"abc\"",
            "hint": "write it in decimal, without leading zeros",
        }])
    );
}

proptest! {
    #[test]
    fn reading_never_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        text in "[-a-z0-9:{}\\[\\],&*!<>|?#'\"=. \n\t%@`~]{0,80}",
    ) {
        let nested = format!("clusterID: c\nserver:\n  mapRoles:\n  - {text}\n");
        for name in ["c.yaml", "c.json", "c.toml"] {
            for bytes in [&*bytes, text.as_bytes(), nested.as_bytes()] {
                let Ok(document) = Document::read(bytes, Path::new(name)) else { continue };
                drop(client(Some(&document), &ClientOverrides::default()));
                let server = server(Some(document), &ServerOverrides::default(), Face::Own);
                let told = server.map_or_else(|faults| faults.count(), |ok| ok.warnings.len());
                prop_assert!(told <= 2_000);
            }
        }
    }
}
