"""Runs that change a host: what stands there before, what is run, and what has to stand there in the end."""

import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from control_plane_host import APISERVER, CA, CA_KEY, CERTIFICATE, CONFIG, KEY, LEDGER, STATE, Host
from tree import Entry, Tree, difference

# Made anew in each run: compared without their content.
MADE = {CA, CA_KEY, CERTIFICATE, KEY, LEDGER}
# The hash that the API server's manifest is given counts the CAs, those of broken-off runs included.
HASH = b"iamgate.config-hash"
OTHER_PORT = "clusterID: c.example.com\nserver:\n  port: 21999\n  mapRoles: []\n"


@dataclass(frozen=True)
class Scenario:
    name: str
    prepare: Callable[[Host], None]
    command: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    back: bool = False
    """Whether the run ends in what was there before we came."""
    users: tuple[str, ...] = ()
    """What was changed since the installer, and is not ours to take back."""
    halves: int = 1
    """How many runs it takes."""


def provisioned(host: Host) -> None:
    host.done("provision")


def with_another_port(host: Host) -> None:
    """The webhook kubeconfig, the pod and the API server's manifest are to change."""
    provisioned(host)
    host.write(CONFIG, OTHER_PORT, 0o640)


def with_a_backup(host: Host) -> None:
    provisioned(host)
    shutil.copy2(host.root / APISERVER, host.root / f"{APISERVER}.bak")


def with_another_program(host: Host) -> None:
    """Provisioned by the version before this one, as far as anybody can tell."""
    before = host.root.parent / f"{host.root.name}-program"
    shutil.copy2(host.binary, before)
    with before.open("ab") as program:
        program.write(b"\n")
    older = Host(before, host.root, *PROGRAM)
    older.done("provision")
    before.unlink()


def with_the_unit(host: Host) -> None:
    host.done("provision", "--workload", "systemd", "--audit-policy", "default")


PROGRAM = ("--cluster-id", "c.example.com")
FRESH = Scenario("provision", lambda host: None, ("provision",))
UPDATE = Scenario(
    "an update", with_another_port, ("provision",), users=(CONFIG, "etc/aws-iam-authenticator")
)
ROTATION = Scenario("a rotation of the CA", provisioned, ("provision", "--rotate", "ca"), halves=2)
LEAF = Scenario("a rotation of the leaf", provisioned, ("provision", "--rotate", "leaf"))
QUARANTINE = Scenario(
    "a quarantine", with_a_backup, ("provision", "--quarantine"), users=("var/lib/iamgate", f"{STATE}/quarantine")
)
NEW_PROGRAM = Scenario("a new program", with_another_program, ("provision",), arguments=PROGRAM)
UNIT = Scenario(
    "a unit instead of the pod, and an audit policy", provisioned, ("provision", "--workload", "systemd", "--audit-policy", "default")
)
NO_WORKLOAD = Scenario("the end of the pod", provisioned, ("provision", "--workload", "none"))
BACK = Scenario("unprovision", provisioned, ("unprovision",), back=True)
BACK_FROM_UNIT = Scenario("unprovision of the unit", with_the_unit, ("unprovision",), back=True)
ALL = [FRESH, UPDATE, ROTATION, LEAF, QUARANTINE, NEW_PROGRAM, UNIT, NO_WORKLOAD, BACK, BACK_FROM_UNIT]


class Ends:
    """A scenario's two ends, to hold what a broken run leaves to."""

    def __init__(self, scenario: Scenario, host: Host):
        """`host` is as its installer left it; it is left as the scenario starts."""
        self.scenario = scenario
        self.original = host.tree()
        scenario.prepare(host)
        self.before = host.tree()
        # Snapshots have the second in their names: in the same one, a run makes a few calls more.
        second = int(time.time())
        while int(time.time()) == second:
            time.sleep(0.05)
        whole = host.copy(host.root.parent / f"{host.root.name}-whole")
        whole.done(*scenario.command)
        self.after = whole.tree()
        self.manifest = _without_hash(whole)
        whole.remove()
        self.start = host

    def faults(self, host: Host) -> list[str]:
        """What is wrong with a host that a run was broken off on: anything that is neither old nor new."""
        found = host.tree()
        faults = []
        for path, entry in found.items():
            name = Path(path).name
            if name.startswith(".iamgate-"):
                # The content of what is going to be may be a key.
                if entry.mode[2:] != "00" and not entry.kind == "directory" and _is_key(host.root / path):
                    faults.append(f"a temporary key open to others: {path} {entry.mode}")
                continue
            if _in_state(path):
                if entry.mode[2:] != "00":
                    faults.append(f"open to others: {path} {entry.mode}")
                continue
            if path == "." or not self._is_one_of_the_two(path, entry):
                if path != ".":
                    faults.append(
                        f"neither old nor new: {path} {entry.state}, "
                        f"before {_told(self.before, path)}, after {_told(self.after, path)}"
                    )
            if entry.kind == "file" and entry.mode[2:] != "00" and _is_key(host.root / path):
                faults.append(f"a key open to others: {path} {entry.mode}")
        for path in self.before.keys() & self.after.keys() - found.keys():
            if not _in_state(path):
                faults.append(f"gone: {path}")
        manifests = host.root / APISERVER
        visible = {file.name for file in manifests.parent.iterdir() if not file.name.startswith(".")}
        wanted = {Path(path).name for path in (self.before | self.after) if Path(path).parent == Path(APISERVER).parent}
        faults += [f"kubelet sees {name}" for name in visible - wanted]
        faults += _certificates(host)
        return faults

    def _is_one_of_the_two(self, path: str, entry: Entry) -> bool:
        for end in (self.before, self.after):
            if path not in end:
                continue
            if path in MADE:
                if end[path].shape == entry.shape:
                    return True
            elif end[path].state == entry.state:
                return True
        # A directory that is being made is closed at first.
        new = path in self.after and path not in self.before
        return new and entry.kind == "directory" and entry.mode == "0700"

    def incomplete(self, host: Host) -> list[str]:
        """What lacks, or is too much, once a later run has gone on."""
        found = host.tree()
        lines = difference(_comparable(self.after), _comparable(found), lambda entry: entry) + _certificates(host)
        return lines + ([] if _without_hash(host) == self.manifest else ["the API server's manifest is another"])

    def not_back(self, host: Host) -> list[str]:
        """What differs from what the installer left."""
        lines = difference(self.original, host.tree())
        return [line for line in lines if not any(f" {path}" in line for path in self.scenario.users)]


def _told(end: Tree, path: str) -> object:
    return end[path].state if path in end else None


def _in_state(path: str) -> bool:
    return path.startswith((f"{STATE}/snapshots", f"{STATE}/quarantine"))


def _comparable(tree: Tree) -> dict[str, tuple]:
    """Without what is made anew, and without the names of snapshots, which are times."""
    found = {}
    for path, entry in tree.items():
        if not path.startswith(f"{STATE}/snapshots") and "/quarantine/" not in path:
            found[path] = entry.shape if path in {*MADE, APISERVER} else entry.state
    return found


def _without_hash(host: Host) -> list[bytes]:
    return [line for line in host.read(APISERVER).splitlines() if HASH not in line]


def _is_key(path: Path) -> bool:
    return re.match(rb"-----BEGIN [A-Z ]*PRIVATE KEY", path.read_bytes()) is not None


def _certificates(host: Host) -> list[str]:
    """Whatever certificate the server shows, an API server that is started now trusts it."""
    ca, leaf = host.root / CA, host.root / CERTIFICATE
    if not (ca.exists() and leaf.exists()):
        return []
    bundle = x509.load_pem_x509_certificates(ca.read_bytes())
    certificate = x509.load_pem_x509_certificate(leaf.read_bytes())
    for authority in bundle:
        with suppress(ValueError, TypeError, InvalidSignature):
            certificate.verify_directly_issued_by(authority)
            return []
    return ["no CA of the bundle has signed the certificate"]
