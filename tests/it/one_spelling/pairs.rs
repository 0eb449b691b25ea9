//! The query: nine names in one spelling, each once, and how pairs are told apart.

use iamgate::token::Malformed;

use super::{admitted, refused};
use crate::support::vector::{NAMES, Vector};

/// Spellings that some reader takes for `name`: by case, by escapes, by what it trims or decodes.
fn other_spellings(name: &str) -> Vec<String> {
    let (first, rest) = name.split_at(1);
    let code = u32::from(first.chars().next().unwrap());
    let (start, last) = name.split_at(name.len() - 1);
    let other_case = |text: &str| match text.chars().next() {
        Some(c) if c.is_uppercase() => text.to_lowercase(),
        _ => text.to_uppercase(),
    };
    let mut all = vec![
        name.to_lowercase(),
        name.to_uppercase(),
        format!("{}{rest}", other_case(first)),
        format!("{start}{}", other_case(last)),
        format!("%{code:02X}{rest}"),
        format!("%{code:02x}{rest}"),
        format!("%25{code:02X}{rest}"),
        format!("{start}%{:02X}", u32::from(last.chars().next().unwrap())),
        format!("+{name}"),
        format!("%20{name}"),
        format!("%09{name}"),
        format!("%EF%BB%BF{name}"),
        format!("%00{name}"),
        format!("{name}+"),
        format!("{name}%20"),
        format!("{name}%00"),
        format!("{name}%00x"),
        format!("{name}%0A"),
        format!("{name}%3D"),
        format!("{name}[]"),
        format!("{name}[0]"),
        format!("{name}%5B%5D"),
        format!("{name}.1"),
        format!("{name};"),
        format!("{name},"),
        format!("{name}*"),
        format!("amp;{name}"),
        format!("\"{name}\""),
        format!("{name}{name}"),
        format!("?{name}"),
        format!("x.{name}"),
    ];
    if name.contains('-') {
        all.push(name.replace('-', "%2D"));
        all.push(name.replace('-', "%2d"));
        all.push(name.replace('-', "_"));
        all.push(name.replace('-', ""));
    }
    // Some spellings of single letters coincide.
    all.retain(|spelling| spelling != name);
    all.sort();
    all.dedup();
    all
}

#[tokio::test]
async fn a_name_in_another_spelling_is_refused_beside_the_right_one_and_alone() {
    for name in NAMES {
        let value = |vector: &Vector| {
            vector.pairs.iter().find(|(known, _)| known == name).unwrap().1.clone()
        };
        let good = Vector::good();
        for spelling in other_spellings(name) {
            for vector in [
                good.clone().push(&spelling, &value(&good)),
                good.clone().push_front(&spelling, "eve"),
                good.clone().rename(name, &spelling),
            ] {
                refused(&vector, Malformed::UnknownParameter).await;
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_stands_twice_is_refused_wherever_the_second_stands() {
    for name in NAMES {
        for at in 0..=NAMES.len() {
            let mut vector = Vector::good();
            let pair = vector.pairs.iter().find(|(known, _)| known == name).unwrap().clone();
            vector.pairs.insert(at, pair);
            refused(&vector, Malformed::Duplicate(name)).await;
        }
        let thrice = Vector::good().push(name, "x").push(name, "x");
        refused(&thrice, Malformed::Duplicate(name)).await;
    }
}

/// A reader that collects pairs in a table without an order of its own may take either of two.
#[test]
fn whichever_of_two_spellings_comes_first_the_refusal_is_always_the_same() {
    for name in ["x-amz-credential", "X-AMZ-CREDENTIAL", "X-Amz-%43redential", "action"] {
        let both = [Vector::good().push(name, "eve"), Vector::good().push_front(name, "eve")];
        for vector in both.iter().cycle().take(400) {
            assert_eq!(admitted(vector), Err(Malformed::UnknownParameter.into()), "{name}");
        }
    }
}

#[tokio::test]
async fn only_the_nine_names_are_known() {
    for name in [
        "DurationSeconds",
        "ExternalId",
        "Policy",
        "PolicyArns.member.1.arn",
        "ProviderId",
        "RoleArn",
        "RoleSessionName",
        "SAMLAssertion",
        "SerialNumber",
        "SourceIdentity",
        "Tags.member.1.Key",
        "TokenCode",
        "TransitiveTagKeys.member.1",
        "WebIdentityToken",
        "AWSAccessKeyId",
        "Expires",
        "Signature",
        "SignatureMethod",
        "SignatureVersion",
        "SecurityToken",
        "Timestamp",
        "Authorization",
        "X-Amz-Access-Token",
        "X-Amz-Content-Sha256",
        "X-Amz-Decoded-Content-Length",
        "X-Amz-Region-Set",
        "X-Amz-SdkChecksum-Algorithm",
        "X-Amz-Signature-Version",
        "X-Amz-Target",
        "X-Amz-Trailer",
        "X-Amz-User-Agent",
        "X-Amz-Credential-Scope",
        "X-Amz-Security-Token-2",
        "x-id",
        "x-k8s-aws-id",
        "X-K8s-Aws-Id",
        "host",
        "Host",
        "_method",
        "callback",
        "format",
        "__proto__",
        "$where",
    ] {
        for vector in [Vector::good().push(name, "x"), Vector::good().push_front(name, "x")] {
            refused(&vector, Malformed::UnknownParameter).await;
        }
    }
}

#[tokio::test]
async fn pairs_are_parted_by_ampersands_and_nothing_else() {
    let good = Vector::good();
    let query = |change: &dyn Fn(String) -> String| {
        let url = good.url();
        let (_, query) = url.split_once('?').unwrap();
        let changed = change(query.to_owned());
        Vector { pairs: Vec::new(), tail: changed, ..good.clone() }
    };
    let replaced =
        |from: &'static str, to: &'static str| query(&move |text: String| text.replace(from, to));
    assert_eq!(admitted(&query(&|text| text)), Ok(()));
    for (vector, fault) in [
        (replaced("&", ";"), Malformed::Action),
        (replaced("&", ","), Malformed::Action),
        (replaced("&", "%26"), Malformed::Action),
        (replaced("&", "+"), Malformed::Action),
        (replaced("&", "&amp;"), Malformed::UnknownParameter),
        (replaced("&", "&&"), Malformed::Pair),
        (replaced("&", "&;"), Malformed::UnknownParameter),
        (replaced("&", "?"), Malformed::Action),
        (replaced("=", "%3D"), Malformed::Pair),
        (replaced("=", ":"), Malformed::Pair),
        (replaced("=", "=="), Malformed::Action),
        (replaced("=", "%20="), Malformed::UnknownParameter),
        (replaced("=", "=%20"), Malformed::Action),
        (replaced("=", "=\""), Malformed::Action),
        (query(&|_| String::new()), Malformed::Pair),
        (query(&|_| "&".into()), Malformed::Pair),
        (query(&|_| "=".into()), Malformed::Pair),
        (query(&|_| "Action".into()), Malformed::Pair),
        (query(&|_| "?".into()), Malformed::Pair),
        (query(&|_| "Action=GetCallerIdentity".into()), Malformed::Missing("Version")),
        (query(&|text| format!("&{text}")), Malformed::Pair),
        (query(&|text| format!("{text}&")), Malformed::Pair),
        (query(&|text| format!("?{text}")), Malformed::UnknownParameter),
        (query(&|text| format!("=&{text}")), Malformed::Pair),
        (query(&|text| format!("{text}&=")), Malformed::Pair),
        (query(&|text| format!("{text}&%00=")), Malformed::UnknownParameter),
        (query(&|text| text.to_lowercase()), Malformed::UnknownParameter),
        (query(&|text| text.to_uppercase()), Malformed::UnknownParameter),
        (query(&|text| text.replace('%', "%25")), Malformed::SignedHeaders),
        (query(&|text| text.replace("%2F", "%2f")), Malformed::Scope),
        (query(&|text| text.replace("%2F", "/")), Malformed::Scope),
        (query(&|text| text.replace("%3B", ";")), Malformed::SignedHeaders),
    ] {
        refused(&vector, fault).await;
    }
}

#[tokio::test]
async fn an_action_beside_ours_is_never_seen() {
    use Malformed::{Action, Duplicate, UnknownParameter};
    let first = |name: &str, value: &str| Vector::good().push_front(name, value);
    for (vector, fault) in [
        (first("action", "AssumeRole"), UnknownParameter),
        (first("Action", "AssumeRole"), Duplicate("Action")),
        (Vector::good().rename("Action", "action").push("Action", "AssumeRole"), UnknownParameter),
        (
            Vector::good()
                .rename("Action", "action")
                .push("Action", "AssumeRoleWithWebIdentity")
                .push("WebIdentityToken", "x"),
            UnknownParameter,
        ),
        (
            Vector::good().set("Action", "AssumeRole").push("action", "GetCallerIdentity"),
            UnknownParameter,
        ),
        (Vector::good().set("Action", "AssumeRole"), Action),
        (Vector::good().set("Action", "DecodeAuthorizationMessage"), Action),
        (Vector::good().set("Action", "GetAccessKeyInfo"), Action),
        (Vector::good().set("Action", "GetFederationToken"), Action),
        (Vector::good().set("Action", "GetCallerIdentityGetCallerIdentity"), Action),
        (Vector::good().set("Action", "sts:GetCallerIdentity"), Action),
        (Vector::good().set("Action", "getCallerIdentity"), Action),
    ] {
        refused(&vector, fault).await;
    }
}
