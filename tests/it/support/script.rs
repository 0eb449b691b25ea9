//! An STS that answers from a list, and fails the test when it is asked too often or too seldom.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use iamgate::token::{Reply, Sts, StsRequest, StsUnavailable};

/// The questions that were asked: host, target, cluster id.
pub(crate) type Asked = Vec<(String, String, String)>;

#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<(Answers, Asked)>>);

type Answers = VecDeque<Result<Reply, StsUnavailable>>;

impl Script {
    pub(crate) fn new(replies: impl IntoIterator<Item = Result<Reply, StsUnavailable>>) -> Self {
        Self(Arc::new(Mutex::new((replies.into_iter().collect(), Vec::new()))))
    }

    /// How often STS was asked so far.
    pub(crate) fn asked(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    /// The questions so far; fails where an answer is left over.
    #[track_caller]
    pub(crate) fn finish(&self) -> Asked {
        let (left, asked) = &*self.0.lock().unwrap();
        assert!(left.is_empty(), "STS was asked {} times too seldom", left.len());
        asked.clone()
    }
}

impl Sts for Script {
    async fn ask(&self, request: &StsRequest<'_>) -> Result<Reply, StsUnavailable> {
        let mut script = self.0.lock().unwrap();
        let asked = (
            request.host.as_str().to_owned(),
            request.target.expose().to_owned(),
            request.cluster_id.as_str().to_owned(),
        );
        script.1.push(asked);
        script.0.pop_front().expect("STS was asked once too often")
    }
}

/// An answer with a JSON content type.
pub(crate) fn json(status: u16, body: impl Into<Vec<u8>>) -> Result<Reply, StsUnavailable> {
    Ok(Reply { status, json: true, body: body.into() })
}

/// An answer of another type.
pub(crate) fn other(status: u16, body: impl Into<Vec<u8>>) -> Result<Reply, StsUnavailable> {
    Ok(Reply { status, json: false, body: body.into() })
}

/// STS's answer about `arn`.
pub(crate) fn identity(account: &str, arn: &str, user_id: &str) -> String {
    format!(
        r#"{{"GetCallerIdentityResponse":{{"GetCallerIdentityResult":{{"Account":"{account}","Arn":"{arn}","UserId":"{user_id}"}},"ResponseMetadata":{{"RequestId":"r-1"}}}}}}"#
    )
}

/// STS's refusal with an error code.
pub(crate) fn error(code: &str) -> String {
    format!(r#"{{"Error":{{"Code":"{code}","Message":"m","Type":"Sender"}},"RequestId":"r-1"}}"#)
}
