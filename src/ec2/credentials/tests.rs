use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_sts::config::{BehaviorVersion, Config, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

use super::*;

/// An STS that answers AssumeRole and keeps what it was sent.
#[derive(Clone, Debug, Default)]
struct Sts(Arc<std::sync::Mutex<Vec<(String, String)>>>);

impl HttpConnector for Sts {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers: Vec<String> =
            request.headers().iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let body = String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap();
        self.0.lock().unwrap().push((headers.join("\n"), body));
        let answer = "<AssumeRoleResponse><AssumeRoleResult><Credentials>\
             <AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>2026-01-02T04:04:05Z</Expiration>\
             </Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let status = 200_u16.try_into().unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(answer))))
    }
}

impl HttpClient for Sts {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

#[tokio::test]
async fn a_role_is_assumed_with_its_source_signed() {
    let sts = Sts::default();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "s", None, None, "test"))
        .http_client(sts.clone())
        .build();
    let source = "arn:aws:eks:us-west-2:123456789012:cluster/a".parse().unwrap();
    let role = "arn:aws:iam::123456789012:role/Describe";
    let client = aws_sdk_sts::Client::from_conf(config);
    let assumed = AssumedRole::new(client.clone(), role, Some(source));
    let credentials = assumed.provide_credentials().await.unwrap();
    assert_eq!(credentials.access_key_id(), "ASIAROLE");
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_326_645);
    assert_eq!(credentials.expiry(), Some(expires));

    let (headers, body) = sts.0.lock().unwrap().remove(0);
    assert!(headers.contains("x-amz-source-account: 123456789012"), "{headers}");
    let arn = "x-amz-source-arn: arn:aws:eks:us-west-2:123456789012:cluster/a";
    assert!(headers.contains(arn), "{headers}");
    let signed = headers.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
    assert!(signed.contains("x-amz-source-account;x-amz-source-arn"), "{signed}");
    for field in ["DurationSeconds=3600", "RoleSessionName=iamgate", "role%2FDescribe"] {
        assert!(body.contains(field), "{field} in {body}");
    }

    AssumedRole::new(client, role, None).provide_credentials().await.unwrap();
    let (headers, _) = sts.0.lock().unwrap().remove(0);
    assert!(!headers.contains("x-amz-source"), "{headers}");
}

#[test]
fn a_source_is_the_arn_of_a_resource() {
    let source: SourceArn = "arn:aws:eks:us-west-2:012345678901:cluster/a:b".parse().unwrap();
    assert_eq!(&*source.account, "012345678901");
    for text in [
        "",
        "x",
        "arn:aws:eks:us-west-2:123456789012",
        "arn:aws:eks:us-west-2:123456789012:",
        "arn:aws:s3:::bucket",
        "nra:aws:eks:us-west-2:123456789012:x",
        "arn:aws:eks:us-west-2:123456789012:a b",
        "arn:aws:eks:us-west-2:123456789012:a\r\nx: y",
    ] {
        assert_eq!(text.parse::<SourceArn>(), Err(SourceArnFault(text.into())), "{text:?}");
    }
}

/// A clock that is set from outside.
#[derive(Clone, Debug)]
struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// Counts, and gives credentials with this expiry.
#[derive(Debug)]
struct Counting(Arc<AtomicU64>, Option<u64>);

impl ProvideCredentials for Counting {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.fetch_add(1, Ordering::Relaxed);
        let expires = self.1.map(|secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs));
        let credentials = Credentials::new("AKIDEXAMPLE", "s", None, expires, "test");
        future::ProvideCredentials::ready(Ok(credentials))
    }
}

#[tokio::test]
async fn credentials_are_kept_until_shortly_before_they_expire() {
    for (expiry, steps) in [
        (Some(4_600), [(1_000, 1), (4_299, 1), (4_300, 2), (4_301, 3)]),
        (None, [(1_000, 1), (1_899, 1), (1_900, 2), (1_901, 2)]),
    ] {
        let (calls, now) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let provider = SharedCredentialsProvider::new(Counting(Arc::clone(&calls), expiry));
        let kept = Kept::new(provider, Hand(Arc::clone(&now)));
        for (moment, count) in steps {
            now.store(moment, Ordering::Relaxed);
            kept.credentials().await.unwrap();
            assert_eq!(calls.load(Ordering::Relaxed), count, "{expiry:?} {moment}");
        }
        let before = calls.load(Ordering::Relaxed);
        kept.forget().await;
        kept.credentials().await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), before + 1);
    }
}
