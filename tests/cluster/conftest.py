"""What the scenarios share: one control plane for the run, and the stand-in for AWS in its network.

    scripts/test-cluster -k whoami

as root. The test bed is `.cache/test-cluster`, not the one of `make cluster-up`. With CLUSTER_KEEP=1 it stays up
afterwards: `CLUSTER_DIR=.cache/test-cluster tests/cluster/host enter cp0`, and at last `... tests/cluster/host down`.
A run that finds one begins anew. An API server takes 40 s to be exchanged, so scenarios share a host and come in the
order of its life (`ORDER`), and hosts that nobody needs at the same time as another are parts of their own, which
scripts/test-cluster runs side by side, each with a test bed of its own.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import door
import installation
from amazon.accounts import Caller, Role
from hosts import HERE, MACHINE, ROOT, Bed, Host, Ran
from stand_in import ACCOUNT, REGION, StandIn

CLUSTER = "bed.example.com"
SESSION_NAME = "jane@example.com"
# The name of a program's dynamic linker is behind its ELF headers.
INTERPRETER_WITHIN = 4096
# It is copying 13 MB some times over.
IMAGE_SECONDS = 120
# `host` is without us up to the first scenario of test_sign_in that wants it `installed`, and again after the last of
# test_restarts.
ORDER = [
    "test_bed",
    "test_image",
    "test_sign_in",
    "test_live",
    "test_restarts",
    "test_later",
    "test_daemonset",
    "test_reference",
    "test_unit",
    "test_masters",
]

_times: dict[str, dict[str, float]] = {}
_outcomes: dict[str, str] = {}
_notes: dict[str, list[str]] = {}


@pytest.fixture(scope="session")
def binary() -> Path:
    path = os.environ.get("IAMGATE_BIN")
    if not path or not os.access(path, os.X_OK):
        pytest.fail("IAMGATE_BIN must be the path of the iamgate binary: make build, then dist/iamgate")
    with open(path, "rb") as file:
        if b"/ld-" in file.read(INTERPRETER_WITHIN):
            pytest.fail("IAMGATE_BIN is linked to libraries that no container has: make build, then dist/iamgate")
    return Path(path).absolute()


@pytest.fixture(scope="session")
def bed():
    part = os.environ.get("CLUSTER_PART", "")
    bed = Bed((ROOT / ".cache").resolve() / f"test-cluster{part and '-'}{part}")
    bed.close()
    yield bed
    if os.environ.get("CLUSTER_KEEP") != "1":
        bed.close()


@pytest.fixture(scope="session")
def host(bed) -> Host:
    """A control plane as kubeadm makes it, which nobody has pointed at us yet."""
    return bed.up("cp0")[0]


@pytest.fixture(scope="session")
def masters(bed) -> list[Host]:
    """Three control planes of one cluster, not pointed at us; none of them is `host`."""
    return bed.up("m0", "m1", "m2")


@pytest.fixture(scope="session")
def image_file(bed, binary) -> tuple[str, Path]:
    """The image of our Containerfile with the binary under test: its name, and where it is."""
    context, name = bed.directory / "image", "iamgate.test/iamgate:under-test"
    shutil.copytree(ROOT / "image", context / "image", symlinks=True)
    (context / "dist").mkdir()
    shutil.copy2(binary, context / "dist/iamgate")
    shutil.copy2(ROOT / "Containerfile", context)
    subprocess.run([HERE / "buildah", name, context, context / "image.tar"], check=True, timeout=IMAGE_SECONDS)
    return name, context / "image.tar"


@pytest.fixture(scope="session")
def running_stand_in(bed, tmp_path_factory):
    # There is a network as soon as there is a host.
    bed.bare("first")
    with bed.network():
        stand_in = StandIn(tmp_path_factory.mktemp("stand-in"), MACHINE)
    yield stand_in
    stand_in.close()


@pytest.fixture
def aws(running_stand_in) -> StandIn:
    """The stand-in, with nothing counted yet."""
    running_stand_in.clear()
    yield running_stand_in
    assert running_stand_in.faults == []


@pytest.fixture(scope="session")
def developer(running_stand_in) -> Role:
    """A mapped role."""
    return running_stand_in.directory.add_role("Developer", ACCOUNT)


@pytest.fixture
def session(aws, developer) -> Caller:
    """A session on it that no other test has used."""
    return aws.directory.open_session(developer, SESSION_NAME)


@pytest.fixture(scope="session")
def mappings(developer) -> dict:
    return {
        "mapRoles": [
            {
                "rolearn": developer.arn,
                "username": "dev:{{SessionName}}",
                "groups": ["developers", "account-{{AccountID}}"],
            }
        ]
    }


@pytest.fixture(scope="session")
def before(host, binary, running_stand_in, mappings) -> dict[str, str]:
    """What is on the control plane before `provision`, configuration and program included."""
    installation.configure(host, CLUSTER, running_stand_in, mappings)
    installation.put_program(host, binary)
    return installation.tree(host)


@pytest.fixture(scope="session")
def provisioned(host, before) -> installation.Run:
    """The one run of `provision` that points the control plane at iamgate."""
    return installation.provision(host, "--wait", "--rollback", "--diff")


@pytest.fixture(scope="session")
def installed(host, provisioned) -> Host:
    """The control plane, pointed at iamgate."""
    return host


@pytest.fixture
def sign_in(bed, aws, developer) -> Callable[[Host], str | None]:
    """Somebody new signs in over a connection of their own; why they were refused, if they were."""

    def once(host: Host) -> str | None:
        answer = door.ask(bed, host, door.new_token(aws.directory, developer, CLUSTER))
        return None if answer.user.get("username") == "dev:jane" else f"{answer}"

    return once


@pytest.fixture
def kubectl_signs_in(bed, aws, developer, iamgate_exec, tmp_path) -> Callable[[Host], str | None]:
    """The same with kubectl and `iamgate token`."""

    def once(host: Host) -> str | None:
        caller = aws.directory.open_session(developer, "jane")
        kubeconfig = host.kubeconfig(tmp_path / f"me-{caller.keys.access_key_id}", iamgate_exec)
        command = (host.programs / "kubectl", "--kubeconfig", kubeconfig, "auth", "whoami", "-o", "json")
        ran = bed.client(*command, environment={"HOME": str(tmp_path), **caller.keys.environment()})
        return None if ran.status == 0 and '"dev:jane"' in ran.stdout else f"{ran}"

    return once


@pytest.fixture
def kubectl(bed, host, tmp_path) -> Callable[..., Ran]:
    """kubectl as a person runs it, with nothing but a caller's keys in the environment."""

    def run(kubeconfig: Path, *arguments: str, caller: Caller | None = None) -> Ran:
        environment = {"HOME": str(tmp_path), **(caller.keys.environment() if caller else {})}
        command = (host.programs / "kubectl", "--kubeconfig", kubeconfig, *arguments)
        return bed.client(*command, environment=environment)

    return run


@pytest.fixture
def note(request) -> Callable[[str], None]:
    """Puts a measured value into the table of scenarios."""
    return lambda text: _notes.setdefault(_scenario(request.node), []).append(text)


@pytest.fixture
def iamgate_exec(binary) -> dict:
    return exec_block(str(binary), "token", "-i", CLUSTER, "--region", REGION)


@pytest.fixture
def aws_exec() -> dict:
    command = ("-m", "awscli", "eks", "get-token", "--cluster-name", CLUSTER, "--region", REGION, "--output", "json")
    return exec_block(sys.executable, *command, version="v1beta1")


def exec_block(command: str, *arguments: str, version: str = "v1") -> dict:
    """A kubeconfig's user entry that runs a credential plugin."""
    return {
        "exec": {
            "apiVersion": f"client.authentication.k8s.io/{version}",
            "command": command,
            "args": list(arguments),
            "interactiveMode": "Never",
        }
    }


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: ORDER.index(item.module.__name__))


def _scenario(item) -> str:
    return item.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    name = _scenario(item)
    _times.setdefault(name, {})[report.when] = report.duration
    if report.when == "call" or report.outcome != "passed":
        _outcomes[name] = report.outcome
    if report.failed:
        bed = item.funcargs.get("bed")
        for host in bed.hosts if bed else []:
            report.sections += list(host.last_words().items())
    return report


def pytest_terminal_summary(terminalreporter):
    """The table of scenarios, as it can be pasted into a page; and into the file CLUSTER_TABLE, for the whole of it."""
    if not _times:
        return
    rows = []
    for name, times in _times.items():
        before, itself = (f"{times.get(phase, 0):.1f} s" for phase in ("setup", "call"))
        noted = "; ".join(_notes.get(name, []))
        rows.append(f"| {name} | {_outcomes.get(name, 'passed')} | {before} | {itself} | {noted} |")
    if path := os.environ.get("CLUSTER_TABLE"):
        Path(path).write_text("\n".join(rows) + "\n")
        return
    terminalreporter.section("scenarios")
    for row in (*HEAD, *rows):
        terminalreporter.write_line(row)


HEAD = ("| scenario | outcome | before it | itself | noted |", "|---|---|---|---|---|")
