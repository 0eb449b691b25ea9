"""The main road: a control plane without us, with us, and people who sign in to it with AWS's identities."""

import installation
from conftest import SESSION_NAME
from hosts import await_that
from stand_in import ACCOUNT

MIB = 1024 * 1024
WHOAMI = ("auth", "whoami", "-o", "json")


def test_the_control_plane_is_up_without_us(host):
    nodes = host.kubectl("get", "nodes", "-o", "json").json["items"]
    assert [node["metadata"]["name"] for node in nodes] == [host.name]
    pods = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    await_that(lambda: all(host.pod_is_ready(name) for name in pods), why="the pods of the control plane are ready")
    assert "--authentication-token-webhook" not in host.path(installation.API_SERVER).read_text()
    assert host.process("iamgate") is None


def test_a_user_of_the_cluster_without_us_is_unauthorized(host, kubectl, session, iamgate_exec, tmp_path):
    ran = kubectl(host.kubeconfig(tmp_path / "me", iamgate_exec), "auth", "whoami", caller=session)
    assert ran.status == 1
    assert "You must be logged in to the server" in ran.stderr


def test_installing_restarts_the_api_server_once(installed):
    await_that(lambda: installed.pod_is_ready("iamgate"), why="our pod is ready")
    assert (installed.starts("kube-apiserver"), installed.starts("iamgate")) == (2, 1)


def test_kubectl_with_iamgate_token_is_the_mapped_user(installed, kubectl, session, iamgate_exec, tmp_path):
    kubeconfig = installed.kubeconfig(tmp_path / "me", iamgate_exec)
    me = who(kubectl(kubeconfig, *WHOAMI, caller=session))
    assert me["username"] == f"dev:{SESSION_NAME.replace('@', '-')}"
    assert sorted(me["groups"]) == [f"account-{ACCOUNT}", "developers", "system:authenticated"]


def test_kubectl_with_aws_eks_get_token_is_the_same_user(installed, kubectl, session, iamgate_exec, aws_exec, tmp_path):
    ours = kubectl(installed.kubeconfig(tmp_path / "ours", iamgate_exec), *WHOAMI, caller=session)
    theirs = kubectl(installed.kubeconfig(tmp_path / "theirs", aws_exec), *WHOAMI, caller=session)
    assert who(theirs) == who(ours)


def test_the_api_server_wrote_down_whom_it_let_in(installed, kubectl, session, iamgate_exec, tmp_path):
    ran = kubectl(installed.kubeconfig(tmp_path / "me", iamgate_exec), "auth", "whoami", caller=session)
    assert ran.status == 0, ran
    let_in = [event["user"] for event in installed.audit() if event["user"].get("username", "").startswith("dev:")]
    assert let_in[-1]["extra"]["accessKeyId"] == [session.keys.access_key_id]


def test_memory_of_our_pod_is_within_its_limit(installed, note):
    peak = installed.peak_memory("iamgate")
    note(f"{peak / MIB:.1f} MiB at most, of 20")
    assert peak < 20 * MIB


def who(ran) -> dict:
    return ran.json["status"]["userInfo"]
