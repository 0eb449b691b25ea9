use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Spaces calls: so many at once, then so many per second.
///
/// A token bucket, kept as the one moment at which it will be full again (the "generic cell rate
/// algorithm" of ITU-T I.371).
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    tolerance: Duration,
    full: Mutex<Option<Instant>>,
}

impl Pace {
    /// `qps` calls per second, 0 for any number, and `burst` of them at once, at least one.
    pub fn new(qps: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(qps).unwrap_or_default();
        let tolerance = interval.saturating_mul(burst.saturating_sub(1));
        Self { interval, tolerance, full: Mutex::new(None) }
    }

    /// Waits for one's turn.
    pub(super) async fn turn(&self) {
        let (now, turn) = (Instant::now(), self.reserve(Instant::now()));
        if now < turn {
            sleep_until(turn).await;
        }
    }

    fn reserve(&self, now: Instant) -> Instant {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let from = full.map_or(now, |full| full.max(now));
        *full = Some(from + self.interval);
        from.checked_sub(self.tolerance).map_or(now, |turn| turn.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_in_step() {
        for (qps, burst, turns) in [
            (10, 3, [0, 0, 0, 100, 200]),
            (10, 1, [0, 100, 200, 300, 400]),
            (10, 0, [0, 100, 200, 300, 400]),
            (0, 5, [0, 0, 0, 0, 0]),
        ] {
            let (pace, now) = (Pace::new(qps, burst), Instant::now());
            let told = turns.map(|_| (pace.reserve(now) - now).as_millis());
            assert_eq!(told, turns, "{qps} {burst}");
        }
    }

    #[test]
    fn a_pause_fills_the_bucket_and_no_more() {
        let (pace, now) = (Pace::new(10, 2), Instant::now());
        for _ in 0..4 {
            pace.reserve(now);
        }
        let later = now + Duration::from_secs(60);
        let told = [0, 1, 2].map(|_| (pace.reserve(later) - later).as_millis());
        assert_eq!(told, [0, 0, 100]);
    }
}
