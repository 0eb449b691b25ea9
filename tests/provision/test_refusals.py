"""What is in the way is told with its file, line and cure, and not one thing on the host is touched."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from control_plane_host import APISERVER, CONFIG, KUBECONFIG, MANIFESTS, STATE, Host
from tree import difference, tree, untouched

REFUSED = 3
# Of --authorization-mode, and of the command that it is in.
LINE_OF_MODE, LINE_OF_COMMAND = 17, 13


def backup(name: str) -> Callable[[Host], None]:
    def prepare(host: Host) -> None:
        host.write(f"etc/kubernetes/manifests/{name}", host.read(APISERVER), 0o600)

    return prepare


def edited(old: str, new: str) -> Callable[[Host], None]:
    def prepare(host: Host) -> None:
        text = host.read(APISERVER).decode()
        assert old in text
        host.write(APISERVER, text.replace(old, new), 0o600)

    return prepare


def manifest(name: str) -> Callable[[Host], None]:
    return lambda host: shutil.copy(MANIFESTS / name / "kube-apiserver.yaml", host.root / APISERVER) and None


def authorized_by(text: str | None, mounted: bool = True) -> Callable[[Host], None]:
    def prepare(host: Host) -> None:
        directory = "pki" if mounted else "elsewhere"
        edited("--authorization-mode=Node,RBAC", f"--authorization-config=/etc/kubernetes/{directory}/authz.yaml")(host)
        if text is not None:
            host.write(f"etc/kubernetes/{directory}/authz.yaml", text)

    return prepare


def directory(path: str) -> Callable[[Host], None]:
    return lambda host: (host.root / path).mkdir(parents=True)


def file(path: str, text: str = "x\n") -> Callable[[Host], None]:
    return lambda host: host.write(path, text) and None


def link(path: str, target: str) -> Callable[[Host], None]:
    def prepare(host: Host) -> None:
        place = host.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            place.rename(place.with_name(f".{place.name}.real"))
        place.symlink_to(target)

    return prepare


def no_manifest(host: Host) -> None:
    (host.root / APISERVER).unlink()


AUTHORIZERS = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n"


@dataclass(frozen=True)
class Case:
    name: str
    prepare: Callable[[Host], None]
    path: str | None
    problem: str
    cure: str
    line: int | None = None
    arguments: tuple[str, ...] = ()


IN_THE_WAY = ("kubelet reads this file too", "--quarantine")
MANIFESTS_DIRECTORY = "etc/kubernetes/manifests"
CASES = [
    *(
        Case(f"a backup called {name}", backup(name), f"{MANIFESTS_DIRECTORY}/{name}", *IN_THE_WAY)
        for name in [
            "kube-apiserver.yaml.bak",
            "x.yaml~",
            "kube-apiserver.yaml.12345.2026-01-01@00:00:00~",
            "aaa",
            "kube-apiserver.yaml.rpmsave",
        ]
    ),
    Case(
        "a directory for the key", directory("var/aws-iam-authenticator/key.pem"), "var/aws-iam-authenticator/key.pem",
        "a directory, and a file was expected", "rmdir",
    ),
    Case("a directory for the kubeconfig", directory(KUBECONFIG), KUBECONFIG, "a directory, and a file", "rmdir"),
    Case("a directory for the configuration", directory(CONFIG), CONFIG, "a directory, and a file", "remove the directory"),
    Case(
        "a file for the directory of the certificates", file("var/aws-iam-authenticator"), "var/aws-iam-authenticator",
        "not a directory", "move it away",
    ),
    Case(
        "no authorization", edited("    - --authorization-mode=Node,RBAC\n", ""), APISERVER,
        "no --authorization-mode", "RBAC", LINE_OF_COMMAND,
    ),
    Case(
        "no RBAC", edited("Node,RBAC", "Node,Webhook"), APISERVER, "Node,Webhook, without RBAC", "RBAC", LINE_OF_MODE
    ),
    Case("AlwaysAllow", edited("Node,RBAC", "AlwaysAllow"), APISERVER, "AlwaysAllow", "RBAC", LINE_OF_MODE),
    Case("RBAC,AlwaysAllow", edited("Node,RBAC", "RBAC,AlwaysAllow"), APISERVER, "AlwaysAllow", "RBAC", LINE_OF_MODE),
    Case(
        "a file of authorizers without RBAC", authorized_by(f"{AUTHORIZERS}- type: Node\n- type: Webhook\n"), APISERVER,
        "without RBAC", "RBAC", LINE_OF_MODE,
    ),
    Case("no file of authorizers", authorized_by(None), APISERVER, "no such file", "RBAC", LINE_OF_MODE),
    Case(
        "a file of authorizers that is no such thing", authorized_by("hello\n"), APISERVER,
        "no AuthorizationConfiguration", "RBAC", LINE_OF_MODE,
    ),
    Case(
        "a file of authorizers that no mount shows", authorized_by(f"{AUTHORIZERS}- type: RBAC\n", mounted=False),
        APISERVER, "on no mounted directory", "RBAC", LINE_OF_MODE,
    ),
    Case("another product's webhook", manifest("other-webhook"), APISERVER, "authentication-token-webhook", "", 0),
    Case("flags that are there twice", manifest("duplicate-flags"), APISERVER, "", "", 0),
    Case("a shell", manifest("kops-1.18-shell"), APISERVER, "", "", 0),
    Case("a pod with two API servers", manifest("two-apiservers"), APISERVER, "", "", 0),
    Case(
        "two manifests of two pods", lambda host: host.write(
            f"{MANIFESTS_DIRECTORY}/other.yaml",
            host.read(APISERVER).replace(b"name: kube-apiserver\n  namespace", b"name: second\n  namespace"), 0o600
        ) and None, f"{MANIFESTS_DIRECTORY}/other.yaml", "kubelet reads this file too", "--quarantine",
    ),
    Case(
        "a manifest that is a symlink", link(APISERVER, ".kube-apiserver.yaml.real"), APISERVER,
        "not a plain file", "symlink",
    ),
    Case("a kubeconfig that is none", file(KUBECONFIG, "clusters: [\n"), KUBECONFIG, "no kubeconfig", "mv", 0),
    Case(
        "a faulty configuration", file(CONFIG, "clusterID: c.example.com\nserver:\n  mapRoles:\n  - rolearn: nonsense\n"),
        CONFIG, "", "", 4,
    ),
    Case(
        "another cluster", file(CONFIG, "clusterID: other.example.com\n"), CONFIG,
        "the cluster other.example.com, and --cluster-id says c.example.com", "make the two the same",
    ),
    Case(
        "a configuration that is a symlink elsewhere", link(CONFIG, "/etc/kubernetes/pki/sa.key"), CONFIG,
        "leaves its directory", "copy the file",
    ),
    Case("no manifest", no_manifest, MANIFESTS_DIRECTORY, "no file here runs an API server", "--apiserver later"),
    Case("a manifest that is no manifest", file(APISERVER, "kind: Pod\n  x: [\n"), APISERVER, "", "", 0),
    Case(
        "a manifest that is named and is none", lambda host: None, f"{MANIFESTS_DIRECTORY}/etcd.yaml",
        "not a file of", "leave --apiserver-manifest out",
        arguments=("--apiserver-manifest", f"/{MANIFESTS_DIRECTORY}/etcd.yaml"),
    ),
    Case(
        "RKE2's directory", lambda host: host.write(
            "var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml", host.read(APISERVER), 0o600
        ) and None, "var/lib/rancher/rke2/agent/pod-manifests", "RKE2 or k3s own this directory", "config.yaml",
        arguments=("--manifests-dir", "/var/lib/rancher/rke2/agent/pod-manifests"),
    ),
    Case("a ledger of another program", file(f"{STATE}/ledger.json", '{"schema": "x/v9"}'), f"{STATE}/ledger.json", "ledger", "copy"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("check", [(), ("--check", "--diff")], ids=["run", "check"])
def test_what_is_in_the_way_is_refused_and_nothing_is_touched(host, case, check):
    case.prepare(host)
    before = host.tree()
    ran = host.provision(*case.arguments, *check)
    assert (ran.status, untouched(before, host.tree())) == (REFUSED, []), ran.stdout
    report = ran.report
    assert report["failed"]
    assert not report["changed"]
    assert report["changes"] == []
    told = [
        refusal
        for refusal in report["refusals"]
        if case.path is None or refusal.get("path") == f"/{case.path}"
        if case.problem in refusal["problem"] and case.cure in refusal["cure"]
    ]
    assert told, report["refusals"]
    assert all(refusal["problem"] and refusal["cure"] and "\n" not in refusal["problem"] for refusal in report["refusals"])
    if case.line == 0:
        assert told[0]["line"] > 0
    elif case.line:
        assert case.line in [refusal.get("line") for refusal in told]
    if case.path:
        assert f"/{case.path}" in ran.stderr
    assert "hint: " in ran.stderr


def test_a_cluster_has_to_be_named(make_host):
    host = make_host("--image", "registry.example.com/iamgate:v1")
    before = host.tree()
    ran = host.provision()
    assert (ran.status, untouched(before, host.tree())) == (REFUSED, [])
    (refusal,) = ran.report["refusals"]
    assert "--cluster-id" in refusal["problem"] + refusal["cure"]


def test_everything_that_is_in_the_way_is_told_at_once(host):
    backup("kube-apiserver.yaml.bak")(host)
    edited("Node,RBAC", "AlwaysAllow")(host)
    directory("var/aws-iam-authenticator/key.pem")(host)
    assert len(host.provision().report["refusals"]) == 3


def test_a_quarantine_moves_and_never_deletes_and_outlives_the_way_back(host):
    names = ["kube-apiserver.yaml.bak", "x.yaml~", "kube-apiserver.yaml.12345.2026-01-01@00:00:00~"]
    for name in names:
        host.write(f"{MANIFESTS_DIRECTORY}/{name}", host.read(APISERVER) + name.encode().join([b"# ", b"\n"]), 0o640)
    original = host.tree()
    ran = host.done("provision", "--quarantine")
    (directory,) = (host.root / STATE / "quarantine").iterdir()
    moved = {change["path"]: change["to"] for change in ran.report["changes"] if change["action"] == "move"}
    for name in names:
        place = moved[f"/{MANIFESTS_DIRECTORY}/{name}"]
        assert place == f"/{STATE}/quarantine/{directory.name}/{name}"
        assert tree(directory)[name].state == original[f"{MANIFESTS_DIRECTORY}/{name}"].state
        assert not (host.root / MANIFESTS_DIRECTORY / name).exists()
    assert not host.done("provision").report["changed"]
    host.done("unprovision")
    assert sorted(path.name for path in directory.iterdir()) == sorted(names)
    lines = difference(original, host.tree())
    assert all(re.match(r"(new: var/lib/iamgate(/quarantine)?\b|gone: etc/kubernetes/manifests/)", line) for line in lines), lines


def in_a_mount_namespace(host: Host, script: str, *arguments: str):
    """Runs the command after `script`, which may mount as it likes."""
    wrapper = ("unshare", "--mount", "--propagation", "private", "sh", "-c", f'set -e; {script}; exec "$@"', "sh")
    return host.run(*(arguments or ("provision",)), wrapper=wrapper)


@pytest.mark.parametrize("path", [".", "etc/kubernetes/manifests", "var", "etc"])
def test_a_file_system_that_can_only_be_read_is_refused(host, path):
    before = host.tree()
    place = host.root / path
    ran = in_a_mount_namespace(host, f"mount --bind {place} {place}; mount -o remount,bind,ro {place}")
    assert (ran.status, untouched(before, host.tree())) == (REFUSED, []), ran
    assert any("can only be read" in refusal["problem"] for refusal in ran.report["refusals"])


def test_a_check_on_a_file_system_that_can_only_be_read_says_the_same(host):
    ran = in_a_mount_namespace(
        host, f"mount --bind {host.root} {host.root}; mount -o remount,bind,ro {host.root}", "provision", "--check"
    )
    assert ran.status == REFUSED


def test_a_full_file_system_leaves_the_host_as_it_was(host):
    """A real one: 64 KiB for the state directory, which the copy of a manifest of 100 KiB does not go into."""
    host.write(APISERVER, host.read(APISERVER) + b"# " + b"x" * 100_000 + b"\n", 0o600)
    (host.root / STATE).mkdir(mode=0o700)
    before = host.tree()
    ran = in_a_mount_namespace(host, f"mount -t tmpfs -o size=64k,mode=0700 none {host.root / STATE}")
    assert ran.status == 1
    assert "No space left on device" in ran.report["msg"]
    assert f"{host.root}/{STATE}" in ran.report["msg"]
    assert difference(before, host.tree()) == []


def test_who_is_not_root_changes_nothing_on_the_real_root(host):
    """In a namespace whose /etc and /var are the test's own, in case it does."""
    mounts = f"mount --bind {host.root}/etc /etc; mount --bind {host.root}/var /var"
    before = host.tree()
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'set -e; {mounts}; exec "$@"', "sh"]
    command += ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command += [host.binary, "provision", "--output", "json", *host.arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == REFUSED, ran
    assert "changed as root" in ran.stdout
    assert untouched(before, host.tree()) == []


def on_the_real_root(host: Host, before: str, *arguments: str):
    """`/` is a namespace's, whose /etc and /var are the host's, and whose network is empty."""
    mounts = f"mount --bind {host.root}/etc /etc; mount --bind {host.root}/var /var; mount -t proc proc /proc"
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c"]
    command += [f'set -e; ip link set lo up; {before}; {mounts}; "$@"', "sh", host.binary, "provision"]
    command += ["--output", "json", *host.arguments, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


LISTENER = """
import socket, sys, time
listening = socket.create_server(("127.0.0.1", 21362))
print("ready", flush=True)
time.sleep(60)
"""


def holding(host: Host, name: str) -> str:
    """Starts a process of that name that holds our port."""
    (host.root / "listener.py").write_text(LISTENER)
    start = f"bash -c 'PYTHONHOME={sys.base_prefix} exec -a {name} {os.path.realpath(sys.executable)} {host.root}/listener.py' > {host.root}/listening &"
    return f"{start} while ! grep -q ready {host.root}/listening; do sleep 0.05; done"


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("/usr/bin/other", (), "stop it"),
        ("/usr/bin/aws-iam-authenticator", (), "--takeover"),
        ("/usr/bin/other", ("--takeover",), "stop it"),
    ],
)
def test_a_port_that_somebody_else_holds_is_refused(host, name, arguments, told):
    before = tree(host.root / "etc") | tree(host.root / "var")
    ran = on_the_real_root(host, holding(host, name), *arguments)
    assert ran.returncode == REFUSED, ran
    assert "127.0.0.1:21362" in ran.stdout
    assert told in ran.stdout
    assert untouched(before, tree(host.root / "etc") | tree(host.root / "var")) == []


@pytest.mark.parametrize(
    ("name", "arguments"), [("/usr/bin/aws-iam-authenticator", ("--takeover",)), ("/iamgate", ())]
)
def test_a_port_that_is_ours_or_is_taken_over_is_fine(host, name, arguments):
    ran = on_the_real_root(host, holding(host, name), *arguments)
    assert ran.returncode == 0, ran
    assert (host.root / KUBECONFIG).exists()
    assert ("tokens are refused" in ran.stdout) == bool(arguments)
