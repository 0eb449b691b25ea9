//! The private DNS names of EC2 instances, for `{{EC2PrivateDNSName}}`.
//!
//! [`PrivateDnsNames`] is the front: it caches, coalesces, batches and paces. [`HttpsEc2`] is the
//! network: one signed `DescribeInstances` of the EC2 Query API at a time.
//!
//! A session's name is chosen by whoever assumes the role, so the instance has to be of the
//! caller's own account, and running. That the role is the one of the instance's profile is not
//! checked: it takes a call to IAM that the reference's permissions do not include.

mod cache;
mod credentials;
mod describe;
mod https;
mod names;
mod pace;

pub use self::credentials::{AssumedRole, SourceArn, SourceArnFault};
pub use self::https::{Endpoint, EndpointFault, HttpsEc2};
pub use self::names::PrivateDnsNames;
pub use self::pace::Pace;

use crate::identity::AccountId;
use crate::mapping::InstanceId;

/// Tells the private DNS names of instances.
pub trait PrivateDns: Send + Sync {
    /// The name of `instance`, which must be a running one of `account`. Never empty.
    fn lookup(
        &self,
        instance: &InstanceId,
        account: AccountId,
    ) -> impl Future<Output = Result<Box<str>, Ec2Fault>> + Send;
}

/// EC2, at bytes, so that a test with a scripted EC2 runs all our code.
pub trait Ec2: Send + Sync + 'static {
    /// Sends a form of the Query API and hands back what came, whatever its status.
    fn ask(&self, form: &str) -> impl Future<Output = Result<Reply, Ec2Fault>> + Send;
}

/// What EC2 answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, already cut to a size limit.
    pub body: Vec<u8>,
}

/// Why there is no name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Ec2Fault {
    #[error("the instance belongs to another account")]
    OtherAccount,
    #[error("EC2 knows no such instance")]
    NoSuchInstance,
    #[error("the instance is not running")]
    NotRunning,
    #[error("the instance has no private DNS name")]
    NoName,
    #[error("EC2 is throttling us")]
    Throttled,
    #[error("too many instances are being looked up")]
    Busy,
    #[error("EC2 does not let us describe instances")]
    Forbidden,
    #[error("there are no AWS credentials to ask EC2 with")]
    Credentials,
    #[error("EC2 cannot be reached")]
    Connect,
    #[error("EC2 did not answer in time")]
    Timeout,
    #[error("the answer of EC2 broke off")]
    Broken,
    #[error("the answer of EC2 is larger than it can be")]
    TooLarge,
    #[error("the answer of EC2 cannot be read")]
    Unreadable,
    #[error("EC2 answered with status {0}")]
    Status(u16),
}

/// What a fault means for the caller who is waiting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Meaning {
    /// The caller is not what it says: a denial.
    Denied,
    /// Too much at once: ask again.
    Throttled,
    /// It could not be found out: ask again.
    Undecided,
}

impl Ec2Fault {
    /// What it means for the caller who is waiting.
    pub fn meaning(self) -> Meaning {
        match self {
            Self::OtherAccount | Self::NoSuchInstance | Self::NotRunning | Self::NoName => {
                Meaning::Denied
            }
            Self::Throttled | Self::Busy => Meaning::Throttled,
            Self::Forbidden
            | Self::Credentials
            | Self::Connect
            | Self::Timeout
            | Self::Broken
            | Self::TooLarge
            | Self::Unreadable
            | Self::Status(_) => Meaning::Undecided,
        }
    }
}
