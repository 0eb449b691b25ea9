use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{Request, Uri};

use super::credentials::Kept;
use super::{Ec2, Ec2Fault, Reply};
use crate::clock::{Clock, UnixTime};
use crate::identity::Partition;

/// EC2's Query API: one signed `POST` at a time, with limits, no redirects and no retries.
#[derive(Debug)]
pub struct HttpsEc2<C> {
    client: reqwest::Client,
    endpoint: Endpoint,
    credentials: Kept<C>,
}

/// Where EC2 is asked, and for which region requests are signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    url: Uri,
    region: Box<str>,
}

/// Why there is no [`Endpoint`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EndpointFault {
    #[error("no AWS partition that this build knows has a region {0:?}")]
    Region(Box<str>),
    #[error("{0:?} is not the URL of a host")]
    Url(Box<str>),
}

impl Endpoint {
    /// EC2's own endpoint of `region`.
    ///
    /// # Errors
    /// No partition has such a region.
    pub fn of(region: &str) -> Result<Self, EndpointFault> {
        let owner = Partition::ALL.into_iter().find(|partition| partition.names_region(region));
        let owner = owner.ok_or_else(|| EndpointFault::Region(cut(region)))?;
        Self::at(&format!("https://ec2.{region}.{}/", owner.dns_suffix()), region)
    }

    /// Another endpoint that serves `region`, such as a VPC's or a test's.
    ///
    /// # Errors
    /// `url` has no scheme or host.
    pub fn at(url: &str, region: &str) -> Result<Self, EndpointFault> {
        let fault = || EndpointFault::Url(cut(url));
        let url: Uri = url.parse().map_err(|_| fault())?;
        match (url.scheme(), url.host()) {
            (Some(_), Some(_)) => Ok(Self { url, region: region.into() }),
            (None, _) | (_, None) => Err(fault()),
        }
    }
}

impl<C: Clock> HttpsEc2<C> {
    /// The longest answer: a hundred instances of some 5 KiB; where they have more network
    /// addresses, the batch is asked for in parts.
    pub const MAX_ANSWER: usize = 1024 * 1024;

    /// Asks at `endpoint` with what `credentials` provides. `client` brings TLS and proxies;
    /// redirects are switched off here, as the request carries credentials.
    ///
    /// # Errors
    /// The client cannot be built.
    pub fn new(
        client: reqwest::ClientBuilder,
        endpoint: Endpoint,
        credentials: SharedCredentialsProvider,
        clock: C,
    ) -> Result<Self, reqwest::Error> {
        let client = client
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT)
            .timeout(EXCHANGE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .user_agent(concat!("iamgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, endpoint, credentials: Kept::new(credentials, clock) })
    }

    async fn signed(&self, form: &str) -> Result<reqwest::Request, Ec2Fault> {
        let credentials = self.credentials.credentials().await?;
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.endpoint.region)
            .name("ec2")
            .time(moment(self.credentials.clock().now()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| Ec2Fault::Credentials)?
            .into();
        let url = self.endpoint.url.to_string();
        let headers = [("content-type", CONTENT_TYPE)].into_iter();
        let body = SignableBody::Bytes(form.as_bytes());
        let signable = SignableRequest::new("POST", &*url, headers, body);
        let signable = signable.map_err(|_| Ec2Fault::Credentials)?;
        let (instructions, _) =
            sign(signable, &params).map_err(|_| Ec2Fault::Credentials)?.into_parts();
        let mut request = Request::post(url)
            .header("content-type", CONTENT_TYPE)
            .body(form.to_owned())
            .map_err(|_| Ec2Fault::Credentials)?;
        instructions.apply_to_request_http1x(&mut request);
        request.try_into().map_err(|_| Ec2Fault::Credentials)
    }
}

impl<C: Clock + 'static> Ec2 for HttpsEc2<C> {
    async fn ask(&self, form: &str) -> Result<Reply, Ec2Fault> {
        let request = self.signed(form).await?;
        let mut answer = self.client.execute(request).await.map_err(|error| fault(&error))?;
        let status = answer.status().as_u16();
        if matches!(status, 401 | 403) {
            self.credentials.forget().await;
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| fault(&error))? {
            if body.len() + part.len() > Self::MAX_ANSWER {
                return Err(Ec2Fault::TooLarge);
            }
            body.extend_from_slice(&part);
        }
        Ok(Reply { status, body })
    }
}

fn fault(error: &reqwest::Error) -> Ec2Fault {
    if error.is_timeout() {
        Ec2Fault::Timeout
    } else if error.is_connect() {
        Ec2Fault::Connect
    } else {
        Ec2Fault::Broken
    }
}

fn moment(now: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs())
}

fn cut(text: &str) -> Box<str> {
    text.chars().take(80).collect()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.url, self.region)
    }
}

const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Within a region, a connection that takes longer will not come about.
const CONNECT: Duration = Duration::from_secs(2);

/// The whole exchange: within the 5 s that anyone waits.
const EXCHANGE: Duration = Duration::from_secs(4);

/// Calls are batched and rare; more would only cost memory.
const IDLE_CONNECTIONS: usize = 2;

#[cfg(test)]
mod tests;
