//! What becomes of STS's answers: each has its one refusal, or proves a caller.

use iamgate::identity::{ArnFault, Identity};
use iamgate::token::{Denial, Refusal, Reply, StsUnavailable, Unreadable, Verifier};

use crate::support::script::{Asked, Script, error, identity, json, other};
use crate::support::vector::{NOW, Vector, accept};

type Answer = Result<Reply, StsUnavailable>;

async fn ask(
    ids: &[&str],
    answers: impl IntoIterator<Item = Answer>,
) -> (Result<Identity, Refusal>, Asked) {
    let sts = Script::new(answers);
    let verifier = Verifier::new(sts.clone(), NOW);
    let caller = verifier.verify(&Vector::good().token(), &accept(ids)).await;
    (caller.map(|caller| caller.identity().clone()), sts.finish())
}

async fn one(answer: Answer) -> Result<Identity, Refusal> {
    let (result, asked) = ask(&["c"], [answer]).await;
    assert_eq!(asked.len(), 1);
    result
}

const ACCOUNT: &str = "123456789012";
const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/Admin/ann";

#[tokio::test]
async fn sts_is_asked_with_exactly_the_pairs_of_the_token() {
    let answer = json(200, identity(ACCOUNT, SESSION, "AROAEXAMPLE:ann"));
    let (caller, asked) = ask(&["test-cluster"], [answer]).await;
    let url = Vector::good().url();
    let target = url.strip_prefix("https://sts.us-west-2.amazonaws.com").unwrap();
    let question = ("sts.us-west-2.amazonaws.com".into(), target.into(), "test-cluster".into());
    assert_eq!(asked, [question]);
    let caller = caller.unwrap();
    assert_eq!(caller.arn.as_str(), SESSION);
    assert_eq!(&*caller.arn.canonical(), "arn:aws:iam::123456789012:role/Admin");
    assert_eq!((&*caller.user_id, &*caller.session_name), ("AROAEXAMPLE", "ann"));
    assert_eq!(&*caller.access_key_id, "ASIAIOSFODNN7EXAMPLE");
}

#[tokio::test]
async fn every_principal_has_its_user_id_form() {
    for (arn, user_id, want) in [
        ("arn:aws:iam::123456789012:user/ann", "AIDAEXAMPLE", ("AIDAEXAMPLE", "")),
        ("arn:aws:iam::123456789012:root", "123456789012", ("123456789012", "")),
        (
            "arn:aws:sts::123456789012:federated-user/bob",
            "123456789012:bob",
            ("123456789012:bob", ""),
        ),
        (SESSION, "AROAEXAMPLE:ann", ("AROAEXAMPLE", "ann")),
    ] {
        let caller = one(json(200, identity(ACCOUNT, arn, user_id))).await.unwrap();
        assert_eq!((&*caller.user_id, &*caller.session_name), want, "{arn}");
    }
}

/// The result's object, as it stands in an answer.
fn inner_of(whole: &str) -> &str {
    let from = whole.find(r#"{"Account""#).unwrap();
    let to = whole.find('}').unwrap();
    &whole[from..=to]
}

#[tokio::test]
async fn a_good_status_with_a_bad_answer_decides_nothing() {
    use Unreadable::{Account, Arn, NotJson, Partition, Session, Shape, UserId};
    let whole = identity(ACCOUNT, SESSION, "AROAEXAMPLE:ann");
    let swap = |from: &str, to: &str| json(200, whole.replace(from, to));
    let inner = r#"{"Account":"123456789012","Arn":"arn:aws:iam::123456789012:root","UserId":"1"}"#;
    let latin: Vec<u8> =
        whole.replace("r-1", "~").bytes().map(|b| if b == b'~' { 0xff } else { b }).collect();
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for (name, answer, fault) in [
        ("empty", json(200, ""), NotJson),
        ("HTML", other(200, "<html></html>"), NotJson),
        ("HTML that says it is JSON", json(200, "<html></html>"), NotJson),
        ("JSON that says it is HTML", other(200, whole.clone()), NotJson),
        ("XML", other(200, "<GetCallerIdentityResponse/>"), NotJson),
        ("junk before", json(200, format!("x{whole}")), NotJson),
        ("junk after", json(200, format!("{whole}x")), NotJson),
        ("two objects", json(200, format!("{whole}{whole}")), NotJson),
        ("cut off", json(200, &whole.as_bytes()[..60]), NotJson),
        ("no UTF-8 where nobody looks", json(200, latin), NotJson),
        (
            "UTF-16",
            json(200, whole.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
            NotJson,
        ),
        ("NaN", swap("\"r-1\"", "NaN"), NotJson),
        ("a lone surrogate", swap("AROAEXAMPLE", "\\ud800"), NotJson),
        ("a NUL behind", json(200, format!("{whole}\0")), NotJson),
        ("a byte order mark", json(200, format!("\u{feff}{whole}")), NotJson),
        ("deep nesting", json(200, deep), Shape),
        ("null", json(200, "null"), Shape),
        ("a list", json(200, format!("[{whole}]")), Shape),
        (
            "a list for the answer",
            json(200, format!("[{{\"GetCallerIdentityResult\":{inner}}}]")),
            Shape,
        ),
        ("lists all the way", json(200, format!("[[{inner},null]]")), Shape),
        (
            "a list for the response",
            json(200, format!(r#"{{"GetCallerIdentityResponse":[{inner},null]}}"#)),
            Shape,
        ),
        (
            "a list for the result",
            swap(inner_of(&whole), r#"["123456789012","arn:aws:iam::123456789012:root","1"]"#),
            Shape,
        ),
        (
            "nested in another answer",
            json(200, format!(r#"{{"AssumeRoleWithWebIdentityResponse":{whole}}}"#)),
            Shape,
        ),
        (
            "beside another answer",
            json(200, format!(r#"{{"AssumeRoleResponse":{{}},{}"#, &whole[1..])),
            Shape,
        ),
        ("the inner object alone", json(200, inner), Shape),
        (
            "outer name in another case",
            swap("GetCallerIdentityResponse", "getCallerIdentityResponse"),
            Shape,
        ),
        (
            "inner name in another case",
            swap("GetCallerIdentityResult", "getcalleridentityresult"),
            Shape,
        ),
        ("Arn in another case", swap("\"Arn\"", "\"arn\""), Shape),
        (
            "Arn in two cases",
            swap("\"UserId\"", r#""ARN":"arn:aws:iam::123456789012:root","UserId""#),
            Shape,
        ),
        ("Arn twice, once escaped", swap("\"UserId\"", r#""\u0041rn":"arn","UserId""#), Shape),
        ("Account twice", swap("\"UserId\"", r#""Account":"123456789012","UserId""#), Shape),
        (
            "the result twice",
            swap(
                "\"ResponseMetadata\"",
                &format!(r#""GetCallerIdentityResult":{inner},"ResponseMetadata""#),
            ),
            Shape,
        ),
        ("Account a number", swap("\"123456789012\"", "123456789012"), Shape),
        ("Arn a list", swap(&format!("\"{SESSION}\""), &format!("[\"{SESSION}\"]")), Shape),
        ("Arn null", swap(&format!("\"{SESSION}\""), "null"), Shape),
        ("no UserId", swap("\"UserId\"", "\"Other\""), Shape),
        ("empty Arn", json(200, identity(ACCOUNT, "", "AROA:ann")), Arn(ArnFault::Scheme)),
        ("no ARN", json(200, identity(ACCOUNT, "arn", "AROA:ann")), Arn(ArnFault::Scheme)),
        (
            "another service",
            json(200, identity(ACCOUNT, "arn:aws:s3::123456789012:root", "1")),
            Arn(ArnFault::Resource),
        ),
        (
            "no session",
            json(200, identity(ACCOUNT, "arn:aws:sts::123456789012:assumed-role/x", "A:b")),
            Arn(ArnFault::Session),
        ),
        (
            "11 digits in the ARN",
            json(200, identity(ACCOUNT, "arn:aws:iam::12345678901:root", "1")),
            Arn(ArnFault::Account),
        ),
        (
            "a newline in the session",
            json(200, identity(ACCOUNT, "arn:aws:sts::123456789012:assumed-role/a/b\\n", "A:b")),
            Arn(ArnFault::Character),
        ),
        ("empty Account", json(200, identity("", SESSION, "AROA:ann")), Account),
        ("another Account", json(200, identity("999999999999", SESSION, "AROA:ann")), Account),
        ("11 digits", json(200, identity("12345678901", SESSION, "AROA:ann")), Account),
        ("13 digits", json(200, identity("1234567890123", SESSION, "AROA:ann")), Account),
        (
            "another partition",
            json(200, identity(ACCOUNT, "arn:aws-cn:iam::123456789012:root", "1")),
            Partition,
        ),
        ("empty UserId", json(200, identity(ACCOUNT, SESSION, "")), UserId),
        (
            "a user's empty UserId",
            json(200, identity(ACCOUNT, "arn:aws:iam::123456789012:user/ann", "")),
            UserId,
        ),
        ("no colon", json(200, identity(ACCOUNT, SESSION, "AROAEXAMPLE")), UserId),
        ("two colons", json(200, identity(ACCOUNT, SESSION, "AROA:ann:x")), UserId),
        ("empty session", json(200, identity(ACCOUNT, SESSION, "AROA:")), UserId),
        ("empty id", json(200, identity(ACCOUNT, SESSION, ":ann")), UserId),
        ("a space", json(200, identity(ACCOUNT, SESSION, "AROA:a b")), UserId),
        ("a NUL", json(200, identity(ACCOUNT, SESSION, "AROA:ann\\u0000")), UserId),
        ("another session", json(200, identity(ACCOUNT, SESSION, "AROA:bob")), Session),
        ("a session in another case", json(200, identity(ACCOUNT, SESSION, "AROA:Ann")), Session),
    ] {
        assert_eq!(one(answer).await, Err(Refusal::Unreadable(fault)), "{name}");
    }
}

#[tokio::test]
async fn a_member_that_aws_may_add_does_not_lock_everybody_out() {
    let whole = identity(ACCOUNT, SESSION, "AROAEXAMPLE:ann");
    let more = whole.replace("\"UserId\"", r#""OrganizationId":{"x":[1]},"UserId""#);
    assert!(one(json(200, more)).await.is_ok());
}

#[tokio::test]
async fn each_bad_status_has_its_refusal() {
    let denied = |code: &str| json(403, error(code));
    let status = |code| Refusal::Unavailable(StsUnavailable::Status(code));
    for (name, answer, want) in [
        ("signature", denied("SignatureDoesNotMatch"), Refusal::Denied(Denial::BadSignature)),
        ("expired", denied("ExpiredToken"), Refusal::Denied(Denial::ExpiredToken)),
        (
            "expired, other name",
            json(400, error("ExpiredTokenException")),
            Refusal::Denied(Denial::ExpiredToken),
        ),
        ("unknown key", denied("InvalidClientTokenId"), Refusal::Denied(Denial::UnknownKey)),
        ("denied", denied("AccessDenied"), Refusal::Denied(Denial::AccessDenied)),
        ("incomplete", json(400, error("IncompleteSignature")), Refusal::Denied(Denial::Other)),
        ("unheard of", denied("Whatever"), Refusal::Denied(Denial::Other)),
        ("429", other(429, ""), Refusal::Throttled),
        ("Throttling", json(400, error("Throttling")), Refusal::Throttled),
        ("ThrottlingException", json(400, error("ThrottlingException")), Refusal::Throttled),
        ("RequestThrottled", json(400, error("RequestThrottled")), Refusal::Throttled),
        (
            "TooManyRequestsException",
            json(400, error("TooManyRequestsException")),
            Refusal::Throttled,
        ),
        ("RequestLimitExceeded", json(403, error("RequestLimitExceeded")), Refusal::Throttled),
        ("SlowDown", json(503, error("SlowDown")), Refusal::Throttled),
        ("Throttling in XML", other(400, "<Code>Throttling</Code>"), Refusal::Throttled),
        ("an HTML page of a proxy", other(403, "<html>"), Refusal::Unreadable(Unreadable::NotJson)),
        ("an empty 403", json(403, ""), Refusal::Unreadable(Unreadable::NotJson)),
        (
            "an error in a list",
            json(403, r#"[{"Code":"ExpiredToken"}]"#),
            Refusal::Unreadable(Unreadable::NotJson),
        ),
        (
            "a code in a list",
            json(403, r#"{"Error":["ExpiredToken"]}"#),
            Refusal::Unreadable(Unreadable::NotJson),
        ),
        ("an error of STS in a 400", json(400, error("InternalFailure")), status(400)),
        (
            "a redirect with a good body",
            json(302, identity(ACCOUNT, SESSION, "AROA:ann")),
            status(302),
        ),
        ("201", json(201, identity(ACCOUNT, SESSION, "AROA:ann")), status(201)),
        ("204", json(204, ""), status(204)),
        ("404", other(404, ""), status(404)),
        ("500", json(500, error("InternalFailure")), status(500)),
        ("503", other(503, ""), status(503)),
    ] {
        assert_eq!(one(answer).await, Err(want), "{name}");
    }
}

#[tokio::test]
async fn sts_that_cannot_be_asked_is_no_denial() {
    let timeout = StsUnavailable::Timeout;
    assert_eq!(one(Err(timeout)).await, Err(Refusal::Unavailable(timeout)));
}

#[tokio::test]
async fn cluster_ids_are_tried_in_order_until_one_fits() {
    let wrong = || json(403, error("SignatureDoesNotMatch"));
    let right = || json(200, identity(ACCOUNT, SESSION, "AROA:ann"));
    let ids = |asked: Asked| asked.into_iter().map(|(_, _, id)| id).collect::<Vec<_>>();
    let (caller, asked) = ask(&["a", "b", "c"], [wrong(), right()]).await;
    assert!(caller.is_ok());
    assert_eq!(ids(asked), ["a", "b"]);
    let (caller, asked) = ask(&["a", "b"], [wrong(), wrong()]).await;
    assert_eq!(caller, Err(Refusal::Denied(Denial::BadSignature)));
    assert_eq!(ids(asked), ["a", "b"]);
    let (caller, asked) = ask(&["a", "b"], [json(403, error("ExpiredToken"))]).await;
    assert_eq!(caller, Err(Refusal::Denied(Denial::ExpiredToken)));
    assert_eq!(ids(asked), ["a"]);
}
