//! Brings a control-plane host to IAM sign-in, and back: look, plan, change, report.
//!
//! ```text
//! Request + Host --look--> Look --desired--> targets --plan--> changes --apply--> Report
//! ```
//!
//! Looking and planning write nothing, so `--check` is the same code without its last step. Changes
//! come in the order in which each stop leaves a working host: files, the authenticator, the API
//! server; back again the other way round. What was changed is written down before
//! (`ledger`), and each file appears by one rename ([`host`]).
//!
//! Needs neither a network nor a cluster, but for waiting, which asks this host alone.

pub mod apiserver;
mod apply;
mod back;
pub mod certificates;
mod desired;
mod forth;
pub mod host;
mod ledger;
mod look;
mod paths;
mod plan;
mod preflight;
pub mod render;
pub mod report;
pub mod request;
mod rollout;
mod units;
mod waiting;
mod yaml;

use std::path::Path;
use std::time::Duration;

pub use self::back::unprovision;
pub use self::forth::provision;
use self::host::{Host, HostFault, NoHost};
use self::plan::{Action, Change, Phase, Target, Want};
use self::report::Refusal;
pub use self::report::Report;

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Say what would be done, and do nothing.
    pub check: bool,
    /// Tell the differences of texts.
    pub diff: bool,
    /// Wait until what was changed runs, up to this long for each.
    pub wait: Option<Duration>,
    /// Go back if it does not run in time.
    pub rollback: bool,
    /// This program.
    pub program: &'a Path,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Outcome {
    /// As it should.
    #[default]
    Done,
    /// Something was in the way, and nothing was changed.
    Refused,
    /// Some of it was not done; the report says which changes were made.
    Failed,
    /// What was changed did not run, and is as it was before.
    RolledBack,
}

/// Takes lines about what is waited for.
pub type Tell<'a> = &'a mut dyn FnMut(&str);

/// What each target takes, from what stands there now.
fn changes(host: &Host, targets: Vec<Target>) -> Result<Vec<Change>, HostFault> {
    let mut changes = Vec::new();
    for target in targets {
        let found = match &target.want {
            // A directory may be reached by a symlink.
            Want::Directory { .. } => {
                host.resolve(&target.path)?.map(|entry| plan::Found { entry, bytes: None })
            }
            Want::Kept { .. } => {
                host.find(&target.path)?.map(|entry| plan::Found { entry, bytes: None })
            }
            Want::Readable { .. } => {
                host.resolve(&target.path)?.map(|entry| plan::Found { entry, bytes: None })
            }
            Want::File { .. } | Want::Gone | Want::Moved { .. } => {
                look::found(host, &target.path, LARGEST)?
            }
        };
        changes.extend(target.change(found, host.can_own()));
    }
    Ok(changes)
}

/// What has to start again for `changes` to count.
fn restarts(changes: &[Change]) -> Vec<&'static str> {
    let any = |phase| {
        changes.iter().any(|change| {
            let new = matches!(change.action, Action::Create | Action::Update | Action::Remove);
            change.phase == phase && new
        })
    };
    [(Phase::Authenticator, "iamgate"), (Phase::ApiServer, "kube-apiserver")]
        .into_iter()
        .filter_map(|(phase, what)| any(phase).then_some(what))
        .collect()
}

/// The report of a run that nothing was done in, since something was in the way.
fn refuse(report: &mut Report, refusals: Vec<Refusal>) -> Outcome {
    report.failed = true;
    report.untell();
    report.msg = match refusals.as_slice() {
        [one] => format!("refused: {}; nothing was changed", one.problem),
        more => format!("refused for {} reasons; nothing was changed", more.len()),
    };
    report.refusals = refusals;
    Outcome::Refused
}

fn failed(report: &mut Report, what: &str, fault: &dyn std::error::Error) -> Outcome {
    report.failed = true;
    report.msg = format!("{what}: {}", whole(fault));
    Outcome::Failed
}

/// An error with its causes, in one line.
fn whole(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn no_host(report: &mut Report, fault: &NoHost) -> Outcome {
    let cure = match fault {
        NoHost::Locked { .. } => "wait until it has ended, and run again",
        NoHost::Unopened { .. } => "name a directory that is there with --root",
        NoHost::NoWall { .. } => "run on the host itself, without --root",
    };
    let refusal = Refusal { path: None, line: None, problem: whole(fault), cure: cure.into() };
    refuse(report, vec![refusal])
}

fn not_root() -> Refusal {
    Refusal {
        path: None,
        line: None,
        problem: "a control-plane host is changed as root".into(),
        cure: "run it with sudo, or on a directory of your own with --root DIR".into(),
    }
}

/// `3 changes`.
fn counted(number: usize) -> String {
    match number {
        1 => "1 change".to_owned(),
        number => format!("{number} changes"),
    }
}

/// Of what we compare: a program, with its debugging information.
const LARGEST: usize = 512 * 1024 * 1024;
/// Another run waits for an API server for minutes.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
