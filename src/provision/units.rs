//! The unit on a host that systemd runs: made known, started, stopped. Elsewhere nothing is done.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Starts the unit, or starts it again. What does not work is told, a line each: the files are in
/// place, and systemd's own words say more.
pub(super) async fn start() -> Vec<String> {
    run(&[
        &["systemd-sysusers", "iamgate.conf"],
        &["systemctl", "daemon-reload"],
        &["systemctl", "enable", "iamgate.service"],
        &["systemctl", "restart", "iamgate.service"],
    ])
    .await
}

/// Stops the unit, before its file goes.
pub(super) async fn stop() -> Vec<String> {
    run(&[&["systemctl", "disable", "--now", "iamgate.service"]]).await
}

async fn run(commands: &[&[&str]]) -> Vec<String> {
    let mut told = Vec::new();
    // As sd_booted(3) has it.
    if !Path::new("/run/systemd/system").is_dir() {
        return told;
    }
    for words in commands {
        let Some((program, arguments)) = words.split_first() else { continue };
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .status();
        let words = words.join(" ");
        match tokio::time::timeout(LIMIT, child).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => told.push(format!("`{words}` failed: {status}")),
            Ok(Err(error)) => told.push(format!("`{words}` cannot be run: {error}")),
            Err(_) => told.push(format!("`{words}` took longer than {} s", LIMIT.as_secs())),
        }
    }
    told
}

/// A unit of type notify starts in less than a second.
const LIMIT: Duration = Duration::from_secs(60);
