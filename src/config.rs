//! Configuration files and flags: text in, typed settings out, or every fault with its place.
//!
//! The file is the reference's (YAML, JSON or TOML by its extension, keys in any case) plus our
//! own keys. This module reads no file and no environment: it is given bytes.
//!
//! ```text
//! bytes --yaml, json, toml--> tree, with places --sections--> settings, or all faults
//! ```
//!
//! Syntax is the libraries'. The tree between them and us keeps scalars as they are written and
//! knows their places, which typed readers do not offer for all three formats; it is what makes
//! every message name its line.

mod backends;
mod client;
mod document;
mod fault;
mod json;
mod keys;
mod limits;
mod mappings;
mod schema;
mod section;
mod server;
mod toml;
mod tree;
mod wrong;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use self::client::{ClientOverrides, ClientSettings, acceptance, client};
pub use self::document::Document;
pub use self::fault::{Checked, Fault, Faults, Warning};
pub use self::schema::schema;
pub(crate) use self::section::boolean;
pub use self::server::{ServerOverrides, server};

use crate::identity::{AccountId, Partition};
use crate::mapping::Rules;
use crate::token::Acceptance;

/// What the `server` command needs. `fixed` is read once; `policy` follows the file.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// What takes a restart to change.
    pub fixed: Fixed,
    /// What a change of the file changes at once.
    pub policy: Policy,
}

/// Settings that are read at start only. A reload that differs here is reported, not applied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fixed {
    /// `server.address`: where TLS listens.
    pub address: IpAddr,
    /// `server.port`: 21362; 0 takes any free port.
    pub port: u16,
    /// `server.hostname`: in the kubeconfig's URL and in the certificate.
    pub hostname: Box<str>,
    /// `server.healthAddress`: plain HTTP for health and metrics.
    pub health: SocketAddr,
    /// `server.stateDir`: holds `cert.pem` and `key.pem`.
    pub state_dir: PathBuf,
    /// `server.generateKubeconfig`: where the webhook kubeconfig is written.
    pub kubeconfig: PathBuf,
    /// `server.kubeconfigPregenerated`: do not write it.
    pub kubeconfig_pregenerated: bool,
    /// `server.clientCAFile`: ask API servers for certificates signed by these.
    pub client_ca: Option<PathBuf>,
    /// `server.sts.*`: how STS is reached.
    pub sts: StsSettings,
    /// `server.ec2*`: how EC2 is asked for private DNS names.
    pub ec2: Ec2Settings,
}

/// How STS is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StsSettings {
    /// STS host name to address and port to dial instead; TLS name and `Host` stay.
    pub connect_to: BTreeMap<Box<str>, SocketAddr>,
    /// Roots that replace the system's.
    pub ca_file: Option<PathBuf>,
    /// The whole exchange: connect, send, read. 4 s by default.
    pub timeout: Duration,
}

/// How EC2 is asked for private DNS names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ec2Settings {
    /// Role to assume first (`server.ec2DescribeInstancesRoleARN`).
    pub role_arn: Option<Box<str>>,
    /// `server.sourceARN`: sent with that AssumeRole against the confused deputy.
    pub source_arn: Option<Box<str>>,
    /// Calls per second (`server.ec2DescribeInstancesQps`); 0 is unlimited.
    pub qps: u32,
    /// Calls at once above that rate (`server.ec2DescribeInstancesBurst`).
    pub burst: u32,
}

/// What decides about tokens. Replaced as a whole when the file changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What a token has to satisfy: `clusterID` first, then `acceptedClusterIDs`, without repeats;
    /// the hosts of `server.partition`, `allowedRegions` and `extraSTSHosts`; `maxTokenAge`.
    pub accept: Acceptance,
    /// Who becomes whom.
    pub rules: Rules,
    /// Accounts whose callers are not told about (`server.scrubbedAccounts`).
    pub scrubbed: Vec<AccountId>,
    /// Bounds of the server.
    pub limits: Limits,
}

/// `server.limits.*`: how much the server takes on at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Open connections to the webhook's port; beyond, one at rest is closed, of those first
    /// that had no review granted. The health port has a few of its own.
    pub connections: usize,
    /// TLS handshakes that wait for our part; beyond, they queue.
    pub handshakes: usize,
    /// STS exchanges under way; beyond, reviews wait for their turn.
    pub sts_in_flight: usize,
    /// Bytes of a request body; beyond, 413.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 128, handshakes: 16, sts_in_flight: 64, body: 64 * 1024 }
    }
}

impl Policy {
    /// The partition that tokens must belong to.
    pub fn partition(&self) -> Partition {
        self.accept.hosts.partition()
    }
}

impl Fixed {
    /// The keys whose change needs a restart, of those in which `other` differs.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let Self {
            address,
            port,
            hostname,
            health,
            state_dir,
            kubeconfig,
            kubeconfig_pregenerated,
            client_ca,
            sts: StsSettings { connect_to, ca_file, timeout },
            ec2: Ec2Settings { role_arn, source_arn, qps, burst },
        } = self;
        [
            ("server.address", *address != other.address),
            ("server.port", *port != other.port),
            ("server.hostname", *hostname != other.hostname),
            ("server.healthAddress", *health != other.health),
            ("server.stateDir", *state_dir != other.state_dir),
            ("server.generateKubeconfig", *kubeconfig != other.kubeconfig),
            (
                "server.kubeconfigPregenerated",
                *kubeconfig_pregenerated != other.kubeconfig_pregenerated,
            ),
            ("server.clientCAFile", *client_ca != other.client_ca),
            ("server.sts.connectTo", *connect_to != other.sts.connect_to),
            ("server.sts.caFile", *ca_file != other.sts.ca_file),
            ("server.sts.timeout", *timeout != other.sts.timeout),
            ("server.ec2DescribeInstancesRoleARN", *role_arn != other.ec2.role_arn),
            ("server.sourceARN", *source_arn != other.ec2.source_arn),
            ("server.ec2DescribeInstancesQps", *qps != other.ec2.qps),
            ("server.ec2DescribeInstancesBurst", *burst != other.ec2.burst),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}

/// The most cluster IDs that are accepted at once. A token is tried with each, which costs a call.
const MOST_CLUSTER_IDS: usize = 8;
