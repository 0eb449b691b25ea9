//! The server's configuration file, or the one that will be written, and what it says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};

use crate::config::{self, Document, Faults, Fixed, Policy, ServerOverrides, ServerSettings};
use crate::face::Face;
use crate::identity::ClusterId;
use crate::mapping::RuleKind;
use crate::provision::host::{Host, HostFault, Kind, NodePath};
use crate::provision::plan::sha256;
use crate::provision::render::{Mapped, StarterConfig};
use crate::provision::report::Refusal;
use crate::provision::request::Request;

/// What the server will run with.
pub(in crate::provision) struct Server {
    pub(in crate::provision) file: ConfigFile,
    pub(in crate::provision) fixed: Fixed,
    /// Whether the file does not say it, so that a flag has to.
    pub(in crate::provision) cluster_id_by_flag: Option<ClusterId>,
    /// Directory of `cert.pem` and `key.pem`.
    pub(in crate::provision) state_dir: NodePath,
    /// The webhook kubeconfig.
    pub(in crate::provision) kubeconfig: NodePath,
    /// SHA-256 over cluster ID and mappings.
    pub(in crate::provision) fingerprint: String,
    /// Where API servers reach it.
    pub(in crate::provision) webhook_host: String,
}

/// Where the configuration comes from.
pub(in crate::provision) enum ConfigFile {
    /// It is there, and is somebody's: the file itself, at the end of symlinks.
    There(NodePath),
    /// It will be written.
    Starter(String),
}

/// Reads the configuration file; where there is none, makes one.
pub(super) fn server(
    host: &Host,
    request: &Request,
    refusals: &mut Vec<Refusal>,
    warnings: &mut Vec<String>,
) -> Result<Option<Server>, HostFault> {
    let path = &request.config;
    let refuse = |problem: String, cure: &str| Refusal {
        path: Some(path.clone()),
        line: None,
        problem,
        cure: cure.into(),
    };
    let mut itself = path.clone();
    match host.find(path)?.map(|entry| entry.kind) {
        Some(Kind::Symlink) => {
            let (target, end) = end_of_links(host, path)?;
            if let Some(end) = end {
                itself = end;
            } else {
                let problem =
                    format!("it is a symlink that leaves its directory, to {}", target.display());
                refusals.push(refuse(
                    problem,
                    "the server's pod sees the directory alone: copy the file there",
                ));
                return Ok(None);
            }
        }
        Some(Kind::Directory) => {
            refusals.push(refuse(
                "it is a directory, and a file was expected".into(),
                "remove the directory if it is empty: a pod that mounts a file that is not there makes one",
            ));
            return Ok(None);
        }
        Some(Kind::File | Kind::Other) | None => {}
    }
    let (bytes, file) = match host.read(path, Document::MAX_LEN)? {
        Some(bytes) => (bytes, ConfigFile::There(itself)),
        None => match starter(request) {
            Ok(text) => (text.clone().into_bytes(), ConfigFile::Starter(text)),
            Err(refusal) => {
                refusals.push(refusal);
                return Ok(None);
            }
        },
    };
    let read = |cluster_id: Option<&ClusterId>| {
        let over = ServerOverrides {
            cluster_id: cluster_id.map(ToString::to_string),
            strict: request.strict,
            ..ServerOverrides::default()
        };
        let document = Document::read(&bytes, Path::new(path.as_str()))?;
        config::server(Some(document), &over, Face::Own)
    };
    // What the file says by itself; then, if that is not enough, with the flag's help.
    let (checked, by_flag) = match (read(None), &request.cluster_id) {
        (Ok(checked), _) => (checked, None),
        (Err(_), Some(id)) => match read(Some(id)) {
            Ok(checked) => (checked, Some(id.clone())),
            Err(faults) => {
                refusals.extend(wrong(path, &faults));
                return Ok(None);
            }
        },
        (Err(faults), None) => {
            refusals.extend(wrong(path, &faults));
            return Ok(None);
        }
    };
    warnings.extend(checked.warnings.iter().map(ToString::to_string));
    let ServerSettings { fixed, policy } = checked.value;
    let said = policy.accept.cluster_ids.first();
    if let (Some(wanted), Some(said)) = (&request.cluster_id, said)
        && wanted != said
    {
        refusals.push(refuse(
            format!("it is for the cluster {said}, and --cluster-id says {wanted}"),
            "make the two the same; tokens of clients name the cluster, so a change locks out who has the old name",
        ));
    }
    if let Some(ca) = &fixed.client_ca {
        refusals.push(refuse(
            format!(
                "server.clientCAFile is {}, so that API servers have to show a certificate, and the webhook \
                 kubeconfig written here holds none",
                ca.display()
            ),
            "remove the key, or keep the kubeconfig by hand and leave this part out with --only",
        ));
    }
    let node = |path: &Path, key: &str, refusals: &mut Vec<Refusal>| {
        let parsed = path.to_str().and_then(|path| path.parse::<NodePath>().ok());
        if parsed.is_none() {
            let problem = format!("{key}: {} is not an absolute path", path.display());
            refusals.push(refuse(problem, "write it as an absolute path"));
        }
        parsed
    };
    let state_dir = node(&fixed.state_dir, "server.stateDir", refusals);
    let kubeconfig = node(&fixed.kubeconfig, "server.generateKubeconfig", refusals);
    let (Some(state_dir), Some(kubeconfig)) = (state_dir, kubeconfig) else { return Ok(None) };
    if fixed.port == 0 || fixed.health.port() == 0 {
        refusals.push(refuse(
            "a port is 0, any free one, which neither the API server nor kubelet can know".into(),
            "give server.port and server.healthAddress a port",
        ));
    }
    let fingerprint = fingerprint(&policy);
    let webhook_host = webhook_host(&fixed);
    let server = Server {
        file,
        cluster_id_by_flag: by_flag,
        state_dir,
        kubeconfig,
        fingerprint,
        webhook_host,
        fixed,
    };
    Ok(Some(server))
}

/// Where a symlink points, and the file at the end of it; `None` if that is not in the same
/// directory or below it. `..data` of a ConfigMap's volume is a symlink to a directory.
fn end_of_links(host: &Host, path: &NodePath) -> Result<(PathBuf, Option<NodePath>), HostFault> {
    let first = host.read_link(path)?;
    let plain = |target: &Path| {
        target.is_relative() && !target.components().any(|part| part == Component::ParentDir)
    };
    let mut here = path.clone();
    for _ in 0..MOST_LINKS {
        let target = host.read_link(&here)?;
        let next = target.to_str().filter(|_| plain(&target));
        let Some(next) = next.and_then(|name| here.parent().join(name).ok()) else {
            return Ok((first, None));
        };
        // Directories on the way may be links of the same kind.
        let directory = next.parent();
        let linked = host.find(&directory)?.is_some_and(|entry| entry.kind == Kind::Symlink);
        if linked && !plain(&host.read_link(&directory)?) {
            return Ok((first, None));
        }
        if host.find(&next)?.is_none_or(|entry| entry.kind != Kind::Symlink) {
            return Ok((first, Some(next)));
        }
        here = next;
    }
    Ok((first, None))
}

/// Two hosts of a cluster have the same, whatever their files' comments and other settings are.
fn fingerprint(policy: &Policy) -> String {
    let ids: Vec<_> = policy.accept.cluster_ids.iter().map(ToString::to_string).collect();
    let listed = |kind| policy.rules.listed(kind).collect::<Vec<_>>();
    let (roles, users) = (listed(RuleKind::MapRoles), listed(RuleKind::MapUsers));
    let accounts: Vec<_> = policy.rules.accounts().map(|account| account.to_string()).collect();
    sha256(format!("{ids:?}\n{roles:?}\n{users:?}\n{accounts:?}\n").as_bytes())
}

/// An address where there is one: a name such as `localhost` may lead to another.
fn webhook_host(fixed: &Fixed) -> String {
    if &*fixed.hostname != "localhost" {
        return fixed.hostname.to_string();
    }
    match fixed.address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        IpAddr::V4(_) | IpAddr::V6(_) => fixed.address.to_string(),
    }
}

fn starter(request: &Request) -> Result<String, Refusal> {
    let Some(cluster_id) = &request.cluster_id else {
        return Err(Refusal {
            path: Some(request.config.clone()),
            line: None,
            problem: "there is no configuration file, and no cluster ID to write one with".into(),
            cure: "say which cluster this is, with --cluster-id or in the spec; it is the name that clients' \
                   tokens are for"
                .into(),
        });
    };
    let mapped = |mapped: &[Mapped]| mapped.to_vec();
    let starter = StarterConfig {
        cluster_id: cluster_id.clone(),
        partition: request.partition,
        roles: mapped(&request.roles),
        users: mapped(&request.users),
    };
    request.templates.render(&starter).map_err(|fault| Refusal {
        path: None,
        line: None,
        problem: fault.to_string(),
        cure: "mend the template in --template-dir".into(),
    })
}

/// Each fault of the file, at its line.
fn wrong(path: &NodePath, faults: &Faults) -> Vec<Refusal> {
    faults
        .iter()
        .take(MOST_TOLD)
        .map(|fault| {
            let told = fault.to_string();
            // The place is told apart from the words here.
            let line = fault.place().map(|(line, _)| usize::try_from(line).unwrap_or(usize::MAX));
            let problem = match told.strip_prefix(path.as_str()) {
                Some(rest) => rest
                    .trim_start_matches(|c: char| c == ':' || c.is_ascii_digit())
                    .trim_start()
                    .to_owned(),
                None => told,
            };
            Refusal {
                path: Some(path.clone()),
                line,
                problem,
                cure: format!("iamgate config check {path} tells all that is wrong with it"),
            }
        })
        .collect()
}

/// As many as Linux follows would be a mistake here.
const MOST_LINKS: usize = 8;
/// `config check` tells the rest.
const MOST_TOLD: usize = 20;
