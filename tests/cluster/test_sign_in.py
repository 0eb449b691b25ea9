"""The main road: a control plane without us, with us, and people who sign in to it with AWS's identities."""

import re

import pytest

import door
import installation
from conftest import CLUSTER, SESSION_NAME
from hosts import await_that
from stand_in import ACCOUNT
from token_text import parameters, with_parameter
from webhook import signed

WHOAMI = ("auth", "whoami", "-o", "json")


def test_the_control_plane_is_up_without_us(host):
    nodes = host.kubectl("get", "nodes", "-o", "json").json["items"]
    assert [node["metadata"]["name"] for node in nodes] == [host.name]
    for program in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        assert host.process(program), program
    assert "--authentication-token-webhook" not in host.path(installation.API_SERVER).read_text()
    assert host.process("iamgate") is None


def test_a_user_of_the_cluster_without_us_is_unauthorized(host, kubectl, session, iamgate_exec, tmp_path):
    ran = kubectl(host.kubeconfig(tmp_path / "me", iamgate_exec), "auth", "whoami", caller=session)
    assert ran.status == 1
    assert "You must be logged in to the server" in ran.stderr


def test_check_says_what_provisioning_will_do_and_leaves_nothing(host, before, request):
    checked = installation.provision(host, "--check", "--diff")
    assert installation.tree(host) == before
    provisioned = request.getfixturevalue("provisioned")
    assert (checked.changes, checked.report["restart_required"]) == (
        provisioned.changes,
        provisioned.report["restart_required"],
    )


def test_provisioning_restarts_the_api_server_once(installed, provisioned, note):
    note(f"`iamgate provision --wait` took {provisioned.ran.seconds:.0f} s")
    assert sorted(provisioned.report["restart_required"]) == ["iamgate", "kube-apiserver"]
    await_that(lambda: installed.pod_is_ready("iamgate"), why="our pod is ready")
    assert (installed.starts("kube-apiserver"), installed.starts("iamgate")) == (2, 1)


def test_provisioning_again_changes_nothing(installed, note):
    api_server, ours = installation.api_server_hash(installed), installed.process("iamgate")
    stamps = {path: installed.path(path).stat().st_mtime_ns for path in (installation.API_SERVER, installation.MANIFEST)}
    again = installation.provision(installed, "--wait", "--rollback")
    note(f"{again.ran.seconds * 1000:.0f} ms")
    assert (again.report["changed"], again.changes) == (False, {})
    assert installation.api_server_hash(installed) == api_server
    assert {path: installed.path(path).stat().st_mtime_ns for path in stamps} == stamps
    assert (installed.starts("kube-apiserver"), installed.process("iamgate")) == (2, ours)


def test_kubectl_with_iamgate_token_is_the_mapped_user(installed, kubectl, session, iamgate_exec, tmp_path):
    kubeconfig = installed.kubeconfig(tmp_path / "me", iamgate_exec)
    me = who(kubectl(kubeconfig, *WHOAMI, caller=session))
    assert me["username"] == f"dev:{SESSION_NAME.replace('@', '-')}"
    assert sorted(me["groups"]) == [f"account-{ACCOUNT}", "developers", "system:authenticated"]


def test_kubectl_with_aws_eks_get_token_is_the_same_user(installed, kubectl, session, iamgate_exec, aws_exec, tmp_path):
    ours = kubectl(installed.kubeconfig(tmp_path / "ours", iamgate_exec), *WHOAMI, caller=session)
    theirs = kubectl(installed.kubeconfig(tmp_path / "theirs", aws_exec), *WHOAMI, caller=session)
    assert who(theirs) == who(ours)


def test_a_mapped_user_may_do_what_the_group_may_and_no_more(installed, kubectl, session, iamgate_exec, tmp_path):
    binding = ("create", "clusterrolebinding", "developers", "--clusterrole=view", "--group=developers")
    assert installed.kubectl(*binding).status == 0
    kubeconfig = installed.kubeconfig(tmp_path / "me", iamgate_exec)

    def can_i(verb: str, what: str) -> str:
        return kubectl(kubeconfig, "auth", "can-i", verb, what, caller=session).stdout.strip()

    await_that(lambda: can_i("list", "pods") == "yes", why="the API server has seen the binding")
    assert (can_i("delete", "pods"), can_i("get", "secrets")) == ("no", "no")
    assert kubectl(kubeconfig, "get", "pods", "-n", "kube-system", caller=session).status == 0
    refused = kubectl(kubeconfig, "get", "secrets", "-n", "kube-system", caller=session)
    assert 'User "dev:jane-example.com" cannot list resource "secrets"' in refused.stderr


def test_the_api_server_wrote_down_whom_it_let_in(installed, kubectl, session, iamgate_exec, tmp_path):
    ran = kubectl(installed.kubeconfig(tmp_path / "me", iamgate_exec), "auth", "whoami", caller=session)
    assert ran.status == 0, ran
    let_in = [event["user"] for event in installed.audit() if event["user"].get("username", "").startswith("dev:")]
    assert let_in[-1]["extra"]["accessKeyId"] == [session.keys.access_key_id]


def unmapped(aws, developer) -> str:
    stranger = aws.directory.add_role("Stranger", ACCOUNT)
    return door.new_token(aws.directory, stranger, CLUSTER)


def for_another_cluster(aws, developer) -> str:
    return door.new_token(aws.directory, developer, "another.example.com")


def tampered_with(aws, developer) -> str:
    token = door.new_token(aws.directory, developer, CLUSTER)
    signature = parameters(token)["X-Amz-Signature"]
    return with_parameter(token, "X-Amz-Signature", signature[::-1])


def signed_long_ago(aws, developer) -> str:
    return signed(aws.directory.open_session(developer, "jane").keys, CLUSTER, age=16 * 60)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (unmapped, "identity_not_mapped"),
        (for_another_cluster, "cluster_id_mismatch_or_bad_signature"),
        (tampered_with, "cluster_id_mismatch_or_bad_signature"),
        (signed_long_ago, "token_expired"),
    ],
    ids=["unmapped", "for-another-cluster", "tampered-with", "signed-long-ago"],
)
def test_a_token_that_is_refused_is_401_and_the_api_server_logs_why(installed, bed, aws, developer, token, reason):
    logged, ours = len(installed.log("kube-apiserver")), len(installed.log("iamgate"))
    assert door.ask(bed, installed, token(aws, developer)).status == 401
    why = await_that(
        lambda: re.search(
            r"Unable to authenticate the request.*", installed.log("kube-apiserver")[logged:]
        )
    )
    assert reason in why.group(), (why.group(), installed.log("iamgate")[ours:])


def test_other_ways_in_still_work_and_our_log_stays_quiet(installed, bed, aws):
    ours = installed.log("iamgate")
    account = installed.kubectl("create", "token", "default").stdout.strip()
    answer = door.ask(bed, installed, account)
    assert answer.user.get("username") == "system:serviceaccount:default:default", (answer, installed.log("kube-apiserver")[-500:])
    assert installed.kubectl(*WHOAMI).json["status"]["userInfo"]["username"] == "kubernetes-admin"
    assert door.ask(bed, installed, "not-a-token-of-anybody").status == 401
    assert (installed.log("iamgate"), aws.sts_tls.record.requests) == (ours, [])


def who(ran) -> dict:
    return ran.json["status"]["userInfo"]
