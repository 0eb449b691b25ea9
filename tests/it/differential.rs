//! Real tokens, mutated at random and read by two readers: ours, and the `url` crate with a
//! canonicalisation written here from the SigV4 documentation. Whatever ours accepts, both read
//! alike, and it rebuilds to the very pairs that came in.

mod canonical;
mod mutations;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use iamgate::secret::Secret;
use iamgate::token::{Acceptance, Refusal, Verifier};
use proptest::prelude::*;
use url::Url;

use self::canonical::{canonical_request, signature};
use self::mutations::{Mutation, Parts, mutations, neutral};
use crate::support::script::{Script, error, json};
use crate::support::vector::NAMES;
use crate::vectors::{Golden, sdks};

/// What botocore signed, and what the other SDKs did.
fn tokens() -> Vec<Golden> {
    Golden::all().into_iter().chain(sdks::all()).collect()
}

/// What STS is asked for `token`: the URL of the one request.
fn rebuilt(golden: &Golden, token: &str) -> Result<String, Refusal> {
    let denied = json(403, error("ExpiredToken"));
    let sts = Script::new([denied]);
    let verifier = Verifier::new(sts.clone(), golden.signed_at());
    let accept: Acceptance = golden.accept();
    let fresh = verifier.admit(&Secret::new(token), &accept)?;
    let asked = tokio::runtime::Builder::new_current_thread().build().unwrap();
    asked.block_on(verifier.prove(&fresh, &accept)).unwrap_err();
    let [(host, target, cluster_id)] = &sts.finish()[..] else {
        panic!("STS was not asked once");
    };
    assert_eq!(*cluster_id, golden.cluster_id().as_str());
    Ok(format!("https://{host}{target}"))
}

/// The text in a token for a reader that takes every alphabet and padding, and bits left over.
fn leniently_unwrapped(token: &str) -> String {
    let body = token.strip_prefix("k8s-aws-v1.").unwrap();
    let body = body.replace('+', "-").replace('/', "_");
    let lenient = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&URL_SAFE, lenient).decode(body.trim()).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The raw pairs of a URL's query, in order of bytes.
fn pairs(url: &str) -> Vec<&str> {
    let mut pairs: Vec<&str> = url.split_once('?').unwrap().1.split('&').collect();
    pairs.sort_unstable();
    pairs
}

/// Everything that has to hold of a token that our reader accepted and rebuilt to `ours`.
fn agree(golden: &Golden, token: &str, ours: &str) -> Result<(), TestCaseError> {
    // One text for each URL: what a lenient reader sees has no other token.
    let came = leniently_unwrapped(token);
    let only = format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(&came));
    prop_assert_eq!(token, only, "another spelling of the same token was accepted");

    // The very pairs, byte for byte, whatever their order; and before them the very bytes.
    prop_assert_eq!(pairs(&came), pairs(ours));
    prop_assert_eq!(came.split_once('?').unwrap().0, ours.split_once('?').unwrap().0);

    // The second reader sees one host, path and set of pairs in both, and nothing else.
    let (theirs, rebuilt) = (Url::parse(&came).unwrap(), Url::parse(ours).unwrap());
    let host = came.strip_prefix("https://").unwrap().split('/').next();
    prop_assert_eq!(theirs.host_str(), host);
    let decoded = |url: &Url| {
        let mut pairs: Vec<_> = url.query_pairs().into_owned().collect();
        pairs.sort_unstable();
        pairs
    };
    prop_assert_eq!(decoded(&theirs), decoded(&rebuilt));
    for url in [&theirs, &rebuilt] {
        prop_assert_eq!((url.scheme(), url.path(), url.host_str()), ("https", "/", host));
        prop_assert_eq!((url.port(), url.fragment(), url.username()), (None, None, ""));
        prop_assert_eq!(url.password(), None);
    }
    let names: Vec<_> = decoded(&theirs).into_iter().map(|(name, _)| name).collect();
    let mut known = NAMES.to_vec();
    known.sort_unstable();
    known.retain(|known| *known != "X-Amz-Security-Token" || names.iter().any(|n| n == known));
    prop_assert_eq!(&names, &known, "exactly the nine, each once");

    // One canonical request, and so one signature. Only the signer's own pairs have the right one.
    let cluster_id = golden.cluster_id();
    let canonical = canonical_request(&theirs, cluster_id.as_str());
    prop_assert_eq!(&canonical, &canonical_request(&rebuilt, cluster_id.as_str()));
    let signed = signature(&theirs, &canonical, &golden.secret_access_key);
    let told = decoded(&theirs).into_iter().find(|(name, _)| name == "X-Amz-Signature");
    let is_as_signed =
        pairs(&came) == pairs(&golden.url) && theirs.host_str() == Some(golden.host.as_str());
    prop_assert_eq!(told.unwrap().1 == signed, is_as_signed);
    Ok(())
}

#[test]
fn the_canonicalisation_here_gives_the_signatures_that_the_sdks_gave() {
    for golden in tokens() {
        let ours = rebuilt(&golden, &golden.token).unwrap();
        assert_eq!(pairs(&ours), pairs(&golden.url), "{}", golden.name);
        agree(&golden, &golden.token, &ours).unwrap();
    }
}

#[test]
fn a_mutation_that_keeps_the_spelling_is_accepted_and_read_alike() {
    for golden in tokens() {
        let mut accepted = 0;
        for (what, parts) in neutral(&Parts::of(&golden.token)) {
            let token = parts.token();
            let ours = rebuilt(&golden, &token)
                .unwrap_or_else(|refusal| panic!("{}: {what}: {refusal}", golden.name));
            agree(&golden, &token, &ours).unwrap();
            accepted += 1;
        }
        assert!(accepted >= 15, "{}: only {accepted}", golden.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn whatever_is_accepted_is_rebuilt_to_the_same_pairs_and_read_alike_by_a_second_reader(
        golden in prop::sample::select(tokens()),
        mutations in mutations(),
    ) {
        let mut parts = Parts::of(&golden.token);
        for mutation in &mutations {
            parts.apply(mutation);
        }
        let token = parts.token();
        match rebuilt(&golden, &token) {
            Ok(ours) => agree(&golden, &token, &ours)?,
            // Reordering alone is what signers differ in: it must never be the reason.
            Err(refusal) => {
                let moved = |mutation: &Mutation| matches!(mutation, Mutation::Move { .. });
                prop_assert!(!mutations.iter().all(moved), "{}: {}", golden.name, refusal);
            }
        }
    }
}
