//! `iamgate render`: one artefact to standard output. It looks at nothing of the host but the
//! templates that it is given, so the same words give the same bytes anywhere.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::Global;
use super::version::VERSION;
use crate::files;
use crate::identity::ClusterId;
use crate::keypair::{Names, WebhookUrl};
use crate::outcome::Failure;
use crate::provision::render::{
    AbsolutePath, ApiserverPatch, AuditPolicy, ConfigMap, Container, DaemonSet, EnvVar, Image,
    Memory, Program, Rbac, RenderFault, StarterConfig, StaticPod, Systemd, Sysusers, Templates,
    WebhookKubeconfig,
};

/// Flags of `render`. Each artefact takes those that it has a place for.
#[derive(Debug, clap::Args)]
pub(super) struct RenderArgs {
    /// What to print
    #[arg(value_name = "WHAT")]
    what: What,
    /// Image that carries iamgate; static-pod can do without
    #[arg(long, value_name = "REF", conflicts_with_all = ["base_image", "binary_dir"])]
    image: Option<Image>,
    /// Image whose container runs the host's own binary: the one that kube-apiserver.yaml names
    #[arg(long, value_name = "REF")]
    base_image: Option<Image>,
    /// The host's directory of that binary [default: /var/lib/iamgate/bin/VERSION]
    #[arg(long, value_name = "DIR")]
    binary_dir: Option<AbsolutePath>,
    /// The binary that systemd runs [default: /usr/local/bin/iamgate]
    #[arg(long, value_name = "PATH")]
    program: Option<AbsolutePath>,
    /// Directory of config.yaml [default: /etc/aws-iam-authenticator]
    #[arg(long, value_name = "DIR")]
    config_dir: Option<AbsolutePath>,
    /// Directory of cert.pem and key.pem [default: /var/aws-iam-authenticator]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<AbsolutePath>,
    /// The webhook kubeconfig
    /// [default: /etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml]
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<AbsolutePath>,
    /// CA certificate that the webhook kubeconfig names [default: ca.pem beside it]
    #[arg(long, value_name = "PATH")]
    ca_file: Option<AbsolutePath>,
    /// Host in the webhook's URL
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    hostname: String,
    /// The webhook's port
    #[arg(long, value_name = "N", default_value_t = 21362, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Where the configuration has the server answer health probes
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:21363")]
    health_address: SocketAddr,
    /// The account that the server runs as; not root
    #[arg(long, value_name = "N", default_value = "10000", value_parser = uid)]
    uid: NonZeroU32,
    /// The group that the server runs as
    #[arg(long, value_name = "N", default_value_t = 10000, value_parser = clap::value_parser!(u32).range(..=ID_MAX))]
    gid: u32,
    /// Memory request and limit
    #[arg(long, value_name = "AMOUNT", default_value_t = Memory::DEFAULT)]
    memory_limit: Memory,
    /// Environment variable of the server, such as HTTPS_PROXY; repeatable
    #[arg(long, value_name = "NAME=VALUE", action = clap::ArgAction::Append)]
    env: Vec<EnvVar>,
    /// How long kube-apiserver remembers an answer, such as 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = seconds)]
    cache_ttl: u32,
    /// Directory of templates that replace the built-in ones of their names
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    template_dir: Option<PathBuf>,
}

/// What there is to print.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum What {
    /// Manifest for kubelet's directory of static pods
    StaticPod,
    /// The server on every control-plane node, from the cluster
    Daemonset,
    /// The account of its pods
    Rbac,
    /// Its configuration
    Configmap,
    /// A configuration file to start from
    Config,
    /// JSON patch of kubeadm's for kube-apiserver
    ApiserverPatch,
    /// Webhook kubeconfig for kube-apiserver
    Kubeconfig,
    /// Unit of systemd
    Systemd,
    /// File for sysusers.d with the unit's account
    Sysusers,
    /// Audit policy for kube-apiserver
    AuditPolicy,
}

pub(super) fn run(args: RenderArgs, global: &Global, out: &mut impl Write) -> Result<(), Failure> {
    let templates = match &args.template_dir {
        Some(dir) => own_templates(dir)?,
        None => Templates::default(),
    };
    // The flag alone: what the environment says would make the output depend on the place.
    let cluster_id = global.cluster_id.as_deref().filter(|id| !id.is_empty());
    let cluster_id = cluster_id.map(str::parse::<ClusterId>).transpose().map_err(Failure::usage)?;
    let text = args.render(&templates, cluster_id)?;
    Ok(out.write_all(text.as_bytes())?)
}

impl RenderArgs {
    fn render(
        self,
        templates: &Templates,
        cluster_id: Option<ClusterId>,
    ) -> Result<String, Failure> {
        let text = match self.what {
            What::StaticPod => {
                let program = self.program_of_pod()?;
                templates.render(&StaticPod { container: self.container(cluster_id), program })
            }
            What::Daemonset => {
                let Some(image) = self.image.clone() else { return Err(no_image()) };
                templates.render(&DaemonSet { container: self.container(cluster_id), image })
            }
            What::Rbac => templates.render(&Rbac::default()),
            What::Configmap => templates.render(&ConfigMap { config: starter(cluster_id)? }),
            What::Config => templates.render(&starter(cluster_id)?),
            What::ApiserverPatch => {
                let mut patch = ApiserverPatch { cache_ttl: self.cache_ttl, ..Default::default() };
                if let Some(path) = self.kubeconfig {
                    patch.kubeconfig = path;
                }
                templates.render(&patch)
            }
            What::Kubeconfig => templates.render(&self.webhook()?),
            What::Systemd => {
                let mut unit = Systemd { server: self.container(cluster_id), ..Default::default() };
                if let Some(program) = self.program {
                    unit.program = program;
                }
                templates.render(&unit)
            }
            What::Sysusers => templates.render(&Sysusers { uid: self.uid.get(), gid: self.gid }),
            What::AuditPolicy => templates.render(&AuditPolicy::default()),
        };
        Ok(text?)
    }

    fn container(&self, cluster_id: Option<ClusterId>) -> Container {
        let default = Container::default();
        let or = |given: &Option<AbsolutePath>, default| given.clone().unwrap_or(default);
        Container {
            cluster_id,
            config_dir: or(&self.config_dir, default.config_dir),
            config_file: default.config_file,
            state_dir: or(&self.state_dir, default.state_dir),
            kubeconfig: or(&self.kubeconfig, default.kubeconfig),
            port: self.port,
            health: self.health_address,
            uid: self.uid,
            gid: self.gid,
            memory_limit: self.memory_limit,
            env: self.env.clone(),
        }
    }

    fn program_of_pod(&self) -> Result<Program, Failure> {
        match (&self.image, &self.base_image) {
            (Some(image), _) => Ok(Program::Image(image.clone())),
            (None, Some(base_image)) => {
                let binary_dir = match &self.binary_dir {
                    Some(dir) => dir.clone(),
                    None => format!("/var/lib/iamgate/bin/{VERSION}").parse()?,
                };
                Ok(Program::Host { base_image: base_image.clone(), binary_dir })
            }
            (None, None) => Err(Failure::usage("a static pod needs an image").hint(
                "give the image that the host's kube-apiserver.yaml names with --base-image, and \
                 the host's own binary is run in it; or give one that carries iamgate with --image",
            )),
        }
    }

    fn webhook(&self) -> Result<WebhookKubeconfig, Failure> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Names::new(loopback, &self.hostname).map_err(Failure::usage)?;
        let url = WebhookUrl::new(&self.hostname, self.port);
        let ca_file = match (&self.ca_file, &self.kubeconfig) {
            (Some(path), _) => path.clone(),
            (None, Some(kubeconfig)) => kubeconfig.beside("ca.pem"),
            (None, None) => WebhookKubeconfig::default().ca_file,
        };
        Ok(WebhookKubeconfig { ca_file, url })
    }
}

fn no_image() -> Failure {
    Failure::usage("a DaemonSet needs an image that carries iamgate").hint(
        "push one to a registry that your nodes reach and give it with --image; a static pod \
         (iamgate render static-pod) runs the host's own binary and needs none",
    )
}

fn starter(cluster_id: Option<ClusterId>) -> Result<StarterConfig, Failure> {
    match cluster_id {
        Some(cluster_id) => {
            Ok(StarterConfig { cluster_id, partition: None, roles: Vec::new(), users: Vec::new() })
        }
        None => Err(Failure::usage("cluster ID not specified").hint("give it with --cluster-id")),
    }
}

/// Every file of `dir` is a template; one with a name that is not known would go unused unseen.
pub(super) fn own_templates(dir: &Path) -> Result<Templates, Failure> {
    let told = |fault: &dyn std::fmt::Display, path: &Path| {
        Failure::from(format!("cannot read the template {}: {fault}", path.display()))
    };
    let entries = fs::read_dir(dir).map_err(|fault| {
        Failure::from(format!("cannot read the templates in {}: {fault}", dir.display()))
    })?;
    let mut own = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Before it is read: what is not ours may be long, or a directory.
        Templates::with([(&*name, "")]).map_err(|fault| unknown(fault, dir))?;
        let path = entry.path();
        let bytes = files::read_capped(&path, Templates::MAX_LEN).map_err(|f| told(&f, &path))?;
        let text = String::from_utf8(bytes).map_err(|fault| told(&fault.utf8_error(), &path))?;
        own.push((name, text));
    }
    Ok(Templates::with(own)?)
}

fn unknown(fault: RenderFault, dir: &Path) -> Failure {
    Failure::from(fault)
        .hint(format!("every file in {} replaces a built-in template", dir.display()))
}

fn uid(text: &str) -> Result<NonZeroU32, String> {
    let uid = text.parse::<NonZeroU32>().ok().filter(|uid| i64::from(uid.get()) <= ID_MAX);
    uid.ok_or_else(|| format!("expected a number from 1 to {ID_MAX}"))
}

fn seconds(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number.parse::<u32>().ok().filter(|_| digits).and_then(|n| n.checked_mul(unit));
    seconds
        .filter(|seconds| *seconds <= CACHE_TTL_MAX)
        .ok_or_else(|| "expected a time from 0s to 1h at most, such as 30s or 2m".to_owned())
}

/// What Kubernetes takes for `runAsUser` and `runAsGroup`.
const ID_MAX: i64 = i32::MAX as i64;
/// A revoked mapping lives on for so long in the API server, which is long enough.
const CACHE_TTL_MAX: u32 = 3600;

pub(super) const EXAMPLES: &str = "\
Examples:
  iamgate render static-pod --base-image registry.k8s.io/kube-apiserver:v1.34.1
  iamgate render daemonset --image registry.example.com/iamgate:v1 | kubectl apply -f -
  iamgate render configmap --cluster-id my-cluster.example.com
  iamgate render systemd --env HTTPS_PROXY=http://proxy.example.com:3128
  iamgate render kubeconfig --template-dir ./templates";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_api_server_writes_them() {
        for (text, wanted) in [("30s", 30), ("2m", 120), ("0", 0), ("60m", 3600), ("45", 45)] {
            assert_eq!(seconds(text), Ok(wanted), "{text}");
        }
        for text in ["", "s", "-1s", "+5s", "61m", "1h", "2m0s", "4294967296m"] {
            let expected = "expected a time from 0s to 1h at most, such as 30s or 2m";
            assert_eq!(seconds(text), Err(expected.into()), "{text:?}");
        }
    }

    #[test]
    fn nothing_of_ours_runs_as_root() {
        assert_eq!(uid("65532").map(NonZeroU32::get), Ok(65532));
        for text in ["0", "-1", "2147483648", "root", ""] {
            assert_eq!(uid(text), Err("expected a number from 1 to 2147483647".into()), "{text:?}");
        }
    }
}
