"""A real kubectl asks a real kube-apiserver, which asks the webhook: who am I, and what may I do?

The API server is given the very kubeconfig that `iamgate server` wrote, and kubectl one whose exec block makes the token.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from amazon.accounts import Caller
from amazon.sts import UNAVAILABLE
from conftest import SESSION_NAME
from control_plane import ApiServer, Cluster
from server_process import Webhook
from stand_in import ACCOUNT, REGION
from test_grants import user_of
from webhook import CLUSTER

# The first test waits for the API server as well.
pytestmark = pytest.mark.timeout(240)

# An API server asks a webhook that cannot decide five times in 4.5 s before it gives up.
KUBECTL_SECONDS = 60
# A change is live within a second; a process or two and a busy machine come on top.
CHANGE_SECONDS = 20

UNAUTHORIZED = "You must be logged in to the server"


@dataclass(frozen=True)
class Ran:
    status: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def api_server(cluster, ordinary_webhook) -> ApiServer:
    return cluster.start_api_server("kube-apiserver", kubeconfig_of(ordinary_webhook), "v1")


@pytest.fixture
def kubectl(cluster, webhook, tmp_path) -> Callable[..., Ran]:
    """Runs kubectl with a kubeconfig and, beside an empty home, nothing but the caller's credentials in the environment."""

    def run(kubeconfig: Path, *arguments: str, caller: Caller | None = None) -> Ran:
        environment = {"HOME": str(tmp_path), "PATH": os.defpath, **(caller.keys.environment() if caller else {})}
        done = subprocess.run(
            [cluster.programs / "kubectl", "--kubeconfig", kubeconfig, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=KUBECTL_SECONDS,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def iamgate_exec(binary) -> dict:
    return exec_block(str(binary), "token", "-i", CLUSTER, "--region", REGION)


@pytest.fixture
def aws_exec() -> dict:
    command = ("-m", "awscli", "eks", "get-token", "--cluster-name", CLUSTER, "--region", REGION, "--output", "json")
    return exec_block(sys.executable, *command, version="v1beta1")


def exec_block(command: str, *arguments: str, version: str = "v1") -> dict:
    """A kubeconfig's user entry that runs a credential plugin."""
    return {
        "exec": {
            "apiVersion": f"client.authentication.k8s.io/{version}",
            "command": command,
            "args": list(arguments),
            "interactiveMode": "Never",
        }
    }


def kubeconfig_of(webhook: Webhook) -> Path:
    """The file that the server wrote for the API server."""
    return webhook.config_file.parent / "kubeconfig.yaml"


def who(kubectl: Callable[..., Ran], kubeconfig: Path, caller: Caller | None = None) -> dict:
    """`kubectl auth whoami`, groups in order."""
    ran = kubectl(kubeconfig, "auth", "whoami", "-o", "json", caller=caller)
    assert ran.status == 0, ran.stderr
    user = json.loads(ran.stdout)["status"]["userInfo"]
    return {**user, "groups": sorted(user["groups"])}


def seen_by_cluster(user: dict) -> dict:
    """A user as the API server tells it: every authenticated one is in one more group."""
    return {**user, "groups": sorted([*user.get("groups", []), "system:authenticated"])}


def last_refusal(api_server: ApiServer) -> str:
    """What the API server's log says of the last request that it took for nobody's."""
    return re.findall(r'"Unable to authenticate the request" err="(.*)"', api_server.log)[-1]


def eventually(look: Callable, wanted: Callable):
    """Looks until it is as wanted; each look is a whole kubectl, so there is nothing to wait for in between."""
    deadline = time.monotonic() + CHANGE_SECONDS
    while not wanted(seen := look()):
        assert time.monotonic() < deadline, seen
    return seen


def test_a_mapped_session_is_who_the_mapping_says(aws, api_server, kubectl, session, iamgate_exec, tmp_path):
    me = api_server.kubeconfig(tmp_path / "me", iamgate_exec)
    assert who(kubectl, me, session) == seen_by_cluster(user_of(session))
    assert [(seen.what, seen.status) for seen in aws.sts_tls.record.requests] == [("GetCallerIdentity", 200)]


def test_the_aws_cli_in_the_exec_block_works_too(api_server, kubectl, session, aws_exec, tmp_path):
    me = api_server.kubeconfig(tmp_path / "me", aws_exec)
    assert who(kubectl, me, session) == seen_by_cluster(user_of(session))


def test_long_term_keys_of_a_user_work_too(aws, api_server, kubectl, iamgate_exec, tmp_path):
    me = api_server.kubeconfig(tmp_path / "me", iamgate_exec)
    user = who(kubectl, me, aws.user)
    assert (user["username"], user["groups"]) == ("alice", ["admins", "system:authenticated"])


def test_an_api_server_that_asks_in_v1beta1_is_answered_in_kind(
    cluster, ordinary_webhook, kubectl, session, iamgate_exec, tmp_path
):
    api_server = cluster.start_api_server("kube-apiserver-v1beta1", kubeconfig_of(ordinary_webhook), "v1beta1")
    me = api_server.kubeconfig(tmp_path / "me", iamgate_exec)
    assert who(kubectl, me, session) == seen_by_cluster(user_of(session))


def test_rbac_goes_by_the_mapped_groups(api_server, kubectl, session, aws, iamgate_exec, tmp_path):
    admin = api_server.kubeconfig(tmp_path / "admin", api_server.administrator)
    for created in (
        ("clusterrole", "reader", "--verb=list", "--resource=configmaps"),
        ("clusterrolebinding", "developers-read", "--clusterrole=reader", "--group=developers"),
    ):
        ran = kubectl(admin, "create", *created)
        assert ran.status == 0, ran.stderr
    me = api_server.kubeconfig(tmp_path / "me", iamgate_exec)
    list_them = ("get", "configmaps", "-n", "default", "-o", "name")

    eventually(lambda: kubectl(me, *list_them, caller=session), lambda ran: ran.status == 0)

    refused = kubectl(me, *list_them, caller=aws.user)
    assert refused.status == 1
    assert 'User "alice" cannot list resource "configmaps"' in refused.stderr


def test_an_unmapped_identity_is_unauthorized_and_the_api_server_says_why(
    aws, api_server, kubectl, iamgate_exec, tmp_path
):
    stranger = aws.directory.open_session(aws.directory.add_role("Stranger", ACCOUNT), SESSION_NAME)
    me = api_server.kubeconfig(tmp_path / "me", iamgate_exec)
    ran = kubectl(me, "auth", "whoami", "-o", "json", caller=stranger)
    assert ran.status == 1
    assert UNAUTHORIZED in ran.stderr
    # Beside the API server's own words stands ours.
    assert re.fullmatch(r"\[invalid bearer token, \S.*\]", last_refusal(api_server))


def test_a_token_for_another_cluster_is_unauthorized(api_server, kubectl, session, binary, tmp_path):
    other = exec_block(str(binary), "token", "-i", "another-cluster", "--region", REGION)
    ran = kubectl(api_server.kubeconfig(tmp_path / "me", other), "auth", "whoami", caller=session)
    assert ran.status == 1
    assert UNAUTHORIZED in ran.stderr


def test_a_client_certificate_works_beside_the_webhook(aws, api_server, kubectl, tmp_path):
    admin = api_server.kubeconfig(tmp_path / "admin", api_server.administrator)
    user = who(kubectl, admin)
    assert (user["username"], "system:masters" in user["groups"]) == ("root", True)
    assert aws.sts_tls.record.connections == 0


def test_a_bearer_token_of_another_kind_is_refused_quietly_and_asks_no_sts(aws, api_server, kubectl, tmp_path):
    ran = kubectl(api_server.kubeconfig(tmp_path / "me", {"token": "not-one-of-ours"}), "auth", "whoami")
    assert ran.status == 1
    assert UNAUTHORIZED in ran.stderr
    assert last_refusal(api_server) == "invalid bearer token"
    assert aws.sts_tls.record.requests == []


def test_an_outage_of_sts_is_over_when_it_is_over(aws, api_server, kubectl, session, iamgate_exec, tmp_path):
    me = api_server.kubeconfig(tmp_path / "me", iamgate_exec)
    aws.sts.break_with(UNAVAILABLE)
    ran = kubectl(me, "auth", "whoami", caller=session)
    assert ran.status == 1
    assert UNAUTHORIZED in ran.stderr
    aws.sts.break_with(None)
    assert who(kubectl, me, session)["username"].startswith("dev:")


def test_a_mapping_change_is_seen_by_kubectl_with_nothing_restarted(
    aws, cluster, start_webhook, kubectl, session, iamgate_exec, tmp_path
):
    webhook = start_webhook({})
    api_server = cluster.start_api_server("kube-apiserver-reload", kubeconfig_of(webhook), "v1")
    me = api_server.kubeconfig(tmp_path / "me", iamgate_exec)
    before = who(kubectl, me, session)
    assert "developers" in before["groups"]

    config = yaml.safe_load(webhook.config_file.read_text())
    config["server"]["mapRoles"][0]["groups"] = ["testers"]
    replacement = webhook.config_file.with_name("config.yaml.new")
    replacement.write_text(yaml.safe_dump(config))
    replacement.rename(webhook.config_file)

    after = eventually(lambda: who(kubectl, me, session), lambda user: "testers" in user["groups"])
    assert "developers" not in after["groups"]
