//! One review: bytes of a question in, bytes of an answer out, one log line, one metric.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use ring::digest::{SHA256, digest};
use tracing::{debug, info, warn};

use super::flights::Flights;
use super::places::{Full, Places};
use super::{Asker, Authenticate, Granted};
use crate::clock::Clock;
use crate::config::Policy;
use crate::ec2::{Ec2Fault, Meaning, PrivateDns};
use crate::identity::Identity;
use crate::mapping::{Found, InstanceId, RenderFault, User};
use crate::metrics::Metrics;
use crate::reload::Live;
use crate::review::{self, Grant, Outcome, Question, Told, Version};
use crate::token::{Caller, Refusal, Sts, Verifier};

/// Answers the API server's questions.
pub struct Authenticator<S, C, D> {
    verifier: Arc<Verifier<S, C>>,
    dns: D,
    policy: Live<Policy>,
    metrics: Arc<Metrics>,
    flights: Flights<Key, Result<Arc<Caller>, Refusal>>,
    places: Places,
}

/// A token's digest, which policy it is judged by, and whether those who ask are known. An answer
/// under the old cluster IDs is none under the new; the flight holds the policy, so the address
/// cannot stand for another meanwhile. Who is known does not wait in a stranger's place.
type Key = ([u8; 32], usize, bool);

/// Why a caller is not let in, or nothing can be said.
enum No {
    Unconfigured,
    Refused(Refusal),
    NotMapped,
    Render(RenderFault),
    Ec2(Ec2Fault),
}

impl<S, C, D> Authenticator<S, C, D>
where
    S: Sts + 'static,
    C: Clock + 'static,
    D: PrivateDns,
{
    /// Answers by `policy`, which may change between two reviews and never within one.
    pub fn new(
        verifier: Verifier<S, C>,
        dns: D,
        policy: Live<Policy>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (flights, places) = (Flights::new(), Places::default());
        Self { verifier: Arc::new(verifier), dns, policy, metrics, flights, places }
    }

    async fn answer(&self, body: Bytes, asker: Asker) -> Response<Bytes> {
        let (began, client) = (Instant::now(), asker.client);
        let (outcome, response) = match Question::read(&body) {
            Ok(question) => {
                drop(body);
                self.decide(&question, asker).await
            }
            Err(fault) => {
                warn!(path = PATH, %client, method = "POST", error = %fault, "could not parse request body");
                (Outcome::MalformedRequest, not_a_question())
            }
        };
        self.metrics.reviewed(outcome, began.elapsed());
        response
    }

    async fn decide(&self, question: &Question, asker: Asker) -> (Outcome, Response<Bytes>) {
        let client = asker.client;
        let version = question.version();
        // Taken once: a reload in the middle of a review cannot mix two files.
        let Some(policy) = self.policy.get() else {
            return refuse(&No::Unconfigured, None, client, version);
        };
        let caller = match self.prove(question, &policy, asker).await {
            Ok(caller) => caller,
            Err(refusal) => return refuse(&No::Refused(refusal), None, client, version),
        };
        let identity = caller.identity();
        let scrubbed = policy.scrubbed.contains(&identity.account);
        if !scrubbed {
            info!(
                path = PATH,
                %client,
                method = "POST",
                accesskeyid = %identity.access_key_id,
                arn = %identity.arn,
                accountid = %identity.account,
                userid = %identity.user_id,
                session = %identity.session_name,
                stsendpoint = %identity.sts_host,
                "STS response",
            );
        }
        match self.user(identity, &policy).await {
            Ok(user) => {
                let mut response = grant(&user, identity, scrubbed, client, version);
                response.extensions_mut().insert(Granted);
                (Outcome::Success, response)
            }
            Err(no) => {
                let told = (!scrubbed).then(|| identity.arn.canonical());
                refuse(&no, told.as_deref(), client, version)
            }
        }
    }

    async fn prove(
        &self,
        question: &Question,
        policy: &Arc<Policy>,
        asker: Asker,
    ) -> Result<Arc<Caller>, Refusal> {
        let fresh = self.verifier.admit(question.token(), &policy.accept)?;
        let key =
            (sha256(question.token().expose().as_bytes()), Arc::as_ptr(policy).addr(), asker.known);
        let region = fresh.host().region_label().to_owned();
        let flight = self.flights.join(key, || {
            let (verifier, policy) = (Arc::clone(&self.verifier), Arc::clone(policy));
            let (metrics, places) = (Arc::clone(&self.metrics), self.places.clone());
            async move {
                let place = places.take(asker, policy.limits.sts_in_flight).await;
                let _place = place.map_err(|Full| Refusal::Busy)?;
                let proved = verifier.prove(&fresh, &policy.accept).await;
                if matches!(proved, Err(Refusal::Throttled)) {
                    metrics.sts_throttled(&region);
                }
                proved.map(Arc::new)
            }
            .boxed()
        });
        flight.await
    }

    async fn user(&self, identity: &Identity, policy: &Policy) -> Result<User, No> {
        let found: Found<'_> = policy.rules.find(identity).map_err(|_| No::NotMapped)?;
        let name = match found.needs_private_dns() {
            true => Some(self.private_dns(identity).await?),
            false => None,
        };
        found.render(identity, name.as_deref()).map_err(No::Render)
    }

    /// The session name of an instance's role is the instance's id; no other has a DNS name.
    async fn private_dns(&self, identity: &Identity) -> Result<Box<str>, No> {
        let instance = InstanceId::of(identity).ok_or(No::Render(RenderFault::NotAnInstance))?;
        // Boxed: hardly any review takes this way, and every one would carry its state.
        Box::pin(self.dns.lookup(&instance, identity.account)).await.map_err(No::Ec2)
    }
}

impl<S, C, D> Authenticate for Authenticator<S, C, D>
where
    S: Sts + 'static,
    C: Clock + 'static,
    D: PrivateDns + 'static,
{
    async fn review(&self, body: Bytes, asker: Asker) -> Response<Bytes> {
        self.answer(body, asker).await
    }
}

fn grant(
    user: &User,
    identity: &Identity,
    scrubbed: bool,
    client: SocketAddr,
    version: Version,
) -> Response<Bytes> {
    let grant = Grant { user, identity, scrubbed };
    let arn = (!scrubbed).then(|| identity.arn.canonical());
    info!(
        path = PATH,
        %client,
        method = "POST",
        arn = arn.as_deref(),
        username = %user.name,
        uid = %grant.uid(),
        groups = %Words(&user.groups),
        stsendpoint = %identity.sts_host,
        "access granted",
    );
    json(StatusCode::OK, grant.answer(version))
}

fn refuse(
    no: &No,
    arn: Option<&str>,
    client: SocketAddr,
    version: Version,
) -> (Outcome, Response<Bytes>) {
    let (outcome, told, error) = match no {
        No::Unconfigured => (
            Outcome::StsError,
            Told::Unavailable("no configuration has been loaded yet"),
            "no configuration has been loaded yet".to_owned(),
        ),
        No::Refused(refusal) => (Outcome::from(refusal), Told::from(refusal), refusal.to_string()),
        No::NotMapped => (
            Outcome::UnknownUser,
            Told::Denied("identity_not_mapped"),
            "identity is not mapped".to_owned(),
        ),
        No::Render(fault) => {
            (Outcome::UnknownUser, Told::Denied("username_not_allowed"), fault.to_string())
        }
        No::Ec2(fault) => {
            let told = match fault.meaning() {
                Meaning::Denied => Told::Denied("instance_not_accepted"),
                Meaning::Throttled => Told::TooMany("EC2 is asked too much"),
                Meaning::Undecided => Told::Unavailable("EC2 cannot be asked"),
            };
            (Outcome::UnknownUser, told, fault.to_string())
        }
    };
    match told {
        // Other authenticators' tokens come by here too; they are no event.
        Told::NotOurs => debug!(path = PATH, %client, method = "POST", error, "access denied"),
        Told::Denied(_) | Told::TooMany(_) | Told::Unavailable(_) => {
            warn!(path = PATH, %client, method = "POST", arn, error, "access denied");
        }
    }
    let status = StatusCode::from_u16(told.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (outcome, json(status, review::refusal(told, version)))
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn not_a_question() -> Response<Bytes> {
    let text = "expected a request body to be a TokenReview\n";
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A list as Go prints it, which is how readers of these logs know it: `[a b]`.
struct Words<'a>(&'a [Box<str>]);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0.join(" "))
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

const PATH: &str = "/authenticate";

#[cfg(test)]
mod tests;
