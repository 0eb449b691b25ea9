"""The main road: a control plane without us, with us, and people who sign in to it with AWS's identities."""

import json

import installation
from conftest import CLUSTER, SESSION_NAME
from hosts import await_that
from stand_in import ACCOUNT


def test_the_control_plane_is_up_without_us(host):
    nodes = host.kubectl("get", "nodes", "-o", "json").json["items"]
    assert [node["metadata"]["name"] for node in nodes] == [host.name]
    pods = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    await_that(lambda: all(is_ready(host.pod(name)) for name in pods), why="the pods of the control plane are ready")
    assert "--authentication-token-webhook" not in host.path(installation.API_SERVER).read_text()
    assert host.process("iamgate") is None


def test_a_user_of_the_cluster_without_us_is_unauthorized(host, kubectl, session, iamgate_exec, tmp_path):
    ran = kubectl(host.kubeconfig(tmp_path / "me", iamgate_exec), "auth", "whoami", caller=session)
    assert ran.status == 1
    assert "You must be logged in to the server" in ran.stderr


def test_installing_restarts_the_api_server_once(installed):
    assert is_ready(await_that(lambda: installed.pod("iamgate")))
    assert installed.pod("kube-apiserver")["status"]["containerStatuses"][0]["restartCount"] in (0, 1)


def test_kubectl_with_iamgate_token_is_the_mapped_user(installed, kubectl, session, iamgate_exec, tmp_path):
    me = who(kubectl(installed.kubeconfig(tmp_path / "me", iamgate_exec), "auth", "whoami", "-o", "json", caller=session))
    assert me["username"] == f"dev:{SESSION_NAME.replace('@', '-')}"
    assert sorted(me["groups"]) == [f"account-{ACCOUNT}", "developers", "system:authenticated"]


def test_kubectl_with_aws_eks_get_token_is_the_same_user(installed, kubectl, session, iamgate_exec, aws_exec, tmp_path):
    ours = kubectl(installed.kubeconfig(tmp_path / "ours", iamgate_exec), "auth", "whoami", "-o", "json", caller=session)
    theirs = kubectl(installed.kubeconfig(tmp_path / "theirs", aws_exec), "auth", "whoami", "-o", "json", caller=session)
    assert who(theirs) == who(ours)


def test_memory_of_our_pod_is_within_its_limit(installed):
    assert installed.peak_memory("iamgate") < 20 * 1024 * 1024


def who(ran) -> dict:
    return ran.json["status"]["userInfo"]


def is_ready(pod: dict | None) -> bool:
    conditions = pod["status"].get("conditions", []) if pod else []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
