//! What STS said: an identity, a denial, or something that cannot be read.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::{Fresh, Refusal, Reply, StsUnavailable};
use crate::identity::{AccountId, Arn, ArnFault, Identity, Principal};
use crate::json::Object;

/// Why STS refused a request. The codes are of STS's "Common Errors" page; a closed set, so that
/// the text of STS reaches neither API server nor metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Denial {
    #[error("the signature does not fit: wrong cluster ID or altered token")]
    BadSignature,
    #[error("the credentials have expired")]
    ExpiredToken,
    #[error("the access key or session token is not known")]
    UnknownKey,
    #[error("access denied")]
    AccessDenied,
    #[error("another reason")]
    Other,
}

/// What cannot be read about an answer of STS.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Unreadable {
    #[error("it is not JSON")]
    NotJson,
    #[error("it is not a GetCallerIdentity answer")]
    Shape,
    #[error("its ARN is not one: {0}")]
    Arn(ArnFault),
    #[error("its account is not that of its ARN")]
    Account,
    #[error("its ARN is of another partition")]
    Partition,
    #[error("its UserId is not of the principal's form")]
    UserId,
    #[error("its UserId names another session than its ARN")]
    Session,
}

/// Reads what STS answered to `fresh`.
pub(super) fn read(reply: &Reply, fresh: &Fresh) -> Result<Identity, Refusal> {
    match reply.status {
        200 => identity(reply, fresh),
        429 => Err(Refusal::Throttled),
        400 | 401 | 403 => Err(refusal(reply)),
        status => Err(match throttling(&reply.body) {
            true => Refusal::Throttled,
            false => StsUnavailable::Status(status).into(),
        }),
    }
}

fn refusal(reply: &Reply) -> Refusal {
    let Ok(Object(ErrorBody { error: Object(ErrorCode { code }) })) =
        serde_json::from_slice(&reply.body)
    else {
        let slowed = throttling(&reply.body);
        return if slowed { Refusal::Throttled } else { Refusal::Unreadable(Unreadable::NotJson) };
    };
    if throttling(code.as_bytes()) {
        return Refusal::Throttled;
    }
    Refusal::Denied(match &*code {
        "SignatureDoesNotMatch" => Denial::BadSignature,
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => Denial::ExpiredToken,
        "InvalidClientTokenId" | "UnrecognizedClientException" => Denial::UnknownKey,
        "AccessDenied" | "AccessDeniedException" => Denial::AccessDenied,
        "InternalFailure" | "InternalError" | "ServiceUnavailable" => {
            return StsUnavailable::Status(reply.status).into();
        }
        _ => Denial::Other,
    })
}

/// The spellings that AWS SDKs take for "slow down" (AWS SDKs reference guide, retry behaviour).
fn throttling(body: &[u8]) -> bool {
    THROTTLING.iter().any(|word| body.windows(word.len()).any(|part| part == word.as_bytes()))
}

fn identity(reply: &Reply, fresh: &Fresh) -> Result<Identity, Refusal> {
    if !reply.json {
        return Err(Refusal::Unreadable(Unreadable::NotJson));
    }
    // All of it, also where a member is passed over.
    let body = str::from_utf8(&reply.body).map_err(|_| Refusal::Unreadable(Unreadable::NotJson))?;
    let body: Object<Answer> = serde_json::from_str(body).map_err(|error| {
        Refusal::Unreadable(match error.classify() {
            serde_json::error::Category::Data => Unreadable::Shape,
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => Unreadable::NotJson,
        })
    })?;
    let Object(Answer { response: Object(Response { result, .. }) }) = body;
    let CallerIdentity { account, arn, user_id } = result;
    let bad = |what| Err(Refusal::Unreadable(what));
    let arn: Arn = match arn.parse::<Arn>() {
        Ok(arn) => arn,
        Err(error) => return bad(Unreadable::Arn(error.fault)),
    };
    if account.parse::<AccountId>() != Ok(arn.account()) {
        return bad(Unreadable::Account);
    }
    if arn.partition() != fresh.host().partition() {
        return bad(Unreadable::Partition);
    }
    let Some((user_id, session_name)) = split_user_id(&arn, &user_id) else {
        return bad(Unreadable::UserId);
    };
    // User names are made of the one, and instances looked up by it; the log tells the other.
    if let Principal::AssumedRole { session, .. } = arn.principal()
        && **session != *session_name
    {
        return bad(Unreadable::Session);
    }
    Ok(Identity {
        account: arn.account(),
        arn,
        user_id: user_id.into(),
        session_name: session_name.into(),
        access_key_id: fresh.access_key_id().into(),
        sts_host: fresh.host().as_str().into(),
    })
}

/// Sessions have `ID:SESSION`, all others one id (IAM User Guide, "Unique identifiers").
fn split_user_id<'a>(arn: &Arn, user_id: &'a str) -> Option<(&'a str, &'a str)> {
    if user_id.is_empty() || !user_id.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    match arn.principal() {
        Principal::User { .. } | Principal::Root | Principal::FederatedUser { .. } => {
            Some((user_id, ""))
        }
        // STS names sessions, never roles; the reference reads both alike.
        Principal::AssumedRole { .. } | Principal::Role { .. } => {
            let (id, name) = user_id.split_once(':')?;
            (!id.is_empty() && !name.is_empty() && !name.contains(':')).then_some((id, name))
        }
    }
}

/// An answer. No other member beside it: a wrapper would be another action's answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(rename = "GetCallerIdentityResponse")]
    response: Object<Response>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    #[serde(rename = "GetCallerIdentityResult")]
    result: CallerIdentity,
    #[serde(rename = "ResponseMetadata", default)]
    _metadata: Option<de::IgnoredAny>,
}

/// The three members, each once and exactly so spelt. A member that AWS may add is passed over;
/// another spelling of one of the three is not.
struct CallerIdentity {
    account: Box<str>,
    arn: Box<str>,
    user_id: Box<str>,
}

impl<'de> Deserialize<'de> for CallerIdentity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = CallerIdentity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Account, Arn and UserId")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CallerIdentity, A::Error> {
                let (mut account, mut arn, mut user_id) = (None, None, None);
                while let Some(name) = map.next_key::<String>()? {
                    let slot: &mut Option<Box<str>> = match name.as_str() {
                        "Account" => &mut account,
                        "Arn" => &mut arn,
                        "UserId" => &mut user_id,
                        other
                            if ["account", "arn", "userid"]
                                .contains(&other.to_lowercase().as_str()) =>
                        {
                            return Err(de::Error::custom("a member in another spelling"));
                        }
                        _ => {
                            map.next_value::<de::IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.replace(map.next_value()?).is_some() {
                        return Err(de::Error::custom("a member twice"));
                    }
                }
                let missing = || de::Error::custom("a member is missing");
                Ok(CallerIdentity {
                    account: account.ok_or_else(missing)?,
                    arn: arn.ok_or_else(missing)?,
                    user_id: user_id.ok_or_else(missing)?,
                })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "Error")]
    error: Object<ErrorCode>,
}

#[derive(Deserialize)]
struct ErrorCode {
    #[serde(rename = "Code")]
    code: Box<str>,
}

const THROTTLING: [&str; 7] = [
    "Throttling",
    "Throttled",
    "TooManyRequests",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "SlowDown",
    "LimitExceededException",
];
