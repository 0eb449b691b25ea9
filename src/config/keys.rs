//! Every key of the file, once: what unknown keys are told by and what the JSON Schema is made of.
//!
//! Reading a key that is not here fails in debug builds, and a test sets each key that is here to
//! nonsense and wants a fault for it. So this table and the reading cannot drift apart.

use std::ops::RangeInclusive;

use super::limits;
use crate::identity::Partition;

/// One key of a map.
#[derive(Debug)]
pub(super) struct Key {
    /// The canonical spelling; any case is read.
    pub(super) name: &'static str,
    /// Another name for it.
    pub(super) alias: Option<&'static str>,
    /// What its value looks like.
    pub(super) shape: Shape,
    /// What it means.
    pub(super) about: &'static str,
    /// What stands for it when it is missing, as JSON; empty for nothing.
    pub(super) default: &'static str,
}

/// What a value looks like.
#[derive(Debug)]
pub(super) enum Shape {
    /// A list of account ids.
    Accounts,
    /// A duration in milliseconds, written `4s`, `500ms` or in seconds.
    Duration(RangeInclusive<u64>),
    /// `true` or `false`.
    Flag,
    /// A map with these keys.
    Map(&'static [Key]),
    /// A list of such maps.
    Maps(&'static [Key]),
    /// A whole number.
    Number(RangeInclusive<u64>),
    /// A name of AWS's partitions.
    Partition,
    /// A map from host names to `address:port`.
    Sockets,
    /// Text.
    Text,
    /// A list of texts.
    Texts,
}

/// The whole file.
pub(super) static ROOT: &[Key] = &[
    key(
        "clusterID",
        Shape::Text,
        "The cluster that tokens are for: signed into each as x-k8s-aws-id.",
    ),
    key(
        "acceptedClusterIDs",
        Shape::Texts,
        "Further cluster IDs that the server accepts. With clusterID at most 8; each costs a call to STS.",
    ),
    key("region", Shape::Text, "token: the AWS region whose STS endpoint is signed for."),
    key("role", Shape::Text, "token: an IAM role to assume before signing.").alias("defaultRole"),
    key("externalID", Shape::Text, "token: the external ID for assuming the role."),
    key("sessionName", Shape::Text, "token: the session name for assuming the role."),
    key("tokenOnly", Shape::Flag, "token: print the token alone, not an ExecCredential.")
        .default("false"),
    key(
        "forwardSessionName",
        Shape::Flag,
        "token: carry the caller's own session name into the role.",
    )
    .default("false"),
    key("cache", Shape::Flag, "token: keep credentials in a file between calls.").default("false"),
    key("token", Shape::Text, "verify: the token to look at."),
    key("output", Shape::Text, "verify: json, or anything else for text."),
    key(
        "partition",
        Shape::Partition,
        "verify: the AWS partition of the token, if it is not server.partition.",
    ),
    key("log-verbosity", Shape::Text, "Has no effect here; give the flag."),
    key("feature-gates", Shape::Text, "Has no effect here; give the flag."),
    key("server", Shape::Map(SERVER), "The webhook server."),
];

/// `server`.
pub(super) static SERVER: &[Key] = &[
    key("partition", Shape::Partition, "The AWS partition that tokens must belong to.")
        .default("\"aws\""),
    key("acceptedClusterIDs", Shape::Texts, "The same as acceptedClusterIDs at the top."),
    key("address", Shape::Text, "The IP address to listen on with TLS; also in the certificate.")
        .default("\"127.0.0.1\""),
    key("port", Shape::Number(limits::PORT), "The port to listen on; 0 takes a free one.")
        .default("21362"),
    key(
        "hostname",
        Shape::Text,
        "The host in the webhook kubeconfig's URL; also in the certificate.",
    )
    .default("\"localhost\""),
    key(
        "healthAddress",
        Shape::Text,
        "IP address and port of the plain HTTP listener for health and metrics. 127.0.0.1:21363, or 0.0.0.0:21363 when called aws-iam-authenticator.",
    ),
    key("stateDir", Shape::Text, "The directory of cert.pem and key.pem.")
        .default("\"/var/aws-iam-authenticator\""),
    key("generateKubeconfig", Shape::Text, "Where the webhook kubeconfig is written.")
        .default("\"/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml\""),
    key("kubeconfigPregenerated", Shape::Flag, "Do not write the webhook kubeconfig.")
        .default("false"),
    key("clientCAFile", Shape::Text, "Ask API servers for certificates signed by these."),
    key("kubeconfig", Shape::Text, "A kubeconfig for backends that ask the Kubernetes API."),
    key("master", Shape::Text, "The Kubernetes API's URL for such backends."),
    key(
        "backendMode",
        Shape::Texts,
        "Where mappings come from. This version knows MountedFile: this file.",
    )
    .default("[\"MountedFile\"]"),
    key("mapRoles", Shape::Maps(MAP_ROLES), "Which user an IAM role becomes.").default("[]"),
    key("mapUsers", Shape::Maps(MAP_USERS), "Which user an IAM user becomes.").default("[]"),
    key(
        "mapAccounts",
        Shape::Accounts,
        "AWS accounts whose principals become users named by their ARN.",
    )
    .default("[]"),
    key(
        "scrubbedAccounts",
        Shape::Accounts,
        "AWS accounts whose callers' ARNs are kept out of logs and answers.",
    )
    .default("[]"),
    key(
        "reservedPrefixConfig",
        Shape::Maps(RESERVED),
        "Prefixes that a user name from a backend must not have.",
    )
    .default("[]"),
    key(
        "ec2DescribeInstancesRoleARN",
        Shape::Text,
        "A role to assume before EC2 is asked for private DNS names.",
    ),
    key("sourceARN", Shape::Text, "Sent with that AssumeRole, against the confused deputy."),
    key(
        "ec2DescribeInstancesQps",
        Shape::Number(limits::RATE),
        "Calls to EC2 per second; 0 is unlimited.",
    )
    .default("15"),
    key(
        "ec2DescribeInstancesBurst",
        Shape::Number(limits::RATE),
        "Calls to EC2 at once above that rate.",
    )
    .default("5"),
    key(
        "dynamicfilepath",
        Shape::Text,
        "The file of backend DynamicFile, which is not part of this version.",
    ),
    key("dynamicfileUserIDStrict", Shape::Flag, "For backend DynamicFile: match user IDs.")
        .default("false"),
    key(
        "dynamicBackendModePath",
        Shape::Text,
        "A file that switches backends, which is not part of this version.",
    ),
    key("allowedRegions", Shape::Texts, "Accept tokens for STS in these regions only.")
        .default("[]"),
    key(
        "extraSTSHosts",
        Shape::Texts,
        "Accept tokens for these hosts too, such as VPC endpoints of STS.",
    )
    .default("[]"),
    key("maxTokenAge", Shape::Duration(limits::TOKEN_AGE), "How old a token may be.")
        .default("\"900s\""),
    key("sts", Shape::Map(STS), "How STS is reached."),
    key("limits", Shape::Map(LIMITS), "How much the server takes on at once."),
    key("compat", Shape::Map(COMPAT), "Switches for existing set-ups that need a looser rule."),
];

static STS: &[Key] = &[
    key(
        "connectTo",
        Shape::Sockets,
        "From an STS host name to the address:port to dial instead; TLS name and Host stay.",
    ),
    key("caFile", Shape::Text, "Root certificates that replace the system's."),
    key("timeout", Shape::Duration(limits::STS_TIMEOUT), "For the whole exchange.")
        .default("\"4s\""),
];

static LIMITS: &[Key] = &[
    key(
        "connections",
        Shape::Number(limits::CONNECTIONS),
        "Open connections; beyond, one at rest is closed.",
    )
    .default("128"),
    key(
        "handshakes",
        Shape::Number(limits::HANDSHAKES),
        "TLS handshakes under way; beyond, they queue.",
    )
    .default("16"),
    key(
        "stsInFlight",
        Shape::Number(limits::STS_IN_FLIGHT),
        "STS exchanges under way; beyond, reviews wait for their turn.",
    )
    .default("64"),
    key("body", Shape::Number(limits::BODY), "Bytes of a request body; beyond, 413.")
        .default("65536"),
];

static COMPAT: &[Key] = &[
    key("anySSOSuffix", Shape::Flag, "Let an sso entry match any suffix, not just the 16 hexadecimal digits that IAM Identity Center makes.").default("false"),
];

/// An entry of `mapRoles`.
pub(super) static MAP_ROLES: &[Key] = &[
    key("roleARN", Shape::Text, "The role. `*` is literal."),
    key("rolePattern", Shape::Text, "A pattern for role ARNs, with `*` and `?` in the name."),
    key("sso", Shape::Map(SSO), "The role that IAM Identity Center made for a permission set."),
    key("username", Shape::Text, "The user name; may hold {{SessionName}} and the like."),
    key("groups", Shape::Texts, "The groups; may hold the same.").default("[]"),
    key("userid", Shape::Text, "For backend DynamicFile."),
];

/// An entry of `mapUsers`.
pub(super) static MAP_USERS: &[Key] = &[
    key("userARN", Shape::Text, "The user. `*` is literal."),
    key("userPattern", Shape::Text, "A pattern for user ARNs, with `*` and `?` in the name."),
    key("username", Shape::Text, "The user name."),
    key("groups", Shape::Texts, "The groups.").default("[]"),
    key("userid", Shape::Text, "For backend DynamicFile."),
];

/// `sso` in an entry of `mapRoles`.
pub(super) static SSO: &[Key] = &[
    key("permissionSetName", Shape::Text, "The permission set."),
    key("accountID", Shape::Text, "The AWS account, twelve digits."),
    key("partition", Shape::Partition, "The AWS partition.").default("\"aws\""),
];

/// An entry of `reservedPrefixConfig`.
pub(super) static RESERVED: &[Key] = &[
    key("backendMode", Shape::Text, "Which backend's user names."),
    key("usernamePrefixReserveList", Shape::Texts, "The prefixes.").default("[]"),
];

const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, alias: None, shape, about, default: "" }
}

impl Key {
    const fn default(self, default: &'static str) -> Self {
        // `Self { default, ..self }` would drop in a constant function.
        let mut key = self;
        key.default = default;
        key
    }

    const fn alias(self, alias: &'static str) -> Self {
        let mut key = self;
        key.alias = Some(alias);
        key
    }

    /// Whether `spelt` is this key, in whatever case.
    pub(super) fn is(&self, spelt: &str) -> bool {
        self.name.eq_ignore_ascii_case(spelt)
            || self.alias.is_some_and(|alias| alias.eq_ignore_ascii_case(spelt))
    }
}

/// What a person may have meant by `unknown`, in a map of `keys`.
pub(super) fn meant(unknown: &str, keys: &[Key]) -> Option<Box<str>> {
    let plain = |text: &str| -> String {
        let text = text.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
        text.collect::<String>().to_ascii_lowercase()
    };
    let sought = plain(unknown);
    if sought.len() > LONGEST_GUESSED {
        return None;
    }
    let near = keys
        .iter()
        .map(|key| (strsim::damerau_levenshtein(&sought, &plain(key.name)), key.name))
        .filter(|(distance, name)| *distance <= name.len() / 4)
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, name)) = near {
        return Some(name.into());
    }
    // Right, but in the wrong map.
    let counterparts = [("roleARN", "userARN"), ("rolePattern", "userPattern")];
    for (one, other) in counterparts.into_iter().chain(counterparts.map(|(a, b)| (b, a))) {
        if one.eq_ignore_ascii_case(unknown) && keys.iter().any(|key| key.name == other) {
            return Some(other.into());
        }
    }
    let known = |keys: &[Key]| keys.iter().find(|key| key.is(unknown)).map(|key| key.name);
    let server = known(SERVER).map(|name| format!("server.{name}"));
    let dotted = || unknown.contains('.').then(|| meant_path(unknown)).flatten();
    server
        .or_else(|| known(ROOT).map(|name| format!("{name} at the top")))
        .or_else(dotted)
        .map(Into::into)
}

/// `server.port` as one key is two keys, one inside the other.
fn meant_path(unknown: &str) -> Option<String> {
    let (map, key) = unknown.split_once('.')?;
    let Shape::Map(keys) = &ROOT.iter().find(|known| known.is(map))?.shape else { return None };
    let key = keys.iter().find(|known| known.is(key))?;
    Some(format!("{} inside {map}", key.name))
}

/// No key is half as long; a guess costs the product of two lengths.
const LONGEST_GUESSED: usize = 64;

/// All names of partitions, for the schema.
pub(super) fn partitions() -> Vec<&'static str> {
    Partition::ALL.into_iter().map(Partition::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_guessed_and_a_strange_one_is_not() {
        for (unknown, keys, expected) in [
            ("role_arn", MAP_ROLES, Some("roleARN")),
            ("rolarn", MAP_ROLES, Some("roleARN")),
            ("group", MAP_ROLES, Some("groups")),
            ("user_name", MAP_USERS, Some("username")),
            ("clusterId ", ROOT, Some("clusterID")),
            ("mapRoles", ROOT, Some("server.mapRoles")),
            ("server.port", ROOT, Some("port inside server")),
            ("clusterid", SERVER, Some("clusterID at the top")),
            ("rolearn", MAP_USERS, Some("userARN")),
            ("colour", ROOT, None),
            (&"x".repeat(1_000), ROOT, None),
        ] {
            assert_eq!(meant(unknown, keys).as_deref(), expected, "{unknown}");
        }
    }
}
