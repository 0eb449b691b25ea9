//! Between the phases of a run: what has to be up, and the way back where it is not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::apply::Run;
use super::host::{Host, HostFault};
use super::look::{Look, Main};
use super::plan::Phase;
use super::preflight::on_host;
use super::report::Report;
use super::rollout::{self, ApiServer, Authenticator, Moment, NotReady, Patience};
use super::{Outcome, Tell, whole};

/// What to wait for, and whether to.
pub(super) struct Waiting<'a> {
    host: &'a Host,
    limit: Option<Duration>,
    authenticator: Option<(SocketAddr, SocketAddr)>,
    leaf: String,
    apiserver: Option<ApiServer>,
    pod: String,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(host: &'a Host, look: &Look, leaf: String, limit: Option<Duration>) -> Self {
        let loopback = |address: SocketAddr| match address.ip().is_unspecified() {
            true => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
            false => address,
        };
        let authenticator = look.server.as_ref().map(|server| {
            let fixed = &server.fixed;
            (loopback(fixed.health), loopback(SocketAddr::new(fixed.address, fixed.port)))
        });
        let main = look.pods.apiserver.as_ref();
        let pod = main.map_or("kube-apiserver", |main| main.manifest.pod().1).to_owned();
        Self { host, limit, authenticator, leaf, apiserver: main.map(apiserver), pod }
    }

    /// Waits for the authenticator, if anybody wants to wait; `since` where it starts again.
    pub(super) async fn authenticator(
        &self,
        since: Option<Moment>,
        tell: Tell<'_>,
    ) -> Result<(), NotReady> {
        let (Some(limit), Some((health, webhook))) = (self.limit, self.authenticator) else {
            return Ok(());
        };
        let wanted = Authenticator { health, webhook, leaf: self.leaf.clone(), since };
        rollout::authenticator(&wanted, &mut Patience { limit, tell }).await
    }

    /// Waits for an API server that starts after `since`, if anybody wants to wait.
    pub(super) async fn apiserver(&self, since: Moment, tell: Tell<'_>) -> Result<(), NotReady> {
        let (Some(limit), Some(wanted)) = (self.limit, &self.apiserver) else { return Ok(()) };
        let wanted = ApiServer { since, ..wanted.clone() };
        rollout::apiserver(&wanted, self.host, &mut Patience { limit, tell }).await
    }

    /// Something does not run: tells what it said last, and goes back if that was asked for.
    pub(super) async fn gave_up(
        &self,
        run: &mut Run<'_>,
        not_ready: &NotReady,
        rollback: bool,
        report: &mut Report,
        tell: Tell<'_>,
    ) -> Result<Outcome, HostFault> {
        report.failed = true;
        if self.host.is_running() {
            let pod = if not_ready.is_apiserver() { &*self.pod } else { "iamgate" };
            report.log = rollout::last_lines(&rollout::pod_logs(), pod);
        }
        if !rollback {
            report.msg = format!(
                "{not_ready}; the changes are in place (--rollback takes them back; journalctl -u kubelet and \
                 crictl ps -a tell more)"
            );
            return Ok(Outcome::Failed);
        }
        tell(&format!("{not_ready}: going back"));
        let touched = run.done().iter().any(|change| change.phase == Phase::ApiServer);
        let since = rollout::now();
        run.undo(|change| change.phase == Phase::ApiServer)?;
        let back = match touched {
            true => self.apiserver(since, tell).await,
            false => Ok(()),
        };
        run.forget()?;
        run.undo(|_| true)?;
        report.untell();
        report.msg = match back {
            Ok(()) => format!("{not_ready}; everything is as it was before"),
            Err(fault) => format!(
                "{not_ready}; everything is as it was before, but that does not run either: {}",
                whole(&fault)
            ),
        };
        Ok(Outcome::RolledBack)
    }
}

/// Where the API server answers, by its own flags.
fn apiserver(main: &Main) -> ApiServer {
    let manifest = &main.manifest;
    let value = |name: &str| manifest.flag(name).and_then(|flag| flag.value);
    let file = |name: &str| value(name).and_then(|file| on_host(manifest, file));
    let port = value("secure-port").and_then(|port| port.parse().ok()).unwrap_or(SECURE_PORT);
    let bound: Option<IpAddr> = value("bind-address").and_then(|address| address.parse().ok());
    let address = bound.filter(|bound| !bound.is_unspecified());
    ApiServer {
        address: SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port),
        certificate: file("tls-cert-file"),
        client: file("kubelet-client-certificate").zip(file("kubelet-client-key")),
        since: rollout::now(),
    }
}

/// kube-apiserver's default.
const SECURE_PORT: u16 = 6443;
