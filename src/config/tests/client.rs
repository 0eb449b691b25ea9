//! The client commands' keys, and the secret among them.

use super::*;
use crate::secret::Secret;
use crate::token::{Age, HostPolicy};

#[test]
fn client_commands_read_their_keys_and_mind_no_others() {
    let text = "\
CLUSTERid: c
defaultRole: arn:aws:iam::111122223333:role/r
region: eu-west-1
externalID: ''
sessionName: s
tokenOnly: t
forwardSessionName: f
cache: '1'
token: k8s-aws-v1.secret
output: json
partition: aws-cn
colour: red
server: {port: abc, sts: {timeout: 500ms}}
";
    let over = ClientOverrides { region: Some("eu-west-2".into()), ..Default::default() };
    let document = read("c.yaml", text).unwrap();
    let Checked { value, warnings } = client(Some(&document), &over).unwrap();
    assert_eq!(warnings, []);
    let expected = ClientSettings {
        cluster_id: Some("c".parse().unwrap()),
        region: Some("eu-west-2".into()),
        role: Some("arn:aws:iam::111122223333:role/r".into()),
        external_id: None,
        session_name: Some("s".into()),
        token_only: true,
        forward_session_name: false,
        cache: true,
        token: Some(Secret::new("k8s-aws-v1.secret")),
        output: Some("json".into()),
        sts: StsSettings { timeout: Duration::from_millis(500), ..Default::default() },
    };
    assert_eq!(value, expected);
    let nothing = client(None, &ClientOverrides::default()).unwrap().value;
    assert_eq!(nothing.cluster_id, None);
    let wrong = read("c.json", r#"{"cache": "yes", "partition": "moon"}"#).unwrap();
    let told = client(Some(&wrong), &ClientOverrides::default()).unwrap_err().to_string();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(
        lines,
        [
            "c.json:1:11: cache: expected true or false, found \"yes\" (write true or false)",
            "c.json:1:31: partition: \"moon\" is not an AWS partition; known are aws, aws-cn, aws-us-gov, aws-iso, aws-iso-b, aws-iso-e, aws-iso-f, aws-eusc",
        ]
    );
}

#[test]
fn verify_accepts_what_the_server_of_the_same_file_accepts() {
    let text = "\
clusterID: own
acceptedClusterIDs: [old]
server:
  partition: aws-us-gov
  acceptedClusterIDs: [older]
  allowedRegions: [us-gov-west-1]
  extraSTSHosts: [vpce-1.sts.us-gov-west-1.vpce.amazonaws.com]
  maxTokenAge: 60
  mapAccounts: ['111122223333']
";
    let document = read("c.yaml", text).unwrap();
    let accept = |over: &ClientOverrides| acceptance(Some(&document), over).unwrap().value;
    let server = checked("c.yaml", text).unwrap().value.policy.accept;
    assert_eq!(server.cluster_ids.len(), 3);
    assert_eq!(accept(&ClientOverrides::default()), server);

    let asked = ClientOverrides { cluster_id: Some("old".into()), ..Default::default() };
    assert_eq!(accept(&asked).cluster_ids, ["old".parse().unwrap()]);
    let elsewhere = ClientOverrides { partition: Some("aws-cn".into()), ..Default::default() };
    assert_eq!(accept(&elsewhere).hosts.partition(), Partition::AwsCn);
    let both = read("c.yaml", &format!("partition: aws-iso\n{text}")).unwrap();
    let both = acceptance(Some(&both), &ClientOverrides::default()).unwrap().value;
    assert_eq!(both.hosts.partition(), Partition::AwsIso);

    let nothing = acceptance(None, &asked).unwrap().value;
    assert_eq!(nothing.hosts, HostPolicy::new(Partition::Aws));
    assert_eq!(nothing.max_age, Age::default());
    let wrong = read("c.yaml", "clusterID: c\nserver: {extraSTSHosts: [a:443], maxTokenAge: 1}\n");
    let told = acceptance(Some(&wrong.unwrap()), &ClientOverrides::default()).unwrap_err();
    let paths: Vec<_> = told.iter().map(|fault| fault.path().to_owned()).collect();
    assert_eq!(paths, ["server.extraSTSHosts[0]", "server.maxTokenAge"]);
}

#[test]
fn a_token_in_a_file_is_never_printed() {
    const TOKEN: &str = "k8s-aws-v1.hunter2";
    let over = ClientOverrides::default();
    for (name, text) in [
        ("c.yaml", format!("token: [{TOKEN}]\n")),
        ("c.yaml", format!("token: {TOKEN}\n bad\n: [")),
        ("c.yaml", format!("token: \"{TOKEN}\n")),
        ("c.yaml", format!("token: *{TOKEN}\n")),
        ("c.json", format!("{{\"token\": {TOKEN}}}")),
        ("c.json", format!("{{\"token\": \"{TOKEN}")),
        ("c.toml", format!("token = {TOKEN}\n")),
        ("c.toml", format!("token = \"{TOKEN}\n")),
    ] {
        let told = match read(name, &text) {
            Ok(document) => {
                let told = client(Some(&document), &over).expect_err(&text);
                format!("{document:?} {told}")
            }
            Err(told) => told,
        };
        assert!(!told.contains("hunter2"), "{text:?}: {told}");
    }
    let document = read("c.yaml", &format!("token: {TOKEN}\n")).unwrap();
    let settings = client(Some(&document), &over).unwrap();
    assert!(!format!("{document:?} {settings:?}").contains("hunter2"));
}
