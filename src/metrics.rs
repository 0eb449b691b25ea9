//! What the server counts, under the reference's names.
//!
//! Names, labels and buckets of the first group are an interface: dashboards and alerts of others
//! read them, down to the spelling of `uknown_user`. The output is the classic text format.

mod classic;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::clock::UnixTime;
use crate::files;
use crate::review::Outcome;

/// `Content-Type` of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const NAMESPACE: &str = "aws_iam_authenticator";
/// The default buckets of Prometheus's Go library, in seconds.
const LATENCY_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// In seconds.
const E2E_BUCKETS: [f64; 8] = [1.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0];
/// AWS has some forty; a policy that allows more is counted under [`OTHER`] beyond these, so that
/// no caller can grow the output.
const REGIONS_LIMIT: usize = 64;
/// Of these, those that have not answered yet: anybody can make up a region's name, and must not
/// take the place of the ones in use.
const SILENT_REGIONS_LIMIT: usize = 16;
const OTHER: &str = "other";
/// How long one text serves all who ask while it is being sent. Scrapers ask every few seconds.
const SHARED: Duration = Duration::from_secs(1);
/// A `/proc/self/status` takes some 1.5 KiB.
const PROC_STATUS_LIMIT: usize = 16 * 1024;

/// A port of the server: the `port` label.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Port {
    /// The webhook's.
    Tls,
    /// Health and metrics in plain HTTP.
    Health,
}

impl Port {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Health => "health",
        }
    }
}

type Label = [(&'static str, Cow<'static, str>); 1];
type Labels = [(&'static str, Cow<'static, str>); 2];
type Histograms = Family<Label, Histogram, fn() -> Histogram>;

/// Whether STS of a region has ever answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heard {
    Silent,
    Answered,
}

/// All metrics of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    regions: Mutex<BTreeMap<Box<str>, Heard>>,
    reviews: Histograms,
    sts_responses: Family<Labels, Counter>,
    sts_failures: Family<Label, Counter>,
    sts_throttles: Family<Label, Counter>,
    ec2_calls: Counter,
    config_reloaded: Gauge,
    config_reloaded_at: Gauge,
    certificate_expiry: Gauge,
    connections: Family<Label, Gauge>,
    connections_refused: Family<Label, Counter>,
    resident: Gauge,
    read_resident: fn() -> Option<u64>,
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Metrics {
    /// Metrics of a process that started at `started`. `read_resident` tells its memory in bytes
    /// each time it is asked: [`resident_memory`] for this process.
    pub fn new(started: UnixTime, read_resident: fn() -> Option<u64>) -> Self {
        let mut registry = Registry::default();
        let metrics = Self {
            regions: Mutex::default(),
            reviews: Histograms::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            sts_responses: Family::default(),
            sts_failures: Family::default(),
            sts_throttles: Family::default(),
            ec2_calls: Counter::default(),
            config_reloaded: Gauge::default(),
            config_reloaded_at: Gauge::default(),
            certificate_expiry: Gauge::default(),
            connections: Family::default(),
            connections_refused: Family::default(),
            resident: Gauge::default(),
            read_resident,
            last: Mutex::default(),
            registry: Registry::default(),
        };
        metrics.register_the_reference_s(registry.sub_registry_with_prefix(NAMESPACE));
        metrics.register_ours(registry.sub_registry_with_prefix(NAMESPACE));
        let start: Gauge = Gauge::default();
        start.set(gauge(started.as_secs()));
        registry.register(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds",
            start,
        );
        registry.register(
            "process_resident_memory_bytes",
            "Resident memory size in bytes",
            metrics.resident.clone(),
        );
        Self { registry, ..metrics }
    }

    /// A review ended after `took`.
    pub fn reviewed(&self, result: Outcome, took: Duration) {
        self.reviews
            .get_or_create(&[("result", result.label().into())])
            .observe(took.as_secs_f64());
    }

    /// STS of `region` answered with this HTTP status.
    pub fn sts_answered(&self, status: u16, region: &str) {
        let code = match status {
            100..=599 => status.to_string().into(),
            _ => Cow::Borrowed(OTHER),
        };
        let labels = [("ResponseCode", code), ("StsRegion", self.region(region, Heard::Answered))];
        self.sts_responses.get_or_create(&labels).inc();
    }

    /// STS of `region` could not be reached.
    pub fn sts_unreachable(&self, region: &str) {
        let region = self.region(region, Heard::Silent);
        self.sts_failures.get_or_create(&[("StsRegion", region)]).inc();
    }

    /// STS of `region` said that there are too many requests.
    pub fn sts_throttled(&self, region: &str) {
        let region = self.region(region, Heard::Answered);
        self.sts_throttles.get_or_create(&[("StsRegion", region)]).inc();
    }

    /// EC2 was asked to describe instances.
    pub fn ec2_called(&self) {
        self.ec2_calls.inc();
    }

    /// The configuration's file was read: it is in force, or the last good one was kept.
    pub fn config_reloaded(&self, ok: bool, now: UnixTime) {
        self.config_reloaded.set(ok.into());
        if ok {
            self.config_reloaded_at.set(gauge(now.as_secs()));
        }
    }

    /// The certificate that is served now ceases to be valid at `at`.
    pub fn certificate_expires(&self, at: UnixTime) {
        self.certificate_expiry.set(gauge(at.as_secs()));
    }

    /// A connection was accepted.
    pub fn connection_opened(&self, port: Port) {
        self.connections.get_or_create(&[("port", port.label().into())]).inc();
    }

    /// An accepted connection ended.
    pub fn connection_closed(&self, port: Port) {
        self.connections.get_or_create(&[("port", port.label().into())]).dec();
    }

    /// A connection was closed, because there is no room for all.
    pub fn connection_refused(&self, port: Port) {
        self.connections_refused.get_or_create(&[("port", port.label().into())]).inc();
    }

    /// What [`Self::encode`] says; for a second the same text, as long as anybody has not taken
    /// theirs. So those who ask and do not read make the server write, and hold, hardly more.
    pub fn scrape(&self) -> Bytes {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, text)) = &*last
            && !text.is_unique()
            && at.elapsed() < SHARED
        {
            return text.clone();
        }
        let text = Bytes::from(self.encode());
        *last = Some((Instant::now(), text.clone()));
        text
    }

    /// All of it in the classic Prometheus text format, to be served as [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        if let Some(bytes) = (self.read_resident)() {
            self.resident.set(gauge(bytes));
        }
        classic::encode(&self.registry)
    }

    fn register_the_reference_s(&self, registry: &mut Registry) {
        for result in Outcome::ALL {
            drop(self.reviews.get_or_create(&[("result", result.label().into())]));
        }
        registry.register(
            "authenticate_latency_seconds",
            "The latency for authenticate call",
            self.reviews.clone(),
        );
        registry.register(
            "sts_responses",
            "Sts responses with error code label",
            self.sts_responses.clone(),
        );
        registry.register(
            "sts_connection_failures",
            "Sts call could not succeed or timedout",
            self.sts_failures.clone(),
        );
        registry.register("sts_throttling", "Sts call got throttled", self.sts_throttles.clone());
        registry.register(
            "ec2_describe_instances_calls",
            "Number of EC2 describe instances calls",
            self.ec2_calls.clone(),
        );
        registry.register(
            "configmap_watch_failures",
            "EKS Configmap watch failures",
            Counter::<u64>::default(),
        );
        registry.register(
            "dynamicfile_failures",
            "Dynamic file failures",
            Counter::<u64>::default(),
        );
        let delays = Histograms::new_with_constructor(|| Histogram::new(E2E_BUCKETS));
        for source in ["dynamic_file", "dynamic_backend_mode"] {
            drop(delays.get_or_create(&[("type", source.into())]));
        }
        registry.register(
            "dynamic_e2e_latency_seconds",
            "End to end latency in seconds partitioned by type",
            delays,
        );
        registry.register("dynamic_file_enabled", "Dynamic file enabled", Gauge::<i64>::default());
        registry.register(
            "dynamic_file_only",
            "Only dynamic file enabled",
            Gauge::<i64>::default(),
        );
    }

    fn register_ours(&self, registry: &mut Registry) {
        for port in [Port::Tls, Port::Health] {
            drop(self.connections.get_or_create(&[("port", port.label().into())]));
            drop(self.connections_refused.get_or_create(&[("port", port.label().into())]));
        }
        registry.register(
            "config_last_reload_successful",
            "Whether the last read of the configuration is in force (1) or the one before was kept \
             (0)",
            self.config_reloaded.clone(),
        );
        registry.register(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration that is in force was read",
            self.config_reloaded_at.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate that is served ceases to be valid",
            self.certificate_expiry.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "connections_refused",
            "Connections closed because there was no room for all",
            self.connections_refused.clone(),
        );
    }

    fn region(&self, region: &str, heard: Heard) -> Cow<'static, str> {
        let mut known = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = known.get_mut(region) {
            if heard == Heard::Answered {
                *before = heard;
            }
            return region.to_owned().into();
        }
        let silent = || known.values().filter(|heard| **heard == Heard::Silent).count();
        let full = known.len() >= REGIONS_LIMIT
            || (heard == Heard::Silent && silent() >= SILENT_REGIONS_LIMIT);
        if full {
            return OTHER.into();
        }
        known.insert(region.into(), heard);
        region.to_owned().into()
    }
}

/// The memory of this process in bytes, where the system tells it (Linux).
pub fn resident_memory() -> Option<u64> {
    let status = files::read_capped(Path::new("/proc/self/status"), PROC_STATUS_LIMIT).ok()?;
    let status = String::from_utf8(status).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Gauges are signed.
fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(UnixTime::from_secs(1_800_000_000), || Some(6 << 20))
    }

    /// The lines in an order that does not depend on a hash.
    fn sorted(text: &str) -> Vec<&str> {
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn those_who_do_not_take_their_text_share_it_and_nobody_else_gets_an_old_one() {
        let metrics = metrics();
        let untaken = metrics.scrape();
        metrics.ec2_called();
        assert_eq!(metrics.scrape(), untaken);
        drop(untaken);
        assert_eq!(metrics.scrape(), metrics.encode());
        metrics.ec2_called();
        assert_eq!(metrics.scrape(), metrics.encode());
    }

    #[test]
    fn a_new_server_s_metrics_are_these() {
        let text = metrics().encode();
        let want = include_str!("metrics/testdata/new.txt");
        assert_eq!(sorted(&text).join("\n") + "\n", want);
    }

    #[test]
    fn what_happens_is_counted_under_the_reference_s_names() {
        let metrics = metrics();
        metrics.reviewed(Outcome::UnknownUser, Duration::from_millis(700));
        metrics.sts_answered(200, "us-east-1");
        metrics.sts_answered(200, "us-east-1");
        metrics.sts_answered(999, "us-east-1");
        metrics.sts_unreachable("eu-central-1");
        metrics.sts_throttled("eu-central-1");
        metrics.ec2_called();
        metrics.config_reloaded(true, UnixTime::from_secs(7));
        metrics.config_reloaded(false, UnixTime::from_secs(8));
        metrics.certificate_expires(UnixTime::from_secs(9));
        metrics.connection_opened(Port::Tls);
        metrics.connection_opened(Port::Tls);
        metrics.connection_closed(Port::Tls);
        metrics.connection_refused(Port::Health);
        let text = metrics.encode();
        for line in [
            r#"authenticate_latency_seconds_bucket{le="0.5",result="uknown_user"} 0"#,
            r#"authenticate_latency_seconds_bucket{le="1",result="uknown_user"} 1"#,
            r#"authenticate_latency_seconds_count{result="uknown_user"} 1"#,
            r#"authenticate_latency_seconds_sum{result="uknown_user"} 0.7"#,
            r#"sts_responses_total{ResponseCode="200",StsRegion="us-east-1"} 2"#,
            r#"sts_responses_total{ResponseCode="other",StsRegion="us-east-1"} 1"#,
            r#"sts_connection_failures_total{StsRegion="eu-central-1"} 1"#,
            r#"sts_throttling_total{StsRegion="eu-central-1"} 1"#,
            "ec2_describe_instances_calls_total 1",
            "config_last_reload_successful 0",
            "config_last_reload_success_timestamp_seconds 7",
            "certificate_expiry_timestamp_seconds 9",
            r#"connections{port="tls"} 1"#,
            r#"connections_refused_total{port="health"} 1"#,
        ] {
            let line = format!("aws_iam_authenticator_{line}");
            assert!(text.lines().any(|have| have == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn no_caller_grows_the_output() {
        let metrics = metrics();
        for n in 0..1_000 {
            metrics.sts_unreachable(&format!("r-{n}"));
            metrics.sts_answered(200, &format!("r-{n}"));
        }
        let text = metrics.encode();
        for series in ["sts_connection_failures_total{", "sts_responses_total{"] {
            let series = format!("aws_iam_authenticator_{series}");
            let lines = text.lines().filter(|line| line.starts_with(&series)).count();
            assert_eq!(lines, REGIONS_LIMIT + 1);
        }
        assert!(text.contains(r#"{StsRegion="other"} 936"#));
    }

    #[test]
    fn of_regions_that_never_answer_few_have_a_series() {
        let metrics = metrics();
        for n in 0..1_000 {
            metrics.sts_unreachable(&format!("us-{n}-1"));
        }
        let text = metrics.encode();
        assert_eq!(text.matches("{StsRegion=").count(), SILENT_REGIONS_LIMIT + 1);
    }

    #[test]
    fn regions_that_somebody_made_up_leave_room_for_those_that_answer() {
        let metrics = metrics();
        for n in 0..1_000 {
            metrics.sts_unreachable(&format!("us-{n}-1"));
        }
        metrics.sts_answered(200, "eu-central-1");
        metrics.sts_unreachable("eu-central-1");
        let text = metrics.encode();
        for line in [
            r#"sts_responses_total{ResponseCode="200",StsRegion="eu-central-1"} 1"#,
            r#"sts_connection_failures_total{StsRegion="eu-central-1"} 1"#,
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn this_process_has_a_memory() {
        assert!(resident_memory().unwrap() > 1 << 20);
    }
}
