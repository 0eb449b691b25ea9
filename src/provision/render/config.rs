//! A configuration file to start from.

use minijinja::context;
use minijinja::value::Value;

use super::Artefact;
use crate::identity::{ClusterId, Partition};

/// A `config.yaml` with comments for whoever edits it next.
#[derive(Clone, Debug)]
pub struct StarterConfig {
    /// The cluster that tokens are for.
    pub cluster_id: ClusterId,
    /// The partition, where it is not `aws`.
    pub partition: Option<Partition>,
    /// `mapRoles`; examples in comments where there are none.
    pub roles: Vec<Mapped>,
    /// `mapUsers`; examples in comments where there are none.
    pub users: Vec<Mapped>,
}

/// One mapping. What it means is judged by `crate::config`, which reads the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mapped {
    /// Whom it is about.
    pub arn: String,
    /// Who that becomes; `{{SessionName}}` and its like are kept as they are.
    pub username: String,
    /// In which groups.
    pub groups: Vec<String>,
}

impl Mapped {
    fn variables(&self) -> Value {
        context! { arn => &self.arn, username => &self.username, groups => self.groups.clone() }
    }
}

impl Artefact for StarterConfig {
    const TEMPLATE: &'static str = "config.yaml";

    fn variables(&self) -> Value {
        let listed = |list: &[Mapped]| list.iter().map(Mapped::variables).collect::<Vec<_>>();
        context! {
            cluster_id => self.cluster_id.as_str(),
            partition => self.partition.map(|partition| partition.to_string()),
            roles => listed(&self.roles),
            users => listed(&self.users),
        }
    }
}
