//! The file as a whole: text in, settings or told faults out.

mod client;
mod doubts;
mod formats;
mod keys;
mod values;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::face::Face;

fn read(name: &str, text: &str) -> Result<Document, String> {
    Document::read(text.as_bytes(), Path::new(name)).map_err(|faults| faults.to_string())
}

fn checked(name: &str, text: &str) -> Result<Checked<ServerSettings>, String> {
    let over = ServerOverrides::default();
    server(Some(read(name, text)?), &over, Face::Own).map_err(|faults| faults.to_string())
}

fn told(text: &str) -> Vec<String> {
    let faults = checked("c.yaml", text).expect_err("expected faults");
    faults.lines().map(|line| line.strip_prefix("c.yaml:").unwrap_or(line).to_owned()).collect()
}

fn warned(text: &str) -> Vec<String> {
    let warnings = checked("c.yaml", text).unwrap().warnings;
    let line = |warning: &Warning| {
        let line = warning.to_string();
        line.strip_prefix("c.yaml:").unwrap_or(&line).to_owned()
    };
    warnings.iter().map(line).collect()
}

/// A file that is in order but for `rest`, which begins on line 3 inside `server`.
fn with(rest: &str) -> String {
    format!("clusterID: c\nserver:\n{rest}\n  mapAccounts: ['111122223333']\n")
}

const ADMIN: &str = "arn:aws:iam::012345678901:role/Admin";

#[test]
fn text_that_is_no_tree_is_told_with_its_place() {
    for (name, text, expected) in [
        ("c.yaml", "a: [1\nb: 2\n", "c.yaml:2:2: "),
        (
            "c.yaml",
            "a: 1\n---\nb: 2\n",
            "c.yaml:2:1: a second document begins here; a configuration is one document (remove it)",
        ),
        (
            "c.yaml",
            "a: 1\nA: 2\n",
            "c.yaml:2:1: key \"A\" is there already, on line 1; case does not matter in keys (keep one of them)",
        ),
        ("c.yaml", "x:\n\ty: 1\n", "c.yaml:2:"),
        ("c.yaml", "? [a]\n: 1\n", "c.yaml:1:3: a key must be plain text"),
        ("c.yaml", "a: &a [*a]\n", "c.yaml:1:8: an anchor's own content cannot refer to it"),
        ("c.yaml", "a: *b\n", "c.yaml:1:4: "),
        (
            "c.yaml",
            "a: !!binary aGk=\n",
            "c.yaml:1:13: tag \"!!binary\" has no meaning here (remove it)",
        ),
        (
            "c.yaml",
            "a: 1\nb:\n  <<: x\n",
            "c.yaml:3:7: expected a mapping or a list of mappings after `<<`",
        ),
        ("c.json", "{\"a\": 1,}", "c.json:1:9: trailing comma"),
        ("c.json", "{\"a\": 012}", "c.json:1:8: invalid number"),
        (
            "c.json",
            "{\n\t\"a\": 1,\n\t\"b\": {\"c\": [1, 2], \"C\": 3}\n}",
            "c.json:3:21: key \"C\" is there already, on line 3; case does not matter in keys (keep one of them)",
        ),
        ("c.json", "", "c.json:1:1: EOF while parsing a value"),
        ("c.json", "{} {}", "c.json:1:4: trailing characters"),
        ("c.json", "{} // no", "c.json:1:4: trailing characters"),
        ("c.toml", "a = 1\n[b\n", "c.toml:2:"),
        (
            "c.toml",
            "a = 1\nA = 2\n",
            "c.toml:2:1: key \"A\" is there already, on line 1; case does not matter in keys (keep one of them)",
        ),
        (
            "c.conf",
            "a: 1",
            "c.conf: unsupported config type \"conf\"; expected a name that ends in .yaml, .yml, .json or .toml (rename the file)",
        ),
        ("C.YAML", "a: 1", "C.YAML: unsupported config type \"YAML\"; expected"),
        ("config", "a: 1", "config: unsupported config type \"\"; expected"),
    ] {
        let told = read(name, text).expect_err(text);
        assert!(told.starts_with(expected), "{text:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let told = Document::read(b"a: x\nb: \xff\n", Path::new("c.yaml")).unwrap_err().to_string();
    assert_eq!(told, "c.yaml:2:4: not UTF-8 (save the file as UTF-8)");
}

#[test]
fn every_fault_of_a_file_is_told_at_once_with_place_path_and_cure() {
    let text = "\
clusterID: 'two words'
tokenOnly: yes
server:
  port: abc
  partition: aws-us-govt
  address: localhost
  maxTokenAge: 59
  extraSTSHosts: [https://sts.example.com]
  sts: {timeout: 1h, connectTo: {sts.example.com: '10.0.0.1'}}
  limits: {body: 12}
  mapRoles:
  - username: nobody
  - {roleARN: arn:aws:s3:::bucket, username: x}
  - roleARN: arn:aws:iam::012345678901:role/a
    rolePattern: arn:aws:iam::012345678901:role/a-*
    username: x
    groups: {a: b}
  mapUsers: three
";
    assert_eq!(
        told(text),
        [
            "1:12: clusterID: a cluster ID holds printable ASCII without spaces, but byte 3 begins ' '",
            "4:9: server.port: expected a whole number from 0 to 65535, found \"abc\" (write it in decimal, without leading zeros)",
            "5:14: server.partition: \"aws-us-govt\" is not an AWS partition; known are aws, aws-cn, aws-us-gov, aws-iso, aws-iso-b, aws-iso-e, aws-iso-f, aws-eusc",
            "6:12: server.address: expected an IP address, found \"localhost\" (write it as 127.0.0.1)",
            "7:16: server.maxTokenAge: expected a duration from 60s to 900s, found \"59\" (write it as 4s, 500ms or 4)",
            "8:19: server.extraSTSHosts[0]: expected a host name in lower case, without scheme and port, found \"https://sts.example.com\" (write it as sts.us-west-2.amazonaws.com)",
            "9:18: server.sts.timeout: expected a duration from 100ms to 30s, found \"1h\" (write it as 4s, 500ms or 4)",
            "9:51: server.sts.connectTo.\"sts.example.com\": expected an IP address and a port such as 127.0.0.1:21363, found \"10.0.0.1\"",
            "10:18: server.limits.body: expected a whole number from 24576 to 1048576, found \"12\" (write it in decimal, without leading zeros)",
            "12:5: server.mapRoles[0]: one of rolearn or SSO must be supplied (give one of roleARN, rolePattern and sso)",
            "13:15: server.mapRoles[1].roleARN: \"arn:aws:s3:::bucket\" does not name an IAM principal: no such kind of principal in that service (write the ARN as IAM shows it)",
            "14:5: server.mapRoles[2]: only one of rolearn or SSO can be supplied (keep one of roleARN, rolePattern and sso)",
            "17:13: server.mapRoles[2].groups: expected a list of texts, found a mapping",
            "18:13: server.mapUsers: expected a list of mappings, found text",
        ]
    );
}

#[test]
fn flags_are_told_by_their_names_and_a_missing_cluster_id_by_its_key() {
    let over = ServerOverrides {
        cluster_id: Some(String::new()),
        partition: Some("AWS".into()),
        address: Some("here".into()),
        backend_mode: vec!["MountedFile,Nonsense".into(), "MountedFile".into()],
        state_dir: Some("".into()),
        ..Default::default()
    };
    let faults = server(None, &over, Face::Own).unwrap_err().to_string();
    let lines: Vec<_> = faults.lines().collect();
    assert_eq!(
        lines,
        [
            "--backend-mode: backend-mode \"Nonsense\" is not a valid mode (known are MountedFile, EKSConfigMap, CRD, DynamicFile)",
            "--backend-mode: backend-mode \"MountedFile\" is listed twice (name each mode once)",
            "--address: expected an IP address, found \"here\" (write it as 127.0.0.1)",
            "--state-dir: must not be empty (write a value, or remove the key)",
            "--cluster-id: cluster ID cannot be empty (set clusterID, or give --cluster-id)",
            "--partition: \"AWS\" is not an AWS partition; known are aws, aws-cn, aws-us-gov, aws-iso, aws-iso-b, aws-iso-e, aws-iso-f, aws-eusc",
        ]
    );
    let faults = server(None, &ServerOverrides::default(), Face::Own).unwrap_err().to_string();
    assert_eq!(
        faults,
        "clusterID: cluster ID cannot be empty (set clusterID, or give --cluster-id)"
    );
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let text = "\
clusterID: of-file
server:
  backendMode: CRD
  port: 1
  address: '::1'
  ec2DescribeInstancesQps: 3
  kubeconfigPregenerated: true
  mapAccounts: '111122223333'
";
    let over = ServerOverrides {
        cluster_id: Some("of-flag".into()),
        backend_mode: vec!["File".into()],
        port: Some(2),
        kubeconfig_pregenerated: Some(false),
        state_dir: Some("/state".into()),
        ..Default::default()
    };
    let document = read("c.yaml", text).unwrap();
    let Checked { value, warnings } = server(Some(document), &over, Face::Own).unwrap();
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["--backend-mode: backend-mode \"File\" is deprecated, use \"MountedFile\" instead"]
    );
    let ServerSettings { fixed, policy } = value;
    assert_eq!(policy.accept.cluster_ids, ["of-flag".parse().unwrap()]);
    assert_eq!((fixed.port, fixed.address.to_string()), (2, "::1".into()));
    assert_eq!((fixed.ec2.qps, fixed.ec2.burst), (3, 5));
    assert!(!fixed.kubeconfig_pregenerated);
    assert_eq!(fixed.state_dir, Path::new("/state"));
    let default = "/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml";
    assert_eq!(fixed.kubeconfig, Path::new(default));
}

#[test]
fn the_name_of_the_program_decides_the_health_address_and_the_gate_of_sso_entries() {
    let text =
        with("  mapRoles: {sso: {permissionSetName: View, accountID: 012345678901}, username: v}");
    let off = "c.yaml:3:13: server.mapRoles: SSO entries take no part: the feature gate \
               SSORoleMatch is not set (give --feature-gates=SSORoleMatch=true)";
    for (face, gate, health, warning) in [
        (Face::Own, None, "127.0.0.1:21363", None),
        (Face::Own, Some(false), "127.0.0.1:21363", None),
        (Face::Reference, None, "0.0.0.0:21363", Some(off)),
        (Face::Reference, Some(true), "0.0.0.0:21363", None),
        (Face::Reference, Some(false), "0.0.0.0:21363", None),
    ] {
        let over = ServerOverrides { sso_gate: gate, ..Default::default() };
        let document = read("c.yaml", &text).unwrap();
        let Checked { value, warnings } = server(Some(document), &over, face).unwrap();
        assert_eq!(value.fixed.health.to_string(), health, "{face:?}");
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.iter().map(|w| &**w).next(), warning, "{face:?} {gate:?}");
    }
}
