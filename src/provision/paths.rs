//! Where things are on a host, unless somebody says otherwise.

use super::host::NodePath;
use crate::clock::UnixTime;

/// The configuration file.
pub(super) const CONFIG: &str = "/etc/aws-iam-authenticator/config.yaml";
/// Where kubelet looks for static pods, where its own configuration does not say.
pub(super) const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// Kubelet's configuration, as kubeadm writes it.
pub(super) const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// Where installers that own the API server's manifest keep it.
pub(super) const RANCHER: &str = "/var/lib/rancher";
/// Our static pod's file.
pub(super) const STATIC_POD: &str = "iamgate.yaml";
/// The account of our unit, for systemd-sysusers.
pub(super) const ACCOUNT: &str = "/etc/sysusers.d/iamgate.conf";
/// Our unit's file.
pub(super) const UNIT: &str = "/etc/systemd/system/iamgate.service";
/// The CA's file, beside the webhook kubeconfig.
pub(super) const CA: &str = "ca.pem";
/// The audit policy's file, beside the webhook kubeconfig.
pub(super) const AUDIT_POLICY: &str = "audit-policy.yaml";
/// Where audit events go.
pub(super) const AUDIT_LOG_DIRECTORY: &str = "/var/log/kubernetes/audit";

/// Our state: the CA's key, ledger, copies, programs.
pub(super) fn state() -> NodePath {
    known("/var/lib/iamgate")
}

/// The CA's key.
pub(super) fn ca_key() -> NodePath {
    known("/var/lib/iamgate/ca-key.pem")
}

/// What we did.
pub(super) fn ledger() -> NodePath {
    known("/var/lib/iamgate/ledger.json")
}

/// Copies of what we replaced.
pub(super) fn snapshots() -> NodePath {
    known("/var/lib/iamgate/snapshots")
}

/// Where programs are, each version in a directory of its own.
pub(super) fn programs() -> NodePath {
    known("/var/lib/iamgate/bin")
}

/// Where manifests go that are in the way.
pub(super) fn quarantine() -> NodePath {
    known("/var/lib/iamgate/quarantine")
}

/// The directory of the copies of a run at `now`: `20260102T030405Z`.
pub(super) fn snapshot(now: UnixTime) -> NodePath {
    dated(&snapshots(), now)
}

/// A name that sorts by time, below `dir`.
pub(super) fn dated(dir: &NodePath, now: UnixTime) -> NodePath {
    let name: String = now.rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    dir.join(&name).unwrap_or_else(|_| dir.clone())
}

/// One of this page's own paths.
pub(super) fn known(path: &str) -> NodePath {
    path.parse().unwrap_or_else(|_| NodePath::root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_are_paths() {
        for path in [CONFIG, MANIFESTS, KUBELET_CONFIG, RANCHER, UNIT, AUDIT_LOG_DIRECTORY] {
            assert_eq!(known(path).as_str(), path);
        }
        for path in [state(), ca_key(), ledger(), snapshots(), programs(), quarantine()] {
            assert!(path.is_within(&state()) && path != NodePath::root(), "{path}");
        }
        let now = UnixTime::from_secs(1_767_323_045);
        assert_eq!(snapshot(now).as_str(), "/var/lib/iamgate/snapshots/20260102T030405Z");
    }
}
