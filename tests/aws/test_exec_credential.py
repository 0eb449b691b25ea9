"""`iamgate token` speaks the exec-credential protocol: the version that was asked for, JSON alone on stdout."""

import calendar
import json
import re
import time

import pytest

import token_text
from stand_in import REGION
from webhook import CLUSTER, secret_parts

API = "client.authentication.k8s.io/"
EXPIRY_SECONDS = 14 * 60


def exec_info(**members) -> str:
    return json.dumps({"kind": "ExecCredential", "spec": {"interactive": False}, **members})


@pytest.mark.parametrize(
    ("info", "version"),
    [
        pytest.param(None, "v1beta1", id="unset"),
        pytest.param("", "v1beta1", id="empty"),
        pytest.param(exec_info(apiVersion=f"{API}v1"), "v1", id="v1"),
        pytest.param(exec_info(apiVersion=f"{API}v1beta1"), "v1beta1", id="v1beta1"),
        pytest.param(exec_info(apiVersion=f"{API}v1alpha1"), "v1alpha1", id="v1alpha1"),
        pytest.param(exec_info(apiVersion=f"{API}v2"), "v1beta1", id="unknown-version"),
        pytest.param(exec_info(), "v1beta1", id="no-version"),
        pytest.param(
            exec_info(apiVersion=f"{API}v1", spec={"cluster": {"config": {"audience": "x"}}}),
            "v1",
            id="v1-with-cluster-config",
        ),
        pytest.param("{", "v1beta1", id="malformed"),
        pytest.param("[]", "v1beta1", id="not-an-object"),
    ],
)
def test_the_version_asked_for_is_answered(workstation, session, info, version):
    environment = {} if info is None else {"KUBERNETES_EXEC_INFO": info}
    credential = workstation.mint(**session.keys.environment(), **environment).credential
    assert credential["apiVersion"] == API + version


def test_stdout_is_one_line_of_json_in_the_documented_order(workstation, session):
    before = time.time()
    ran = workstation.mint(**session.keys.environment())
    assert ran.stdout.count("\n") == 1 and ran.stdout.endswith("}\n")
    credential = ran.credential
    assert list(credential) == ["kind", "apiVersion", "spec", "status"]
    assert (credential["kind"], credential["spec"]) == ("ExecCredential", {"interactive": False})
    assert list(credential["status"]) == ["expirationTimestamp", "token"]
    expires = credential["status"]["expirationTimestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", expires)
    moment = time.strptime(expires, "%Y-%m-%dT%H:%M:%SZ")
    assert before - 1 <= calendar.timegm(moment) - EXPIRY_SECONDS <= time.time()


def test_token_only_prints_the_token_alone(workstation, session, webhook):
    ran = workstation.mint("--token-only", **session.keys.environment())
    assert ran.stdout.startswith("k8s-aws-v1.") and ran.stdout.count("\n") == 1
    assert webhook.review(ran.stdout.removesuffix("\n")).granted


def test_the_url_has_the_documented_form(workstation, session):
    token = workstation.mint(**session.keys.environment()).token
    parameters = token_text.parameters(token)
    assert list(parameters) == token_text.NAMES
    assert parameters["X-Amz-Expires"] == "60"
    assert parameters["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert token_text.url(token).startswith(f"https://sts.{REGION}.amazonaws.com/?Action=GetCallerIdentity&Version=")


def test_a_missing_cluster_id_is_said_on_stderr_alone(workstation, session):
    ran = workstation.iamgate("token", "--region", REGION, **session.keys.environment())
    assert (ran.status, ran.stdout) == (2, "")
    assert "cluster ID not specified" in ran.stderr


def test_the_cluster_id_comes_from_the_environment_too(workstation, session, webhook):
    environment = {"KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID": CLUSTER, **session.keys.environment()}
    assert webhook.review(workstation.iamgate("token", "--region", REGION, **environment).token).granted


def test_the_most_talkative_log_holds_no_secret(workstation, session):
    ran = workstation.mint("-v", "trace", **session.keys.environment())
    secrets = secret_parts(ran.token) | {session.keys.secret_access_key}
    assert not any(secret in ran.stderr for secret in secrets)
