//! How a path resolves at this moment: every directory entry on which the answer depends.
//!
//! The kernel resolves a path without telling the way, so the walk is done here, name by name.
//! It only looks; reading the file goes through the kernel.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::content::Stamp;

/// Symbolic links followed before the path counts as a loop: the kernel's own limit
/// (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// One path's resolution. Two equal trails led to the same file in the same state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Trail {
    entries: Vec<Entry>,
    end: End,
}

/// A name in a directory, whose change may change the answer: a symbolic link, the file, or the
/// first name that is missing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) dir: Dir,
    pub(super) name: OsString,
}

/// A directory: free of symbolic links by its path, and one certain directory by its inode.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Dir {
    pub(super) path: PathBuf,
    /// Device and inode number; `None` if it has gone while it was looked at.
    pub(super) inode: Option<(u64, u64)>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum End {
    File(Stamp),
    Loop,
    Fault(io::ErrorKind),
}

impl Trail {
    /// Walks along `path`, which is absolute.
    pub(super) fn of(path: &Path) -> Self {
        let mut entries = Vec::new();
        let end = walk(path, &mut entries);
        Self { entries, end }
    }

    /// The directories to watch and the names in them.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

fn walk(path: &Path, entries: &mut Vec<Entry>) -> End {
    let mut here = PathBuf::from("/");
    // The names still to go, the next one last.
    let mut ahead = names(path);
    let mut links = 0;
    let mut end = End::Fault(io::ErrorKind::IsADirectory);
    while let Some(name) = ahead.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        let metadata = match fs::symlink_metadata(&next) {
            Ok(metadata) => metadata,
            Err(error) => {
                entries.push(Entry::new(&here, name));
                return End::Fault(error.kind());
            }
        };
        if metadata.is_symlink() {
            entries.push(Entry::new(&here, name));
            links += 1;
            if links > MAX_LINKS {
                return End::Loop;
            }
            match fs::read_link(&next) {
                Ok(target) => {
                    if target.is_absolute() {
                        here = PathBuf::from("/");
                    }
                    ahead.extend(names(&target));
                }
                Err(error) => return End::Fault(error.kind()),
            }
        } else if metadata.is_dir() && !ahead.is_empty() {
            here = next;
        } else {
            // The end of the path, or a file where a directory should be.
            entries.push(Entry::new(&here, name));
            if !ahead.is_empty() {
                return End::Fault(io::ErrorKind::NotADirectory);
            }
            end = End::File(Stamp::of(&metadata));
        }
    }
    end
}

/// The names of a path in reverse, so that the next one can be popped.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().rev().filter_map(name).collect()
}

impl Entry {
    fn new(dir: &Path, name: OsString) -> Self {
        let inode = fs::symlink_metadata(dir).ok().map(|found| (found.dev(), found.ino()));
        Self { dir: Dir { path: dir.to_owned(), inode }, name }
    }
}

impl Dir {
    /// The directory lies on a file system where other machines, or a process behind FUSE, change
    /// files without this kernel knowing, so without an event.
    pub(super) fn is_remote(&self) -> bool {
        // Numbers of statfs(2) and linux/magic.h. An overlay is not among them: what is changed
        // through it is told, and what is changed below it shows when looked at.
        const REMOTE: [u32; 14] = [
            0x0000_6969, // nfs
            0x0000_517b, // smb
            0xff53_4d42, // cifs
            0xfe53_4d42, // smb2
            0x6573_5546, // fuse, virtiofs
            0x0102_1997, // 9p
            0x00c3_6400, // ceph
            0x5346_414f, // afs
            0x6b41_4653, // afs of the kernel
            0x7375_7245, // coda
            0x0bd0_0bd0, // lustre
            0x4750_4653, // gpfs
            0x786f_4256, // vboxsf
            0xbacb_acbc, // vmhgfs
        ];
        #[expect(clippy::cast_possible_truncation, reason = "the numbers have 32 bits")]
        let number = |found: rustix::fs::StatFs| found.f_type as u32;
        rustix::fs::statfs(&self.path).is_ok_and(|found| REMOTE.contains(&number(found)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn shape(trail: &Trail, root: &Path) -> Vec<String> {
        let below = |entry: &Entry| {
            let dir = entry.dir.path.strip_prefix(root).unwrap().display().to_string();
            format!("{dir}:{}", entry.name.display())
        };
        trail.entries().iter().map(below).collect()
    }

    fn scene() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        (dir, root)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the tests write as any program would")]
    fn every_link_on_the_way_is_an_entry_and_plain_directories_are_not() {
        let (_dir, root) = scene();
        fs::create_dir_all(root.join("etc/cfg/..v1")).unwrap();
        fs::write(root.join("etc/cfg/..v1/config"), "x").unwrap();
        symlink("..v1", root.join("etc/cfg/..data")).unwrap();
        symlink("..data/config", root.join("etc/cfg/config")).unwrap();
        symlink(root.join("etc/cfg"), root.join("way")).unwrap();
        let trail = Trail::of(&root.join("etc/../way/config"));
        let expected = [":way", "etc/cfg:config", "etc/cfg:..data", "etc/cfg/..v1:config"];
        assert_eq!(shape(&trail, &root), expected);
        assert!(matches!(trail.end, End::File(_)));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the tests write as any program would")]
    fn a_missing_name_is_watched_in_the_last_directory_that_is_there() {
        let (_dir, root) = scene();
        let trail = Trail::of(&root.join("a/b/config"));
        assert_eq!((shape(&trail, &root).concat(), trail.end), (":a".into(), fault("NotFound")));
        fs::write(root.join("a"), "a file in the way").unwrap();
        let trail = Trail::of(&root.join("a/b/config"));
        assert_eq!((shape(&trail, &root).concat(), trail.end), (":a".into(), fault("NotADir")));
    }

    fn fault(kind: &str) -> End {
        End::Fault(match kind {
            "NotFound" => io::ErrorKind::NotFound,
            _ => io::ErrorKind::NotADirectory,
        })
    }

    #[test]
    fn a_loop_of_links_ends() {
        let (_dir, root) = scene();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        let trail = Trail::of(&root.join("a"));
        assert_eq!((trail.entries.len(), &trail.end), (MAX_LINKS + 1, &End::Loop));
    }

    #[test]
    fn a_local_directory_is_not_remote() {
        let root = Dir { path: PathBuf::from("/proc"), inode: None };
        assert!(!root.is_remote());
    }
}
