//! What is told and does not stop the server.

use super::*;

#[test]
fn the_example_of_the_original_deployment_loads() {
    let text = "\
# a unique-per-cluster identifier
clusterID: my-dev-cluster.example.com
server:
  # each mapRoles entry maps an IAM role to a username and set of groups
  mapRoles:
  - roleARN: arn:aws:iam::000000000000:role/KubernetesAdmin
    username: kubernetes-admin
    groups:
    - system:masters
  - roleARN: arn:aws:iam::000000000000:role/KubernetesNode
    username: aws:{{AccountID}}:instance:{{SessionName}}
    groups:
    - system:bootstrappers
    - aws:instances
  - roleARN: arn:aws:iam::000000000000:role/KubernetesAdmin
    username: admin:{{SessionName}}
    groups:
    - system:masters
  - roleARN: arn:aws:iam::000000000000:role/KubernetesUsers
    username: \"{{SessionName}}\"
  - roleARN: arn:aws:iam::000000000000:role/KubernetesOtherUsers
    username: \"{{SessionNameRaw}}\"
    groups:
    - developers
  mapUsers:
  - userARN: arn:aws:iam::000000000000:user/Alice
    username: alice
    groups:
    - system:masters
  mapAccounts:
  # - \"012345678901\"
";
    let masters = "group system:masters bypasses RBAC and cannot be taken back by it (bind a group of your own to a ClusterRole)";
    let chosen = "the caller chooses this whole user name (put a literal prefix before it)";
    assert_eq!(
        warned(text),
        [
            format!("9:7: server.mapRoles[0].groups[0]: {masters}"),
            "15:5: server.mapRoles[2]: maps the same principal as line 6; this later entry wins (remove one of them)".into(),
            format!("18:7: server.mapRoles[2].groups[0]: {masters}"),
            format!("20:15: server.mapRoles[3].username: {chosen}"),
            format!("22:15: server.mapRoles[4].username: {chosen}"),
            format!("29:7: server.mapUsers[0].groups[0]: {masters}"),
        ]
    );
}

#[test]
fn a_name_that_the_caller_chooses_is_doubted_in_either_place() {
    let entry = |username: &str, group: &str| {
        let arn = "arn:aws:iam::111122223333:role/a";
        with(&format!(
            "  mapRoles: [{{rolearn: '{arn}', username: '{username}', groups: ['{group}']}}]"
        ))
    };
    for name in ["{{SessionName}}", "{{SessionNameRaw}}"] {
        let told = warned(&entry(name, "g"));
        assert!(told[0].ends_with("mapRoles[0].username: the caller chooses this whole user name (put a literal prefix before it)"), "{told:?}");
        let told = warned(&entry("u", name));
        assert!(told[0].ends_with("mapRoles[0].groups[0]: the caller chooses this whole group (put a literal prefix before it)"), "{told:?}");
    }
    for name in ["dev:{{SessionName}}", "{{AccountID}}", "{{SessionName}}{{AccountID}}"] {
        assert_eq!(warned(&entry(name, name)), [""; 0], "{name}");
    }
}

#[test]
fn each_doubt_is_told_by_its_name() {
    let arn = "arn:aws:iam::111122223333:role";
    let never = "server.mapRoles[0].roleARN: this can never match:";
    let cases: [(String, Vec<String>); 16] = [
        ("  mapRole: []".into(), vec!["3:3: server.mapRole: unknown key; did you mean mapRoles?".into()]),
        ("  colour: red".into(), vec!["3:3: server.colour: unknown key".into()]),
        ("  compat: {everything: true}".into(), vec!["3:12: server.compat.everything: unknown key".into()]),
        (
            "  mapUsers: [{rolearn: x, userarn: 'arn:aws:iam::111122223333:user/a', username: a}]".into(),
            vec!["3:15: server.mapUsers[0].rolearn: unknown key; did you mean userARN?".into()],
        ),
        (
            "  mapRoles: [{rolearn: 'arn:aws:iam::11112222333:role/a', username: a}]".into(),
            vec![format!("3:24: {never} the account is not twelve digits (quote account ids, so that no zero is lost)")],
        ),
        (
            "  mapRoles: [{rolearn: 'arn:aws:iam:us-east-1:111122223333:role/a', username: a}]".into(),
            vec![format!("3:24: {never} the region field is not empty (write the ARN as IAM shows it)")],
        ),
        (
            "  mapRoles: [{rolearn: 'arn:aws:iam::111122223333:role', username: a}]".into(),
            vec![format!("3:24: {never} the principal has no name (write the ARN as IAM shows it)")],
        ),
        (
            format!("  mapRoles: [{{rolearn: '{arn}/a*', username: a}}]"),
            vec![format!("3:24: {never} `*` and `?` are literal here (write rolePattern or userPattern for a pattern)")],
        ),
        (
            format!("  mapRoles: [{{rolearn: '{arn}/A/x', username: a}},\n   {{rolearn: '{arn}/b/X', username: b}}]"),
            vec!["4:4: server.mapRoles[1]: has the same last element as the role on line 3, and STS never tells a role's path (write the role that is there without its path)".into()],
        ),
        (
            format!("  mapRoles: [{{rolearn: '{arn}/x', username: a}},\n   {{rolearn: '{arn}/X', username: b}}]"),
            vec!["4:4: server.mapRoles[1]: maps the same principal as line 3; this later entry wins (remove one of them)".into()],
        ),
        (
            format!("  mapRoles: {{rolearn: '{arn}/x', groups: [a, '']}}"),
            vec![
                "3:13: server.mapRoles[0].username: the user name is empty, so nobody who is mapped here is let in (set username)".into(),
                "3:71: server.mapRoles[0].groups[1]: an empty group is left out".into(),
            ],
        ),
        (
            "  scrubbedAccounts: 1, 111122223333".into(),
            vec!["3:21: server.scrubbedAccounts: this can never match: the account is not twelve digits (quote account ids, so that no zero is lost)".into()],
        ),
        (
            "  backendMode: File".into(),
            vec!["3:16: server.backendMode: backend-mode \"File\" is deprecated, use \"MountedFile\" instead".into()],
        ),
        (
            "  allowedRegions: [cn-north-1]".into(),
            vec!["3:20: server.allowedRegions[0]: \"cn-north-1\" is not a region of partition aws".into()],
        ),
        (
            "  ec2DescribeInstancesBurst: 0".into(),
            vec!["3:30: server.ec2DescribeInstancesBurst: a burst of 0 would let no call through; 1 is used".into()],
        ),
        (
            "  reservedPrefixConfig: {backendMode: File}".into(),
            vec!["3:39: server.reservedPrefixConfig[0].backendMode: no backend is called \"File\", so these prefixes are not used (known are MountedFile, EKSConfigMap, CRD, DynamicFile)".into()],
        ),
    ];
    for (rest, expected) in cases {
        assert_eq!(warned(&with(&rest)), expected, "{rest}");
    }
    assert_eq!(
        warned("clusterID: c\nmapRoles: []\nserver.port: 1\nlog-verbosity: debug\n"),
        [
            " server: nobody is mapped: mapRoles, mapUsers and mapAccounts hold no usable entry (add an entry under server)",
            "2:1: mapRoles: unknown key; did you mean server.mapRoles?",
            "3:1: \"server.port\": unknown key; did you mean port inside server?",
            "4:16: log-verbosity: has no effect in a file (give the flag)",
        ]
    );
}

#[test]
fn a_name_of_kubernetes_own_that_the_caller_completes_is_doubted() {
    let advice = "the caller chooses part of a name that begins with `system:` (leave the \
                  session's name out, or begin with a prefix of your own)";
    let role = |username: &str, group: &str| {
        let arn = "arn:aws:iam::111122223333:role/a";
        with(&format!(
            "  mapRoles: [{{rolearn: '{arn}', username: '{username}', groups: ['{group}']}}]"
        ))
    };
    for (username, group, key) in [
        ("system:{{SessionName}}", "a", Some("username")),
        ("a", "system:{{SessionNameRaw}}", Some("groups[0]")),
        ("system:node:{{EC2PrivateDNSName}}", "system:nodes", None),
        ("a:{{SessionName}}", "system:bootstrappers", None),
    ] {
        let told = warned(&role(username, group));
        let want: Vec<_> =
            key.map(|key| format!("server.mapRoles[0].{key}: {advice}")).into_iter().collect();
        let told: Vec<_> = told.iter().filter_map(|line| Some(line.split_once(": ")?.1)).collect();
        assert_eq!(told, want, "{username} {group}");
    }
}

#[test]
fn strict_is_about_unknown_keys_and_repeated_entries_however_much_advice_there_is() {
    let mut text = "clusterID: c\nserver:\n  mapRoles:\n".to_owned();
    let arn = "arn:aws:iam::111122223333:role/r";
    for n in 0..1_200 {
        text.push_str(&format!(
            "  - {{roleARN: '{arn}{n}', username: u, groups: system:masters}}\n"
        ));
    }
    text.push_str(&format!("  - {{roleARN: '{arn}7', username: u}}\n  colour: red\n"));
    let warnings = checked("c.yaml", &text).unwrap().warnings;
    let strict = warnings.iter().filter(|warning| warning.is_strict());
    let places: Vec<_> = strict.map(|warning| warning.place().unwrap()).collect();
    assert_eq!(places, [(1_204, 5), (1_205, 3)]);
    assert_eq!(warnings.len(), 1_002);
}

#[test]
fn strict_makes_faults_of_unknown_keys_and_repeated_entries_and_of_nothing_else() {
    let text = "clusterID: c\nserver:\n  prot: 1\n  mapRoles:\n    - {rolearn: 'arn:aws:iam::123456789012:role/a', username: u, groups: [system:masters]}\n";
    let document = Document::read(text.as_bytes(), Path::new("c.yaml")).unwrap();
    let over = ServerOverrides { strict: true, ..ServerOverrides::default() };
    let faults = server(Some(document), &over, Face::Own).unwrap_err();
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["c.yaml:3:3: server.prot: unknown key; did you mean port?"]);
}
