//! Which path answers what, and the reading of a request's body.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, Stream, StreamExt};
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, StatusCode};
use tokio::time::{Instant, timeout};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::guests::{Guest, Held};
use super::limits::Quiet;
use super::{Authenticate, Certificate, Deadlines, Granted, Health, LimitsNow};
use crate::face::Face;
use crate::metrics::{self, Metrics};
use crate::review::{self, Outcome, Told, Version};

const PATH: &str = "/authenticate";
const JSON: &str = "application/json; charset=UTF-8";
/// What a body in pieces grows by.
const STEP: usize = 8 * 1024;
const PLAIN: &str = "text/plain; charset=utf-8";

/// What the routes need of the server.
pub(super) struct Routes<A> {
    pub(super) authenticate: Arc<A>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) certificate: Arc<Certificate>,
    pub(super) limits: LimitsNow,
    pub(super) deadlines: Deadlines,
    pub(super) refusals: Mutex<Quiet>,
}

/// A filter that answers requests; `Error` says whether it may pass on some.
pub(super) trait Answers<Error>:
    Filter<Extract = (Response,), Error = Error> + Clone + Send + Sync + 'static
{
}

impl<F, Error> Answers<Error> for F where
    F: Filter<Extract = (Response,), Error = Error> + Clone + Send + Sync + 'static
{
}

/// The webhook's port: reviews, health and metrics. The guest is an extension of the request.
pub(super) fn webhook<A: Authenticate>(
    routes: Arc<Routes<A>>,
) -> impl Answers<Infallible> + use<A> {
    let status = status(&routes);
    let reviews = exact(PATH)
        .and(warp::method())
        .and(warp::ext::get::<Arc<Guest>>())
        .and(warp::header::optional::<usize>("content-length"))
        .and(warp::body::stream())
        .then(move |method, guest, length, body| {
            let routes = Arc::clone(&routes);
            async move { routes.review(method, guest, length, body).await }
        });
    reviews.or(status).unify().or(warp::any().map(not_found)).unify()
}

/// The plain port: health and metrics. Under the reference's name every other path is healthy too,
/// as probes in the wild expect.
pub(super) fn health<A: Authenticate>(
    routes: &Routes<A>,
    face: Face,
) -> impl Answers<Infallible> + use<A> {
    status(routes)
        .or(warp::any().map(move || match face {
            Face::Own => not_found(),
            Face::Reference => plain(StatusCode::OK, "ok"),
        }))
        .unify()
}

fn status<A>(routes: &Routes<A>) -> impl Answers<Rejection> + use<A> {
    let metrics = Arc::clone(&routes.metrics);
    let health = Arc::clone(&routes.health);
    let certificate = Arc::clone(&routes.certificate);
    let scrape = move || {
        metrics.certificate_expires(certificate.not_after());
        let mut response = Response::new(metrics.scrape().into());
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
        response
    };
    let ready = move || {
        let (status, text) = health.ready();
        plain(status, text)
    };
    let alive = || plain(StatusCode::OK, "ok");
    exact("/healthz")
        .or(exact("/livez"))
        .unify()
        .map(alive)
        .or(exact("/readyz").map(ready))
        .unify()
        .or(exact("/metrics").map(scrape))
        .unify()
}

/// This path and no other spelling of it: no trailing slash, no escapes.
fn exact(path: &'static str) -> impl Filter<Extract = (), Error = Rejection> + Copy {
    warp::path::full()
        .and_then(move |full: FullPath| async move {
            if full.as_str() == path { Ok(()) } else { Err(warp::reject::not_found()) }
        })
        .untuple_one()
}

/// Why a request is no question that could be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Refused {
    Method,
    TooLong,
    Slow,
    Broken,
    Full,
}

impl<A: Authenticate> Routes<A> {
    async fn review<B: Buf, E>(
        &self,
        method: Method,
        guest: Arc<Guest>,
        length: Option<usize>,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Response {
        let started = Instant::now();
        if method != Method::POST {
            return self.refuse(Refused::Method, &guest, started);
        }
        let whole = read(body, length, (self.limits)().body, guest.bytes());
        let (body, _held) = match timeout(self.deadlines.body, whole).await {
            Ok(Ok(whole)) => whole,
            Ok(Err(refused)) => return self.refuse(refused, &guest, started),
            Err(_) => return self.refuse(Refused::Slow, &guest, started),
        };
        let _waiting = guest.wait();
        let asker = guest.asker();
        let client = asker.client;
        let answer = AssertUnwindSafe(async { self.authenticate.review(body, asker).await });
        match timeout(self.deadlines.review, answer.catch_unwind()).await {
            Ok(Ok(response)) => {
                if response.extensions().get::<Granted>().is_some() {
                    guest.recognize();
                }
                response.map(Into::into)
            }
            Ok(Err(_)) => {
                tracing::error!(path = PATH, %client, "a review panicked");
                self.metrics.reviewed(Outcome::StsError, started.elapsed());
                plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
            }
            Err(_) => {
                tracing::error!(path = PATH, %client, "a review took too long");
                self.metrics.reviewed(Outcome::StsError, started.elapsed());
                plain(StatusCode::GATEWAY_TIMEOUT, "no decision in time\n")
            }
        }
    }

    fn refuse(&self, refused: Refused, guest: &Guest, started: Instant) -> Response {
        let (status, text, result) = match refused {
            Refused::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "expected POST\n", Outcome::MalformedRequest)
            }
            Refused::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "expected a smaller request body\n",
                Outcome::MalformedRequest,
            ),
            Refused::Slow => (
                StatusCode::REQUEST_TIMEOUT,
                "expected the request body in time\n",
                Outcome::MalformedRequest,
            ),
            Refused::Broken => {
                (StatusCode::BAD_REQUEST, "expected a request body\n", Outcome::MalformedRequest)
            }
            Refused::Full => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests under way",
                Outcome::StsThrottling,
            ),
        };
        let told = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).tell();
        if let Some(more) = told {
            let (client, status) = (guest.client(), status.as_u16());
            let refused = text.trim_end();
            tracing::warn!(path = PATH, %client, status, refused, more, "refused a request");
        }
        self.metrics.reviewed(result, started.elapsed());
        match refused {
            Refused::Full => full(text),
            Refused::Method | Refused::TooLong | Refused::Slow | Refused::Broken => {
                plain(status, text)
            }
        }
    }
}

/// The whole body of at most `limit` bytes, with or without a declared `length`.
async fn read<B: Buf, E>(
    body: impl Stream<Item = Result<B, E>>,
    length: Option<usize>,
    limit: usize,
    mut held: Held,
) -> Result<(Bytes, Held), Refused> {
    if length.is_some_and(|length| length > limit) {
        return Err(Refused::TooLong);
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut more = Vec::new();
    while let Some(piece) = body.next().await {
        let mut piece = piece.map_err(|_| Refused::Broken)?;
        let bytes = piece.remaining();
        if first.len() + more.len() + bytes > limit {
            return Err(Refused::TooLong);
        }
        held.grow(bytes).map_err(|_| Refused::Full)?;
        let piece = piece.copy_to_bytes(bytes);
        // Most bodies come in one piece, which is not copied.
        if first.is_empty() && more.is_empty() {
            first = piece;
        } else {
            let all = first.len() + more.len() + bytes;
            if more.capacity() < all {
                // In steps: what grows by doubling takes up to twice of what was counted.
                more.reserve_exact(all.next_multiple_of(STEP) - more.len());
            }
            more.extend_from_slice(&std::mem::take(&mut first));
            more.extend_from_slice(&piece);
        }
    }
    Ok((if more.is_empty() { first } else { more.into() }, held))
}

fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// No decision, in the form that shows in the API server's log.
fn full(message: &'static str) -> Response {
    let told = Told::TooMany(message);
    let mut response = Response::new(review::refusal(told, Version::V1).into());
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(text.into().into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
