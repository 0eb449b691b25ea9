"""A directory tree as a value: taken, compared, and the difference told in lines."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "pipe"}


@dataclass(frozen=True)
class Entry:
    kind: str
    mode: str
    owner: str
    content: str
    """SHA-256 of a file, target of a symlink."""
    inode: int
    modified: int
    changed: int

    @property
    def state(self) -> tuple[str, str, str, str]:
        """What somebody who reads it sees."""
        return (self.kind, self.mode, self.owner, self.content)

    @property
    def shape(self) -> tuple[str, str, str]:
        """The same without its content, which is made anew each time (keys, certificates)."""
        return (self.kind, self.mode, self.owner)


Tree = dict[str, Entry]


def entry(path: Path) -> Entry:
    found = path.lstat()
    kind = KINDS.get(stat.S_IFMT(found.st_mode), "other")
    content = ""
    if kind == "file":
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    elif kind == "symlink":
        content = os.readlink(path)
    return Entry(
        kind,
        f"{stat.S_IMODE(found.st_mode):04o}",
        f"{found.st_uid}:{found.st_gid}",
        content,
        found.st_ino,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def tree(root: Path) -> Tree:
    """Everything below `root`, and itself as `.`; no symlink is followed."""
    found = {".": entry(root)}
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = Path(directory, name)
            found[str(path.relative_to(root))] = entry(path)
    return found


def difference(before: Tree, after: Tree, what=lambda entry: entry.state) -> list[str]:
    """What differs, a line each; empty where nothing does. `what` says what of an entry counts."""
    lines = [f"gone: {path}" for path in sorted(before.keys() - after.keys())]
    lines += [f"new: {path} {what(after[path])}" for path in sorted(after.keys() - before.keys())]
    for path in sorted(before.keys() & after.keys()):
        if what(before[path]) != what(after[path]):
            lines.append(f"differs: {path} {what(before[path])} -> {what(after[path])}")
    return lines


def untouched(before: Tree, after: Tree) -> list[str]:
    """The same, where not even a time or an inode may differ."""
    return difference(before, after, lambda entry: entry)
