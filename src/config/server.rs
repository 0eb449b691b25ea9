//! What the `server` command is told by file and flags.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::fault::{Checked, Doubt, Faults, Findings, Path, Quoted, Wrong};
use super::keys::{ROOT, SERVER, Shape};
use super::mappings::Piles;
use super::section::{Section, Text};
use super::{
    Document, Ec2Settings, Fixed, Limits, MOST_CLUSTER_IDS, Policy, ServerSettings, StsSettings,
    backends, limits, mappings,
};
use crate::face::Face;
use crate::identity::{ClusterId, Partition};
use crate::mapping::{Rules, RulesInput};
use crate::token::{Acceptance, Age, HostPolicy};

/// What the `server` command's flags say, and the environment where a variable stands for a flag.
/// What is given wins over the file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServerOverrides {
    /// `--cluster-id`, or `KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID`.
    pub cluster_id: Option<String>,
    /// `--partition`.
    pub partition: Option<String>,
    /// `--generate-kubeconfig`.
    pub generate_kubeconfig: Option<PathBuf>,
    /// `--kubeconfig-pregenerated`.
    pub kubeconfig_pregenerated: Option<bool>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--kubeconfig`; no backend of this version uses it.
    pub kubeconfig: Option<String>,
    /// `--master`; no backend of this version uses it.
    pub master: Option<String>,
    /// `--address`.
    pub address: Option<String>,
    /// `--hostname`, which `init` alone has.
    pub hostname: Option<String>,
    /// `--backend-mode`, each as it was given; empty if it was not.
    pub backend_mode: Vec<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--ec2-describeInstances-qps`.
    pub ec2_qps: Option<u32>,
    /// `--ec2-describeInstances-burst`.
    pub ec2_burst: Option<u32>,
    /// The feature gate `SSORoleMatch`.
    pub sso_gate: Option<bool>,
    /// `--strict`: unknown keys and entries that are there twice are faults.
    pub strict: bool,
}

/// What the `server` command runs on: flags, then the file, then defaults, which `face` decides.
///
/// # Errors
/// Every fault of the file and the flags.
pub fn server(
    mut document: Option<Document>,
    over: &ServerOverrides,
    face: Face,
) -> Result<Checked<ServerSettings>, Faults> {
    let (mut piles, mut found) = document.as_mut().map(Document::take).unwrap_or_default();
    let root = root(document.as_ref(), &mut found);
    root.warn_of_unknown_keys(&mut found);
    for key in ["log-verbosity", "feature-gates"] {
        if root.text(key, &mut found).is_some() {
            found.warn(root.at_value(key), Doubt::NoEffect);
        }
    }
    let server = root.section("server", SERVER, &mut found);
    backends::judge(&server, &over.backend_mode, &mut found);
    let fixed = fixed(&server, over, face, &mut found);
    let policy = policy(&root, &server, &mut piles, over, face, &mut found);
    let settings = fixed.zip(policy).map(|(fixed, policy)| ServerSettings { fixed, policy });
    let checked = found.check(settings)?;
    if over.strict { checked.strict() } else { Ok(checked) }
}

/// The file's outermost map.
pub(super) fn root<'a>(document: Option<&'a Document>, found: &mut Findings) -> Section<'a> {
    match document {
        Some(document) => Section::open(document.tree().root(), Path::Root, ROOT, found),
        None => Section::absent(Path::Root, ROOT),
    }
}

/// The cluster ID of flag or file; `None` where there is none, or no right one, which is told.
pub(super) fn cluster_id(
    root: &Section<'_>,
    flag: Option<&str>,
    found: &mut Findings,
) -> Option<ClusterId> {
    let text = match flag {
        Some(text) => Some(Text::flag_value("--cluster-id", text)),
        None => root.text("clusterID", found),
    };
    text?.parse(found, Wrong::ClusterId)
}

/// The partition of flag or file; `aws` where there is none.
pub(super) fn partition(
    section: &Section<'_>,
    flag: Option<&str>,
    found: &mut Findings,
) -> Option<Partition> {
    let text = match flag {
        Some(text) => Some(Text::flag_value("--partition", text)),
        None => section.text("partition", found),
    };
    text.map_or(Some(Partition::Aws), |text| text.parse(found, Wrong::Partition))
}

/// `server.sts`.
pub(super) fn sts(server: &Section<'_>, found: &mut Findings) -> StsSettings {
    let sts = server.section("sts", table("sts"), found);
    let mut settings = StsSettings {
        ca_file: sts.path("caFile", found),
        timeout: sts.duration("timeout", limits::STS_TIMEOUT, found).unwrap_or(STS_TIMEOUT),
        ..StsSettings::default()
    };
    sts.pairs("connectTo", found, |name, value, found| {
        // Keys have no case here as anywhere in the file; host names have none either.
        let lower = name.text.to_ascii_lowercase();
        let host = Text { text: &lower, at: name.at }.host(found);
        let socket = value.socket(found);
        settings.connect_to.extend(host.zip(socket));
    });
    settings
}

fn fixed(
    server: &Section<'_>,
    over: &ServerOverrides,
    face: Face,
    found: &mut Findings,
) -> Option<Fixed> {
    let address = match &over.address {
        Some(text) => Text::flag_value("--address", text).ip(found),
        None => server
            .text("address", found)
            .map_or(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), |text| text.ip(found)),
    };
    let port = over.port.map(u64::from).or_else(|| server.number("port", limits::PORT, found));
    let given = match &over.hostname {
        Some(text) => Some(Text::flag_value("--hostname", text)),
        None => server.text("hostname", found),
    };
    let hostname = given.map_or_else(|| Some("localhost".into()), |text| hostname(text, found));
    let health = match server.text("healthAddress", found) {
        Some(text) => text.socket(found),
        None => Some(health_default(face)),
    };
    let pregenerated = server.flag("kubeconfigPregenerated", found);
    // Of backends that this version does not have.
    let _ = server.text("kubeconfig", found);
    let _ = server.text("master", found);
    let path = |flag: &Option<PathBuf>, name, key, default: &str, found: &mut Findings| match flag {
        Some(path) if path.as_os_str().is_empty() => {
            found.fault(Text::flag_value(name, "").at, Wrong::Empty);
            PathBuf::new()
        }
        Some(path) => path.clone(),
        None => server.path(key, found).unwrap_or_else(|| default.into()),
    };
    let state_dir = path(&over.state_dir, "--state-dir", "stateDir", STATE_DIR, found);
    let flag = &over.generate_kubeconfig;
    let kubeconfig = path(flag, "--generate-kubeconfig", "generateKubeconfig", KUBECONFIG, found);
    let client_ca = server.path("clientCAFile", found);
    let sts = sts(server, found);
    let ec2 = ec2(server, over, found);
    // Only now: a missing value must not hide the faults of others.
    Some(Fixed {
        address: address?,
        port: port.and_then(|port| port.try_into().ok()).unwrap_or(PORT),
        hostname: hostname?,
        health: health?,
        state_dir,
        kubeconfig,
        kubeconfig_pregenerated: over.kubeconfig_pregenerated.or(pregenerated).unwrap_or(false),
        client_ca,
        sts,
        ec2,
    })
}

/// It goes into the certificate and into a URL.
fn hostname(text: Text<'_>, found: &mut Findings) -> Option<Box<str>> {
    if text.text.parse::<IpAddr>().is_ok() {
        return Some(text.text.into());
    }
    // Case means nothing in a host name, and existing files have capitals.
    let lower = text.text.to_ascii_lowercase();
    Text { text: &lower, at: text.at }.host(found)
}

fn health_default(face: Face) -> SocketAddr {
    let address = match face {
        Face::Own => Ipv4Addr::LOCALHOST,
        Face::Reference => Ipv4Addr::UNSPECIFIED,
    };
    SocketAddr::from((address, HEALTH_PORT))
}

fn ec2(server: &Section<'_>, over: &ServerOverrides, found: &mut Findings) -> Ec2Settings {
    let arn = |key, found: &mut Findings| {
        let text = server.some_text(key, found)?;
        // The role's ARN is judged by STS; here just the form, so that a slip is seen at start.
        if !text.text.starts_with("arn:") || text.text.split(':').count() < 6 {
            found.fault(text.at, Wrong::NotArn(Quoted::new(text.text)));
        }
        Some(text.text.into())
    };
    let rate = |flag: Option<u32>, key, found: &mut Findings| {
        let mut number = || server.number(key, limits::RATE, found);
        flag.or_else(|| number().and_then(|number| number.try_into().ok()))
    };
    let qps = rate(over.ec2_qps, "ec2DescribeInstancesQps", found).unwrap_or(EC2_QPS);
    let mut burst = rate(over.ec2_burst, "ec2DescribeInstancesBurst", found).unwrap_or(EC2_BURST);
    if qps > 0 && burst == 0 {
        found.warn(server.at_value("ec2DescribeInstancesBurst"), Doubt::Burst);
        burst = 1;
    }
    Ec2Settings {
        role_arn: arn("ec2DescribeInstancesRoleARN", found),
        source_arn: arn("sourceARN", found),
        qps,
        burst,
    }
}

fn policy(
    root: &Section<'_>,
    server: &Section<'_>,
    piles: &mut Piles,
    over: &ServerOverrides,
    face: Face,
    found: &mut Findings,
) -> Option<Policy> {
    let cluster_ids = cluster_ids(root, server, over.cluster_id.as_deref(), found);
    let partition = partition(server, over.partition.as_deref(), found);
    let hosts = hosts(server, partition.unwrap_or(Partition::Aws), found);
    let max_age = max_age(server, found);
    let rules = rules(server, piles, over, face, found);
    let scrubbed = mappings::accounts(server, "scrubbedAccounts", found);
    let limits = bounds(server, found);
    partition?;
    Some(Policy {
        accept: Acceptance { cluster_ids: cluster_ids?, hosts, max_age: max_age? },
        rules: Rules::new(rules),
        scrubbed,
        limits,
    })
}

/// The cluster ID of flag or file, and the further ones of the file.
pub(super) fn cluster_ids(
    root: &Section<'_>,
    server: &Section<'_>,
    flag: Option<&str>,
    found: &mut Findings,
) -> Option<Vec<ClusterId>> {
    if flag.is_none() && root.node("clusterID").is_none() {
        found.fault(
            root.at_missing("clusterID"),
            Wrong::ClusterId(crate::identity::ClusterIdError::Empty),
        );
    }
    let first = cluster_id(root, flag, found);
    let mut ids: Vec<ClusterId> = first.iter().cloned().collect();
    for section in [root, server] {
        section.texts("acceptedClusterIDs", &[','], found, |text, found| {
            if let Some(id) = text.parse::<ClusterId>(found, Wrong::ClusterId)
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        });
    }
    if ids.len() > MOST_CLUSTER_IDS {
        let section = if server.node("acceptedClusterIDs").is_some() { server } else { root };
        found.fault(section.at_value("acceptedClusterIDs"), Wrong::ClusterIds(ids.len()));
    }
    first.is_some().then_some(ids)
}

/// `server.maxTokenAge`; `None` where it is wrong, which is told.
pub(super) fn max_age(server: &Section<'_>, found: &mut Findings) -> Option<Age> {
    match server.duration("maxTokenAge", limits::TOKEN_AGE, found) {
        Some(age) => Age::from_secs(age.as_secs())
            .map_err(|error| found.fault(server.at_value("maxTokenAge"), Wrong::Age(error)))
            .ok(),
        None => Some(Age::default()),
    }
}

/// The STS hosts of `partition`, with `server.allowedRegions` and `server.extraSTSHosts`.
pub(super) fn hosts(
    server: &Section<'_>,
    partition: Partition,
    found: &mut Findings,
) -> HostPolicy {
    let mut regions: Vec<Box<str>> = Vec::new();
    server.texts("allowedRegions", &[','], found, |text, found| {
        let part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.text.is_empty() || text.text.len() > MOST_LABEL || !text.text.bytes().all(part) {
            return found.fault(text.at, Wrong::Region(Quoted::new(text.text)));
        }
        if !partition.names_region(text.text) {
            found.warn(text.at, Doubt::OtherPartition(Quoted::new(text.text), partition));
        }
        regions.push(text.text.into());
    });
    let mut extra: Vec<Box<str>> = Vec::new();
    server.texts("extraSTSHosts", &[','], found, |text, found| extra.extend(text.host(found)));
    HostPolicy::new(partition).allow_regions(regions).extra_hosts(extra)
}

/// Who becomes whom, not yet indexed.
pub(super) fn rules(
    server: &Section<'_>,
    piles: &mut Piles,
    over: &ServerOverrides,
    face: Face,
    found: &mut Findings,
) -> RulesInput {
    let roles = mappings::roles(server, piles, found);
    let users = mappings::users(server, piles, found);
    let accounts = mappings::accounts(server, "mapAccounts", found);
    if roles.is_empty() && users.is_empty() && accounts.is_empty() {
        found.warn(server.at(), Doubt::Nobody);
    }
    let sso = over.sso_gate.unwrap_or(match face {
        Face::Own => true,
        Face::Reference => false,
    });
    if !sso && over.sso_gate.is_none() && roles.has_sso() {
        found.warn(server.at_value("mapRoles"), Doubt::SsoOff);
    }
    let compat = server.section("compat", table("compat"), found);
    let any_sso_suffix = compat.flag("anySSOSuffix", found).unwrap_or(false);
    RulesInput {
        roles,
        users,
        accounts,
        reserved_prefixes: backends::reserved_prefixes(server, found),
        sso,
        any_sso_suffix,
    }
}

fn bounds(server: &Section<'_>, found: &mut Findings) -> Limits {
    let section = server.section("limits", table("limits"), found);
    let default = Limits::default();
    let mut bound = |key, range, default| {
        let number = section.number(key, range, found);
        number.and_then(|number| number.try_into().ok()).unwrap_or(default)
    };
    Limits {
        connections: bound("connections", limits::CONNECTIONS, default.connections),
        handshakes: bound("handshakes", limits::HANDSHAKES, default.handshakes),
        sts_in_flight: bound("stsInFlight", limits::STS_IN_FLIGHT, default.sts_in_flight),
        body: bound("body", limits::BODY, default.body),
    }
}

/// The keys of a map inside `server`.
fn table(name: &str) -> &'static [super::keys::Key] {
    match SERVER.iter().find(|key| key.name == name).map(|key| &key.shape) {
        Some(Shape::Map(keys)) => keys,
        Some(_) | None => &[],
    }
}

impl Default for StsSettings {
    fn default() -> Self {
        Self { connect_to: Default::default(), ca_file: None, timeout: STS_TIMEOUT }
    }
}

const PORT: u16 = 21_362;
const HEALTH_PORT: u16 = 21_363;
const STATE_DIR: &str = "/var/aws-iam-authenticator";
const KUBECONFIG: &str = "/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml";
const EC2_QPS: u32 = 15;
const EC2_BURST: u32 = 5;
/// kube-apiserver waits 30 s for its webhook, and a person less.
const STS_TIMEOUT: Duration = Duration::from_secs(4);
/// A region is one label of a host name.
const MOST_LABEL: usize = 63;
