//! The client commands' keys, and the secret among them.

use super::*;
use crate::secret::Secret;

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
        partition: Partition::AwsCn,
        sts: StsSettings { timeout: Duration::from_millis(500), ..Default::default() },
    };
    assert_eq!(value, expected);
    let nothing = client(None, &ClientOverrides::default()).unwrap().value;
    assert_eq!((nothing.cluster_id, nothing.partition), (None, Partition::Aws));
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
