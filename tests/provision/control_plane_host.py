"""A control-plane host that is a directory, and the real binary working in it."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tree import Tree, tree

MANIFESTS = Path(__file__).parents[1] / "manifests"
KUBEADM = MANIFESTS / "kubeadm-1.34" / "kube-apiserver.yaml"
CLUSTER = "c.example.com"
IMAGE = "registry.example.com/iamgate:v1"
# A run takes some 50 ms; one under strace some 300.
RUN_LIMIT = 60

APISERVER = "etc/kubernetes/manifests/kube-apiserver.yaml"
POD = "etc/kubernetes/manifests/iamgate.yaml"
CONFIG = "etc/aws-iam-authenticator/config.yaml"
CA = "etc/kubernetes/aws-iam-authenticator/ca.pem"
KUBECONFIG = "etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml"
CERTIFICATE = "var/aws-iam-authenticator/cert.pem"
KEY = "var/aws-iam-authenticator/key.pem"
STATE = "var/lib/iamgate"
CA_KEY = f"{STATE}/ca-key.pem"
LEDGER = f"{STATE}/ledger.json"


@dataclass(frozen=True)
class Ran:
    status: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict:
        assert self.stdout, f"no report; status {self.status}, stderr {self.stderr!r}"
        return json.loads(self.stdout)

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [(change["action"], change["path"].removeprefix("/")) for change in self.report["changes"]]


class Host:
    """`arguments` are what `provision` gets besides --root and --output."""

    def __init__(self, binary: Path, root: Path, *arguments: str):
        self.binary, self.root = binary, root
        self.arguments = arguments or ("--cluster-id", CLUSTER, "--image", IMAGE)

    def install(self, manifest: Path | bytes = KUBEADM) -> "Host":
        """What an installer leaves there."""
        for directory, mode in [
            ("etc/kubernetes/manifests", 0o755),
            ("etc/kubernetes/pki", 0o755),
            ("etc/ssl/certs", 0o755),
            ("var/lib/kubelet", 0o750),
            ("var/lib/etcd", 0o700),
            ("var/log", 0o755),
        ]:
            path = self.root / directory
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(mode)
        self.write("var/lib/kubelet/config.yaml", "staticPodPath: /etc/kubernetes/manifests\n", 0o644)
        self.write("etc/kubernetes/pki/sa.key", "somebody else's\n", 0o600)
        self.write("etc/kubernetes/manifests/etcd.yaml", "kind: Pod\nmetadata: {name: etcd}\n", 0o600)
        self.write(APISERVER, manifest if isinstance(manifest, bytes) else manifest.read_bytes(), 0o600)
        return self

    def write(self, path: str, content: str | bytes, mode: int = 0o644) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)
        return file

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def copy(self, root: Path) -> "Host":
        subprocess.run(["cp", "-a", self.root, root], check=True)
        return Host(self.binary, root, *self.arguments)

    def remove(self) -> None:
        shutil.rmtree(self.root)

    def tree(self) -> Tree:
        return tree(self.root)

    def command(self, *arguments: str) -> list:
        """The command line; `arguments` begin with the command itself, and the host's own come after it."""
        command, *rest = arguments
        own = self.arguments if command == "provision" else ()
        return [self.binary, command, "--root", self.root, "--output", "json", *own, *rest]

    def run(self, *arguments: str, wrapper: tuple = (), **options) -> Ran:
        command = [*wrapper, *self.command(*arguments)]
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=RUN_LIMIT, env=environment(), check=False, **options
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def provision(self, *arguments: str, **options) -> Ran:
        return self.run("provision", *arguments, **options)

    def unprovision(self, *arguments: str, **options) -> Ran:
        return self.run("unprovision", *arguments, **options)

    def done(self, *arguments: str, **options) -> Ran:
        """A run that has to succeed."""
        ran = self.run(*(arguments or ("provision",)), **options)
        assert ran.status == 0, ran.stderr
        return ran


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C"}
