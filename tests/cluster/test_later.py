"""A host that is provisioned before kubeadm has written the API server's manifest; TokenReview v1beta1; a roll-back."""

import pytest

import installation
from conftest import CLUSTER
from hosts import await_that

FLAG = "authentication-token-webhook-version"


@pytest.fixture(scope="module")
def prepared(bed, binary, running_stand_in, mappings):
    """kubelet runs, and nothing of the control plane."""
    host = bed.prepare("later")
    installation.configure(host, CLUSTER, running_stand_in, mappings)
    installation.put_program(host, binary)
    yield host
    bed.down("later")


@pytest.fixture(scope="module")
def flags(prepared) -> list[str]:
    image = f"registry.k8s.io/kube-apiserver:{prepared.version}"
    return ["--apiserver=later", f"--base-image={image}", "--webhook-version=v1beta1", "--wait"]


@pytest.fixture(scope="module")
def first(prepared, flags) -> installation.Run:
    return installation.provision(prepared, *flags)


@pytest.fixture(scope="module")
def later(bed, prepared, first):
    """The same host, when kubeadm was given what the report says and has made the control plane."""
    told = first.report["installer"]
    # It is given an audit policy by us, at last.
    prepared.tell_kubeadm(told["flags"], told["volumes"], audit=False)
    return bed.up("later")[0]


def test_our_pod_answers_before_there_is_an_api_server(prepared, first, note):
    note(f"`iamgate provision --wait` took {first.ran.seconds:.1f} s")
    assert installation.answers(prepared)
    assert not prepared.path(installation.API_SERVER).exists()
    assert prepared.process("kube-apiserver") is None
    assert {"name": FLAG, "value": "v1beta1"} in first.report["installer"]["flags"]


def test_kubeadm_makes_an_api_server_that_asks_us(later, sign_in):
    manifest = later.path(installation.API_SERVER).read_text()
    assert f"--{FLAG}=v1beta1" in manifest
    assert sign_in(later) is None


def test_provisioning_that_host_again_changes_nothing(later, flags, sign_in):
    manifest = later.path(installation.API_SERVER).read_bytes()
    for again in (flags, ["--webhook-version=v1beta1", "--wait"]):
        assert installation.provision(later, *again).changes == {}, again
    assert later.path(installation.API_SERVER).read_bytes() == manifest
    assert (later.starts("kube-apiserver"), later.starts("iamgate")) == (1, 1)
    assert sign_in(later) is None


def test_an_api_server_that_does_not_start_is_put_back(later, sign_in, note):
    later.put("/root/policy.yaml", REJECTED)
    files, starts = installation.tree(later), later.starts("kube-apiserver")
    flags = ("--webhook-version=v1beta1", "--audit-policy=/root/policy.yaml", "--wait=50s", "--rollback")
    rolled = installation.provision(later, *flags, status=installation.ROLLED_BACK)
    note(f"`iamgate provision --wait=50s --rollback` took {rolled.ran.seconds:.0f} s")
    assert installation.tree(later) == files
    assert (rolled.report["failed"], rolled.report["changed"], rolled.changes) == (True, False, {})
    assert "everything is as it was before" in rolled.report["msg"]
    assert any("Nonsense" in line for line in rolled.report["log"]), rolled.report["log"]
    assert later.starts("kube-apiserver") > starts + 1
    assert await_that(lambda: sign_in(later) is None)


# kubelet and we take it for a policy; the API server does not.
REJECTED = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Nonsense}]\n"
