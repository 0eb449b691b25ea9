//! Tells systemd, or whoever speaks its protocol, how the server is doing (sd_notify(3)).
//!
//! Of our own, unlike most protocols here: the usual crate reads the process's environment by
//! itself, knows no abstract sockets, and waits without a limit for a service manager that does not
//! read, which would stop sign-in on the one thread that there is. Where nobody asks to be told
//! there is no [`Supervisor`], and nothing of this is done.

use std::convert::Infallible;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdUnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixDatagram;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use crate::system::Environment;

/// The socket of a service manager that wants to be told.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: UnixDatagram,
    /// How long the manager waits for a sign of life before it kills the server.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Who is named by `NOTIFY_SOCKET`. One that cannot be reached is logged: the server works
    /// without, though the manager may lose its patience.
    pub(super) fn of(environment: &impl Environment) -> Option<Self> {
        let name = environment.var("NOTIFY_SOCKET")?;
        match connected(&name) {
            Ok(socket) => Some(Self { socket, watchdog: watchdog(environment) }),
            Err(error) => {
                warn!(socket = name, %error, "the service manager cannot be told anything");
                None
            }
        }
    }

    /// The port is bound: connections are taken from now on.
    pub(super) async fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}")).await;
    }

    /// A reload begins; [`Supervisor::reloaded`] ends it.
    pub(super) async fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        // From systemd 253 on a reload without the time is a failure (systemd.service(5)).
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}")).await;
    }

    /// The reload is over, whatever came of it: the server goes on with what it has.
    pub(super) async fn reloaded(&self) {
        self.tell("READY=1").await;
    }

    /// The server is about to end.
    pub(super) async fn stopping(&self) {
        self.tell("STOPPING=1").await;
    }

    /// Gives a sign of life twice in the manager's time, for as long as this is polled: on the
    /// thread that answers reviews, so that one that hangs gives none.
    pub(super) async fn alive(&self) -> Infallible {
        let Some(limit) = self.watchdog else { return std::future::pending().await };
        let mut ticks = interval(limit / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell("WATCHDOG=1").await;
        }
    }

    async fn tell(&self, state: &str) {
        let error = match timeout(TELL_LIMIT, self.socket.send(state.as_bytes())).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        warn!(%error, "the service manager could not be told");
    }
}

fn connected(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None if name.starts_with('/') => SocketAddr::from_pathname(name)?,
        // systemd knows virtual machines' sockets too, which no pod and no host has.
        None => return Err(io::ErrorKind::Unsupported.into()),
    };
    let socket = StdUnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

/// sd_watchdog_enabled(3): a time that is meant for this process.
fn watchdog(environment: &impl Environment) -> Option<Duration> {
    let micros = environment.var("WATCHDOG_USEC")?.parse().ok().filter(|micros| *micros >= 2)?;
    let ours = match environment.var("WATCHDOG_PID") {
        Some(pid) => pid.parse() == Ok(std::process::id()),
        None => true,
    };
    ours.then(|| Duration::from_micros(micros))
}

/// A manager that takes longer is busy with worse; the server has reviews to answer.
const TELL_LIMIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        variables.iter().map(owned).collect()
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_it_names() {
        let own = std::process::id().to_string();
        for (variables, wanted) in [
            (&[][..], None),
            (&[("WATCHDOG_USEC", "30000000")], Some(Duration::from_secs(30))),
            (&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", &own)], Some(Duration::from_secs(3))),
            (&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "1")], None),
            (&[("WATCHDOG_USEC", "0")], None),
            (&[("WATCHDOG_USEC", "soon")], None),
        ] {
            assert_eq!(watchdog(&environment(variables)), wanted, "{variables:?}");
        }
    }

    #[tokio::test]
    async fn who_cannot_be_told_is_done_without() {
        for name in ["/nowhere/notify", "relative", "vsock:2:1234"] {
            assert!(Supervisor::of(&environment(&[("NOTIFY_SOCKET", name)])).is_none(), "{name}");
        }
        assert!(Supervisor::of(&environment(&[])).is_none());
    }

    #[tokio::test]
    async fn an_abstract_socket_is_told_as_well() {
        let name = format!("iamgate-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = StdUnixDatagram::bind_addr(&address).unwrap();
        let named = format!("@{name}");
        let supervisor = Supervisor::of(&environment(&[("NOTIFY_SOCKET", &named)])).unwrap();
        supervisor.ready("listening").await;
        let mut told = [0; 64];
        let length = manager.recv(&mut told).unwrap();
        assert_eq!(&told[..length], b"READY=1\nSTATUS=listening");
    }

    #[tokio::test(start_paused = true)]
    async fn a_manager_that_does_not_read_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _manager = StdUnixDatagram::bind(&path).unwrap();
        let named = path.to_str().unwrap();
        let supervisor = Supervisor::of(&environment(&[("NOTIFY_SOCKET", named)])).unwrap();
        // More than a socket's queue takes anywhere (net.unix.max_dgram_qlen).
        let many = async {
            for _ in 0..2_000 {
                supervisor.tell("WATCHDOG=1").await;
            }
        };
        timeout(TELL_LIMIT * 2_001, many).await.unwrap();
    }
}
