use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use serde::{Deserialize, Serialize};

use super::Assumed;
use crate::clock::UnixTime;

/// The layout of `aws-iam-authenticator`: cluster, profile, role (always empty here), entry.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Shared {
    clusters: BTreeMap<String, BTreeMap<String, BTreeMap<String, Entry>>>,
}

/// Our own layout.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Own {
    entries: Vec<OwnEntry>,
}

#[derive(Deserialize, Serialize)]
struct OwnEntry {
    slot: Assumed,
    credentials: Entry,
}

/// One set of credentials. No `Debug`: most of it is secret.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Entry {
    accesskeyid: String,
    secretaccesskey: String,
    sessiontoken: String,
    source: String,
    canexpire: bool,
    expires: String,
    accountid: String,
}

impl Shared {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        read(text)
    }

    pub(super) fn text(&self) -> Result<String, String> {
        written(self)
    }

    pub(super) fn entry(&self, cluster: &str, profile: &str) -> Option<&Entry> {
        self.clusters.get(cluster)?.get(profile)?.get("")
    }

    pub(super) fn put(&mut self, cluster: &str, profile: &str, entry: Entry) {
        let profiles = self.clusters.entry(cluster.to_owned()).or_default();
        profiles.entry(profile.to_owned()).or_default().insert(String::new(), entry);
    }

    pub(super) fn prune(&mut self, now: UnixTime) {
        self.clusters.retain(|_, profiles| {
            profiles.retain(|_, roles| {
                roles.retain(|_, entry| !entry.has_expired(now));
                !roles.is_empty()
            });
            !profiles.is_empty()
        });
    }
}

impl Own {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        read(text)
    }

    pub(super) fn text(&self) -> Result<String, String> {
        written(self)
    }

    pub(super) fn entry(&self, slot: &Assumed) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.slot == *slot).map(|entry| &entry.credentials)
    }

    pub(super) fn put(&mut self, slot: Assumed, credentials: Entry) {
        self.entries.retain(|entry| entry.slot != slot);
        self.entries.push(OwnEntry { slot, credentials });
    }

    pub(super) fn prune(&mut self, now: UnixTime) {
        self.entries.retain(|entry| !entry.credentials.has_expired(now));
    }
}

impl Entry {
    pub(super) fn of(credentials: &Credentials) -> Self {
        let expires = credentials.expiry().and_then(|at| jiff::Timestamp::try_from(at).ok());
        Self {
            accesskeyid: credentials.access_key_id().to_owned(),
            secretaccesskey: credentials.secret_access_key().to_owned(),
            sessiontoken: credentials.session_token().unwrap_or_default().to_owned(),
            source: "iamgate".to_owned(),
            canexpire: expires.is_some(),
            expires: expires.map(|at| at.to_string()).unwrap_or_default(),
            accountid: credentials
                .account_id()
                .map(|id| id.as_str().to_owned())
                .unwrap_or_default(),
        }
    }

    /// The credentials, if they are complete and good beyond `at`. An entry that does not say
    /// that it expires is not one that never does.
    pub(super) fn credentials(&self, at: UnixTime) -> Option<Credentials> {
        let expires = self.expires().filter(|expires| *expires > at)?;
        if self.accesskeyid.is_empty() || self.secretaccesskey.is_empty() {
            return None;
        }
        let session = Some(self.sessiontoken.clone()).filter(|token| !token.is_empty());
        let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(expires.as_secs());
        Some(Credentials::new(
            &*self.accesskeyid,
            &*self.secretaccesskey,
            session,
            Some(expiry),
            "cache",
        ))
    }

    fn has_expired(&self, now: UnixTime) -> bool {
        self.expires().is_some_and(|expires| expires <= now)
    }

    fn expires(&self) -> Option<UnixTime> {
        let at: jiff::Timestamp = self.expires.parse().ok().filter(|_| self.canexpire)?;
        u64::try_from(at.as_second()).ok().map(UnixTime::from_secs)
    }
}

fn written(content: &impl Serialize) -> Result<String, String> {
    serde_saphyr::to_string(content).map_err(|_| "it cannot be written as YAML".to_owned())
}

/// The message tells the place and what was expected there, never the text.
fn read<T: for<'de> Deserialize<'de> + Default>(text: &str) -> Result<T, String> {
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_saphyr::from_str(text).map_err(|error| match error.location() {
        Some(place) => format!("it is not in the expected form at line {}", place.line()),
        None => "it is not in the expected form".to_owned(),
    })
}
