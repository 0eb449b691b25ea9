//! The values: each parameter's one form, byte by byte where the form allows it.

use iamgate::token::Malformed;

use super::{admitted, refused};
use crate::support::vector::{NAMES, SIGNATURE, Vector};

/// What a value of `name` is refused for when it is not of its form at all.
fn fault_of(name: &'static str) -> Malformed {
    match name {
        "Action" => Malformed::Action,
        "Version" => Malformed::Version,
        "X-Amz-Algorithm" => Malformed::Algorithm,
        "X-Amz-Credential" => Malformed::Scope,
        "X-Amz-Date" => Malformed::Date,
        "X-Amz-Expires" => Malformed::Expires,
        "X-Amz-Security-Token" => Malformed::Spelling("X-Amz-Security-Token"),
        "X-Amz-SignedHeaders" => Malformed::SignedHeaders,
        "X-Amz-Signature" => Malformed::Signature,
        other => panic!("{other} is not one of the nine"),
    }
}

#[tokio::test]
async fn nothing_is_trimmed_decoded_or_cut_off_behind_a_value() {
    for name in NAMES {
        let good = Vector::good().pairs.into_iter().find(|(known, _)| known == name).unwrap().1;
        for behind in [
            "+",
            "%20",
            "%09",
            "%0A",
            "%0D%0A",
            "%0D%0AHost:%20evil.test",
            "%00",
            "%00x",
            "%C2%A0",
            "%C0%AF",
            "%FF",
            "%u0041",
            "%",
            "%0",
            "%zz",
            ",",
            ";",
            ";a=b",
            "=",
            "==",
            "=b",
            "?",
            "/",
            "\\",
            "\"",
            "'",
            "<",
            "{{SessionName}}",
            "${x}",
            "`",
            "|",
            "*",
            "%41",
            "%2e",
        ] {
            refused(&Vector::good().set(name, &format!("{good}{behind}")), fault_of(name)).await;
        }
        let fault = match name {
            "X-Amz-Credential" => Malformed::AccessKeyId,
            name => fault_of(name),
        };
        for before in ["+", "%20", "%0A", "%00", "\"", "=", "%41", "{{AccountID}}"] {
            refused(&Vector::good().set(name, &format!("{before}{good}")), fault).await;
        }
    }
}

#[tokio::test]
async fn a_session_token_is_encoded_as_sigv4_encodes_it_for_every_byte() {
    const NAME: &str = "X-Amz-Security-Token";
    let spelling = Malformed::Spelling(NAME);
    for byte in 0..=255_u8 {
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let (upper, lower) = (format!("x%{byte:02X}y"), format!("x%{byte:02x}y"));
        let escaped = Vector::good().set(NAME, &upper);
        match byte.is_ascii_graphic() && !unreserved {
            true => assert_eq!(admitted(&escaped), Ok(()), "{upper}"),
            false => refused(&escaped, spelling).await,
        }
        if lower != upper {
            refused(&Vector::good().set(NAME, &lower), spelling).await;
        }
        if byte.is_ascii_graphic() {
            let raw = Vector::good().set(NAME, &format!("x{}y", char::from(byte)));
            match byte {
                b'&' => refused(&raw, Malformed::Pair).await,
                b'#' => refused(&raw, Malformed::Fragment).await,
                _ if unreserved => assert_eq!(admitted(&raw), Ok(()), "{raw:?}"),
                _ => refused(&raw, spelling).await,
            }
        }
    }
    for value in ["%25", "%2525", "%252F", "%7B%7BSessionName%7D%7D", "~", "-._~", "a"] {
        assert_eq!(admitted(&Vector::good().set(NAME, value)), Ok(()), "{value}");
    }
}

#[tokio::test]
async fn a_signature_is_64_lower_case_hex_digits_in_every_place() {
    for length in [1, 2, 32, 40, 62, 63, 65, 66, 96, 128, 1_000] {
        let vector = Vector::good().set("X-Amz-Signature", &"0".repeat(length));
        refused(&vector, Malformed::Signature).await;
    }
    for at in 0..64 {
        for strange in ["A", "F", "g", "%", "-", "+", "O", "x"] {
            let mut signature = SIGNATURE.to_owned();
            signature.replace_range(at..=at, strange);
            let vector = Vector::good().set("X-Amz-Signature", &signature);
            refused(&vector, Malformed::Signature).await;
        }
    }
    for signature in [
        format!("0x{}", &SIGNATURE[2..]),
        format!("{}%61", &SIGNATURE[1..]),
        format!("{}%61", &SIGNATURE[3..]),
        SIGNATURE.replace("01", "0+"),
        "ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8".to_owned(),
    ] {
        let vector = Vector::good().set("X-Amz-Signature", &signature);
        refused(&vector, Malformed::Signature).await;
    }
}

#[tokio::test]
async fn an_expiry_is_a_plain_number_up_to_900() {
    for value in ["0", "1", "2", "9", "10", "60", "99", "100", "899", "900"] {
        assert_eq!(admitted(&Vector::good().set("X-Amz-Expires", value)), Ok(()), "{value}");
    }
    for value in [
        "00",
        "-0",
        "01",
        "060",
        "0900",
        "901",
        "999",
        "1000",
        "3600",
        "604800",
        "-1",
        "-60",
        "--60",
        "+60",
        "60.0",
        "60.",
        ".6",
        "6e1",
        "0x3c",
        "0b1",
        "0o74",
        "60s",
        "1m",
        "1_0",
        "1,0",
        "60%2C0",
        "%2B60",
        "6%30",
        "65536",
        "65596",
        "4294967356",
        "18446744073709551676",
        "99999999999999999999",
        "inf",
        "NaN",
        "null",
        "true",
        "sixty",
    ] {
        refused(&Vector::good().set("X-Amz-Expires", value), Malformed::Expires).await;
    }
}

#[tokio::test]
async fn a_scope_has_five_parts_with_a_key_of_aws() {
    use Malformed::{AccessKeyId, Scope, ScopeDate, ScopeRegion};
    let scope = |text: &str| Vector::good().set("X-Amz-Credential", text);
    let key = |key: &str| scope(&format!("{key}%2F20260102%2Fus-west-2%2Fsts%2Faws4_request"));
    for length in [12, 13, 16, 123, 124] {
        for kind in ["AKIA", "ASIA"] {
            assert_eq!(
                admitted(&key(&format!("{kind}{}", "Z7".repeat(62).split_at(length).0))),
                Ok(())
            );
        }
    }
    for length in [0, 1, 11, 125, 126, 1_000] {
        refused(&key(&format!("AKIA{}", "A".repeat(length))), AccessKeyId).await;
    }
    for kind in [
        "ABIA", "ACCA", "AGPA", "AIDA", "AIPA", "ANPA", "ANVA", "APKA", "AROA", "ASCA", "AKI",
        "akia", "asia", "XSIA",
    ] {
        refused(&key(&format!("{kind}IOSFODNN7EXAMPLE")), AccessKeyId).await;
    }
    for byte in (0x21..0x7f_u8).map(char::from) {
        if byte.is_ascii_uppercase() || byte.is_ascii_digit() || "&#".contains(byte) {
            continue;
        }
        refused(&key(&format!("ASIAIOSFODNN7EXAMP{byte}E")), AccessKeyId).await;
    }
    for (text, fault) in [
        ("", Malformed::Missing("X-Amz-Credential")),
        ("ASIAIOSFODNN7EXAMPLE", Scope),
        ("%2F%2F%2F%2F", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2F", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4_request%2F", Scope),
        ("%2FASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4_request", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F%2F20260102%2Fus-west-2%2Fsts%2Faws4_request", Scope),
        ("ASIA%2FIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4_request", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%252Faws4_request", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2FSTS%2Faws4_request", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fs3%2Faws4_request", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fiam%2Faws4_request", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Feks%2Faws4_request", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2F%2Faws4_request", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4_Request", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4%5Frequest", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%2Fsts%2Faws4a_request", Scope),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2F%2Fsts%2Faws4_request", ScopeRegion),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-1%2Fsts%2Faws4_request", ScopeRegion),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus-west-2%20%2Fsts%2Faws4_request", ScopeRegion),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2FUS-WEST-2%2Fsts%2Faws4_request", ScopeRegion),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Fus%2Dwest%2D2%2Fsts%2Faws4_request", ScopeRegion),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2F*%2Fsts%2Faws4_request", ScopeRegion),
        ("ASIAIOSFODNN7EXAMPLE%2F20260102%2Faws-global%2Fsts%2Faws4_request", ScopeRegion),
        ("ASIAIOSFODNN7EXAMPLE%2F20260101%2Fus-west-2%2Fsts%2Faws4_request", ScopeDate),
        ("ASIAIOSFODNN7EXAMPLE%2Fus-west-2%2F20260102%2Fsts%2Faws4_request", ScopeDate),
        ("ASIAIOSFODNN7EXAMPLE%2F2026%2D01%2D02%2Fus-west-2%2Fsts%2Faws4_request", ScopeDate),
    ] {
        refused(&scope(text), fault).await;
    }
}

#[tokio::test]
async fn the_signed_headers_are_two_and_the_version_and_algorithm_one() {
    use Malformed::{Algorithm, SignedHeaders, Version};
    for headers in [
        "host",
        "x-k8s-aws-id",
        "host%3B",
        "%3Bhost%3Bx-k8s-aws-id",
        "host%3Bx-k8s-aws-id%3B",
        "host%3B%3Bx-k8s-aws-id",
        "host%3Bhost%3Bx-k8s-aws-id",
        "host%3Bx-k8s-aws-id%3Bx-k8s-aws-id",
        "x-k8s-aws-id%3Bhost",
        "Host%3Bx-k8s-aws-id",
        "host%3BX-K8S-AWS-ID",
        "host%3Bx%2Dk8s-aws-id",
        "host%3bx-k8s-aws-id",
        "host;x-k8s-aws-id",
        "host,x-k8s-aws-id",
        "host%2Cx-k8s-aws-id",
        "host%20x-k8s-aws-id",
        "host%3B%20x-k8s-aws-id",
        "host%253Bx-k8s-aws-id",
        "host%3Ax-k8s-aws-id",
        "accept%3Bhost%3Bx-k8s-aws-id",
        "authorization%3Bhost%3Bx-k8s-aws-id",
        "content-length%3Bhost%3Bx-k8s-aws-id",
        "content-type%3Bhost%3Bx-k8s-aws-id",
        "cookie%3Bhost%3Bx-k8s-aws-id",
        "host%3Buser-agent%3Bx-k8s-aws-id",
        "host%3Bx-amz-date%3Bx-k8s-aws-id",
        "host%3Bx-amz-security-token%3Bx-k8s-aws-id",
        "host%3Bx-amz-target%3Bx-k8s-aws-id",
        "host%3Bx-forwarded-host%3Bx-k8s-aws-id",
        "host%3Bx-k8s-aws-id%3Bx-x",
        "host%3Bx-k8s-aws-id-2",
        "host%3Bx-vault-aws-iam-server-id",
        "host%3Bx-teleport-challenge",
        "host%3Bx-consul-iam-server-id",
        "host%3Bx-amz-date",
        "%3Aauthority%3Bx-k8s-aws-id",
        "*",
    ] {
        refused(&Vector::good().set("X-Amz-SignedHeaders", headers), SignedHeaders).await;
    }
    for version in [
        "2011-06-14",
        "2011-6-15",
        "20110615",
        "2011-06-15T00:00:00Z",
        "2010-05-08",
        "latest",
        "*",
        "2011%2D06%2D15",
    ] {
        refused(&Vector::good().set("Version", version), Version).await;
    }
    for algorithm in [
        "AWS4-HMAC-SHA1",
        "AWS4-HMAC-SHA384",
        "AWS4-HMAC-SHA512",
        "AWS4-HMAC-SHA256-PAYLOAD",
        "AWS4-ECDSA-P256-SHA256",
        "AWS3-HMAC-SHA256",
        "HmacSHA256",
        "aws4-hmac-sha256",
        "AWS4_HMAC_SHA256",
        "AWS4%2DHMAC%2DSHA256",
        "none",
        "null",
    ] {
        refused(&Vector::good().set("X-Amz-Algorithm", algorithm), Algorithm).await;
    }
}
