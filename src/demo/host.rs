//! A control-plane host that is a directory: what `iamgate provision` makes of it, and back.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::process::Command;

use crate::files;
use crate::outcome::Failure;

/// The directory, as kubeadm leaves a host with an API server.
pub(super) struct Host<'a> {
    root: PathBuf,
    program: &'a Path,
}

/// What a run said that it did.
#[derive(Deserialize)]
pub(super) struct Told {
    pub(super) changed: bool,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    path: String,
}

impl<'a> Host<'a> {
    pub(super) fn new(root: PathBuf, program: &'a Path) -> Result<Self, Failure> {
        let host = Self { root, program };
        for directory in ["etc/kubernetes/manifests", "etc/aws-iam-authenticator"] {
            fs::create_dir_all(host.root.join(directory))?;
        }
        let manifest = host.path(MANIFEST);
        files::write_whole(&manifest, APISERVER.as_bytes(), 0o600)?;
        Ok(host)
    }

    /// A file of the host, seen from outside.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// `iamgate provision` with these arguments, or `unprovision`.
    pub(super) async fn run(
        &self,
        command: &str,
        arguments: &[&str],
    ) -> Result<(Told, Duration), Failure> {
        let began = Instant::now();
        let output = Command::new(self.program)
            .arg(command)
            .arg("--root")
            .arg(&self.root)
            .args(["--output", "json"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await?;
        let took = began.elapsed();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("iamgate {command} failed: {said}").into());
        }
        Ok((serde_json::from_slice(&output.stdout)?, took))
    }

    /// How many lines the API server's manifest has more than at first; an error if any line of the
    /// first is gone.
    pub(super) fn lines_added(&self) -> Result<usize, Failure> {
        let now = self.manifest()?;
        let mut lines = now.lines();
        for line in APISERVER.lines() {
            if !lines.any(|now| now == line) {
                return Err(format!("the manifest has lost the line {line:?}").into());
            }
        }
        Ok(now.lines().count().saturating_sub(APISERVER.lines().count()))
    }

    /// Whether the manifest is the first one, byte for byte.
    pub(super) fn is_as_before(&self) -> Result<bool, Failure> {
        Ok(self.manifest()? == APISERVER)
    }

    fn manifest(&self) -> Result<String, Failure> {
        let mut text = String::new();
        File::open(self.path(MANIFEST))?.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Told {
    /// How many files and directories.
    pub(super) fn count(&self) -> usize {
        self.changes.len()
    }

    /// Whether this file was among them.
    pub(super) fn touched(&self, path: &str) -> bool {
        self.changes.iter().any(|change| change.path.ends_with(path))
    }
}

/// A port that is free now. Kubelet and the API server have to know it before the server starts, so
/// it cannot be the server's own choice.
pub(super) fn free_port() -> Result<u16, Failure> {
    let probe = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(probe.local_addr()?.port())
}

const MANIFEST: &str = "etc/kubernetes/manifests/kube-apiserver.yaml";
/// As kubeadm 1.37 makes it.
const APISERVER: &str = include_str!("kube-apiserver.yaml");
