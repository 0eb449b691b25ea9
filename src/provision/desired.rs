//! From what was found and what is asked for to what should be: a list of targets, in the order in
//! which they are safe. Writes nothing.

mod apiserver;
mod certificates;
mod program;
mod workload;

use std::collections::BTreeSet;
use std::path::Path;

use super::host::{Host, HostFault, Kind, NodePath};
use super::ledger::Ledger;
use super::look::{ConfigFile, Look, Server, leftovers};
use super::paths;
use super::plan::{Content, Fit, Phase, Target, Want};
use super::render::{AbsolutePath, RenderFault, WebhookKubeconfig};
use super::report::{Installer, Refusal};
use super::request::{Part, Request, Workload};
use super::yaml;
use crate::clock::UnixTime;
use crate::files::{Attributes, Owner};
use crate::keypair::WebhookUrl;

/// What should be.
pub(super) struct Desired {
    /// In the order in which they are made.
    pub(super) targets: Vec<Target>,
    pub(super) warnings: Vec<String>,
    /// What the API server has to be given.
    pub(super) installer: Installer,
    /// What the ledger will say besides.
    pub(super) ledger: Ledger,
    /// The leaf as it will be, in PEM.
    pub(super) leaf: String,
    /// Whether the next run has something to finish.
    pub(super) half_done: bool,
    /// Whether the API server has to start again although its manifest stays.
    pub(super) stale: bool,
}

/// What the steps below share.
struct Maker<'a> {
    host: &'a Host,
    request: &'a Request,
    look: &'a Look,
    server: &'a Server,
    program: &'a Path,
    now: UnixTime,
    label: Option<&'static str>,
    targets: Vec<Target>,
    warnings: Vec<String>,
    refusals: &'a mut Vec<Refusal>,
    ledger: Ledger,
    leaf: String,
    half_done: bool,
}

/// Says what should be. Whatever is in the way goes to `refusals`; the answer is then of no use.
pub(super) fn desired(
    host: &Host,
    request: &Request,
    look: &Look,
    program: &Path,
    now: UnixTime,
    refusals: &mut Vec<Refusal>,
) -> Result<Option<Desired>, HostFault> {
    let Some(server) = &look.server else { return Ok(None) };
    let enforcing = host.read(&paths::known(ENFORCING), 16).ok().flatten();
    let label = enforcing.is_some_and(|text| text.starts_with(b"1")).then_some(CONTAINER_LABEL);
    let mut maker = Maker {
        host,
        request,
        look,
        server,
        program,
        now,
        label,
        targets: Vec::new(),
        warnings: Vec::new(),
        refusals,
        ledger: look.ledger.clone(),
        leaf: String::new(),
        half_done: false,
    };
    maker.directories()?;
    let ca = maker.certificates()?;
    maker.config();
    let kubeconfig = maker.kubeconfig()?;
    let audit = maker.audit();
    maker.workload()?;
    let (installer, stale) = maker.apiserver(&kubeconfig, ca.as_ref(), audit.as_deref())?;
    maker.leftovers()?;
    let Maker { mut targets, warnings, ledger, leaf, half_done, .. } = maker;
    with_parents(host, &look.ledger, &mut targets)?;
    Ok(Some(Desired { targets, warnings, installer, ledger, leaf, half_done, stale }))
}

impl Maker<'_> {
    fn covers(&self, part: Part) -> bool {
        self.request.covers(part)
    }

    /// Attributes of what the authenticator's user may read or have.
    fn with(&self, mode: u32, uid: u32, gid: u32) -> Attributes {
        Attributes { mode, owner: Some(Owner { uid, gid }), label: self.label }
    }

    fn group(&self) -> u32 {
        self.request.owner.gid
    }

    fn directory(&mut self, path: NodePath, with: Attributes, fit: Fit) {
        self.targets.push(Target {
            path,
            phase: Phase::Files,
            want: Want::Directory { with, fit },
        });
    }

    fn file(&mut self, path: NodePath, phase: Phase, content: Content, with: Attributes) {
        self.targets.push(Target { path, phase, want: Want::File { content, with } });
    }

    /// The directories that everything is in. One that was there before us keeps what it has, if
    /// that will do.
    fn directories(&mut self) -> Result<(), HostFault> {
        let whom = self.request.owner;
        let fit = |path: &NodePath, host: &Host, ledger: &Ledger| -> Result<Fit, HostFault> {
            let ours = host.resolve(path)?.is_none() || ledger.made(path);
            Ok(if ours { Fit::Exact } else { Fit::Enough(whom) })
        };
        let state = paths::state();
        self.directory(
            state,
            Attributes { mode: 0o700, owner: Some(ROOT), label: None },
            Fit::Exact,
        );
        let group = self.group();
        let private = self.with(0o750, 0, group);
        let open = self.with(0o755, 0, 0);
        let mut wanted = Vec::new();
        if self.covers(Part::Config) {
            wanted.push((self.request.config.parent(), private.clone()));
        }
        if self.covers(Part::Certificates) {
            wanted.push((self.server.state_dir.clone(), private));
        }
        if self.covers(Part::Kubeconfig) || self.covers(Part::Certificates) {
            wanted.push((self.server.kubeconfig.parent(), open));
        }
        for (path, with) in wanted {
            if self.targets.iter().any(|target| target.path == path) {
                continue;
            }
            let fit = fit(&path, self.host, &self.look.ledger)?;
            self.directory(path, with, fit);
        }
        Ok(())
    }

    /// Somebody's configuration file stays; it only has to be readable for the authenticator.
    fn config(&mut self) {
        if !self.covers(Part::Config) {
            return;
        }
        let path = self.request.config.clone();
        match &self.server.file {
            ConfigFile::Starter(text) => {
                let content = Content::Text(text.clone().into_bytes());
                let with = self.with(0o640, 0, self.group());
                self.file(path, Phase::Files, content, with);
            }
            ConfigFile::There(path) => {
                let owner = self.request.owner;
                let path = path.clone();
                self.targets.push(Target {
                    path,
                    phase: Phase::Files,
                    want: Want::Readable { owner },
                });
            }
        }
        let inside = [self.request.config.parent(), self.server.state_dir.clone()];
        let seen = |path: &Path| {
            path.to_str()
                .and_then(|path| path.parse::<NodePath>().ok())
                .is_some_and(|path| inside.iter().any(|dir| path.is_within(dir)))
        };
        let ca = self.server.fixed.sts.ca_file.as_deref();
        if let Some(ca) = ca.filter(|ca| self.request.workload == Workload::StaticPod && !seen(ca))
        {
            self.refusals.push(Refusal {
                path: Some(self.request.config.clone()),
                line: None,
                problem: format!(
                    "server.sts.caFile is {}, which the authenticator's pod does not see",
                    ca.display()
                ),
                cure: format!("put it into {}", self.request.config.parent()),
            });
        }
    }

    /// The webhook kubeconfig names the CA by its path, so that another CA needs no other file.
    fn kubeconfig(&mut self) -> Result<String, HostFault> {
        let path = self.server.kubeconfig.clone();
        let Ok(ca) = path.parent().join(paths::CA) else { return Ok(String::new()) };
        let url = WebhookUrl::new(&self.server.webhook_host, self.server.fixed.port);
        let Some(ca_file) = self.absolute(&ca) else { return Ok(String::new()) };
        let artefact = WebhookKubeconfig { ca_file, url };
        let Some(text) = self.rendered(&artefact) else { return Ok(String::new()) };
        if self.covers(Part::Kubeconfig) {
            self.parses(&path)?;
            let content = Content::Text(text.clone().into_bytes());
            let with = self.with(0o644, 0, 0);
            self.file(path, Phase::Files, content, with);
        } else if self.covers(Part::Apiserver) && self.host.read(&path, FILE_LIMIT)?.is_none() {
            self.refusals.push(Refusal {
                path: Some(path),
                line: None,
                problem: "there is no such file, and the API server would not start with a flag that names it".into(),
                cure: "run without --only, or with --only=kubeconfig,certificates,apiserver".into(),
            });
        }
        Ok(text)
    }

    /// A kubeconfig that nobody can read is a sign that something else is wrong here.
    fn parses(&mut self, path: &NodePath) -> Result<(), HostFault> {
        let Some(entry) = self.host.find(path)? else { return Ok(()) };
        if entry.kind != Kind::File {
            // Told with the places.
            return Ok(());
        }
        let bytes = self.host.read(path, FILE_LIMIT)?.unwrap_or_default();
        let read = yaml::read::<serde_json::Map<String, serde_json::Value>>(&bytes);
        if let Err(wrong) = read {
            self.refusals.push(Refusal {
                path: Some(path.clone()),
                line: wrong.line,
                problem: format!("it is no kubeconfig: {wrong}"),
                cure: format!("move it away: mv {path} {path}.old"),
            });
        }
        Ok(())
    }

    /// What killed runs left in our directories.
    fn leftovers(&mut self) -> Result<(), HostFault> {
        let mut directories = BTreeSet::from([
            paths::state(),
            self.request.config.parent(),
            self.server.state_dir.clone(),
            self.server.kubeconfig.parent(),
        ]);
        directories.extend(self.targets.iter().filter_map(|target| match &target.want {
            Want::File { .. } | Want::Kept { .. } => Some(target.path.parent()),
            Want::Moved { to } => Some(to.parent()),
            Want::Directory { .. } | Want::Readable { .. } | Want::Gone => None,
        }));
        directories.remove(&self.look.pods.directory);
        let mut found = self.look.pods.leftovers.clone();
        for directory in directories {
            found.extend(leftovers(self.host, &directory)?);
        }
        for path in found {
            self.targets.push(Target { path, phase: Phase::Files, want: Want::Gone });
        }
        Ok(())
    }

    fn absolute(&mut self, path: &NodePath) -> Option<AbsolutePath> {
        match path.as_str().parse() {
            Ok(path) => Some(path),
            Err(fault) => {
                self.refusals.push(Refusal {
                    path: Some(path.clone()),
                    line: None,
                    problem: format!("{fault}"),
                    cure: "choose a plainer path".into(),
                });
                None
            }
        }
    }

    fn rendered(&mut self, artefact: &impl super::render::Artefact) -> Option<String> {
        match self.request.templates.render(artefact) {
            Ok(text) => Some(text),
            Err(fault) => {
                self.wrong_template(&fault);
                None
            }
        }
    }

    fn wrong_template(&mut self, fault: &RenderFault) {
        self.refusals.push(Refusal {
            path: None,
            line: None,
            problem: fault.to_string(),
            cure: "mend the template in --template-dir".into(),
        });
    }
}

/// Directories that are missing above what is wanted, as a fresh system has them.
fn with_parents(host: &Host, before: &Ledger, targets: &mut Vec<Target>) -> Result<(), HostFault> {
    let mut all = Vec::with_capacity(targets.len());
    let mut planned: Vec<NodePath> = Vec::new();
    for target in std::mem::take(targets) {
        let made = match &target.want {
            Want::Moved { to } => Some(to.clone()),
            Want::Directory { .. } | Want::File { .. } => Some(target.path.clone()),
            Want::Gone | Want::Readable { .. } | Want::Kept { .. } => None,
        };
        if let Some(made) = made {
            let mut missing: Vec<_> = made.ancestors().skip(1).collect();
            missing.reverse();
            for path in missing {
                // One that we made may lack its mode still, if that run was killed.
                let theirs = host.resolve(&path)?.is_some() && !before.made(&path);
                if planned.contains(&path) || theirs {
                    continue;
                }
                planned.push(path.clone());
                let with = Attributes { mode: 0o755, owner: Some(ROOT), label: None };
                let want = Want::Directory { with, fit: Fit::Exact };
                all.push(Target { path, phase: target.phase, want });
            }
            if matches!(target.want, Want::Directory { .. }) {
                planned.push(made);
            }
        }
        all.push(target);
    }
    *targets = all;
    Ok(())
}

const ROOT: Owner = Owner { uid: 0, gid: 0 };
/// SELinux says here whether it enforces.
const ENFORCING: &str = "/sys/fs/selinux/enforce";
/// What containers may read.
const CONTAINER_LABEL: &str = "system_u:object_r:container_file_t:s0";
/// Kubeconfigs and certificates have a few KiB.
const FILE_LIMIT: usize = 1024 * 1024;
