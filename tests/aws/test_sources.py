"""`iamgate token` finds credentials wherever AWS's chain does, and asks the instance only when nothing else answers.

Each token is shown to a running webhook: what counts is who the holder turns out to be.
"""

import contextlib
import hashlib
import json
import socket
import time

import pytest

import token_text
from amazon.sso import cached_token
from conftest import SESSION_NAME
from stand_in import ACCOUNT, REGION
from webhook import CLUSTER

START_URL = "https://example.awsapps.com/start"
# A dead metadata endpoint may cost a second; the rest is a debug build on a busy machine.
BLACK_HOLE_SECONDS = 3
MFA_PROMPT = "Assume Role MFA token code: "


@pytest.fixture
def who(aws, webhook):
    """The Kubernetes user name behind a command's token."""
    return lambda ran: webhook.review(ran.token).user["username"]


def assert_imds_unasked(aws) -> None:
    assert (aws.imds.record.connections, aws.imds.record.requests) == (0, [])


def profile(role, **members: str) -> str:
    lines = {"role_arn": role.arn, "source_profile": "base", "role_session_name": SESSION_NAME, **members}
    return "[profile work]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())


class TestKeys:
    def test_environment(self, aws, workstation, who):
        assert who(workstation.mint(**aws.user.keys.environment())) == "alice"
        assert_imds_unasked(aws)

    def test_environment_with_a_session(self, aws, workstation, session, who):
        assert who(workstation.mint(**session.keys.environment())) == "dev:jane-example.com"
        assert_imds_unasked(aws)

    def test_default_profile(self, aws, workstation, who):
        workstation.write(".aws/credentials", "[default]\n" + aws.user.keys.profile())
        assert who(workstation.mint()) == "alice"
        assert_imds_unasked(aws)

    def test_named_profile_with_its_own_region(self, aws, workstation, session, who):
        workstation.write(".aws/credentials", "[work]\n" + session.keys.profile())
        workstation.write(".aws/config", "[profile work]\nregion = eu-central-1\n")
        ran = workstation.iamgate("token", "-i", CLUSTER, AWS_PROFILE="work")
        assert token_text.host(ran.token) == "sts.eu-central-1.amazonaws.com"
        assert who(ran) == "dev:jane-example.com"
        assert_imds_unasked(aws)

    def test_files_named_by_the_environment(self, aws, workstation, session, who):
        credentials = workstation.write("elsewhere/keys", "[work]\n" + session.keys.profile())
        ran = workstation.mint(AWS_SHARED_CREDENTIALS_FILE=str(credentials), AWS_PROFILE="work")
        assert who(ran) == "dev:jane-example.com"

    def test_credential_process(self, aws, workstation, session, who):
        keys = session.keys
        given = {
            "Version": 1,
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "SessionToken": keys.session_token,
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(session.expires_at)),
        }
        answer = workstation.write("answer.json", json.dumps(given))
        workstation.write(".aws/config", f"[profile work]\ncredential_process = /bin/cat {answer}\n")
        assert who(workstation.mint(AWS_PROFILE="work")) == "dev:jane-example.com"
        assert_imds_unasked(aws)


class TestAssumeRoleProfile:
    def test_with_a_source_profile(self, aws, workstation, developer, who):
        workstation.write(".aws/credentials", "[base]\n" + aws.user.keys.profile())
        workstation.write(".aws/config", profile(developer))
        assert who(workstation.mint(AWS_PROFILE="work", **workstation.sts_over_http())) == "dev:jane-example.com"
        assert [form["RoleArn"] for form in aws.sts.assumed] == [developer.arn]
        assert_imds_unasked(aws)

    def test_with_an_external_id(self, aws, workstation, who):
        role = aws.directory.add_role("NodeRole", ACCOUNT, external_id="shared")
        workstation.write(".aws/credentials", "[base]\n" + aws.user.keys.profile())
        workstation.write(".aws/config", profile(role, external_id="shared"))
        assert who(workstation.mint(AWS_PROFILE="work", **workstation.sts_over_http())) == "node:jane-example.com"

    @pytest.fixture
    def with_mfa(self, aws, workstation):
        serial = f"arn:aws:iam::{ACCOUNT}:mfa/alice"
        role = aws.directory.add_role("TaskRole", ACCOUNT, mfa_serial=serial, mfa_code="123456")
        workstation.write(".aws/credentials", "[base]\n" + aws.user.keys.profile())
        workstation.write(".aws/config", profile(role, mfa_serial=serial))
        return {"AWS_PROFILE": "work", **workstation.sts_over_http()}

    def test_the_code_is_asked_for_on_the_terminal(self, aws, workstation, with_mfa, who):
        command = ("token", "-i", CLUSTER, "--region", REGION)
        ran, screen = workstation.at_terminal(*command, prompt=MFA_PROMPT, reply="123456", **with_mfa)
        assert who(ran) == "task:jane-example.com"
        assert ran.token not in screen

    def test_a_wrong_code_is_an_error(self, aws, workstation, with_mfa):
        command = ("token", "-i", CLUSTER, "--region", REGION)
        ran, screen = workstation.at_terminal(*command, prompt=MFA_PROMPT, reply="654321", **with_mfa)
        assert (ran.status, ran.stdout) == (1, "")
        assert "could not get token" in screen
        assert aws.sts.assumed == []

    def test_without_a_terminal_it_fails_and_does_not_hang(self, aws, workstation, with_mfa):
        ran = workstation.mint(**with_mfa)
        assert (ran.status, ran.stdout) == (1, "")
        assert "MFA" in ran.stderr
        assert aws.sts.assumed == []


class TestWebIdentity:
    @pytest.fixture
    def proof(self, aws, workstation):
        aws.directory.add_role("TaskRole", ACCOUNT, web_identity_token="header.claims.signature")
        return workstation.write("token.jwt", "header.claims.signature")

    def test_environment(self, aws, workstation, proof, who):
        environment = {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(proof),
            "AWS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/TaskRole",
            "AWS_ROLE_SESSION_NAME": "runner",
            **workstation.sts_over_http(),
        }
        assert who(workstation.mint(**environment)) == "task:runner"
        assert aws.sts_http.record.count("AssumeRoleWithWebIdentity") == 1
        assert_imds_unasked(aws)

    def test_profile(self, aws, workstation, proof, who):
        workstation.write(
            ".aws/config",
            f"[profile work]\nrole_arn = arn:aws:iam::{ACCOUNT}:role/TaskRole\n"
            f"web_identity_token_file = {proof}\nrole_session_name = runner\n",
        )
        assert who(workstation.mint(AWS_PROFILE="work", **workstation.sts_over_http())) == "task:runner"
        assert aws.sts_http.record.count("AssumeRoleWithWebIdentity") == 1
        assert_imds_unasked(aws)


class TestSso:
    @pytest.fixture
    def sign_in(self, aws, workstation):
        """Leaves what `aws sso login` leaves, with a token that lives this long."""
        workstation.write(
            ".aws/config",
            "[profile work]\nsso_session = company\n"
            f"sso_account_id = {ACCOUNT}\nsso_role_name = ViewOnly\n"
            f"[sso-session company]\nsso_region = {REGION}\nsso_start_url = {START_URL}\n"
            "sso_registration_scopes = sso:account:access\n",
        )
        name = hashlib.sha1(b"company").hexdigest()

        def leave(lifetime: float):
            text = cached_token(START_URL, REGION, *aws.sso.sign_in(), lifetime)
            return workstation.write(f".aws/sso/cache/{name}.json", text)

        return leave

    def test_session_with_a_cached_token(self, aws, workstation, sign_in, who):
        sign_in(lifetime=3600)
        assert who(workstation.mint(AWS_PROFILE="work")) == "view:alice-example.com"
        assert aws.portal.record.count("GetRoleCredentials") == 1
        assert aws.oidc.record.requests == []
        assert_imds_unasked(aws)

    def test_an_expired_token_is_refreshed_and_kept(self, aws, workstation, sign_in, who):
        cache = sign_in(lifetime=-60)
        before = json.loads(cache.read_text())["accessToken"]
        assert who(workstation.mint(AWS_PROFILE="work")) == "view:alice-example.com"
        assert aws.oidc.record.count("CreateToken") == 1
        assert json.loads(cache.read_text())["accessToken"] != before
        assert who(workstation.mint(AWS_PROFILE="work")) == "view:alice-example.com"
        assert aws.oidc.record.count("CreateToken") == 1

    def test_nobody_signed_in_is_an_error(self, aws, workstation, sign_in):
        sign_in(lifetime=3600).unlink()
        ran = workstation.mint(AWS_PROFILE="work")
        assert (ran.status, ran.stdout) == (1, "")
        assert "could not get token" in ran.stderr
        assert_imds_unasked(aws)


class TestContainer:
    def test_authorization_in_the_environment(self, aws, workstation, who):
        environment = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": aws.container_uri,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": aws.container.authorization,
        }
        assert who(workstation.mint(**environment)) == "task:task-1"
        assert aws.containers.record.count("credentials") == 1
        assert_imds_unasked(aws)

    def test_authorization_in_a_file(self, aws, workstation, who):
        environment = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": aws.container_uri,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(workstation.write("pod-token", aws.container.authorization)),
        }
        assert who(workstation.mint(**environment)) == "task:task-1"
        assert_imds_unasked(aws)


class TestInstance:
    def test_instance_profile(self, aws, workstation, who):
        assert who(workstation.mint()) == "node:i-0123456789abcdef0"
        assert aws.imds.record.count("credentials") == 1

    def test_region_of_the_instance(self, aws, workstation, who):
        ran = workstation.iamgate("token", "-i", CLUSTER)
        assert token_text.host(ran.token) == f"sts.{REGION}.amazonaws.com"
        assert who(ran) == "node:i-0123456789abcdef0"

    def test_region_alone_when_the_environment_has_the_keys(self, aws, workstation, session, who):
        ran = workstation.iamgate("token", "-i", CLUSTER, **session.keys.environment())
        assert token_text.host(ran.token) == f"sts.{REGION}.amazonaws.com"
        assert who(ran) == "dev:jane-example.com"
        assert aws.imds.record.count("region") == 1
        assert aws.imds.record.count("credentials") == 0

    def test_an_instance_without_a_profile_gives_no_token(self, aws, workstation):
        ran = workstation.mint(AWS_EC2_METADATA_SERVICE_ENDPOINT=aws.bare_imds.url)
        assert (ran.status, ran.stdout) == (1, "")
        assert "could not get token" in ran.stderr


class TestBlackHole:
    """A metadata endpoint that never answers: one takes the connection and says nothing, the other drops packets."""

    @pytest.fixture(params=["silent", "dropping"])
    def hole(self, request):
        with contextlib.ExitStack() as open_sockets:
            listener = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            listener.setblocking(False)
            if request.param == "dropping":
                # A full queue: Linux drops every further SYN.
                for _ in range(4):
                    filler = open_sockets.enter_context(socket.socket())
                    filler.setblocking(False)
                    filler.connect_ex(listener.getsockname())
            yield {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}"}

    def test_the_region_falls_back_within_a_second(self, workstation, session, hole):
        ran = workstation.iamgate("token", "-i", CLUSTER, **session.keys.environment(), **hole)
        assert token_text.host(ran.token) == "sts.us-east-1.amazonaws.com"
        assert ran.seconds < BLACK_HOLE_SECONDS

    def test_without_any_credentials_the_error_comes_soon(self, workstation, hole):
        ran = workstation.mint(**hole)
        assert (ran.status, ran.stdout) == (1, "")
        assert "could not get token" in ran.stderr
        assert ran.seconds < BLACK_HOLE_SECONDS

    def test_without_credentials_and_region_it_is_not_waited_for_twice(self, workstation, hole):
        ran = workstation.iamgate("token", "-i", CLUSTER, **hole)
        assert (ran.status, ran.stdout) == (1, "")
        assert ran.seconds < BLACK_HOLE_SECONDS

    def test_it_is_not_connected_to_when_the_environment_has_keys_and_region(self, workstation, session):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
            assert workstation.mint(**session.keys.environment(), AWS_EC2_METADATA_SERVICE_ENDPOINT=endpoint).token
            with pytest.raises(BlockingIOError):
                listener.accept()
