"""Our DaemonSet, on a host that `provision --workload daemonset` prepared."""

import pytest
import yaml

import installation
from conftest import CLUSTER
from hosts import ROOT, await_that
from stand_in import StandIn

MANIFESTS = ROOT / "manifests"
NAME = ("daemonset", "iamgate", "-n", "kube-system")


@pytest.fixture(scope="module")
def daemons(bed, binary, running_stand_in, image_file):
    """Pointed at a webhook that the cluster is still to run."""
    image, file = image_file
    host = bed.prepare("daemons")
    host.load(file)
    installation.put_program(host, binary)
    prepared = installation.provision(
        host, "--apiserver=later", "--workload=daemonset", f"--image={image}", f"--cluster-id={CLUSTER}"
    )
    assert not host.path(installation.MANIFEST).exists()
    told = prepared.report["installer"]
    host.tell_kubeadm(told["flags"], told["volumes"])
    yield bed.up("daemons")[0]
    bed.down("daemons")


def edited(directory, image: str, aws: StandIn, mappings: dict):
    """What is in manifests/, with what a user writes into it."""
    directory.mkdir()
    for name in ("rbac.yaml", "daemonset.yaml"):
        text = (MANIFESTS / name).read_text()
        (directory / name).write_text(text.replace("<your-registry>/iamgate:<version>", image))
    config = yaml.safe_load((MANIFESTS / "configmap.yaml").read_text())
    assert '"<your-cluster-id>"' in config["data"]["config.yaml"]
    config["data"] = {
        "config.yaml": installation.configuration(CLUSTER, aws, mappings),
        "sts-ca.pem": aws.ca.read_text(),
    }
    (directory / "configmap.yaml").write_text(yaml.safe_dump(config))
    return directory


def test_the_daemonset_of_manifests_lets_people_in(daemons, image_file, aws, mappings, sign_in, tmp_path, note):
    assert "status=401" in sign_in(daemons)
    directory = edited(tmp_path / "manifests", image_file[0], aws, mappings)
    applied = daemons.kubectl("apply", "-f", directory)
    assert applied.status == 0, applied
    await_that(lambda: rolled_out(daemons), why="the DaemonSet's pod is available")
    assert sign_in(daemons) is None
    [pod] = daemons.kubectl("get", "pods", "-n", "kube-system", "-l", "app.kubernetes.io/name=iamgate", "-o", "json").json[
        "items"
    ]
    assert pod["spec"]["nodeName"] == daemons.name
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet"
    assert [status["restartCount"] for status in pod["status"]["containerStatuses"]] == [0]


def rolled_out(host) -> bool:
    status = host.kubectl("get", *NAME, "-o", "json").json["status"]
    return status["desiredNumberScheduled"] == status.get("numberAvailable", 0) == 1
