//! What STS tells of a caller is text that the caller may have chosen: it reaches the answer, the
//! log and the metrics whole and harmless, or not at all; and nothing of it is kept.

use iamgate::token::{Reply, StsUnavailable};
use serde_json::json as value;

use crate::support::review::Desk;
use crate::support::script::{error, identity, json};
use crate::support::vector::Vector;

const ACCOUNT: &str = "123456789012";

/// STS's answer about a session of the mapped role. `session` is spelt as in JSON.
fn session_of(account: &str, session: &str) -> Result<Reply, StsUnavailable> {
    let arn = format!("arn:aws:sts::{account}:assumed-role/Admin/{session}");
    json(200, identity(account, &arn, &format!("AROAEXAMPLE:{session}")))
}

#[tokio::test]
async fn a_session_name_of_any_printable_characters_is_a_name_and_nothing_else() {
    let longest = "a".repeat(64);
    for (session, name) in [
        ("ann", "ann"),
        ("ann@example.com", "ann-example.com"),
        ("@", "-"),
        ("{{AccountID}}", "{{AccountID}}"),
        ("{{SessionNameRaw}}", "{{SessionNameRaw}}"),
        ("{{", "{{"),
        ("}}{{", "}}{{"),
        ("%0d%0a", "%0d%0a"),
        ("%00", "%00"),
        (r"\\n", r"\n"),
        (r"\\u001b[31m", r"\u001b[31m"),
        (r#"x\",\"groups\":[\"system:masters\"#, ""),
        (r#"x\"level=error"#, r#"x"level=error"#),
        ("level=error", "level=error"),
        ("</script>", ""),
        ("$(id)", "$(id)"),
        ("`id`", "`id`"),
        ("system", "system"),
        ("..", ".."),
        ("i-0123abcd", "i-0123abcd"),
        (r"\u0061nn", "ann"),
        (&longest, &longest),
    ] {
        let desk = Desk::new([session_of(ACCOUNT, session)]);
        let seen = desk.review(Vector::good().token().expose()).await;
        assert_eq!(seen.asked, 1, "{session}");
        assert!(seen.log.lines().all(|line| line.starts_with("time=")), "{}", seen.log);
        assert!(seen.log.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()));
        if name.is_empty() {
            // A slash makes a role's path of what stands before it, a colon another user id.
            assert_ne!(seen.body["status"]["authenticated"], value!(true), "{session}");
            continue;
        }
        let user = &seen.body["status"]["user"];
        assert_eq!((seen.status, &user["username"]), (200, &value!(format!("admin:{name}"))));
        assert_eq!(user["groups"], value!(["ops"]), "{session}");
        assert_eq!(user["uid"], "aws-iam-authenticator:123456789012:AROAEXAMPLE");
        assert_eq!(seen.log.lines().count(), 2, "{}", seen.log);
        assert!(seen.is_counted_as("success"), "{session}: {:?}", seen.metrics);
    }
}

#[tokio::test]
async fn a_session_name_with_anything_else_is_no_answer_and_reaches_nobody() {
    for session in [
        "",
        "two words",
        "a:b",
        "system:masters",
        r"a\r\nlevel=info",
        r"a\n",
        r"\t",
        r"a\u0000b",
        r"\u001b[31mred",
        r"\u007f",
        r"\u0085",
        r"\u00a0",
        r"gr\u00fcn",
        "grün",
        r"\u202egnp.exe",
        r"\ufeff",
        r"\ud83d\ude00",
        r"\ud800",
        r"\udc00\ud800",
        r"\x41",
        "\n",
        "\u{1b}[31m",
    ] {
        let desk = Desk::new([session_of(ACCOUNT, session)]);
        let seen = desk.review(Vector::good().token().expose()).await;
        let reason = Some("the answer of STS cannot be read");
        assert_eq!((seen.status, seen.reason(), seen.asked), (504, reason, 1), "{session:?}");
        assert!(seen.is_counted_as("sts_error"), "{session:?}: {:?}", seen.metrics);
        assert_eq!(seen.log.lines().count(), 1, "{session:?}: {}", seen.log);
        for part in ["level=info", "masters", "red", "gnp", "words"] {
            assert!(!format!("{}{}", seen.log, seen.body).contains(part), "{session:?}");
        }
    }
}

#[tokio::test]
async fn the_namesake_of_another_account_or_partition_is_nobody_also_after_the_right_one() {
    let root = |partition: &str| {
        let arn = format!("arn:{partition}:sts::{ACCOUNT}:assumed-role/Admin/ann");
        json(200, identity(ACCOUNT, &arn, "AROAEXAMPLE:ann"))
    };
    let desk = Desk::new([
        session_of(ACCOUNT, "ann"),
        session_of("210987654321", "ann"),
        session_of(ACCOUNT, "ann"),
        root("aws-cn"),
        root("aws-us-gov"),
        json(403, error("InvalidClientTokenId")),
        session_of(ACCOUNT, "ann"),
        json(403, error("ExpiredToken")),
        json(429, ""),
    ]);
    // One token all the time: an answer is about the moment, and is not kept for the next.
    let token = Vector::good().token();
    for (status, reason) in [
        (200, None),
        (200, Some("identity_not_mapped")),
        (200, None),
        (504, Some("the answer of STS cannot be read")),
        (504, Some("the answer of STS cannot be read")),
        (200, Some("access_key_unknown")),
        (200, None),
        (200, Some("credentials_expired")),
        (429, Some("STS is throttling requests")),
    ] {
        let seen = desk.review(token.expose()).await;
        assert_eq!((seen.status, seen.reason(), seen.asked), (status, reason, 1));
        let granted = status == 200 && reason.is_none();
        assert_eq!(seen.body["status"]["authenticated"] == value!(true), granted);
    }
}

#[tokio::test]
async fn other_principals_of_the_roles_name_are_not_the_role() {
    for (arn, user_id) in [
        ("arn:aws:iam::123456789012:user/Admin", "AIDAEXAMPLE"),
        ("arn:aws:iam::123456789012:user/role/Admin", "AIDAEXAMPLE"),
        ("arn:aws:sts::123456789012:federated-user/Admin", "123456789012:Admin"),
        ("arn:aws:iam::123456789012:root", "123456789012"),
        ("arn:aws:sts::123456789012:assumed-role/Admin2/Admin", "AROA:Admin"),
        ("arn:aws:sts::123456789012:assumed-role/xAdmin/Admin", "AROA:Admin"),
        ("arn:aws:sts::123456789012:assumed-role/Admi/n", "AROA:n"),
        ("arn:aws:sts::123456789012:assumed-role/Admin*/x", "AROA:x"),
        ("arn:aws:sts::123456789012:assumed-role/*/x", "AROA:x"),
    ] {
        let desk = Desk::new([json(200, identity(ACCOUNT, arn, user_id))]);
        let seen = desk.review(Vector::good().token().expose()).await;
        let reason = Some("identity_not_mapped");
        assert_eq!((seen.status, seen.reason(), seen.asked), (200, reason, 1), "{arn}");
        assert!(seen.is_counted_as("uknown_user"), "{arn}: {:?}", seen.metrics);
    }
    for arn in [
        "arn:aws:ec2::123456789012:instance/i-0123abcd",
        "arn:aws:s3:::Admin",
        "arn:aws:iam::123456789012:group/Admin",
        "arn:aws:iam::123456789012:instance-profile/Admin",
        "arn:aws:sts::123456789012:assumed-role/Admin",
        "arn:aws:sts::123456789012:assumed-role/Admin/",
        "arn:aws:sts::123456789012:assumed-role//ann",
        "arn:aws:sts:us-west-2:123456789012:assumed-role/Admin/ann",
        "arn:aws:sts::210987654321:assumed-role/Admin/ann",
        "arn:aws:sts::12345678901:assumed-role/Admin/ann",
        "arn:aws:sts::*:assumed-role/Admin/ann",
        "ARN:aws:sts::123456789012:assumed-role/Admin/ann",
        " arn:aws:sts::123456789012:assumed-role/Admin/ann",
        "",
    ] {
        let desk = Desk::new([json(200, identity(ACCOUNT, arn, "AROAEXAMPLE:ann"))]);
        let seen = desk.review(Vector::good().token().expose()).await;
        let reason = Some("the answer of STS cannot be read");
        assert_eq!((seen.status, seen.reason(), seen.asked), (504, reason, 1), "{arn}");
    }
}
