//! The real server as a child process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::outcome::Failure;

/// A server that has said where it listens. Killed when dropped.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// With the arguments that the static pod has, and the paths that the host's have from outside.
    /// `roots` are trusted as a machine's own would be.
    pub(super) async fn start(
        program: &Path,
        config: &Path,
        state: &Path,
        roots: &Path,
    ) -> Result<Self, Failure> {
        let mut child = Command::new(program)
            .arg("server")
            .arg("--config")
            .arg(config)
            .arg("--state-dir")
            .arg(state)
            .arg("--kubeconfig-pregenerated")
            .env("SSL_CERT_FILE", roots)
            .env_remove("SSL_CERT_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take().ok_or("the server has no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let address = timeout(START, listening(&mut lines)).await??;
        // Read on, so that the server never waits for the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        kill_process(pid.ok_or("the server has ended already")?, Signal::TERM)?;
        let status = timeout(STOP, self.child.wait()).await??;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the server ended with {status}").into())
        }
    }
}

/// Reads its log until it says where it listens.
async fn listening(lines: &mut Lines<BufReader<ChildStderr>>) -> Result<SocketAddr, Failure> {
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        let after = line.split_once("msg=\"listening on ").map(|(_, rest)| rest);
        if let Some(address) = after.and_then(|rest| rest.split('"').next()) {
            return Ok(address.parse()?);
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(format!("the server did not start:\n{said}").into())
}

const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(10);
