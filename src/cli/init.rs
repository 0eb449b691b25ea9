//! `iamgate init`: the reference's way to have certificate, key and webhook kubeconfig before the
//! server's first start.
//!
//! File names, modes, the kubeconfig's text and the log lines are the reference's; the key is ECDSA.
//! A pair that is there is used, never replaced. It makes no directory, no CA apart from the
//! certificate, and changes nothing of an API server: that is `provision`'s work.

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::clock::UnixTime;
use crate::config::Fixed;
use crate::keypair::{self, KeyPair, KeyPairFault, KubeconfigFault, Names, WebhookUrl};
use crate::outcome::Failure;

/// Flags of `init`. Each is a key of the configuration file too.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Name that API servers call the server by [default: localhost]
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Address that the server will listen on [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<String>,
    #[arg(hide = true)]
    _surplus: Vec<String>,
}

/// What `init` is asked for.
#[derive(Debug)]
pub(crate) struct Initial {
    pub(crate) fixed: Fixed,
    /// Into the server's own places instead of the current directory: the feature gate
    /// `ConfiguredInitDirectories`.
    pub(crate) in_configured_places: bool,
}

#[derive(Debug, thiserror::Error)]
enum InitFault {
    #[error("could not initialize: could not load/generate a certificate")]
    Pair(#[source] KeyPairFault),
    #[error("could not initialize: could not create webhook kubeconfig")]
    Kubeconfig(#[source] KubeconfigFault),
}

pub(crate) fn run(initial: &Initial, now: UnixTime) -> Result<(), Failure> {
    let Initial { fixed, in_configured_places } = initial;
    if *in_configured_places {
        info!("ConfiguredInitDirectories feature enabled");
    }
    let (dir, kubeconfig) = match in_configured_places {
        true => (fixed.state_dir.as_path(), fixed.kubeconfig.as_path()),
        false => (Path::new(""), Path::new(LOCAL_KUBECONFIG)),
    };
    let names = Names::new(fixed.address, &fixed.hostname)?;
    let (pair, _) =
        KeyPair::load_or_create(dir, &names, now).map_err(|fault| no_pair(fault, dir))?;
    let (certificate, key) = (pair.certificate_path().display(), pair.key_path().display());
    // New files too are read before they are relied on; the reference says it so.
    info!(certPath = %certificate, keyPath = %key, "loaded existing keypair");
    let url = WebhookUrl::new(&fixed.hostname, fixed.port);
    let written = match in_configured_places {
        true => keypair::write_kubeconfig(kubeconfig, &pair, &url),
        // Whatever else lies in somebody's working directory is no sign of a provisioned host.
        false => keypair::pin_kubeconfig(kubeconfig, &pair, &url).map(|()| true),
    };
    let written = written.map_err(|fault| no_kubeconfig(fault, kubeconfig))?;
    let path = kubeconfig.display();
    match written {
        true => info!(kubeconfigPath = %path, "writing webhook kubeconfig file"),
        false => warn!(
            kubeconfigPath = %path,
            "left the webhook kubeconfig alone: ca.pem beside it is in charge of this host",
        ),
    }
    let fixed_path = |name: &str| -> PathBuf { fixed.state_dir.join(name) };
    for (what, here, there) in [
        ("certificate", pair.certificate_path(), fixed_path(keypair::CERTIFICATE_FILE)),
        ("key", pair.key_path(), fixed_path(keypair::KEY_FILE)),
        ("kubeconfig", kubeconfig, fixed.kubeconfig.clone()),
    ] {
        let (here, there) = (here.display(), there.display());
        match in_configured_places {
            true if what == "kubeconfig" && !written => {}
            true => info!("{what} generated at {there} on kubernetes master node(s)"),
            false => info!("copy {here} to {there} on kubernetes master node(s)"),
        }
    }
    info!(
        "configure your apiserver with `--authentication-token-webhook-config-file={}` to enable \
         authentication with aws-iam-authenticator",
        fixed.kubeconfig.display(),
    );
    Ok(())
}

fn no_pair(fault: KeyPairFault, dir: &Path) -> Failure {
    let hint = match &fault {
        KeyPairFault::Write { .. } => Some(writable(dir)),
        KeyPairFault::NoCertificate { .. }
        | KeyPairFault::NoKey { .. }
        | KeyPairFault::Mismatch { .. }
        | KeyPairFault::Unusable { .. } => Some(
            "an existing pair is never replaced; move both files away to have a new one".into(),
        ),
        KeyPairFault::Read { .. }
        | KeyPairFault::KeyExposed { .. }
        | KeyPairFault::Hostname(_)
        | KeyPairFault::Nameless(_)
        | KeyPairFault::Issue(_) => None,
    };
    let failure = Failure::from(InitFault::Pair(fault));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn no_kubeconfig(fault: KubeconfigFault, path: &Path) -> Failure {
    let failure = Failure::from(InitFault::Kubeconfig(fault));
    failure.hint(writable(path.parent().unwrap_or(path)))
}

/// The current directory has an empty name here.
fn writable(dir: &Path) -> String {
    match dir.as_os_str().is_empty() {
        true => "the current directory must be writable".to_owned(),
        false => format!("{} must exist and be writable; init makes no directory", dir.display()),
    }
}

const LOCAL_KUBECONFIG: &str = "aws-iam-authenticator.kubeconfig";

pub(crate) const EXAMPLES: &str = "\
Examples:
  iamgate init --cluster-id my-cluster.example.com
  iamgate init --config config.yaml --hostname auth.example.com --address 10.0.0.10
  iamgate --feature-gates ConfiguredInitDirectories=true init --config config.yaml";
