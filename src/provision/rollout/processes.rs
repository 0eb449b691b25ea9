//! Processes and listening ports of this machine, from `/proc` (proc(5)).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::ClockId;

/// A moment since this machine was started.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Moment(Duration);

/// A process that listens on a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// Its number; `None` where it cannot be told.
    pub process: Option<u32>,
    /// Its first words, the program without its directory; may be empty.
    pub words: Vec<String>,
}

/// The present moment.
pub(crate) fn now() -> Moment {
    let time = rustix::time::clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Moment(Duration::new(seconds, nanoseconds))
}

/// Whether a process of `program` with these words after it began after `since`.
///
/// The API server counts under each of its names; a program's directory does not matter.
pub(super) fn started_since(program: &str, words: &[&str], since: Moment) -> io::Result<bool> {
    for process in numbers(Path::new("/proc"))? {
        let found = command(&process);
        if is(&found, program, words) && began(&process).is_some_and(|began| began > since) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Who listens on TCP `ports` of this machine.
pub(crate) fn listeners(ports: &[u16]) -> Vec<Listener> {
    let proc = Path::new("/proc");
    let mut found = Vec::new();
    for table in ["net/tcp", "net/tcp6"] {
        // No IPv6, no table.
        let table = fs::read_to_string(proc.join(table)).unwrap_or_default();
        found.extend(
            table.lines().filter_map(listening).filter(|(at, _)| ports.contains(&at.port())),
        );
    }
    let mut all = Vec::new();
    for (address, inode) in found {
        let owner = owner(proc, &inode);
        let process = owner.as_ref().and_then(|path| path.file_name()?.to_str()?.parse().ok());
        let words = owner.map(|path| command(&path)).unwrap_or_default();
        all.push(Listener { address, process, words });
    }
    all
}

/// The process that has the socket open.
fn owner(proc: &Path, inode: &str) -> Option<PathBuf> {
    let socket = format!("socket:[{inode}]");
    numbers(proc).ok()?.into_iter().find(|process| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        open.into_iter()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == &*socket))
    })
}

fn numbers(proc: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let number = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some(entry.path())
    };
    Ok(fs::read_dir(proc)?.filter_map(number).collect())
}

/// Its words, the first without its directory. A process that is gone has none.
fn command(process: &Path) -> Vec<String> {
    let bytes = fs::read(process.join("cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let short = |word: &str| word.chars().take(MOST_CHARS).collect::<String>();
    let mut words: Vec<_> = text.split('\0').take(MOST_WORDS).map(short).collect();
    if let Some(first) = words.first_mut() {
        *first = base(first).to_owned();
    }
    while words.last().is_some_and(|word| word.is_empty()) {
        words.pop();
    }
    words
}

fn is(found: &[String], program: &str, words: &[&str]) -> bool {
    let Some((first, rest)) = found.split_first() else { return false };
    if first == program {
        return words.iter().all(|word| rest.iter().any(|found| found == word));
    }
    // kops starts it by a wrapper, 2019's images as a word of hyperkube.
    let wrapped = matches!(&**first, "go-runner" | "hyperkube");
    let hyperkube = |word: &str| first == "hyperkube" && word == "apiserver";
    program == "kube-apiserver"
        && wrapped
        && rest.iter().any(|word| base(word) == program || hyperkube(word))
}

fn base(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Field 22 of `/proc/PID/stat`, in clock ticks. The second field, a name in brackets, may hold
/// anything, brackets and spaces included.
fn began(process: &Path) -> Option<Moment> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_whitespace().nth(19)?.parse().ok()?;
    let each = rustix::param::clock_ticks_per_second().max(1);
    // The end of that tick, so that a process that began just after a moment is not before it.
    Some(Moment(Duration::from_millis(ticks.saturating_add(1).saturating_mul(1000) / each)))
}

/// A line of `/proc/net/tcp`: address and inode, if it is of a socket that listens.
fn listening(line: &str) -> Option<(SocketAddr, String)> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (Some(local), Some(&"0A"), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9))
    else {
        return None;
    };
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of 32 bits in the machine's order, each as hexadecimal.
    let word = |at: usize| {
        let text = address.get(at..at.saturating_add(8))?;
        u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut bytes = [0; 16];
            for (byte, found) in bytes.iter_mut().zip(words.as_flattened()) {
                *byte = *found;
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((SocketAddr::new(ip, port), (*inode).to_owned()))
}

/// Enough of a command line to know it by.
const MOST_WORDS: usize = 64;
const MOST_CHARS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_api_server_is_known_by_each_of_its_names() {
        for (line, known) in [
            ("kube-apiserver --secure-port=6443", true),
            ("go-runner --log-file=/x /usr/local/bin/kube-apiserver --a=b", true),
            ("hyperkube kube-apiserver --a", true),
            ("hyperkube apiserver --a", true),
            ("hyperkube kubelet", false),
            ("vim kube-apiserver", false),
            ("kube-apiserver-proxy", false),
        ] {
            assert_eq!(is(&words(line), "kube-apiserver", &[]), known, "{line}");
        }
        assert!(is(&words("iamgate server --config=x"), "iamgate", &["server"]));
        assert!(!is(&words("iamgate provision --wait"), "iamgate", &["server"]));
    }

    #[test]
    fn this_process_began_before_now_and_is_not_another() {
        let this = Path::new("/proc/self");
        let began = began(this).unwrap();
        assert!(began <= Moment(now().0 + Duration::from_millis(20)));
        let name = command(this).first().unwrap().clone();
        let long_ago = Moment(Duration::ZERO);
        assert!(started_since(&name, &[], long_ago).unwrap());
        let later = Moment(now().0 + Duration::from_secs(60));
        assert!(!started_since(&name, &[], later).unwrap());
    }

    #[test]
    fn listening_sockets_are_found_with_their_process() {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = std::net::TcpListener::bind(bind) else { continue };
            let address = socket.local_addr().unwrap();
            let found = listeners(&[address.port()]);
            let ours = found.iter().find(|listener| listener.address == address).unwrap();
            assert_eq!(ours.process, Some(std::process::id()), "{bind}");
            assert!(!ours.words.is_empty());
        }
    }
}
