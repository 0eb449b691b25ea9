//! EC2, prepared for when the first node signs in: most servers have none to look up.

use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio::time::timeout;
use tracing::warn;

use crate::client;
use crate::clock::SystemClock;
use crate::config::Ec2Settings;
use crate::ec2::{
    AssumedRole, Ec2, Ec2Fault, Endpoint, HttpsEc2, Pace, PrivateDns, PrivateDnsNames, Reply,
    SourceArn,
};
use crate::identity::AccountId;
use crate::mapping::InstanceId;
use crate::metrics::Metrics;
use crate::outcome::Failure;
use crate::trust;

use aws_credential_types::provider::SharedCredentialsProvider;

/// The private DNS names of nodes, by this host's own AWS configuration.
pub(super) struct Nodes {
    settings: Ec2Settings,
    source: Option<SourceArn>,
    metrics: Arc<Metrics>,
    front: OnceCell<PrivateDnsNames<Counted>>,
}

impl Nodes {
    /// Asks nobody yet.
    pub(super) fn new(settings: Ec2Settings, metrics: Arc<Metrics>) -> Result<Self, Failure> {
        let source = settings.source_arn.as_deref().map(str::parse).transpose()?;
        Ok(Self { settings, source, metrics, front: OnceCell::new() })
    }

    async fn front(&self) -> Result<&PrivateDnsNames<Counted>, Ec2Fault> {
        let prepared = self.front.get_or_try_init(|| async {
            match timeout(PREPARE, self.prepare()).await {
                Ok(Ok(front)) => Ok(front),
                Ok(Err(failure)) => {
                    warn!(error = %failure.to_string().trim(), "EC2 cannot be asked");
                    Err(Ec2Fault::Credentials)
                }
                Err(_) => Err(Ec2Fault::Timeout),
            }
        });
        prepared.await
    }

    async fn prepare(&self) -> Result<PrivateDnsNames<Counted>, Failure> {
        let config = client::ambient().await;
        let region = config.region().ok_or("no AWS region is configured for looking up nodes")?;
        let endpoint = Endpoint::of(region.as_ref())?;
        let own = config.credentials_provider().ok_or("no AWS credentials for looking up nodes")?;
        let credentials = match &self.settings.role_arn {
            Some(role) => {
                let sts = aws_sdk_sts::Client::new(&config);
                let assumed = AssumedRole::new(sts, role, self.source.clone());
                SharedCredentialsProvider::new(assumed)
            }
            None => own,
        };
        let tls = reqwest::Client::builder().tls_backend_preconfigured(trust::client(None)?);
        let ec2 = HttpsEc2::new(tls, endpoint, credentials, SystemClock)?;
        let counted = Counted { ec2, metrics: Arc::clone(&self.metrics) };
        Ok(PrivateDnsNames::new(counted, Pace::new(self.settings.qps, self.settings.burst)))
    }
}

impl PrivateDns for Nodes {
    async fn lookup(
        &self,
        instance: &InstanceId,
        account: AccountId,
    ) -> Result<Box<str>, Ec2Fault> {
        self.front().await?.lookup(instance, account).await
    }
}

struct Counted {
    ec2: HttpsEc2<SystemClock>,
    metrics: Arc<Metrics>,
}

impl Ec2 for Counted {
    async fn ask(&self, form: &str) -> Result<Reply, Ec2Fault> {
        self.metrics.ec2_called();
        self.ec2.ask(form).await
    }
}

/// Reading files and, where nothing else tells the region, asking the instance's metadata.
const PREPARE: std::time::Duration = std::time::Duration::from_secs(5);
