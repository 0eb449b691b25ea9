//! The API server's manifest: flags, mounts and the content hash, all of them or none.

use super::Maker;
use crate::files::{Attributes, Owner};
use crate::provision::apiserver::{
    DirectoryType, Edit, Edited, Manifest, Policy, WantedAnnotation, WantedFlag, WantedMount,
};
use crate::provision::host::{HostFault, NodePath};
use crate::provision::ledger::{self, Generation};
use crate::provision::look::Main;
use crate::provision::paths;
use crate::provision::plan::{Content, Fit, Phase, Target, Want, sha256};
use crate::provision::preflight;
use crate::provision::render::AuditPolicy;
use crate::provision::report::{Flag, Installer, Refusal, Volume};
use crate::provision::request::{ApiServer, Audit, Part};

impl Maker<'_> {
    /// The audit policy's text, and where it and the log are.
    pub(super) fn audit(&mut self) -> Option<String> {
        let text = match &self.request.audit {
            None => return None,
            Some(Audit::Own(text)) => text.to_string(),
            Some(Audit::Default) => self.rendered(&AuditPolicy {})?,
        };
        if let Some(path) = self.audit_file()
            && self.covers(Part::Apiserver)
        {
            let with = self.with(0o644, 0, 0);
            self.file(path, Phase::Files, Content::Text(text.clone().into_bytes()), with);
            let log = paths::known(paths::AUDIT_LOG_DIRECTORY);
            let main = self.look.pods.apiserver.as_ref();
            let user = main.and_then(|main| main.manifest.run_as_user()).unwrap_or(0);
            let owner = Some(Owner { uid: user, gid: 0 });
            let with = Attributes { mode: 0o700, owner, label: self.label };
            let there = self.host.resolve(&log).ok().flatten().is_some();
            let ours = self.look.ledger.made(&log);
            self.directory(
                log,
                with,
                if there && !ours { Fit::Enough(Owner { uid: user, gid: 0 }) } else { Fit::Exact },
            );
        }
        Some(text)
    }

    fn audit_file(&self) -> Option<NodePath> {
        self.server.kubeconfig.parent().join(paths::AUDIT_POLICY).ok()
    }

    /// What the API server is to be given, and whether it runs with an older content than there is.
    pub(super) fn apiserver(
        &mut self,
        kubeconfig: &str,
        ca: Option<&Generation>,
        audit: Option<&str>,
    ) -> Result<(Installer, bool), HostFault> {
        let wanted = self.wanted();
        let installer = installer(&wanted);
        if !self.covers(Part::Apiserver) {
            return Ok((installer, false));
        }
        // A number instead of the bundle itself, which is not known before it is made.
        let number = ca.map_or(0, |ca| ca.number);
        let content = format!("{kubeconfig}\0{number}\0{}", audit.unwrap_or_default());
        let hash = sha256(content.as_bytes());
        let same = self.look.ledger.config_hash.as_deref() == Some(&*hash);
        self.ledger.config_hash = Some(hash.clone());
        self.quarantine()?;
        let Some(main) = &self.look.pods.apiserver else { return Ok((installer, false)) };
        if self.request.apiserver == ApiServer::Later {
            let known = self.look.ledger.config_hash.is_some();
            return Ok((installer, known && !same));
        }
        preflight::authorization(self.host, main, self.refusals);
        match edited(main, &wanted, &hash, same) {
            Ok(edited) => self.manifest(main, edited, false),
            Err(refusal) => match self.edited_anew(main, wanted, &hash) {
                Some(edited) => self.manifest(main, edited, true),
                None => self.refusals.push(refusal),
            },
        }
        Ok((installer, false))
    }

    /// Moves away what is in the way. Where that is not asked for, it was refused.
    fn quarantine(&mut self) -> Result<(), HostFault> {
        if self.look.pods.in_the_way.is_empty() {
            return Ok(());
        }
        let away = self.host.unused(&paths::dated(&paths::quarantine(), self.now))?;
        for path in [paths::quarantine(), away.clone()] {
            let with = Attributes { mode: 0o700, owner: Some(super::ROOT), label: None };
            self.directory(path, with, Fit::Exact);
        }
        for path in &self.look.pods.in_the_way {
            let Ok(to) = away.join(path.name()) else { continue };
            self.targets.push(Target {
                path: path.clone(),
                phase: Phase::ApiServer,
                want: Want::Moved { to },
            });
        }
        Ok(())
    }

    /// What is in the way may be our own of another time, such as another lifetime of answers: the
    /// edit as it is without that.
    fn edited_anew(&self, main: &Main, mut wanted: Edit, hash: &str) -> Option<Edited> {
        let ours = self.look.ledger.apiserver.as_ref().filter(|known| known.path == main.path)?;
        let removed = main.manifest.remove(&ours.added).ok().filter(|removed| removed.changed)?;
        wanted.annotations.push(WantedAnnotation { key: HASH.to_owned(), value: hash.to_owned() });
        Manifest::read(&removed.text).ok()?.edit(&wanted).ok()
    }

    /// `anew` where nothing of what we added before is left in it.
    fn manifest(&mut self, main: &Main, edited: Edited, anew: bool) {
        let at = |line: usize| format!("{}:{line}: ", main.path);
        self.warnings.extend(
            edited.warnings.iter().map(|warning| at(warning.line()) + &warning.to_string()),
        );
        let path = main.path.clone();
        // As it was left, or with some of our lines still in it: what we added before counts on.
        let before =
            self.look.ledger.apiserver.as_ref().filter(|known| known.path == path && !anew);
        let still = before.filter(|known| {
            main.manifest.remove(&known.added).is_ok_and(|removed| removed.changed)
        });
        let added = match still {
            Some(known) => known.added.clone().then(edited.added),
            None => edited.added,
        };
        if edited.changed || still.is_some() {
            self.ledger.apiserver = Some(ledger::Manifest { path: path.clone(), added });
        }
        let owner = main.found.entry.owner;
        let with = Attributes { mode: main.found.entry.mode, owner: Some(owner), label: None };
        self.file(path, Phase::ApiServer, Content::Text(edited.text), with);
    }

    fn wanted(&self) -> Edit {
        let directory = self.server.kubeconfig.parent();
        let flag = |name: &str, value: &str, policy| WantedFlag {
            name: name.to_owned(),
            value: value.to_owned(),
            policy,
        };
        let ttl = &self.request.cache_ttl;
        let kept = if ttl.given { Policy::Must } else { Policy::Keep };
        let mut wanted = Edit {
            flags: vec![
                flag(
                    "authentication-token-webhook-config-file",
                    self.server.kubeconfig.as_str(),
                    Policy::Must,
                ),
                flag("authentication-token-webhook-cache-ttl", ttl.as_str(), kept),
                flag(
                    "authentication-token-webhook-version",
                    self.request.version.as_str(),
                    Policy::Keep,
                ),
            ],
            mounts: vec![mount("aws-iam-authenticator", directory.as_str(), true)],
            annotations: Vec::new(),
        };
        if let Some(file) = self.audit_file().filter(|_| self.request.audit.is_some()) {
            let log = paths::AUDIT_LOG_DIRECTORY;
            wanted.flags.extend([
                flag("audit-policy-file", file.as_str(), Policy::Must),
                flag("audit-log-path", &format!("{log}/audit.log"), Policy::Keep),
                flag("audit-log-maxage", "30", Policy::Keep),
                flag("audit-log-maxbackup", "10", Policy::Keep),
                flag("audit-log-maxsize", "100", Policy::Keep),
            ]);
            wanted.mounts.push(mount("iamgate-audit", log, false));
        }
        wanted
    }
}

/// An API server that was given everything by an installer, and has read what there is, stays as it
/// is: without the content hash there is nothing to restart it for.
fn edited(main: &Main, wanted: &Edit, hash: &str, same: bool) -> Result<Edited, Refusal> {
    let refused = |refusal: crate::provision::apiserver::Refusal| Refusal {
        path: Some(main.path.clone()),
        line: refusal.line(),
        problem: refusal.to_string(),
        cure: refusal.cure().to_string(),
    };
    let bare = main.manifest.edit(wanted).map_err(refused)?;
    if !bare.changed && same && main.manifest.annotation(HASH).is_none() {
        return Ok(bare);
    }
    let mut wanted = wanted.clone();
    wanted.annotations.push(WantedAnnotation { key: HASH.to_owned(), value: hash.to_owned() });
    main.manifest.edit(&wanted).map_err(refused)
}

fn mount(volume: &str, path: &str, read_only: bool) -> WantedMount {
    WantedMount {
        volume: volume.to_owned(),
        host_path: path.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        host_type: DirectoryType::Directory,
    }
}

fn installer(wanted: &Edit) -> Installer {
    Installer {
        flags: wanted
            .flags
            .iter()
            .map(|flag| Flag { name: flag.name.clone(), value: flag.value.clone() })
            .collect(),
        volumes: wanted
            .mounts
            .iter()
            .map(|mount| Volume {
                name: mount.volume.clone(),
                host_path: mount.host_path.clone(),
                mount_path: mount.mount_path.clone(),
                read_only: mount.read_only,
                path_type: mount.host_type.name(),
            })
            .collect(),
    }
}

/// The hash of what the API server reads at its start: kubeconfig, CA, audit policy.
pub(super) const HASH: &str = "iamgate.config-hash";
