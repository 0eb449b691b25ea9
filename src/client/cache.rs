//! Expiring credentials kept between runs.
//!
//! There are two files, in one directory. Base credentials go to the file of
//! `aws-iam-authenticator`, in its layout and under its locks, so that both programs profit.
//! Credentials of an assumed role go to a file of our own, because that one has no room for what
//! tells two sessions of a role apart.
//!
//! Nothing here decides whether to cache, and no fault here is a reason to fail.

mod layout;
mod private_file;

use std::path::PathBuf;
use std::time::Duration;

use aws_credential_types::Credentials;

use self::layout::{Entry, Own, Shared};
pub(super) use self::private_file::CacheFault;
use self::private_file::PrivateFile;
use crate::clock::UnixTime;
use crate::identity::ClusterId;
use crate::system::Environment;

/// A place for one set of credentials.
#[derive(Debug)]
pub(super) struct Cache {
    file: PrivateFile,
    slot: Slot,
}

#[derive(Debug)]
enum Slot {
    Base { cluster: String, profile: String },
    Assumed(Assumed),
}

/// What tells assumed-role credentials apart.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(super) struct Assumed {
    pub(super) cluster: String,
    pub(super) profile: String,
    pub(super) role: String,
    pub(super) external_id: String,
    pub(super) session_name: String,
    pub(super) source: String,
}

impl Cache {
    /// The place of base credentials, in the file that is shared with `aws-iam-authenticator`.
    pub(super) fn shared(
        env: &impl Environment,
        cluster: &ClusterId,
        profile: &str,
    ) -> Result<Self, CacheFault> {
        let slot = Slot::Base { cluster: cluster.to_string(), profile: profile.to_owned() };
        Ok(Self { file: PrivateFile::locked_itself(path(env)?), slot })
    }

    /// The place of an assumed role's credentials.
    pub(super) fn assumed(env: &impl Environment, slot: Assumed) -> Result<Self, CacheFault> {
        let path = path(env)?.with_file_name("iamgate-credentials.yaml");
        Ok(Self { file: PrivateFile::locked_beside(path), slot: Slot::Assumed(slot) })
    }

    /// What is kept here and good for a minute more.
    ///
    /// # Errors
    /// The file cannot be trusted or read.
    pub(super) async fn find(&self, now: UnixTime) -> Result<Option<Credentials>, CacheFault> {
        let Some(text) = self.file.read().await? else {
            tracing::debug!("Cache file {} does not exist.", self.file.path().display());
            return Ok(None);
        };
        let unreadable = |why| self.file.unreadable(why);
        let soon = now.plus(MARGIN);
        match &self.slot {
            Slot::Base { cluster, profile } => {
                let content = Shared::parse(&text).map_err(unreadable)?;
                Ok(content.entry(cluster, profile).and_then(|entry| entry.credentials(soon)))
            }
            Slot::Assumed(slot) => {
                // Only we write this one: what is broken is written anew by the next store.
                let content = Own::parse(&text).unwrap_or_else(|why| {
                    tracing::warn!("unable to use cache: {}", unreadable(why));
                    Own::default()
                });
                Ok(content.entry(slot).and_then(|entry| entry.credentials(soon)))
            }
        }
    }

    /// Keeps `credentials` here, and drops what has expired elsewhere in the file.
    ///
    /// # Errors
    /// The file cannot be trusted, locked or written, or the shared one holds something else:
    /// the variable that names it may be wrong, so it is left as it is.
    pub(super) async fn store(
        &self,
        credentials: &Credentials,
        now: UnixTime,
    ) -> Result<(), CacheFault> {
        let entry = Entry::of(credentials);
        let update = |old: &str| match &self.slot {
            Slot::Base { cluster, profile } => {
                let mut content = Shared::parse(old)?;
                content.prune(now);
                content.put(cluster, profile, entry);
                content.text()
            }
            Slot::Assumed(slot) => {
                let mut content = Own::parse(old).unwrap_or_default();
                content.prune(now);
                content.put(slot.clone(), entry);
                content.text()
            }
        };
        self.file.update(update).await
    }
}

fn path(env: &impl Environment) -> Result<PathBuf, CacheFault> {
    if let Some(path) = env.var("AWS_IAM_AUTHENTICATOR_CACHE_FILE") {
        return Ok(path.into());
    }
    let home = env.var("HOME").map(PathBuf::from).ok_or(CacheFault::NoHome)?;
    Ok(home.join(".kube/cache/aws-iam-authenticator/credentials.yaml"))
}

/// What expires sooner counts as expired: it has to outlive the request that it signs.
const MARGIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
