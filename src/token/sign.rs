use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as AwsCredentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign as presign,
};
use aws_sigv4::sign::v4;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::wire::{self, Fields};
use super::{HostFault, HostPolicy, StsHost};
use crate::clock::UnixTime;
use crate::identity::{ClusterId, Partition};
use crate::secret::Secret;

/// AWS credentials that can sign.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The access key id (`AKIA...`, `ASIA...`). Not a secret.
    pub access_key_id: Box<str>,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// The STS endpoint that a token names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    host: StsHost,
    region: Box<str>,
}

/// A token and the moment after which it should not be used.
#[derive(Clone, Debug)]
pub struct Token {
    /// The bearer token.
    pub text: Secret,
    /// 14 minutes after signing: the 15 that AWS gives, less one for clocks and travel.
    pub expires: UnixTime,
}

/// Why a token cannot be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SignError {
    #[error("no AWS partition that this build knows has a region {0:?}")]
    Region(Box<str>),
    #[error("no STS endpoint for region {region:?}: {fault}")]
    Endpoint { region: Box<str>, fault: HostFault },
    #[error("the credentials or the time cannot be signed with")]
    Signing,
}

impl Endpoint {
    /// The endpoint that AWS SDKs choose for `region`, with the `FIPS` and dual-stack variants of
    /// the shared configuration. `aws-global` is the global endpoint.
    ///
    /// # Errors
    /// No partition has such a region, or the partition lacks the variant.
    pub fn of(region: &str, fips: bool, dual_stack: bool) -> Result<Self, SignError> {
        if region == "aws-global" {
            return Self::at("sts.amazonaws.com", "us-east-1", Partition::Aws);
        }
        let owner = Partition::ALL.into_iter().find(|partition| partition.names_region(region));
        let partition = owner.ok_or_else(|| SignError::Region(cut(region)))?;
        let suffix = match dual_stack {
            true => partition.dual_stack_suffix().unwrap_or("no-dual-stack.invalid"),
            false => partition.dns_suffix(),
        };
        // GovCloud's regional hosts are its FIPS hosts.
        let own_name = fips && (dual_stack || partition != Partition::AwsUsGov);
        let service = if own_name { "sts-fips" } else { "sts" };
        Self::at(&format!("{service}.{region}.{suffix}"), region, partition)
    }

    fn at(host: &str, region: &str, partition: Partition) -> Result<Self, SignError> {
        let judged = HostPolicy::new(partition).judge(host);
        let host = judged.map_err(|fault| SignError::Endpoint { region: cut(region), fault })?;
        Ok(Self { host, region: region.into() })
    }

    /// The host name.
    pub fn host(&self) -> &str {
        self.host.as_str()
    }
}

/// Makes a token for `cluster_id`, signed at `now`.
///
/// Source of the form: AWS General Reference, "Signature Version 4", query string; the header
/// `x-k8s-aws-id` binds it to the cluster. The signature is aws-sigv4's.
///
/// # Errors
/// [`SignError::Signing`]; nothing in ordinary credentials leads to it.
pub fn sign(
    credentials: &Credentials,
    endpoint: &Endpoint,
    cluster_id: &ClusterId,
    now: UnixTime,
) -> Result<Token, SignError> {
    let identity = AwsCredentials::new(
        &*credentials.access_key_id,
        credentials.secret_access_key.expose(),
        credentials.session_token.as_ref().map(|token| token.expose().to_owned()),
        None,
        "iamgate",
    )
    .into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(EXPIRES);
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&endpoint.region)
        .name("sts")
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs()))
        .settings(settings)
        .build()
        .map_err(|_| SignError::Signing)?
        .into();
    let url = format!("https://{}/?Action=GetCallerIdentity&Version=2011-06-15", endpoint.host());
    let headers = [("host", endpoint.host()), ("x-k8s-aws-id", cluster_id.as_str())];
    let request = SignableRequest::new("GET", &url, headers.into_iter(), SignableBody::Bytes(&[]))
        .map_err(|_| SignError::Signing)?;
    let (_, signature) = presign(request, &params).map_err(|_| SignError::Signing)?.into_parts();
    let fields = Fields {
        host: endpoint.host.clone(),
        access_key_id: credentials.access_key_id.clone(),
        region: endpoint.region.clone(),
        date: amz_date(now)?,
        signed_at: now,
        expires: 60,
        session_token: credentials.session_token.as_ref().map(encoded),
        signature: Secret::new(signature),
    };
    let target = wire::target(&fields);
    let text = wire::wrap(&format!("https://{}{}", endpoint.host(), target.expose()));
    Ok(Token { text, expires: now.plus(LIFETIME) })
}

fn encoded(token: &Secret) -> Secret {
    Secret::new(utf8_percent_encode(token.expose(), RESERVED).to_string())
}

fn amz_date(now: UnixTime) -> Result<Box<str>, SignError> {
    let text: String = now.rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    if text.len() == 16 { Ok(text.into()) } else { Err(SignError::Signing) }
}

fn cut(text: &str) -> Box<str> {
    text.chars().take(40).collect()
}

/// STS ignores it; servers of the reference up to 0.3.0 do not.
const EXPIRES: Duration = Duration::from_secs(60);
const LIFETIME: Duration = Duration::from_secs(14 * 60);
/// All but RFC 3986's unreserved characters.
pub(super) const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
