//! How the authenticator runs.

use std::num::NonZeroU32;

use serde_json::Value;

use super::Maker;
use crate::files::Attributes;
use crate::provision::host::{HostFault, NodePath};
use crate::provision::paths;
use crate::provision::plan::{Content, Phase, Target, Want};
use crate::provision::render::{Container, Program, StaticPod, Systemd, Sysusers};
use crate::provision::report::Refusal;
use crate::provision::request::{Part, Workload};
use crate::provision::yaml;

impl Maker<'_> {
    /// The static pod's manifest, the unit, or neither.
    pub(super) fn workload(&mut self) -> Result<(), HostFault> {
        if !self.covers(Part::Workload) {
            return Ok(());
        }
        let Ok(pod) = self.look.pods.directory.join(paths::STATIC_POD) else { return Ok(()) };
        let unit = paths::known(paths::UNIT);
        let account = paths::known(paths::ACCOUNT);
        match self.request.workload {
            Workload::StaticPod => {
                self.static_pod(pod)?;
                self.gone_if_ours(&[unit, account]);
            }
            Workload::Systemd => {
                self.unit(unit, account);
                self.gone_if_ours(&[pod]);
            }
            Workload::Daemonset => {
                self.gone_if_ours(&[pod, unit, account]);
                self.warnings.push(
                    "the DaemonSet is the cluster's: kubectl apply what `iamgate render configmap`, `rbac` and \
                     `daemonset --image REF` print"
                        .into(),
                );
            }
            Workload::None => self.gone_if_ours(&[pod, unit, account]),
        }
        Ok(())
    }

    fn static_pod(&mut self, path: NodePath) -> Result<(), HostFault> {
        let program = match &self.request.image {
            Some(image) => Program::Image(image.clone()),
            None => {
                let base = match &self.request.base_image {
                    Some(image) => Some(image.clone()),
                    None => self.apiservers_image(),
                };
                let Some(base_image) = base else { return Ok(()) };
                let Some(directory) = self.program()? else { return Ok(()) };
                let Some(binary_dir) = self.absolute(&directory) else { return Ok(()) };
                Program::Host { base_image, binary_dir }
            }
        };
        let Some(container) = self.container() else { return Ok(()) };
        let Some(text) = self.rendered(&StaticPod { container, program }) else { return Ok(()) };
        if let Err(problem) = fits_kubelet(&text) {
            self.refusals.push(Refusal {
                path: Some(path),
                line: None,
                problem: format!("the template static-pod.yaml makes {problem}"),
                cure: "mend the template in --template-dir".into(),
            });
            return Ok(());
        }
        // Kubelet reads it as root.
        let with = Attributes { mode: 0o600, owner: Some(super::ROOT), label: None };
        self.file(path, Phase::Authenticator, Content::Text(text.into_bytes()), with);
        Ok(())
    }

    fn apiservers_image(&mut self) -> Option<crate::provision::render::Image> {
        let main = self.look.pods.apiserver.as_ref();
        let image = main.and_then(|main| main.manifest.image());
        let refusal = match image.map(str::parse) {
            Some(Ok(image)) => return Some(image),
            Some(Err(fault)) => Refusal {
                path: main.map(|main| main.path.clone()),
                line: main.and_then(|main| {
                    main.manifest.line_of(&format!("{}/image", main.manifest.container()))
                }),
                problem: fault.to_string(),
                cure: "name the image with --base-image".into(),
            },
            None => Refusal {
                path: None,
                line: None,
                problem: "the host's binary runs in a container of the API server's image, and there is no API \
                          server here yet"
                    .into(),
                cure: "name an image that the host has, or can pull, with --base-image (such as \
                       registry.k8s.io/kube-apiserver:v1.34.0), or one that carries iamgate with --image"
                    .into(),
            },
        };
        // Where the manifest is refused, that is told.
        if self.refusals.is_empty() {
            self.refusals.push(refusal);
        }
        None
    }

    fn unit(&mut self, unit: NodePath, account: NodePath) {
        let Some(Ok(program)) = self.program.to_str().map(str::parse) else {
            self.refusals.push(Refusal {
                path: None,
                line: None,
                problem: format!("this program's path, {}, makes no unit", self.program.display()),
                cure: "install it as /usr/local/bin/iamgate, and run that".into(),
            });
            return;
        };
        let Some(server) = self.container() else { return };
        let (uid, gid) = (self.request.owner.uid, self.request.owner.gid);
        let with = Attributes { mode: 0o644, owner: Some(super::ROOT), label: None };
        let Some(text) = self.rendered(&Sysusers { uid, gid }) else { return };
        self.file(account, Phase::Authenticator, Content::Text(text.into_bytes()), with.clone());
        let Some(text) = self.rendered(&Systemd { server, program }) else { return };
        self.file(unit, Phase::Authenticator, Content::Text(text.into_bytes()), with);
    }

    fn container(&mut self) -> Option<Container> {
        let config_dir = self.absolute(&self.request.config.parent())?;
        let config_file = self.request.config.name().to_owned();
        let state_dir = self.absolute(&self.server.state_dir.clone())?;
        let kubeconfig = self.absolute(&self.server.kubeconfig.clone())?;
        let uid = NonZeroU32::new(self.request.owner.uid)?;
        Some(Container {
            cluster_id: self.server.cluster_id_by_flag.clone(),
            config_dir,
            config_file,
            state_dir,
            kubeconfig,
            port: self.server.fixed.port,
            health: self.server.fixed.health,
            uid,
            gid: self.request.owner.gid,
            memory_limit: self.request.memory,
            env: self.request.env.clone(),
        })
    }

    fn gone_if_ours(&mut self, paths: &[NodePath]) {
        for path in paths {
            if self.look.ledger.made(path) {
                self.targets.push(Target {
                    path: path.clone(),
                    phase: Phase::Authenticator,
                    want: Want::Gone,
                });
            }
        }
    }
}

/// Whether kubelet runs it, and as the pod that it is. kubelet refuses static pods that refer to
/// objects of the API (from 1.34 by default, always from 1.37).
fn fits_kubelet(text: &str) -> Result<(), String> {
    let pod = yaml::value(text.as_bytes()).map_err(|wrong| format!("no YAML: {wrong}"))?;
    let is = |path: &str, wanted: &str| pod.pointer(path).and_then(Value::as_str) == Some(wanted);
    if !(is("/kind", "Pod")
        && is("/metadata/name", "iamgate")
        && is("/metadata/namespace", "kube-system"))
    {
        return Err("another thing than the pod kube-system/iamgate".to_owned());
    }
    for key in ["serviceAccountName", "serviceAccount", "imagePullSecrets", "resourceClaims"] {
        if pod.pointer(&format!("/spec/{key}")).is_some() {
            return Err(format!("a pod with {key}, which static pods may not have"));
        }
    }
    let list = |path: &str| pod.pointer(path).and_then(Value::as_array).into_iter().flatten();
    for volume in list("/spec/volumes") {
        let allowed = ["hostPath", "emptyDir", "name"];
        let keys = volume.as_object().into_iter().flatten();
        if let Some((key, _)) = keys.into_iter().find(|(key, _)| !allowed.contains(&key.as_str())) {
            return Err(format!("a pod with a volume of {key}, which static pods may not have"));
        }
    }
    for container in list("/spec/containers").chain(list("/spec/initContainers")) {
        let env = container.pointer("/env").and_then(Value::as_array).into_iter().flatten();
        let refers = env.into_iter().any(|variable| {
            ["configMapKeyRef", "secretKeyRef"]
                .iter()
                .any(|key| variable.pointer(&format!("/valueFrom/{key}")).is_some())
        });
        if refers || container.get("envFrom").is_some() {
            return Err(
                "a pod with an environment from the API, which static pods may not have".to_owned()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str) -> Result<(), String> {
        fits_kubelet(&format!(
            "kind: Pod\nmetadata: {{name: iamgate, namespace: kube-system}}\nspec:\n  {spec}\n"
        ))
    }

    #[test]
    fn a_static_pod_refers_to_nothing_of_the_api() {
        assert_eq!(pod("volumes: [{name: a, hostPath: {path: /a}}]"), Ok(()));
        for (spec, told) in [
            ("serviceAccountName: a", "serviceAccountName"),
            ("imagePullSecrets: [{name: a}]", "imagePullSecrets"),
            ("volumes: [{name: a, configMap: {name: a}}]", "configMap"),
            ("volumes: [{name: a, secret: {secretName: a}}]", "secret"),
            ("volumes: [{name: a, projected: {}}]", "projected"),
            ("containers: [{envFrom: [{configMapRef: {name: a}}]}]", "environment"),
            (
                "containers: [{env: [{name: A, valueFrom: {secretKeyRef: {name: a}}}]}]",
                "environment",
            ),
        ] {
            let problem = pod(spec).unwrap_err();
            assert!(problem.contains(told), "{spec}: {problem}");
        }
        for text in ["kind: Pod\nmetadata: {name: other, namespace: kube-system}\n", "a: [\n"] {
            assert!(fits_kubelet(text).is_err_and(|problem| !problem.is_empty()), "{text}");
        }
    }
}
