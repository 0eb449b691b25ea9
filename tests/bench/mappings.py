"""Time and memory of a server with many mappings: at its start, at rest, and while it takes up a changed file.

    tests/bench/mappings.py BINARY [FORMAT [NUMBER...]]

Half of the mappings are roles, half users; each has a name of its own, every user a user name of its own. Peaks are of
the whole process (VmHWM); what it holds for itself, without the pages of the program file, which the kernel can drop, is
RssAnon. Where memory cgroups can be made (as root), it also searches for the number of mappings with which a server
starts and takes up a changed file within 20 MiB, all that the kernel counts included.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rig import forget

NUMBERS = (10, 1_000, 100_000)
LIMIT_MIB = 20
# How near the search comes.
STEP = 1_000
START_SECONDS = 60
RELOAD_SECONDS = 60
# Longer than the first look at the file that is followed.
SETTLE_SECONDS = 2
ACCOUNTS, TEAMS = 50, 100
CGROUPS = (("memory", "memory.limit_in_bytes"), ("", "memory.max"))


def entry(kind: str, number: int) -> dict:
    team = f"team-{number % TEAMS}"
    account = 100_000_000_000 + number % ACCOUNTS
    username = f"{team}:{{{{SessionName}}}}" if kind == "role" else f"user-{number:06d}"
    arn = f"arn:aws:iam::{account}:{kind}/{team}-{kind}-{number:06d}"
    return {f"{kind}arn": arn, "username": username, "groups": [team, "developers"]}


def yaml(settings: dict, lists: dict) -> str:
    lines = ["clusterID: bench", "server:", *(f"  {key}: {json.dumps(value)}" for key, value in settings.items())]
    for name, entries in lists.items():
        lines.append(f"  {name}:")
        for one in entries:
            (arn_key, arn), *_ = one.items()
            lines += [f"  - {arn_key}: {arn}", f"    username: \"{one['username']}\"", "    groups:"]
            lines += [f"    - {group}" for group in one["groups"]]
    return "\n".join(lines) + "\n"


def as_json(settings: dict, lists: dict) -> str:
    return json.dumps({"clusterID": "bench", "server": {**settings, **lists}}, indent=1)


def toml(settings: dict, lists: dict) -> str:
    lines = ['clusterID = "bench"', "[server]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    for name, entries in lists.items():
        for one in entries:
            lines += [f"[[server.{name}]]", *(f"{key} = {json.dumps(value)}" for key, value in one.items())]
    return "\n".join(lines) + "\n"


FORMATS = {"yaml": yaml, "json": as_json, "toml": toml}


class Run:
    """A server on a file of so many mappings, in a memory cgroup if one is given."""

    def __init__(self, binary: str, form: str, count: int, directory: Path, cgroup: Path | None = None):
        self._form, self._directory = form, directory
        self._file = directory / f"config.{form}"
        (directory / "state").mkdir()
        self._write(count)
        self.size = self._file.stat().st_size
        self._log = directory / "log"
        enter = ["sh", "-c", 'echo $$ > "$0"; exec "$@"', str(cgroup / "cgroup.procs")] if cgroup else []
        began = time.perf_counter()
        with self._log.open("wb") as log:
            command = [*enter, binary, "server", "--config", str(self._file)]
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env={"PATH": os.defpath})
        self.alive = self._await(r"(?<!health )listening on 127", 0, START_SECONDS)
        self.seconds = time.perf_counter() - began

    def reload(self, count: int) -> float | None:
        """Seconds from the rename to the effect; nothing if the process did not outlive it."""
        before = self._log.stat().st_size
        self._write(count)
        began = time.perf_counter()
        done = self._await("configuration reloaded", before, RELOAD_SECONDS)
        return time.perf_counter() - began if done else None

    def status(self, name: str) -> float:
        """In MiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE).group(1)) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _write(self, count: int) -> None:
        settings = {
            "address": "127.0.0.1", "port": 0, "healthAddress": "127.0.0.1:0",
            "stateDir": str(self._directory / "state"), "generateKubeconfig": str(self._directory / "kubeconfig.yaml"),
        }
        lists = {
            "mapRoles": [entry("role", number) for number in range(count - count // 2)],
            "mapUsers": [entry("user", number) for number in range(count // 2)],
        }
        fresh = self._directory / "fresh"
        fresh.write_text(FORMATS[self._form](settings, lists))
        fresh.rename(self._file)

    def _await(self, pattern: str, offset: int, seconds: float) -> bool:
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline and self.process.poll() is None:
            if re.search(pattern, self._log.read_text()[offset:]):
                return True
            time.sleep(0.002)
        return False


def measured(binary: str, form: str, count: int) -> tuple[float, float]:
    """Prints a line; seconds to the start, and from a change to its effect."""
    with tempfile.TemporaryDirectory() as directory:
        run = Run(binary, form, count, Path(directory))
        try:
            assert run.alive, f"no server with {count} mappings"
            time.sleep(SETTLE_SECONDS)
            figures = [run.size / 2**20, run.seconds, run.status("VmHWM"), run.status("VmRSS"), run.status("RssAnon")]
            run.forget_peak()
            seconds = run.reload(count + 1)
            assert seconds is not None, f"no reload with {count} mappings"
            figures += [seconds, run.status("VmHWM"), run.status("RssAnon")]
        finally:
            run.stop()
    print(f"{form:5} {count:8}" + "".join(f" {figure:10.2f}" for figure in figures), flush=True)
    return run.seconds, seconds


def fits(binary: str, form: str, count: int, cgroup: Path) -> bool:
    forget(Path(binary))
    with tempfile.TemporaryDirectory() as directory:
        run = Run(binary, form, count, Path(directory), cgroup)
        try:
            if run.alive:
                time.sleep(SETTLE_SECONDS)
            return run.alive and run.reload(count + 1) is not None
        finally:
            run.stop()


def search(binary: str, form: str) -> None:
    for controller, limit in CGROUPS:
        cgroup = Path("/sys/fs/cgroup") / controller / f"iamgate-bench-{os.getpid()}"
        try:
            cgroup.mkdir()
        except OSError:
            continue
        try:
            (cgroup / limit).write_text(str(LIMIT_MIB * 2**20))
            low, high = 0, 200
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if fits(binary, form, middle * STEP, cgroup) else (low, middle)
            return print(f"{form}: {low * STEP} mappings start and reload in a cgroup of {LIMIT_MIB} MiB")
        except OSError:
            continue
        finally:
            cgroup.rmdir()
    print("no memory cgroup can be made here: the number that fits is not measured")


def measure(binary: Path, form: str = "yaml", numbers: tuple[int, ...] = NUMBERS) -> tuple[float, float]:
    """Prints a table and the number that fits; the last number's seconds to the start and to a change's effect."""
    # A copy that nobody else runs, so that its pages can be dropped.
    with tempfile.TemporaryDirectory() as directory:
        copy = shutil.copy2(binary, directory)
        names = ("file MiB", "start s", "peak MiB", "rest MiB", "rest anon", "reload s", "peak MiB", "anon MiB")
        print(f"{'':5} {'mappings':>8}" + "".join(f" {name:>10}" for name in names), flush=True)
        times = [measured(copy, form, number) for number in numbers]
        search(copy, form)
    return times[-1]


def main() -> None:
    binary, form, *numbers = sys.argv[1:] if len(sys.argv) > 2 else [sys.argv[1], "yaml"]
    measure(Path(binary), form, tuple(map(int, numbers)) or NUMBERS)


if __name__ == "__main__":
    main()
