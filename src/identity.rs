//! Who is asking. Pure values: no I/O, no clock, no wire formats.

mod account;
mod arn;
mod caller;
mod cluster;
mod partition;

pub use self::account::{AccountError, AccountId};
pub use self::arn::{Arn, ArnError, ArnFault, Principal, Subject};
pub use self::caller::Identity;
pub use self::cluster::{ClusterId, ClusterIdError};
pub use self::partition::{Partition, PartitionError};
