//! What has to be right before anything is touched. Looks, and changes nothing.

use serde::Deserialize;

use super::apiserver::Manifest;
use super::host::{Host, Kind, NodePath};
use super::look::{Look, MANIFEST_LIMIT, Main};
use super::plan::{Change, Target, Want};
use super::report::Refusal;
use super::request::{Request, Workload};
use super::rollout::{Listener, listeners};
use super::yaml;

/// Who may not be let in by a webhook: an API server that asks nobody what they may do.
pub(super) fn authorization(host: &Host, main: &Main, refusals: &mut Vec<Refusal>) {
    let manifest = &main.manifest;
    let refuse = |line, problem: String| {
        Refusal {
        path: Some(main.path.clone()),
        line,
        problem,
        cure: "give the API server --authorization-mode=Node,RBAC: without it everybody who signs in may do \
               everything"
            .into(),
    }
    };
    if let Some(flag) = manifest.flag("authorization-config") {
        let line = Some(flag.line);
        match modes_of_file(host, manifest, flag.value.unwrap_or_default()) {
            Ok(modes) => judge(&modes, |problem| refuse(line, problem), refusals),
            Err(problem) => refusals.push(refuse(line, problem)),
        }
        return;
    }
    match manifest.flag("authorization-mode") {
        Some(flag) => {
            let modes: Vec<_> = flag
                .value
                .unwrap_or_default()
                .split(',')
                .map(|mode| mode.trim().to_owned())
                .collect();
            judge(&modes, |problem| refuse(Some(flag.line), problem), refusals);
        }
        None => refusals.push(refuse(
            manifest.line_of(manifest.container()),
            "the API server has no --authorization-mode, and allows everything to everybody".into(),
        )),
    }
}

fn judge(modes: &[String], refuse: impl Fn(String) -> Refusal, refusals: &mut Vec<Refusal>) {
    if modes.iter().any(|mode| mode == "AlwaysAllow") {
        refusals.push(refuse("the API server allows everything to everybody (AlwaysAllow)".into()));
    } else if !modes.iter().any(|mode| mode == "RBAC") {
        refusals.push(refuse(format!(
            "the API server authorizes by {}, without RBAC",
            modes.join(",")
        )));
    }
}

/// The types of an AuthorizationConfiguration (apiserver.config.k8s.io).
fn modes_of_file(host: &Host, manifest: &Manifest, file: &str) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Configuration {
        authorizers: Vec<Authorizer>,
    }
    #[derive(Deserialize)]
    struct Authorizer {
        r#type: String,
    }
    let unread = |why: &str| format!("--authorization-config={file} cannot be read: {why}");
    let path = on_host(manifest, file).ok_or_else(|| unread("it is on no mounted directory"))?;
    let bytes = host.read(&path, MANIFEST_LIMIT).map_err(|fault| unread(&fault.to_string()))?;
    let bytes = bytes.ok_or_else(|| unread("there is no such file on the host"))?;
    let read = yaml::read::<Configuration>(&bytes)
        .map_err(|_| unread("it is no AuthorizationConfiguration"))?;
    Ok(read.authorizers.into_iter().map(|authorizer| authorizer.r#type).collect())
}

/// Where a file of the API server's container is on the host.
pub(super) fn on_host(manifest: &Manifest, file: &str) -> Option<NodePath> {
    manifest.host_path(file)?.path.parse().ok()
}

/// Our ports are free, or ours.
pub(super) fn ports(
    host: &Host,
    request: &Request,
    look: &Look,
    warnings: &mut Vec<String>,
    refusals: &mut Vec<Refusal>,
) {
    let runs = matches!(request.workload, Workload::StaticPod | Workload::Systemd);
    let Some(server) = look.server.as_ref().filter(|_| runs && host.is_running()) else { return };
    for Listener { address, process, words } in
        listeners(&[server.fixed.port, server.fixed.health.port()])
    {
        let program = words.first().map_or("", |word| word.as_str());
        let who = match process {
            Some(number) => format!(
                "{} (process {number})",
                if program.is_empty() { "a process" } else { program }
            ),
            None => "a process that cannot be seen from here".to_owned(),
        };
        match program {
            "iamgate" => {}
            "aws-iam-authenticator" | "heptio-authenticator-aws" if request.takeover => {
                warnings.push(format!(
                    "{who} holds {address}: iamgate begins to answer when it has gone (kubectl -n kube-system \
                     delete daemonset aws-iam-authenticator). Until then it answers; between the two, some \
                     seconds, new tokens are refused, and those that the API server keeps are good"
                ));
            }
            "aws-iam-authenticator" | "heptio-authenticator-aws" => refusals.push(Refusal {
                path: None,
                line: None,
                problem: format!("{who} holds {address}"),
                cure: "run again with --takeover, whose report says what comes next".into(),
            }),
            _ => refusals.push(Refusal {
                path: None,
                line: None,
                problem: format!("{who} holds {address}"),
                cure: "stop it, or give server.port and server.healthAddress other ports in the configuration file"
                    .into(),
            }),
        }
    }
}

/// Nothing of another kind stands where a file or directory is wanted.
pub(super) fn places(host: &Host, targets: &[Target], refusals: &mut Vec<Refusal>) {
    for Target { path, want, .. } in targets {
        let refuse = |problem: &str, cure: String| Refusal {
            path: Some(path.clone()),
            line: None,
            problem: problem.into(),
            cure,
        };
        let kind = |kind: Result<Option<super::host::Entry>, _>| {
            kind.ok().flatten().map(|entry| entry.kind)
        };
        match want {
            Want::Directory { .. } => match kind(host.resolve(path)) {
                Some(Kind::Directory) | None => {}
                Some(Kind::File | Kind::Symlink | Kind::Other) => refusals.push(refuse(
                    "it is not a directory, and a directory was expected",
                    format!("move it away: mv {path} {path}.old"),
                )),
            },
            Want::File { .. } => match kind(host.find(path)) {
                Some(Kind::File) | None => {}
                Some(Kind::Directory) => refusals.push(refuse(
                    "it is a directory, and a file was expected",
                    format!("a pod that mounts a file that is not there makes one: rmdir {path}"),
                )),
                Some(Kind::Symlink | Kind::Other) => refusals.push(refuse(
                    "it is not a plain file, and one was expected",
                    format!("move it away: mv {path} {path}.old"),
                )),
            },
            Want::Readable { .. } | Want::Kept { .. } | Want::Gone | Want::Moved { .. } => {}
        }
    }
}

/// Everything that changes can be written.
pub(super) fn writable(host: &Host, changes: &[Change], refusals: &mut Vec<Refusal>) {
    let mut directories: Vec<NodePath> = Vec::new();
    for change in changes {
        let parent = change.path.parent();
        if directories.contains(&parent) {
            continue;
        }
        if host.is_read_only(&parent) {
            refusals.push(Refusal {
                path: Some(change.path.clone()),
                line: None,
                problem: "it is on a file system that can only be read".into(),
                cure: "mount it for writing".into(),
            });
        }
        directories.push(parent);
    }
}
