"""iamgate on a host: the configuration that a user writes, the program where users put it, and `iamgate provision`."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from hosts import MANIFESTS, PATIENCE_SECONDS, RESTART_SECONDS, Failed, Host, Ran, await_that
from stand_in import StandIn

PROGRAM = "/usr/local/bin/iamgate"
CONFIG = "/etc/aws-iam-authenticator/config.yaml"
STS_CA = "/etc/aws-iam-authenticator/sts-ca.pem"
STATE = "/var/aws-iam-authenticator"
OWN_STATE = "/var/lib/iamgate"
WEBHOOK = "/etc/kubernetes/aws-iam-authenticator"
MANIFEST = f"{MANIFESTS}/iamgate.yaml"
API_SERVER = f"{MANIFESTS}/kube-apiserver.yaml"
# The user of our pod.
USER = 10000
PLACES = ("/etc/kubernetes", "/etc/aws-iam-authenticator", STATE, OWN_STATE)
DONE, REFUSED, ROLLED_BACK = 0, 3, 4
# It waits for at most 180 s for each of the two that it starts, and as long again where it goes back.
PROVISION_SECONDS = 4 * RESTART_SECONDS


@dataclass(frozen=True)
class Run:
    """A run of `provision` or `unprovision` that ended as was expected."""

    ran: Ran
    report: dict

    @property
    def changes(self) -> dict[str, str]:
        """What was done to which file."""
        return {change["path"]: change["action"] for change in self.report["changes"]}


def configure(host: Host, cluster_id: str, aws: StandIn, mappings: dict) -> None:
    """What a user writes: the configuration, and here also whom to trust as STS."""
    host.put(STS_CA, aws.ca.read_bytes())
    host.put(CONFIG, configuration(cluster_id, aws, mappings), 0o640, USER)


def configuration(cluster_id: str, aws: StandIn, mappings: dict) -> str:
    sts = {"connectTo": aws.connect_to, "caFile": STS_CA}
    return yaml.safe_dump({"clusterID": cluster_id, "server": {"sts": sts, **mappings}}, sort_keys=False)


def put_program(host: Host, binary: Path, more: bytes = b"") -> None:
    """The program, with `more` at its end: that changes nothing but its hash."""
    host.put(PROGRAM, binary.read_bytes() + more, 0o755)


def provision(host: Host, *flags: str, status: int = DONE, verb: str = "provision") -> Run:
    ran = host.attempt(PROGRAM, verb, "--output=json", *flags, seconds=PROVISION_SECONDS)
    if ran.status != status:
        raise Failed(f"{verb} {flags} on {host.name} left with {ran.status}:\n{ran.stdout[-6000:]}{ran.stderr[-4000:]}")
    return Run(ran, yaml.safe_load(ran.stdout))


def unprovision(host: Host, *flags: str, status: int = DONE) -> Run:
    return provision(host, *flags, status=status, verb="unprovision")


def tree(host: Host) -> dict[str, str]:
    """Everything of which `provision` may touch something: mode, owner and content of each path, kubelet's keys aside."""
    places = " ".join(str(Path(place).relative_to("/")) for place in PLACES)
    script = (
        f"cd / && find {places} -printf '%M %U:%G %p %l\\n' 2> /dev/null; "
        f"find {places} -type f -exec sha256sum {{}} + 2> /dev/null"
    )
    listed = host.attempt("sh", "-c", script).stdout.splitlines()
    assert any(CONFIG[1:] in line for line in listed), f"{host.name} has no configuration yet"
    return dict(reversed(line.split(maxsplit=1)) if len(line.split()[0]) == 64 else (line, "") for line in listed)


def api_server_hash(host: Host) -> str:
    """kubelet's hash of the API server's manifest: another one, and it is started again."""
    return host.pod("kube-apiserver")["metadata"]["annotations"]["kubernetes.io/config.hash"]


def await_healthy(host: Host, seconds: float = PATIENCE_SECONDS) -> None:
    await_that(lambda: answers(host), seconds, f"our server on {host.name} answers")


def answers(host: Host) -> bool:
    """Whether the server answers on the host's loopback address."""
    return " 200 " in get(host, "/readyz")


def get(host: Host, path: str) -> str:
    """What the server's port for health and metrics answers; empty if nothing does."""
    script = f'exec 3<>/dev/tcp/127.0.0.1/21363; printf "GET {path} HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3'
    return host.attempt("timeout", "5", "bash", "-c", script).stdout
