//! What follows files while the server runs: configuration and certificate, by change or SIGHUP.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::Signal;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::supervisor::Supervisor;
use super::{CONFIG_LIMIT, tell_mappings};
use crate::clock::{Clock, SystemClock};
use crate::config::{Faults, Fixed, Policy};
use crate::keypair;
use crate::metrics::Metrics;
use crate::reload::{self, Live, Reloader, Report, Watch, WatchOptions};
use crate::server::{Certificate, CertificateFault, Health, Renewal};

pub(super) struct Reloads {
    pub(super) policy: Live<Policy>,
    pub(super) reloader: Arc<Reloader<Policy, Faults>>,
    pub(super) certificate: Arc<Certificate>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) fixed: Fixed,
}

impl Reloads {
    /// Never ends by itself. `hangup` asks for both to be read again; `supervisor` is told when that
    /// begins and when it is done.
    pub(super) async fn follow(
        self,
        file: Option<PathBuf>,
        mut hangup: Signal,
        supervisor: Option<&Supervisor>,
    ) -> Infallible {
        let state = &self.fixed.state_dir;
        let pair = [keypair::CERTIFICATE_FILE, keypair::KEY_FILE].map(|name| state.join(name));
        let pair = pair.into_iter().chain(self.fixed.client_ca.clone());
        let pair = Watch::new(pair, WatchOptions::default());
        let config = Watch::new(file, WatchOptions::default());
        let triggers = [pair.trigger(), config.trigger()];
        let done = [const { Notify::const_new() }; 2];
        let [config_done, pair_done] = &done;
        let hangups = async {
            while hangup.recv().await.is_some() {
                info!("SIGHUP: reading configuration and certificate again");
                let Some(supervisor) = supervisor else {
                    triggers.iter().for_each(reload::Trigger::pull);
                    continue;
                };
                supervisor.reloading().await;
                // What was read before this hangup is no answer to it.
                let _before =
                    (config_done.notified().now_or_never(), pair_done.notified().now_or_never());
                triggers.iter().for_each(reload::Trigger::pull);
                let both = async { tokio::join!(config_done.notified(), pair_done.notified()) };
                let _late = timeout(RELOAD_LIMIT, both).await;
                supervisor.reloaded().await;
            }
            std::future::pending().await
        };
        // The files' bytes only tell that something changed; the pair is read and checked as one.
        let (certificate, metrics) = (Arc::clone(&self.certificate), Arc::clone(&self.metrics));
        let pairs = Reloader::new(move |_: &[u8]| match certificate.reload()? {
            Renewal::Same => Ok(()),
            Renewal::Replaced => {
                let expires = certificate.not_after();
                metrics.certificate_expires(expires);
                info!(expires = %expires.rfc3339(), "certificate reloaded");
                Ok(())
            }
        });
        tokio::select! {
            never = reload::follow(config, CONFIG_LIMIT, Arc::clone(&self.reloader), |report| {
                announce(config_done, &report);
                self.config_report(report);
            }) => never,
            never = reload::follow(pair, PEM_LIMIT, Arc::new(pairs), |report| {
                announce(pair_done, &report);
                pair_report(report);
            }) => never,
            never = hangups => never,
        }
    }

    fn config_report(&self, report: Report<Faults>) {
        let kept = match report {
            Report::Replaced => {
                if let Some(policy) = self.policy.get() {
                    info!("configuration reloaded");
                    tell_mappings(&policy);
                }
                None
            }
            Report::Same => None,
            Report::Kept(faults) => Some(faults.to_string()),
            Report::Unread(unread) => Some(unread.to_string()),
            Report::Crashed => Some("reading it failed in an unforeseen way".to_owned()),
            Report::Sight(sight) => {
                info!(?sight, "how changes of the configuration are found");
                return;
            }
        };
        self.metrics.config_reloaded(kept.is_none(), SystemClock.now());
        match kept {
            None => self.health.config_loaded(),
            Some(fault) if self.policy.get().is_some() => {
                error!(error = %fault.trim(), "configuration not reloaded; the last good one stays");
                self.health.config_kept(&fault);
            }
            Some(fault) => {
                error!(error = %fault.trim(), "the configuration cannot be used; waiting for its repair");
                self.health.config_missing(&fault);
            }
        }
    }
}

/// A trigger is answered by a report of what was read.
fn announce<E>(done: &Notify, report: &Report<E>) {
    if !matches!(report, Report::Sight(_)) {
        done.notify_one();
    }
}

fn pair_report(report: Report<CertificateFault>) {
    let fault = match report {
        Report::Replaced | Report::Same | Report::Sight(_) => return,
        Report::Kept(fault) => fault.to_string(),
        Report::Unread(unread) => unread.to_string(),
        Report::Crashed => "reading it failed in an unforeseen way".to_owned(),
    };
    warn!(error = fault, "certificate not reloaded; the old one stays");
}

/// How long the supervisor is kept waiting for the end of a reload: a little longer than a file may
/// take to come to rest (`reload::watch`).
const RELOAD_LIMIT: Duration = Duration::from_secs(6);
/// What the bundle of client CAs may take; certificate and key have a smaller limit of their own.
const PEM_LIMIT: u64 = 1024 * 1024;
