//! The last lines that a container logged, as kubelet keeps them on the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files;

/// The last lines of the newest log of the pod `name` in kube-system; none where there is no log.
pub(crate) fn last_lines(logs: &Path, name: &str) -> Vec<String> {
    // The node's name is behind the pod's.
    let prefix = format!("kube-system_{name}-");
    let pods = fs::read_dir(logs).into_iter().flatten().flatten();
    let of_pod = pods.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    let newest = of_pod
        .flat_map(|pod| fs::read_dir(pod.path()).into_iter().flatten().flatten())
        .flat_map(|container| fs::read_dir(container.path()).into_iter().flatten().flatten())
        .filter_map(|log| Some((log.metadata().ok()?.modified().ok()?, log.path())))
        .filter(|(_, path)| path.extension().is_some_and(|extension| extension == "log"))
        .max_by_key(|(written, _): &(SystemTime, PathBuf)| *written);
    let Some((_, path)) = newest else { return Vec::new() };
    let Ok(bytes) = files::read_capped(&path, LOG_LIMIT) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
    last.iter().map(|line| plain(line)).collect()
}

/// Without the runtime's time, stream and tag (the CRI log format), and without what a terminal
/// would obey.
fn plain(line: &str) -> String {
    let mut parts = line.splitn(4, ' ');
    let message = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some("stdout" | "stderr"), Some("F" | "P"), Some(message)) => message,
        _ => line,
    };
    message.chars().filter(|c| !c.is_control()).take(LONGEST_LINE).collect()
}

/// As many as show why a process ended.
const LINES: usize = 10;
const LONGEST_LINE: usize = 400;
/// kubelet rotates container logs at 10 MiB.
const LOG_LIMIT: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_log_ends_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let pod = dir.path().join("kube-system_kube-apiserver-cp0_abc/kube-apiserver");
        fs::create_dir_all(&pod).unwrap();
        let old = "2026-01-01T00:00:00Z stderr F old\n";
        files::write_whole(&pod.join("0.log"), old.as_bytes(), 0o600).unwrap();
        let file = fs::File::open(pod.join("0.log")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let lines: String = (0..20)
            .map(|line| format!("2026-01-01T00:00:01Z stderr F line {line}\x1b[31m\n"))
            .collect();
        files::write_whole(&pod.join("1.log"), lines.as_bytes(), 0o600).unwrap();
        let told = last_lines(dir.path(), "kube-apiserver");
        assert_eq!(told.len(), LINES);
        assert_eq!(told.last().unwrap(), "line 19[31m");
        assert_eq!(last_lines(dir.path(), "iamgate"), [""; 0]);
    }
}
