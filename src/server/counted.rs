//! Counts what STS answers, one by one, as the reference's metrics do.

use std::sync::Arc;

use crate::metrics::Metrics;
use crate::token::{Reply, Sts, StsRequest, StsUnavailable};

/// An [`Sts`] whose exchanges are counted.
#[derive(Debug)]
pub struct Counted<S> {
    sts: S,
    metrics: Arc<Metrics>,
}

impl<S> Counted<S> {
    /// Counts what `sts` answers.
    pub fn new(sts: S, metrics: Arc<Metrics>) -> Self {
        Self { sts, metrics }
    }
}

impl<S: Sts> Sts for Counted<S> {
    async fn ask(&self, request: &StsRequest<'_>) -> Result<Reply, StsUnavailable> {
        let reply = self.sts.ask(request).await;
        let region = request.host.region_label();
        match &reply {
            Ok(reply) => self.metrics.sts_answered(reply.status, region),
            Err(_) => self.metrics.sts_unreachable(region),
        }
        reply
    }
}
