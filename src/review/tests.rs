use serde_json::{Value, json};

use super::*;
use crate::identity::Arn;
use crate::token::{HostFault, StsUnavailable, Unreadable};

fn read(body: &str) -> Result<(Version, String), NotAQuestion> {
    Question::read(body.as_bytes()).map(|q| (q.version(), q.token().expose().to_owned()))
}

#[test]
fn the_version_is_taken_from_the_question() {
    for (api_version, version) in [
        (r#""authentication.k8s.io/v1""#, Version::V1),
        (r#""authentication.k8s.io/v1beta1""#, Version::V1Beta1),
        (r#""""#, Version::V1Beta1),
        ("null", Version::V1Beta1),
    ] {
        let body = format!(
            r#"{{"apiVersion":{api_version},"kind":"TokenReview","spec":{{"token":"t"}}}}"#
        );
        assert_eq!(read(&body), Ok((version, "t".into())), "{body}");
    }
}

#[test]
fn a_question_without_a_token_asks_about_the_empty_one() {
    for body in ["{}", r#"{"spec":{}}"#, r#"{"spec":{"token":""}}"#, r#"{"spec":{"token":null}}"#] {
        assert_eq!(read(body), Ok((Version::V1Beta1, String::new())), "{body}");
    }
}

#[test]
fn what_the_caller_says_about_the_answer_is_passed_over() {
    let body = r#"{"kind":"TokenReview","metadata":{"x":[1]},"spec":{"token":"t","audiences":["a"]},
        "status":{"authenticated":true,"user":{"username":"admin"}}}"#;
    assert_eq!(read(body), Ok((Version::V1Beta1, "t".into())));
}

#[test]
fn deep_nesting_is_passed_over_without_recursion_and_refused_where_a_value_is_read() {
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let beside = format!(r#"{{"spec":{{"token":"t"}},"x":{deep}}}"#);
    assert_eq!(read(&beside), Ok((Version::V1Beta1, "t".into())));
    assert_eq!(read(&format!(r#"{{"spec":{{"token":{deep}}}}}"#)), Err(NotAQuestion::Shape));
    assert_eq!(read(&deep), Err(NotAQuestion::Shape));
}

#[test]
fn each_body_that_is_no_question_is_told_why() {
    use NotAQuestion::{Kind, Shape};
    for (body, fault) in [
        ("", Shape),
        ("null", Shape),
        ("[]", Shape),
        ("not json", Shape),
        (r#"[null,null,{"token":"t"}]"#, Shape),
        (r#"["authentication.k8s.io/v1","TokenReview",["t"]]"#, Shape),
        (r#"{"spec":["t"]}"#, Shape),
        (r#"{"spec":{"token":1}}"#, Shape),
        (r#"{"spec":{"token":["t"]}}"#, Shape),
        (r#"{"spec":"t"}"#, Shape),
        (r#"{"spec":{"token":"a"},"spec":{"token":"b"}}"#, Shape),
        (r#"{"spec":{"token":"a","token":"b"}}"#, Shape),
        (r#"{"kind":"TokenReview","kind":"TokenReview","spec":{"token":"a"}}"#, Shape),
        (r#"{"apiVersion":null,"apiVersion":null,"spec":{"token":"a"}}"#, Shape),
        (r#"{"spec":{"token":"a"}} x"#, Shape),
        (r#"{"spec":{"token":"a"}}{}"#, Shape),
        (r#"{"spec":{"token":"a",}}"#, Shape),
        (r#"{"spec":{"token":'a'}}"#, Shape),
        (r#"{spec:{"token":"a"}}"#, Shape),
        (r#"{"spec":{"token":"a"}/* */}"#, Shape),
        (r#"{"spec":{"token":"\ud800"}}"#, Shape),
        (r#"{"spec":{"token":"\udc00\ud800"}}"#, Shape),
        (r#"{"spec":{"token":"\x6b"}}"#, Shape),
        ("{\"spec\":{\"token\":\"a\nb\"}}", Shape),
        ("{\"spec\":{\"token\":\"a\0b\"}}", Shape),
        ("\u{feff}{\"spec\":{\"token\":\"a\"}}", Shape),
        ("\u{a0}{\"spec\":{\"token\":\"a\"}}", Shape),
        ("\u{b}{\"spec\":{\"token\":\"a\"}}", Shape),
        (r#"{"spec":{"token":"a"},"x":NaN}"#, Shape),
        (r#"{"spec":{"token":"a"},"x":01}"#, Shape),
        (r#"{"spec":{"token":"a"},"x":[}"#, Shape),
        (r#"{"kind":["TokenReview"],"spec":{"token":"a"}}"#, Shape),
        (r#"{"kind":"tokenreview","spec":{"token":"a"}}"#, Kind),
        (r#"{"kind":"TokenReview ","spec":{"token":"a"}}"#, Kind),
        (r#"{"kind":"TokenReview\u0000","spec":{"token":"a"}}"#, Kind),
        (r#"{"kind":"TokenReviewList","spec":{"token":"a"}}"#, Kind),
        (
            r#"{"apiVersion":"authentication.k8s.io/V1","spec":{"token":"a"}}"#,
            NotAQuestion::Version,
        ),
        (r#"{"apiVersion":"authentication.k8s.io/v1 ","spec":{}}"#, NotAQuestion::Version),
        (r#"{"apiVersion":"authentication.k8s.io/","spec":{}}"#, NotAQuestion::Version),
        (r#"{"apiVersion":"v1beta1","spec":{}}"#, NotAQuestion::Version),
        (r#"{"kind":"Pod","spec":{"token":"a"}}"#, Kind),
        (r#"{"apiVersion":"v1","spec":{"token":"a"}}"#, NotAQuestion::Version),
        (r#"{"apiVersion":"authentication.k8s.io/v2","spec":{}}"#, NotAQuestion::Version),
    ] {
        assert_eq!(read(body), Err(fault), "{body}");
    }
}

#[test]
fn bytes_of_another_encoding_are_no_question() {
    let body = r#"{"spec":{"token":"t"}}"#;
    let little: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = body.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = [&[0xff, 0xfe][..], &little].concat();
    let latin = b"{\"spec\":{\"token\":\"\xe9\"}}".to_vec();
    let overlong = b"{\"spec\":{\"token\":\"\xc1\xb4\"}}".to_vec();
    let surrogate = b"{\"spec\":{\"token\":\"\xed\xa0\x80\"}}".to_vec();
    for bytes in [little, big, marked, latin, overlong, surrogate] {
        let read = Question::read(&bytes).map(|question| question.version());
        assert_eq!(read, Err(NotAQuestion::Shape), "{bytes:?}");
    }
}

#[test]
fn the_token_is_the_one_of_the_spec_in_its_exact_spelling() {
    for (body, token) in [
        (r#"{"Spec":{"token":"t"}}"#, ""),
        (r#"{"spec":{"Token":"t"}}"#, ""),
        (r#"{"spec":{"TOKEN":"x","token":"t","toKen":"y"}}"#, "t"),
        (r#"{"token":"x","spec":{"token":"t"},"Spec":{"token":"y"}}"#, "t"),
        (r#"{"metadata":{"spec":{"token":"x"}},"spec":{"token":"t"}}"#, "t"),
        (r#"{"spec":{"token":"t","spec":{"token":"x"},"token2":"y"}}"#, "t"),
        (r#"{"spec":{"token":"t"},"status":{"token":"x"},"status":{"token":"y"}}"#, "t"),
        (r#"{"spec":{"token":"t"},"metadata":{"a":1,"a":2}}"#, "t"),
        (r#"{"spec":{"token":"t","audiences":[1e999999,-0,123456789012345678901234567890]}}"#, "t"),
        (r#"{"\u0073pec":{"t\u006fken":"\u0074"}}"#, "t"),
        (r#"{"spec":{"token":"a\u0000b"}}"#, "a\0b"),
        (r#"{"spec":{"token":"\ud83d\ude00"}}"#, "\u{1f600}"),
        ("\r\n\t {\"spec\":{\"token\":\"t\"}}\r\n\t ", "t"),
    ] {
        assert_eq!(read(body), Ok((Version::V1Beta1, token.into())), "{body}");
    }
}

fn identity() -> Identity {
    let arn: Arn = "arn:aws:sts::123456789012:assumed-role/Admin/ann".parse().unwrap();
    Identity {
        account: arn.account(),
        arn,
        user_id: "AROAEXAMPLE".into(),
        session_name: "ann".into(),
        access_key_id: "ASIAIOSFODNN7EXAMPLE".into(),
        sts_host: "sts.us-west-2.amazonaws.com".into(),
    }
}

fn answer(user: &User, scrubbed: bool) -> String {
    let identity = identity();
    let grant = Grant { user, identity: &identity, scrubbed };
    String::from_utf8(grant.answer(Version::V1)).unwrap()
}

#[test]
fn a_grant_carries_the_references_uid_groups_and_extra_keys() {
    let user = User { name: "admin:ann".into(), groups: vec!["system:masters".into(), "b".into()] };
    assert_eq!(
        answer(&user, false),
        concat!(
            r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","metadata":{},"spec":{},"#,
            r#""status":{"authenticated":true,"user":{"username":"admin:ann","#,
            r#""uid":"aws-iam-authenticator:123456789012:AROAEXAMPLE","groups":["system:masters","b"],"#,
            r#""extra":{"accessKeyId":["ASIAIOSFODNN7EXAMPLE"],"#,
            r#""arn":["arn:aws:sts::123456789012:assumed-role/Admin/ann"],"#,
            r#""canonicalArn":["arn:aws:iam::123456789012:role/Admin"],"principalId":["AROAEXAMPLE"],"#,
            r#""sessionName":["ann"],"sigs.k8s.io/aws-iam-authenticator/principalId":["AROAEXAMPLE"]}}}}"#,
        ),
    );
}

#[test]
fn a_scrubbed_account_shows_nowhere() {
    let user = User { name: "ops".into(), groups: vec![] };
    let told: Value = serde_json::from_str(&answer(&user, true)).unwrap();
    let want = json!({"username": "ops", "uid": "aws-iam-authenticator:administrative:ops"});
    assert_eq!(told["status"], json!({"authenticated": true, "user": want}));
}

#[test]
fn a_denial_is_a_decision_and_has_a_reason_unless_the_token_is_not_ours() {
    let told = |told| serde_json::from_slice::<Value>(&refusal(told, Version::V1Beta1)).unwrap();
    let foreign = told(Told::NotOurs);
    assert_eq!(foreign["status"], json!({"authenticated": false}));
    assert_eq!(foreign["apiVersion"], "authentication.k8s.io/v1beta1");
    assert_eq!(foreign["kind"], "TokenReview");
    let denied = told(Told::Denied("token_expired"));
    assert_eq!(denied["status"], json!({"authenticated": false, "error": "token_expired"}));
}

#[test]
fn no_decision_is_a_status_that_the_api_server_tries_again_on() {
    for (told, code, reason) in
        [(Told::TooMany("m"), 429, "TooManyRequests"), (Told::Unavailable("m"), 504, "Timeout")]
    {
        let body: Value = serde_json::from_slice(&refusal(told, Version::V1)).unwrap();
        assert_eq!((told.status(), &body["code"]), (code, &json!(code)));
        assert_eq!((&body["reason"], &body["kind"]), (&json!(reason), &json!("Status")));
        assert_eq!(body.get("details"), None, "details could ask the API server to wait");
    }
}

#[test]
fn every_refusal_has_its_face_and_its_metric() {
    use Outcome::{InvalidToken, StsError, StsThrottling};
    use Told::{NotOurs, TooMany, Unavailable};
    let seconds = std::time::Duration::from_secs(901);
    let denied = Told::Denied;
    let unreachable = Unavailable("STS cannot be asked");
    for (refusal, told, outcome) in [
        (Refusal::Malformed(Malformed::Prefix), NotOurs, InvalidToken),
        (
            Refusal::Malformed(Malformed::Host(HostFault::NotSts)),
            denied("sts_host_not_allowed"),
            InvalidToken,
        ),
        (
            Refusal::Malformed(Malformed::Host(HostFault::RegionNotAllowed)),
            denied("sts_host_not_allowed"),
            InvalidToken,
        ),
        (Refusal::Malformed(Malformed::Size(16_385)), denied("token_malformed"), InvalidToken),
        (Refusal::Malformed(Malformed::Base64), denied("token_malformed"), InvalidToken),
        (Refusal::Stale(Stale::Early(seconds)), denied("token_not_yet_valid"), InvalidToken),
        (Refusal::Stale(Stale::Late(seconds)), denied("token_expired"), InvalidToken),
        (Refusal::Stale(Stale::Remembered), denied("token_expired"), InvalidToken),
        (
            Refusal::Denied(Denial::BadSignature),
            denied("cluster_id_mismatch_or_bad_signature"),
            StsError,
        ),
        (Refusal::Denied(Denial::ExpiredToken), denied("credentials_expired"), StsError),
        (Refusal::Denied(Denial::UnknownKey), denied("access_key_unknown"), StsError),
        (Refusal::Denied(Denial::AccessDenied), denied("sts_denied"), StsError),
        (Refusal::Denied(Denial::Other), denied("sts_denied"), StsError),
        (Refusal::Throttled, TooMany("STS is throttling requests"), StsThrottling),
        (Refusal::Busy, TooMany("too many requests to STS are under way"), StsThrottling),
        (Refusal::Unavailable(StsUnavailable::Timeout), unreachable, StsError),
        (Refusal::Unavailable(StsUnavailable::Status(500)), unreachable, StsError),
        (
            Refusal::Unreadable(Unreadable::Shape),
            Unavailable("the answer of STS cannot be read"),
            StsError,
        ),
    ] {
        assert_eq!(Told::from(&refusal), told, "{refusal}");
        assert_eq!(Outcome::from(&refusal), outcome, "{refusal}");
    }
    for (told, status) in [(NotOurs, 200), (denied("x"), 200), (TooMany("x"), 429)] {
        assert_eq!(told.status(), status);
    }
    assert_eq!(unreachable.status(), 504);
}

#[test]
fn the_labels_of_the_metric_are_the_references_the_misspelt_one_too() {
    let labels = Outcome::ALL.map(Outcome::label);
    let want = [
        "invalid_token",
        "malformed_request",
        "sts_error",
        "sts_throttling",
        "success",
        "uknown_user",
    ];
    assert_eq!(labels, want);
}
