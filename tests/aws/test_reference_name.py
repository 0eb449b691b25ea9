"""Called `aws-iam-authenticator`, the binary keeps that program's command lines and exit codes."""

import json

import pytest

from stand_in import REGION
from webhook import CLUSTER
from workstation import Workstation, boto3_token


@pytest.fixture(params=["aws-iam-authenticator", "heptio-authenticator-aws"])
def reference(request, binary, tmp_path, aws) -> Workstation:
    link = tmp_path / request.param
    link.symlink_to(binary)
    return Workstation(link, tmp_path, aws)


def test_its_token_is_granted(reference, session, webhook):
    assert webhook.review(reference.mint(**session.keys.environment()).token).granted


def test_its_token_only_flag_takes_a_value_and_the_last_one_counts(reference, session, webhook):
    ran = reference.mint("--token-only=true", "--token-only=false", "-r", "", **session.keys.environment())
    assert webhook.review(ran.token).granted


def test_surplus_arguments_are_ignored(reference, session, webhook):
    assert webhook.review(reference.mint("surplus", "words", **session.keys.environment()).token).granted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("token",), "cluster ID not specified"),
        (
            ("token", "-i", CLUSTER, "--forward-session-name", "-s", "x"),
            "cannot specify both --forward-session-name and --session-name parameter",
        ),
        (("verify", "-i", CLUSTER), "token not specified"),
        (("verify", "-t", "k8s-aws-v1.AAAA"), "cluster ID not specified"),
        (("token", "--no-such-flag"), "--no-such-flag"),
        (("no-such-command",), "no-such-command"),
    ],
)
def test_usage_errors_leave_with_one(reference, arguments, message):
    ran = reference.iamgate(*arguments)
    assert ran.status == 1
    assert message in ran.stderr


def test_verify_reads_the_same_config_file(reference, aws, session):
    sts = {"connectTo": aws.connect_to, "caFile": str(aws.ca)}
    # Keys in any case, as existing files have them.
    config = reference.write("config.json", json.dumps({"ClusterId": CLUSTER, "SERVER": {"sts": sts}}))
    token = boto3_token(session.keys, REGION, f"sts.{REGION}.amazonaws.com")
    ran = reference.iamgate("verify", "-t", token, "-o", "json", "-c", str(config))
    assert ran.status == 0, ran
    assert json.loads(ran.stdout)["ARN"] == session.arn
