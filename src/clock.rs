//! The program's one source of wall time.

use std::time::{Duration, SystemTime};

/// Tells the time. Only [`SystemClock`] asks the operating system.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> UnixTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> UnixTime {
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        UnixTime(age.unwrap_or_default().as_secs())
    }
}

/// Whole seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The moment `secs` seconds after the epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Whole seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The moment `later` after this one.
    #[must_use]
    pub const fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later.as_secs()))
    }

    /// How long ago `earlier` was, or, as an error, how far ahead it lies.
    ///
    /// # Errors
    /// `earlier` is later than `self`: the distance between them.
    pub fn since(self, earlier: Self) -> Result<Duration, Duration> {
        match self.0.checked_sub(earlier.0) {
            Some(secs) => Ok(Duration::from_secs(secs)),
            None => Err(Duration::from_secs(earlier.0 - self.0)),
        }
    }

    /// RFC 3339 in UTC, whole seconds: `2026-01-02T03:04:05Z`.
    pub fn rfc3339(self) -> String {
        let secs = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(secs).unwrap_or(jiff::Timestamp::MAX).to_string()
    }
}

/// A moment is a clock that has stopped there.
impl Clock for UnixTime {
    fn now(&self) -> UnixTime {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_rfc_3339() {
        assert_eq!(UnixTime::from_secs(1_767_323_045).rfc3339(), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn since_tells_both_directions_apart() {
        let (early, late) = (UnixTime::from_secs(10), UnixTime::from_secs(13));
        assert_eq!(late.since(early), Ok(Duration::from_secs(3)));
        assert_eq!(early.since(late), Err(Duration::from_secs(3)));
    }
}
