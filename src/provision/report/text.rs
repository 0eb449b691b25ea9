//! The report for people.

use std::fmt::{self, Write as _};

use super::{Installer, Report, Told};
use crate::provision::plan::Action;

impl Report {
    /// Lines for people: what changed, aligned; then differences, warnings and the sentence.
    ///
    /// `colour` marks additions and removals.
    pub fn text(&self, colour: bool) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _infallible = self.write(&mut out, colour);
        out
    }

    fn write(&self, out: &mut String, colour: bool) -> fmt::Result {
        let widest = self.changes.iter().map(|told| told.path.as_str().len()).max().unwrap_or(0);
        for told in &self.changes {
            line(out, told, widest)?;
        }
        for diff in self.diff.iter().flatten() {
            out.push('\n');
            for line in diff.unified().lines() {
                paint(out, line, colour)?;
            }
        }
        if let Some(installer) = &self.installer {
            installer.write(out)?;
        }
        let apart = !self.changes.is_empty() && (!self.warnings.is_empty() || self.diff.is_some());
        if apart {
            out.push('\n');
        }
        for warning in &self.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        for line in &self.log {
            writeln!(out, "  | {line}")?;
        }
        if let Some(fingerprint) = &self.fingerprint {
            writeln!(out, "fingerprint of cluster ID and mappings: {fingerprint}")?;
        }
        if !self.restart_required.is_empty() {
            writeln!(out, "starts again: {}", self.restart_required.join(", "))?;
        }
        if !self.failed {
            writeln!(out, "{}", self.msg)?;
        }
        Ok(())
    }

    /// What is written to standard error where the run did not do what it was asked to.
    pub fn failure(&self) -> String {
        let mut out = format!("error: {}\n", self.msg);
        for refusal in &self.refusals {
            let place = match (&refusal.path, refusal.line) {
                (Some(path), Some(line)) => format!("{path}:{line}: "),
                (Some(path), None) => format!("{path}: "),
                (None, _) => String::new(),
            };
            let _infallible =
                write!(out, "  {place}{}\n  hint: {}\n", refusal.problem, refusal.cure);
        }
        out
    }
}

fn line(out: &mut String, told: &Told, widest: usize) -> fmt::Result {
    let verb = match told.action {
        Action::Chmod => "chmod",
        Action::Chown => "chown",
        Action::Create => "create",
        Action::Mkdir => "mkdir",
        Action::Move => "move",
        Action::Remove => "remove",
        Action::Rmdir => "rmdir",
        Action::Update => "update",
    };
    write!(out, "{verb:<7} {:<widest$}", told.path.as_str())?;
    if let Some(mode) = &told.mode {
        write!(out, "  {mode}")?;
    }
    if let (Some(owner), Some(group)) = (told.owner, told.group) {
        write!(out, " {owner}:{group}")?;
    }
    if let Some(to) = &told.to {
        write!(out, "  to {to}")?;
    }
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
    Ok(())
}

fn paint(out: &mut String, line: &str, colour: bool) -> fmt::Result {
    let code = match line.as_bytes().first() {
        Some(b'+') => "\x1b[32m",
        Some(b'-') => "\x1b[31m",
        Some(b'@') => "\x1b[36m",
        Some(_) | None => "",
    };
    match colour && !code.is_empty() {
        true => writeln!(out, "{code}{line}\x1b[0m"),
        false => writeln!(out, "{line}"),
    }
}

impl Installer {
    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\nfor the installer, as kubeadm's ClusterConfiguration (v1beta4) has it:")?;
        writeln!(out, "  apiServer:\n    extraArgs:")?;
        for flag in &self.flags {
            writeln!(out, "      - {{name: {}, value: {:?}}}", flag.name, flag.value)?;
        }
        writeln!(out, "    extraVolumes:")?;
        for volume in &self.volumes {
            writeln!(
                out,
                "      - {{name: {}, hostPath: {}, mountPath: {}, readOnly: {}, pathType: {}}}",
                volume.name,
                volume.host_path,
                volume.mount_path,
                volume.read_only,
                volume.path_type,
            )?;
        }
        Ok(())
    }
}
