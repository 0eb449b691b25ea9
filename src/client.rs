//! The `token` command: from AWS credentials to a bearer token for one cluster.
//!
//! ```text
//! shared config, environment --> region --> token's host
//!          |                                    |
//!          +--> base credentials --> role --> sign --> ExecCredential
//!                    (cache)        (cache)
//! ```
//!
//! Credentials come from the official AWS chain. What this module adds is what that chain leaves
//! out: the MFA prompt, `duration_seconds`, a one-second limit for instance metadata, the cache.
//! It does not parse flags or configuration, and prints nothing but the MFA question.
//!
//! The token's host follows the region alone. `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_STS` apply
//! to the calls made on the way (AssumeRole and others), never to the token: no server accepts a
//! token for another host.

mod assume;
mod budget;
mod cache;
mod chain;
mod exec;
mod fault;
mod http;
mod instance;
mod profile;
mod prompt;

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials as AwsCredentials;

use self::assume::Session;
use self::budget::Budget;
use self::cache::{Assumed, Cache};
use self::chain::Chain;
pub use self::exec::{ExecInfo, credential};
pub(crate) use self::fault::Fault;
#[cfg(test)]
pub(crate) use self::http::tls_clients_built;
use self::profile::SharedConfig;
#[cfg(test)]
pub(crate) use self::prompt::PromptFault;
pub(crate) use self::prompt::{Prompt, Terminal};
use crate::clock::Clock;
use crate::identity::ClusterId;
use crate::secret::Secret;
use crate::system::Environment;
use crate::token::{Credentials, Endpoint, Token, sign};

/// What a token is wanted for and how to get it: flags, environment and configuration merged.
///
/// An empty text means the same as none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// The cluster that the token is for.
    pub(crate) cluster_id: Option<ClusterId>,
    /// `--region`: of the token's STS host, and for every call to AWS.
    pub(crate) region: Option<Box<str>>,
    /// `--role`: ARN of a role to assume with the base credentials.
    pub(crate) role: Option<Box<str>>,
    /// `--external-id`, for that role.
    pub(crate) external_id: Option<Box<str>>,
    /// `--session-name`, for that role.
    pub(crate) session_name: Option<Box<str>>,
    /// `--forward-session-name`: take the session name of the base credentials.
    pub(crate) forward_session_name: bool,
    /// `--token-only`: print the token without the ExecCredential around it.
    pub(crate) token_only: bool,
    /// `--cache`: keep expiring credentials in a private file.
    pub(crate) cache: bool,
}

impl Request {
    fn role(&self) -> Option<&str> {
        self.role.as_deref().filter(|role| !role.is_empty())
    }

    fn session(&self) -> Session<'_> {
        match self.session_name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => Session::Named(name),
            None if self.forward_session_name => Session::Forwarded,
            None => Session::Default,
        }
    }

    fn external_id(&self) -> Option<&str> {
        self.external_id.as_deref().filter(|id| !id.is_empty())
    }
}

/// Makes a token: loads credentials (from the cache where the request says so), assumes the role
/// that it names, signs.
///
/// The official chain reads the process's own environment and files; `env` is asked for what this
/// module decides itself.
///
/// # Errors
/// See [`Fault`]. The caches never fail a request: what is wrong with them is a warning.
pub(crate) async fn mint(
    request: &Request,
    env: &impl Environment,
    clock: &impl Clock,
    prompt: &impl Prompt,
) -> Result<Token, Fault> {
    let cluster_id = request.cluster_id.as_ref().ok_or(Fault::NoClusterId)?;
    if request.forward_session_name && matches!(request.session(), Session::Named(_)) {
        return Err(Fault::TwoSessionNames);
    }
    let shared = SharedConfig::load().await;
    let limit = if shared.runs_a_process() { PROCESS_DEADLINE } else { DEADLINE };
    let budget = Budget::new(limit);
    let chain = Chain::new(request.region.as_deref(), env, &shared, Arc::new(budget)).await;
    let endpoint = Endpoint::of(chain.region(), chain.fips(), chain.dual_stack())?;
    let job = Job { request, cluster_id, env, clock, prompt, shared: &shared, chain: &chain };
    let credentials = match request.role() {
        Some(role) => job.assumed(role).await?,
        None => job.base().await?,
    };
    Ok(sign(&known(&credentials), &endpoint, cluster_id, clock.now())?)
}

/// AWS's own configuration for the calls of a server: region and credentials as the official chain
/// finds them in environment, files and instance metadata.
pub(crate) async fn ambient() -> aws_config::SdkConfig {
    let client = http::LazyClient::new(None);
    aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(client).load().await
}

/// One run's surroundings.
struct Job<'a, E, C, P> {
    request: &'a Request,
    cluster_id: &'a ClusterId,
    env: &'a E,
    clock: &'a C,
    prompt: &'a P,
    shared: &'a SharedConfig,
    chain: &'a Chain<'a>,
}

impl<E: Environment, C: Clock, P: Prompt> Job<'_, E, C, P> {
    /// Base credentials, through the cache file that is shared with `aws-iam-authenticator`.
    ///
    /// Keys in the environment are used as they are: the file knows no source, so a hit could be
    /// somebody else.
    async fn base(&self) -> Result<AwsCredentials, Fault> {
        if !self.request.cache {
            return self.chain.credentials(self.prompt, self.clock).await;
        }
        if profile::keys_in(self.env).is_some() {
            tracing::warn!("Unable to cache credential: credential doesn't support expiration");
            return self.chain.credentials(self.prompt, self.clock).await;
        }
        let cache = usable(Cache::shared(self.env, self.cluster_id, self.shared.selected()));
        self.through(cache, self.chain.credentials(self.prompt, self.clock)).await
    }

    /// Credentials of `role`, through a cache file of our own.
    async fn assumed(&self, role: &str) -> Result<AwsCredentials, Fault> {
        let cache = match self.request.cache {
            true => usable(Cache::assumed(self.env, self.slot(role))),
            false => None,
        };
        let work = async {
            let base = self.chain.credentials(self.prompt, self.clock).await?;
            let session = self.request.session();
            let id = self.request.external_id();
            self.chain.assume(base, role, id, session, self.prompt, self.clock).await
        };
        self.through(cache, work).await
    }

    async fn through(
        &self,
        cache: Option<Cache>,
        work: impl Future<Output = Result<AwsCredentials, Fault>>,
    ) -> Result<AwsCredentials, Fault> {
        let Some(cache) = cache else {
            return work.await;
        };
        match cache.find(self.clock.now()).await {
            Ok(Some(credentials)) => return Ok(credentials),
            Ok(None) => {}
            Err(fault) => {
                tracing::warn!("unable to use cache: {fault}");
                return work.await;
            }
        }
        let credentials = work.await?;
        if credentials.expiry().is_none() {
            tracing::warn!("Unable to cache credential: credential doesn't support expiration");
        } else if let Err(fault) = cache.store(&credentials, self.clock.now()).await {
            tracing::warn!("Unable to update credential cache: {fault}");
        }
        Ok(credentials)
    }

    fn slot(&self, role: &str) -> Assumed {
        Assumed {
            cluster: self.cluster_id.to_string(),
            profile: self.shared.selected().to_owned(),
            role: role.to_owned(),
            external_id: self.request.external_id().unwrap_or_default().to_owned(),
            session_name: self.request.session().cache_key(),
            source: self.shared.source(self.env),
        }
    }
}

fn usable(cache: Result<Cache, cache::CacheFault>) -> Option<Cache> {
    cache.inspect_err(|fault| tracing::warn!("unable to use cache: {fault}")).ok()
}

fn known(credentials: &AwsCredentials) -> Credentials {
    Credentials {
        access_key_id: credentials.access_key_id().into(),
        secret_access_key: Secret::new(credentials.secret_access_key()),
        session_token: credentials.session_token().map(Secret::new),
    }
}

/// For all of the network's work in one run, the time at a prompt not counted: kubectl waits.
const DEADLINE: Duration = Duration::from_secs(30);
/// The same where a profile names a `credential_process`, which may ask its user something.
/// One minute is what AWS SDKs give it.
const PROCESS_DEADLINE: Duration = Duration::from_secs(60);
