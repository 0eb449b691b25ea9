"""The stand-in itself: AWS's own SDK is served by it, and it refuses what AWS refuses."""

import http.client
import json
import re
import ssl
import subprocess
import sys
import time
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

import token_text
import vectors
from amazon import hosts
from amazon.accounts import Keys
from stand_in import ACCOUNT, REGION
from webhook import CLUSTER

HOST = hosts.BY_NAME[f"sts.{REGION}.amazonaws.com"]


def sts_client(aws, keys: Keys):
    session = boto3.Session(keys.access_key_id, keys.secret_access_key, keys.session_token, region_name=REGION)
    return session.client("sts", endpoint_url=aws.sts_http.url)


def ask(aws, token: str, cluster_id: str | None = CLUSTER, accept: str = "application/json"):
    """GETs a token's URL as a webhook does; status and body."""
    address = urlsplit(token_text.url(token))
    connection = http.client.HTTPSConnection(
        aws.sts_tls.address, timeout=10, context=ssl.create_default_context(cafile=aws.ca)
    )
    # http.client takes the TLS name from its address, so the socket is made here.
    plain = connection._create_connection((connection.host, connection.port), 10)
    connection.sock = connection._context.wrap_socket(plain, server_hostname=address.hostname)
    headers = {"Host": address.netloc, "Accept": accept}
    if cluster_id is not None:
        headers["x-k8s-aws-id"] = cluster_id
    try:
        connection.request("GET", f"{address.path}?{address.query}", headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def token_at(caller, moment: float, host: hosts.Host = HOST) -> str:
    return vectors.token(vectors.presigned(host, CLUSTER, caller.keys, int(moment)))


def test_the_sdk_is_told_who_it_is(aws, session):
    told = sts_client(aws, session.keys).get_caller_identity()
    assert (told["Account"], told["Arn"], told["UserId"]) == (session.account, session.arn, session.user_id)


def test_the_sdk_assumes_a_role_and_the_new_keys_work(aws, session):
    role = aws.directory.add_role("Next", ACCOUNT, external_id="shared")
    given = sts_client(aws, session.keys).assume_role(RoleArn=role.arn, RoleSessionName="next", ExternalId="shared")[
        "Credentials"
    ]
    keys = Keys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Next/next"
    assert sts_client(aws, keys).get_caller_identity()["Arn"] == arn
    assert [form["ExternalId"] for form in aws.sts.assumed] == ["shared"]


@pytest.mark.parametrize(
    ("asks", "gives", "message"),
    [
        ({"external_id": "shared"}, {}, "is not authorized to perform: sts:AssumeRole"),
        ({"external_id": "shared"}, {"ExternalId": "guess"}, "is not authorized to perform: sts:AssumeRole"),
        ({"mfa_serial": "arn:aws:iam::1:mfa/x", "mfa_code": "123456"}, {}, "is not authorized to perform"),
        (
            {"mfa_serial": "arn:aws:iam::1:mfa/x", "mfa_code": "123456"},
            {"SerialNumber": "arn:aws:iam::1:mfa/x", "TokenCode": "654321"},
            "invalid MFA one time pass code",
        ),
    ],
)
def test_a_role_is_denied_to_a_caller_without_what_it_asks(aws, session, asks, gives, message):
    role = aws.directory.add_role("Guarded", ACCOUNT, **asks)
    with pytest.raises(ClientError, match=re.escape(message)) as refused:
        sts_client(aws, session.keys).assume_role(RoleArn=role.arn, RoleSessionName="next", **gives)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_a_token_is_answered_in_json_as_asked_and_in_xml_otherwise(aws, session):
    token = token_at(session, time.time())
    status, body = ask(aws, token)
    result = json.loads(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
    assert (status, result) == (200, {"Account": ACCOUNT, "Arn": session.arn, "UserId": session.user_id})
    status, body = ask(aws, token, accept="*/*")
    assert status == 200 and body.startswith("<GetCallerIdentityResponse xmlns=")


def test_refusals_carry_the_code_and_message_of_aws(aws, session):
    now = time.time()
    token = token_at(session, now)
    wrong_region = hosts.Host(HOST.name, "eu-central-1", "aws")
    other = aws.directory.open_session(aws.directory.add_role("Other", ACCOUNT), "x")
    expired = aws.directory.open_session(aws.directory.add_role("Gone", ACCOUNT), "x", lifetime=-1)
    unknown = vectors.presigned(HOST, CLUSTER, Keys("ASIAUNKNOWNUNKNOWN22", "x" * 40, "y" * 40), int(now))
    mismatch = "The request signature we calculated does not match"
    table = [
        (token, "other-cluster", "SignatureDoesNotMatch", mismatch),
        (token, None, "SignatureDoesNotMatch", "A signed header is missing"),
        (token_text.with_parameter(token, "X-Amz-Signature", "0" * 64), CLUSTER, "SignatureDoesNotMatch", mismatch),
        (token_text.with_parameter(token, "X-Amz-Expires", "900"), CLUSTER, "SignatureDoesNotMatch", mismatch),
        (
            token_text.with_parameter(token, "X-Amz-Security-Token", other.keys.session_token),
            CLUSTER,
            "InvalidClientTokenId",
            "The security token included in the request is invalid",
        ),
        (
            vectors.token(unknown),
            CLUSTER,
            "InvalidClientTokenId",
            "The security token included in the request is invalid",
        ),
        (token_at(session, now - 16 * 60), CLUSTER, "SignatureDoesNotMatch", "Signature expired"),
        (token_at(session, now + 6 * 60), CLUSTER, "SignatureDoesNotMatch", "Signature not yet current"),
        (
            token_at(session, now, wrong_region),
            CLUSTER,
            "SignatureDoesNotMatch",
            "Credential should be scoped to a valid region",
        ),
        (token_at(expired, now), CLUSTER, "ExpiredToken", "The security token included in the request is expired"),
        (
            vectors.token(f"https://{HOST.name}/?{vectors.QUERY}"),
            CLUSTER,
            "MissingAuthenticationToken",
            "Request is missing Authentication Token",
        ),
    ]
    for given, cluster_id, code, message in table:
        status, body = ask(aws, given, cluster_id)
        error = json.loads(body)["Error"]
        assert (status, error["Code"], error["Type"]) == (403, code, "Sender"), error
        assert error["Message"].startswith(message)


def test_another_partitions_host_does_not_know_the_key(aws, session):
    china = hosts.BY_NAME["sts.cn-north-1.amazonaws.com.cn"]
    status, body = ask(aws, token_at(session, time.time(), china))
    assert (status, json.loads(body)["Error"]["Code"]) == (403, "InvalidClientTokenId")


def test_a_record_counts_and_holds_no_secret(aws, session):
    token = token_at(session, time.time())
    ask(aws, token)
    ask(aws, token)
    record = aws.sts_tls.record
    assert (record.connections, record.count("GetCallerIdentity")) == (2, 2)
    shown = repr(record.requests) + repr(session)
    for secret in (session.keys.secret_access_key, session.keys.session_token[:40]):
        assert secret not in shown


def test_header_signatures_are_recomputed_too(aws, session):
    keys = session.keys
    with pytest.raises(ClientError) as refused:
        sts_client(aws, Keys(keys.access_key_id, "x" * 40, keys.session_token)).get_caller_identity()
    assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_it_runs_as_a_program_until_its_input_closes(tmp_path):
    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [sys.executable, "stand_in.py", "--ready-file", ready],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=vectors.FILE.parents[1] / "aws",
    )
    try:
        told = json.loads(process.stdout.readline())
        assert told == json.loads(ready.read_text())
        assert told["connectTo"][HOST.name] == f"127.0.0.1:{told['port']}"
        assert ssl.create_default_context(cafile=told["caFile"]).cert_store_stats()["x509_ca"] == 1
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
