"""`iamgate verify` asks STS as the server does, says who the caller is, and never prints a part of the token."""

import json

import pytest
import yaml

from conftest import SESSION_NAME
from stand_in import ACCOUNT, REGION
from webhook import CLUSTER, secret_parts
from workstation import boto3_token

HOST = f"sts.{REGION}.amazonaws.com"


@pytest.fixture
def verify(aws, workstation):
    """Runs `iamgate verify` on a token; what it prints holds no part of it."""

    def run(token: str, *arguments: str, cluster_id: str | None = CLUSTER, config: dict | None = None, **server):
        server["sts"] = {"connectTo": aws.connect_to, "caFile": str(aws.ca)}
        file = workstation.write("verify.yaml", yaml.safe_dump({**(config or {}), "server": server}))
        about = ["-i", cluster_id] if cluster_id else []
        ran = workstation.iamgate("verify", "-t", token, *about, "--config", str(file), *arguments)
        assert not any(part in ran.stdout + ran.stderr for part in secret_parts(token))
        return ran

    return run


@pytest.fixture
def token(session) -> str:
    return boto3_token(session.keys, REGION, HOST)


def test_json_names_the_caller_in_the_documented_order(session, verify, token):
    ran = verify(token, "-o", "json")
    assert ran.status == 0, ran
    expected = {
        "ARN": session.arn,
        "CanonicalARN": f"arn:aws:iam::{ACCOUNT}:role/Developer",
        "AccountID": ACCOUNT,
        "UserID": session.user_id.split(":")[0],
        "SessionName": SESSION_NAME,
        "AccessKeyID": session.keys.access_key_id,
        "STSEndpoint": HOST,
    }
    assert ran.stdout == json.dumps(expected, indent=4) + "\n"


@pytest.mark.parametrize("arguments", [(), ("-o", "text")])
def test_other_outputs_are_one_line(session, verify, token, arguments):
    ran = verify(token, *arguments)
    assert ran.status == 0, ran
    assert ran.stdout == (
        f"&{{ARN:{session.arn} CanonicalARN:arn:aws:iam::{ACCOUNT}:role/Developer AccountID:{ACCOUNT} "
        f"UserID:{session.user_id.split(':')[0]} SessionName:{SESSION_NAME} "
        f"AccessKeyID:{session.keys.access_key_id} STSEndpoint:{HOST}}}\n"
    )


def test_it_verifies_what_the_aws_cli_made(aws, workstation, verify):
    token = workstation.eks_get_token(REGION, **aws.user.keys.environment()).token
    assert json.loads(verify(token, "-o", "json").stdout)["ARN"] == aws.user.arn


def test_a_token_for_another_cluster_is_an_error(aws, verify, token):
    ran = verify(token, cluster_id="another-cluster")
    assert (ran.status, ran.stdout) == (1, "")
    assert "could not verify token" in ran.stderr
    assert [seen.status for seen in aws.sts_tls.record.requests] == [403]


def test_another_partition_is_an_error_before_sts_is_asked(aws, verify, token):
    ran = verify(token, "--partition", "aws-cn")
    assert (ran.status, ran.stdout) == (1, "")
    assert "could not verify token" in ran.stderr
    assert aws.sts_tls.record.requests == []


def test_with_the_servers_file_it_accepts_the_clusters_that_the_server_accepts(aws, session, verify):
    config = {"clusterID": CLUSTER, "acceptedClusterIDs": ["old-cluster"]}
    token = boto3_token(session.keys, REGION, HOST, "old-cluster")
    ran = verify(token, "-o", "json", cluster_id=None, config=config)
    assert json.loads(ran.stdout)["ARN"] == session.arn
    assert [seen.status for seen in aws.sts_tls.record.requests] == [403, 200]


def test_a_cluster_id_on_the_command_line_counts_alone(aws, session, verify):
    config = {"clusterID": "old-cluster", "acceptedClusterIDs": ["old-cluster"]}
    ran = verify(boto3_token(session.keys, REGION, HOST, "old-cluster"), config=config)
    assert (ran.status, ran.stdout) == (1, "")
    assert "the signature does not fit" in ran.stderr
    assert [seen.status for seen in aws.sts_tls.record.requests] == [403]


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({"allowedRegions": ["eu-central-1"]}, "is not in server.allowedRegions"),
        ({"partition": "aws-cn"}, "of another partition"),
    ],
)
def test_with_the_servers_file_it_refuses_the_hosts_that_the_server_refuses(aws, verify, token, server, message):
    ran = verify(token, **server)
    assert (ran.status, ran.stdout) == (1, "")
    assert message in ran.stderr
    assert aws.sts_tls.record.requests == []


def test_what_is_not_a_token_is_an_error(aws, verify):
    ran = verify("k8s-aws-v1.AAAA")
    assert (ran.status, ran.stdout) == (1, "")
    assert "could not verify token" in ran.stderr
    assert aws.sts_tls.record.requests == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("-i", CLUSTER), "token not specified"), (("-t", "k8s-aws-v1.AAAA"), "cluster ID not specified")],
)
def test_what_is_missing_is_named(workstation, arguments, message):
    ran = workstation.iamgate("verify", *arguments)
    assert (ran.status, ran.stdout) == (2, "")
    assert message in ran.stderr
