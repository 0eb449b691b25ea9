"""Tokens of AWS's own CLI, of boto3 and of `iamgate token` are granted, on every kind of STS host."""

from collections.abc import Callable

import pytest

import token_text
from amazon.accounts import Caller
from conftest import SESSION_NAME
from stand_in import ACCOUNT, REGION
from webhook import CLUSTER
from workstation import Workstation, boto3_token

FIPS = {"AWS_USE_FIPS_ENDPOINT": "true"}
DUAL_STACK = {"AWS_USE_DUALSTACK_ENDPOINT": "true"}
# Host, region, what selects it for the CLI, what selects it for iamgate.
HOSTS = [
    pytest.param("sts.us-west-2.amazonaws.com", REGION, {}, {}, id="regional"),
    pytest.param("sts.us-east-1.amazonaws.com", "us-east-1", {}, {}, id="us-east-1"),
    pytest.param("sts-fips.us-west-2.amazonaws.com", REGION, FIPS, FIPS, id="fips"),
    pytest.param("sts.us-west-2.api.aws", REGION, DUAL_STACK, DUAL_STACK, id="dual-stack"),
    pytest.param("sts-fips.us-west-2.api.aws", REGION, FIPS | DUAL_STACK, FIPS | DUAL_STACK, id="fips-dual-stack"),
    pytest.param(
        "sts.amazonaws.com",
        "us-east-1",
        {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"},
        {"AWS_REGION": "aws-global"},
        id="global",
    ),
]


def cli_token(workstation: Workstation, caller: Caller, region: str, **environment: str) -> str:
    return workstation.eks_get_token(region, **caller.keys.environment(), **environment).token


def iamgate_token(workstation: Workstation, caller: Caller, region: str, **environment: str) -> str:
    environment = {"AWS_REGION": region, **caller.keys.environment(), **environment}
    return workstation.iamgate("token", "-i", CLUSTER, **environment).token


def snippet_token(_workstation: Workstation, caller: Caller, region: str) -> str:
    return boto3_token(caller.keys, region, f"sts.{region}.amazonaws.com")


MINTERS = [
    pytest.param(cli_token, id="aws-eks-get-token"),
    pytest.param(snippet_token, id="boto3"),
    pytest.param(iamgate_token, id="iamgate"),
]


def user_of(caller: Caller) -> dict:
    """What the API server is told about a session on the mapped role."""
    user_id = caller.user_id.split(":")[0]
    return {
        "username": f"dev:{SESSION_NAME.replace('@', '-')}",
        "uid": f"aws-iam-authenticator:{ACCOUNT}:{user_id}",
        "groups": ["developers", f"account-{ACCOUNT}"],
        "extra": {
            "accessKeyId": [caller.keys.access_key_id],
            "arn": [caller.arn],
            "canonicalArn": [f"arn:aws:iam::{ACCOUNT}:role/Developer"],
            "principalId": [user_id],
            "sessionName": [SESSION_NAME],
            "sigs.k8s.io/aws-iam-authenticator/principalId": [user_id],
        },
    }


@pytest.mark.parametrize("mint", MINTERS)
def test_long_term_keys_of_a_user_are_granted(aws, webhook, workstation, mint: Callable):
    user = webhook.review(mint(workstation, aws.user, REGION)).user
    assert (user["username"], user["groups"]) == ("alice", ["admins"])
    assert user["extra"]["arn"] == user["extra"]["canonicalArn"] == [aws.user.arn]
    assert user["extra"]["sessionName"] == [""]


@pytest.mark.parametrize("length", [343, 832, 2500, 4096])
@pytest.mark.parametrize("mint", MINTERS)
def test_a_session_token_of_any_size_is_granted(aws, webhook, workstation, developer, mint: Callable, length: int):
    caller = aws.directory.open_session(developer, SESSION_NAME, token_length=length)
    assert webhook.review(mint(workstation, caller, REGION)).user == user_of(caller)
    assert [seen.status for seen in aws.sts_tls.record.requests] == [200]


@pytest.mark.parametrize(("host", "region", "cli", "_ours"), HOSTS)
def test_the_aws_cli_is_granted_on_every_host(webhook, workstation, session, host, region, cli, _ours):
    token = cli_token(workstation, session, region, **cli)
    assert token_text.host(token) == host
    assert webhook.review(token).user == user_of(session)


@pytest.mark.parametrize(("host", "region", "_cli", "ours"), HOSTS)
def test_iamgate_is_granted_on_every_host(webhook, workstation, session, host, region, _cli, ours):
    token = iamgate_token(workstation, session, region, **ours)
    assert token_text.host(token) == host
    assert webhook.review(token).user == user_of(session)


@pytest.mark.parametrize(("host", "region", "_cli", "_ours"), HOSTS)
def test_boto3_is_granted_on_every_host(webhook, session, host, region, _cli, _ours):
    assert webhook.review(boto3_token(session.keys, region, host)).user == user_of(session)


@pytest.mark.parametrize("expires", [0, 1, 900])
def test_what_a_token_says_of_its_expiry_changes_nothing(webhook, session, expires):
    token = boto3_token(session.keys, REGION, f"sts.{REGION}.amazonaws.com", expires=expires)
    assert webhook.review(token).user == user_of(session)


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_both_versions_of_token_review_are_answered_in_kind(webhook, session, version):
    token = boto3_token(session.keys, REGION, f"sts.{REGION}.amazonaws.com")
    assert webhook.review(token, version).user == user_of(session)


def test_sts_is_sent_nothing_but_the_rebuilt_request(aws, webhook, session):
    webhook.review(boto3_token(session.keys, REGION, f"sts.{REGION}.amazonaws.com"))
    (seen,) = aws.sts_tls.record.requests
    assert (seen.method, seen.path, seen.what) == ("GET", "/", "GetCallerIdentity")
    assert {"host", "x-k8s-aws-id", "accept"} <= seen.header_names
    assert seen.header_names <= {"host", "x-k8s-aws-id", "accept", "user-agent", "accept-encoding", "connection"}


def test_sixteen_reviews_in_a_row_share_a_connection(aws, webhook, developer):
    for n in range(16):
        caller = aws.directory.open_session(developer, f"worker-{n}")
        assert webhook.review(boto3_token(caller.keys, REGION, f"sts.{REGION}.amazonaws.com")).granted
    assert len(aws.sts_tls.record.requests) == 16
    assert aws.sts_tls.record.connections <= 1
