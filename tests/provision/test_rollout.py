"""`--wait` and `--rollback` with a kubelet, an API server and the real authenticator, in namespaces of their own."""

import datetime
import json
import os
import re
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from control_plane_host import APISERVER, CERTIFICATE, CONFIG, POD, Host, Ran
from tree import difference

FAILED, ROLLED_BACK = 1, 4
KUBELET = Path(__file__).parent / "fake_kubelet.py"
MAPPED = """clusterID: c.example.com
server:
  mapRoles:
  - roleARN: arn:aws:iam::123456789012:role/Admin
    username: admin
    groups: []
"""
PKI = "etc/kubernetes/pki"


def pair(host: Host, certificate: str, key: str) -> None:
    made = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, Path(certificate).stem)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(made.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = serialization.Encoding.PEM
    host.write(certificate, builder.sign(made, hashes.SHA256()).public_bytes(pem))
    text = made.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    host.write(key, text, 0o600)


@pytest.fixture
def cluster(host) -> Host:
    """A host whose API server can run."""
    pair(host, f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key")
    pair(host, f"{PKI}/apiserver-kubelet-client.crt", f"{PKI}/apiserver-kubelet-client.key")
    host.write(CONFIG, MAPPED)
    return host


def watched(host: Host, *arguments: str, apiserver=("ready",), authenticator="runs", lingers=0.0) -> tuple[Ran, list[str]]:
    """Runs it beside a kubelet; returns what that told, too."""
    settings = {"root": str(host.root), "binary": str(host.binary), "apiserver": apiserver}
    settings |= {"authenticator": authenticator, "lingers": lingers}
    wrapper = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
    ran = host.run(*arguments, wrapper=(*wrapper, sys.executable, KUBELET, json.dumps(settings)))
    return ran, (host.root.parent / "told").read_text().splitlines()


def test_a_run_waits_for_the_authenticator_and_then_for_the_api_server(cluster):
    ran, told = watched(cluster, "provision", "--wait=20s")
    assert ran.status == 0, ran.stderr
    order = [line for line in told if line.split()[1] in ("iamgate.yaml", "kube-apiserver.yaml")]
    assert order == [
        "started kube-apiserver.yaml",
        "MOVED_TO iamgate.yaml",
        "started iamgate.yaml",
        "MOVED_TO kube-apiserver.yaml",
        "stopped kube-apiserver.yaml",
        "started kube-apiserver.yaml",
    ]


def test_a_second_run_that_waits_has_nothing_to_wait_for(cluster):
    assert watched(cluster, "provision", "--wait=20s")[0].status == 0
    before = cluster.tree()
    ran, told = watched(cluster, "provision", "--wait=20s", apiserver=("never",), authenticator="never")
    assert (ran.status, ran.report["changed"], told) == (0, False, [])
    assert difference(before, cluster.tree()) == []


@pytest.mark.parametrize("behaviour", ["never", "failing", "dies"])
def test_an_api_server_that_does_not_become_ready_is_told_and_the_changes_stay(cluster, behaviour):
    ran, _ = watched(cluster, "provision", "--wait=2s", apiserver=("ready", behaviour))
    assert ran.status == FAILED, ran
    assert re.search(r"kube-apiserver is not ready after \d+ s: ", ran.report["msg"])
    assert "the changes are in place" in ran.report["msg"]
    assert ran.report["changed"]
    assert b"token-webhook" in cluster.read(APISERVER)
    assert not cluster.done("provision").report["changed"]
    cluster.done("unprovision")


@pytest.mark.parametrize("behaviour", ["never", "failing", "dies"])
def test_an_api_server_that_does_not_become_ready_is_rolled_back_to_the_byte(cluster, behaviour):
    before = cluster.tree()
    ran, told = watched(cluster, "provision", "--wait=3s", "--rollback", apiserver=("ready", behaviour, "ready"))
    assert ran.status == ROLLED_BACK, ran
    assert difference(before, cluster.tree()) == []
    assert not ran.report["changed"]
    assert ran.report["failed"]
    assert ran.report["changes"] == []
    assert ran.report["msg"].endswith("everything is as it was before")
    renames = [line for line in told if line == "MOVED_TO kube-apiserver.yaml"]
    assert len(renames) == 2
    # The API server is back before the authenticator goes.
    assert told.index("DELETE iamgate.yaml") > len(told) - 1 - told[::-1].index("started kube-apiserver.yaml")


def test_a_rollback_to_what_does_not_run_either_says_so(cluster):
    before = cluster.tree()
    ran, _ = watched(cluster, "provision", "--wait=2s", "--rollback", apiserver=("ready", "never"))
    assert ran.status == ROLLED_BACK
    assert "does not run either" in ran.report["msg"]
    assert difference(before, cluster.tree()) == []


def test_an_update_that_does_not_run_is_rolled_back_to_what_was_provisioned(cluster):
    assert watched(cluster, "provision", "--wait=20s")[0].status == 0
    before = cluster.tree()
    cluster.write(CONFIG, MAPPED.replace("server:\n", "server:\n  port: 21999\n"))
    edited = cluster.tree()[CONFIG]
    ran, _ = watched(cluster, "provision", "--wait=3s", "--rollback", apiserver=("ready", "failing", "ready"))
    assert ran.status == ROLLED_BACK, ran
    assert difference({**before, CONFIG: edited}, cluster.tree()) == []


def test_an_api_server_that_only_lingers_does_not_count(cluster):
    began = time.monotonic()
    ran, told = watched(cluster, "provision", "--wait=20s", lingers=3.0)
    assert ran.status == 0, ran
    assert time.monotonic() - began > 3
    assert told[-1] == "started kube-apiserver.yaml"
    ran, _ = watched(cluster, "provision", "--audit-policy", "default", "--wait=2s", lingers=30.0)
    assert ran.status == FAILED
    assert "has not been started yet" in ran.report["msg"]


def test_an_api_server_of_another_certificate_does_not_count(cluster):
    """Somebody else on the port: what it says is not believed, and it is shown no certificate of ours."""
    real = cluster.read(f"{PKI}/apiserver.crt"), cluster.read(f"{PKI}/apiserver.key")
    cluster.write(
        APISERVER, cluster.read(APISERVER).replace(b"tls-cert-file=/etc/kubernetes/pki/apiserver.crt", b"tls-cert-file=/etc/kubernetes/pki/other.crt"), 0o600
    )
    assert all(real)
    pair(cluster, f"{PKI}/other.crt", f"{PKI}/other.key")
    ran, told = watched(cluster, "provision", "--wait=2s", apiserver=("never",))
    assert ran.status == FAILED
    assert "MOVED_TO kube-apiserver.yaml" in told


@pytest.mark.parametrize("rollback", [False, True])
def test_while_the_authenticator_is_not_ready_the_api_server_is_not_touched(cluster, rollback):
    before = cluster.tree()
    arguments = ["--wait=2s", *(["--rollback"] if rollback else [])]
    ran, told = watched(cluster, "provision", *arguments, authenticator="never")
    assert ran.status == (ROLLED_BACK if rollback else FAILED), ran
    assert "iamgate is not ready after" in ran.report["msg"]
    assert not any(line.endswith(" kube-apiserver.yaml") for line in told[1:])
    after = cluster.tree()
    assert after[APISERVER] == before[APISERVER]
    if rollback:
        assert difference(before, after) == []
    else:
        assert POD in after


def test_the_way_back_waits_for_the_api_server_before_the_authenticator_goes(cluster):
    original = cluster.tree()
    assert watched(cluster, "provision", "--wait=20s")[0].status == 0
    ran, told = watched(cluster, "unprovision", "--wait=20s")
    assert ran.status == 0, ran
    order = ["MOVED_TO kube-apiserver.yaml", "started kube-apiserver.yaml", "DELETE iamgate.yaml"]
    places = [len(told) - 1 - told[::-1].index(line) for line in order]
    assert places == sorted(places)
    assert difference(original, cluster.tree()) == []


def test_the_way_back_that_does_not_run_is_rolled_back(cluster):
    assert watched(cluster, "provision", "--wait=20s")[0].status == 0
    before = cluster.tree()
    ran, told = watched(cluster, "unprovision", "--wait=2s", "--rollback", apiserver=("ready", "failing", "ready"))
    assert ran.status == ROLLED_BACK, ran
    assert difference(before, cluster.tree()) == []
    assert "DELETE iamgate.yaml" not in told


def test_a_rotation_of_the_ca_with_wait_goes_all_the_way(cluster):
    assert watched(cluster, "provision", "--wait=20s")[0].status == 0
    leaf = cluster.read(CERTIFICATE)
    ran, told = watched(cluster, "provision", "--rotate", "ca", "--wait=20s")
    assert ran.status == 0, ran
    assert cluster.read(CERTIFICATE) != leaf
    assert told.count("MOVED_TO kube-apiserver.yaml") <= 2
    assert not cluster.done("provision").report["changed"]


def test_a_rollback_needs_a_wait(cluster):
    before = cluster.tree()
    assert cluster.provision("--rollback").status == 2
    assert difference(before, cluster.tree()) == []
    assert os.path.exists(cluster.root)
