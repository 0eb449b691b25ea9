//! What is taken for a TokenReview is one to any JSON reader, and nothing that it holds comes back
//! in the answer but its version.
#![no_main]

use iamgate::identity::Identity;
use iamgate::mapping::User;
use iamgate::review::{Grant, Question, Told, Version, refusal};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let question = match Question::read(body) {
        Ok(question) => question,
        Err(fault) => return assert!(fault.to_string().len() < 100, "{fault}"),
    };
    let token = question.token().expose();
    assert!(token.len() <= body.len(), "{} bytes of {}", token.len(), body.len());
    assert!(!format!("{question:?}").contains(token) || token.len() < 16, "it prints its token");
    // A general reader is stricter about what we pass over: depth and numbers.
    if let Ok(seen) = serde_json::from_slice::<Value>(body) {
        is_read_alike(&question, &seen);
    }
    for told in [
        Told::NotOurs,
        Told::Denied("token_malformed"),
        Told::TooMany("too much"),
        Told::Unavailable("not now"),
    ] {
        is_a_refusal(told, question.version());
    }
    is_a_grant(token, question.version());
});

fn is_read_alike(question: &Question, seen: &Value) {
    assert!(seen.is_object(), "a TokenReview is an object");
    let spec = &seen["spec"];
    assert!(spec.is_object() || spec.is_null(), "its spec is an object");
    assert_eq!(spec["token"].as_str().unwrap_or_default(), question.token().expose());
    assert!(matches!(seen["kind"].as_str(), None | Some("" | "TokenReview")));
    let version = match seen["apiVersion"].as_str() {
        Some("authentication.k8s.io/v1") => Version::V1,
        None | Some("" | "authentication.k8s.io/v1beta1") => Version::V1Beta1,
        Some(other) => panic!("version {other:?} was accepted"),
    };
    assert_eq!(version, question.version());
}

fn is_a_refusal(told: Told, version: Version) {
    let answer = refusal(told, version);
    let seen: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
    assert!(answer.len() < 300 && seen.pointer("/status/user").is_none());
    match told {
        Told::NotOurs | Told::Denied(_) => {
            is_a_review(&seen, version);
            assert_eq!(seen["status"]["authenticated"], false);
        }
        Told::TooMany(_) | Told::Unavailable(_) => assert_eq!(seen["kind"], "Status"),
    }
}

/// Whatever text the names hold, the answer says that and no more.
fn is_a_grant(text: &str, version: Version) {
    let identity = Identity {
        arn: "arn:aws:sts::123456789012:assumed-role/Dev/x".parse().expect("an ARN"),
        account: "123456789012".parse().expect("an account"),
        user_id: text.into(),
        session_name: text.into(),
        access_key_id: text.into(),
        sts_host: "sts.amazonaws.com".into(),
    };
    let user = User { name: text.into(), groups: vec![text.into(), "b".into()] };
    for scrubbed in [false, true] {
        let grant = Grant { user: &user, identity: &identity, scrubbed };
        let seen: Value =
            serde_json::from_slice(&grant.answer(version)).expect("an answer is JSON");
        is_a_review(&seen, version);
        let status = &seen["status"];
        assert_eq!(status["authenticated"], true);
        assert_eq!(status["user"]["username"], text);
        assert_eq!(status["user"]["groups"], serde_json::json!([text, "b"]));
        assert_eq!(status["user"].get("extra").is_none(), scrubbed);
        assert_eq!(status.as_object().map(|status| status.len()), Some(2));
    }
}

fn is_a_review(seen: &Value, version: Version) {
    let told = match version {
        Version::V1 => "authentication.k8s.io/v1",
        Version::V1Beta1 => "authentication.k8s.io/v1beta1",
    };
    assert_eq!((&seen["apiVersion"], &seen["kind"]), (&told.into(), &"TokenReview".into()));
    assert!(
        seen["status"].get("audiences").is_none(),
        "the audiences are kube-apiserver's to tell"
    );
}
