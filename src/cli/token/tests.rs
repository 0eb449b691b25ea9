use std::fs;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

use super::*;

mod run;
mod stand_in;

use self::run::Run;
use self::stand_in::StandIn;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    token: TokenArgs,
}

fn typed(words: &[&str]) -> Result<TokenArgs, clap::Error> {
    Line::try_parse_from(["token"].iter().chain(words)).map(|line| line.token)
}

#[test]
fn flags_are_spelt_as_the_reference_spells_them() {
    let words = "surplus --region r1 -r a1 --role a2 -e x -s s --token-only --cache=false \
                 more --region=r2 --forward-session-name=T --cache --external-id=y --token-only=0";
    let words: Vec<&str> = words.split_whitespace().collect();
    let args = typed(&words).unwrap();
    assert_eq!(args.region.as_deref(), Some("r2"));
    assert_eq!(args.role.as_deref(), Some("a2"));
    assert_eq!(args.external_id.as_deref(), Some("y"));
    assert_eq!(args.session_name.as_deref(), Some("s"));
    assert_eq!(args.token_only, Some(false));
    assert_eq!(args.forward_session_name, Some(true));
    assert_eq!(args.cache, Some(true));
    let none = typed(&[]).unwrap();
    assert_eq!((none.region, none.role, none.cache), (None, None, None));
}

#[test]
fn a_boolean_takes_its_value_after_an_equals_sign_only() {
    assert_eq!(typed(&["--cache", "false"]).unwrap().cache, Some(true));
    for value in ["--cache=", "--cache=yes", "--cache=tRUE"] {
        let fault = typed(&[value]).err().unwrap();
        assert_eq!(fault.exit_code(), 2, "{value}: {fault}");
    }
    assert_eq!(
        typed(&["--nonsense"]).err().unwrap().kind(),
        clap::error::ErrorKind::UnknownArgument
    );
}

const ROLE: &str = "arn:aws:iam::123456789012:role/dev";
const DEVICE: &str = "arn:aws:iam::123456789012:mfa/me";

#[test]
fn keys_in_the_environment_cost_no_connection_and_no_tls() {
    let metadata = StandIn::instance("eu-north-1");
    let run = Run::new().keys().in_region();
    let run = run.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url());
    let ended = run.go(&[]);
    ended.is("sts.eu-west-1.amazonaws.com", "AKIAENVIRONMENT", "eu-west-1");
    assert_eq!(ended.told["tls"], 0);
    assert_eq!(metadata.asked(), Vec::<String>::new());
    let credential: Value = serde_json::from_str(ended.text("out")).unwrap();
    assert_eq!(credential["apiVersion"], "client.authentication.k8s.io/v1beta1");

    let bare = run.go(&["--token-only", "--region", "us-gov-west-1", "--external-id", "x"]);
    assert!(bare.text("out").starts_with("k8s-aws-v1."));
    bare.is("sts.us-gov-west-1.amazonaws.com", "AKIAENVIRONMENT", "us-gov-west-1");
}

#[test]
fn keys_in_a_profile_cost_no_connection_and_no_tls() {
    let keys = "aws_access_key_id = AKIAPROFILE\naws_secret_access_key = hushkey\n";
    let metadata = StandIn::instance("eu-north-1");
    let run = Run::new()
        .profile(&format!("[profile ops]\n{keys}region = ap-south-1\nuse_fips_endpoint = true\n"))
        .set("AWS_PROFILE", "ops")
        .set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url());
    let ended = run.go(&["--region", "us-east-2"]);
    ended.is("sts-fips.us-east-2.amazonaws.com", "AKIAPROFILE", "us-east-2");
    assert_eq!(ended.told["tls"], 0);
    let run = run.set("AWS_USE_FIPS_ENDPOINT", "false").set("AWS_USE_DUALSTACK_ENDPOINT", "true");
    run.go(&[]).is("sts.ap-south-1.api.aws", "AKIAPROFILE", "ap-south-1");
    assert_eq!(metadata.asked(), Vec::<String>::new());
}

#[test]
fn a_session_token_is_part_of_the_token() {
    let run = Run::new().keys().in_region().set("AWS_SESSION_TOKEN", "hushsession/+=");
    let url = run.go(&[]).url();
    let session = url.query_pairs().find(|(name, _)| name == "X-Amz-Security-Token").unwrap().1;
    assert_eq!(session, "hushsession/+=");
}

#[test]
fn a_metadata_service_that_never_answers_takes_a_second() {
    let hole = StandIn::silent();
    let run = Run::new().set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &hole.url());
    let ended = run.go(&[]);
    ended.failed("nothing gave AWS credentials");
    assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);

    let ended = run.keys().go(&[]);
    ended.is("sts.us-east-1.amazonaws.com", "AKIAENVIRONMENT", "us-east-1");
    assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);
    let log = "failed to get region from IMDS for token generation, defaulting to us-east-1. \
               imds error: no answer within 1000 ms";
    assert!(ended.log.contains(log), "{}", ended.log);
}

#[test]
fn an_instance_gives_region_and_credentials() {
    let metadata = StandIn::instance("eu-north-1");
    let run = Run::new().set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url());
    let ended = run.go(&[]);
    ended.is("sts.eu-north-1.amazonaws.com", "ASIAINSTANCE", "eu-north-1");
    assert_eq!(ended.told["tls"], 0);
    let tokens = metadata.asked().iter().filter(|line| line.starts_with("PUT ")).count();
    assert_eq!(tokens, 1, "one session serves both questions");

    let count = metadata.asked().len();
    let disabled = run.set("AWS_EC2_METADATA_DISABLED", "true").go(&[]);
    disabled.failed("nothing gave AWS credentials");
    assert!(disabled.log.contains("imds error: disabled by AWS_EC2_METADATA_DISABLED"));
    assert_eq!(metadata.asked().len(), count);
}

#[test]
fn a_container_gives_credentials_past_any_proxy() {
    let container = StandIn::container();
    let nowhere = "http://127.0.0.1:1";
    let uri = format!("{}/role", container.url());
    let run = Run::new().in_region().set("HTTP_PROXY", nowhere).set("http_proxy", nowhere);
    let ended = run.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri).go(&[]);
    ended.is("sts.eu-west-1.amazonaws.com", "ASIACONTAINER", "eu-west-1");
    assert_eq!(container.asked(), ["GET /role"]);
}

#[test]
fn a_process_gives_credentials_and_the_cache_keeps_them() {
    let run = Run::new().in_region();
    let counter = run.home.path().join("counter");
    let script = run.file(
        "give",
        &format!(
            "echo x >> {}\necho '{}'\n",
            counter.display(),
            json!({"Version": 1, "AccessKeyId": "ASIAPROCESS", "SecretAccessKey": "hushkey",
                   "SessionToken": "hushsession", "Expiration": "2099-01-01T00:00:00Z"})
        ),
    );
    let run = run.profile(&format!("[default]\ncredential_process = sh {}\n", script.display()));
    for _ in 0..2 {
        run.go(&["--cache"]).is("sts.eu-west-1.amazonaws.com", "ASIAPROCESS", "eu-west-1");
    }
    assert_eq!(fs::read_to_string(&counter).unwrap(), "x\n");
    run.go(&[]).is("sts.eu-west-1.amazonaws.com", "ASIAPROCESS", "eu-west-1");
    assert_eq!(fs::read_to_string(&counter).unwrap(), "x\nx\n");
    let cache = ".kube/cache/aws-iam-authenticator/credentials.yaml";
    let cached = fs::read_to_string(run.home.path().join(cache)).unwrap();
    assert!(cached.contains("ASIAPROCESS"), "{cached}");
}

#[test]
fn keys_in_the_environment_are_neither_cached_nor_replaced_by_the_cache() {
    let run = Run::new().keys().in_region();
    let text = "clusters: {dev: {default: {'': {accesskeyid: ASIACACHED, secretaccesskey: s, \
                canexpire: true, expires: 2099-01-01T00:00:00Z}}}}";
    let cache = run.file("cache.yaml", text);
    fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut run = run.set("AWS_IAM_AUTHENTICATOR_CACHE_FILE", &cache.display().to_string());
    let ended = run.go(&["--cache"]);
    ended.is("sts.eu-west-1.amazonaws.com", "AKIAENVIRONMENT", "eu-west-1");
    assert!(ended.log.contains("credential doesn't support expiration"), "{}", ended.log);
    run.env.retain(|name, _| !name.starts_with("AWS_ACCESS"));
    let ended = run.go(&["--cache"]);
    ended.is("sts.eu-west-1.amazonaws.com", "ASIACACHED", "eu-west-1");
}

#[test]
fn a_cache_that_cannot_be_used_is_a_warning() {
    let container = StandIn::container();
    let run = Run::new().in_region();
    let cache = run.file("cache.yaml", "clusters: {}");
    let run = run
        .set("AWS_IAM_AUTHENTICATOR_CACHE_FILE", &cache.display().to_string())
        .set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container.url());
    let ended = run.go(&["--cache"]);
    ended.is("sts.eu-west-1.amazonaws.com", "ASIACONTAINER", "eu-west-1");
    let told = format!("unable to use cache: cache file {} is not private", cache.display());
    assert!(ended.log.contains(&told), "{}", ended.log);
}

#[test]
fn a_role_is_assumed_with_what_the_flags_say() {
    let sts = StandIn::sts();
    let run = Run::new().keys().in_region().sts(&sts);
    let ended = run.go(&["-r", ROLE, "-e", "id-1", "-s", "me"]);
    ended.is("sts.eu-west-1.amazonaws.com", "ASIAASSUMED1", "eu-west-1");
    let asked = sts.forms();
    assert_eq!(asked.len(), 1);
    for (name, value) in [
        ("Action", "AssumeRole"),
        ("RoleArn", ROLE),
        ("ExternalId", "id-1"),
        ("RoleSessionName", "me"),
        ("DurationSeconds", "900"),
    ] {
        assert_eq!(asked[0].get(name).map(String::as_str), Some(value), "{name}");
    }
    let ended = run.go(&["-r", ROLE]);
    ended.is("sts.eu-west-1.amazonaws.com", "ASIAASSUMED2", "eu-west-1");
    let asked = sts.forms();
    assert!(asked[1]["RoleSessionName"].starts_with("iamgate-"), "{asked:?}");
    assert_eq!(asked[1].get("ExternalId"), None);
}

#[test]
fn the_session_name_is_forwarded_when_the_caller_has_one() {
    let sts = StandIn::sts().user_id("AROAEXAMPLE:me@example.test");
    let run = Run::new().keys().in_region().sts(&sts);
    run.go(&["-r", ROLE, "--forward-session-name"]).url();
    let asked = sts.forms();
    assert_eq!(asked[0]["Action"], "GetCallerIdentity");
    assert_eq!(asked[1]["RoleSessionName"], "me@example.test");

    let sts = StandIn::sts().user_id("AIDAEXAMPLE");
    let run = Run::new().keys().in_region().sts(&sts);
    run.go(&["-r", ROLE, "--forward-session-name"]).url();
    assert!(sts.forms()[1]["RoleSessionName"].starts_with("iamgate-"));

    run.go(&["--forward-session-name"]).url();
    assert_eq!(sts.forms().len(), 2, "without a role there is nothing to forward");
}

#[test]
fn assumed_credentials_are_cached_by_what_they_were_assumed_with() {
    let sts = StandIn::sts();
    let run = Run::new().keys().in_region().sts(&sts);
    let args = ["--cache", "-r", ROLE];
    let host = "sts.eu-west-1.amazonaws.com";
    run.go(&args).is(host, "ASIAASSUMED1", "eu-west-1");
    let again = run.go(&args);
    again.is(host, "ASIAASSUMED1", "eu-west-1");
    assert_eq!(again.told["tls"], 0);
    run.go(&["--cache", "-r", ROLE, "-e", "x"]).is(host, "ASIAASSUMED2", "eu-west-1");
    run.go(&["--cache", "-r", ROLE, "-s", "me"]).is(host, "ASIAASSUMED3", "eu-west-1");
    let run = run.set("AWS_ACCESS_KEY_ID", "AKIASOMEBODYELSE");
    run.go(&args).is(host, "ASIAASSUMED4", "eu-west-1");
    assert_eq!(sts.forms().len(), 4);
    let run = run.set("T_CLUSTER", "prod");
    run.go(&args).is(host, "ASIAASSUMED5", "eu-west-1");
    let directory = run.home.path().join(".kube/cache/aws-iam-authenticator");
    assert!(!directory.join("credentials.yaml").exists());
}

#[test]
fn a_refused_role_is_told_by_code_and_message() {
    let sts = StandIn::sts().denying(usize::MAX);
    let ended = Run::new().keys().in_region().sts(&sts).go(&["-r", ROLE]);
    ended.failed("could not get token: role \"arn:aws:iam::123456789012:role/dev\" cannot be");
    ended.failed("assumed: AccessDenied: User is not authorized");
    assert_eq!(ended.told["exit"], "Failed");
    assert_eq!(ended.told["asked"], 0);
    assert_eq!(sts.forms().len(), 1, "a denial is not tried again");
}

fn mfa_profile() -> String {
    format!(
        "[profile admin]\nrole_arn = {ROLE}\nsource_profile = me\nmfa_serial = {DEVICE}\n\
         duration_seconds = 1800\nexternal_id = x\nrole_session_name = jane\n\
         [profile me]\naws_access_key_id = AKIAME\naws_secret_access_key = hushkey\n"
    )
}

#[test]
fn a_profile_with_mfa_asks_for_the_code_and_sends_it() {
    let sts = StandIn::sts();
    let run = Run::new().profile(&mfa_profile()).set("AWS_PROFILE", "admin").in_region().sts(&sts);
    let alone = run.go(&[]);
    alone.failed("an MFA code is needed for \"arn:aws:iam::123456789012:mfa/me\"");
    alone.failed("because: there is no terminal to ask at");
    assert_eq!(sts.forms().len(), 0);

    let run = run.set("T_CODE", "123456");
    let ended = run.go(&["--cache"]);
    ended.is("sts.eu-west-1.amazonaws.com", "ASIAASSUMED1", "eu-west-1");
    assert_eq!(ended.told["asked"], 1);
    let asked = sts.forms();
    for (name, value) in [
        ("SerialNumber", DEVICE),
        ("TokenCode", "123456"),
        ("DurationSeconds", "1800"),
        ("ExternalId", "x"),
        ("RoleSessionName", "jane"),
    ] {
        assert_eq!(asked[0].get(name).map(String::as_str), Some(value), "{name}");
    }
    let ended = run.go(&["--cache"]);
    ended.is("sts.eu-west-1.amazonaws.com", "ASIAASSUMED1", "eu-west-1");
    assert_eq!(ended.told["asked"], 0, "that is what the cache is for");
    run.set("T_CODE", "12345").go(&[]).failed("because: an MFA token code is six digits");
}

#[test]
fn keys_in_the_environment_make_a_profile_with_mfa_silent() {
    let run = Run::new().keys().profile(&mfa_profile()).set("AWS_PROFILE", "admin").in_region();
    let ended = run.go(&[]);
    ended.is("sts.eu-west-1.amazonaws.com", "AKIAENVIRONMENT", "eu-west-1");
    assert_eq!(ended.told["asked"], 0);
}

#[test]
fn a_role_that_denies_without_mfa_is_asked_again_with_it() {
    let profile = format!(
        "[profile me]\naws_access_key_id = AKIAME\naws_secret_access_key = hushkey\n\
         mfa_serial = {DEVICE}\n"
    );
    let sts = StandIn::sts().denying(1);
    let run = Run::new().profile(&profile).set("AWS_PROFILE", "me").in_region().sts(&sts);
    let ended = run.set("T_CODE", "123456").go(&["-r", ROLE]);
    ended.is("sts.eu-west-1.amazonaws.com", "ASIAASSUMED2", "eu-west-1");
    assert_eq!(ended.told["asked"], 1);
    let asked = sts.forms();
    assert_eq!(asked[0].get("TokenCode"), None);
    assert_eq!(asked[1]["TokenCode"], "123456");
    assert_eq!(asked[1]["SerialNumber"], DEVICE);
}

#[test]
fn a_code_is_not_asked_for_when_the_role_is_refused_for_another_reason() {
    let profile = format!(
        "[profile me]\naws_access_key_id = AKIAME\naws_secret_access_key = hushkey\n\
         mfa_serial = {DEVICE}\n"
    );
    let sts = StandIn::sts().denying(usize::MAX).saying("ValidationError");
    let run = Run::new().profile(&profile).set("AWS_PROFILE", "me").in_region().sts(&sts);
    let ended = run.set("T_CODE", "123456").go(&["-r", "not-an-arn"]);
    let failure = ended.text("failure");
    assert!(failure.contains("ValidationError: User is not"), "{failure}");
    assert_eq!(ended.told["asked"], 0);
}

#[test]
fn shared_files_that_cannot_be_read_matter_only_where_they_are_needed() {
    let run = Run::new().profile("[default\naws_access_key_id = hush\n").in_region();
    run.go(&[]).failed("AWS credentials cannot be loaded: ");
    let ended = run.keys().go(&[]);
    ended.is("sts.eu-west-1.amazonaws.com", "AKIAENVIRONMENT", "eu-west-1");
}

#[test]
fn a_web_identity_is_exchanged() {
    let sts = StandIn::sts();
    let run = Run::new().in_region().sts(&sts).set("AWS_ROLE_ARN", ROLE);
    let file = run.file("identity", "hush.web.identity");
    let ended = run.set("AWS_WEB_IDENTITY_TOKEN_FILE", &file.display().to_string()).go(&[]);
    ended.is("sts.eu-west-1.amazonaws.com", "ASIAASSUMED1", "eu-west-1");
    assert_eq!(sts.forms()[0]["Action"], "AssumeRoleWithWebIdentity");
}

#[test]
fn a_single_sign_on_session_gives_credentials() {
    let portal = StandIn::portal();
    let run = Run::new()
        .profile(
            "[default]\nsso_session = dev\nsso_account_id = 123456789012\nsso_role_name = Ops\n\
             region = eu-west-1\n[sso-session dev]\nsso_region = eu-west-1\n\
             sso_start_url = https://example.test/start\n",
        )
        .set("AWS_ENDPOINT_URL_SSO", &portal.url());
    let ended = run.go(&[]);
    ended.failed("AWS credentials cannot be loaded: ");
    ended.failed("hint: sign in with `aws sso login`");
    // Named by the SHA-1 of the session's name.
    run.file(
        ".aws/sso/cache/34c6fceca75e456f25e7e99531e2425c6c1de443.json",
        &json!({"accessToken": "hushtoken", "expiresAt": "2099-01-01T00:00:00Z",
                "region": "eu-west-1", "startUrl": "https://example.test/start"})
        .to_string(),
    );
    for _ in 0..2 {
        run.go(&["--cache"]).is("sts.eu-west-1.amazonaws.com", "ASIAPORTAL", "eu-west-1");
    }
    assert_eq!(portal.asked().len(), 1);
}

#[test]
fn the_certificate_of_an_endpoint_is_checked_against_the_bundle() {
    let (sts, certificate) = StandIn::sts().behind_tls();
    let run = Run::new().keys().in_region().set("AWS_ENDPOINT_URL_STS", &sts);
    let bundle = run.file("bundle.pem", &certificate).display().to_string();
    let refused = run.go(&["-r", ROLE]);
    refused.failed("invalid peer certificate: UnknownIssuer");
    let run = run.set("AWS_CA_BUNDLE", &bundle);
    let ended = run.go(&["-r", ROLE]);
    ended.is("sts.eu-west-1.amazonaws.com", "ASIAASSUMED1", "eu-west-1");
    assert_eq!(ended.told["tls"], 1);

    let mut run = run.set("SSL_CERT_FILE", &bundle);
    run.env.remove("AWS_CA_BUNDLE");
    run.go(&["-r", ROLE]).is("sts.eu-west-1.amazonaws.com", "ASIAASSUMED2", "eu-west-1");
}

#[test]
fn an_answer_without_end_and_a_redirect_are_refused() {
    let long = StandIn::endless();
    let run = Run::new().in_region().set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &long.url());
    run.go(&[]).failed("the answer is longer than 1048576 bytes");

    let container = StandIn::container();
    let away = StandIn::redirecting(&container.url());
    let run = Run::new().in_region().set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &away.url());
    run.go(&[]).failed("AWS credentials cannot be loaded: ");
    assert_eq!(container.asked(), Vec::<String>::new());
}

#[test]
fn https_goes_through_the_proxy_of_the_environment() {
    let proxy = StandIn::refusing();
    let run = Run::new().keys().in_region().set("HTTPS_PROXY", &proxy.url());
    let ended = run.go(&["-r", ROLE]);
    ended.failed("cannot be assumed: ");
    assert_eq!(ended.told["tls"], 1);
    let asked = proxy.asked();
    assert_eq!(asked.first().unwrap(), "CONNECT sts.eu-west-1.amazonaws.com:443");
}

#[test]
fn a_ca_bundle_without_certificates_is_named() {
    let run = Run::new().keys().in_region();
    let bundle = run.file("bundle.pem", "nothing");
    let ended = run.set("AWS_CA_BUNDLE", &bundle.display().to_string()).go(&["-r", ROLE]);
    ended.failed("holds no readable PEM certificates");
}

#[test]
fn what_is_wrong_is_named_with_its_cure() {
    let run = || Run::new().in_region();
    run().go(&[]).failed("nothing gave AWS credentials");
    let ended = run().set("AWS_PROFILE", "typo").go(&[]);
    ended.failed("profile \"typo\" is not in the shared configuration files");
    let ended = run().keys().go(&["--region", "moon-1"]);
    ended.failed("no AWS partition that this build knows has a region \"moon-1\"");
    let ended = run().set("T_CLUSTER", "").go(&[]);
    ended.failed("error: cluster ID not specified\n");
    assert_eq!(ended.told["exit"], "Usage");
    let ended = run().keys().go(&["--forward-session-name", "-s", "me"]);
    ended.failed("cannot specify both --forward-session-name and --session-name parameter");
    assert_eq!(ended.told["exit"], "Usage");
}
