"""A server of one partition grants that partition's tokens, and asks nobody about another's."""

import pytest

from conftest import SESSION_NAME
from stand_in import ACCOUNT, REGION
from webhook import CLUSTER
from workstation import boto3_token

PARTITIONS = {
    "aws-cn": ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
    "aws-us-gov": ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
    "aws-iso": ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov"),
}
COMMERCIAL = (REGION, f"sts.{REGION}.amazonaws.com")


@pytest.fixture(scope="module")
def webhooks(start_webhook, running_stand_in):
    """For each partition: its server, and the one role that it maps."""
    started = {}
    for partition in PARTITIONS:
        role = running_stand_in.directory.add_role("Operator", ACCOUNT, partition)
        mapping = {"rolearn": role.arn, "username": "op:{{SessionName}}", "groups": ["operators"]}
        server = {"partition": partition, "mapRoles": [mapping], "mapUsers": []}
        started[partition] = (start_webhook({"server": server}), role)
    return started


@pytest.mark.parametrize("partition", PARTITIONS)
def test_a_token_of_the_own_partition_is_granted(aws, webhooks, partition):
    webhook, role = webhooks[partition]
    caller = aws.directory.open_session(role, SESSION_NAME)
    user = webhook.review(boto3_token(caller.keys, *PARTITIONS[partition])).user
    assert user["username"] == "op:jane-example.com"
    assert user["extra"]["canonicalArn"] == [f"arn:{partition}:iam::{ACCOUNT}:role/Operator"]


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
@pytest.mark.parametrize("tool", ["aws", "iamgate"])
def test_the_command_line_tools_find_the_partition_by_region(aws, webhooks, workstation, partition, tool):
    webhook, role = webhooks[partition]
    region, _ = PARTITIONS[partition]
    environment = aws.directory.open_session(role, SESSION_NAME).keys.environment()
    if tool == "aws":
        ran = workstation.eks_get_token(region, **environment)
    else:
        ran = workstation.iamgate("token", "-i", CLUSTER, AWS_REGION=region, **environment)
    assert webhook.review(ran.token).user["username"] == "op:jane-example.com"


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("host", ["sts.us-west-2.amazonaws.com", "sts.amazonaws.com"])
def test_a_token_of_the_commercial_partition_is_refused_unasked(aws, webhooks, session, partition, host):
    webhook, _ = webhooks[partition]
    region = "us-east-1" if host == "sts.amazonaws.com" else REGION
    assert webhook.review(boto3_token(session.keys, region, host)).reason
    assert (aws.sts_tls.record.connections, aws.sts_tls.record.requests) == (0, [])


@pytest.mark.parametrize("partition", PARTITIONS)
def test_the_commercial_server_refuses_the_other_partitions_unasked(aws, webhook, session, partition):
    assert webhook.review(boto3_token(session.keys, *PARTITIONS[partition])).reason
    assert (aws.sts_tls.record.connections, aws.sts_tls.record.requests) == (0, [])
