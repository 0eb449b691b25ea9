//! The server under a service manager that wants to be told (sd_notify(3)): a socket plays systemd.

use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixDatagram;
use tokio::process::Child;
use tokio::time::timeout;

use crate::faces::{OWN, Program};

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
const CONFIG: &str =
    "clusterID: c\nserver: {healthAddress: '127.0.0.1:0', mapAccounts: ['111122223333']}\n";
const SERVER: [&str; 5] =
    ["server", "--config=c.yaml", "--state-dir=.", "--port=0", "--kubeconfig-pregenerated"];

struct Manager {
    socket: UnixDatagram,
    server: Child,
    program: Program,
}

impl Manager {
    /// Starts a server with that configuration.
    fn start(config: &str, environment: &[(&str, &str)]) -> Self {
        let program = Program::named(OWN);
        program.write("c.yaml", config);
        let socket = UnixDatagram::bind(program.dir().join("notify")).unwrap();
        let server = program
            .command(&SERVER)
            .env("NOTIFY_SOCKET", program.dir().join("notify"))
            .envs(environment.iter().copied())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Self { socket, server, program }
    }

    async fn told(&self) -> String {
        let mut message = [0; 1024];
        let length = timeout(PATIENCE, self.socket.recv(&mut message)).await.expect("a message");
        String::from_utf8(message[..length.unwrap()].to_vec()).unwrap()
    }

    /// What is told next, signs of life aside.
    async fn news(&self) -> String {
        loop {
            let told = self.told().await;
            if told != "WATCHDOG=1" {
                return told;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.server.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    async fn end(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.news().await, "STOPPING=1");
        let status = timeout(PATIENCE, self.server.wait()).await.expect("it ends").unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[tokio::test]
async fn systemd_is_told_of_start_reload_and_end() {
    let manager = Manager::start(CONFIG, &[]);
    let ready = manager.told().await;
    let address = ready.strip_prefix("READY=1\nSTATUS=listening on 127.0.0.1:").expect(&ready);
    assert_ne!(address.parse::<u16>().unwrap(), 0);

    // Without a change, with one, and with one that cannot be used.
    for config in [CONFIG, "clusterID: d\n", "clusterID: [\n"] {
        manager.program.write("c.yaml", config);
        let before = now();
        manager.signal(Signal::HUP);
        let reloading = manager.told().await;
        let began = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
        let began: i64 = began.parse().unwrap();
        assert!((before..=now()).contains(&began), "{before} {began}");
        assert_eq!(manager.told().await, "READY=1", "{config}");
    }
    manager.end().await;
}

#[tokio::test]
async fn the_end_of_a_reload_is_told_by_what_was_read_and_not_by_a_limit() {
    let manager = Manager::start("clusterID: [\n", &[]);
    let ready = manager.told().await;
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(ready.ends_with("; waiting for a configuration"), "{ready}");
    for _ in 0..3 {
        manager.signal(Signal::HUP);
        let begun = std::time::Instant::now();
        assert!(manager.told().await.starts_with("RELOADING=1\n"));
        assert_eq!(manager.told().await, "READY=1");
        // Not by running out of time.
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    manager.end().await;
}

#[tokio::test]
async fn signs_of_life_come_twice_in_the_managers_time() {
    let manager = Manager::start(CONFIG, &[("WATCHDOG_USEC", "400000")]);
    assert!(manager.told().await.starts_with("READY=1\n"));
    let begun = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(manager.told().await, "WATCHDOG=1");
    }
    // The first at once, then four times 200 ms.
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
    manager.end().await;
}

#[tokio::test]
async fn no_sign_of_life_is_given_that_is_meant_of_another_process() {
    let watchdog = [("WATCHDOG_USEC", "20000"), ("WATCHDOG_PID", "1")];
    let manager = Manager::start(CONFIG, &watchdog);
    assert!(manager.told().await.starts_with("READY=1\n"));
    manager.signal(Signal::TERM);
    assert_eq!(manager.told().await, "STOPPING=1");
}

#[tokio::test]
async fn a_manager_that_reads_nothing_keeps_the_server_from_nothing() {
    let program = Program::named(OWN);
    program.write("c.yaml", CONFIG);
    let path = program.dir().join("notify");
    let full = StdUnixDatagram::bind(&path).unwrap();
    let filler = StdUnixDatagram::unbound().unwrap();
    filler.connect(&path).unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send(b"x").is_ok() {}
    let mut server = program.command(&SERVER).env("NOTIFY_SOCKET", &path).spawn().unwrap();
    // It says so once it has given up telling.
    let log = server.stderr.take().unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(log));
    let read = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("the service manager could not be told") {
                return;
            }
        }
        panic!("the log ended");
    };
    timeout(PATIENCE, read).await.unwrap();
    let id = i32::try_from(server.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
    let status = timeout(PATIENCE, server.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
    drop(full);
}
