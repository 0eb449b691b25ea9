"""`iamgate token --cache`: the second call asks nobody, what is kept is private, and nothing of it is printed."""

import hashlib
import stat
import time

import pytest
import yaml

from amazon.sso import cached_token
from conftest import SESSION_NAME
from stand_in import ACCOUNT, REGION
from test_sources import START_URL
from webhook import CLUSTER, secret_parts

DEFAULT_FILE = ".kube/cache/aws-iam-authenticator/credentials.yaml"


@pytest.fixture
def assume(aws, workstation, developer):
    def run(*arguments: str, **environment: str):
        environment = {**aws.user.keys.environment(), **workstation.sts_over_http(), **environment}
        return workstation.mint("--cache", "--role", developer.arn, *arguments, **environment)

    return run


@pytest.fixture
def sso_environment(aws, workstation) -> dict[str, str]:
    workstation.write(
        ".aws/config",
        "[profile work]\nsso_session = company\n"
        f"sso_account_id = {ACCOUNT}\nsso_role_name = ViewOnly\n"
        f"[sso-session company]\nsso_region = {REGION}\nsso_start_url = {START_URL}\n",
    )
    name = hashlib.sha1(b"company").hexdigest()
    workstation.write(f".aws/sso/cache/{name}.json", cached_token(START_URL, REGION, *aws.sso.sign_in(), 3600))
    return {"AWS_PROFILE": "work"}


def kept(workstation) -> list:
    return [path for path in (workstation.home / ".kube").rglob("*") if path.is_file()]


def assert_private(workstation) -> None:
    assert kept(workstation)
    for path in (workstation.home / ".kube").rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((workstation.home / DEFAULT_FILE).parent.stat().st_mode) & 0o077 == 0


def assert_says_no_secret(ran, *secrets: str) -> None:
    hidden = secret_parts(ran.token) | set(secrets)
    assert not any(secret in ran.stderr for secret in hidden)
    assert not any(secret in ran.stdout for secret in secrets)


class TestAssumedRole:
    def test_the_second_call_asks_nobody(self, aws, workstation, webhook, assume):
        first, second = assume("-s", "x1"), assume("-s", "x1")
        assert webhook.review(first.token).user["username"] == "dev:x1"
        assert webhook.review(second.token).user["username"] == "dev:x1"
        assert aws.sts_http.record.count("AssumeRole") == 1
        assert_private(workstation)
        for ran in (first, second):
            assert_says_no_secret(ran, aws.user.keys.secret_access_key)

    def test_another_session_name_is_another_entry(self, aws, webhook, assume):
        for name in ("x1", "x2", "x1", "x2"):
            assert webhook.review(assume("-s", name).token).user["username"] == f"dev:{name}"
        assert aws.sts_http.record.count("AssumeRole") == 2

    def test_another_external_id_is_another_entry(self, aws, workstation):
        one, two = (aws.directory.add_role("Guarded", ACCOUNT, external_id=text) for text in ("one", "two"))
        environment = {**aws.user.keys.environment(), **workstation.sts_over_http()}
        assert workstation.mint("--cache", "-r", two.arn, "-e", "two", **environment).token
        ran = workstation.mint("--cache", "-r", one.arn, "-e", "one", **environment)
        assert (ran.status, ran.stdout) == (1, ""), "the entry of another external id was used"

    def test_other_source_keys_are_another_entry(self, aws, webhook, developer, assume):
        other = aws.directory.add_user("bob", ACCOUNT)
        assert assume("-s", "x1").token
        assert assume("-s", "x1", **other.keys.environment()).token
        assert aws.sts_http.record.count("AssumeRole") == 2

    def test_the_references_file_is_not_written(self, workstation, assume):
        assert assume().token
        assert not (workstation.home / DEFAULT_FILE).exists()

    def test_without_the_flag_nothing_is_kept(self, aws, workstation, developer):
        environment = {**aws.user.keys.environment(), **workstation.sts_over_http()}
        for _ in range(2):
            assert workstation.mint("--role", developer.arn, **environment).token
        assert aws.sts_http.record.count("AssumeRole") == 2
        assert kept(workstation) == []

    def test_a_profiles_role_is_kept_too(self, aws, workstation, developer, webhook):
        workstation.write(".aws/credentials", "[base]\n" + aws.user.keys.profile())
        workstation.write(
            ".aws/config",
            f"[profile work]\nrole_arn = {developer.arn}\nsource_profile = base\nrole_session_name = {SESSION_NAME}\n",
        )
        for _ in range(2):
            ran = workstation.mint("--cache", AWS_PROFILE="work", **workstation.sts_over_http())
            assert webhook.review(ran.token).user["username"] == "dev:jane-example.com"
        assert aws.sts_http.record.count("AssumeRole") == 1
        assert_private(workstation)


class TestReferenceFile:
    def test_sso_credentials_are_kept_in_the_references_layout(self, aws, workstation, webhook, sso_environment):
        for _ in range(2):
            ran = workstation.mint("--cache", **sso_environment)
            assert webhook.review(ran.token).user["username"] == "view:alice-example.com"
            assert_says_no_secret(ran)
        assert aws.portal.record.count("GetRoleCredentials") == 1
        assert_private(workstation)
        entry = yaml.safe_load((workstation.home / DEFAULT_FILE).read_text())["clusters"][CLUSTER]["work"][""]
        assert list(entry) == [
            "accesskeyid",
            "secretaccesskey",
            "sessiontoken",
            "source",
            "canexpire",
            "expires",
            "accountid",
        ]
        assert entry["canexpire"] is True

    def test_another_file_is_named_by_the_environment(self, aws, workstation, sso_environment):
        path = workstation.home / "private" / "kept.yaml"
        assert workstation.mint("--cache", AWS_IAM_AUTHENTICATOR_CACHE_FILE=str(path), **sso_environment).token
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert kept(workstation) == []

    @staticmethod
    def entry(session, expires_in: float) -> str:
        keys = session.keys
        entry = {
            "accesskeyid": keys.access_key_id,
            "secretaccesskey": keys.secret_access_key,
            "sessiontoken": keys.session_token,
            "source": "SSOProvider",
            "canexpire": True,
            "expires": time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(time.time() + expires_in)),
            "accountid": "",
        }
        return yaml.safe_dump({"clusters": {CLUSTER: {"work": {"": entry}}}}, sort_keys=False)

    def test_an_entry_that_the_reference_wrote_is_used(self, aws, workstation, webhook, session, sso_environment):
        workstation.write(DEFAULT_FILE, self.entry(session, expires_in=1800))
        ran = workstation.mint("--cache", **sso_environment)
        assert webhook.review(ran.token).user["username"] == "dev:jane-example.com"
        assert aws.portal.record.requests == []

    def test_an_entry_past_its_time_is_replaced(self, aws, workstation, webhook, session, sso_environment):
        workstation.write(DEFAULT_FILE, self.entry(session, expires_in=-60))
        ran = workstation.mint("--cache", **sso_environment)
        assert webhook.review(ran.token).user["username"] == "view:alice-example.com"
        assert aws.portal.record.count("GetRoleCredentials") == 1

    def test_a_file_that_others_can_read_is_left_alone(self, workstation, webhook, session, sso_environment):
        path = workstation.write(DEFAULT_FILE, self.entry(session, expires_in=1800))
        path.chmod(0o644)
        before = path.read_text()
        ran = workstation.mint("--cache", **sso_environment)
        assert "is not private" in ran.stderr
        assert webhook.review(ran.token).user["username"] == "view:alice-example.com"
        assert path.read_text() == before

    def test_a_file_that_is_not_yaml_costs_the_cache_and_not_the_token(self, workstation, webhook, sso_environment):
        workstation.write(DEFAULT_FILE, "clusters: [")
        ran = workstation.mint("--cache", **sso_environment)
        assert webhook.review(ran.token).user["username"] == "view:alice-example.com"
        assert ran.stderr

    def test_keys_that_do_not_expire_are_not_kept(self, aws, workstation):
        ran = workstation.mint("--cache", **aws.user.keys.environment())
        assert_says_no_secret(ran, aws.user.keys.secret_access_key)
        assert all(aws.user.keys.secret_access_key not in path.read_text() for path in kept(workstation))
