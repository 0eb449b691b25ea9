//! `iamgate verify`: who is behind a token. Prints no part of it that could be used.

use std::io::{self, Write};

use serde::Serialize;

use crate::clock::Clock;
use crate::config::StsSettings;
use crate::identity::Identity;
use crate::outcome::Failure;
use crate::secret::Secret;
use crate::sts::{self, HttpsSts};
use crate::token::{Acceptance, Denial, Refusal, Verifier};

/// Flags of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The token to verify
    #[arg(long, short)]
    pub(crate) token: Option<String>,
    /// json, or anything else for text
    #[arg(long, short)]
    pub(crate) output: Option<String>,
    /// The AWS partition that the token must belong to [default: aws]
    #[arg(long)]
    pub(crate) partition: Option<String>,
    #[arg(hide = true)]
    _surplus: Vec<String>,
}

/// What is verified, and by what.
#[derive(Debug)]
pub(crate) struct Verification {
    pub(super) token: Secret,
    pub(super) output: Option<Box<str>>,
    pub(super) accept: Acceptance,
    pub(super) sts: StsSettings,
}

pub(crate) async fn run(
    verification: Verification,
    clock: impl Clock,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let Verification { token, output, accept, sts } = verification;
    let StsSettings { connect_to, ca_file, timeout } = sts;
    let sts = HttpsSts::new(sts::Config { connect_to, ca_file, timeout })?;
    let caller = Verifier::new(sts, clock).verify(&token, &accept).await.map_err(told)?;
    let report = Report::of(caller.identity());
    match output.as_deref() {
        Some("json") => report.json(out)?,
        Some(_) | None => report.text(out)?,
    }
    Ok(())
}

fn told(refusal: Refusal) -> Failure {
    let failure = Failure::from(format!("could not verify token: {refusal}"));
    match refusal {
        Refusal::Denied(Denial::BadSignature) => {
            failure.hint("compare --cluster-id with the one that the token was made for")
        }
        Refusal::Unavailable(_) => failure.hint("check that this host reaches STS of that region"),
        Refusal::Stale(_) => failure.hint("make a new token, and compare the clocks"),
        Refusal::Malformed(_)
        | Refusal::Denied(_)
        | Refusal::Throttled
        | Refusal::Busy
        | Refusal::Unreadable(_) => failure,
    }
}

/// The reference's members, in its order.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(rename = "ARN")]
    arn: &'a str,
    #[serde(rename = "CanonicalARN")]
    canonical_arn: Box<str>,
    #[serde(rename = "AccountID")]
    account_id: &'a str,
    #[serde(rename = "UserID")]
    user_id: &'a str,
    #[serde(rename = "SessionName")]
    session_name: &'a str,
    #[serde(rename = "AccessKeyID")]
    access_key_id: &'a str,
    #[serde(rename = "STSEndpoint")]
    sts_endpoint: &'a str,
}

impl<'a> Report<'a> {
    fn of(identity: &'a Identity) -> Self {
        Self {
            arn: identity.arn.as_str(),
            canonical_arn: identity.arn.canonical(),
            account_id: identity.account.as_str(),
            user_id: &identity.user_id,
            session_name: &identity.session_name,
            access_key_id: &identity.access_key_id,
            sts_endpoint: &identity.sts_host,
        }
    }

    fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut text = serde_json::Serializer::with_formatter(&mut *out, indent);
        self.serialize(&mut text)?;
        writeln!(out)
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { arn, canonical_arn, account_id, user_id, .. } = self;
        let Self { session_name, access_key_id, sts_endpoint, .. } = self;
        writeln!(
            out,
            "&{{ARN:{arn} CanonicalARN:{canonical_arn} AccountID:{account_id} UserID:{user_id} \
             SessionName:{session_name} AccessKeyID:{access_key_id} STSEndpoint:{sts_endpoint}}}",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Arn;

    #[test]
    fn both_forms_are_the_references() {
        let arn: Arn = "arn:aws:sts::123456789012:assumed-role/Admin/ann".parse().unwrap();
        let identity = Identity {
            account: arn.account(),
            arn,
            user_id: "AROAEXAMPLE".into(),
            session_name: "ann".into(),
            access_key_id: "ASIAIOSFODNN7EXAMPLE".into(),
            sts_host: "sts.us-west-2.amazonaws.com".into(),
        };
        let (mut text, mut json) = (Vec::new(), Vec::new());
        Report::of(&identity).text(&mut text).unwrap();
        Report::of(&identity).json(&mut json).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "&{ARN:arn:aws:sts::123456789012:assumed-role/Admin/ann \
             CanonicalARN:arn:aws:iam::123456789012:role/Admin AccountID:123456789012 \
             UserID:AROAEXAMPLE SessionName:ann AccessKeyID:ASIAIOSFODNN7EXAMPLE \
             STSEndpoint:sts.us-west-2.amazonaws.com}\n",
        );
        let json = String::from_utf8(json).unwrap();
        assert!(json.starts_with("{\n    \"ARN\": \"arn:aws:sts::"), "{json}");
        assert!(json.ends_with("\"STSEndpoint\": \"sts.us-west-2.amazonaws.com\"\n}\n"), "{json}");
    }
}
