//! The server as a pod: a static pod of kubelet's, or a DaemonSet of the cluster's.
//!
//! Both have the one container of `templates/container.yaml`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

use minijinja::context;
use minijinja::value::Value;

use super::{AbsolutePath, Artefact, EnvVar, Image, Memory};
use crate::identity::ClusterId;

/// How the server runs, wherever it does.
#[derive(Clone, Debug)]
pub struct Container {
    /// Passed as a flag where it is given; else the configuration file says it.
    pub cluster_id: Option<ClusterId>,
    /// Directory of the configuration file.
    pub config_dir: AbsolutePath,
    /// The file's name there.
    pub config_file: String,
    /// Directory of `cert.pem` and `key.pem`.
    pub state_dir: AbsolutePath,
    /// The webhook kubeconfig, which the server does not write; it tells where it is expected.
    pub kubeconfig: AbsolutePath,
    /// The webhook's port; passed as a flag where it is not the default.
    pub port: u16,
    /// Where the server answers health probes, by its configuration.
    pub health: SocketAddr,
    /// The account that the server runs as. Never root.
    pub uid: NonZeroU32,
    /// The group that the server runs as.
    pub gid: u32,
    /// Request and limit.
    pub memory_limit: Memory,
    /// Such as proxy settings.
    pub env: Vec<EnvVar>,
}

/// What a static pod executes.
#[derive(Clone, Debug)]
pub enum Program {
    /// The host's own binary, in a container of an image that the host has.
    Host {
        /// Only its file system is used.
        base_image: Image,
        /// Directory of the binary, `iamgate`. One for each build, so that an upgrade is one
        /// restart and no running server loses its file.
        binary_dir: AbsolutePath,
    },
    /// An image that carries `/iamgate`.
    Image(Image),
}

/// A manifest for kubelet's directory of static pods.
#[derive(Clone, Debug)]
pub struct StaticPod {
    /// How the server runs.
    pub container: Container,
    /// What it executes.
    pub program: Program,
}

/// The DaemonSet `kube-system/iamgate`. Its configuration is the ConfigMap `iamgate`.
#[derive(Clone, Debug)]
pub struct DaemonSet {
    /// How the server runs.
    pub container: Container,
    /// It carries `/iamgate`: pods of the cluster take their program from a registry.
    pub image: Image,
}

impl Default for Container {
    fn default() -> Self {
        Self {
            cluster_id: None,
            config_dir: AbsolutePath::known("/etc/aws-iam-authenticator"),
            config_file: "config.yaml".to_owned(),
            state_dir: AbsolutePath::known("/var/aws-iam-authenticator"),
            kubeconfig: AbsolutePath::known(KUBECONFIG),
            port: PORT,
            health: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HEALTH_PORT),
            uid: ACCOUNT,
            gid: ACCOUNT.get(),
            memory_limit: Memory::DEFAULT,
            env: Vec::new(),
        }
    }
}

impl Container {
    /// The arguments of the program, `server` first.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "server".to_owned(),
            format!("--config={}", file_in(&self.config_dir, &self.config_file)),
            format!("--state-dir={}", self.state_dir),
            "--kubeconfig-pregenerated".to_owned(),
        ];
        if self.kubeconfig.as_str() != KUBECONFIG {
            arguments.push(format!("--generate-kubeconfig={}", self.kubeconfig));
        }
        if self.port != PORT {
            arguments.push(format!("--port={}", self.port));
        }
        if let Some(id) = &self.cluster_id {
            arguments.push(format!("--cluster-id={id}"));
        }
        arguments
    }

    fn variables(&self, program: &str, image: &Image) -> Value {
        let command: Vec<_> = [program.to_owned()].into_iter().chain(self.arguments()).collect();
        context! {
            command,
            image,
            config_dir => &self.config_dir,
            state_dir => &self.state_dir,
            probe_host => probed(self.health.ip()).to_string(),
            probe_port => self.health.port(),
            uid => self.uid.get(),
            gid => self.gid,
            memory_limit => self.memory_limit,
            env => env(&self.env),
        }
    }
}

impl Artefact for StaticPod {
    const TEMPLATE: &'static str = "static-pod.yaml";

    fn variables(&self) -> Value {
        let Self { container, program } = self;
        match program {
            Program::Host { base_image, binary_dir } => {
                let mounted = file_in(&AbsolutePath::known(MOUNTED), "iamgate");
                let variables = container.variables(&mounted, base_image);
                context! { binary_dir, binary_mount => MOUNTED, ..variables }
            }
            Program::Image(image) => {
                let variables = container.variables(IN_IMAGE, image);
                context! { binary_dir => (), binary_mount => (), ..variables }
            }
        }
    }
}

impl Artefact for DaemonSet {
    const TEMPLATE: &'static str = "daemonset.yaml";

    fn variables(&self) -> Value {
        let variables = self.container.variables(IN_IMAGE, &self.image);
        context! { binary_dir => (), binary_mount => (), ..variables }
    }
}

/// As the templates loop over them.
pub(super) fn env(variables: &[EnvVar]) -> Vec<Value> {
    variables.iter().map(Value::from).collect()
}

fn file_in(directory: &AbsolutePath, name: &str) -> String {
    format!("{}/{name}", directory.as_str().trim_end_matches('/'))
}

/// kubelet cannot connect to "all addresses".
fn probed(bound: IpAddr) -> IpAddr {
    match bound {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => bound,
    }
}

/// Where every installation of the reference has it.
pub(super) const KUBECONFIG: &str = "/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml";
/// The server's own default.
pub(super) const PORT: u16 = 21362;
const HEALTH_PORT: u16 = 21363;
/// The account of kops' hosts and of the reference's own tests, so that keys keep their owner.
pub(super) const ACCOUNT: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
/// Where the container sees the host's binary. Images have nothing there.
const MOUNTED: &str = "/opt/iamgate";
const IN_IMAGE: &str = "/iamgate";
