//! How the authenticator runs.

use std::num::NonZeroU32;

use super::Maker;
use crate::files::Attributes;
use crate::provision::host::{HostFault, NodePath};
use crate::provision::paths;
use crate::provision::plan::{Content, Phase, Target, Want};
use crate::provision::render::{Container, Program, StaticPod, Systemd, Sysusers};
use crate::provision::report::Refusal;
use crate::provision::request::{Part, Workload};

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
        let program = match self.program.to_str().map(str::parse) {
            Some(Ok(program)) => program,
            Some(Err(_)) | None => {
                self.refusals.push(Refusal {
                    path: None,
                    line: None,
                    problem: format!("this program's path, {}, makes no unit", self.program.display()),
                    cure: "install it as /usr/local/bin/iamgate, and run that".into(),
                });
                return;
            }
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
