//! The directory of static pods: which file runs the API server, and which are in the way.

use serde::Deserialize;

use super::{MANIFEST_LIMIT, Main, found};
use crate::provision::apiserver::{Manifest, PodFacts, looks};
use crate::provision::host::{Host, HostFault, Kind, NodePath};
use crate::provision::paths;
use crate::provision::plan::Found;
use crate::provision::report::Refusal;
use crate::provision::request::{ApiServer, Request};
use crate::provision::yaml;

/// The static pods of a host.
pub(in crate::provision) struct Pods {
    /// Where kubelet looks for them.
    pub(in crate::provision) directory: NodePath,
    /// What runs the API server.
    pub(in crate::provision) apiserver: Option<Main>,
    /// Files that would run a pod of the API server's name, or of ours, a second time.
    pub(in crate::provision) in_the_way: Vec<NodePath>,
    /// What killed runs left.
    pub(in crate::provision) leftovers: Vec<NodePath>,
}

struct PodFile {
    path: NodePath,
    found: Found,
    facts: PodFacts,
}

impl Pods {
    pub(super) fn at(
        host: &Host,
        request: &Request,
        refusals: &mut Vec<Refusal>,
    ) -> Result<Self, HostFault> {
        let directory = directory(host, request)?;
        if directory.is_within(&paths::known(paths::RANCHER)) {
            refusals.push(Refusal {
                path: Some(directory.clone()),
                line: None,
                problem: "RKE2 or k3s own this directory, and write its manifests anew".into(),
                cure: "give the flags to the API server by /etc/rancher/*/config.yaml, as the report of \
                       --apiserver later has them (kube-apiserver-arg), with --manifests-dir elsewhere or --workload systemd"
                    .into(),
            });
        }
        let mut all = Vec::new();
        let mut unread = Vec::new();
        for name in host.list(&directory)? {
            // kubelet's own rule: whatever does not begin with a dot is a manifest.
            if name.starts_with('.') {
                continue;
            }
            let Ok(path) = directory.join(&name) else { continue };
            let Some(found) = found(host, &path, MANIFEST_LIMIT)? else { continue };
            match found.bytes.as_deref().map(looks) {
                Some(Some(facts)) => all.push(PodFile { path, found, facts }),
                // A symlink is followed by kubelet; by us it is neither read nor replaced.
                Some(None) | None if found.entry.kind != Kind::Directory => {
                    unread.push((path, found))
                }
                Some(None) | None => {}
            }
        }
        let leftovers = leftovers(host, &directory)?;
        let mut pods = Self { directory, apiserver: None, in_the_way: Vec::new(), leftovers };
        pods.sort(request, all, unread, refusals);
        Ok(pods)
    }

    fn sort(
        &mut self,
        request: &Request,
        all: Vec<PodFile>,
        unread: Vec<(NodePath, Found)>,
        refusals: &mut Vec<Refusal>,
    ) {
        let main = self.main(request, &all, unread, refusals);
        let ours = self.directory.join(paths::STATIC_POD).ok();
        let identity = main.as_ref().map(|main| {
            let facts = all.iter().find(|file| file.path == *main).map(|file| &file.facts);
            facts.map(|facts| (facts.namespace.clone(), facts.name.clone()))
        });
        let identity = identity.flatten();
        let mut chosen = None;
        for PodFile { path, found, facts } in all {
            if Some(&path) == main.as_ref() {
                chosen = Some((path, found));
                continue;
            }
            let twice = identity.as_ref().is_some_and(|(namespace, name)| {
                *namespace == facts.namespace && *name == facts.name
            });
            // Ours runs in the API server's image, and is not one.
            let ours_twice = facts.is_ours && Some(&path) != ours.as_ref();
            if twice || (facts.runs_apiserver && !facts.is_ours) || ours_twice {
                self.in_the_way.push(path);
            }
        }
        if !request.quarantine {
            for path in &self.in_the_way {
                refusals.push(Refusal {
                    path: Some(path.clone()),
                    line: None,
                    problem: "kubelet reads this file too, whatever its name ends with, and it is of a pod that \
                              another file here is of"
                        .into(),
                    cure: format!(
                        "move it out of {}, or run again with --quarantine, which does that",
                        self.directory
                    ),
                });
            }
        }
        let Some((path, found)) = chosen else { return };
        match Manifest::read(found.bytes.as_deref().unwrap_or_default()) {
            Ok(manifest) => self.apiserver = Some(Main { path, found, manifest }),
            Err(_) if request.apiserver == ApiServer::Later => {}
            Err(refusal) => refusals.push(Refusal {
                path: Some(path),
                line: refusal.line(),
                problem: refusal.to_string(),
                cure: refusal.cure().to_string(),
            }),
        }
    }

    /// The file that the API server runs by.
    fn main(
        &self,
        request: &Request,
        all: &[PodFile],
        unread: Vec<(NodePath, Found)>,
        refusals: &mut Vec<Refusal>,
    ) -> Option<NodePath> {
        let runs = |file: &&PodFile| file.facts.runs_apiserver && !file.facts.is_ours;
        let mut candidates: Vec<_> = all.iter().filter(runs).map(|file| &file.path).collect();
        if let Some(named) = &request.manifest {
            if candidates.contains(&named) {
                return Some(named.clone());
            }
            refusals.push(Refusal {
                path: Some(named.clone()),
                line: None,
                problem: format!("it is not a file of {} that runs an API server", self.directory),
                cure: "leave --apiserver-manifest out, or name the file that does".into(),
            });
            return None;
        }
        if candidates.len() > 1 {
            let named: Vec<_> = candidates.iter().copied().filter(|path| is_named(path)).collect();
            if named.len() == 1 {
                candidates = named;
            }
        }
        match candidates.as_slice() {
            [one] => Some((*one).clone()),
            [] => {
                if request.apiserver == ApiServer::Edit {
                    refusals.push(self.none(unread));
                }
                None
            }
            [_, second, ..] => {
                refusals.push(Refusal {
                    path: Some((*second).clone()),
                    line: None,
                    problem: format!("{} files here run an API server", candidates.len()),
                    cure: "say which one counts with --apiserver-manifest; the others have to go, or are moved \
                           away with --quarantine"
                        .into(),
                });
                None
            }
        }
    }

    fn none(&self, unread: Vec<(NodePath, Found)>) -> Refusal {
        // A file of that name that could not be read tells more than that there is none.
        if let Some((path, found)) = unread.into_iter().find(|(path, _)| is_named(path)) {
            let told = match found.bytes.as_deref().map(Manifest::read) {
                Some(Err(refusal)) => {
                    Some((refusal.line(), refusal.to_string(), refusal.cure().to_string()))
                }
                Some(Ok(_)) => None,
                None => Some((
                    None,
                    "it is not a plain file".to_owned(),
                    "put the manifest itself there: a rename would replace a symlink".to_owned(),
                )),
            };
            if let Some((line, problem, cure)) = told {
                return Refusal { path: Some(path), line, problem, cure };
            }
        }
        Refusal {
            path: Some(self.directory.clone()),
            line: None,
            problem: "no file here runs an API server".into(),
            cure: "where the installer has still to make it, run with --apiserver later: it does everything else, \
                   and tells what to give to the installer; else name the directory with --manifests-dir"
                .into(),
        }
    }
}

/// Whether it has the name that installers give it.
fn is_named(path: &NodePath) -> bool {
    matches!(
        path.name(),
        "kube-apiserver.yaml"
            | "kube-apiserver.yml"
            | "kube-apiserver.json"
            | "kube-apiserver.manifest"
    )
}

/// The directory that kubelet reads.
fn directory(host: &Host, request: &Request) -> Result<NodePath, HostFault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kubelet {
        static_pod_path: Option<String>,
    }
    if let Some(named) = &request.manifests {
        return Ok(named.clone());
    }
    if let Some(file) = &request.manifest {
        return Ok(file.parent());
    }
    let text = host.read(&paths::known(paths::KUBELET_CONFIG), MANIFEST_LIMIT)?;
    let said = text
        .as_deref()
        .and_then(|text| yaml::read::<Kubelet>(text).ok())
        .and_then(|kubelet| kubelet.static_pod_path?.parse::<NodePath>().ok());
    Ok(said.unwrap_or_else(|| paths::known(paths::MANIFESTS)))
}

/// Temporary files of ours in `directory`.
pub(in crate::provision) fn leftovers(
    host: &Host,
    directory: &NodePath,
) -> Result<Vec<NodePath>, HostFault> {
    let names = host.list(directory)?.into_iter();
    let ours = names.filter(|name| name.starts_with(crate::files::TEMPORARY));
    Ok(ours.filter_map(|name| directory.join(&name).ok()).collect())
}
