use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;

use super::Ec2Fault;
use crate::clock::{Clock, UnixTime};
use crate::identity::AccountId;

/// The credentials of a role that is assumed before EC2 is asked
/// (`server.ec2DescribeInstancesRoleARN`).
#[derive(Clone, Debug)]
pub struct AssumedRole {
    sts: aws_sdk_sts::Client,
    role: Box<str>,
    source: Option<SourceArn>,
}

/// The resource on whose behalf a role is assumed (`server.sourceARN`), so that the role's trust
/// policy can tell it by `aws:SourceArn` and `aws:SourceAccount`.
///
/// Source: IAM User Guide, "The confused deputy problem".
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceArn {
    arn: Box<str>,
    account: Box<str>,
}

/// Why text is not a [`SourceArn`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not the ARN of a resource: arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE")]
pub struct SourceArnFault(pub Box<str>);

impl AssumedRole {
    /// Assumes `role` by `sts`, whose own credentials must be allowed to.
    pub fn new(sts: aws_sdk_sts::Client, role: &str, source: Option<SourceArn>) -> Self {
        Self { sts, role: role.into(), source }
    }

    async fn assume(&self) -> Result<Credentials, CredentialsError> {
        let seconds = i32::try_from(DURATION.as_secs()).unwrap_or(i32::MAX);
        let request = self.sts.assume_role().role_arn(&*self.role).role_session_name(SESSION_NAME);
        let source = self.source.clone();
        // Before signing, so that the signature covers them: unsigned, they prove nothing.
        let request =
            request.duration_seconds(seconds).customize().mutate_request(move |request| {
                if let Some(SourceArn { arn, account }) = &source {
                    request.headers_mut().insert("x-amz-source-arn", String::from(&**arn));
                    request.headers_mut().insert("x-amz-source-account", String::from(&**account));
                }
            });
        let answer = request.send().await.map_err(CredentialsError::provider_error)?;
        let told = answer.credentials.ok_or_else(|| {
            CredentialsError::provider_error("AssumeRole answered without credentials")
        })?;
        let expires = SystemTime::try_from(told.expiration).map_err(CredentialsError::unhandled)?;
        Ok(Credentials::new(
            told.access_key_id,
            told.secret_access_key,
            Some(told.session_token),
            Some(expires),
            "EC2DescribeInstancesRole",
        ))
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}

impl FromStr for SourceArn {
    type Err = SourceArnFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut fields = text.splitn(6, ':');
        let scheme = fields.next();
        let account = fields.nth(3).unwrap_or_default();
        let complete = scheme == Some("arn") && fields.next().is_some_and(|rest| !rest.is_empty());
        // Nothing else can stand in a header.
        let plain = text.len() <= MAX_ARN && text.bytes().all(|byte| byte.is_ascii_graphic());
        match complete && plain && account.parse::<AccountId>().is_ok() {
            true => Ok(Self { arn: text.into(), account: account.into() }),
            false => Err(SourceArnFault(text.chars().take(80).collect())),
        }
    }
}

/// Credentials, kept until they are about to expire.
pub(super) struct Kept<C> {
    provider: SharedCredentialsProvider,
    clock: C,
    kept: Mutex<Option<(Credentials, UnixTime)>>,
}

impl<C: Clock> Kept<C> {
    pub(super) fn new(provider: SharedCredentialsProvider, clock: C) -> Self {
        Self { provider, clock, kept: Mutex::new(None) }
    }

    pub(super) fn clock(&self) -> &C {
        &self.clock
    }

    /// The credentials, new ones if need be. One caller at a time asks for them.
    pub(super) async fn credentials(&self) -> Result<Credentials, Ec2Fault> {
        let mut kept = self.kept.lock().await;
        let now = self.clock.now();
        if let Some((credentials, until)) = kept.as_ref()
            && now < *until
        {
            return Ok(credentials.clone());
        }
        let new = self.provider.provide_credentials().await.map_err(|error| {
            tracing::warn!(error = %chain(&error), "no AWS credentials to ask EC2 with");
            Ec2Fault::Credentials
        })?;
        *kept = Some((new.clone(), until(&new, now)));
        Ok(new)
    }

    /// Forgets the credentials: EC2 does not take them.
    pub(super) async fn forget(&self) {
        *self.kept.lock().await = None;
    }
}

/// When to ask again.
fn until(credentials: &Credentials, now: UnixTime) -> UnixTime {
    let Some(expires) = credentials.expiry() else { return now.plus(UNEXPIRING) };
    let age = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_secs(age.saturating_sub(MARGIN).as_secs())
}

/// An error and its causes, on one line. Those of the AWS SDK name no secrets.
fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told.push_str(": ");
        told.push_str(&error.to_string());
        cause = error.source();
    }
    told
}

impl<C> fmt::Debug for Kept<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// As long as the reference's; the longest that every role allows.
const DURATION: Duration = Duration::from_secs(3600);

/// New credentials are asked for this long before the old ones expire, as AWS SDKs do.
const MARGIN: Duration = Duration::from_secs(300);

/// Credentials without an expiry are read again after this time, as AWS SDKs do.
const UNEXPIRING: Duration = Duration::from_secs(900);

/// How the session shows in CloudTrail.
const SESSION_NAME: &str = "iamgate";

/// IAM's limit.
const MAX_ARN: usize = 2048;

#[cfg(test)]
mod tests;
