"""The harness has teeth: a server that told a part of a token, in any form, would be noticed."""

from urllib.parse import quote

import pytest

from stand_in import REGION
from token_text import parameters
from webhook import secret_parts
from workstation import boto3_token


@pytest.fixture
def token(session) -> str:
    return boto3_token(session.keys, REGION, f"sts.{REGION}.amazonaws.com")


@pytest.mark.parametrize("name", ["X-Amz-Signature", "X-Amz-Security-Token"])
def test_each_secret_parameter_is_noticed_raw_and_escaped(token, name):
    for told in (parameters(token)[name], quote(parameters(token)[name], safe="-_.~")):
        assert any(part in f'level=info msg="asked {told}"' for part in secret_parts(token))


def test_the_whole_token_and_its_end_are_noticed(token):
    for told in (token, token[-200:]):
        assert any(part in told for part in secret_parts(token))


def test_what_a_log_may_hold_is_not_taken_for_a_secret(session, token):
    public = f"{session.arn} {session.user_id} {session.keys.access_key_id} sts.{REGION}.amazonaws.com {token[:60]}"
    assert not any(part in public for part in secret_parts(token))
