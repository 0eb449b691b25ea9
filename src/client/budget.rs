//! A limit on time that several pieces of work spend together. Time between them is free.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// Time that is left.
#[derive(Debug)]
pub(super) struct Budget {
    left: Mutex<Duration>,
    limit: Duration,
}

impl Budget {
    pub(super) fn new(limit: Duration) -> Self {
        Self { left: Mutex::new(limit), limit }
    }

    /// What it was at the start.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Does `work`; `None` when the time ran out first.
    pub(super) async fn spend<F: Future>(&self, work: F) -> Option<F::Output> {
        let left = *self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_zero() {
            return None;
        }
        let start = Instant::now();
        let done = timeout(left, work).await.ok();
        let rest = left.saturating_sub(start.elapsed());
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = rest;
        done
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_is_spent_together_and_pauses_are_free() {
        let budget = Budget::new(Duration::from_secs(10));
        assert_eq!(budget.spend(sleep(Duration::from_secs(6))).await, Some(()));
        sleep(Duration::from_secs(100)).await;
        let start = Instant::now();
        assert_eq!(budget.spend(sleep(Duration::from_secs(6))).await, None);
        assert_eq!(start.elapsed().as_secs(), 4);
        assert_eq!(budget.spend(async {}).await, None);
    }
}
