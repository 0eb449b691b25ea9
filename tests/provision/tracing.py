"""The binary under strace: what it asks the system for, and what if that fails or the process dies there."""

import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from control_plane_host import RUN_LIMIT, Host, Ran, environment

# Everything that changes a file system, and what makes a change last. Those that a machine's kernel does not know stay out with `?`.
CHANGING = (
    "open openat openat2 creat write pwrite64 writev fsync fdatasync ftruncate truncate chmod fchmod fchmodat ?fchmodat2 "
    "chown lchown fchown fchownat rename renameat renameat2 unlink unlinkat rmdir mkdir mkdirat link linkat symlink "
    "symlinkat mknod mknodat fsetxattr setxattr lsetxattr utimensat fallocate copy_file_range sendfile"
).split()
STRACE = shutil.which("strace") or str(Path(__file__).parents[2] / ".cache/tools/bin/strace")
LOOKING = "statx newfstatat fstat read getdents64 readlinkat".split()
CALL = re.compile(r"^(?:\d+ +)?(?P<name>\w+)\((?P<rest>.*)$")


@dataclass(frozen=True)
class Call:
    name: str
    number: int
    """Which call of this name it was, from 1: strace counts the same way."""
    text: str

    @property
    def failed(self) -> bool:
        return " = -1 " in self.text

    def __str__(self) -> str:
        return f"{self.name} #{self.number}: {self.text[:160]}"


def trace(host: Host, *arguments: str, calls=tuple(CHANGING)) -> tuple[Ran, list[Call]]:
    """Runs it, and tells the calls in their order."""
    ran, lines = _strace(host, arguments, calls)
    found, numbers = [], {}
    for line in lines:
        if match := CALL.match(line):
            name = match["name"]
            numbers[name] = numbers.get(name, 0) + 1
            found.append(Call(name, numbers[name], line))
    return ran, found


def inside(host: Host, calls: list[Call]) -> list[Call]:
    """Those that are about the host, and not about loading the program or reading /proc."""
    return [call for call in calls if str(host.root) in call.text and not call.name.startswith("execve")]


def changes(call: Call) -> bool:
    """Whether it would change the file system, as opening a file that is there to read it does not."""
    if call.name.startswith("open"):
        return "O_CREAT" in call.text or "O_TRUNC" in call.text
    return call.name not in LOOKING


def fail(host: Host, call: Call, error: str, *arguments: str) -> Ran:
    """The same run, in which this call fails."""
    ran, lines = _strace(host, arguments, (call.name,), f"{call.name}:error={error}:when={call.number}")
    assert any("(INJECTED)" in line for line in lines), f"{call} was not made in this run"
    return ran


def kill(host: Host, call: Call, *arguments: str) -> None:
    """The same run, which is killed as it is about to make this call."""
    ran, _ = _strace(host, arguments, (call.name,), f"{call.name}:signal=SIGKILL:error=EIO:when={call.number}")
    assert ran.status in (-signal.SIGKILL, 128 + signal.SIGKILL), f"{call} was not made in this run: {ran}"


def _strace(host: Host, arguments, calls, inject: str | None = None) -> tuple[Ran, list[str]]:
    with tempfile.NamedTemporaryFile("r", dir=host.root.parent, prefix="trace-") as log:
        wrapper = [STRACE, "--follow-forks", "--quiet=all", "--decode-fds=path", "--string-limit=80"]
        wrapper += [f"--output={log.name}", f"--trace={','.join(calls)}"]
        if inject:
            wrapper += [f"--inject={inject}"]
        if not inject or "signal" not in inject:
            # Faster, but it would lose the signal.
            wrapper += ["--seccomp-bpf"]
        ran = host.run(*arguments, wrapper=tuple(wrapper))
        return ran, log.read().splitlines()
