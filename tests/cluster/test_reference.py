"""A control plane as users of aws-iam-authenticator have it: first our image in their DaemonSet, then `provision`."""

import time

import pytest
import yaml

import installation
from conftest import CLUSTER
from hosts import HERE, await_that

DAEMONSET = ("daemonset", "aws-iam-authenticator", "-n", "kube-system")
REFERENCE = "/usr/local/bin/aws-iam-authenticator"
# The user of the image, who writes what `--generate-kubeconfig` asks for.
IMAGE_USER = 65532
# As their documentation has it.
FLAGS = [
    {"name": "authentication-token-webhook-config-file", "value": f"{installation.WEBHOOK}/kubeconfig.yaml"},
]
VOLUMES = [
    {
        "name": "authenticator-config",
        "hostPath": f"{installation.WEBHOOK}/",
        "mountPath": f"{installation.WEBHOOK}/",
        "readOnly": True,
        "pathType": "DirectoryOrCreate",
    }
]


@pytest.fixture(scope="module")
def reference(bed, binary, image_file):
    """`init` by the reference's name, its files put where its documentation says, and flags for kubeadm."""
    host = bed.prepare("reference")
    host.load(image_file[1])
    installation.put_program(host, binary)
    host.path(REFERENCE).symlink_to("iamgate")
    script = f"""
        set -e
        mkdir -p /root/init {installation.STATE} {installation.WEBHOOK}
        cd /root/init
        {REFERENCE} init -i {CLUSTER}
        cp cert.pem key.pem {installation.STATE}
        cp aws-iam-authenticator.kubeconfig {installation.WEBHOOK}/kubeconfig.yaml
        chown -R {IMAGE_USER}:{IMAGE_USER} {installation.STATE} {installation.WEBHOOK}
    """
    host.run("sh", "-c", script)
    host.tell_kubeadm(FLAGS, VOLUMES)
    yield bed.up("reference")[0]
    bed.down("reference")


def documents(image: str, aws, mappings: dict) -> str:
    text = (HERE / "reference-daemonset.yaml").read_text()
    read = list(yaml.safe_load_all(text.replace("<your-registry>/aws-iam-authenticator:<version>", image)))
    config = next(document for document in read if document["kind"] == "ConfigMap")
    config["data"] = {
        "config.yaml": installation.configuration(CLUSTER, aws, mappings),
        "sts-ca.pem": aws.ca.read_text(),
    }
    return yaml.safe_dump_all(read)


def test_our_image_in_the_references_daemonset_lets_people_in(reference, image_file, aws, mappings, sign_in):
    given = documents(image_file[0], aws, mappings)
    applied = reference.kubectl("apply", "-f", "-", given=given)
    assert applied.status == 0, applied

    def available() -> bool:
        status = reference.kubectl("get", *DAEMONSET, "-o", "json").json["status"]
        return status["desiredNumberScheduled"] == status.get("numberAvailable", 0) == 1

    await_that(available, why="the DaemonSet's pod is available")
    assert reference.process("aws-iam-authenticator")
    assert await_that(lambda: sign_in(reference) is None)


def test_provisioning_refuses_a_port_that_the_reference_holds(reference, aws, mappings):
    installation.configure(reference, CLUSTER, aws, mappings)
    files = installation.tree(reference)
    refused = installation.provision(reference, status=installation.REFUSED)
    assert any("aws-iam-authenticator (process" in told["problem"] for told in refused.report["refusals"])
    assert all("--takeover" in told["cure"] for told in refused.report["refusals"])
    assert installation.tree(reference) == files


def test_takeover_lets_the_reference_answer_until_it_has_gone(reference, aws, sign_in, note):
    with reference.api_server_restarts():
        taken = installation.provision(reference, "--takeover")
    assert any("kubectl -n kube-system delete daemonset aws-iam-authenticator" in w for w in taken.report["warnings"])
    note("starts again: " + ", ".join(taken.report["restart_required"]))
    assert await_that(lambda: sign_in(reference) is None)
    assert reference.process("aws-iam-authenticator") and not reference.log("iamgate").count("access granted")
    assert reference.kubectl("delete", *DAEMONSET).status == 0
    await_that(lambda: reference.process("aws-iam-authenticator") is None, why="the reference has gone")
    gone = time.monotonic()
    await_that(lambda: reference.process("iamgate") and installation.answers(reference), why="our server answers")
    note(f"answers {time.monotonic() - gone:.1f} s after the reference has gone")
    # It has waited: a container that ends and is started again would answer minutes later.
    assert reference.starts("iamgate") == 1
    assert await_that(lambda: sign_in(reference) is None)
    assert installation.provision(reference, "--wait").changes == {}


def test_provisioning_refuses_a_port_that_a_stranger_holds(bed, binary, aws, mappings):
    host = bed.bare("stranger")
    installation.configure(host, CLUSTER, aws, mappings)
    installation.put_program(host, binary)
    listen = "import socket, time; held = socket.create_server(('127.0.0.1', 21362)); time.sleep(600)"
    stranger = host.start("/usr/bin/python3", "-c", listen, environment={})
    flags = ("--apiserver=later", "--base-image=registry.k8s.io/kube-apiserver:v1.37.2")
    try:
        await_that(lambda: "21362" in host.attempt("ss", "-ltn").stdout, why="the stranger listens")
        for more in ((), ("--takeover",)):
            refused = installation.provision(host, *flags, *more, status=installation.REFUSED)
            [told] = refused.report["refusals"]
            assert told["problem"].startswith("python3 (process ") and told["problem"].endswith(" holds 127.0.0.1:21362")
    finally:
        bed.down("stranger")
        stranger.wait()
