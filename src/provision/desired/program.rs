//! The program that the static pod runs: this one, copied to a directory of its own.
//!
//! A program that has not been touched since it was copied is known by the stamps of the two
//! files in the ledger, so that a run without change reads neither.

use std::fs::File;
use std::io;

use super::Maker;
use crate::files;
use crate::provision::host::{Entry, HostFault, NodePath};
use crate::provision::ledger;
use crate::provision::look::leftovers;
use crate::provision::paths;
use crate::provision::plan::{Content, Fit, Phase, Target, Want, sha256};
use crate::provision::report::Refusal;

impl Maker<'_> {
    /// The directory that is mounted into the pod.
    pub(super) fn program(&mut self) -> Result<Option<NodePath>, HostFault> {
        match self.installed() {
            Ok(directory) => directory.map(Some),
            Err(error) => {
                self.refusals.push(Refusal {
                    path: None,
                    line: None,
                    problem: format!(
                        "this program, {}, cannot be read: {error}",
                        self.program.display()
                    ),
                    cure: "run it from a file that can be read, or use --image".into(),
                });
                Ok(None)
            }
        }
    }

    fn installed(&mut self) -> io::Result<Result<NodePath, HostFault>> {
        let source = File::open(self.program)?;
        let stamp = Entry::of_file(&source)?.stamp;
        let known = self.look.ledger.program.clone().filter(|known| known.source == stamp);
        let (hash, bytes) = match &known {
            Some(known) => (known.sha256.clone(), None),
            None => {
                let bytes = read(&source)?;
                self.judge(&bytes);
                (sha256(&bytes), Some(bytes))
            }
        };
        let Some((directory, file)) = place(&hash) else {
            return Err(io::Error::other("its version makes no path"));
        };
        let found = match self.host.find(&file) {
            Ok(found) => found,
            Err(fault) => return Ok(Err(fault)),
        };
        let with = self.with(0o755, 0, 0);
        self.directory(paths::programs(), self.with(0o755, 0, 0), Fit::Exact);
        self.directory(directory.clone(), with.clone(), Fit::Exact);
        let untouched = known.as_ref().is_some_and(|known| {
            known.copy.is_some() && known.copy == found.map(|entry| entry.stamp)
        });
        let want = if untouched {
            Want::Kept { with }
        } else {
            let bytes = match bytes {
                Some(bytes) => bytes,
                None => read(&source)?,
            };
            Want::File { content: Content::Program(bytes), with }
        };
        self.targets.push(Target { path: file, phase: Phase::Files, want });
        if found.is_none()
            && let Err(fault) = self.old_programs(&directory)
        {
            return Ok(Err(fault));
        }
        let copy = known.and_then(|known| known.copy);
        self.ledger.program = Some(ledger::Program { sha256: hash, source: stamp, copy });
        Ok(Ok(directory))
    }

    /// The API server's image has no dynamic loader.
    fn judge(&mut self, program: &[u8]) {
        if !needs_loader(program) {
            return;
        }
        let problem = format!(
            "this program, {}, is not static, and would not run in the API server's image",
            self.program.display()
        );
        if self.host.is_running() {
            let cure = "install the static release binary (make build), or use --image".into();
            self.refusals.push(Refusal { path: None, line: None, problem, cure });
        } else {
            self.warnings.push(problem);
        }
    }

    /// Programs before the one that runs now: neither it nor the new one.
    fn old_programs(&mut self, new: &NodePath) -> Result<(), HostFault> {
        let all = paths::programs();
        let Ok(pod) = self.look.pods.directory.join(paths::STATIC_POD) else { return Ok(()) };
        let pod = self.host.read(&pod, super::FILE_LIMIT)?.unwrap_or_default();
        let pod = String::from_utf8_lossy(&pod).into_owned();
        for name in self.host.list(&all)? {
            let Ok(directory) = all.join(&name) else { continue };
            if directory == *new || pod.contains(directory.as_str()) {
                continue;
            }
            // A directory goes when there is nothing in it.
            for path in leftovers(self.host, &directory)? {
                self.targets.push(Target { path, phase: Phase::Files, want: Want::Gone });
            }
            if let Ok(file) = directory.join(PROGRAM) {
                self.targets.push(Target { path: file, phase: Phase::Files, want: Want::Gone });
                self.targets.push(Target {
                    path: directory,
                    phase: Phase::Files,
                    want: Want::Gone,
                });
            }
        }
        Ok(())
    }
}

fn read(source: &File) -> io::Result<Vec<u8>> {
    files::read_to_cap(source, LIMIT).map_err(io::Error::other)
}

fn place(hash: &str) -> Option<(NodePath, NodePath)> {
    let short = hash.get(..12)?;
    let directory =
        paths::programs().join(&format!("{}-{short}", env!("CARGO_PKG_VERSION"))).ok()?;
    let file = directory.join(PROGRAM).ok()?;
    Some((directory, file))
}

/// Whether an ELF program names a dynamic loader: its path stands among the first things in the
/// file (elf(5), PT_INTERP).
fn needs_loader(program: &[u8]) -> bool {
    let head = program.get(..HEAD).unwrap_or(program);
    let loaders: [&[u8]; 3] = [b"/ld-linux", b"/ld-musl-", b"/ld64.so"];
    loaders.iter().any(|loader| head.windows(loader.len()).any(|found| found == *loader))
}

const PROGRAM: &str = "iamgate";
/// The program's headers and the loader's path are in its first page.
const HEAD: usize = 4096;
/// A build with debugging information has less.
const LIMIT: usize = 512 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_known_by_its_head() {
        // What runs this test was linked as cargo does it.
        let test = File::open("/proc/self/exe").unwrap();
        let dynamic = cfg!(not(target_feature = "crt-static"));
        assert_eq!(needs_loader(&read(&test).unwrap()), dynamic);
        assert!(!needs_loader(b"\x7fELF and nothing more"));
    }
}
