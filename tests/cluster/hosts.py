"""Hosts with a real control plane (`tests/cluster/control-plane` makes them): what a test does to one and sees of it.

A host is reached as this machine reaches it: commands run inside its namespaces, and its files are under
/proc/PID/root. An absolute symbolic link on that way would lead back to this machine; tests use no path with one.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# From nothing to a ready node takes 10 s; with the programs to be built, 7 minutes.
UP_SECONDS = 1800
DOWN_SECONDS = 120
# Longer than any one command that a test runs takes, kubectl's tries against an API server that is restarting included.
COMMAND_SECONDS = 90
# kubelet gives an old API server 30 s of grace before it starts the new one: 36 to 39 s on a quiet machine.
RESTART_SECONDS = 180
# Far more than anything else that is waited for.
PATIENCE_SECONDS = 60
POLL_SECONDS = 0.1
# What is shown of a log when a test fails.
SHOWN_LINES = 40
# Of the bed's network: what listens here is reached by every host.
MACHINE = "198.51.100.1"
# Where ctr is: unpacked by scripts/tools, or installed.
TOOLS = f"{ROOT}/.cache/tools/cluster/usr/bin:/usr/bin:/bin"
ADMINISTRATOR = "/etc/kubernetes/admin.conf"
MANIFESTS = "/etc/kubernetes/manifests"
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    status: int
    stdout: str
    stderr: str
    seconds: float = field(compare=False)

    @property
    def json(self) -> dict:
        assert self.status == 0, self
        return json.loads(self.stdout)


class Failed(AssertionError):
    """A command ended with another status than 0, and the test needed it to succeed."""


def await_that(what: Callable[[], object], seconds: float = PATIENCE_SECONDS, why: str = ""):
    """The first true value of `what`, asked until there is one."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not true within {seconds} s: {why or what}"
        time.sleep(POLL_SECONDS)
    return found


class Bed:
    """All hosts of one directory. `close` leaves nothing of them."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.environment = {**os.environ, "CLUSTER_DIR": str(directory)}
        # As bed.sh names it.
        self.group = "iamgate-" + hashlib.sha256(str(directory).encode()).hexdigest()[:8]
        self._hosts: dict[str, Host] = {}

    def up(self, first: str, *others: str) -> list["Host"]:
        """Ready control planes of one cluster: `first` with its etcd, the others, all at once, over the same etcd."""
        self._wait({first: self._start_up(first)})
        self._wait({name: self._start_up(name, first) for name in others})
        return [self._hosts[name] for name in (first, *others)]

    def prepare(self, name: str) -> "Host":
        """A host on which kubelet runs and kubeadm has still to write the manifests, which `up` goes on with."""
        self._wait({name: self._start_up(name, verb="prepare")})
        return self._hosts[name]

    def bare(self, name: str) -> "Host":
        """A host without any of it."""
        command = [HERE / "host", "up", name]
        subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, timeout=DOWN_SECONDS, check=True)
        self._hosts[name] = Host(self, name)
        return self._hosts[name]

    def down(self, name: str) -> None:
        """That host goes; the others stay."""
        subprocess.run([HERE / "host", "down", name], env=self.environment, timeout=DOWN_SECONDS, check=True)
        del self._hosts[name]

    def _start_up(self, *arguments: str, verb: str = "up") -> subprocess.Popen:
        command = [HERE / "control-plane", verb, *arguments]
        return subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL)

    def _wait(self, started: dict[str, subprocess.Popen]) -> None:
        status = {name: process.wait(UP_SECONDS) for name, process in started.items()}
        for name in status:
            assert status[name] == 0, f"{name} did not come up: its logs are in {self.directory}/hosts/{name}/log"
            self._hosts[name] = Host(self, name)

    def close(self) -> None:
        subprocess.run([HERE / "host", "down"], env=self.environment, timeout=DOWN_SECONDS, check=True)

    @property
    def hosts(self) -> list["Host"]:
        return list(self._hosts.values())

    def client(self, *command: object, **options) -> Ran:
        """Runs a command of somebody's machine: with this machine's files, in the hosts' network."""
        return run("nsenter", f"--net=/proc/{self._network}/ns/net", "--", *command, **options)

    def network(self) -> contextlib.AbstractContextManager[None]:
        """Sockets that this thread makes meanwhile are in the hosts' network, and stay there."""
        return _network(self._network)

    @property
    def _network(self) -> str:
        return (self.directory / "first").read_text().split()[0]


class Host:
    def __init__(self, bed: Bed, name: str):
        self.name = name
        self._bed = bed
        self._directory = bed.directory / "hosts" / name
        self.address = (self._directory / "address").read_text().strip()
        self._root = Path("/proc", (self._directory / "first").read_text().split()[0], "root")

    @property
    def programs(self) -> Path:
        """Where kubectl is, in this machine's files and in the host's."""
        return Path((self._directory / "programs").read_text().strip())

    # Commands and files.

    def attempt(self, *command: object, **options) -> Ran:
        """Runs a command on the host, with nothing of this machine's environment."""
        namespaces = ("--mount", "--net", "--uts", "--pid")
        return run("nsenter", "--target", self._root.parent.name, *namespaces, "--", *command, **options)

    def run(self, *command: object, **options) -> Ran:
        """The same, of a command that must succeed."""
        ran = self.attempt(*command, **options)
        if ran.status != 0:
            raise Failed(f"{command} on {self.name} left with {ran.status}:\n{ran.stdout[-2000:]}{ran.stderr[-4000:]}")
        return ran

    def start(self, *command: object, environment: dict[str, str]) -> subprocess.Popen:
        """A command that goes on. Its number is nsenter's; what it starts is its child."""
        namespaces = ("--mount", "--net", "--uts", "--pid")
        words = ["nsenter", "--target", self._root.parent.name, *namespaces, "--", *map(str, command)]
        return subprocess.Popen(words, env={"PATH": "/usr/bin:/bin", **environment}, stdin=subprocess.DEVNULL)

    def network(self) -> contextlib.AbstractContextManager[None]:
        """Sockets that this thread makes meanwhile are the host's own."""
        return _network(self._root.parent.name)

    def path(self, path: str) -> Path:
        """The host's file as this machine reaches it."""
        assert path.startswith("/"), path
        return self._root / path[1:]

    def put(self, path: str, content: bytes | str, mode: int = 0o644, owner: int = 0) -> None:
        """A whole file by one rename, under a name that kubelet overlooks until then."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".{target.name}.new")
        new.touch(mode=0o600)
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        os.chown(new, owner, owner)
        new.chmod(mode)
        new.rename(target)

    # The cluster, asked as its administrator through this host's own API server.

    def kubectl(self, *arguments: object, **options) -> Ran:
        server = f"https://{self.address}:6443"
        command = (self.programs / "kubectl", "--kubeconfig", self.path(ADMINISTRATOR), "--server", server)
        return self._bed.client(*command, *arguments, **options)

    def pod(self, component: str) -> dict | None:
        """The mirror of a static pod, or None."""
        ran = self.kubectl("get", "pod", "-n", "kube-system", f"{component}-{self.name}", "-o", "json")
        return ran.json if ran.status == 0 else None

    def pod_is_ready(self, component: str) -> bool:
        pod = self.pod(component)
        conditions = pod["status"].get("conditions", []) if pod else []
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def kubeconfig(self, path: Path, user: dict) -> Path:
        """Writes the file of a person whose entry is `user`."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "bed",
                    "cluster": {
                        "server": f"https://{self.address}:6443",
                        "certificate-authority": str(self.path("/etc/kubernetes/pki/ca.crt")),
                    },
                }
            ],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "me"}}],
            "current-context": "bed",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path

    def tell_kubeadm(self, flags: list[dict], volumes: list[dict], audit: bool = True) -> None:
        """What a user adds to apiServer's extraArgs and extraVolumes, on a host that is only prepared; with the bed's own
        audit log or without it."""
        file = self._directory / "kubeadm.yaml"
        documents = list(yaml.safe_load_all(file.read_text()))
        api_server = next(document for document in documents if "apiServer" in document)["apiServer"]
        if not audit:
            api_server["extraArgs"], api_server["extraVolumes"] = [], []
        api_server["extraArgs"] += flags
        api_server["extraVolumes"] += volumes
        file.write_text(yaml.safe_dump_all(documents, sort_keys=False))

    @property
    def version(self) -> str:
        """Of Kubernetes, as `v1.37.2`."""
        return self.run("kubeadm", "version", "-o", "short", environment={"PATH": f"{self.programs}:/usr/bin"}).stdout.strip()

    def load(self, image: Path) -> None:
        """An image in a file is as if it had been pulled. The file has to be below the tree or its cache."""
        self.run("ctr", "--namespace", "k8s.io", "images", "import", image, environment={"PATH": TOOLS})

    # What runs.

    def process(self, program: str) -> tuple[int, str] | None:
        """Number and start of the newest process with that name; None where there is none."""
        found = self.attempt("pgrep", "--newest", "--exact", program[:15]).stdout.strip()
        if not found:
            return None
        with contextlib.suppress(OSError, IndexError):
            return int(found), self.path(f"/proc/{found}/stat").read_text().rpartition(")")[2].split()[19]
        return None

    def starts(self, container: str) -> int:
        """How often containerd has made a container with that name since the host is up."""
        log = (self._directory / "log/containerd.log").read_text()
        made = rf"ContainerMetadata{{Name:{re.escape(container)},Attempt:\d+,}} returns container id"
        return len(re.findall(made, log))

    def ready(self) -> bool:
        return self.kubectl("get", "--raw", "/readyz", "--request-timeout", "5s").stdout.startswith("ok")

    @contextlib.contextmanager
    def api_server_restarts(self) -> Iterator[None]:
        """The block makes kubelet exchange the API server; afterwards the new one is ready."""
        before = self.process("kube-apiserver")
        yield
        await_that(
            lambda: (now := self.process("kube-apiserver")) and now != before and self.ready(),
            RESTART_SECONDS,
            f"a new API server on {self.name}",
        )

    def restart(self, service: str) -> None:
        """etcd, containerd or kubelet, by SIGKILL."""
        command = [HERE / "control-plane", "restart", self.name, service]
        subprocess.run(command, env=self._bed.environment, timeout=UP_SECONDS, check=True)

    # What it tells.

    def log(self, component: str) -> str:
        """What a static pod's containers wrote, of all their runs that kubelet kept, oldest first.

        The log of a pod that another has taken the place of goes with it.
        """
        files = (self._directory / "pods").glob(f"*_{component}-{self.name}_*/*/*.log")
        text = "".join(
            file.read_text(errors="replace") for file in sorted(files, key=lambda file: file.stat().st_mtime)
        )
        # Each line begins with time, stream and whether it is whole.
        return re.sub(r"^\S+ \S+ [FP] ", "", text, flags=re.MULTILINE)

    def audit(self) -> list[dict]:
        """The API server's own record of who asked for what and got which answer."""
        log = self._directory / "audit/audit.log"
        return [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]

    def peak_memory(self, component: str) -> int:
        """The most that any container of a static pod has held at once, in bytes, as its control group counts."""
        pod = self.pod(component)
        assert pod, f"no pod {component} on {self.name}"
        uid = pod["metadata"]["annotations"]["kubernetes.io/config.hash"]
        groups = Path("/sys/fs/cgroup")
        peaks = [
            int(file.read_text())
            for name in ("memory.max_usage_in_bytes", "memory.peak")
            for file in groups.glob(f"**/{self._bed.group}/{self.name}/**/*{uid}*/*/{name}")
        ]
        assert peaks, f"no control group of {component} on {self.name}"
        return max(peaks)

    def last_words(self) -> dict[str, str]:
        """The ends of all logs, for a test that failed."""
        files = sorted((self._directory / "log").glob("*.log"))
        logs = {file.name: file.read_text(errors="replace") for file in files}
        logs |= {name: self.log(name) for name in ("kube-apiserver", "iamgate")}
        ends = {name: "\n".join(log.splitlines()[-SHOWN_LINES:]) for name, log in logs.items()}
        return {f"{name} on {self.name}": end for name, end in ends.items() if end}



def run(
    *command: object,
    environment: dict[str, str] | None = None,
    given: str | None = None,
    seconds: float = COMMAND_SECONDS,
) -> Ran:
    """With `given` as its input, an empty home and nothing else in the environment but `environment`."""
    started = time.monotonic()
    done = subprocess.run(
        [str(word) for word in command],
        env={"HOME": "/proc/nonexistent", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(environment or {})},
        input=given or "",
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


@contextlib.contextmanager
def _network(process: str) -> Iterator[None]:
    ours = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    theirs = os.open(f"/proc/{process}/ns/net", os.O_RDONLY)
    try:
        _enter(theirs)
        yield
    finally:
        _enter(ours)
        os.close(ours)
        os.close(theirs)


def _enter(namespace: int) -> None:
    # os.setns is there from Python 3.12 on.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
