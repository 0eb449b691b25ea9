//! The built binary under one of its names, in a directory of its own and with no environment but
//! what a test gives it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::binary;

pub(crate) const OWN: &str = "iamgate";
pub(crate) const REFERENCE: &str = "aws-iam-authenticator";
pub(crate) const OLD_REFERENCE: &str = "heptio-authenticator-aws";

/// Nothing here takes longer unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The binary, called by a symlink of that name.
pub(crate) struct Program {
    path: PathBuf,
    dir: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Program {
    pub(crate) fn named(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::os::unix::fs::symlink(binary(), &path).unwrap();
        Self { path, dir }
    }

    /// Where it runs.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file where it runs.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir().join(name), text).unwrap();
    }

    /// Without standard input; killed when the test ends.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(words)
            .current_dir(self.dir())
            .env_clear()
            .env("HOME", self.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, words: &[&str]) -> Ran {
        self.run_with(&[], words).await
    }

    pub(crate) async fn run_with(&self, environment: &[(&str, &str)], words: &[&str]) -> Ran {
        let mut command = self.command(words);
        command.envs(environment.iter().copied());
        let output = timeout(PATIENCE, command.output()).await.expect("the run ends").unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
