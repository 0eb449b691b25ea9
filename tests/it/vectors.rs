//! Tokens that botocore made (`tests/aws/vectors.py`): ours are the same bytes, and are admitted. `sdks` has those of other SDKs.

use iamgate::clock::UnixTime;
use iamgate::identity::{ClusterId, Partition};
use iamgate::secret::Secret;
use iamgate::token::{
    Acceptance, Age, Credentials, Denial, Endpoint, HostPolicy, Refusal, Verifier, sign,
};
use serde::Deserialize;

use crate::support::script::{Asked, Script, error, json};

pub(crate) mod sdks;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) host: String,
    cluster_id: String,
    access_key_id: String,
    pub(crate) secret_access_key: String,
    session_token: Option<String>,
    unix_time: u64,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Golden {
    pub(crate) fn all() -> Vec<Self> {
        let vectors: Vec<Self> =
            serde_json::from_str(include_str!("../vectors/tokens.json")).unwrap();
        assert!(vectors.len() >= 30, "only {} vectors", vectors.len());
        vectors
    }

    fn endpoint(&self) -> Endpoint {
        let region = if self.host == "sts.amazonaws.com" { "aws-global" } else { &self.region };
        let fips = self.host.starts_with("sts-fips.");
        let dual_stack = self.host.contains(".api.");
        Endpoint::of(region, fips, dual_stack).unwrap()
    }

    pub(crate) fn cluster_id(&self) -> ClusterId {
        self.cluster_id.parse().unwrap()
    }

    fn partition(&self) -> Partition {
        let of_region = |partition: &Partition| partition.names_region(&self.region);
        Partition::ALL.into_iter().find(of_region).unwrap()
    }

    /// What a server of its cluster accepts.
    pub(crate) fn accept(&self) -> Acceptance {
        Acceptance {
            cluster_ids: vec![self.cluster_id()],
            hosts: HostPolicy::new(self.partition()),
            max_age: Age::default(),
        }
    }

    pub(crate) fn signed_at(&self) -> UnixTime {
        UnixTime::from_secs(self.unix_time)
    }

    /// What STS is asked about `token`, which is judged as one of this vector's place and time.
    async fn asked_with(&self, token: &str) -> Asked {
        let sts = Script::new([json(403, error("ExpiredToken"))]);
        let verifier = Verifier::new(sts.clone(), self.signed_at());
        let denied = verifier.verify(&Secret::new(token), &self.accept()).await;
        let refused = Refusal::Denied(Denial::ExpiredToken);
        assert_eq!(denied.unwrap_err(), refused, "{}", self.name);
        sts.finish()
    }
}

#[test]
fn our_tokens_are_the_bytes_that_botocore_makes() {
    for golden in Golden::all() {
        let credentials = Credentials {
            access_key_id: golden.access_key_id.as_str().into(),
            secret_access_key: Secret::new(golden.secret_access_key.as_str()),
            session_token: golden.session_token.as_deref().map(Secret::new),
        };
        let endpoint = golden.endpoint();
        assert_eq!(endpoint.host(), golden.host, "{}", golden.name);
        let now = golden.signed_at();
        let token = sign(&credentials, &endpoint, &golden.cluster_id(), now).unwrap();
        assert_eq!(token.text.expose(), golden.token, "{}", golden.name);
        assert_eq!(token.expires.as_secs(), golden.unix_time + 14 * 60, "{}", golden.name);
    }
}

#[tokio::test]
async fn botocores_tokens_reach_sts_as_the_request_that_was_signed() {
    for golden in Golden::all() {
        let [(host, target, cluster_id)] = &golden.asked_with(&golden.token).await[..] else {
            panic!("{}: STS was not asked once", golden.name);
        };
        assert_eq!(format!("https://{host}{target}"), golden.url, "{}", golden.name);
        assert_eq!(*cluster_id, golden.cluster_id, "{}", golden.name);
    }
}
