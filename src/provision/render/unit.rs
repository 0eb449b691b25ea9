//! The server as a unit of systemd, for hosts that want no pod.

use minijinja::context;
use minijinja::value::Value;

use super::pod::{ACCOUNT, Container, env};
use super::{AbsolutePath, Artefact};

/// `iamgate.service`. systemd wants the account to be in the user database: see [`Sysusers`].
#[derive(Clone, Debug)]
pub struct Systemd {
    /// How the server runs. Health probes have no say here: systemd has a watchdog.
    pub server: Container,
    /// The binary.
    pub program: AbsolutePath,
}

/// A file for `sysusers.d`, from which systemd-sysusers makes the unit's account.
#[derive(Clone, Copy, Debug)]
pub struct Sysusers {
    /// The account's number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
}

impl Default for Systemd {
    fn default() -> Self {
        let program = AbsolutePath::known("/usr/local/bin/iamgate");
        Self { server: Container::default(), program }
    }
}

impl Default for Sysusers {
    fn default() -> Self {
        Self { uid: ACCOUNT.get(), gid: ACCOUNT.get() }
    }
}

impl Artefact for Systemd {
    const TEMPLATE: &'static str = "iamgate.service";

    fn variables(&self) -> Value {
        let Self { server, program } = self;
        context! {
            program,
            arguments => server.arguments(),
            config_dir => &server.config_dir,
            state_dir => &server.state_dir,
            uid => server.uid.get(),
            gid => server.gid,
            memory_limit => server.memory_limit.systemd(),
            env => env(&server.env),
        }
    }
}

impl Artefact for Sysusers {
    const TEMPLATE: &'static str = "iamgate.sysusers";

    fn variables(&self) -> Value {
        context! { uid => self.uid, gid => self.gid }
    }
}
