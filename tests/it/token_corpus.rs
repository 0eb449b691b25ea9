//! Tokens that must be refused before STS is asked, each with the rule that refuses it.
//!
//! Every case runs twice against a scripted STS that fails the test when it is asked at all: as a
//! question to the verifier, and as a whole review, whose answer, log line and metric are looked at.

use std::time::Duration;

use iamgate::secret::Secret;
use iamgate::token::{Age, HostFault, HostPolicy, Malformed, Refusal, Stale, Verifier};

use crate::support::review::refusal;
use crate::support::script::Script;
use crate::support::vector::{NAMES, NOW, SIGNATURE, Vector, accept, raw_token, scope, token};

#[track_caller]
fn check(name: &str, got: Refusal, want: impl Into<Refusal>) {
    assert_eq!(got, want.into(), "{name}");
}

#[tokio::test]
async fn the_good_token_gets_as_far_as_sts() {
    let verifier = Verifier::new(Script::default(), NOW);
    verifier.admit(&Vector::good().token(), &accept(&["test-cluster"])).unwrap();
    verifier
        .admit(&Vector::good().remove("X-Amz-Security-Token").token(), &accept(&["test-cluster"]))
        .unwrap();
}

#[tokio::test]
async fn envelopes() {
    let good = Vector::good();
    let text = good.token().expose().to_owned();
    let body = text.strip_prefix("k8s-aws-v1.").unwrap().to_owned();
    for (name, token, fault) in [
        ("prefix alone", "k8s-aws-v1.".to_owned(), Malformed::Scheme),
        ("three NULs", "k8s-aws-v1.AAAA".to_owned(), Malformed::Character),
        ("double prefix", format!("k8s-aws-v1.{text}"), Malformed::Base64),
        ("other version", format!("k8s-aws-v2.{body}"), Malformed::Prefix),
        ("upper case", format!("K8S-AWS-V1.{body}"), Malformed::Prefix),
        ("leading space", format!(" {text}"), Malformed::Prefix),
        ("empty", String::new(), Malformed::Prefix),
        ("a JWT", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln".to_owned(), Malformed::Prefix),
        ("a large JWT", format!("eyJ{}", "a".repeat(20_000)), Malformed::Prefix),
        ("trailing newline", format!("{text}\n"), Malformed::Base64),
        ("trailing NUL", format!("{text}\0"), Malformed::Base64),
        ("trailing space", format!("{text} "), Malformed::Base64),
        ("padding", format!("{text}="), Malformed::Base64),
        ("newline inside", format!("{}\n{}", &text[..40], &text[40..]), Malformed::Base64),
        ("carriage return inside", format!("{}\r{}", &text[..40], &text[40..]), Malformed::Base64),
        ("standard alphabet", format!("k8s-aws-v1.{}+/", &body[..40]), Malformed::Base64),
        ("trailing bits", "k8s-aws-v1.YR".to_owned(), Malformed::Base64),
        ("one letter", "k8s-aws-v1.Y".to_owned(), Malformed::Base64),
    ] {
        check(name, refusal(&Secret::new(token)).await, fault);
    }
}

#[tokio::test]
async fn sizes() {
    let with_length = |length: usize| {
        let base = Vector::good().set("X-Amz-Security-Token", "").url().len();
        let raw = length - base;
        Vector::good().set("X-Amz-Security-Token", &"a".repeat(raw)).token()
    };
    let verifier = Verifier::new(Script::default(), NOW);
    let admit = |token: &Secret| verifier.admit(token, &accept(&["c"])).map(|_| ());
    // 11 bytes of prefix, and 4 for each 3 of the URL.
    let largest = with_length((16_384 - 11) / 4 * 3);
    assert!((16_382..=16_384).contains(&largest.expose().len()));
    assert_eq!(admit(&largest), Ok(()));
    for length in [4_097, 5_700] {
        let token = with_length((length - 11) * 3 / 4);
        assert!(token.expose().len() >= length - 2);
        assert_eq!(admit(&token), Ok(()), "{length}");
    }
    let over = Secret::new(format!("k8s-aws-v1.{}", "!".repeat(16_385 - 11)));
    check("refused before it is decoded", refusal(&over).await, Malformed::Size(16_385));
}

#[tokio::test]
async fn decoded_bytes() {
    let url = Vector::good().url();
    for byte in [0_u8, 9, 10, 13, 32, 127, 128, 0xff] {
        for at in [0, 8, 30, 60, url.len()] {
            let mut bytes = url.clone().into_bytes();
            bytes.insert(at, byte);
            check(
                &format!("{byte} at {at}"),
                refusal(&raw_token(&bytes)).await,
                Malformed::Character,
            );
        }
    }
    let with_bom = format!("\u{feff}{url}");
    check("byte order mark", refusal(&token(&with_bom)).await, Malformed::Character);
}

#[tokio::test]
async fn urls() {
    use HostFault::NotSts;
    use Malformed::{Fragment, Host, Path, Scheme, Signature, SignedHeaders};
    let good = Vector::good();
    let scheme = |scheme: &str| Vector { scheme: scheme.into(), ..good.clone() };
    let path = |path: &str| Vector { path: path.into(), ..good.clone() };
    let tail = |tail: &str| Vector { tail: tail.into(), ..good.clone() };
    let host = |host: &str| good.clone().host(host);
    for (name, vector, fault) in [
        ("http", scheme("http://"), Scheme),
        ("upper-case scheme", scheme("HTTPS://"), Scheme),
        ("one slash", scheme("https:/"), Scheme),
        ("backslashes", scheme("https:\\\\"), Scheme),
        ("no scheme", scheme("//"), Scheme),
        ("file", scheme("file:///"), Scheme),
        ("nothing", scheme(""), Scheme),
        ("three slashes", scheme("https:///"), Host(NotSts)),
        ("user and password", host("u:p@sts.us-west-2.amazonaws.com"), Host(NotSts)),
        ("our host as user", host("sts.us-west-2.amazonaws.com@evil.test"), Host(NotSts)),
        ("encoded at", host("sts.us-west-2.amazonaws.com%40evil.test"), Host(NotSts)),
        ("backslash host", host("evil.test\\@sts.us-west-2.amazonaws.com"), Host(NotSts)),
        ("port 443", host("sts.us-west-2.amazonaws.com:443"), Host(NotSts)),
        ("port 8443", host("sts.us-west-2.amazonaws.com:8443"), Host(NotSts)),
        ("empty port", host("sts.us-west-2.amazonaws.com:"), Host(NotSts)),
        ("path", path("/x"), Path),
        ("two slashes", path("//"), Path),
        ("dot", path("/."), Path),
        ("encoded dot", path("/%2e"), Path),
        ("parameters", path("/;a"), Path),
        ("empty path", path(""), Path),
        ("backslash path", path("\\"), Path),
        ("fragment", tail("#x"), Fragment),
        ("empty fragment", tail("#"), Fragment),
        ("encoded fragment", tail("%23"), Signature),
        ("fragment in the host", host("sts.us-west-2.amazonaws.com#"), Fragment),
        ("second question mark", good.clone().set("X-Amz-SignedHeaders", "host?"), SignedHeaders),
    ] {
        check(name, refusal(&vector.token()).await, fault);
    }
    let bare = token("https://sts.us-west-2.amazonaws.com/");
    check("no query", refusal(&bare).await, Path);
}

#[tokio::test]
async fn hosts() {
    use HostFault::{Global, NotSts, Region};
    for (host, fault) in [
        ("sts.us-west-2.amazonaws.com.evil.test", NotSts),
        ("evilsts.us-west-2.amazonaws.com", NotSts),
        ("sts.evil.test", NotSts),
        ("amazonaws.com", NotSts),
        ("s3.us-west-2.amazonaws.com", NotSts),
        ("iam.amazonaws.com", NotSts),
        ("website.amazonaws.com", NotSts),
        ("sts.us-west-2.amazonaws.com.", NotSts),
        ("STS.us-west-2.amazonaws.com", NotSts),
        ("sts..amazonaws.com", Region),
        ("sts%2eus-west-2.amazonaws.com", NotSts),
        ("xn--sts-5cd.us-west-2.amazonaws.com", NotSts),
        ("127.0.0.1", NotSts),
        ("2130706433", NotSts),
        ("[::1]", NotSts),
        ("169.254.169.254", NotSts),
        ("sts.not-a-region.amazonaws.com", Region),
        ("sts.us-west-2.amazonaws.com.cn", NotSts),
        ("sts.us-iso-east-1.c2s.ic.gov", NotSts),
        ("sts.cn-north-1.api.amazonwebservices.com.cn", NotSts),
        ("", NotSts),
    ] {
        check(host, refusal(&Vector::good().host(host).token()).await, Malformed::Host(fault));
    }
    for host in [
        "sts。us-west-2.amazonaws.com",
        "ｓts.us-west-2.amazonaws.com",
        "ѕts.us-west-2.amazonaws.com",
    ] {
        check(host, refusal(&Vector::good().host(host).token()).await, Malformed::Character);
    }
    let label = "a".repeat(63);
    let long = Vector::good().host(&format!("sts.{label}.amazonaws.com"));
    check("63-letter label", refusal(&long.token()).await, Malformed::Host(Region));

    let mut china = accept(&["c"]);
    china.hosts = HostPolicy::new(iamgate::identity::Partition::AwsCn);
    let verifier = Verifier::new(Script::default(), NOW);
    let global = verifier.admit(&Vector::good().host("sts.amazonaws.com").token(), &china);
    check("global in China", global.unwrap_err(), Malformed::Host(Global));
}

#[tokio::test]
async fn the_regions_of_host_and_scope_agree() {
    let scope = |region: &str| scope("20260102", region);
    let verifier = Verifier::new(Script::default(), NOW);
    let global = |region: &str| {
        Vector::good().host("sts.amazonaws.com").set("X-Amz-Credential", &scope(region)).token()
    };
    verifier.admit(&global("us-east-1"), &accept(&["c"])).unwrap();
    for token in [
        global("us-west-2"),
        global("aws-global"),
        Vector::good().set("X-Amz-Credential", &scope("us-east-1")).token(),
        Vector::good().set("X-Amz-Credential", &scope("US-WEST-2")).token(),
        Vector::good().set("X-Amz-Credential", &scope("")).token(),
    ] {
        check("regions", refusal(&token).await, Malformed::ScopeRegion);
    }
}

#[tokio::test]
async fn a_name_in_another_spelling_is_another_name() {
    for name in [
        "x-amz-credential",
        "X-AMZ-CREDENTIAL",
        "X-Amz-credential",
        "X-Amz-%43redential",
        "%58-Amz-Credential",
        "action",
        "x-amz-date",
        "DurationSeconds",
        "RoleArn",
        "WebIdentityToken",
        "X-Amz-Content-Sha256",
        "X-Amz-Region-Set",
        "X-Amz-Target",
        "Foo",
        "Action[]",
        "Action;",
    ] {
        for vector in [Vector::good().push(name, "eve"), Vector::good().push_front(name, "eve")] {
            check(name, refusal(&vector.token()).await, Malformed::UnknownParameter);
        }
    }
    for name in NAMES {
        let lower = Vector::good().rename(name, &name.to_lowercase());
        check(name, refusal(&lower.token()).await, Malformed::UnknownParameter);
    }
}

#[tokio::test]
async fn a_name_stands_once() {
    for name in NAMES {
        let value = Vector::good().pairs.iter().find(|(known, _)| known == name).unwrap().1.clone();
        for value in [value.as_str(), "eve", ""] {
            for vector in [Vector::good().push(name, value), Vector::good().push_front(name, value)]
            {
                check(name, refusal(&vector.token()).await, Malformed::Duplicate(name));
            }
        }
    }
}

#[tokio::test]
async fn pairs_are_whole() {
    for (name, tail, fault) in [
        ("empty name", "&=x", Malformed::Pair),
        ("empty pair", "&&", Malformed::Pair),
        ("trailing ampersand", "&", Malformed::Pair),
        ("no equals sign", "&Foo", Malformed::Pair),
        ("semicolon", ";a=b", Malformed::Signature),
        ("second equals sign", "=b", Malformed::Signature),
    ] {
        let vector = Vector { tail: tail.into(), ..Vector::good() };
        check(name, refusal(&vector.token()).await, fault);
    }
    let leading = Vector { path: "/?".into(), ..Vector::good() };
    check("two question marks", refusal(&leading.token()).await, Malformed::UnknownParameter);
}

#[tokio::test]
async fn each_name_is_there_and_has_a_value() {
    for name in NAMES {
        if name != "X-Amz-Security-Token" {
            let without = Vector::good().remove(name);
            check(name, refusal(&without.token()).await, Malformed::Missing(name));
        }
        let empty = Vector::good().set(name, "");
        check(name, refusal(&empty.token()).await, Malformed::Missing(name));
    }
}

#[tokio::test]
async fn values_have_one_spelling() {
    use Malformed::{AccessKeyId, Action, Algorithm, Date, Expires, Scope, ScopeDate, ScopeRegion};
    use Malformed::{Signature, SignedHeaders, Spelling, Version};
    const TOKEN: &str = "X-Amz-Security-Token";
    let lower = SIGNATURE.to_uppercase();
    let tail = "%2F20260102%2Fus-west-2%2Fsts%2Faws4_request";
    let key = |key: &str| format!("{key}{tail}");
    for (name, value, fault) in [
        ("Action", "AssumeRole".to_owned(), Action),
        ("Action", "AssumeRoleWithWebIdentity".to_owned(), Action),
        ("Action", "GetSessionToken".to_owned(), Action),
        ("Action", "getcalleridentity".to_owned(), Action),
        ("Action", "GetCallerIdentity%20".to_owned(), Action),
        ("Action", "GetCallerIdentity%00".to_owned(), Action),
        ("Action", "GetCallerIdentity,AssumeRole".to_owned(), Action),
        ("Action", "%47etCallerIdentity".to_owned(), Action),
        ("Version", "2011-06-14".to_owned(), Version),
        ("Version", "2011-06-15x".to_owned(), Version),
        ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256".to_owned(), Algorithm),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1".to_owned(), Algorithm),
        ("X-Amz-Algorithm", "aws4-hmac-sha256".to_owned(), Algorithm),
        ("X-Amz-SignedHeaders", "host".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "host%3bx-k8s-aws-id".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "host;x-k8s-aws-id".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "host%3BX-K8s-Aws-Id".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "x-k8s-aws-id%3Bhost".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "accept%3Bhost%3Bx-k8s-aws-id".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "authorization%3Bhost%3Bx-k8s-aws-id".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "content-type%3Bhost%3Bx-k8s-aws-id".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "cookie%3Bhost%3Bx-k8s-aws-id".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "host%3Bx-amz-target%3Bx-k8s-aws-id".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "host%3Bx-vault-aws-iam-server-id".to_owned(), SignedHeaders),
        ("X-Amz-SignedHeaders", "x-k8s-aws-id".to_owned(), SignedHeaders),
        ("X-Amz-Expires", "00".to_owned(), Expires),
        ("X-Amz-Expires", "-0".to_owned(), Expires),
        ("X-Amz-Expires", "901".to_owned(), Expires),
        ("X-Amz-Expires", "+60".to_owned(), Expires),
        ("X-Amz-Expires", "-60".to_owned(), Expires),
        ("X-Amz-Expires", "060".to_owned(), Expires),
        ("X-Amz-Expires", "60.0".to_owned(), Expires),
        ("X-Amz-Expires", "0x3c".to_owned(), Expires),
        ("X-Amz-Expires", "6%30".to_owned(), Expires),
        ("X-Amz-Expires", "99999999999999999999".to_owned(), Expires),
        ("X-Amz-Date", "20260230T030405Z".to_owned(), Date),
        ("X-Amz-Date", "20260102t030405z".to_owned(), Date),
        ("X-Amz-Date", "20260102T030405+0000".to_owned(), Date),
        ("X-Amz-Date", "20260102T030405.5Z".to_owned(), Date),
        ("X-Amz-Date", "20260102T03040Z".to_owned(), Date),
        ("X-Amz-Date", "20260101T030405Z".to_owned(), ScopeDate),
        ("X-Amz-Signature", lower, Signature),
        ("X-Amz-Signature", SIGNATURE[1..].to_owned(), Signature),
        ("X-Amz-Signature", format!("{SIGNATURE}0"), Signature),
        ("X-Amz-Signature", format!("g{}", &SIGNATURE[1..]), Signature),
        (TOKEN, "FwoG/+abc=".to_owned(), Spelling(TOKEN)),
        (TOKEN, "FwoG%2f%2babc%3d".to_owned(), Spelling(TOKEN)),
        (TOKEN, "%46woG".to_owned(), Spelling(TOKEN)),
        (TOKEN, "FwoG%0A".to_owned(), Spelling(TOKEN)),
        (TOKEN, "FwoG+abc".to_owned(), Spelling(TOKEN)),
        (TOKEN, "FwoG%".to_owned(), Spelling(TOKEN)),
        ("X-Amz-Credential", "ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts".to_owned(), Scope),
        ("X-Amz-Credential", format!("{}%2Fx", key("ASIAIOSFODNN7EXAMPLE")), Scope),
        ("X-Amz-Credential", format!("a%2F{}", key("ASIAIOSFODNN7EXAMPLE")), Scope),
        ("X-Amz-Credential", key("ASIAIOSFODNN7EXAMPLE").replace("sts", "s3"), Scope),
        ("X-Amz-Credential", key("ASIAIOSFODNN7EXAMPLE").replace("sts", "iam"), Scope),
        (
            "X-Amz-Credential",
            key("ASIAIOSFODNN7EXAMPLE").replace("aws4_request", "aws4_requesT"),
            Scope,
        ),
        ("X-Amz-Credential", key("ASIAIOSFODNN7EXAMPLE").replace("%2F", "%2f"), Scope),
        ("X-Amz-Credential", key("ASIAIOSFODNN7EXAMPLE").replace("%2F", "/"), Scope),
        (
            "X-Amz-Credential",
            key("ASIAIOSFODNN7EXAMPLE").replace("20260102", "20260103"),
            ScopeDate,
        ),
        (
            "X-Amz-Credential",
            key("ASIAIOSFODNN7EXAMPLE").replace("us-west-2", "us-east-1"),
            ScopeRegion,
        ),
        ("X-Amz-Credential", key("AIDAIOSFODNN7EXAMPLE"), AccessKeyId),
        ("X-Amz-Credential", key("asiaiosfodnn7example"), AccessKeyId),
        ("X-Amz-Credential", key("ASIASHORT"), AccessKeyId),
        ("X-Amz-Credential", key(&format!("ASIA{}", "A".repeat(125))), AccessKeyId),
        ("X-Amz-Credential", key("ASIAIOSFODNN{{SessionName}}"), AccessKeyId),
        ("X-Amz-Credential", key("ASIAIOSFODNN7EXAMP:E"), AccessKeyId),
        ("X-Amz-Credential", key("ASIAIOSFODNN7EXAMP%0A"), AccessKeyId),
        ("X-Amz-Credential", key(""), AccessKeyId),
    ] {
        let vector = Vector::good().set(name, &value);
        check(&format!("{name}={value}"), refusal(&vector.token()).await, fault);
    }
}

#[tokio::test]
async fn tokens_are_good_for_a_quarter_of_an_hour_and_five_minutes_of_skew() {
    let signed = |date: &str| {
        let scope = scope(&date[..8], "us-west-2");
        Vector::good().set("X-Amz-Date", date).set("X-Amz-Credential", &scope).token()
    };
    let judge = |date: &str, max_age: Age| {
        let accept = iamgate::token::Acceptance { max_age, ..accept(&["c"]) };
        Verifier::new(Script::default(), NOW).admit(&signed(date), &accept).map(|_| ())
    };
    let late = |seconds| Err(Refusal::Stale(Stale::Late(Duration::from_secs(seconds))));
    let early = |seconds| Err(Refusal::Stale(Stale::Early(Duration::from_secs(seconds))));
    let (day, minute) = (Age::default(), Age::from_secs(60).unwrap());
    assert_eq!(judge("20260102T024905Z", day), Ok(()));
    assert_eq!(judge("20260102T024904Z", day), late(901));
    assert_eq!(judge("20260102T030905Z", day), Ok(()));
    assert_eq!(judge("20260102T030906Z", day), early(301));
    assert_eq!(judge("20260102T030305Z", minute), Ok(()));
    assert_eq!(judge("20260102T030304Z", minute), late(61));
    assert_eq!(judge("00010101T000000Z", day), late(1_767_323_045));
    assert!(matches!(judge("99991201T235959Z", day), Err(Refusal::Stale(Stale::Early(_)))));
    assert_eq!(judge("99991231T235959Z", day), Err(Refusal::Malformed(Malformed::Date)));
}

#[tokio::test]
async fn a_clock_that_steps_back_does_not_revive_a_token() {
    use std::sync::atomic::{AtomicU64, Ordering};
    struct Stepping(AtomicU64);
    impl iamgate::clock::Clock for &Stepping {
        fn now(&self) -> iamgate::clock::UnixTime {
            iamgate::clock::UnixTime::from_secs(self.0.load(Ordering::Relaxed))
        }
    }
    let clock = Stepping(AtomicU64::new(NOW.as_secs() + 901));
    let verifier = Verifier::new(Script::default(), &clock);
    let token = Vector::good().token();
    let judge = || verifier.admit(&token, &accept(&["c"])).map(|_| ());
    assert_eq!(judge(), Err(Refusal::Stale(Stale::Late(Duration::from_secs(901)))));
    clock.0.store(NOW.as_secs(), Ordering::Relaxed);
    assert_eq!(judge(), Err(Refusal::Stale(Stale::Remembered)));
    let other = Vector::good().set("X-Amz-Signature", &"a".repeat(64)).token();
    assert_eq!(verifier.admit(&other, &accept(&["c"])).map(|_| ()), Ok(()));
}

#[tokio::test]
async fn a_refusal_for_age_holds_for_that_token_and_that_age_alone() {
    use iamgate::token::Acceptance;
    let day = accept(&["c"]);
    let minute = Acceptance { max_age: Age::from_secs(60).unwrap(), ..day.clone() };
    let clock = iamgate::clock::UnixTime::from_secs(NOW.as_secs() + 61);
    let verifier = Verifier::new(Script::default(), clock);
    let token = Vector::good().token();
    let judge = |token: &Secret, accept: &Acceptance| verifier.admit(token, accept).map(|_| ());
    let late = Refusal::Stale(Stale::Late(Duration::from_secs(61)));
    assert_eq!(judge(&token, &minute), Err(late));
    assert_eq!(judge(&token, &minute), Err(Refusal::Stale(Stale::Remembered)));
    assert_eq!(judge(&token, &day), Ok(()), "the age was raised");

    let scope = scope("20200102", "us-west-2");
    let copy = Vector::good().set("X-Amz-Date", "20200102T030405Z").set("X-Amz-Credential", &scope);
    assert!(matches!(judge(&copy.token(), &day), Err(Refusal::Stale(Stale::Late(_)))));
    assert_eq!(judge(&token, &day), Ok(()), "a copy with an old date does not spoil the token");
}

#[tokio::test]
async fn no_refusal_prints_the_token() {
    for vector in [Vector::good().push("Foo", "x"), Vector::good().set("X-Amz-Expires", "hunter2")]
    {
        let told = refusal(&vector.token()).await;
        let shown = format!("{told} {told:?} {:?}", vector.token());
        for secret in [SIGNATURE, "hunter2", "FwoG", "k8s-aws-v1.a"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
