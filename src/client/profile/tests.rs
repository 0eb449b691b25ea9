use std::collections::BTreeMap;

use aws_types::os_shim_internal::Fs;

use super::*;

async fn config(text: &str, selected: &str) -> SharedConfig {
    let files = [("/config", text)];
    let env = [("AWS_CONFIG_FILE", "/config"), ("AWS_PROFILE", selected), ("HOME", "/nobody")];
    let fs = Fs::from_slice(&files);
    let env = Env::from_slice(&env);
    let sections = profile::load(&fs, &env, &Default::default(), None).await.unwrap();
    SharedConfig { sections }
}

fn shape(roles: &Roles) -> (String, Vec<&str>) {
    let base = match &roles.base {
        Base::Profile(name) => format!("profile {name}"),
        Base::Keys(keys) => format!("keys {}", keys.access_key_id()),
        Base::Source(source) => format!("{source:?}"),
    };
    (base, roles.steps.iter().map(|step| &*step.role_arn).collect())
}

const MFA: &str = "mfa_serial = arn:aws:iam::123456789012:mfa/me";
const KEYS: &str = "aws_access_key_id = AKIA1\naws_secret_access_key = s1";

#[tokio::test]
async fn chains_that_the_sdk_handles_whole_are_left_to_it() {
    for text in [
        "".to_owned(),
        format!("[profile a]\n{KEYS}\n{MFA}"),
        format!("[profile a]\nrole_arn = A\nsource_profile = b\n[profile b]\n{KEYS}\n{MFA}"),
        format!("[profile a]\nrole_arn = A\nweb_identity_token_file = /t\n{MFA}"),
        format!("[profile a]\nrole_arn = A\nsource_profile = gone\n{MFA}"),
        format!("[profile a]\nrole_arn = A\n{MFA}"),
        format!(
            "[profile a]\nrole_arn = A\nsource_profile = b\ncredential_source = Environment\n{MFA}"
        ),
        format!(
            "[profile a]\nrole_arn = A\nsource_profile = b\n{MFA}\n[profile b]\nrole_arn = B\nsource_profile = a"
        ),
    ] {
        let roles = config(&text, "a").await.roles().unwrap();
        assert!(roles.is_none(), "{text}: {roles:?}");
    }
}

#[tokio::test]
async fn a_chain_with_mfa_or_a_duration_is_walked_from_its_base() {
    for (text, base, steps) in [
        (
            format!("[profile a]\nrole_arn = A\nsource_profile = b\n{MFA}\n[profile b]\n{KEYS}"),
            "keys AKIA1",
            vec!["A"],
        ),
        (
            format!("[profile a]\nrole_arn = A\nsource_profile = b\n{MFA}\n[profile b]\ncredential_process = /p"),
            "profile b",
            vec!["A"],
        ),
        (
            format!("[profile a]\nrole_arn = A\nsource_profile = b\n[profile b]\nrole_arn = B\nsource_profile = c\n{MFA}\n[profile c]\nsso_session = s"),
            "profile c",
            vec!["B", "A"],
        ),
        (
            "[profile a]\nrole_arn = A\ncredential_source = Ec2InstanceMetadata\nduration_seconds = 900".to_owned(),
            "Instance",
            vec!["A"],
        ),
        (
            "[profile a]\nrole_arn = A\ncredential_source = ecscontainer\nduration_seconds = 43200".to_owned(),
            "Container",
            vec!["A"],
        ),
        (
            format!("[profile a]\nrole_arn = A\ncredential_source = Environment\n{MFA}"),
            "Environment",
            vec!["A"],
        ),
        (
            format!("[profile a]\nrole_arn = A\nsource_profile = a\n{MFA}\n{KEYS}"),
            "keys AKIA1",
            vec!["A"],
        ),
        // Below the top, keys go before the role.
        (
            format!("[profile a]\nrole_arn = A\nsource_profile = b\n{MFA}\n[profile b]\nrole_arn = B\nsource_profile = a\n{MFA}\n{KEYS}"),
            "keys AKIA1",
            vec!["A"],
        ),
    ] {
        let roles = config(&text, "a").await.roles().unwrap().unwrap();
        assert_eq!(shape(&roles), (base.to_owned(), steps), "{text}");
    }
}

#[tokio::test]
async fn a_step_carries_what_its_profile_says() {
    let text = format!(
        "[profile a]\nrole_arn = A\nsource_profile = b\n{MFA}\nexternal_id = x\n\
         role_session_name = me\nduration_seconds = 3600\n[profile b]\n{KEYS}"
    );
    let roles = config(&text, "a").await.roles().unwrap().unwrap();
    assert_eq!(
        roles.steps,
        [RoleStep {
            profile: "a".into(),
            role_arn: "A".into(),
            external_id: Some("x".into()),
            session_name: Some("me".into()),
            duration: Some(3600),
            mfa_serial: Some("arn:aws:iam::123456789012:mfa/me".into()),
        }]
    );
}

#[tokio::test]
async fn what_cannot_work_is_refused_by_name() {
    let duration =
        |found: &str| ProfileFault::Duration { profile: "a".into(), found: found.into() };
    let with = |line: &str| {
        format!("[profile a]\nrole_arn = A\nsource_profile = b\n{line}\n[profile b]\n{KEYS}")
    };
    for (text, fault) in [
        (with("duration_seconds = 899"), duration("899")),
        (with("duration_seconds = 43201"), duration("43201")),
        (with("duration_seconds = 1h"), duration("1h")),
        (
            format!(
                "[profile a]\nrole_arn = A\nsource_profile = b\n{MFA}\n[profile b]\nrole_arn = B\nsource_profile = c\n[profile c]\n{KEYS}"
            ),
            ProfileFault::LateMfa { profile: "a".into(), first: "b".into() },
        ),
        (
            format!("[profile a]\nrole_arn = A\nsource_profile = a\n{MFA}"),
            ProfileFault::OwnSource("a".into()),
        ),
        (
            format!("[profile a]\nrole_arn = A\ncredential_source = Magic\n{MFA}"),
            ProfileFault::Source { profile: "a".into(), found: "Magic".into() },
        ),
    ] {
        assert_eq!(config(&text, "a").await.roles().unwrap_err(), fault, "{text}");
    }
}

#[tokio::test]
async fn the_source_changes_with_where_credentials_come_from_and_holds_no_secret() {
    let env = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let none = env(&[]);
    let of = |text: String| async move { config(&text, "a").await.source(&BTreeMap::new()) };
    let sources = [
        of(format!("[profile a]\n{KEYS}")).await,
        of("[profile a]\naws_access_key_id = AKIA2\naws_secret_access_key = s1".to_owned()).await,
        of("[profile a]\nrole_arn = A\nsource_profile = b\n[profile b]\nsso_session = s"
            .to_owned())
        .await,
        of("[profile a]\nrole_arn = A\nsource_profile = b\n[profile b]\nsso_session = t"
            .to_owned())
        .await,
        config("", "a").await.source(&none),
        config("", "a")
            .await
            .source(&env(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "R")])),
        config("", "a")
            .await
            .source(&env(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "S")])),
        config("", "a")
            .await
            .source(&env(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/")])),
        config("", "a")
            .await
            .source(&env(&[("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "hush")])),
        config("", "a")
            .await
            .source(&env(&[("AWS_ACCESS_KEY_ID", "AKIA2"), ("AWS_SECRET_ACCESS_KEY", "hush")])),
    ];
    for (at, source) in sources.iter().enumerate() {
        assert!(!source.contains("hush") && !source.contains("s1"), "{source}");
        assert!(!sources[at + 1..].contains(source), "{source} twice");
    }
    let same =
        of("[profile a]\naws_access_key_id = AKIA1\naws_secret_access_key = s2".to_owned()).await;
    assert_eq!(same, sources[0]);
}

#[tokio::test]
async fn a_process_is_found_wherever_the_chain_leads() {
    let text =
        "[profile a]\nrole_arn = A\nsource_profile = b\n[profile b]\ncredential_process = /p";
    assert!(config(text, "a").await.runs_a_process());
    assert!(!config("[profile b]\ncredential_process = /p", "a").await.runs_a_process());
}
