//! A well-formed token, taken apart so that a test can spoil one part.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iamgate::clock::UnixTime;
use iamgate::identity::Partition;
use iamgate::secret::Secret;
use iamgate::token::{Acceptance, Age, HostPolicy};

/// 2026-01-02T03:04:05Z, when every vector is signed and judged.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_767_323_045);
pub(crate) const SIGNATURE: &str =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(crate) const SESSION_TOKEN: &str = "FwoG%2F%2Babc%3D";

/// The nine parameters, in the order of the good token.
pub(crate) const NAMES: [&str; 9] = [
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

/// The parts of a token's URL.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) pairs: Vec<(String, String)>,
    pub(crate) tail: String,
}

impl Vector {
    pub(crate) fn good() -> Self {
        let pairs = [
            ("Action", "GetCallerIdentity"),
            ("Version", "2011-06-15"),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &scope("20260102", "us-west-2")),
            ("X-Amz-Date", "20260102T030405Z"),
            ("X-Amz-Expires", "60"),
            ("X-Amz-Security-Token", SESSION_TOKEN),
            ("X-Amz-SignedHeaders", "host%3Bx-k8s-aws-id"),
            ("X-Amz-Signature", SIGNATURE),
        ];
        Self {
            scheme: "https://".into(),
            host: "sts.us-west-2.amazonaws.com".into(),
            path: "/".into(),
            pairs: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            tail: String::new(),
        }
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        let pair = self.pairs.iter_mut().find(|(known, _)| known == name);
        value.clone_into(&mut pair.unwrap_or_else(|| panic!("no {name}")).1);
        self
    }

    pub(crate) fn rename(mut self, name: &str, new: &str) -> Self {
        let pair = self.pairs.iter_mut().find(|(known, _)| known == name);
        new.clone_into(&mut pair.unwrap_or_else(|| panic!("no {name}")).0);
        self
    }

    pub(crate) fn remove(mut self, name: &str) -> Self {
        self.pairs.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn push(mut self, name: &str, value: &str) -> Self {
        self.pairs.push((name.into(), value.into()));
        self
    }

    pub(crate) fn push_front(mut self, name: &str, value: &str) -> Self {
        self.pairs.insert(0, (name.into(), value.into()));
        self
    }

    pub(crate) fn url(&self) -> String {
        let Self { scheme, host, path, pairs, tail } = self;
        let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{scheme}{host}{path}?{}{tail}", query.join("&"))
    }

    pub(crate) fn token(&self) -> Secret {
        token(&self.url())
    }
}

/// A value of `X-Amz-Credential`: the good token's key, and the scope of another day or region.
pub(crate) fn scope(day: &str, region: &str) -> String {
    format!("ASIAIOSFODNN7EXAMPLE%2F{day}%2F{region}%2Fsts%2Faws4_request")
}

/// Any text as a token.
pub(crate) fn token(url: &str) -> Secret {
    raw_token(url.as_bytes())
}

/// Any bytes as a token.
pub(crate) fn raw_token(bytes: &[u8]) -> Secret {
    Secret::new(format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// What vectors are judged by.
pub(crate) fn accept(cluster_ids: &[&str]) -> Acceptance {
    Acceptance {
        cluster_ids: cluster_ids.iter().map(|id| id.parse().unwrap()).collect(),
        hosts: HostPolicy::new(Partition::Aws),
        max_age: Age::default(),
    }
}
