//! `provision`: a host becomes what was asked for.

use super::apply::Run;
use super::desired::{Desired, desired};
use super::host::{Host, HostFault, Lock};
use super::look::Look;
use super::plan::{Change, Phase};
use super::report::Report;
use super::request::{ApiServer, Part, Request, Workload};
use super::waiting::Waiting;
use super::{
    LOCK_PATIENCE, Options, Outcome, Tell, changes, counted, failed, no_host, not_root, preflight,
    refuse, restarts, units,
};
use crate::clock::{Clock, UnixTime};

/// Brings `host` to what `request` asks for.
pub async fn provision(
    host: &Host,
    request: &mut Request,
    options: Options<'_>,
    clock: &impl Clock,
    tell: Tell<'_>,
) -> (Report, Outcome) {
    let mut report = Report::new(host, options.check);
    let _lock: Option<Lock> = match options.check {
        true => None,
        false => match host.lock(LOCK_PATIENCE, || tell("waiting for another run to end")) {
            Ok(lock) => Some(lock),
            Err(fault) => {
                let outcome = no_host(&mut report, &fault);
                return (report, outcome);
            }
        },
    };
    let pass = Pass { host, request, options, now: clock.now() };
    let (mut report, outcome, half_done) = pass.run(tell).await;
    if outcome != Outcome::Done || !half_done || options.wait.is_none() || options.check {
        return (report, outcome);
    }
    // A new CA is trusted now, so that the certificate may be its own.
    request.rotate = None;
    let pass = Pass { host, request, options, now: clock.now() };
    let (second, outcome, _) = pass.run(tell).await;
    report.follow(second);
    (report, outcome)
}

struct Pass<'a> {
    host: &'a Host,
    request: &'a Request,
    options: Options<'a>,
    now: UnixTime,
}

impl Pass<'_> {
    async fn run(&self, tell: Tell<'_>) -> (Report, Outcome, bool) {
        let mut report = Report::new(self.host, self.options.check);
        report.diff = self.options.diff.then(Vec::new);
        let planned = match self.plan(&mut report) {
            Ok(Ok(planned)) => planned,
            Ok(Err(outcome)) => return (report, outcome, false),
            Err(fault) => {
                let outcome = failed(&mut report, "the host cannot be looked at", &fault);
                return (report, outcome, false);
            }
        };
        let half_done = planned.desired.half_done;
        let outcome = self.carry_out(planned, &mut report, tell).await;
        (report, outcome, half_done)
    }

    /// What is to be done, or why it is refused.
    fn plan(&self, report: &mut Report) -> Result<Result<Planned, Outcome>, HostFault> {
        let (host, request) = (self.host, self.request);
        if host.is_running() && !host.can_own() && !self.options.check {
            return Ok(Err(refuse(report, vec![not_root()])));
        }
        let mut refusals = Vec::new();
        let mut look = Look::at(host, request, &mut refusals)?;
        report.warnings.append(&mut look.warnings);
        report.fingerprint = look.server.as_ref().map(|server| server.fingerprint.clone());
        let program = self.options.program;
        let desired = desired(host, request, &look, program, self.now, &mut refusals)?;
        preflight::ports(host, request, &look, &mut report.warnings, &mut refusals);
        let Some(mut desired) = desired else { return Ok(Err(refuse(report, refusals))) };
        report.warnings.append(&mut desired.warnings);
        preflight::places(host, &desired.targets, &mut refusals);
        if !refusals.is_empty() {
            return Ok(Err(refuse(report, refusals)));
        }
        let changes = changes(host, std::mem::take(&mut desired.targets))?;
        preflight::writable(host, &changes, &mut refusals);
        if !refusals.is_empty() {
            return Ok(Err(refuse(report, refusals)));
        }
        if desired.stale {
            report.warnings.push(
                "the API server reads the webhook kubeconfig, its CA and the audit policy at its start: restart it"
                    .into(),
            );
        }
        self.warn_of_haste(&look, &changes, report);
        Ok(Ok(Planned { look, desired, changes }))
    }

    /// kubelet has been seen to lose a static pod whose manifest changes twice in a short time.
    fn warn_of_haste(&self, look: &Look, changes: &[Change], report: &mut Report) {
        let Some(main) = &look.pods.apiserver else { return };
        let changed = changes.iter().any(|change| change.path == main.path);
        let ours =
            main.found.bytes.as_deref().is_some_and(|text| look.ledger.left(&main.path, text));
        let just_now = self.now.as_secs().saturating_sub(main.found.entry.stamp.written()) < HASTE;
        if changed && ours && just_now && self.options.wait.is_none() {
            report.warnings.push(format!(
                "{} was changed less than {HASTE} s ago, and kubelet may still be at it; --wait waits for the API \
                 server",
                main.path
            ));
        }
    }

    async fn carry_out(&self, planned: Planned, report: &mut Report, tell: Tell<'_>) -> Outcome {
        let Planned { look, desired, changes } = planned;
        let Desired { ledger, leaf, installer, stale, .. } = desired;
        if self.request.apiserver == ApiServer::Later {
            report.installer = Some(installer);
        }
        report.restart_required = restarts(&changes);
        if stale {
            report.restart_required.push("kube-apiserver");
        }
        report.tell(changes.iter(), self.host.can_own());
        if self.options.check || changes.is_empty() {
            report.msg = match changes.len() {
                0 => "nothing to change".to_owned(),
                number => format!("{} would be made", counted(number)),
            };
            return Outcome::Done;
        }
        let waiting = Waiting::new(self.host, &look, leaf, self.options.wait);
        let text = look.ledger_text.clone();
        let mut run = Run::new(self.host, ledger, text, self.now);
        let number = changes.len();
        match self.apply(&mut run, changes, &waiting, report, tell).await {
            Ok(Outcome::Done) => {
                report.msg = format!("{} made", counted(number));
                Outcome::Done
            }
            Ok(outcome) => outcome,
            Err(fault) => {
                report.untell();
                report.tell(run.done().iter(), self.host.can_own());
                report.restart_required = restarts(run.done());
                let what = match run.done().len() {
                    0 => "nothing was changed".to_owned(),
                    done => format!(
                        "after {} of {number}, which the next run goes on from",
                        counted(done)
                    ),
                };
                failed(report, &what, &fault)
            }
        }
    }

    async fn apply(
        &self,
        run: &mut Run<'_>,
        mut changes: Vec<Change>,
        waiting: &Waiting<'_>,
        report: &mut Report,
        tell: Tell<'_>,
    ) -> Result<Outcome, HostFault> {
        run.announce(&mut changes)?;
        let of = |phase, changes: &mut Vec<Change>| -> Vec<Change> {
            let (these, rest) =
                std::mem::take(changes).into_iter().partition(|change| change.phase == phase);
            *changes = rest;
            these
        };
        let files = of(Phase::Files, &mut changes);
        let authenticator = of(Phase::Authenticator, &mut changes);
        let (new_files, new_pod) = (!files.is_empty(), !authenticator.is_empty());
        let since = super::rollout::now();
        run.phase(files)?;
        run.phase(authenticator)?;
        if self.request.workload == Workload::Systemd && new_pod && self.host.is_running() {
            report.warnings.extend(units::start().await);
        }
        let runs = matches!(self.request.workload, Workload::StaticPod | Workload::Systemd)
            && self.request.covers(Part::Workload);
        if runs && (new_files || new_pod) {
            let since = new_pod.then_some(since);
            if let Err(not_ready) = waiting.authenticator(since, tell).await {
                return waiting.gave_up(run, &not_ready, self.options.rollback, report, tell).await;
            }
        }
        if !changes.is_empty() {
            let since = super::rollout::now();
            run.phase(changes)?;
            if let Err(not_ready) = waiting.apiserver(since, tell).await {
                return waiting.gave_up(run, &not_ready, self.options.rollback, report, tell).await;
            }
        }
        self.settle(run)?;
        Ok(Outcome::Done)
    }

    /// What is seen afterwards, and what is not needed any more.
    fn settle(&self, run: &mut Run<'_>) -> Result<(), HostFault> {
        let copied = run
            .done()
            .iter()
            .find(|change| matches!(change.content, Some(super::plan::Content::Program(_))));
        let stamp = match copied.map(|change| change.path.clone()) {
            Some(path) => self.host.find(&path)?.map(|entry| entry.stamp),
            None => None,
        };
        run.amend(|ledger, done| {
            let gone = done.iter().filter(|change| ledger.gone(change)).count();
            if let (Some(program), true) = (&mut ledger.program, stamp.is_some()) {
                program.copy = stamp;
            }
            gone > 0 || stamp.is_some()
        })?;
        run.prune()
    }
}

struct Planned {
    look: Look,
    desired: Desired,
    changes: Vec<Change>,
}

/// Seconds. kubelet looks at the whole directory every 20 s, and needs some 30 s to stop an API
/// server.
const HASTE: u64 = 60;
