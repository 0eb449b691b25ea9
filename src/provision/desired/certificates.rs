//! The CA, the leaf and its key.

use super::Maker;
use crate::files::Attributes;
use crate::provision::certificates::{self, Certificates, Found, Kind, Material, Wanted, Why};
use crate::provision::host::{HostFault, NodePath};
use crate::provision::ledger::Generation;
use crate::provision::paths;
use crate::provision::plan::{Content, Phase, sha256};
use crate::provision::report::Refusal;
use crate::provision::request::Part;
use crate::secret::Secret;

impl Maker<'_> {
    /// The bundle that API servers trust, numbered.
    pub(super) fn certificates(&mut self) -> Result<Option<Generation>, HostFault> {
        let Ok(ca_path) = self.server.kubeconfig.parent().join(paths::CA) else { return Ok(None) };
        let (Ok(leaf_path), Ok(key_path)) = (
            self.server.state_dir.join(crate::keypair::CERTIFICATE_FILE),
            self.server.state_dir.join(crate::keypair::KEY_FILE),
        ) else {
            return Ok(None);
        };
        let ca_key_path = paths::ca_key();
        let ca = self.pem(&ca_path)?;
        let ca_key = self.pem(&ca_key_path)?;
        let leaf = self.pem(&leaf_path)?;
        let key = self.pem(&key_path)?;
        if !self.covers(Part::Certificates) {
            self.leaf =
                leaf.map(|leaf| String::from_utf8_lossy(&leaf).into_owned()).unwrap_or_default();
            return Ok(ca.map(|ca| self.generation(&ca)));
        }
        let found = Found {
            ca: ca.as_deref(),
            ca_key: ca_key.as_deref(),
            leaf: leaf.as_deref(),
            key: key.as_deref(),
        };
        let Ok(host) = self.server.webhook_host.parse() else {
            self.refusals.push(Refusal {
                path: Some(self.request.config.clone()),
                line: None,
                problem: format!("no certificate can be made for {}", self.server.webhook_host),
                cure: "give server.hostname a host name or an address".into(),
            });
            return Ok(None);
        };
        let wanted = Wanted {
            host,
            names: self.request.names.clone(),
            lifetimes: self.request.lifetimes,
            rotate: self.request.rotate,
            now: self.now,
        };
        let plan = match certificates::plan(&found, &wanted) {
            Ok(plan) => plan,
            Err(fault) => {
                self.refusals.push(Refusal {
                    path: Some(leaf_path),
                    line: None,
                    problem: fault.to_string(),
                    cure: "set the clock of this host, or move its certificates away".into(),
                });
                return Ok(None);
            }
        };
        // On a host that has none yet, there is nothing to say about it.
        let repaired = plan.reasons.iter().filter(|reason| reason.why != Why::Missing);
        self.warnings.extend(repaired.map(|reason| format!("{reason}, and is replaced")));
        for warning in &plan.warnings {
            self.half_done |= *warning == certificates::Warning::RotationPending;
            self.warnings.push(warning.to_string());
        }
        let Certificates {
            kind, ca: new_ca, ca_key: new_ca_key, leaf: new_leaf, key: new_key, ..
        } = &plan;
        let (uid, gid) = (self.request.owner.uid, self.request.owner.gid);
        let private = Attributes { mode: 0o600, owner: Some(super::ROOT), label: None };
        let (open, own) = (self.with(0o644, 0, 0), self.with(0o600, uid, gid));
        if *kind == Kind::Private {
            self.secret(ca_key_path, new_ca_key, ca_key.as_deref(), private);
        }
        // Without its name, which is another one each time.
        let authority = |facts: &certificates::Facts| {
            format!("a CA, until {}", facts.not_after.rfc3339().get(..10).unwrap_or_default())
        };
        let authorities: Vec<_> = plan.authorities.iter().map(authority).collect();
        let bundle = self.made(ca_path, new_ca, ca, &authorities, open);
        // The key first: a server that is told of the new certificate finds its key.
        self.secret(key_path, new_key, key.as_deref(), own);
        let shown = self.with(0o644, uid, gid);
        let leaf = self.made(
            leaf_path,
            new_leaf,
            leaf,
            std::slice::from_ref(&plan.facts.description),
            shown,
        );
        self.leaf =
            leaf.map(|leaf| String::from_utf8_lossy(&leaf).into_owned()).unwrap_or_default();
        let generation = bundle.map(|bundle| self.generation(&bundle));
        if generation.is_some() {
            self.ledger.ca.clone_from(&generation);
        }
        Ok(generation)
    }

    fn generation(&self, bundle: &[u8]) -> Generation {
        let sha256 = sha256(bundle);
        let number = self.look.ledger.generation(&sha256);
        Generation { sha256, number }
    }

    fn pem(&mut self, path: &NodePath) -> Result<Option<Vec<u8>>, HostFault> {
        match self.host.find(path)? {
            Some(entry) if entry.kind == crate::provision::host::Kind::File => {
                self.host.read(path, certificates::PEM_LIMIT)
            }
            // What else may be there is told with the places.
            Some(_) | None => Ok(None),
        }
    }

    /// A target for what is new or stays; the bytes that will be there.
    fn made(
        &mut self,
        path: NodePath,
        new: &Material<String>,
        old: Option<Vec<u8>>,
        meaning: &[String],
        with: Attributes,
    ) -> Option<Vec<u8>> {
        let bytes = match new {
            Material::New(text) => text.clone().into_bytes(),
            Material::Keep => old?,
        };
        let meaning = meaning.iter().map(|line| format!("{line}\n")).collect();
        let content = Content::Made { bytes: bytes.clone(), meaning };
        self.file(path, Phase::Files, content, with);
        Some(bytes)
    }

    fn secret(
        &mut self,
        path: NodePath,
        new: &Material<Secret>,
        old: Option<&[u8]>,
        with: Attributes,
    ) {
        let secret = match (new, old) {
            (Material::New(secret), _) => secret.clone(),
            (Material::Keep, Some(old)) => match str::from_utf8(old) {
                Ok(old) => Secret::new(old),
                Err(_) => return,
            },
            (Material::Keep, None) => return,
        };
        self.file(path, Phase::Files, Content::Secret(secret), with);
    }
}
