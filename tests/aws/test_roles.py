"""`iamgate token --role` assumes the role with exactly what was asked for, and the token is the role's."""

import re

import pytest

from conftest import SESSION_NAME
from stand_in import ACCOUNT

# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html, RoleSessionName
SESSION_NAME_FORM = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)


@pytest.fixture
def assume(aws, workstation):
    """Runs `iamgate token --role` as the user alice, or as `keys`."""

    def run(role, *arguments: str, keys=aws.user.keys, **environment: str):
        environment = {**keys.environment(), **workstation.sts_over_http(), **environment}
        return workstation.mint("--role", role.arn, *arguments, **environment)

    return run


def test_the_token_is_the_roles(aws, webhook, developer, assume):
    user = webhook.review(assume(developer).token).user
    assert user["extra"]["canonicalArn"] == [developer.arn]
    (form,) = aws.sts.assumed
    assert SESSION_NAME_FORM.fullmatch(form["RoleSessionName"])
    assert "ExternalId" not in form


def test_the_session_name_given(webhook, developer, assume):
    ran = assume(developer, "--session-name", SESSION_NAME)
    assert webhook.review(ran.token).user["username"] == "dev:jane-example.com"


def test_the_external_id_given(aws, webhook, assume):
    role = aws.directory.add_role("NodeRole", ACCOUNT, external_id="shared secret/1")
    assert webhook.review(assume(role, "-e", "shared secret/1", "-s", "n1").token).user["username"] == "node:n1"


@pytest.mark.parametrize("arguments", [(), ("-e", "guess")])
def test_a_wrong_external_id_is_an_error(aws, assume, arguments):
    role = aws.directory.add_role("Guarded", ACCOUNT, external_id="shared")
    ran = assume(role, *arguments)
    assert (ran.status, ran.stdout) == (1, "")
    assert "could not get token" in ran.stderr
    assert aws.sts.assumed == []


def test_the_callers_session_name_is_forwarded(aws, webhook, developer, assume):
    caller = aws.directory.open_session(aws.directory.add_role("Base", ACCOUNT), SESSION_NAME)
    token = assume(developer, "--forward-session-name", keys=caller.keys).token
    assert webhook.review(token).user["username"] == "dev:jane-example.com"
    asked = [(seen.what, seen.method) for seen in aws.sts_http.record.requests]
    assert asked == [("GetCallerIdentity", "POST"), ("AssumeRole", "POST")]


def test_a_user_has_no_session_name_to_forward(aws, developer, assume):
    assert assume(developer, "--forward-session-name").token
    (form,) = aws.sts.assumed
    assert SESSION_NAME_FORM.fullmatch(form["RoleSessionName"])


def test_a_name_cannot_be_both_forwarded_and_given(aws, developer, assume):
    ran = assume(developer, "--forward-session-name", "--session-name", "x")
    assert (ran.status, ran.stdout) == (2, "")
    assert "cannot specify both --forward-session-name and --session-name parameter" in ran.stderr
    assert aws.sts_http.record.requests == []


def test_without_a_role_sts_is_not_called(aws, workstation, session):
    environment = {**session.keys.environment(), **workstation.sts_over_http()}
    assert workstation.mint("-e", "x", "-s", "y", **environment).token
    assert aws.sts_http.record.requests == []


def test_the_role_of_the_environment(aws, webhook, developer, workstation):
    environment = {"DEFAULT_ROLE": developer.arn, **aws.user.keys.environment(), **workstation.sts_over_http()}
    token = workstation.mint("-s", "x1", **environment).token
    assert webhook.review(token).user["username"] == "dev:x1"


def test_a_role_on_top_of_an_assume_role_profile(aws, webhook, developer, workstation):
    middle = aws.directory.add_role("Middle", ACCOUNT)
    workstation.write(".aws/credentials", "[base]\n" + aws.user.keys.profile())
    workstation.write(".aws/config", f"[profile work]\nrole_arn = {middle.arn}\nsource_profile = base\n")
    token = workstation.mint("-r", developer.arn, "-s", "top", AWS_PROFILE="work", **workstation.sts_over_http()).token
    assert webhook.review(token).user["username"] == "dev:top"
    assert [form["RoleArn"] for form in aws.sts.assumed] == [middle.arn, developer.arn]
