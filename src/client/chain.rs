//! Region and base credentials: the official chain, with what it leaves out filled in.

use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::use_dual_stack::use_dual_stack_provider;
use aws_config::default_provider::use_fips::use_fips_provider;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;

use super::assume::{Ask, Session, assume, session_name};
use super::budget::Budget;
use super::fault::{Fault, Refusal, told};
use super::http::LazyClient;
use super::instance::{Handle, Instance};
use super::profile::{Base, NamedSource, Roles, SharedConfig, keys_in};
use super::prompt::{Prompt, mfa_code};
use crate::clock::Clock;
use crate::system::Environment;

/// Where AWS is reached and who we are there.
pub(super) struct Chain<'a> {
    shared: &'a SharedConfig,
    config: ProviderConfig,
    http: LazyClient,
    instance: Handle,
    region: Region,
    fips: bool,
    dual_stack: bool,
    keys_in_env: bool,
    budget: Arc<Budget>,
}

impl<'a> Chain<'a> {
    /// Settles the region: `flag`, else AWS_REGION, AWS_DEFAULT_REGION and the profile, else the
    /// instance's, else us-east-1. Only the instance's costs a connection.
    pub(super) async fn new(
        flag: Option<&str>,
        env: &impl Environment,
        shared: &'a SharedConfig,
        budget: Arc<Budget>,
    ) -> Self {
        let ca_bundle = env.var("AWS_CA_BUNDLE");
        let http = LazyClient::new(ca_bundle.as_deref().or_else(|| shared.setting("ca_bundle")));
        let config = ProviderConfig::without_region()
            .with_http_client(http.clone())
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_retry_config(retries())
            .with_timeout_config(timeouts());
        let (fips, dual_stack) =
            (use_fips_provider(&config).await, use_dual_stack_provider(&config).await);
        let config = config.with_use_fips(fips).with_use_dual_stack(dual_stack);
        let instance = Handle(Arc::new(Instance::new(&config, env)));
        let region = match flag.filter(|region| !region.is_empty()) {
            Some(region) => Region::new(region.to_owned()),
            None => region(&config, &instance).await,
        };
        Self {
            shared,
            config: config.with_region(Some(region.clone())),
            http,
            instance,
            region,
            fips: fips.unwrap_or_default(),
            dual_stack: dual_stack.unwrap_or_default(),
            keys_in_env: keys_in(env).is_some(),
            budget,
        }
    }

    pub(super) fn region(&self) -> &str {
        self.region.as_ref()
    }

    pub(super) fn fips(&self) -> bool {
        self.fips
    }

    pub(super) fn dual_stack(&self) -> bool {
        self.dual_stack
    }

    /// Base credentials.
    pub(super) async fn credentials(
        &self,
        prompt: &impl Prompt,
        clock: &impl Clock,
    ) -> Result<Credentials, Fault> {
        match if self.keys_in_env { None } else { self.shared.roles()? } {
            Some(roles) => self.walk(roles, prompt, clock).await,
            None => self.loaded(self.official()).await,
        }
    }

    /// The official providers in the official order. Put together here, and not by
    /// `DefaultCredentialsChain`, for the limit on the last one.
    fn official(&self) -> CredentialsProviderChain {
        let environment = EnvironmentVariableCredentialsProvider::new();
        let web = WebIdentityTokenCredentialsProvider::builder().configure(&self.config).build();
        CredentialsProviderChain::first_try("Environment", environment)
            .or_else("Profile", self.profile().build())
            .or_else("WebIdentityToken", web)
            .or_else("EcsContainer", self.container())
            .or_else("Ec2InstanceMetadata", self.instance.clone())
    }

    fn profile(&self) -> aws_config::profile::credentials::Builder {
        ProfileFileCredentialsProvider::builder()
            .configure(&self.config)
            .with_custom_provider("Ec2InstanceMetadata", self.instance.clone())
    }

    fn container(&self) -> EcsCredentialsProvider {
        EcsCredentialsProvider::builder().configure(&self.config).build()
    }

    async fn loaded(&self, from: impl ProvideCredentials) -> Result<Credentials, Fault> {
        match self.budget.spend(from.provide_credentials()).await {
            Some(Ok(credentials)) => Ok(credentials),
            Some(Err(CredentialsError::CredentialsNotLoaded(_))) => Err(self.nothing()),
            Some(Err(error)) => {
                Err(Fault::Credentials { why: told(&error).into(), cure: self.shared.cure() })
            }
            None => Err(self.slow()),
        }
    }

    /// Assumes the roles of a chain of profiles one by one, asking for a code where one wants it.
    async fn walk(
        &self,
        roles: Roles,
        prompt: &impl Prompt,
        clock: &impl Clock,
    ) -> Result<Credentials, Fault> {
        let mut credentials = match roles.base {
            Base::Keys(keys) => keys,
            Base::Profile(name) => self.loaded(self.profile().profile_name(name).build()).await?,
            Base::Source(NamedSource::Environment) => {
                self.loaded(EnvironmentVariableCredentialsProvider::new()).await?
            }
            Base::Source(NamedSource::Container) => self.loaded(self.container()).await?,
            Base::Source(NamedSource::Instance) => self.loaded(self.instance.clone()).await?,
        };
        let config = self.sdk_config().await?;
        let made = made_up(clock);
        for step in &roles.steps {
            let mfa = match &step.mfa_serial {
                Some(serial) => Some((&**serial, code(serial, prompt)?)),
                None => None,
            };
            let ask = Ask {
                role_arn: &step.role_arn,
                session_name: step.session_name.as_deref().unwrap_or(&made),
                external_id: step.external_id.as_deref(),
                duration: step.duration,
                mfa,
            };
            credentials = self
                .assumed(&config, credentials, &ask)
                .await?
                .map_err(|refusal| Fault::AssumeRole { role: step.role_arn.clone(), refusal })?;
        }
        Ok(credentials)
    }

    /// Assumes `role` with base credentials. Where STS denies it and the profile names an MFA
    /// device that the base credentials don't vouch for yet, once more with a code.
    pub(super) async fn assume(
        &self,
        base: Credentials,
        role: &str,
        external_id: Option<&str>,
        session: Session<'_>,
        prompt: &impl Prompt,
        clock: &impl Clock,
    ) -> Result<Credentials, Fault> {
        let config = self.sdk_config().await?;
        let name = match session {
            Session::Named(name) => name.to_owned(),
            Session::Default => made_up(clock),
            Session::Forwarded => {
                let asked = self.budget.spend(session_name(&config, base.clone())).await;
                let name = asked.ok_or_else(|| self.slow())?.map_err(Fault::CallerIdentity)?;
                name.unwrap_or_else(|| made_up(clock))
            }
        };
        let mut ask = Ask {
            role_arn: role,
            session_name: &name,
            external_id,
            duration: Some(ROLE_SECONDS),
            mfa: None,
        };
        let first = self.assumed(&config, base.clone(), &ask).await?;
        let answer = match (first, self.unused_mfa()) {
            (Err(refusal), Some(serial)) if refusal.is_access_denied() => {
                ask.mfa = Some((serial, code(serial, prompt)?));
                self.assumed(&config, base, &ask).await?
            }
            (answer, _) => answer,
        };
        answer.map_err(|refusal| Fault::AssumeRole { role: role.into(), refusal })
    }

    async fn assumed(
        &self,
        config: &SdkConfig,
        base: Credentials,
        ask: &Ask<'_>,
    ) -> Result<Result<Credentials, Refusal>, Fault> {
        self.budget.spend(assume(config, base, ask)).await.ok_or_else(|| self.slow())
    }

    /// The device of a user's profile. That of a role profile has been asked already.
    fn unused_mfa(&self) -> Option<&str> {
        let is_role = self.shared.setting("role_arn").is_some();
        if self.keys_in_env || is_role { None } else { self.shared.setting("mfa_serial") }
    }

    /// For our own calls to STS; the loader is what reads `AWS_ENDPOINT_URL_STS` and its like.
    async fn sdk_config(&self) -> Result<SdkConfig, Fault> {
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .region(self.region.clone())
            .use_fips(self.fips)
            .use_dual_stack(self.dual_stack)
            .retry_config(retries())
            .timeout_config(timeouts())
            .no_credentials();
        let loader = match AppName::new(concat!("iamgate-", env!("CARGO_PKG_VERSION"))) {
            Ok(name) => loader.app_name(name),
            Err(_) => loader,
        };
        self.budget.spend(loader.load()).await.ok_or_else(|| self.slow())
    }

    fn nothing(&self) -> Fault {
        match self.shared.is_plausible() {
            true => Fault::NoCredentials,
            false => Fault::NoProfile(self.shared.selected().into()),
        }
    }

    fn slow(&self) -> Fault {
        Fault::Slow(self.budget.limit())
    }
}

async fn region(config: &ProviderConfig, instance: &Handle) -> Region {
    if let Some(region) = EnvironmentVariableRegionProvider::new().region().await {
        return region;
    }
    let profile = ProfileFileRegionProvider::builder().configure(config).build();
    if let Some(region) = profile.region().await {
        return region;
    }
    match instance.0.region().await {
        Ok(region) => Region::new(String::from(region)),
        Err(fault) => {
            tracing::info!(
                "failed to get region from IMDS for token generation, defaulting to us-east-1. \
                 imds error: {fault}"
            );
            Region::from_static("us-east-1")
        }
    }
}

fn code(serial: &str, prompt: &impl Prompt) -> Result<crate::secret::Secret, Fault> {
    mfa_code(prompt).map_err(|fault| Fault::Mfa { serial: serial.into(), fault })
}

/// A session name for CloudTrail where nobody chose one.
fn made_up(clock: &impl Clock) -> String {
    format!("iamgate-{}", clock.now().as_secs())
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// What `--role` asks for: a token lives no longer. It is also the shortest that AWS gives.
const ROLE_SECONDS: i32 = 900;
/// A lost packet or a busy server; more would be the deadline's business.
const ATTEMPTS: u32 = 3;
/// Name look-up, TCP and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// STS and SSO answer within a second, from far away within three.
const READ_TIMEOUT: Duration = Duration::from_secs(8);
/// All attempts of one call.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
