//! Objects of the cluster beside the DaemonSet, and the API server's audit policy.

use minijinja::context;
use minijinja::value::Value;

use super::{Artefact, StarterConfig};

/// The account that the DaemonSet's pods have, which may do nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rbac {}

/// The ConfigMap that the DaemonSet mounts.
#[derive(Clone, Debug)]
pub struct ConfigMap {
    /// Its `config.yaml`.
    pub config: StarterConfig,
}

/// An audit policy that tells who did what under which AWS identity, and holds no secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditPolicy {}

impl Artefact for Rbac {
    const TEMPLATE: &'static str = "rbac.yaml";

    fn variables(&self) -> Value {
        context! {}
    }
}

impl Artefact for ConfigMap {
    const TEMPLATE: &'static str = "configmap.yaml";

    /// The template includes the configuration's.
    fn variables(&self) -> Value {
        self.config.variables()
    }
}

impl Artefact for AuditPolicy {
    const TEMPLATE: &'static str = "audit-policy.yaml";

    fn variables(&self) -> Value {
        context! {}
    }
}
