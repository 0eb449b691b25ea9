//! Tokens that AWS's other SDKs made of the same cases (`tests/vectors/sdks`): every one is admitted, and STS is asked for
//! what was signed and nothing else, as aws-sigv4 finds by signing it again.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iamgate::token::PREFIX;
use serde::Deserialize;

use super::Golden;

const FILES: [&str; 4] = [
    include_str!("../../vectors/sdks/go.json"),
    include_str!("../../vectors/sdks/go-v1.json"),
    include_str!("../../vectors/sdks/js.json"),
    include_str!("../../vectors/sdks/java.json"),
];

/// Each way to make a token: its X-Amz-Expires, and the order in which it writes the parameters, without `X-Amz-`.
/// Security-Token is there with temporary credentials only.
const RECIPES: [(&str, &str, &str); 6] = [
    (
        "PresignClient",
        "60",
        "Action Version Algorithm Credential Date Expires Security-Token SignedHeaders Signature",
    ),
    (
        "Request.Presign(60)",
        "0",
        "Action Version Algorithm Credential Date Expires Security-Token SignedHeaders Signature",
    ),
    (
        "presign, formatUrl",
        "60",
        "Action Version Algorithm Credential Date Expires Security-Token Signature SignedHeaders",
    ),
    (
        "presign, encodeURIComponent",
        "0",
        "Action Version Security-Token Algorithm Credential Date Expires SignedHeaders Signature",
    ),
    (
        "Aws4Signer.presign",
        "60",
        "Action Version Security-Token Algorithm Date SignedHeaders Expires Credential Signature",
    ),
    (
        "AwsV4HttpSigner.sign",
        "60",
        "Action Version Security-Token Algorithm Date SignedHeaders Credential Expires Signature",
    ),
];

#[derive(Deserialize)]
struct Made {
    recipe: String,
    name: String,
    token: String,
}

impl Made {
    fn all() -> Vec<Self> {
        #[derive(Deserialize)]
        struct File {
            tokens: Vec<Made>,
        }
        let tokens = |file| serde_json::from_str::<File>(file).unwrap().tokens;
        FILES.into_iter().flat_map(tokens).collect()
    }

    fn url(&self) -> String {
        let bytes = URL_SAFE_NO_PAD.decode(self.token.strip_prefix(PREFIX).unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

/// The tokens of every SDK, each with the place and time of its vector.
pub(crate) fn all() -> Vec<Golden> {
    let vectors = Golden::all();
    let made = Made::all().into_iter().map(|made| {
        let vector = vectors.iter().find(|vector| vector.name == made.name).unwrap().clone();
        let name = format!("{}: {}", made.recipe, made.name);
        Golden { name, url: made.url(), token: made.token, ..vector }
    });
    made.collect()
}

#[test]
fn every_sdk_signed_every_case() {
    let names: Vec<String> = Golden::all().into_iter().map(|golden| golden.name).collect();
    let made = Made::all();
    let ways = RECIPES.map(|(recipe, ..)| recipe);
    for recipe in ways {
        let of_it = made.iter().filter(|made| made.recipe == recipe);
        assert_eq!(of_it.map(|made| &made.name).collect::<Vec<_>>(), Vec::from_iter(&names));
    }
    assert_eq!(made.len(), ways.len() * names.len(), "a recipe is not in the table");
}

#[test]
fn sdks_differ_in_the_order_of_parameters_and_in_expiry() {
    for made in Made::all() {
        let url = made.url();
        let pairs = pairs(&url);
        let (_, expires, order) = RECIPES.into_iter().find(|row| row.0 == made.recipe).unwrap();
        let temporary = pairs.iter().any(|(name, _)| *name == "X-Amz-Security-Token");
        let order = order.split(' ').filter(|name| temporary || *name != "Security-Token");
        let names = pairs.iter().map(|(name, _)| name.trim_start_matches("X-Amz-"));
        assert_eq!(Vec::from_iter(names), Vec::from_iter(order), "{}: {}", made.recipe, made.name);
        assert!(pairs.contains(&("X-Amz-Expires", expires)), "{}: {}", made.recipe, made.name);
    }
}

#[tokio::test]
async fn tokens_of_every_sdk_reach_sts_as_the_request_that_was_signed() {
    let vectors = Golden::all();
    for made in Made::all() {
        let golden = vectors.iter().find(|golden| golden.name == made.name).unwrap();
        assert_asked_for(golden, &made.token, &made.url(), &made.recipe).await;
    }
}

/// The usual way in Rust, without a client of STS: aws-sigv4 alone.
#[tokio::test]
async fn tokens_of_aws_sigv4_reach_sts_as_the_request_that_was_signed() {
    for golden in Golden::all() {
        let url = signed(&golden, 60);
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&url));
        assert_asked_for(&golden, &token, &url, "aws-sigv4").await;
    }
}

/// That STS is asked once about `token`: for the very pairs of its `url`, with a signature that is good.
async fn assert_asked_for(golden: &Golden, token: &str, url: &str, recipe: &str) {
    let case = format!("{recipe}: {}", golden.name);
    let asked = golden.asked_with(token).await;
    let [(host, target, cluster_id)] = &asked[..] else { panic!("{case}: not asked once") };
    assert_eq!((host, cluster_id), (&golden.host, &golden.cluster_id), "{case}");
    let rebuilt = format!("https://{host}{target}");
    assert_eq!(sorted(&rebuilt), sorted(url), "{case}");
    let expires = pairs(url).into_iter().find(|(name, _)| *name == "X-Amz-Expires").unwrap().1;
    let signed = signed(golden, expires.parse().unwrap());
    assert_eq!(sorted(&rebuilt), sorted(&signed), "{case}: the signature is not aws-sigv4's");
}

/// What aws-sigv4 makes of the case, in the order in which it writes the parameters.
fn signed(golden: &Golden, expires: u64) -> String {
    let keys = Credentials::new(
        &golden.access_key_id,
        &golden.secret_access_key,
        golden.session_token.clone(),
        None,
        "test",
    )
    .into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(expires));
    let parameters = SigningParams::builder()
        .identity(&keys)
        .region(&golden.region)
        .name("sts")
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(golden.unix_time))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let url = format!("https://{}/?Action=GetCallerIdentity&Version=2011-06-15", golden.host);
    let headers = [("x-k8s-aws-id", golden.cluster_id.as_str())];
    let body = SignableBody::Bytes(&[]);
    let request = SignableRequest::new("GET", &url, headers.into_iter(), body).unwrap();
    let (instructions, _) = sign(request, &parameters).unwrap().into_parts();
    let mut request = http::Request::get(url).body(()).unwrap();
    instructions.apply_to_request_http1x(&mut request);
    request.uri().to_string()
}

fn pairs(url: &str) -> Vec<(&str, &str)> {
    let (_, query) = url.split_once("/?").unwrap();
    query.split('&').map(|pair| pair.split_once('=').unwrap()).collect()
}

fn sorted(url: &str) -> Vec<(&str, &str)> {
    let mut pairs = pairs(url);
    pairs.sort_unstable();
    pairs
}
