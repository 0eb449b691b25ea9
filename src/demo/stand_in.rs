//! A stand-in for STS on loopback, for machines without an AWS account. It answers
//! `GetCallerIdentity` over TLS and refuses what STS refuses: it knows each key's secret, signs the
//! request anew with the cluster ID that came in the header, and compares.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::certificates::Leaf;
use crate::clock::{Clock, SystemClock, UnixTime};
use crate::identity::{Arn, ClusterId};
use crate::outcome::Failure;
use crate::token::{Credentials, Endpoint, PREFIX, sign};

/// Someone whom the stand-in knows.
#[derive(Clone)]
pub(super) struct Principal {
    pub(super) credentials: Credentials,
    pub(super) arn: Arn,
    pub(super) user_id: &'static str,
}

/// Listens on a free loopback port and answers until the runtime ends.
pub(super) async fn start(
    leaf: &Leaf,
    endpoint: Endpoint,
    principals: Vec<Principal>,
) -> Result<SocketAddr, Failure> {
    let chain = vec![CertificateDer::from_pem_slice(leaf.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let stand_in = Arc::new(StandIn { endpoint, principals });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, stand_in) = (acceptor.clone(), Arc::clone(&stand_in));
            tokio::spawn(async move {
                let Ok(()) = stream.set_nodelay(true) else { return };
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request: Request<Incoming>| {
                    let response = stand_in.answer(&request, SystemClock.now());
                    async move { Ok::<_, std::convert::Infallible>(response) }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                drop(served);
            });
        }
    });
    Ok(address)
}

struct StandIn {
    endpoint: Endpoint,
    principals: Vec<Principal>,
}

impl StandIn {
    fn answer<B>(&self, request: &Request<B>, now: UnixTime) -> Response<Full<Bytes>> {
        let (status, body) = match self.judge(request, now) {
            Ok(principal) => (StatusCode::OK, told(principal)),
            Err(code) => {
                let error = json!({"Code": code, "Message": code, "Type": "Sender"});
                (StatusCode::FORBIDDEN, json!({"Error": error, "RequestId": "demo"}))
            }
        };
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    fn judge<B>(&self, request: &Request<B>, now: UnixTime) -> Result<&Principal, &'static str> {
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        if header(HOST.as_str()) != Some(self.endpoint.host()) {
            return Err("SignatureDoesNotMatch");
        }
        let value = |name: &str| {
            let mut pairs = target.split(['?', '&']).filter_map(|pair| pair.split_once('='));
            pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let key = value("X-Amz-Credential").and_then(|scope| scope.split("%2F").next());
        let known = self.principals.iter().find(|one| Some(&*one.credentials.access_key_id) == key);
        let principal = known.ok_or("InvalidClientTokenId")?;
        let signed_at = value("X-Amz-Date").and_then(moment).ok_or("IncompleteSignature")?;
        if now.since(signed_at).is_ok_and(|age| age.as_secs() > 15 * 60) {
            return Err("ExpiredToken");
        }
        let cluster_id: Option<ClusterId> = header("x-k8s-aws-id").and_then(|id| id.parse().ok());
        let cluster_id = cluster_id.ok_or("SignatureDoesNotMatch")?;
        let token = sign(&principal.credentials, &self.endpoint, &cluster_id, signed_at)
            .map_err(|_| "IncompleteSignature")?;
        let own = token.text.expose().strip_prefix(PREFIX).unwrap_or_default();
        let own = URL_SAFE_NO_PAD.decode(own).unwrap_or_default();
        let came = format!("https://{}{target}", self.endpoint.host());
        if own == came.as_bytes() { Ok(principal) } else { Err("SignatureDoesNotMatch") }
    }
}

fn told(principal: &Principal) -> Value {
    let result = json!({
        "Account": principal.arn.account().as_str(),
        "Arn": principal.arn.as_str(),
        "UserId": principal.user_id,
    });
    let metadata = json!({"RequestId": "demo"});
    json!({"GetCallerIdentityResponse": {
        "GetCallerIdentityResult": result, "ResponseMetadata": metadata,
    }})
}

fn moment(text: &str) -> Option<UnixTime> {
    let moment = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let stamp = jiff::tz::Offset::UTC.to_timestamp(moment).ok()?;
    u64::try_from(stamp.as_second()).ok().map(UnixTime::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn stand_in() -> StandIn {
        let credentials = Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        let arn = "arn:aws:iam::123456789012:user/ann".parse().unwrap();
        let endpoint = Endpoint::of("us-west-2", false, false).unwrap();
        StandIn { endpoint, principals: vec![Principal { credentials, arn, user_id: "AIDA" }] }
    }

    fn judge(
        spoil: impl Fn(String) -> String,
        cluster_id: &str,
        later: u64,
    ) -> Result<(), &'static str> {
        let stand_in = stand_in();
        let signed_at = UnixTime::from_secs(1_767_323_045);
        let of = "test-cluster".parse().unwrap();
        let credentials = &stand_in.principals[0].credentials;
        let token = sign(credentials, &stand_in.endpoint, &of, signed_at).unwrap();
        let url =
            URL_SAFE_NO_PAD.decode(token.text.expose().strip_prefix(PREFIX).unwrap()).unwrap();
        let url = spoil(String::from_utf8(url).unwrap());
        let target = url.strip_prefix("https://sts.us-west-2.amazonaws.com").unwrap();
        let request = Request::get(target)
            .header("host", "sts.us-west-2.amazonaws.com")
            .header("x-k8s-aws-id", cluster_id)
            .body(())
            .unwrap();
        let now = UnixTime::from_secs(signed_at.as_secs() + later);
        stand_in.judge(&request, now).map(|_| ())
    }

    #[test]
    fn it_refuses_what_sts_refuses() {
        let same = |url: String| url;
        assert_eq!(judge(same, "test-cluster", 0), Ok(()));
        assert_eq!(judge(same, "other-cluster", 0), Err("SignatureDoesNotMatch"));
        assert_eq!(judge(same, "test-cluster", 901), Err("ExpiredToken"));
        let other_key = |url: String| url.replace("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLF");
        assert_eq!(judge(other_key, "test-cluster", 0), Err("InvalidClientTokenId"));
        let longer = |url: String| url.replace("Expires=60", "Expires=900");
        assert_eq!(judge(longer, "test-cluster", 0), Err("SignatureDoesNotMatch"));
    }
}
