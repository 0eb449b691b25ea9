use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::presigned::Mark;
use super::{Age, Fresh, HostPolicy, Malformed, Presigned, Stale, StsHost};
use crate::clock::Clock;
use crate::identity::{ClusterId, Identity};
use crate::secret::Secret;

pub use self::answer::{Denial, Unreadable};

mod answer;

/// The network. The seam is at bytes, so that a test with a scripted STS runs all our code.
pub trait Sts: Send + Sync {
    /// Sends the request and hands back what came, whatever its status.
    fn ask(
        &self,
        request: &StsRequest<'_>,
    ) -> impl Future<Output = Result<Reply, StsUnavailable>> + Send;
}

/// A `GET` to STS: fixed method, host of our table, target built from typed fields.
#[derive(Clone, Copy, Debug)]
pub struct StsRequest<'a> {
    /// The host to ask, over TLS on port 443.
    pub host: &'a StsHost,
    /// Path and query.
    pub target: &'a Secret,
    /// The value of `x-k8s-aws-id`, which the signature covers.
    pub cluster_id: &'a ClusterId,
}

/// What STS answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Whether the answer says that it is JSON, and is not encoded in any other way.
    pub json: bool,
    /// The body, already cut to a size limit.
    pub body: Vec<u8>,
}

/// STS could not be asked. Says what went wrong, never with which URL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StsUnavailable {
    #[error("STS cannot be reached")]
    Connect,
    #[error("STS did not answer in time")]
    Timeout,
    #[error("the answer of STS broke off")]
    Broken,
    #[error("the answer of STS is larger than it can be")]
    TooLarge,
    #[error("STS answered with status {0}")]
    Status(u16),
}

/// What a token has to satisfy.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// The cluster ids that tokens may be minted for, the preferred one first. At most 8: each
    /// costs a call to STS.
    pub cluster_ids: Vec<ClusterId>,
    /// The STS hosts that tokens may name.
    pub hosts: HostPolicy,
    /// How old they may be.
    pub max_age: Age,
}

/// Someone whose signature STS has vouched for. Made nowhere but here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    identity: Identity,
}

impl Caller {
    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Every reason for a no. One enum, so that a new reason breaks each `match` that must know it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Stale(#[from] Stale),
    #[error("STS refused the token: {0}")]
    Denied(Denial),
    #[error("STS is throttling us")]
    Throttled,
    #[error("as many requests to STS are under way as server.limits allows")]
    Busy,
    #[error("{0}")]
    Unavailable(#[from] StsUnavailable),
    #[error("the answer of STS cannot be read: {0}")]
    Unreadable(Unreadable),
}

/// Proves tokens.
#[derive(Debug)]
pub struct Verifier<S, C> {
    sts: S,
    clock: C,
    outdated: Mutex<VecDeque<(Mark, Age)>>,
}

impl<S: Sts, C: Clock> Verifier<S, C> {
    /// Proves tokens by asking `sts`, at the time that `clock` tells.
    pub fn new(sts: S, clock: C) -> Self {
        Self { sts, clock, outdated: Mutex::default() }
    }

    /// Reads and dates the token; nothing is asked of anybody.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] or [`Refusal::Stale`].
    pub fn admit(&self, token: &Secret, accept: &Acceptance) -> Result<Fresh, Refusal> {
        let presigned = Presigned::parse(token, &accept.hosts)?;
        let mark = presigned.mark();
        let mut outdated = self.outdated.lock().unwrap_or_else(PoisonError::into_inner);
        // A longer age that was set since is another question.
        if outdated.iter().any(|(known, age)| *known == mark && accept.max_age <= *age) {
            return Err(Stale::Remembered.into());
        }
        presigned.fresh_at(self.clock.now(), accept.max_age).map_err(|stale| {
            if matches!(stale, Stale::Late(_)) {
                if outdated.len() == OUTDATED {
                    outdated.pop_front();
                }
                outdated.push_back((mark, accept.max_age));
            }
            stale.into()
        })
    }

    /// Asks STS who signed, once for each cluster id until one fits.
    ///
    /// # Errors
    /// Any [`Refusal`] but the two that [`Self::admit`] gives.
    pub async fn prove(&self, fresh: &Fresh, accept: &Acceptance) -> Result<Caller, Refusal> {
        let target = fresh.target();
        let mut refusal = Refusal::Denied(Denial::BadSignature);
        for cluster_id in &accept.cluster_ids {
            let request = StsRequest { host: fresh.host(), target: &target, cluster_id };
            let reply = self.sts.ask(&request).await?;
            match answer::read(&reply, fresh) {
                Ok(identity) => return Ok(Caller { identity }),
                // Only this one can mean that the token is for another of our ids.
                Err(wrong @ Refusal::Denied(Denial::BadSignature)) => refusal = wrong,
                Err(other) => return Err(other),
            }
        }
        Err(refusal)
    }

    /// The caller behind `token`.
    ///
    /// # Errors
    /// Any [`Refusal`].
    pub async fn verify(&self, token: &Secret, accept: &Acceptance) -> Result<Caller, Refusal> {
        let fresh = self.admit(token, accept)?;
        self.prove(&fresh, accept).await
    }
}

/// How many outdated tokens are remembered, so that a clock that steps back does not make one of
/// them good again. STS refuses them by its own clock too; this matters where `maxTokenAge` is
/// shorter than the 15 minutes of STS.
const OUTDATED: usize = 256;

#[cfg(test)]
mod tests;
