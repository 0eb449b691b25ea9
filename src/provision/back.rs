//! `unprovision`: what we did to a host is taken back, and nothing else is.
//!
//! The API server comes first, so that it never asks an authenticator that is gone; the files come
//! last. A thing is restored only while it is as we left it.

mod copies;

use std::collections::BTreeSet;

use super::apiserver::Manifest;
use super::apply::Run;
use super::host::{Host, HostFault, Kind, NodePath};
use super::ledger::{Ledger, Record};
use super::look::{Look, MANIFEST_LIMIT, found, leftovers};
use super::plan::{Action, Change, Content, Found, Phase, sha256};
use super::report::{Refusal, Report};
use super::request::Request;
use super::waiting::Waiting;
use super::{
    LARGEST, LOCK_PATIENCE, Options, Outcome, Tell, counted, failed, no_host, not_root, paths,
    preflight, refuse, restarts, units,
};
use crate::clock::Clock;
use crate::files::{Attributes, Owner};

/// Takes back what was done to `host`, as its ledger tells.
pub async fn unprovision(
    host: &Host,
    request: &mut Request,
    options: Options<'_>,
    clock: &impl Clock,
    tell: Tell<'_>,
) -> (Report, Outcome) {
    let mut report = Report::new(host, options.check);
    report.diff = options.diff.then(Vec::new);
    let lock = match options.check {
        true => None,
        false => Some(host.lock(LOCK_PATIENCE, || tell("waiting for another run to end"))),
    };
    if let Some(Err(fault)) = &lock {
        let outcome = no_host(&mut report, fault);
        return (report, outcome);
    }
    if host.is_running() && !host.can_own() && !options.check {
        let outcome = refuse(&mut report, vec![not_root()]);
        return (report, outcome);
    }
    let done = back(host, request, options, clock, &mut report, tell).await;
    let outcome = done.unwrap_or_else(|fault| {
        failed(&mut report, "not everything was taken back; the next run goes on", &fault)
    });
    (report, outcome)
}

async fn back(
    host: &Host,
    request: &mut Request,
    options: Options<'_>,
    clock: &impl Clock,
    report: &mut Report,
    tell: Tell<'_>,
) -> Result<Outcome, HostFault> {
    // What is in the way of provisioning is none of this run's business.
    request.quarantine = true;
    request.apiserver = super::request::ApiServer::Later;
    let mut refusals = Vec::new();
    let mut ignored = Vec::new();
    let look = Look::at(host, request, &mut ignored)?;
    let Some(text) = look.ledger_text.clone() else {
        // But for what a run left that was killed before it had written one, or after it was gone.
        if !options.check {
            copies::remove_needless(host)?;
        }
        report.msg = "nothing to change: there is no ledger, so nothing here is ours".into();
        return Ok(Outcome::Done);
    };
    if let Err(fault) = Ledger::read(&text) {
        let refusal = Refusal {
            path: Some(paths::ledger()),
            line: None,
            problem: fault.to_string(),
            cure: "restore the file from a copy; without it nobody knows what was there before"
                .into(),
        };
        return Ok(refuse(report, vec![refusal]));
    }
    let mut plan = Back {
        host,
        ledger: &look.ledger,
        changes: Vec::new(),
        going: BTreeSet::new(),
        warnings: Vec::new(),
    };
    plan.apiserver(&mut refusals)?;
    plan.leftovers(&look.pods.directory)?;
    plan.the_rest()?;
    let Back { changes, warnings, .. } = plan;
    report.warnings.extend(warnings);
    preflight::writable(host, &changes, &mut refusals);
    if !refusals.is_empty() {
        return Ok(refuse(report, refusals));
    }
    report.restart_required = restarts(&changes);
    report.restart_required.retain(|what| *what == "kube-apiserver");
    report.tell(changes.iter(), host.can_own());
    let number = changes.len();
    if options.check {
        report.msg = format!("{} would be made", counted(number));
        return Ok(Outcome::Done);
    }
    let waiting = Waiting::new(host, &look, String::new(), options.wait);
    let mut run = Run::new(host, look.ledger.clone(), Some(text), clock.now());
    let (first, rest): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|change| change.phase == Phase::ApiServer);
    if !first.is_empty() {
        let since = super::rollout::now();
        run.phase(first)?;
        if let Err(not_ready) = waiting.apiserver(since, tell).await {
            return waiting.gave_up(&mut run, &not_ready, options.rollback, report, tell).await;
        }
    }
    let unit = paths::known(paths::UNIT);
    if host.is_running() && rest.iter().any(|change| change.path == unit) {
        report.warnings.extend(units::stop().await);
    }
    run.phase(rest)?;
    copies::remove_needless(host)?;
    host.remove_file(&paths::ledger())?;
    remove_empty(host, &paths::state())?;
    // A tree that had no /var/lib has none again.
    for path in paths::state().ancestors().filter(|path| look.ledger.made(path)) {
        if host.find(&path)?.is_some() && host.list(&path)?.is_empty() {
            host.remove_directory(&path)?;
        }
    }
    report.msg = format!("{} made", counted(number));
    Ok(Outcome::Done)
}

/// Removes a directory of our state and those above it, as long as nothing is in them.
fn remove_empty(host: &Host, path: &NodePath) -> Result<(), HostFault> {
    let mut path = path.clone();
    while path.is_within(&paths::state())
        && host.find(&path)?.is_some()
        && host.list(&path)?.is_empty()
    {
        host.remove_directory(&path)?;
        path = path.parent();
    }
    Ok(())
}

struct Back<'a> {
    host: &'a Host,
    ledger: &'a Ledger,
    changes: Vec<Change>,
    /// What will not be there any more.
    going: BTreeSet<NodePath>,
    warnings: Vec<String>,
}

impl Back<'_> {
    /// Our lines in the API server's manifest.
    fn apiserver(&mut self, refusals: &mut Vec<Refusal>) -> Result<(), HostFault> {
        let Some(ours) = &self.ledger.apiserver else { return Ok(()) };
        let path = &ours.path;
        let Some(there) = found(self.host, path, MANIFEST_LIMIT)? else { return Ok(()) };
        let Some(bytes) = there.bytes.clone() else {
            self.warnings.push(format!("{path} is no file any more, and is left as it is"));
            return Ok(());
        };
        // As we left it: exactly what was there before. But that may have been edited while our lines
        // were in it, and they have to go: what they name goes, too, and the API server would not start.
        let record = self.ledger.entries.get(path);
        let holds_ours = |text: &[u8]| {
            let removed = Manifest::read(text).and_then(|manifest| manifest.remove(&ours.added));
            removed.is_ok_and(|removed| removed.changed)
        };
        if let Some(before) = self.original(record, &bytes)?.filter(|before| !holds_ours(before)) {
            if before != bytes {
                self.update(path.clone(), Phase::ApiServer, before, record, there);
            }
            return Ok(());
        }
        let removed = Manifest::read(&bytes).and_then(|manifest| manifest.remove(&ours.added));
        match removed {
            Ok(removed) => {
                let at = |line: usize| format!("{path}:{line}: ");
                let told = removed.warnings.iter();
                self.warnings.extend(told.map(|warning| at(warning.line()) + &warning.to_string()));
                if removed.changed {
                    self.update(path.clone(), Phase::ApiServer, removed.text, None, there);
                }
            }
            Err(refusal) => refusals.push(Refusal {
                path: Some(path.clone()),
                line: refusal.line(),
                problem: refusal.to_string(),
                cure: refusal.cure().to_string(),
            }),
        }
        Ok(())
    }

    /// The first content of a file, if it still says what we left there.
    fn original(
        &self,
        record: Option<&Record>,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, HostFault> {
        let Some(record) = record.filter(|record| record.left.contains(&sha256(bytes))) else {
            return Ok(None);
        };
        let Some(copy) = record.before.as_ref().and_then(|before| before.snapshot.clone()) else {
            return Ok(None);
        };
        self.host.read(&copy, LARGEST)
    }

    fn update(
        &mut self,
        path: NodePath,
        phase: Phase,
        bytes: Vec<u8>,
        record: Option<&Record>,
        there: Found,
    ) {
        let before = record.and_then(|record| record.before.as_ref());
        let with = before.map_or_else(
            || Attributes { mode: there.entry.mode, owner: Some(there.entry.owner), label: None },
            super::ledger::Before::attributes,
        );
        // What was somebody else's may have been a key.
        let content = match str::from_utf8(&bytes) {
            Ok(text) if path.name() == crate::keypair::KEY_FILE || path == paths::ca_key() => {
                Content::Secret(crate::secret::Secret::new(text))
            }
            Ok(_) | Err(_) => Content::Text(bytes),
        };
        self.changes.push(Change {
            action: Action::Update,
            path,
            phase,
            content: Some(content),
            with: Some(with),
            before: Some(there),
            to: None,
        });
    }

    /// Temporary files of killed runs, beside everything that we made. Those of our state are
    /// nobody's business, and go with it.
    fn leftovers(&mut self, manifests: &NodePath) -> Result<(), HostFault> {
        let mut directories: BTreeSet<_> =
            self.ledger.entries.keys().map(NodePath::parent).collect();
        directories.insert(manifests.clone());
        directories.remove(&paths::state());
        for directory in directories {
            for path in leftovers(self.host, &directory)? {
                if let Some(there) = found(self.host, &path, LARGEST)? {
                    self.gone(&path, Action::Remove, Phase::Files, there);
                }
            }
        }
        Ok(())
    }

    /// Everything else: the authenticator, then the files, what is inside before what it is in.
    fn the_rest(&mut self) -> Result<(), HostFault> {
        let manifest = self.ledger.apiserver.as_ref().map(|ours| &ours.path);
        let authenticator = |path: &NodePath| {
            matches!(path.name(), paths::STATIC_POD | "iamgate.service" | "iamgate.conf")
        };
        let all = self.ledger.entries.iter().rev();
        let (first, rest): (Vec<_>, Vec<_>) = all
            .filter(|(path, _)| Some(*path) != manifest && !paths::state().is_within(path))
            .partition(|(path, _)| authenticator(path));
        for (path, record) in first {
            self.entry(path, record, Phase::Authenticator)?;
        }
        for (path, record) in rest {
            self.entry(path, record, Phase::Files)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &NodePath, record: &Record, phase: Phase) -> Result<(), HostFault> {
        let Some(there) = found(self.host, path, LARGEST)? else {
            self.going.insert(path.clone());
            return Ok(());
        };
        match (&record.before, there.entry.kind) {
            (None, Kind::Directory) if record.directory => self.directory(path, there, phase),
            (Some(before), Kind::Directory) if record.directory => {
                self.attributes(path, record, before.attributes(), there, phase);
                Ok(())
            }
            (before, Kind::File) if !record.directory => {
                let bytes = there.bytes.clone().unwrap_or_default();
                let as_left = record.left.contains(&sha256(&bytes));
                match before {
                    None if as_left => {
                        self.gone(path, Action::Remove, phase, there);
                        Ok(())
                    }
                    // Its content was never ours, so that whatever it says now, it is as it was.
                    Some(before) if before.snapshot.is_none() => {
                        self.attributes(path, record, before.attributes(), there, phase);
                        Ok(())
                    }
                    Some(_) if as_left => {
                        if let Some(first) = self.original(Some(record), &bytes)? {
                            self.update(path.clone(), phase, first, Some(record), there);
                        }
                        Ok(())
                    }
                    None | Some(_) => {
                        if !self.is_back(record, &bytes)? {
                            self.warnings.push(format!("{path} was changed since, and stays"));
                        }
                        Ok(())
                    }
                }
            }
            (_, Kind::Directory | Kind::File | Kind::Symlink | Kind::Other) => {
                self.warnings.push(format!("{path} is something else than it was, and stays"));
                Ok(())
            }
        }
    }

    /// Whether an earlier run, which did not come to its end, has put it back already.
    fn is_back(&self, record: &Record, bytes: &[u8]) -> Result<bool, HostFault> {
        let copy = record.before.as_ref().and_then(|before| before.snapshot.as_ref());
        match copy {
            Some(copy) => Ok(self.host.read(copy, LARGEST)?.is_some_and(|first| first == bytes)),
            None => Ok(false),
        }
    }

    fn directory(&mut self, path: &NodePath, there: Found, phase: Phase) -> Result<(), HostFault> {
        let stays = self
            .host
            .list(path)?
            .into_iter()
            .any(|name| path.join(&name).is_ok_and(|inside| !self.going.contains(&inside)));
        if !stays {
            self.gone(path, Action::Rmdir, phase, there);
        }
        Ok(())
    }

    fn gone(&mut self, path: &NodePath, action: Action, phase: Phase, there: Found) {
        self.going.insert(path.clone());
        self.changes.push(Change {
            action,
            path: path.clone(),
            phase,
            content: None,
            with: None,
            before: Some(there),
            to: None,
        });
    }

    /// Mode and owner of before, if those of now are ours.
    fn attributes(
        &mut self,
        path: &NodePath,
        record: &Record,
        before: Attributes,
        there: Found,
        phase: Phase,
    ) {
        let ours = Owner { uid: record.uid, gid: record.gid };
        let owned = self.host.can_own();
        let as_left = there.entry.mode == record.mode && (!owned || there.entry.owner == ours);
        let chown = owned && before.owner.is_some_and(|owner| owner != there.entry.owner);
        if !as_left || (!chown && before.mode == there.entry.mode) {
            return;
        }
        self.changes.push(Change {
            action: if chown { Action::Chown } else { Action::Chmod },
            path: path.clone(),
            phase,
            content: None,
            with: Some(before),
            before: Some(there),
            to: None,
        });
    }
}
