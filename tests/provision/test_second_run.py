"""A run that has nothing to do does nothing; `--check` does nothing either, and says exactly what the run will."""

import pytest

from control_plane_host import APISERVER, CONFIG, IMAGE, MANIFESTS
from scenarios import OTHER_PORT
from tree import untouched

PREDICTED = ["changed", "changes", "diff", "restart_required", "warnings", "fingerprint", "failed"]
GOOD = sorted(
    path.name
    for path in MANIFESTS.iterdir()
    if (path / "kube-apiserver.yaml").exists() and (path / "edited.yaml").exists()
)


@pytest.mark.parametrize("manifest", GOOD)
def test_a_second_run_touches_nothing_and_the_way_back_restores_all(make_host, manifest):
    host = make_host(manifest=MANIFESTS / manifest / "kube-apiserver.yaml")
    original = host.tree()
    first = host.provision("--apiserver-manifest", f"/{APISERVER}")
    if first.status == 3:
        # It is no more than the editor's business, or is refused for its flags.
        assert untouched(original, host.tree()) == []
        pytest.skip(first.report["refusals"][0]["problem"])
    assert first.status == 0, first.stderr
    before = host.tree()
    again = host.done("provision", "--apiserver-manifest", f"/{APISERVER}")
    assert not again.report["changed"]
    assert again.changes == []
    assert untouched(before, host.tree()) == []
    host.done("unprovision")
    back = host.tree()
    assert {path: entry.state for path, entry in back.items()} == {
        path: entry.state for path, entry in original.items()
    }


def test_a_second_run_touches_nothing_with_the_program(make_host):
    host = make_host("--cluster-id", "c.example.com")
    host.done()
    before = host.tree()
    assert not host.done().report["changed"]
    assert untouched(before, host.tree()) == []


def test_a_second_run_touches_nothing_with_the_unit_and_an_audit_policy(make_host):
    host = make_host("--cluster-id", "c.example.com", "--workload", "systemd", "--audit-policy", "default")
    host.done()
    before = host.tree()
    assert not host.done().report["changed"]
    assert untouched(before, host.tree()) == []


def nothing(host):
    pass


def provisioned(host):
    host.done()


def another_port(host):
    host.done()
    host.write(CONFIG, OTHER_PORT, 0o640)


def drift(host):
    host.done()
    (host.root / CONFIG).chmod(0o600)
    (host.root / "var/aws-iam-authenticator/key.pem").chmod(0o640)
    (host.root / "var/aws-iam-authenticator").chmod(0o755)


def backup(host):
    host.write(f"{APISERVER}.bak", host.read(APISERVER), 0o600)


def no_key(host):
    host.done()
    (host.root / "var/aws-iam-authenticator/key.pem").unlink()


CASES = [
    (nothing, ("provision",)),
    (provisioned, ("provision",)),
    (another_port, ("provision",)),
    (drift, ("provision",)),
    (no_key, ("provision",)),
    (provisioned, ("provision", "--rotate", "ca")),
    (provisioned, ("provision", "--rotate", "leaf")),
    (provisioned, ("provision", "--workload", "none")),
    (provisioned, ("provision", "--workload", "systemd")),
    (nothing, ("provision", "--workload", "systemd", "--audit-policy", "default")),
    (nothing, ("provision", "--apiserver", "later")),
    (nothing, ("provision", "--only", "certificates")),
    (backup, ("provision", "--quarantine")),
    (provisioned, ("unprovision",)),
    (drift, ("unprovision",)),
    (nothing, ("unprovision",)),
]


@pytest.mark.parametrize(
    ("prepare", "command"), CASES, ids=[f"{prepare.__name__}: {' '.join(command)}" for prepare, command in CASES]
)
def test_check_touches_nothing_and_predicts_what_the_run_reports(host, prepare, command):
    prepare(host)
    before = host.tree()
    predicted = host.done(*command, "--check", "--diff").report
    assert untouched(before, host.tree()) == []
    made = host.done(*command, "--diff").report
    for key in PREDICTED:
        assert timeless(predicted.get(key)) == timeless(made.get(key)), key
    assert (predicted["check"], made["check"]) == (True, False)


def timeless(value):
    """A directory of the quarantine has the time in its name."""
    import re

    if isinstance(value, str):
        return re.sub(r"\d{8}T\d{6}Z", "TIME", value)
    if isinstance(value, list):
        return [timeless(one) for one in value]
    if isinstance(value, dict):
        return {key: timeless(one) for key, one in value.items()}
    return value


def test_no_key_is_in_any_report(host):
    reports = [host.done("provision", "--diff"), host.done("provision", "--rotate", "ca", "--diff")]
    reports.append(host.done("unprovision", "--diff"))
    for ran in reports:
        assert "PRIVATE KEY" not in ran.stdout + ran.stderr


def test_the_image_is_what_was_asked_for(host):
    host.done()
    assert IMAGE.encode() in host.read("etc/kubernetes/manifests/iamgate.yaml")
