//! Log lines as the reference writes them: logrus's text or JSON, one write a line, to stderr.
//!
//! Events come from `tracing`'s macros. There are no spans, no files and no rotation; whatever
//! collects stderr does that. A value is escaped here, so that no caller's text can forge a line
//! or move a terminal's cursor; whether it may be logged at all is for the caller to know.

mod line;

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::SetGlobalDefaultError;
use tracing::{Event, Metadata, Subscriber};

use self::line::{Fields, Value};
use crate::clock::Clock;

/// Modules of this package say `target: "iamgate::..."`, by default of the macros.
const OURS: &str = env!("CARGO_PKG_NAME");

/// How much is logged: `--log-verbosity`.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Nothing: this program does not panic on purpose.
    Panic,
    /// Nothing: what ends the program is told by other means.
    Fatal,
    /// What failed.
    Error,
    /// And what was refused.
    Warning,
    /// And what was done.
    #[default]
    Info,
    /// And why.
    Debug,
    /// And each step.
    Trace,
}

/// A level of no known name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "Invalid log level {0:?}. Valid values are: panic, fatal, error, warning, info, debug, trace"
)]
pub struct LevelError(Box<str>);

impl FromStr for Level {
    type Err = LevelError;

    /// In any case; `warn` is `warning`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "panic" => Ok(Self::Panic),
            "fatal" => Ok(Self::Fatal),
            "error" => Ok(Self::Error),
            "warn" | "warning" => Ok(Self::Warning),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(LevelError(text.chars().take(64).collect())),
        }
    }
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Panic | Self::Fatal => LevelFilter::OFF,
            Self::Error => LevelFilter::ERROR,
            Self::Warning => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

/// How a line is written: `--log-format`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// `time="..." level=info msg="..." key=value`
    #[default]
    Text,
    /// One object a line.
    Json,
}

impl Format {
    /// The format of this name, or text and the warning to log about it.
    pub fn of(name: &str) -> (Self, Option<String>) {
        match name {
            "text" => (Self::Text, None),
            "json" => (Self::Json, None),
            _ => {
                let name: String = name.chars().take(64).collect();
                let warning = format!(
                    "Unknown log format specified ({name}), will use default text formatter \
                     instead."
                );
                (Self::Text, Some(warning))
            }
        }
    }
}

/// Makes every event of this process a line on stderr. Once per process.
///
/// # Errors
/// It was called before.
pub fn install(
    format: Format,
    level: Level,
    clock: impl Clock + 'static,
) -> Result<(), SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(Lines::new(format, level, clock, to_stderr))
}

/// One write(2): lines of several processes do not mix. A log that nobody can take is lost, not a
/// reason to stop.
fn to_stderr(line: &[u8]) {
    drop(io::stderr().write_all(line));
}

/// Turns events into lines, without a registry: it has no spans to remember.
#[derive(Debug)]
pub struct Lines<C, W> {
    format: Format,
    ours: LevelFilter,
    others: LevelFilter,
    clock: C,
    write: W,
}

impl<C: Clock, W: Fn(&[u8])> Lines<C, W> {
    /// Our own events up to `level`; those of libraries up to `error` at most, since they
    /// print whole requests and answers below that. `write` is given
    /// whole lines with their newline.
    pub fn new(format: Format, level: Level, clock: C, write: W) -> Self {
        let ours = level.filter();
        Self { format, ours, others: ours.min(LevelFilter::ERROR), clock, write }
    }
}

impl<C: Clock + 'static, W: Fn(&[u8]) + 'static> Subscriber for Lines<C, W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let ours = target.strip_prefix(OURS).is_some_and(|t| t.is_empty() || t.starts_with(':'));
        metadata.is_event() && *metadata.level() <= if ours { self.ours } else { self.others }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.ours)
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Collected::default();
        event.record(&mut fields);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warning",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        let time = self.clock.now().rfc3339();
        let Collected { message, fields } = fields;
        let line = match self.format {
            Format::Text => line::text(&time, level, &message, fields),
            Format::Json => line::json(&time, level, &message, fields),
        };
        (self.write)(line.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An event's message and fields.
#[derive(Default)]
struct Collected {
    message: String,
    fields: Fields,
}

impl Collected {
    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.message = text,
            (name, value) => drop(self.fields.insert(name, value)),
        }
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Value::text(format_args!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::text(format_args!("{value}")));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::Bool(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::Number(value.into()));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::Number(value.into()));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.take(field, Value::Number(number)),
            None => self.take(field, Value::text(format_args!("{value}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::UnixTime;

    struct At(u64);

    impl Clock for At {
        fn now(&self) -> UnixTime {
            UnixTime::from_secs(self.0)
        }
    }

    fn logged(format: Format, level: Level, log: impl FnOnce()) -> String {
        let lines = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&lines);
        let write = move |line: &[u8]| {
            sink.lock().unwrap().push_str(std::str::from_utf8(line).unwrap());
        };
        let subscriber = Lines::new(format, level, At(1_767_323_045), write);
        tracing::subscriber::with_default(subscriber, log);
        std::mem::take(&mut lines.lock().unwrap())
    }

    fn grant() {
        tracing::info!(
            username = "kubernetes-admin",
            uid = "aws-iam-authenticator:123456789012:AROA",
            groups = "[a b]",
            port = 21362,
            ok = true,
            "access granted"
        );
    }

    #[test]
    fn text_is_logrus_s() {
        assert_eq!(
            logged(Format::Text, Level::Info, grant),
            "time=\"2026-01-02T03:04:05Z\" level=info msg=\"access granted\" groups=\"[a b]\" \
             ok=true port=21362 uid=\"aws-iam-authenticator:123456789012:AROA\" \
             username=kubernetes-admin\n"
        );
    }

    #[test]
    fn json_is_logrus_s() {
        assert_eq!(
            logged(Format::Json, Level::Info, grant),
            "{\"groups\":\"[a b]\",\"level\":\"info\",\"msg\":\"access granted\",\"ok\":true,\
             \"port\":21362,\"time\":\"2026-01-02T03:04:05Z\",\
             \"uid\":\"aws-iam-authenticator:123456789012:AROA\",\
             \"username\":\"kubernetes-admin\"}\n"
        );
    }

    #[test]
    fn the_level_counts_for_us_and_libraries_say_errors_at_most() {
        let all = || {
            tracing::error!("e");
            tracing::warn!("w");
            tracing::info!("i");
            tracing::debug!("d");
            tracing::trace!("t");
            tracing::error!(target: "hyper::proto", "he");
            tracing::warn!(target: "hyper::proto", "hw");
            tracing::debug!(target: "hyper::proto", "hd");
            tracing::debug!(target: "iamgateway", "gd");
        };
        for (level, want) in [
            (Level::Panic, &[][..]),
            (Level::Fatal, &[]),
            (Level::Error, &["e", "he"]),
            (Level::Warning, &["e", "w", "he"]),
            (Level::Info, &["e", "w", "i", "he"]),
            (Level::Debug, &["e", "w", "i", "d", "he"]),
            (Level::Trace, &["e", "w", "i", "d", "t", "he"]),
        ] {
            let text = logged(Format::Text, level, all);
            let got: Vec<_> =
                text.lines().map(|line| line.rsplit_once("msg=").unwrap().1).collect();
            assert_eq!(got, want, "{level:?}");
        }
    }

    #[test]
    fn levels_have_the_reference_s_names() {
        for (name, level) in
            [("panic", Level::Panic), ("WARN", Level::Warning), ("Trace", Level::Trace)]
        {
            assert_eq!(name.parse(), Ok(level));
        }
        assert_eq!(
            "loud".parse::<Level>().unwrap_err().to_string(),
            "Invalid log level \"loud\". Valid values are: panic, fatal, error, warning, info, \
             debug, trace"
        );
    }

    #[test]
    fn an_unknown_format_is_text_and_a_warning() {
        assert_eq!(Format::of("json"), (Format::Json, None));
        assert_eq!(
            Format::of("xml"),
            (
                Format::Text,
                Some(
                    "Unknown log format specified (xml), will use default text formatter instead."
                        .to_owned()
                )
            )
        );
    }

    #[test]
    fn an_error_is_a_field_like_any_other() {
        let error: Box<dyn std::error::Error> = "line 1\nline 2".into();
        let text = logged(Format::Text, Level::Info, || {
            tracing::warn!(error = %error, "access denied");
        });
        assert!(text.ends_with("msg=\"access denied\" error=\"line 1\\nline 2\"\n"), "{text}");
    }
}
