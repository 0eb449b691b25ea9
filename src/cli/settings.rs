//! Flags over environment over configuration file over defaults, as typed settings.

use std::path::{Path, PathBuf};

use super::Global;
use super::flags::Gates;
use super::init::{InitArgs, Initial};
use super::server::ServerArgs;
use super::token::TokenArgs;
use super::verify::{Verification, VerifyArgs};
use crate::client::Request;
use crate::config::{
    self, Checked, ClientOverrides, ClientSettings, Document, Faults, ServerOverrides,
    ServerSettings, Warning,
};
use crate::face::Face;
use crate::files;
use crate::mapping::Rules;
use crate::outcome::Failure;
use crate::secret::Secret;
use crate::system::Environment;

/// What every command starts from.
#[derive(Debug)]
pub(crate) struct Settings {
    face: Face,
    config: Option<PathBuf>,
    cluster_id: Option<String>,
    role: Option<String>,
    sso_gate: Option<bool>,
    init_gate: bool,
}

impl Settings {
    pub(crate) fn new(global: &Global, face: Face, environment: &impl Environment) -> Self {
        let cluster_id = global.cluster_id.clone();
        Self {
            face,
            // An empty name is no name, as with `--config "$CONFIG"` in scripts.
            config: global.config.clone().filter(|file| !file.is_empty()).map(PathBuf::from),
            cluster_id: cluster_id
                .or_else(|| environment.var("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID")),
            role: environment.var("DEFAULT_ROLE"),
            sso_gate: Gates::sso(&global.feature_gates),
            init_gate: Gates::configured_init(&global.feature_gates),
        }
    }

    pub(crate) fn face(&self) -> Face {
        self.face
    }

    /// The file of the server's mappings: the one that was named, or, under our own name, the one
    /// where every installation has it.
    pub(crate) fn server_file(&self) -> Option<PathBuf> {
        match (&self.config, self.face) {
            (Some(path), _) => Some(path.clone()),
            (None, Face::Own) => Some(PathBuf::from(DEFAULT_CONFIG)),
            (None, Face::Reference) => None,
        }
    }

    /// The flags of `server`, to be laid over each content of the file.
    pub(crate) fn server_overrides(&self, args: &ServerArgs) -> ServerOverrides {
        ServerOverrides {
            cluster_id: self.cluster_id.clone(),
            partition: args.partition.clone(),
            generate_kubeconfig: args.generate_kubeconfig.clone(),
            kubeconfig_pregenerated: args.kubeconfig_pregenerated,
            state_dir: args.state_dir.clone(),
            kubeconfig: args.kubeconfig.clone(),
            master: args.master.clone(),
            address: args.address.clone(),
            hostname: None,
            backend_mode: args.backend_mode.clone(),
            port: args.port,
            ec2_qps: args.ec2_qps,
            ec2_burst: args.ec2_burst,
            sso_gate: self.sso_gate,
            strict: args.strict == Some(true),
        }
    }

    /// What `token` is asked for.
    pub(crate) fn token(&self, args: &TokenArgs) -> Result<Request, Failure> {
        let over = ClientOverrides {
            cluster_id: self.cluster_id.clone(),
            region: args.region.clone(),
            role: args.role.clone().or_else(|| self.role.clone()),
            external_id: args.external_id.clone(),
            session_name: args.session_name.clone(),
            token_only: args.token_only,
            forward_session_name: args.forward_session_name,
            cache: args.cache,
            ..ClientOverrides::default()
        };
        let client = client(self.client_file()?.as_ref(), &over)?;
        Ok(Request {
            cluster_id: client.cluster_id,
            region: client.region,
            role: client.role,
            external_id: client.external_id,
            session_name: client.session_name,
            forward_session_name: client.forward_session_name,
            token_only: client.token_only,
            cache: client.cache,
        })
    }

    /// What `verify` is asked for.
    pub(crate) fn verify(&self, args: &VerifyArgs) -> Result<Verification, Failure> {
        let over = ClientOverrides {
            cluster_id: self.cluster_id.clone(),
            token: args.token.as_deref().map(Secret::new),
            output: args.output.clone(),
            partition: args.partition.clone(),
            ..ClientOverrides::default()
        };
        let document = self.client_file()?;
        let ClientSettings { cluster_id, token, output, sts, .. } =
            client(document.as_ref(), &over)?;
        let Some(token) = token.filter(|token| !token.expose().is_empty()) else {
            return Err(Failure::usage("token not specified").hint("give it with --token"));
        };
        if cluster_id.is_none() {
            let missing = Failure::usage("cluster ID not specified");
            return Err(missing.hint("give it with --cluster-id"));
        }
        let Checked { value, warnings } =
            config::acceptance(document.as_ref(), &over).map_err(wrong)?;
        warn(&warnings);
        Ok(Verification { token, output, accept: value, sts })
    }

    /// What `init` is asked for. Under our own name the server's file is read where there is one.
    pub(crate) fn init(&self, args: &InitArgs) -> Result<Initial, Failure> {
        let over = ServerOverrides {
            cluster_id: self.cluster_id.clone(),
            address: args.address.clone(),
            hostname: args.hostname.clone(),
            sso_gate: self.sso_gate,
            ..ServerOverrides::default()
        };
        let file = self.server_file().filter(|file| self.config.is_some() || file.exists());
        let document = file.as_deref().map(document).transpose()?;
        let is_told = document.is_some();
        let Checked { value, warnings } =
            config::server(document, &over, self.face).map_err(wrong)?;
        // Without a file nobody is mapped, which is no news to who gave none.
        if is_told {
            warn(&warnings);
        }
        Ok(Initial { fixed: value.fixed, in_configured_places: self.init_gate })
    }

    /// The rules of the server's file, as `server` would read them.
    pub(crate) fn rules(&self) -> Result<Rules, Failure> {
        let document =
            document(self.config.as_deref().unwrap_or_else(|| Path::new(DEFAULT_CONFIG)))?;
        let over = ServerOverrides {
            cluster_id: self.cluster_id.clone(),
            sso_gate: self.sso_gate,
            ..ServerOverrides::default()
        };
        let settings: Checked<ServerSettings> = config::server(Some(document), &over, self.face)?;
        warn(&settings.warnings);
        Ok(settings.value.policy.rules)
    }

    /// The file that was named.
    fn client_file(&self) -> Result<Option<Document>, Failure> {
        self.config.as_deref().map(document).transpose()
    }
}

fn client(document: Option<&Document>, over: &ClientOverrides) -> Result<ClientSettings, Failure> {
    let Checked { value, warnings } = config::client(document, over).map_err(wrong)?;
    warn(&warnings);
    Ok(value)
}

fn document(file: &Path) -> Result<Document, Failure> {
    let bytes = files::read_capped(file, Document::MAX_LEN).map_err(|error| {
        format!("Can't read configuration file {:?}: {error}", file.display().to_string())
    })?;
    Ok(Document::read(&bytes, file)?)
}

/// A wrong flag is a wrong command line; all else is a wrong file.
pub(crate) fn wrong(faults: Faults) -> Failure {
    let flag = faults.iter().any(|fault| fault.path().starts_with("--"));
    match flag {
        true => Failure::usage(faults),
        false => faults.into(),
    }
}

/// Logs what is doubtful about a file.
pub(crate) fn warn(warnings: &[Warning]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Where every installation has its configuration.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/aws-iam-authenticator/config.yaml";
