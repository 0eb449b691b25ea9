//! Why there is no token, and what to do about it.

use std::error::Error;
use std::time::Duration;

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;

use super::profile::ProfileFault;
use super::prompt::PromptFault;
use crate::token::SignError;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("cluster ID not specified")]
    NoClusterId,
    #[error("cannot specify both --forward-session-name and --session-name parameter")]
    TwoSessionNames,
    #[error("could not get token: {0}")]
    Sign(SignError),
    #[error("could not get token: {0}")]
    Profile(ProfileFault),
    #[error("could not get token: profile {0:?} is not in the shared configuration files")]
    NoProfile(Box<str>),
    #[error("could not get token: nothing gave AWS credentials")]
    NoCredentials,
    #[error("could not get token: AWS credentials cannot be loaded: {why}")]
    Credentials { why: Box<str>, cure: &'static str },
    #[error("could not get token: role {role:?} cannot be assumed: {refusal}")]
    AssumeRole { role: Box<str>, refusal: Refusal },
    #[error("could not get token: the caller's session name cannot be asked for: {0}")]
    CallerIdentity(Refusal),
    #[error("could not get token: AWS did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("could not get token: an MFA code is needed for {serial:?}")]
    Mfa {
        serial: Box<str>,
        #[source]
        fault: PromptFault,
    },
}

impl Fault {
    /// Whether the command line, not the work, was wrong.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::NoClusterId | Self::TwoSessionNames)
    }

    /// What the person can do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoClusterId => Some(
                "name the cluster with --cluster-id, KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID, or \
                 clusterID in the configuration file",
            ),
            Self::TwoSessionNames => Some("leave one of the two out"),
            Self::Sign(SignError::Region(_)) => {
                Some("correct --region, AWS_REGION, or region of the profile")
            }
            Self::Sign(SignError::Endpoint { .. }) => Some(
                "the region has no such endpoint: unset AWS_USE_FIPS_ENDPOINT or \
                 AWS_USE_DUALSTACK_ENDPOINT",
            ),
            Self::Sign(SignError::Signing) => Some("check that the keys were copied whole"),
            Self::Profile(ProfileFault::LateMfa { .. }) => Some(
                "an MFA device belongs to a user, not to a role: move mfa_serial to the profile \
                 whose source holds the user's keys",
            ),
            Self::Profile(ProfileFault::OwnSource(_)) => {
                Some("move the source of credentials to a profile of its own, and name that one")
            }
            Self::Profile(ProfileFault::Duration { .. } | ProfileFault::Source { .. }) => {
                Some("correct it in the shared configuration file (~/.aws/config)")
            }
            Self::NoProfile(_) => {
                Some("correct AWS_PROFILE, or add the profile with `aws configure --profile`")
            }
            Self::NoCredentials => Some(
                "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in with \
                 `aws sso login`",
            ),
            Self::Credentials { cure, .. } => Some(cure),
            Self::AssumeRole { refusal, .. } | Self::CallerIdentity(refusal) => refusal.hint(),
            Self::Slow(_) => {
                Some("check the network, HTTPS_PROXY and NO_PROXY; `--region` picks a near host")
            }
            Self::Mfa { fault: PromptFault::NotACode, .. } => {
                Some("try again with the code that the device shows now")
            }
            Self::Mfa { .. } => Some(
                "run the command in a terminal, or put temporary credentials into the environment \
                 (`aws sts get-session-token`)",
            ),
        }
    }
}

// By hand: the message holds the cause already, so it is not told as a source once more.
impl From<SignError> for Fault {
    fn from(fault: SignError) -> Self {
        Self::Sign(fault)
    }
}

impl From<ProfileFault> for Fault {
    fn from(fault: ProfileFault) -> Self {
        Self::Profile(fault)
    }
}

/// Why STS did not do what it was asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{code}: {message}")]
    Answered { code: Box<str>, message: Box<str> },
    #[error("{0}")]
    Unreached(Box<str>),
    #[error("the answer holds no credentials")]
    Empty,
}

impl Refusal {
    /// Whether STS said no to this caller.
    pub(super) fn is_access_denied(&self) -> bool {
        matches!(self, Self::Answered { code, .. } if &**code == "AccessDenied")
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            _ if self.is_access_denied() => Some(
                "the role's trust policy and the caller's permissions must both allow it; check \
                 --role, --external-id and which credentials are in use",
            ),
            Self::Unreached(_) => Some("check the network, HTTPS_PROXY and NO_PROXY"),
            Self::Answered { .. } | Self::Empty => None,
        }
    }
}

impl<E: ProvideErrorMetadata + Error + 'static> From<SdkError<E>> for Refusal {
    fn from(error: SdkError<E>) -> Self {
        match error.as_service_error() {
            Some(service) => Self::Answered {
                code: plain(service.code().unwrap_or("no code")).into(),
                message: plain(service.message().unwrap_or("no message")).into(),
            },
            None => Self::Unreached(told(&error).into()),
        }
    }
}

/// An error of the SDK in one bounded line: each cause once, from the outside in, and of an answer
/// from AWS its code and message.
pub(super) fn told(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let service = service_error(error);
        let part = match &service {
            Some(answer) => answer.clone(),
            None => error.to_string(),
        };
        if !parts.iter().any(|told| told.contains(&part)) {
            parts.push(part);
        }
        next = if service.is_some() { None } else { error.source() };
    }
    plain(&parts.join(": "))
}

fn service_error(error: &(dyn Error + 'static)) -> Option<String> {
    fn told<E: ProvideErrorMetadata>(error: &E) -> Option<String> {
        Some(format!("{}: {}", error.code()?, error.message()?))
    }
    let assume = error.downcast_ref::<AssumeRoleError>().and_then(told);
    assume.or_else(|| error.downcast_ref::<AssumeRoleWithWebIdentityError>().and_then(told))
}

/// One line of at most [`MAX_TOLD`] characters, whatever a server wrote.
fn plain(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    visible.take(MAX_TOLD).collect()
}

/// Long enough for AWS's own messages, short enough for a terminal.
const MAX_TOLD: usize = 300;

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::error::CredentialsError;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn an_error_is_told_from_the_outside_in_each_cause_once() {
        let inner = Layer("connection refused", None);
        let middle = Layer("dispatch failure", Some(Box::new(inner)));
        let outer = Layer("dispatch failure", Some(Box::new(middle)));
        assert_eq!(told(&outer), "dispatch failure: connection refused");
    }

    #[test]
    fn what_a_server_wrote_is_cut_and_made_visible() {
        assert_eq!(plain("a\r\nb\u{1b}[31m"), "a  b [31m");
        assert_eq!(plain(&"x".repeat(1000)).len(), MAX_TOLD);
    }

    #[test]
    fn a_refusal_by_sts_is_its_code_and_message() {
        let meta = aws_sdk_sts::error::ErrorMetadata::builder()
            .code("AccessDenied")
            .message("not you")
            .build();
        let error = CredentialsError::provider_error(AssumeRoleError::generic(meta));
        assert!(told(&error).ends_with(": AccessDenied: not you"), "{}", told(&error));
    }

    #[test]
    fn every_fault_but_those_that_speak_for_themselves_names_a_cure() {
        let refusal = Refusal::Answered { code: "AccessDenied".into(), message: "no".into() };
        for fault in [
            Fault::NoClusterId,
            Fault::TwoSessionNames,
            Fault::NoProfile("x".into()),
            Fault::NoCredentials,
            Fault::AssumeRole { role: "r".into(), refusal },
            Fault::Slow(Duration::from_secs(30)),
            Fault::Mfa { serial: "s".into(), fault: PromptFault::NoTerminal },
        ] {
            assert!(fault.hint().is_some(), "{fault}");
        }
    }
}
