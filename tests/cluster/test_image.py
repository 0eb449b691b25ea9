"""The image that the Containerfile makes, run by a control plane; and that control plane's own services."""

import json

import pytest

from hosts import Host, await_that


@pytest.fixture(scope="module")
def image(host, image_file) -> str:
    name, file = image_file
    host.load(file)
    return name


@pytest.mark.parametrize(
    ("name", "command"),
    [("entrypoint", None), ("ours", ["/iamgate"]), ("references", ["/aws-iam-authenticator"])],
    ids=["entrypoint", "iamgate", "aws-iam-authenticator"],
)
def test_the_image_runs_by_each_name_as_nobody_in_particular(host, image, name, command):
    ran = finished(host, name, image, command, ["version"])
    assert ran["status"]["phase"] == "Succeeded", ran["status"]
    assert "v0." in host.kubectl("logs", name).stdout


def finished(host: Host, name: str, image: str, command: list[str] | None, arguments: list[str]) -> dict:
    """A pod of one container that runs to its end, without root and without a volume."""
    container = {
        "name": "main",
        "image": image,
        "args": arguments,
        "securityContext": {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        **({"command": command} if command else {}),
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "tolerations": [{"operator": "Exists"}],
        },
    }
    # The ServiceAccount of a namespace that has just been made appears a moment later.
    await_that(lambda: host.kubectl("apply", "-f", "-", given=json.dumps(pod)).status == 0, why="the pod is accepted")

    def ended() -> dict | None:
        seen = host.kubectl("get", "pod", name, "-o", "json").json
        return seen if seen["status"].get("phase") in ("Succeeded", "Failed") else None

    return await_that(ended, why=f"pod {name} ends")


def test_a_service_that_is_killed_is_started_again(host):
    before = host.process("kubelet")
    host.restart("kubelet")
    await_that(lambda: host.process("kubelet") not in (None, before), why="there is another kubelet")
    assert host.ready()
