//! What a run is asked for, as values that are right in themselves.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use super::certificates::{Lifetimes, Name, Rotate};
use super::host::NodePath;
use super::render::{EnvVar, Image, Mapped, Memory, Templates};
use crate::files::Owner;
use crate::identity::{ClusterId, Partition};

/// What `provision` and `unprovision` are asked for.
#[derive(Debug)]
pub struct Request {
    /// The cluster; where there is none, the configuration file says it.
    pub cluster_id: Option<ClusterId>,
    /// The configuration file.
    pub config: NodePath,
    /// Mappings of a configuration file that is not there yet.
    pub roles: Vec<Mapped>,
    /// The same, of users.
    pub users: Vec<Mapped>,
    /// The partition, for a configuration file that is not there yet.
    pub partition: Option<Partition>,
    /// Whether doubts about the configuration file are faults.
    pub strict: bool,
    /// What to do with the API server's manifest.
    pub apiserver: ApiServer,
    /// Its file, where it is not the only one that runs an API server.
    pub manifest: Option<NodePath>,
    /// The directory of static pods, where kubelet's configuration does not say.
    pub manifests: Option<NodePath>,
    /// How the authenticator runs.
    pub workload: Workload,
    /// What it runs.
    pub image: Option<Image>,
    /// The image in whose container the host's binary runs.
    pub base_image: Option<Image>,
    /// Its environment, such as proxy settings.
    pub env: Vec<EnvVar>,
    /// Its limit of memory.
    pub memory: Memory,
    /// Its user and group.
    pub owner: Owner,
    /// More names of the certificate.
    pub names: Vec<Name>,
    /// How long certificates are valid.
    pub lifetimes: Lifetimes,
    /// What to replace although it is good.
    pub rotate: Option<Rotate>,
    /// How long the API server keeps an answer.
    pub cache_ttl: Ttl,
    /// The version of TokenReview that the API server sends.
    pub version: WebhookVersion,
    /// The audit policy that the API server is given.
    pub audit: Option<Audit>,
    /// Templates of the caller's.
    pub templates: Templates,
    /// The parts to look after; all of them where it is empty.
    pub only: BTreeSet<Part>,
    /// Whether manifests that are in the way are moved away.
    pub quarantine: bool,
    /// Whether the reference may hold our port.
    pub takeover: bool,
}

/// What to do with the API server's manifest.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiServer {
    /// Edit it.
    #[default]
    Edit,
    /// Leave it to an installer, which is told what to give to it.
    Later,
}

/// How the authenticator runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// As a pod of kubelet's own.
    #[default]
    StaticPod,
    /// As a DaemonSet, which somebody applies to the cluster.
    Daemonset,
    /// As a unit of systemd's.
    Systemd,
    /// Not by us.
    None,
}

/// The parts of a host that can be looked after alone.
#[derive(
    Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, clap::ValueEnum, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The configuration file.
    Config,
    /// CA, certificate and key.
    Certificates,
    /// The webhook kubeconfig.
    Kubeconfig,
    /// The authenticator.
    Workload,
    /// The API server's manifest.
    Apiserver,
}

/// The version of TokenReview that the API server sends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the API's")]
pub enum WebhookVersion {
    #[default]
    V1,
    V1beta1,
}

/// An audit policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Audit {
    /// The one of `render audit-policy`.
    Default,
    /// One of the caller's.
    Own(Box<str>),
}

/// A duration as Go writes it, from none to an hour: `30s`, `2m`, `1m30s`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ttl {
    text: Box<str>,
    /// Whether somebody asked for it.
    pub given: bool,
}

/// Text that is no such duration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a duration of at most an hour, such as 30s or 2m, found {0:?}")]
pub struct TtlFault(Box<str>);

impl Ttl {
    /// As the API server's flag has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Default for Ttl {
    /// Long enough to spare STS, short enough that a withdrawn mapping ends soon.
    fn default() -> Self {
        Self { text: "30s".into(), given: false }
    }
}

impl FromStr for Ttl {
    type Err = TtlFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text).map(|_| Self { text: text.into(), given: true })
    }
}

impl Ttl {
    /// The duration that `text` is.
    ///
    /// # Errors
    /// It is none, or is longer than an hour.
    pub fn read(text: &str) -> Result<Duration, TtlFault> {
        let fault = || TtlFault(text.chars().take(40).collect());
        let mut total = Duration::ZERO;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
            let (number, unit) = rest.split_at_checked(digits).ok_or_else(fault)?;
            let number: u64 = number.parse().map_err(|_| fault())?;
            let (each, behind) = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
                .into_iter()
                .find_map(|(name, each)| Some((each, unit.strip_prefix(name)?)))
                .ok_or_else(fault)?;
            total = total.saturating_add(Duration::from_millis(number.saturating_mul(each)));
            rest = behind;
        }
        match !text.is_empty() && total <= LONGEST_TTL {
            true => Ok(total),
            false => Err(fault()),
        }
    }
}

impl WebhookVersion {
    /// As the API server's flag has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1beta1 => "v1beta1",
        }
    }
}

/// The configuration file, unless somebody says otherwise.
pub fn default_config() -> NodePath {
    super::paths::known(super::paths::CONFIG)
}

impl Request {
    /// Whether `part` is to be looked after.
    pub fn covers(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// Beyond this, somebody whose access is withdrawn keeps it for longer than their token lasts.
const LONGEST_TTL: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for text in ["30s", "2m", "1m30s", "1h", "500ms", "0s"] {
            assert_eq!(text.parse::<Ttl>().unwrap().as_str(), text);
        }
        for text in ["", "30", "s", "1d", "-1s", "1.5m", "61m", "99999999999999999999s", "1 s"] {
            assert_eq!(text.parse::<Ttl>(), Err(TtlFault(text.into())), "{text}");
        }
    }
}
