//! AssumeRole and GetCallerIdentity through the official STS client.

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::Client;
use std::time::SystemTime;

use super::fault::Refusal;
use crate::secret::Secret;

/// Which session name a role is to be assumed with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Session<'a> {
    /// This one.
    Named(&'a str),
    /// That of the credentials that assume it, if they have one.
    Forwarded,
    /// One that we make.
    Default,
}

impl Session<'_> {
    /// A text that no other session has. A forwarded name is settled by the source of the
    /// credentials, which is part of the key as well.
    pub(super) fn cache_key(self) -> String {
        match self {
            Self::Named(name) => format!("named {name}"),
            Self::Forwarded => "forwarded".to_owned(),
            Self::Default => String::new(),
        }
    }
}

/// One AssumeRole.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask<'a> {
    pub(super) role_arn: &'a str,
    pub(super) session_name: &'a str,
    pub(super) external_id: Option<&'a str>,
    /// Seconds; AWS's default is 3600.
    pub(super) duration: Option<i32>,
    /// Device and code.
    pub(super) mfa: Option<(&'a str, Secret)>,
}

/// Assumes a role with `base`.
pub(super) async fn assume(
    config: &SdkConfig,
    base: Credentials,
    ask: &Ask<'_>,
) -> Result<Credentials, Refusal> {
    let (serial, code) = match &ask.mfa {
        Some((serial, code)) => (Some((*serial).to_owned()), Some(code.expose().to_owned())),
        None => (None, None),
    };
    let answer = client(config, base)
        .assume_role()
        .role_arn(ask.role_arn)
        .role_session_name(ask.session_name)
        .set_external_id(ask.external_id.map(str::to_owned))
        .set_duration_seconds(ask.duration)
        .set_serial_number(serial)
        .set_token_code(code)
        .send()
        .await?;
    let given = answer.credentials.ok_or(Refusal::Empty)?;
    let expiry = SystemTime::try_from(given.expiration).map_err(|_| Refusal::Empty)?;
    Ok(Credentials::new(
        given.access_key_id,
        given.secret_access_key,
        Some(given.session_token),
        Some(expiry),
        "AssumeRoleProvider",
    ))
}

/// The session name of temporary credentials: what follows the one colon in the caller's unique
/// id. A user has none.
///
/// Source: IAM documentation, "IAM identifiers", unique ids (`AROA...:session`).
pub(super) async fn session_name(
    config: &SdkConfig,
    base: Credentials,
) -> Result<Option<String>, Refusal> {
    let answer = client(config, base).get_caller_identity().send().await?;
    let user_id = answer.user_id.unwrap_or_default();
    let mut parts = user_id.split(':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(session), None) => Ok(Some(session.to_owned())),
        _ => Ok(None),
    }
}

fn client(config: &SdkConfig, credentials: Credentials) -> Client {
    let provider = SharedCredentialsProvider::new(credentials);
    Client::new(&config.to_builder().credentials_provider(provider).build())
}
