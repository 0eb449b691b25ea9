//! Looks at a host: everything that a plan is made from, read once. Changes nothing.

mod pods;
mod settings;

pub(super) use self::pods::{Pods, leftovers};
pub(super) use self::settings::{ConfigFile, Server};
use super::apiserver::Manifest;
use super::host::{Host, HostFault, Kind, NodePath};
use super::ledger::Ledger;
use super::paths;
use super::plan::Found;
use super::report::Refusal;
use super::request::Request;

/// What was found.
pub(super) struct Look {
    pub(super) ledger: Ledger,
    /// The ledger's file as it is.
    pub(super) ledger_text: Option<Vec<u8>>,
    /// The static pods.
    pub(super) pods: Pods,
    /// What the configuration file says, or what the one says that will be written.
    pub(super) server: Option<Server>,
    pub(super) warnings: Vec<String>,
}

/// The manifest that runs the API server.
pub(super) struct Main {
    pub(super) path: NodePath,
    pub(super) found: Found,
    pub(super) manifest: Manifest,
}

impl Look {
    /// Looks; whatever is in the way goes to `refusals`, and as much as can be told is told.
    pub(super) fn at(
        host: &Host,
        request: &Request,
        refusals: &mut Vec<Refusal>,
    ) -> Result<Self, HostFault> {
        let path = paths::ledger();
        let ledger_text = host.read(&path, LEDGER_LIMIT)?;
        let ledger = match ledger_text.as_deref().map(Ledger::read) {
            None => Ledger::default(),
            Some(Ok(ledger)) => ledger,
            Some(Err(fault)) => {
                let because = std::error::Error::source(&fault).map(ToString::to_string);
                refusals.push(Refusal {
                    path: Some(path),
                    line: None,
                    problem: format!("{fault}: {}", because.unwrap_or_default()),
                    cure:
                        "restore the file from a copy, or move it away; what is on the host then \
                           counts as somebody else's"
                            .into(),
                });
                Ledger::default()
            }
        };
        let mut warnings = Vec::new();
        let pods = Pods::at(host, request, refusals)?;
        let server = settings::server(host, request, refusals, &mut warnings)?;
        Ok(Self { ledger, ledger_text, pods, server, warnings })
    }
}

/// What stands at `path`, with its content if it is a file; a symlink is not followed.
pub(super) fn found(
    host: &Host,
    path: &NodePath,
    limit: usize,
) -> Result<Option<Found>, HostFault> {
    let Some(entry) = host.find(path)? else { return Ok(None) };
    let bytes = match entry.kind {
        Kind::File => host.read(path, limit)?,
        Kind::Directory | Kind::Symlink | Kind::Other => None,
    };
    Ok(Some(Found { entry, bytes }))
}

/// A ledger has some 30 entries.
const LEDGER_LIMIT: usize = 1024 * 1024;
/// kubelet's own limit for a manifest.
pub(super) const MANIFEST_LIMIT: usize = 10 * 1024 * 1024;
