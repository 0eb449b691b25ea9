//! SigV4 of a presigned `GET` as its documentation has it, and on nothing of ours.
//!
//! Source: IAM User Guide, "Create a signed AWS API request".

use std::collections::HashMap;

use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign};
use url::Url;

/// The canonical request of `url` with the two headers that tokens are signed with.
pub(super) fn canonical_request(url: &Url, cluster_id: &str) -> String {
    let mut query: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    query.sort_unstable();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (path, query, host) = (url.path(), query.join("&"), url.host_str().unwrap());
    let nothing = hex(digest(&SHA256, b"").as_ref());
    format!(
        "GET\n{path}\n{query}\nhost:{host}\nx-k8s-aws-id:{cluster_id}\n\n\
         host;x-k8s-aws-id\n{nothing}"
    )
}

/// The signature of `canonical` with the scope and the date of `url`.
pub(super) fn signature(url: &Url, canonical: &str, secret: &str) -> String {
    let pairs: HashMap<_, _> = url.query_pairs().collect();
    let scope = pairs["X-Amz-Credential"].split_once('/').unwrap().1;
    let date = &pairs["X-Amz-Date"];
    let digest = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/').chain([&*to_sign]) {
        key = sign(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    hex(&key)
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte.into());
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
