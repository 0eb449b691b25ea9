//! `iamgate server`: wires configuration, certificate, STS, reload and the listeners together.

mod nodes;
mod ports;
mod reloads;
mod supervisor;

use std::mem;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::future::OptionFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use self::nodes::Nodes;
use self::reloads::Reloads;
use self::supervisor::Supervisor;
use super::flags::boolean;
use super::settings::{self, Settings};
use super::version::VERSION;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Document, Faults, Fixed, Policy, ServerOverrides, ServerSettings};
use crate::face::Face;
use crate::keypair::{self, KeyPair, KeyPairFault, KubeconfigFault, Names, WebhookUrl};
use crate::mapping::RuleKind;
use crate::metrics::{self, Metrics};
use crate::outcome::{Exit, Failure};
use crate::reload::{self, Live, Reload, Reloader};
use crate::server::{
    self, Authenticator, Certificate, Counted, Deadlines, Ended, Health, LimitsNow, Parts,
};
use crate::sts::{self, HttpsSts};
use crate::system::Environment;
use crate::token::Verifier;

/// Flags of `server`. Each is a key of the configuration file too.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// The AWS partition [default: aws]
    #[arg(long, value_name = "NAME")]
    pub(crate) partition: Option<String>,
    /// Where to write the webhook kubeconfig for the API server
    /// [default: /etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml]
    #[arg(long, value_name = "PATH")]
    pub(crate) generate_kubeconfig: Option<PathBuf>,
    /// Do not write the webhook kubeconfig
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) kubeconfig_pregenerated: Option<bool>,
    /// Directory of cert.pem and key.pem [default: /var/aws-iam-authenticator]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Kubeconfig for backends that ask the API server
    #[arg(long, value_name = "PATH")]
    pub(crate) kubeconfig: Option<String>,
    /// URL of the API server for such backends
    #[arg(long, value_name = "URL")]
    pub(crate) master: Option<String>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<String>,
    /// Where mappings come from [default: MountedFile]
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = clap::ArgAction::Append)]
    pub(crate) backend_mode: Vec<String>,
    /// Port to listen on; 0 takes any free one [default: 21362]
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// Calls of ec2:DescribeInstances per second [default: 15]
    #[arg(long = "ec2-describeInstances-qps", value_name = "N")]
    pub(crate) ec2_qps: Option<u32>,
    /// Such calls at once [default: 5]
    #[arg(long = "ec2-describeInstances-burst", value_name = "N")]
    pub(crate) ec2_burst: Option<u32>,
    /// Refuse a configuration with unknown keys or with entries that are there twice
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) strict: Option<bool>,
    #[arg(hide = true)]
    _surplus: Vec<String>,
}

pub(crate) async fn run(
    args: ServerArgs,
    settings: Settings,
    environment: &impl Environment,
) -> Result<(), Failure> {
    info!(version = VERSION, "Authenticator");
    // From here on a signal is handled, not the process's end.
    let [terminate, interrupt, hangup] =
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let clock = SystemClock;
    let over = settings.server_overrides(&args);
    let face = settings.face();
    let metrics = Arc::new(Metrics::new(clock.now(), metrics::resident_memory));
    let health = Arc::new(Health::default());

    let started = Arc::new(OnceLock::new());
    let file = settings.server_file();
    let (reloader, fixed) = first_policy(file.as_deref(), over, face, &started, &metrics, &health)?;
    let reloader = Arc::new(reloader);
    let policy = reloader.live();

    let names = Names::new(fixed.address, &fixed.hostname)?;
    let pair = KeyPair::load_or_create(&fixed.state_dir, &names, clock.now());
    let (pair, origin) = pair.map_err(|fault| no_pair(fault, &fixed.state_dir))?;
    info!(certPath = %pair.certificate_path().display(), ?origin, "loaded keypair");
    metrics.certificate_expires(pair.not_after());
    let certificate = Arc::new(Certificate::load(&fixed.state_dir, fixed.client_ca.as_deref())?);

    let (mut terminate, mut interrupt) = (terminate?, interrupt?);
    let (listener, health_port) = tokio::select! {
        opened = ports::open(SocketAddr::new(fixed.address, fixed.port), fixed.health, face) => opened?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let address = listener.local_addr()?;
    if !fixed.kubeconfig_pregenerated {
        let url = WebhookUrl::new(&fixed.hostname, address.port());
        let written = keypair::write_kubeconfig(&fixed.kubeconfig, &pair, &url);
        if written.map_err(|fault| no_kubeconfig(fault, &fixed.kubeconfig))? {
            info!(kubeconfigPath = %fixed.kubeconfig.display(), "writing webhook kubeconfig file");
        }
    }
    if let Some(listener) = &health_port {
        info!("health listening on {}", listener.local_addr()?);
    }

    let sts = HttpsSts::new(sts::Config {
        connect_to: fixed.sts.connect_to.clone(),
        ca_file: fixed.sts.ca_file.clone(),
        timeout: fixed.sts.timeout,
    })?;
    let counted = Counted::new(sts, Arc::clone(&metrics));
    let nodes = Nodes::new(fixed.ec2.clone(), Arc::clone(&metrics))?;
    let authenticator = Authenticator::new(
        Verifier::new(counted, clock),
        nodes,
        policy.clone(),
        Arc::clone(&metrics),
    );

    info!("listening on {address}");
    info!(
        "reconfigure your apiserver with `--authentication-token-webhook-config-file={}` to enable \
         (assuming default hostPath mounts)",
        fixed.kubeconfig.display(),
    );
    let parts = Parts {
        tls: listener,
        health_port,
        certificate: Arc::clone(&certificate),
        authenticate: Arc::new(authenticator),
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        limits: limits_of(policy.clone()),
        deadlines: Deadlines::default(),
        face,
    };
    let supervisor = Supervisor::of(environment);
    if let Some(supervisor) = &supervisor {
        // Without a configuration too: the server waits for one, and must not be killed for that.
        let waiting = if policy.get().is_some() { "" } else { "; waiting for a configuration" };
        supervisor.ready(&format!("listening on {address}{waiting}")).await;
    }
    let supervisor = supervisor.as_ref();
    let reloads = Reloads { policy, reloader, certificate, metrics, health, fixed };
    tokio::select! {
        ended = server::serve(parts, ending(terminate, interrupt, supervisor)) => {
            match ended {
                Ended::Clean => info!("stopped"),
                Ended::Cut(connections) => warn!(connections, "stopped; some were cut off"),
            }
            Ok(())
        }
        never = reloads.follow(file, hangup?, supervisor) => match never {},
        Some(never) = OptionFuture::from(supervisor.map(Supervisor::alive)) => match never {},
    }
}

/// Reads the first configuration. Under our own name a bad one is waited out: the server binds,
/// says that it is not ready, and takes the repair.
fn first_policy(
    file: Option<&Path>,
    over: ServerOverrides,
    face: Face,
    started: &Arc<OnceLock<Fixed>>,
    metrics: &Metrics,
    health: &Health,
) -> Result<(Reloader<Policy, Faults>, Fixed), Failure> {
    let Some(file) = file else {
        let config::Checked { value, warnings } =
            config::server(None, &over, face).map_err(settings::wrong)?;
        settings::warn(&warnings);
        let ServerSettings { fixed, policy } = value;
        tell_mappings(&policy);
        let reloader = Reloader::new(move |_: &[u8]| Ok(policy.clone()));
        reloader.offer(&[]);
        accepted(metrics, health);
        return Ok((reloader, fixed));
    };
    let (name, flags, first) = (file.to_owned(), over.clone(), Arc::clone(started));
    // The same content is read more than once; its warnings are told once.
    let told = Mutex::new(Vec::new());
    let reloader: Reloader<Policy, Faults> = Reloader::new(move |bytes: &[u8]| {
        let document = Document::read(bytes, &name)?;
        let config::Checked { value, warnings } = config::server(Some(document), &flags, face)?;
        let ServerSettings { fixed, policy } = value;
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if mem::replace(&mut *told, warnings.clone()) != warnings {
            settings::warn(&warnings);
        }
        let running = first.get_or_init(|| fixed.clone());
        for key in running.differences(&fixed) {
            warn!(key, "this change takes effect after a restart");
        }
        Ok(policy)
    });
    let fault: Failure = match reload::read(file, CONFIG_LIMIT) {
        Ok(bytes) => match reloader.offer(&bytes) {
            Reload::Kept(faults) => settings::wrong(faults),
            Reload::Replaced | Reload::Same => {
                accepted(metrics, health);
                if let Some(policy) = reloader.live().get() {
                    tell_mappings(&policy);
                }
                let fixed = started.get().cloned().ok_or("the configuration has no settings")?;
                return Ok((reloader, fixed));
            }
        },
        Err(fault) => {
            format!("Can't read configuration file {:?}: {fault}", file.display().to_string())
                .into()
        }
    };
    // A file can be repaired while the server waits; a command line cannot.
    if face == Face::Reference || fault.exit() == Exit::Usage {
        return Err(fault);
    }
    let text = fault.to_string();
    let text = text.trim().trim_start_matches("error: ").to_owned();
    // Logged once the file is followed, which reads it again.
    metrics.config_reloaded(false, SystemClock.now());
    health.config_missing(&text);
    // The settings that take a restart come from flags and defaults for now.
    let placeholder = over.cluster_id.clone().or_else(|| Some("unknown".to_owned()));
    let over = ServerOverrides { cluster_id: placeholder, ..over };
    let fixed = config::server(None, &over, face)?.value.fixed;
    let fixed = started.get_or_init(|| fixed).clone();
    Ok((reloader, fixed))
}

/// The reference's lines about mappings, as far as a person reads them.
fn tell_mappings(policy: &Policy) {
    let rules = &policy.rules;
    for (role, username, groups) in rules.listed(RuleKind::MapRoles).take(LISTED) {
        info!(role, username, groups, "mapping IAM role");
    }
    for (user, username, groups) in rules.listed(RuleKind::MapUsers).take(LISTED) {
        info!(user, username, groups, "mapping IAM user");
    }
    for account in rules.accounts().take(LISTED) {
        info!(accountID = %account, "mapping IAM Account");
    }
    let (roles, users, accounts) = rules.counts();
    info!(roles, users, accounts, "mappings in force");
}

fn accepted(metrics: &Metrics, health: &Health) {
    metrics.config_reloaded(true, SystemClock.now());
    health.config_loaded();
}

fn no_pair(fault: KeyPairFault, dir: &Path) -> Failure {
    let unwritten = matches!(fault, KeyPairFault::Write { .. });
    let failure = Failure::from(fault);
    match unwritten {
        true => failure.hint(format!(
            "{0} must exist and belong to the account that the server runs as, for example: \
             install -d -m 0750 -o 10000 -g 10000 {0}",
            dir.display(),
        )),
        false => failure,
    }
}

fn no_kubeconfig(fault: KubeconfigFault, path: &Path) -> Failure {
    let directory = path.parent().unwrap_or(path).display();
    Failure::from(fault).hint(format!(
        "{directory} must exist and be writable for the account that the server runs as; or give \
         --kubeconfig-pregenerated where the kubeconfig is made by other means",
    ))
}

/// SIGTERM or SIGINT.
async fn ending(mut terminate: Signal, mut interrupt: Signal, supervisor: Option<&Supervisor>) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("shutting down");
    if let Some(supervisor) = supervisor {
        supervisor.stopping().await;
    }
}

/// The limits of the policy in force.
fn limits_of(policy: Live<Policy>) -> LimitsNow {
    Arc::new(move || policy.get().map_or_else(Default::default, |policy| policy.limits))
}

/// Lines about mappings of each kind; the last line gives their numbers.
const LISTED: usize = 100;
const CONFIG_LIMIT: u64 = Document::MAX_LEN as u64;

pub(crate) const EXAMPLES: &str = "\
Examples:
  iamgate server --config /etc/aws-iam-authenticator/config.yaml
  iamgate server --cluster-id my-cluster.example.com --port 21362 --log-format json
  kill -HUP PID   # read configuration and certificate again now";
