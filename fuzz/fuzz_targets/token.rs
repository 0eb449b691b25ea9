//! What is accepted is rebuilt to the very request that came in, and another URL parser reads it so
//! too; what is refused is told in a few words that hold nothing of it.
#![no_main]

use std::fmt::{Debug, Display};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iamgate::clock::UnixTime;
use iamgate::identity::Partition;
use iamgate::secret::Secret;
use iamgate::token::{Age, Fresh, HostPolicy, PREFIX, Presigned, Stale};
use libfuzzer_sys::fuzz_target;
use url::Url;

// A token as it stands, or a URL, which is wrapped first: few mutations get through base64.
fuzz_target!(|bytes: &[u8]| {
    let text = match str::from_utf8(bytes) {
        Ok(text) if text.starts_with(PREFIX) => text.to_owned(),
        Ok(_) | Err(_) => format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)),
    };
    let token = Secret::new(text);
    let takers: Vec<HostPolicy> = Partition::ALL
        .into_iter()
        .map(HostPolicy::new)
        .filter(|hosts| accepted(&token, hosts))
        .collect();
    assert!(takers.len() <= 1, "no host belongs to two partitions: {takers:?}");

    let narrow = HostPolicy::new(Partition::Aws).allow_regions(["us-west-2".into()]);
    if accepted(&token, &narrow) {
        assert_eq!(takers, [HostPolicy::new(Partition::Aws)], "a narrower policy takes less");
    }
    let wide = HostPolicy::new(Partition::Aws).extra_hosts([EXTRA.into()]);
    if accepted(&token, &wide) && takers.is_empty() {
        assert_eq!(fresh(&token, &wide).host().as_str(), EXTRA, "one host more, and no other");
    }
});

fn accepted(token: &Secret, hosts: &HostPolicy) -> bool {
    match Presigned::parse(token, hosts) {
        Ok(_) => {
            is_rebuilt(token, &fresh(token, hosts));
            true
        }
        Err(fault) => {
            is_told_in_our_words(fault, token.expose());
            false
        }
    }
}

/// The token at the moment of its signature, which `Early` gives away; beside it, how its age is
/// judged around that moment.
fn fresh(token: &Secret, hosts: &HostPolicy) -> Fresh {
    let at = |seconds: u64, age: Age| {
        let presigned = Presigned::parse(token, hosts).expect("it was accepted a moment ago");
        presigned.fresh_at(UnixTime::from_secs(seconds), age)
    };
    let signed = match at(0, Age::default()) {
        Err(Stale::Early(ahead)) => ahead.as_secs(),
        Err(other) => panic!("{other:?} at the beginning of time"),
        // Within five minutes of it.
        Ok(fresh) => return fresh,
    };
    let young = Age::from_secs(60).expect("the least that is allowed");
    let ahead = Duration::from_secs(301);
    assert_eq!(at(signed - 301, young).unwrap_err(), Stale::Early(ahead));
    assert_eq!(at(signed + 61, young).unwrap_err(), Stale::Late(Duration::from_secs(61)));
    for (moment, age) in
        [(signed - 300, young), (signed + 60, young), (signed + 900, Age::default())]
    {
        at(moment, age).expect("it is inside its window");
    }
    at(signed, young).expect("it is as young as can be")
}

fn is_rebuilt(token: &Secret, fresh: &Fresh) {
    let text = token.expose();
    assert!(text.len() <= 16 * 1024, "{} bytes", text.len());
    let body = text.strip_prefix(PREFIX).expect("a token has the prefix");
    let came = URL_SAFE_NO_PAD.decode(body).expect("a token is base64");
    let came = String::from_utf8(came).expect("a URL is text");
    let target = fresh.target();
    let goes = format!("https://{}{}", fresh.host().as_str(), target.expose());
    assert_eq!(taken_apart(&came), taken_apart(&goes), "other pairs");
    assert_eq!(came.len(), goes.len());

    let seen = Url::parse(&came).expect("it is a URL");
    assert_eq!(seen.as_str(), came, "another parser spells it otherwise");
    assert_eq!((seen.scheme(), seen.host_str()), ("https", Some(fresh.host().as_str())));
    assert_eq!((seen.username(), seen.password(), seen.port()), ("", None, None));
    assert_eq!((seen.path(), seen.fragment()), ("/", None));
    let mut names: Vec<_> = seen.query_pairs().map(|(name, _)| name.into_owned()).collect();
    let all = names.len();
    names.sort_by_key(|name| name.to_ascii_lowercase());
    names.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
    assert_eq!(names.len(), all, "a name twice");
    let value = |name: &str| {
        let mut pairs = seen.query_pairs();
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    };
    assert_eq!(value("Action").as_deref(), Some("GetCallerIdentity"));
    assert_eq!(value("X-Amz-SignedHeaders").as_deref(), Some("host;x-k8s-aws-id"));
    let scope = value("X-Amz-Credential").expect("a credential");
    assert_eq!(scope.split('/').next(), Some(fresh.access_key_id()));
    if let Some(region) = fresh.host().region() {
        assert_eq!(scope.split('/').nth(2), Some(region), "signed for another region");
    }
}

/// What is before the query, and the query's pairs in one order.
fn taken_apart(url: &str) -> (&str, Vec<&str>) {
    let (head, query) = url.split_once('?').expect("a query");
    let mut pairs: Vec<_> = query.split('&').collect();
    pairs.sort_unstable();
    (head, pairs)
}

/// A fault that can be copied and lives for ever borrows nothing of the token.
fn is_told_in_our_words(fault: impl Copy + Debug + Display + 'static, token: &str) {
    let told = format!("{fault} {fault:?}");
    assert!(told.len() < 200 && told.bytes().all(|b| matches!(b, b' '..=b'~')), "{told}");
    let body = token.strip_prefix(PREFIX).unwrap_or_default();
    let url = URL_SAFE_NO_PAD.decode(body).unwrap_or_default();
    let url = String::from_utf8_lossy(&url);
    // A signature has 64 bytes, a session token hundreds; our longest word has 32.
    let parts = url.split(['&', '=', '?', ' ']).chain([token]);
    for part in parts.filter(|part| part.len() > 32) {
        assert!(!told.contains(part), "the fault tells {part}");
    }
}

const EXTRA: &str = "vpce-0a1b2c3d.sts.us-west-2.vpce.amazonaws.com";
