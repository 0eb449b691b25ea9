//! The command line of the binary under each of its names: what scripts, manifests and exec
//! plugins that were written for `aws-iam-authenticator` rely on, beside our own name.

mod init;
mod program;
mod server;

use std::io::{Read, Write};
use std::net::TcpListener;

use self::program::{OLD_REFERENCE, PATIENCE};
pub(crate) use self::program::{OWN, Program, REFERENCE};

const REFERENCE_NAMES: [&str; 2] = [REFERENCE, OLD_REFERENCE];
const EVERY_NAME: [&str; 3] = [OWN, REFERENCE, OLD_REFERENCE];

/// Credentials that sign without asking anybody.
const AWS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("AWS_REGION", "us-west-2"),
];

#[tokio::test]
async fn the_references_names_print_help_when_nothing_is_asked() {
    for name in REFERENCE_NAMES {
        let program = Program::named(name);
        for words in
            [&[][..], &["--help"], &["-h"], &["help"], &["help", "token"], &["token", "-h"]]
        {
            let ran = program.run(words).await;
            assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{name} {words:?}");
            assert!(ran.out.contains("Usage: aws-iam-authenticator "), "{name} {words:?}: {ran:?}");
            assert!(!ran.out.contains("iamgate"), "{name} {words:?}: {ran:?}");
        }
    }
}

#[tokio::test]
async fn our_own_name_wants_a_command() {
    let ran = Program::named(OWN).run(&[]).await;
    assert_eq!((ran.code, &*ran.out), (Some(2), ""));
    assert!(ran.err.contains("Usage: iamgate [OPTIONS] <COMMAND>"), "{ran:?}");
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_1_under_the_references_names_and_2_under_ours() {
    let wrong: &[(&[&str], &str)] = &[
        (&["bogus"], "unrecognized subcommand 'bogus'"),
        (&["help", "bogus"], "unrecognized subcommand 'bogus'"),
        (&["--bogus"], "unexpected argument '--bogus'"),
        (&["token", "--bogus"], "unexpected argument '--bogus'"),
        (&["token", "--external-id"], "a value is required for '--external-id <ID>'"),
        (&["token", "--cache=maybe", "-i", "c"], "expected true or false"),
        (&["token"], "cluster ID not specified"),
        (
            &["token", "-i", "c", "-s", "ann", "--forward-session-name"],
            "cannot specify both --forward-session-name and --session-name parameter",
        ),
        (&["verify"], "token not specified"),
        (&["verify", "-i", "c"], "token not specified"),
        (&["verify", "-t", "x"], "cluster ID not specified"),
        (&["server", "--port", "abc"], "invalid value 'abc' for '--port <N>'"),
        (&["server", "--port", "70000"], "70000 is not in 0..=65535"),
        (&["server", "--kubeconfig-pregenerated=maybe"], "expected true or false"),
        (&["--feature-gates", "Foo=true", "version"], "unrecognized feature gate: Foo"),
        (&["--feature-gates", "SSORoleMatch", "version"], "missing bool value for SSORoleMatch"),
        (&["-v", "loud", "version"], LOUD),
        (&["version", "-v", "loud"], LOUD),
    ];
    for name in EVERY_NAME {
        let program = Program::named(name);
        let code = if name == OWN { 2 } else { 1 };
        for (words, told) in wrong {
            let ran = program.run(words).await;
            assert_eq!((ran.code, &*ran.out), (Some(code), ""), "{name} {words:?}: {ran:?}");
            assert!(ran.err.contains(told), "{name} {words:?}: {ran:?}");
        }
    }
}

const LOUD: &str = "Invalid log level \"loud\". Valid values are: panic, fatal, error, warning, \
                    info, debug, trace";

#[tokio::test]
async fn what_fails_without_being_a_wrong_command_line_ends_with_1_under_every_name() {
    let failing: &[(&[&str], &str)] = &[
        (&["verify", "-i", "c", "-t", "x"], "could not verify token: "),
        (&["token", "-c", "none.yaml"], "Can't read configuration file \"none.yaml\": "),
        (&["token", "-c", "C.YAML"], "unsupported config type \"YAML\""),
        (&["explain", "-c", "none.yaml", "arn:aws:iam::123456789012:user/ann"], "none.yaml"),
    ];
    for name in EVERY_NAME {
        let program = Program::named(name);
        program.write("C.YAML", "clusterID: c\n");
        for (words, told) in failing {
            let ran = program.run(words).await;
            assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{name} {words:?}: {ran:?}");
            assert!(ran.err.contains(told), "{name} {words:?}: {ran:?}");
        }
    }
}

#[tokio::test]
async fn a_command_that_is_not_there_is_answered_with_those_that_are() {
    for name in EVERY_NAME {
        let ran = Program::named(name).run(&["add", "user"]).await;
        assert!(ran.err.contains("unrecognized subcommand 'add'"), "{ran:?}");
        assert!(ran.err.contains("the commands are server, token, verify, "), "{ran:?}");
        let ran = Program::named(name).run(&["config", "chek"]).await;
        assert!(ran.err.contains("the commands are check, schema"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_token_in_a_wrong_place_is_not_repeated() {
    const TOKEN: &str = "k8s-aws-v1.c2VjcmV0LXNpZ25hdHVyZQ";
    let equals = format!("--tokn={TOKEN}");
    let places: [&[&str]; 8] = [
        &[TOKEN],
        &["token", TOKEN],
        &["verify", TOKEN],
        &["verify", "-i", "c", "-t", TOKEN],
        &["verify", "-i", "c", "--tokn", TOKEN],
        &["verify", "-i", "c", &equals],
        &["config", TOKEN],
        &["explain", TOKEN],
    ];
    for name in EVERY_NAME {
        let program = Program::named(name);
        for words in places {
            let ran = program.run(words).await;
            assert_ne!(ran.code, Some(0), "{name} {words:?}: {ran:?}");
            for said in [&ran.out, &ran.err] {
                assert!(!said.contains("c2Vj"), "{name} {words:?}: {ran:?}");
            }
        }
    }
}

#[tokio::test]
async fn surplus_arguments_of_the_references_commands_are_ignored() {
    for name in EVERY_NAME {
        let program = Program::named(name);
        let ran = program.run(&["version", "-s", "one", "two", "three"]).await;
        assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{name}: {ran:?}");
        let ran = program.run(&["verify", "one", "-t", "x", "two", "-i", "c"]).await;
        assert!(ran.err.contains("could not verify token"), "{name}: {ran:?}");
        let ran =
            program.run_with(&AWS, &["token", "one", "-i", "c", "--token-only", "true"]).await;
        assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{name}: {ran:?}");
        assert!(ran.out.starts_with("k8s-aws-v1."), "{name}: {ran:?}");
    }
}

#[tokio::test]
async fn a_boolean_stands_alone_or_has_its_value_and_its_last_word_counts() {
    let program = Program::named(REFERENCE);
    let short: &[(&[&str], bool)] = &[
        (&["version"], false),
        (&["version", "-s"], true),
        (&["version", "--short"], true),
        (&["version", "--short=true"], true),
        (&["version", "--short=T"], true),
        (&["version", "--short=0"], false),
        (&["version", "--short", "--short=false"], false),
        (&["version", "--short=false", "-s"], true),
        // A word of its own is no value of it: surplus.
        (&["version", "--short", "false"], true),
    ];
    for (words, is_short) in short {
        let ran = program.run(words).await;
        assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
        assert_eq!(ran.out.starts_with('v'), *is_short, "{words:?}: {ran:?}");
    }
    let only: &[(&[&str], bool)] = &[
        (&["token", "-i", "c"], false),
        (&["token", "-i", "c", "--token-only"], true),
        (&["token", "-i", "c", "--token-only=1", "--cache=false"], true),
        (&["token", "-i", "c", "--token-only", "--token-only=f"], false),
    ];
    for (words, only) in only {
        let ran = program.run_with(&AWS, words).await;
        let start = if *only { "k8s-aws-v1." } else { r#"{"kind":"ExecCredential","# };
        assert!(ran.out.starts_with(start), "{words:?}: {ran:?}");
    }
}

/// Which cluster ID is in force, told by where the fault is in it.
async fn at_byte(program: &Program, environment: &[(&str, &str)], words: &[&str]) -> String {
    let ran = program.run_with(environment, words).await;
    assert_eq!(ran.code, Some(1), "{words:?}: {ran:?}");
    match ran.err.split_once("but byte ") {
        Some((_, rest)) => rest.chars().take(1).collect(),
        None if ran.err.contains("could not verify token") => "fine".to_owned(),
        None => panic!("{words:?}: {ran:?}"),
    }
}

#[tokio::test]
async fn flags_of_every_command_stand_before_or_behind_it_and_the_last_one_counts() {
    let program = Program::named(REFERENCE);
    let table: &[(&[&str], &str)] = &[
        (&["-i", "c", "verify", "-t", "x"], "fine"),
        (&["verify", "-t", "x", "-i", "c"], "fine"),
        (&["verify", "-t", "x", "--cluster-id=c"], "fine"),
        (&["verify", "-t=x", "-i=1 3"], "1"),
        (&["verify", "-tx", "-i12 "], "2"),
        (&["--cluster-id", "1 3", "verify", "-t", "x"], "1"),
        (&["-i", "1 3", "verify", "-t", "x", "-i", "c"], "fine"),
        (&["-i", "c", "verify", "-t", "x", "-i", "1 3"], "1"),
        (&["verify", "-i", "1 3", "-t", "x", "-i", "12 "], "2"),
        (&["-i", "1 3", "-i", "12 ", "verify", "-t", "x"], "2"),
    ];
    for (words, expected) in table {
        assert_eq!(at_byte(&program, &[], words).await, *expected, "{words:?}");
    }
}

#[tokio::test]
async fn feature_gates_add_up_wherever_they_stand() {
    const ROLE: &str = "arn:aws:iam::123456789012:role/AWSReservedSSO_View_0123456789abcdef";
    const MAPPING: &str =
        "{sso: {permissionSetName: View, accountID: '123456789012'}, username: v}";
    // The gates before the command, those behind it, and whether the role is mapped under the
    // reference's name and under ours.
    let table: &[(&[&str], &[&str], bool, bool)] = &[
        (&[], &[], false, true),
        (&["SSORoleMatch=true"], &[], true, true),
        (&[], &["SSORoleMatch=true"], true, true),
        (&[], &["SSORoleMatch=false"], false, false),
        (&["AllAlpha=true"], &[], true, true),
        (&["AllBeta=true,SSORoleMatch=true"], &[], true, true),
        (&["SSORoleMatch=true", "AllBeta=true"], &["AllBeta=false"], true, true),
        (&["SSORoleMatch=true"], &["SSORoleMatch=false"], false, false),
        (&["ConfiguredInitDirectories=true", "IAMIdentityMappingCRD=true"], &[], false, true),
    ];
    for (before, behind, reference, own) in table {
        let flags = |gates: &[&str]| -> Vec<String> {
            gates.iter().map(|gate| format!("--feature-gates={gate}")).collect()
        };
        let (before, behind) = (flags(before), flags(behind));
        let words = before.iter().map(String::as_str);
        let words = words.chain(["explain", "-c", "c.yaml", ROLE]);
        let words: Vec<_> = words.chain(behind.iter().map(String::as_str)).collect();
        for (name, mapped) in [(REFERENCE, reference), (OWN, own)] {
            let program = Program::named(name);
            program.write("c.yaml", &format!("clusterID: c\nserver: {{mapRoles: [{MAPPING}]}}\n"));
            let ran = program.run(&words).await;
            assert_eq!(ran.code, Some(0), "{name} {words:?}: {ran:?}");
            assert_eq!(ran.out.contains("username      v\n"), *mapped, "{name} {words:?}: {ran:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_value_is_none() {
    let program = Program::named(REFERENCE);
    assert_eq!(at_byte(&program, &[], &["verify", "-t", "x", "-i", "1 3", "-c", ""]).await, "1");
    let table: &[(&[&str], &str)] = &[
        (&["-i", "", "token"], "cluster ID not specified"),
        (&["verify", "-i", "c", "--token="], "token not specified"),
        (&["-v", "", "version"], "Invalid log level \"\""),
    ];
    for (words, told) in table {
        let ran = program.run(words).await;
        assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{words:?}: {ran:?}");
        assert!(ran.err.contains(told), "{words:?}: {ran:?}");
    }
}

#[tokio::test]
async fn a_flag_beats_the_environment_which_beats_the_file() {
    const ID: &str = "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID";
    let program = Program::named(REFERENCE);
    program.write("c.yaml", "ClusterId: 'f le'\n");
    program.write("c.json", r#"{"CLUSTERID": "f le"}"#);
    program.write("c.toml", "clusterid = 'f le'\n");
    for file in ["c.yaml", "c.json", "c.toml"] {
        let verify = ["verify", "-t", "x", "-c", file];
        let flagged = ["verify", "-t", "x", "-c", file, "-i", "fla "];
        assert_eq!(at_byte(&program, &[], &verify).await, "1", "{file}");
        assert_eq!(at_byte(&program, &[(ID, "")], &verify).await, "1", "{file}");
        assert_eq!(at_byte(&program, &[(ID, "en ")], &verify).await, "2", "{file}");
        assert_eq!(at_byte(&program, &[(ID, "en ")], &flagged).await, "3", "{file}");
    }
}

#[tokio::test]
async fn the_log_level_comes_from_the_flag_then_the_environment_then_is_info() {
    const LEVEL: &str = "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY";
    let program = Program::named(REFERENCE);
    let table: &[(Option<&str>, &[&str], bool)] = &[
        (None, &[], true),
        (Some(""), &[], true),
        (Some("ERROR"), &[], false),
        (Some("error"), &["-v", "warn"], true),
        (Some("loud"), &["-v=Warning"], true),
        (Some("debug"), &["-v", "fatal"], false),
        (None, &["-v", "trace", "--log-verbosity=panic"], false),
    ];
    for (environment, flags, warned) in table {
        let environment: Vec<_> = environment.iter().map(|level| (LEVEL, *level)).collect();
        let words = [&["version", "-l", "xml"], *flags].concat();
        let ran = program.run_with(&environment, &words).await;
        assert_eq!(ran.code, Some(0), "{environment:?} {words:?}: {ran:?}");
        assert!(ran.out.starts_with(r#"{"Version":"#), "{environment:?} {words:?}: {ran:?}");
        let warning = "level=warning msg=\"Unknown log format specified (xml), will use default \
                       text formatter instead.\"\n";
        assert_eq!(ran.err.ends_with(warning), *warned, "{environment:?} {words:?}: {ran:?}");
        assert_eq!(ran.err.is_empty(), !warned, "{environment:?} {words:?}: {ran:?}");
    }
    let ran = program.run_with(&[(LEVEL, "loud")], &["version"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains(LOUD), "{ran:?}");
}

/// The role of the AssumeRole call that this command makes.
async fn assumed(program: &Program, environment: &[(&str, &str)], words: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut request, mut chunk) = (String::new(), [0; 4096]);
        while !request.contains("&RoleSessionName=") || !request.contains("RoleArn=") {
            let length = stream.read(&mut chunk).unwrap();
            assert_ne!(length, 0, "the request ended early: {request}");
            request.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
        }
        let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(refusal.as_bytes()).unwrap();
        let (_, role) = request.split_once("RoleArn=").unwrap();
        role.split('&').next().unwrap().rsplit("%2F").next().unwrap().to_owned()
    });
    let environment = [&AWS[..], &[("AWS_ENDPOINT_URL_STS", &*endpoint)], environment].concat();
    let ran = program.run_with(&environment, words).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{words:?}: {ran:?}");
    assert!(ran.err.contains("could not get token: role "), "{words:?}: {ran:?}");
    served.await.unwrap()
}

#[tokio::test]
async fn the_role_of_token_comes_from_the_flag_then_default_role_then_the_file() {
    let program = Program::named(REFERENCE);
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    program.write("c.yaml", &format!("clusterID: c\nRole: {}\n", role("OfFile")));
    program.write("d.yaml", &format!("clusterID: c\ndefaultRole: {}\n", role("OfDefault")));
    let (variable, flag) = (role("OfVariable"), role("OfFlag"));
    let set = [("DEFAULT_ROLE", &*variable)];
    let token = ["token", "-c", "c.yaml"];
    assert_eq!(assumed(&program, &[], &token).await, "OfFile");
    assert_eq!(assumed(&program, &[], &["token", "-c", "d.yaml"]).await, "OfDefault");
    assert_eq!(assumed(&program, &set, &token).await, "OfVariable");
    let flagged = ["token", "-c", "c.yaml", "-r", &variable, "-r", &flag];
    assert_eq!(assumed(&program, &set, &flagged).await, "OfFlag");
}

#[tokio::test]
async fn the_exec_plugin_of_an_existing_kubeconfig_gets_its_credential() {
    let program = Program::named(REFERENCE);
    let info = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#;
    let environment = [&AWS[..], &[("KUBERNETES_EXEC_INFO", info)]].concat();
    let ran = program.run_with(&environment, &["token", "-i", "my-cluster"]).await;
    assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{ran:?}");
    let credential: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(credential["apiVersion"], "client.authentication.k8s.io/v1");
    assert!(credential["status"]["token"].as_str().unwrap().starts_with("k8s-aws-v1."), "{ran:?}");
    assert_eq!(ran.out.matches('\n').count(), 1, "{ran:?}");
}

#[tokio::test]
async fn the_version_has_the_references_forms() {
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let program = Program::named(REFERENCE);
    let json = format!("{{\"Version\":\"{version}\"}}\n");
    let yaml = format!("version: {version}\ncommit: \"\"\ndate: \"\"\n");
    let table: &[(&[&str], &str)] = &[
        (&["version"], &json),
        (&["version", "-o", "json"], &json),
        (&["version", "--output=yaml"], &yaml),
        (&["version", "-s", "-o", "yaml"], &format!("{version}\n")),
    ];
    for (words, told) in table {
        let ran = program.run(words).await;
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), *told, ""), "{words:?}");
    }
    let ran = program.run(&["version", "-o", "xml"]).await;
    assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "", "unknown version option\n"));
}
