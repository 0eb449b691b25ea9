//! What the `token` and `verify` commands are told by file and flags.

use super::fault::{Checked, Faults, Findings};
use super::keys::SERVER;
use super::section::Section;
use super::server::{cluster_id, cluster_ids, hosts, max_age, partition, root, sts};
use super::{Document, StsSettings};
use crate::identity::{ClusterId, Partition};
use crate::secret::Secret;
use crate::token::Acceptance;

/// What the `token` and `verify` commands' flags say, and the environment where a variable stands
/// for a flag. What is given wins over the file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientOverrides {
    /// `--cluster-id`, or `KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID`.
    pub cluster_id: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--role`, or `DEFAULT_ROLE`.
    pub role: Option<String>,
    /// `--external-id`.
    pub external_id: Option<String>,
    /// `--session-name`.
    pub session_name: Option<String>,
    /// `--token-only`.
    pub token_only: Option<bool>,
    /// `--forward-session-name`.
    pub forward_session_name: Option<bool>,
    /// `--cache`.
    pub cache: Option<bool>,
    /// `--token`.
    pub token: Option<Secret>,
    /// `--output`.
    pub output: Option<String>,
    /// `--partition`.
    pub partition: Option<String>,
}

/// What the `token` and `verify` commands run on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientSettings {
    /// The cluster that the token is for; the commands say themselves that it is missing.
    pub cluster_id: Option<ClusterId>,
    /// The region whose STS is signed for.
    pub region: Option<Box<str>>,
    /// The role to assume first.
    pub role: Option<Box<str>>,
    /// The external ID for assuming it.
    pub external_id: Option<Box<str>>,
    /// The session name for assuming it.
    pub session_name: Option<Box<str>>,
    /// Print the token alone.
    pub token_only: bool,
    /// Carry the caller's session name into the role.
    pub forward_session_name: bool,
    /// Keep credentials in a file.
    pub cache: bool,
    /// The token that `verify` looks at.
    pub token: Option<Secret>,
    /// `verify`'s output format.
    pub output: Option<Box<str>>,
    /// How `verify` reaches STS.
    pub sts: StsSettings,
}

/// What the client commands run on: flags, then the file, then defaults.
///
/// Looks at the keys that these commands use and at no others: `kubectl` runs them all the time,
/// and its user is not told about a server's file.
///
/// # Errors
/// Every fault of those keys.
pub fn client(
    document: Option<&Document>,
    over: &ClientOverrides,
) -> Result<Checked<ClientSettings>, Faults> {
    let mut found = Findings::about(document.map(Document::file));
    let found = &mut found;
    let root = root(document, found);
    let server = server(&root, found);
    // An empty one, in a flag too, is as none: scripts pass unset variables.
    let text = |flag: &Option<String>, key, found: &mut Findings| -> Option<Box<str>> {
        match flag {
            Some(text) => (!text.is_empty()).then(|| text.as_str().into()),
            None => root.some_text(key, found).map(|text| text.text.into()),
        }
    };
    let flag = |flag: Option<bool>, key, found: &mut Findings| {
        flag.or_else(|| root.flag(key, found)).unwrap_or(false)
    };
    let over_id = over.cluster_id.as_deref();
    let no_id = match over_id {
        Some(text) => text.is_empty(),
        None => root.node("clusterID").is_none_or(|node| node.text() == Some("")),
    };
    // For `acceptance`; a wrong one is told here too, where only files are looked at.
    let _ = partition(&root, over.partition.as_deref(), found);
    let settings = ClientSettings {
        cluster_id: if no_id { None } else { cluster_id(&root, over_id, found) },
        region: text(&over.region, "region", found),
        role: text(&over.role, "role", found),
        external_id: text(&over.external_id, "externalID", found),
        session_name: text(&over.session_name, "sessionName", found),
        token_only: flag(over.token_only, "tokenOnly", found),
        forward_session_name: flag(over.forward_session_name, "forwardSessionName", found),
        cache: flag(over.cache, "cache", found),
        token: match &over.token {
            Some(token) => Some(token.clone()),
            None => root.some_text("token", found).map(|text| Secret::new(text.text)),
        },
        output: text(&over.output, "output", found),
        sts: sts(&server, found),
    };
    std::mem::take(found).check(Some(settings))
}

/// What `verify` accepts: what the server of the same file does, but for what flags say. A cluster
/// ID that is given alone counts alone, since it is asked about.
///
/// # Errors
/// Every fault of the keys that this depends on.
pub fn acceptance(
    document: Option<&Document>,
    over: &ClientOverrides,
) -> Result<Checked<Acceptance>, Faults> {
    let mut found = Findings::about(document.map(Document::file));
    let root = root(document, &mut found);
    let server = server(&root, &mut found);
    let ids = match over.cluster_id.as_deref() {
        Some(flag) => cluster_id(&root, Some(flag), &mut found).map(|id| vec![id]),
        None => cluster_ids(&root, &server, None, &mut found),
    };
    let theirs = over.partition.is_none() && root.node("partition").is_none();
    let section = if theirs { &server } else { &root };
    let partition = partition(section, over.partition.as_deref(), &mut found);
    let hosts = hosts(&server, partition.unwrap_or(Partition::Aws), &mut found);
    let max_age = max_age(&server, &mut found);
    let accept =
        ids.zip(max_age).map(|(cluster_ids, max_age)| Acceptance { cluster_ids, hosts, max_age });
    found.check(accept)
}

/// The file's map for the server, of which some keys are for clients too.
fn server<'a>(root: &'a Section<'a>, found: &mut Findings) -> Section<'a> {
    match root.node("server") {
        Some(node) => Section::open(node, root.path_of("server"), SERVER, found),
        None => Section::absent(root.path_of("server"), SERVER),
    }
}
