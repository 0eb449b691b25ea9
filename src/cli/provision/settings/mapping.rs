//! A mapping as one word of a command line, and as an entry of a spec file.

use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::identity::Arn;

/// A mapping for a configuration file that is not there yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct MapEntry {
    pub(crate) arn: String,
    pub(crate) username: String,
    pub(crate) groups: Vec<String>,
}

impl FromStr for MapEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '=');
        let (Some(arn), Some(username)) = (parts.next(), parts.next()) else {
            return Err("expected ARN=USERNAME or ARN=USERNAME=GROUP,GROUP".to_owned());
        };
        let groups = parts.next().unwrap_or_default();
        let groups = groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned);
        Self { arn: arn.into(), username: username.into(), groups: groups.collect() }.checked()
    }
}

impl MapEntry {
    fn checked(self) -> Result<Self, String> {
        self.arn.parse::<Arn>().map_err(|fault| format!("{}: {fault}", self.arn))?;
        match self.username.is_empty() {
            true => Err(format!("{}: expected a user name", self.arn)),
            false => Ok(self),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    #[serde(rename = "roleARN")]
    arn: String,
    username: String,
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    #[serde(rename = "userARN")]
    arn: String,
    username: String,
    #[serde(default)]
    groups: Vec<String>,
}

pub(super) fn roles<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<MapEntry>, D::Error> {
    let roles = Option::<Vec<Role>>::deserialize(from)?.unwrap_or_default();
    let entries = roles.into_iter().map(|Role { arn, username, groups }| {
        MapEntry { arn, username, groups }.checked().map_err(serde::de::Error::custom)
    });
    entries.collect()
}

pub(super) fn users<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<MapEntry>, D::Error> {
    let users = Option::<Vec<User>>::deserialize(from)?.unwrap_or_default();
    let entries = users.into_iter().map(|User { arn, username, groups }| {
        MapEntry { arn, username, groups }.checked().map_err(serde::de::Error::custom)
    });
    entries.collect()
}
