//! What a host should be, as flags and as a spec file: one definition of each setting.
//!
//! A spec file is YAML or JSON, `schema: iamgate/v1`, its keys the flags' names in camel case, but
//! for the mappings, which are called as in the configuration file. A flag wins over the file. The JSON Schema is made from the flags' own definitions.

mod mapping;
mod schema;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Deserializer};

pub(super) use self::mapping::MapEntry;
pub(crate) use self::schema::schema;
use crate::provision::certificates::Name;
use crate::provision::host::NodePath;
use crate::provision::render::{EnvVar, Image, Memory};
use crate::provision::request::{ApiServer, Part, Ttl, WebhookVersion, Workload};

/// What a host should be. Every field is a flag, and a key of the spec file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Says which version of this file it is: iamgate/v1
    #[arg(skip)]
    pub(super) schema: Option<String>,
    /// The cluster that tokens are for
    #[arg(skip)]
    #[serde(rename = "clusterID")]
    pub(super) cluster_id: Option<String>,
    /// The server's configuration file
    #[arg(skip)]
    pub(super) config: Option<NodePath>,
    /// A role of a configuration file that is not there yet: ARN=USERNAME=GROUP,GROUP
    #[arg(long, value_name = "MAPPING", help_heading = MAPPINGS)]
    #[serde(rename = "mapRoles", deserialize_with = "mapping::roles")]
    pub(super) map_role: Vec<MapEntry>,
    /// A user of such a file: ARN=USERNAME=GROUP,GROUP
    #[arg(long, value_name = "MAPPING", help_heading = MAPPINGS)]
    #[serde(rename = "mapUsers", deserialize_with = "mapping::users")]
    pub(super) map_user: Vec<MapEntry>,
    /// The AWS partition of such a file [default: aws]
    #[arg(long, value_name = "NAME", help_heading = MAPPINGS)]
    pub(super) partition: Option<String>,
    /// Refuse a configuration file with unknown keys or entries that are there twice
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::super::flags::boolean, value_name = "BOOL", help_heading = MAPPINGS)]
    pub(super) strict: Option<bool>,
    /// How the authenticator runs [default: static-pod]
    #[arg(long, value_name = "KIND", help_heading = WORKLOAD)]
    pub(super) workload: Option<Workload>,
    /// Image that carries iamgate, instead of the host's own binary
    #[arg(long, value_name = "REF", value_parser = parse::<Image>, help_heading = WORKLOAD)]
    #[serde(deserialize_with = "parsed")]
    pub(super) image: Option<Image>,
    /// Image in whose container the host's binary runs [default: the API server's]
    #[arg(long, value_name = "REF", value_parser = parse::<Image>, help_heading = WORKLOAD)]
    #[serde(deserialize_with = "parsed")]
    pub(super) base_image: Option<Image>,
    /// Environment of the authenticator, such as HTTPS_PROXY=http://proxy:3128
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::<EnvVar>, help_heading = WORKLOAD)]
    #[serde(deserialize_with = "all_parsed")]
    pub(super) env: Vec<EnvVar>,
    /// Its limit of memory [default: 20Mi]
    #[arg(long, value_name = "SIZE", value_parser = parse::<Memory>, help_heading = WORKLOAD)]
    #[serde(deserialize_with = "parsed")]
    pub(super) memory_limit: Option<Memory>,
    /// The user that the authenticator runs as; never root [default: 10000]
    #[arg(long, value_name = "UID", value_parser = clap::value_parser!(u32).range(1..), help_heading = WORKLOAD)]
    pub(super) server_uid: Option<u32>,
    /// Its group [default: 10000]
    #[arg(long, value_name = "GID", value_parser = clap::value_parser!(u32).range(1..), help_heading = WORKLOAD)]
    pub(super) server_gid: Option<u32>,
    /// The reference may hold our port: it is stopped by whoever runs it, as the report says
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::super::flags::boolean, value_name = "BOOL", help_heading = WORKLOAD)]
    pub(super) takeover: Option<bool>,
    /// Directory of templates that replace those of `render`
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath, help_heading = WORKLOAD)]
    pub(super) template_dir: Option<PathBuf>,
    /// One more name of the webhook's certificate: a host name or an IP address
    #[arg(long, value_name = "NAME", value_parser = parse::<Name>, help_heading = CERTIFICATES)]
    #[serde(deserialize_with = "all_parsed")]
    pub(super) san: Vec<Name>,
    /// How long a new CA is valid [default: 3650]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500), help_heading = CERTIFICATES)]
    pub(super) ca_days: Option<u32>,
    /// How long a new certificate is valid [default: as long as its CA]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500), help_heading = CERTIFICATES)]
    pub(super) leaf_days: Option<u32>,
    /// edit: the API server's manifest; later: an installer makes it [default: edit]
    #[arg(long, value_name = "WHEN", help_heading = APISERVER)]
    pub(super) apiserver: Option<ApiServer>,
    /// The API server's manifest, where there are several
    #[arg(long, value_name = "FILE", value_parser = parse::<NodePath>, help_heading = APISERVER)]
    pub(super) apiserver_manifest: Option<NodePath>,
    /// The directory of static pods [default: what kubelet's configuration says]
    #[arg(long, value_name = "DIR", value_parser = parse::<NodePath>, help_heading = APISERVER)]
    pub(super) manifests_dir: Option<NodePath>,
    /// How long the API server keeps an answer [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse::<Ttl>, help_heading = APISERVER)]
    #[serde(deserialize_with = "parsed")]
    pub(super) cache_ttl: Option<Ttl>,
    /// The version of TokenReview that it sends [default: v1]
    #[arg(long, value_name = "VERSION", help_heading = APISERVER)]
    pub(super) webhook_version: Option<WebhookVersion>,
    /// Give the API server an audit policy: a file, or `default`
    #[arg(long, value_name = "FILE", help_heading = APISERVER)]
    pub(super) audit_policy: Option<PathBuf>,
    /// Move manifests away that are in the way, instead of refusing
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::super::flags::boolean, value_name = "BOOL", help_heading = APISERVER)]
    pub(super) quarantine: Option<bool>,
    /// Look after these parts alone
    #[arg(long, value_name = "PART,...", value_delimiter = ',')]
    pub(super) only: Vec<Part>,
}

/// A spec file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecFault {
    /// Its text is wrong.
    #[error("{file}: {problem}")]
    Wrong {
        /// As it was named.
        file: Box<str>,
        /// With line and column.
        problem: Box<str>,
    },
    /// It does not say which version it is of.
    #[error("{file}: expected the key schema with the value {SCHEMA}")]
    Schema {
        /// As it was named.
        file: Box<str>,
    },
    /// It is too long.
    #[error("{file}: expected at most {SPEC_LIMIT} bytes")]
    Long {
        /// As it was named.
        file: Box<str>,
    },
}

impl Settings {
    /// Reads a spec file.
    pub(super) fn read(bytes: &[u8], file: &Path) -> Result<Self, SpecFault> {
        let name: Box<str> = file.to_string_lossy().into();
        if bytes.len() > SPEC_LIMIT {
            return Err(SpecFault::Long { file: name });
        }
        let wrong =
            |problem: String| SpecFault::Wrong { file: name.clone(), problem: problem.into() };
        let text = str::from_utf8(bytes).map_err(|_| wrong("expected UTF-8".to_owned()))?;
        let spec: Self = serde_saphyr::from_str(text).map_err(|error| {
            let told = error.without_snippet().to_string();
            wrong(told.lines().next().unwrap_or_default().to_owned())
        })?;
        match spec.schema.as_deref() {
            Some(SCHEMA) => Ok(spec),
            Some(_) | None => Err(SpecFault::Schema { file: name }),
        }
    }

    /// `self`, and what it leaves open as `other` says it. Lists are not merged.
    pub(super) fn over(self, other: Self) -> Self {
        let list = |ours: Vec<_>, theirs| if ours.is_empty() { theirs } else { ours };
        Self {
            schema: self.schema.or(other.schema),
            cluster_id: self.cluster_id.or(other.cluster_id),
            config: self.config.or(other.config),
            map_role: list(self.map_role, other.map_role),
            map_user: list(self.map_user, other.map_user),
            partition: self.partition.or(other.partition),
            strict: self.strict.or(other.strict),
            workload: self.workload.or(other.workload),
            image: self.image.or(other.image),
            base_image: self.base_image.or(other.base_image),
            env: if self.env.is_empty() { other.env } else { self.env },
            memory_limit: self.memory_limit.or(other.memory_limit),
            server_uid: self.server_uid.or(other.server_uid),
            server_gid: self.server_gid.or(other.server_gid),
            takeover: self.takeover.or(other.takeover),
            template_dir: self.template_dir.or(other.template_dir),
            san: if self.san.is_empty() { other.san } else { self.san },
            ca_days: self.ca_days.or(other.ca_days),
            leaf_days: self.leaf_days.or(other.leaf_days),
            apiserver: self.apiserver.or(other.apiserver),
            apiserver_manifest: self.apiserver_manifest.or(other.apiserver_manifest),
            manifests_dir: self.manifests_dir.or(other.manifests_dir),
            cache_ttl: self.cache_ttl.or(other.cache_ttl),
            webhook_version: self.webhook_version.or(other.webhook_version),
            audit_policy: self.audit_policy.or(other.audit_policy),
            quarantine: self.quarantine.or(other.quarantine),
            only: if self.only.is_empty() { other.only } else { self.only },
        }
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|fault: T::Err| fault.to_string())
}

fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse(&text)).transpose().map_err(serde::de::Error::custom)
}

fn all_parsed<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let texts = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
    texts.iter().map(|text| parse(text)).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}

/// The version of the spec file.
pub(super) const SCHEMA: &str = "iamgate/v1";
/// Thousands of mappings fit in; more are a configuration file's matter.
pub(super) const SPEC_LIMIT: usize = 1024 * 1024;
const MAPPINGS: &str = "Configuration file";
const WORKLOAD: &str = "Authenticator";
const CERTIFICATES: &str = "Certificates";
const APISERVER: &str = "API server";

#[cfg(test)]
mod tests;
