//! The kubeconfig that tells an API server where the webhook is and whom to trust.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

use super::KeyPair;
use crate::files;

const TEMPLATE: &str = include_str!("../../templates/webhook-kubeconfig.yaml");
/// It holds no key, and some API servers run as an ordinary user.
const MODE: u32 = 0o644;
/// Beside the kubeconfig: the sign that the host's own CA is in charge.
const CA_FILE: &str = "ca.pem";

/// Where API servers reach the webhook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WebhookUrl {
    hostname: Box<str>,
    port: u16,
}

/// Why the kubeconfig could not be written.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigFault {
    /// The template does not fit the values.
    #[error("cannot render the webhook kubeconfig")]
    Render(#[from] minijinja::Error),
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

impl WebhookUrl {
    /// `hostname` is a DNS name or an IP address, IPv6 without brackets, as `Names::new` takes it.
    pub fn new(hostname: &str, port: u16) -> Self {
        Self { hostname: hostname.into(), port }
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hostname, port } = self;
        if hostname.contains(':') {
            write!(f, "https://[{hostname}]:{port}/authenticate")
        } else {
            write!(f, "https://{hostname}:{port}/authenticate")
        }
    }
}

/// The kubeconfig's text: the reference's, byte for byte but for its comment.
///
/// # Errors
/// A template that does not fit.
pub fn render_kubeconfig(ca_pem: &str, url: &WebhookUrl) -> Result<String, minijinja::Error> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build()?);
    engine.render_str(TEMPLATE, context! { ca => STANDARD.encode(ca_pem), url => url.to_string() })
}

/// Writes the kubeconfig that pins `pair`'s certificate, unless a `ca.pem` lies beside `path`: such
/// a host was provisioned, its kubeconfig names that CA, and pinning a leaf would undo it.
///
/// Returns whether it wrote.
///
/// # Errors
/// The text cannot be made or the file cannot be written.
pub fn write_kubeconfig(
    path: &Path,
    pair: &KeyPair,
    url: &WebhookUrl,
) -> Result<bool, KubeconfigFault> {
    if path.with_file_name(CA_FILE).exists() {
        return Ok(false);
    }
    pin_kubeconfig(path, pair, url).map(|()| true)
}

/// [`write_kubeconfig`], whatever lies beside `path`.
///
/// # Errors
/// As there.
pub fn pin_kubeconfig(
    path: &Path,
    pair: &KeyPair,
    url: &WebhookUrl,
) -> Result<(), KubeconfigFault> {
    let text = render_kubeconfig(pair.leaf_pem(), url)?;
    files::write_whole(path, text.as_bytes(), MODE)
        .map_err(|source| KubeconfigFault::Write { path: path.into(), source })
}
