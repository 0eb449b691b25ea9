//! An answer of STS: who is taken from it is who any JSON reader finds named there, of the
//! partition that was asked; every other answer is refused in a few words that are not STS's. The
//! first line is the HTTP status, the rest the body.
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use iamgate::clock::UnixTime;
use iamgate::identity::{Identity, Partition};
use iamgate::secret::Secret;
use iamgate::token::{
    Acceptance, Age, HostPolicy, Refusal, Reply, Sts, StsRequest, StsUnavailable, Verifier,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let status = str::from_utf8(&bytes[..at]).ok().and_then(|line| line.parse().ok());
    let body = bytes.get(at + 1..).unwrap_or_default();
    let proven = |json| prove(Reply { status: status.unwrap_or(200), json, body: body.to_vec() });
    match proven(true) {
        Ok(identity) => {
            assert_eq!(status.unwrap_or(200), 200);
            is_named_in(&identity, body);
            let other = proven(false).expect_err("an answer of another type is none");
            assert!(matches!(other, Refusal::Unreadable(_)), "{other}");
        }
        Err(refusal) => {
            let told = format!("{refusal} {refusal:?}");
            assert!(told.len() < 300 && told.bytes().all(|b| matches!(b, b' '..=b'~')), "{told}");
            let ours = matches!(refusal, Refusal::Malformed(_) | Refusal::Stale(_) | Refusal::Busy);
            assert!(!ours, "{refusal} is not of STS's making");
        }
    }
});

/// An STS that has one answer.
struct Says(Reply);

impl Sts for Says {
    async fn ask(&self, _: &StsRequest<'_>) -> Result<Reply, StsUnavailable> {
        Ok(self.0.clone())
    }
}

fn prove(reply: Reply) -> Result<Identity, Refusal> {
    let accept = Acceptance {
        cluster_ids: vec!["c".parse().expect("a cluster ID")],
        hosts: HostPolicy::new(Partition::Aws),
        max_age: Age::default(),
    };
    let verifier = Verifier::new(Says(reply), UnixTime::from_secs(1_767_323_045));
    let token = Secret::new(TOKEN);
    let verified = pin!(verifier.verify(&token, &accept));
    match verified.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(verified) => verified.map(|caller| caller.identity().clone()),
        Poll::Pending => panic!("nothing in it waits"),
    }
}

fn is_named_in(identity: &Identity, body: &[u8]) {
    assert_eq!(identity.arn.partition(), Partition::Aws);
    assert_eq!(identity.arn.account(), identity.account);
    assert!(!identity.user_id.is_empty() && identity.sts_host.starts_with("sts."));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    assert!(plain(&identity.user_id) && plain(&identity.session_name));
    // A general reader is stricter about what we pass over: depth and numbers.
    let Ok(seen) = serde_json::from_slice::<Value>(body) else { return };
    let names = |of: &Value| -> Vec<String> {
        of.as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!(names(&seen), ["GetCallerIdentityResponse"], "of another action");
    let result = &seen["GetCallerIdentityResponse"]["GetCallerIdentityResult"];
    assert!(names(result).len() >= 3);
    assert_eq!(result["Arn"], identity.arn.as_str());
    assert_eq!(result["Account"], identity.account.as_str());
    let user_id = result["UserId"].as_str().expect("text");
    let (id, session) = match identity.session_name.is_empty() {
        true => (user_id, ""),
        false => user_id.split_once(':').expect("a session has a colon"),
    };
    assert_eq!((id, session), (&*identity.user_id, &*identity.session_name));
}

/// `https://sts.us-west-2.amazonaws.com/`, signed at that moment.
const TOKEN: &str = "\
    k8s-aws-v1.aHR0cHM6Ly9zdHMudXMtd2VzdC0yLmFtYXpvbmF3cy5jb20vP0FjdGlvbj1HZXRDYWxsZXJJZGVudGl\
    0eSZWZXJzaW9uPTIwMTEtMDYtMTUmWC1BbXotQWxnb3JpdGhtPUFXUzQtSE1BQy1TSEEyNTYmWC1BbXotQ3JlZGVud\
    GlhbD1BU0lBSU9TRk9ETk43RVhBTVBMRSUyRjIwMjYwMTAyJTJGdXMtd2VzdC0yJTJGc3RzJTJGYXdzNF9yZXF1ZXN\
    0JlgtQW16LURhdGU9MjAyNjAxMDJUMDMwNDA1WiZYLUFtei1FeHBpcmVzPTYwJlgtQW16LVNpZ25lZEhlYWRlcnM9a\
    G9zdCUzQngtazhzLWF3cy1pZCZYLUFtei1TaWduYXR1cmU9MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\
    wMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg";
