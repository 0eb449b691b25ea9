//! Instance metadata, kept short.
//!
//! Off EC2 nothing answers at 169.254.169.254, and often nothing refuses either. So whatever is
//! asked of it in one run, region and credentials, has one second in all; on EC2 an answer takes
//! milliseconds. `AWS_EC2_METADATA_DISABLED=true` is honoured.

use std::fmt;
use std::time::Duration;

use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as Loaded, future};

use super::budget::Budget;
use super::fault::told;
use crate::system::Environment;

/// The metadata service of the machine that we run on, if there is one.
#[derive(Debug)]
pub(super) struct Instance {
    client: imds::Client,
    credentials: ImdsCredentialsProvider,
    budget: Budget,
    disabled: bool,
}

/// Why the instance did not say.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum InstanceFault {
    #[error("disabled by AWS_EC2_METADATA_DISABLED")]
    Disabled,
    #[error("no answer within {} ms", LIMIT.as_millis())]
    Silent,
    #[error("{0}")]
    Refused(Box<str>),
}

impl Instance {
    pub(super) fn new(config: &ProviderConfig, env: &impl Environment) -> Self {
        let disabled = env.var("AWS_EC2_METADATA_DISABLED");
        let client = imds::Client::builder()
            .configure(config)
            .max_attempts(1)
            .connect_timeout(LIMIT)
            .read_timeout(LIMIT)
            .build();
        let credentials = ImdsCredentialsProvider::builder()
            .configure(config)
            .imds_client(client.clone())
            .build();
        Self {
            client,
            credentials,
            budget: Budget::new(LIMIT),
            disabled: disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")),
        }
    }

    /// The region that the instance runs in.
    pub(super) async fn region(&self) -> Result<Box<str>, InstanceFault> {
        if self.disabled {
            return Err(InstanceFault::Disabled);
        }
        // Source: AWS documentation, "Instance metadata categories".
        match self.budget.spend(self.client.get("/latest/meta-data/placement/region")).await {
            Some(Ok(region)) if !region.as_ref().is_empty() => Ok(region.as_ref().trim().into()),
            Some(Ok(_)) => Err(InstanceFault::Refused("the answer is empty".into())),
            Some(Err(fault)) => Err(InstanceFault::Refused(told(&fault).into())),
            None => Err(InstanceFault::Silent),
        }
    }

    async fn load(&self) -> Loaded {
        if self.disabled {
            return Err(CredentialsError::not_loaded(InstanceFault::Disabled));
        }
        match self.budget.spend(self.credentials.provide_credentials()).await {
            Some(loaded) => loaded,
            None => Err(CredentialsError::not_loaded(InstanceFault::Silent)),
        }
    }
}

/// A handle that can be given to the SDK's chain.
#[derive(Clone)]
pub(super) struct Handle(pub(super) std::sync::Arc<Instance>);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instance")
    }
}

impl ProvideCredentials for Handle {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.0.load())
    }
}

/// All that instance metadata may take of one run.
const LIMIT: Duration = Duration::from_secs(1);
