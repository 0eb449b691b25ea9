//! Transcripts of commands under `tests/cli`, replayed. `TRYCMD=overwrite` writes what is said now.

use serde_json::Value;

use crate::faces::{OWN, Program, REFERENCE};
use crate::support::binary;

#[test]
fn transcripts_are_what_the_commands_say() {
    let dir = tempfile::tempdir().unwrap();
    let cases = trycmd::TestCases::new();
    for name in [OWN, REFERENCE] {
        let path = dir.path().join(name);
        std::os::unix::fs::symlink(binary(), &path).unwrap();
        cases.register_bin(name, path);
    }
    // An empty variable is as good as none.
    for variable in [
        "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID",
        "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY",
        "DEFAULT_ROLE",
    ] {
        cases.env(variable, "");
    }
    cases.env("NO_COLOR", "1").env("COLUMNS", "100");
    cases.insert_var("[VERSION]", concat!("v", env!("CARGO_PKG_VERSION"))).unwrap();
    // Where no file fits, trycmd only warns.
    let transcripts = std::fs::read_dir("tests/cli").unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "trycmd")
    });
    assert_eq!(transcripts.count(), 7);
    cases.case("tests/cli/*.trycmd");
    cases.run();
}

#[tokio::test]
async fn the_schema_names_the_main_keys() {
    let ran = Program::named(OWN).run(&["config", "schema"]).await;
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
    let schema: Value = serde_json::from_str(&ran.out).unwrap();
    for key in ["/properties/clusterID", "/properties/role", "/properties/server"] {
        assert!(schema.pointer(key).is_some_and(Value::is_object), "{key}");
    }
    for key in ["mapRoles", "mapUsers", "mapAccounts", "port", "healthAddress"] {
        let key = format!("/properties/server/properties/{key}");
        assert!(schema.pointer(&key).is_some_and(Value::is_object), "{key}");
    }
}

#[tokio::test]
async fn completions_know_the_program_by_the_name_it_is_called_by() {
    for (name, function) in [(OWN, "_iamgate"), (REFERENCE, "_aws__iam__authenticator")] {
        let program = Program::named(name);
        let ran = program.run(&["completions", "bash"]).await;
        assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{name}");
        assert!(ran.out.starts_with(&format!("{function}() {{\n")), "{name}: {}", ran.out);
        assert!(ran.out.contains("--kubeconfig-pregenerated"), "{name}: {}", ran.out);
        for shell in ["zsh", "fish", "powershell"] {
            let ran = program.run(&["completion", shell]).await;
            assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{name} {shell}");
            assert!(ran.out.contains("kubeconfig-pregenerated"), "{name} {shell}");
        }
    }
}

#[tokio::test]
async fn every_command_has_a_manual_page() {
    let program = Program::named(OWN);
    let ran = program.run(&["man", "."]).await;
    assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "", ""));
    for page in ["iamgate.1", "iamgate-server.1", "iamgate-token.1", "iamgate-config-check.1"] {
        let text = std::fs::read_to_string(program.dir().join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
}
