//! TokenReview, `authentication.k8s.io/v1` and `v1beta1`: bytes to a question, an answer to bytes.
//!
//! Decides nothing. [`Told`] is all that a refusal looks like from outside; the log is told more.
//! Source: Kubernetes, "Webhook token authentication", and the TokenReview API reference.

use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::json::Object;
use crate::mapping::User;
use crate::secret::Secret;
use crate::token::{Denial, Malformed, Refusal, Stale};

/// What the API server asks.
#[derive(Debug)]
pub struct Question {
    version: Version,
    token: Secret,
}

/// The API version of a question, which its answer echoes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// `authentication.k8s.io/v1`
    V1,
    /// `authentication.k8s.io/v1beta1`, also where the question does not say.
    V1Beta1,
}

/// The body is not a question that can be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NotAQuestion {
    #[error("the body is not JSON of a TokenReview's shape")]
    Shape,
    #[error("the kind is not TokenReview")]
    Kind,
    #[error("the apiVersion is not authentication.k8s.io/v1 or v1beta1")]
    Version,
}

impl Question {
    /// Reads a request body. Names are exact, each at most once; members that are not needed are
    /// passed over, whatever the caller puts into `status`.
    ///
    /// # Errors
    /// See [`NotAQuestion`].
    pub fn read(body: &[u8]) -> Result<Self, NotAQuestion> {
        let wire = serde_json::from_slice(body);
        let Object::<Wire>(wire) = wire.map_err(|_| NotAQuestion::Shape)?;
        if !matches!(wire.kind.as_deref(), None | Some("" | "TokenReview")) {
            return Err(NotAQuestion::Kind);
        }
        let version = match wire.api_version.as_deref() {
            Some("authentication.k8s.io/v1") => Version::V1,
            None | Some("" | "authentication.k8s.io/v1beta1") => Version::V1Beta1,
            Some(_) => return Err(NotAQuestion::Version),
        };
        // Kubernetes leaves an empty token out.
        let token = wire.spec.and_then(|Object(spec)| spec.token).unwrap_or_default();
        Ok(Self { version, token: Secret::new(token) })
    }

    /// The bearer token; empty where there is none.
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// Which version the answer has to be in.
    pub fn version(&self) -> Version {
        self.version
    }
}

/// How a question was answered. The labels of the metric are interface, the misspelt one too.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the labels say it")]
pub enum Outcome {
    InvalidToken,
    MalformedRequest,
    StsError,
    StsThrottling,
    Success,
    UnknownUser,
}

impl Outcome {
    /// Every one, in the order of their labels.
    pub const ALL: [Self; 6] = [
        Self::InvalidToken,
        Self::MalformedRequest,
        Self::StsError,
        Self::StsThrottling,
        Self::Success,
        Self::UnknownUser,
    ];

    /// The value of the label `result` of `authenticate_latency_seconds`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::InvalidToken => "invalid_token",
            Self::MalformedRequest => "malformed_request",
            Self::StsError => "sts_error",
            Self::StsThrottling => "sts_throttling",
            Self::Success => "success",
            Self::UnknownUser => "uknown_user",
        }
    }
}

/// How a refusal looks from outside: poorer than what the log is told, and of a closed set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// Not our token. Without `status.error` the API server caches the denial and stays quiet.
    NotOurs,
    /// Ours but denied: 200, and a reason that shows in the API server's log.
    Denied(&'static str),
    /// Cannot decide: 504. The API server tries again, because there is no `Retry-After`.
    Unavailable(&'static str),
    /// Too much at once: 429. The API server tries again.
    TooMany(&'static str),
}

impl Told {
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotOurs | Self::Denied(_) => 200,
            Self::TooMany(_) => 429,
            Self::Unavailable(_) => 504,
        }
    }
}

impl From<&Refusal> for Told {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Malformed(Malformed::Prefix) => Self::NotOurs,
            Refusal::Malformed(Malformed::Host(_)) => Self::Denied("sts_host_not_allowed"),
            Refusal::Malformed(_) => Self::Denied("token_malformed"),
            Refusal::Stale(Stale::Early(_)) => Self::Denied("token_not_yet_valid"),
            Refusal::Stale(Stale::Late(_) | Stale::Remembered) => Self::Denied("token_expired"),
            Refusal::Denied(Denial::BadSignature) => {
                Self::Denied("cluster_id_mismatch_or_bad_signature")
            }
            Refusal::Denied(Denial::ExpiredToken) => Self::Denied("credentials_expired"),
            Refusal::Denied(Denial::UnknownKey) => Self::Denied("access_key_unknown"),
            Refusal::Denied(Denial::AccessDenied | Denial::Other) => Self::Denied("sts_denied"),
            Refusal::Throttled => Self::TooMany("STS is throttling requests"),
            Refusal::Busy => Self::TooMany("too many requests to STS are under way"),
            Refusal::Unavailable(_) => Self::Unavailable("STS cannot be asked"),
            Refusal::Unreadable(_) => Self::Unavailable("the answer of STS cannot be read"),
        }
    }
}

impl From<&Refusal> for Outcome {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Malformed(_) | Refusal::Stale(_) => Self::InvalidToken,
            Refusal::Throttled | Refusal::Busy => Self::StsThrottling,
            Refusal::Denied(_) | Refusal::Unavailable(_) | Refusal::Unreadable(_) => Self::StsError,
        }
    }
}

/// What the API server is told about a caller who is let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant<'a> {
    /// The user name and groups.
    pub user: &'a User,
    /// Who it really is.
    pub identity: &'a Identity,
    /// Whether the account is one of `server.scrubbedAccounts`, which are not told about.
    pub scrubbed: bool,
}

impl Grant<'_> {
    /// The `uid`: stable for the principal, or for the name where the account is scrubbed.
    pub fn uid(&self) -> String {
        if self.scrubbed {
            return ["aws-iam-authenticator:administrative:", &self.user.name].concat();
        }
        let account = self.identity.account.as_str();
        ["aws-iam-authenticator:", account, ":", &self.identity.user_id].concat()
    }

    /// The body of the answer.
    pub fn answer(&self, version: Version) -> Vec<u8> {
        let canonical = self.identity.arn.canonical();
        let extra = (!self.scrubbed).then(|| Extra {
            access_key_id: [&self.identity.access_key_id],
            arn: [self.identity.arn.as_str()],
            canonical_arn: [&canonical],
            principal_id: [&self.identity.user_id],
            session_name: [&self.identity.session_name],
            named_principal_id: [&self.identity.user_id],
        });
        let uid = self.uid();
        let user =
            TellUser { username: &self.user.name, uid: &uid, groups: &self.user.groups, extra };
        tell(version, &Status { authenticated: true, user: Some(user), error: None })
    }
}

/// The body of an answer that lets nobody in: a TokenReview for a decision, a `Status` where there
/// is none, so that the reason shows in the API server's log.
pub fn refusal(told: Told, version: Version) -> Vec<u8> {
    let denied = |error| tell(version, &Status { authenticated: false, user: None, error });
    match told {
        Told::NotOurs => denied(None),
        Told::Denied(reason) => denied(Some(reason)),
        Told::TooMany(message) => failure("TooManyRequests", 429, message),
        Told::Unavailable(message) => failure("Timeout", 504, message),
    }
}

fn tell(version: Version, status: &Status<'_>) -> Vec<u8> {
    let api_version = match version {
        Version::V1 => "authentication.k8s.io/v1",
        Version::V1Beta1 => "authentication.k8s.io/v1beta1",
    };
    let review =
        Tell { api_version, kind: "TokenReview", metadata: Empty {}, spec: Empty {}, status };
    serde_json::to_vec(&review).unwrap_or_default()
}

fn failure(reason: &'static str, code: u16, message: &'static str) -> Vec<u8> {
    let status = Failure {
        api_version: "v1",
        kind: "Status",
        metadata: Empty {},
        status: "Failure",
        message,
        reason,
        code,
    };
    serde_json::to_vec(&status).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    api_version: Option<String>,
    kind: Option<String>,
    spec: Option<Object<WireSpec>>,
}

#[derive(Deserialize)]
struct WireSpec {
    token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tell<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Empty,
    spec: Empty,
    status: &'a Status<'a>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Status<'a> {
    authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<TellUser<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

#[derive(Serialize)]
struct TellUser<'a> {
    username: &'a str,
    uid: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Extra<'a>>,
}

/// The extra keys of the reference, in byte order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extra<'a> {
    access_key_id: [&'a str; 1],
    arn: [&'a str; 1],
    canonical_arn: [&'a str; 1],
    principal_id: [&'a str; 1],
    session_name: [&'a str; 1],
    #[serde(rename = "sigs.k8s.io/aws-iam-authenticator/principalId")]
    named_principal_id: [&'a str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    api_version: &'static str,
    kind: &'static str,
    metadata: Empty,
    status: &'static str,
    message: &'static str,
    reason: &'static str,
    code: u16,
}

#[cfg(test)]
mod tests;
