use clap::Parser;
use serde_json::Value;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

fn flags(words: &[&str]) -> Settings {
    Line::try_parse_from(["provision"].iter().chain(words)).unwrap().settings
}

fn spec(text: &str) -> Result<Settings, String> {
    Settings::read(text.as_bytes(), Path::new("spec.yaml")).map_err(|fault| fault.to_string())
}

#[test]
fn every_setting_is_a_flag_and_a_key_of_the_spec_and_they_mean_the_same() {
    let by_flags = flags(&[
        "--map-role=arn:aws:iam::123456789012:role/Admin=admin:{{SessionName}}=system:masters,b",
        "--map-user=arn:aws:iam::123456789012:user/ann=ann",
        "--partition=aws-cn",
        "--strict",
        "--workload=systemd",
        "--image=r/i:1",
        "--base-image=r/b:1",
        "--env=HTTPS_PROXY=http://p:1",
        "--memory-limit=32Mi",
        "--server-uid=5",
        "--server-gid=6",
        "--takeover",
        "--template-dir=/t",
        "--san=a.example",
        "--ca-days=9",
        "--leaf-days=8",
        "--apiserver=later",
        "--apiserver-manifest=/m/k.yaml",
        "--manifests-dir=/m",
        "--cache-ttl=1m",
        "--webhook-version=v1beta1",
        "--audit-policy=default",
        "--quarantine",
        "--only=config,workload",
    ]);
    let by_spec = spec(
        "schema: iamgate/v1\n\
         mapRoles:\n- {roleARN: 'arn:aws:iam::123456789012:role/Admin', \
           username: 'admin:{{SessionName}}', groups: [system:masters, b]}\n\
         mapUsers:\n- {userARN: 'arn:aws:iam::123456789012:user/ann', username: ann}\n\
         partition: aws-cn\nstrict: true\nworkload: systemd\nimage: r/i:1\nbaseImage: r/b:1\n\
         env: ['HTTPS_PROXY=http://p:1']\nmemoryLimit: 32Mi\nserverUid: 5\nserverGid: 6\n\
         takeover: true\ntemplateDir: /t\nsan: [a.example]\ncaDays: 9\nleafDays: 8\n\
         apiserver: later\napiserverManifest: /m/k.yaml\nmanifestsDir: /m\ncacheTtl: 1m\n\
         webhookVersion: v1beta1\nauditPolicy: default\nquarantine: true\nonly: [config, workload]\n",
    )
    .unwrap();
    let told = |settings: Settings| format!("{:?}", Settings { schema: None, ..settings });
    assert_eq!(told(by_flags), told(by_spec));
    // All of the schema's keys are in that spec, but for the three that are global flags.
    let Value::Object(properties) = &schema()["properties"] else { panic!() };
    let flags = Settings::augment_args(clap::Command::new("x"));
    assert_eq!(properties.len(), flags.get_arguments().count() + 3);
}

#[test]
fn a_flag_wins_over_the_spec() {
    let spec = spec("schema: iamgate/v1\nworkload: none\ncacheTtl: 2m\nsan: [a]\n").unwrap();
    let both = flags(&["--workload=systemd", "--san=b"]).over(spec);
    assert_eq!(both.workload, Some(Workload::Systemd));
    assert_eq!(both.cache_ttl.unwrap().as_str(), "2m");
    assert_eq!(both.san.len(), 1);
    assert_eq!(both.san.first().unwrap().to_string(), "b");
}

#[test]
fn a_spec_that_is_wrong_is_refused_with_its_place() {
    for (text, told) in [
        ("workload: none\n", "spec.yaml: expected the key schema with the value iamgate/v1"),
        ("schema: iamgate/v2\n", "spec.yaml: expected the key schema with the value iamgate/v1"),
        ("schema: iamgate/v1\nworkloads: none\n", "unknown field"),
        ("schema: iamgate/v1\nworkload: pod\n", "unknown variant"),
        ("schema: iamgate/v1\ncacheTtl: 30\n", "expected a duration"),
        ("schema: iamgate/v1\nserverUid: -1\n", "line 2"),
        ("schema: iamgate/v1\nmapRoles: [{roleARN: x, username: y}]\n", "x: "),
        ("schema: iamgate/v1\nschema: iamgate/v1\n", "duplicate"),
    ] {
        let fault = spec(text).unwrap_err();
        assert!(fault.starts_with("spec.yaml: ") && fault.contains(told), "{text:?}: {fault}");
    }
}
