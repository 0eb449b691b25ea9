//! What the API server needs: where the webhook is and whom to trust, and the flags that say so.

use minijinja::context;
use minijinja::value::Value;

use super::pod::{KUBECONFIG, PORT};
use super::{AbsolutePath, Artefact};
use crate::keypair::WebhookUrl;

/// The kubeconfig of `--authentication-token-webhook-config-file`. It names the CA by its path, so
/// that API servers from 1.36 on take a new one without a restart. It holds no credentials.
#[derive(Clone, Debug)]
pub struct WebhookKubeconfig {
    /// As the API server's container sees it.
    pub ca_file: AbsolutePath,
    /// Where the webhook is.
    pub url: WebhookUrl,
}

/// A patch of kubeadm's that makes kube-apiserver ask the webhook: JSON patch, for
/// `kube-apiserver-iam+json.yaml` in kubeadm's directory of patches.
#[derive(Clone, Debug)]
pub struct ApiserverPatch {
    /// The webhook kubeconfig. Its directory is mounted, on the host and in the container alike.
    pub kubeconfig: AbsolutePath,
    /// How long the API server remembers an answer, in seconds. A revoked mapping lives on for so
    /// long.
    pub cache_ttl: u32,
}

impl Default for WebhookKubeconfig {
    fn default() -> Self {
        Self {
            ca_file: AbsolutePath::known("/etc/kubernetes/aws-iam-authenticator/ca.pem"),
            url: WebhookUrl::new("127.0.0.1", PORT),
        }
    }
}

impl Default for ApiserverPatch {
    fn default() -> Self {
        Self { kubeconfig: AbsolutePath::known(KUBECONFIG), cache_ttl: 30 }
    }
}

impl Artefact for WebhookKubeconfig {
    const TEMPLATE: &'static str = "kubeconfig.yaml";

    fn variables(&self) -> Value {
        context! { ca_file => &self.ca_file, url => self.url.to_string() }
    }
}

impl Artefact for ApiserverPatch {
    const TEMPLATE: &'static str = "apiserver-patch.yaml";

    fn variables(&self) -> Value {
        context! {
            kubeconfig => &self.kubeconfig,
            directory => &self.kubeconfig.parent(),
            cache_ttl => self.cache_ttl,
        }
    }
}
