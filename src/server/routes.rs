//! Which path answers what, and the reading of a request's body.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt};
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, StatusCode};
use tokio::time::{Instant, timeout};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::limits::{Bodies, Share};
use super::{Authenticate, Certificate, Deadlines, Health, LimitsNow};
use crate::face::Face;
use crate::metrics::{self, Metrics};
use crate::review::Outcome;

const PLAIN: &str = "text/plain; charset=utf-8";

/// What the routes need of the server.
pub(super) struct Routes<A> {
    pub(super) authenticate: Arc<A>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) certificate: Arc<Certificate>,
    pub(super) limits: LimitsNow,
    pub(super) deadlines: Deadlines,
    pub(super) bodies: Bodies,
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

/// The webhook's port: reviews, health and metrics. The peer's address is an extension of the
/// request.
pub(super) fn webhook<A: Authenticate>(
    routes: Arc<Routes<A>>,
) -> impl Answers<Infallible> + use<A> {
    let status = status(&routes);
    let reviews = exact("/authenticate")
        .and(warp::method())
        .and(warp::ext::get::<SocketAddr>())
        .and(warp::header::optional::<usize>("content-length"))
        .and(warp::body::stream())
        .then(move |method, client, length, body| {
            let routes = Arc::clone(&routes);
            async move { routes.review(method, client, length, body).await }
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
        let mut response = Response::new(metrics.encode().into());
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

/// Why there is no whole body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum BodyFault {
    TooLong,
    Slow,
    Full,
    Broken,
}

impl<A: Authenticate> Routes<A> {
    async fn review<B: Buf, E>(
        &self,
        method: Method,
        client: SocketAddr,
        length: Option<usize>,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Response {
        let started = Instant::now();
        if method != Method::POST {
            tracing::error!(path = "/authenticate", %client, %method, "unexpected request method");
            self.metrics.reviewed(Outcome::MalformedRequest, started.elapsed());
            return plain(StatusCode::METHOD_NOT_ALLOWED, "expected POST\n");
        }
        let limit = (self.limits)().body;
        let whole = read(body, length, limit, self.bodies.share());
        let (body, _held) = match timeout(self.deadlines.body, whole).await {
            Ok(Ok(whole)) => whole,
            Ok(Err(fault)) => return self.refuse(fault, limit, client, started),
            Err(_) => return self.refuse(BodyFault::Slow, limit, client, started),
        };
        let answer = AssertUnwindSafe(async { self.authenticate.review(body, client).await });
        match timeout(self.deadlines.review, answer.catch_unwind()).await {
            Ok(Ok(response)) => response.map(Into::into),
            Ok(Err(_)) => {
                tracing::error!(path = "/authenticate", %client, "a review panicked");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
            }
            Err(_) => {
                tracing::error!(path = "/authenticate", %client, "a review took too long");
                self.metrics.reviewed(Outcome::StsError, started.elapsed());
                plain(StatusCode::GATEWAY_TIMEOUT, "no decision in time\n")
            }
        }
    }

    fn refuse(
        &self,
        fault: BodyFault,
        limit: usize,
        client: SocketAddr,
        started: Instant,
    ) -> Response {
        let (status, text, result) = match fault {
            BodyFault::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "expected a smaller request body\n",
                Outcome::MalformedRequest,
            ),
            BodyFault::Slow => (
                StatusCode::REQUEST_TIMEOUT,
                "expected the request body in time\n",
                Outcome::MalformedRequest,
            ),
            BodyFault::Broken => {
                (StatusCode::BAD_REQUEST, "expected a request body\n", Outcome::MalformedRequest)
            }
            BodyFault::Full => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests under way\n",
                Outcome::StsThrottling,
            ),
        };
        tracing::warn!(
            path = "/authenticate",
            %client,
            status = status.as_u16(),
            limit,
            "could not read the request body"
        );
        self.metrics.reviewed(result, started.elapsed());
        plain(status, text)
    }
}

/// The whole body of at most `limit` bytes, with or without a declared `length`.
async fn read<B: Buf, E>(
    body: impl Stream<Item = Result<B, E>>,
    length: Option<usize>,
    limit: usize,
    mut share: Share,
) -> Result<(Bytes, Share), BodyFault> {
    if length.is_some_and(|length| length > limit) {
        return Err(BodyFault::TooLong);
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(piece) = body.next().await {
        let mut piece = piece.map_err(|_| BodyFault::Broken)?;
        let bytes = piece.remaining();
        if first.len() + more.len() + bytes > limit {
            return Err(BodyFault::TooLong);
        }
        share.grow(bytes).map_err(|_| BodyFault::Full)?;
        let piece = piece.copy_to_bytes(bytes);
        // Most bodies come in one piece, which is not copied.
        if first.is_empty() && more.is_empty() {
            first = piece;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&piece);
        }
    }
    Ok((if more.is_empty() { first } else { more.freeze() }, share))
}

fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(text.into().into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
