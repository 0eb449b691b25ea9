"""What must not pass does not pass, and STS is asked only about what could.

No request for what the server can refuse alone; otherwise one for each accepted cluster id.
"""

import time

import pytest

import token_text
import vectors
from amazon import hosts, sts
from amazon.accounts import Keys
from amazon.authority import issue
from conftest import SESSION_NAME
from stand_in import ACCOUNT, REGION
from webhook import CLUSTER
from workstation import boto3_token

HOST = hosts.BY_NAME[f"sts.{REGION}.amazonaws.com"]
# A reason is one short line of a closed set.
REASON_LIMIT = 200


def mint(caller, cluster_id: str = CLUSTER) -> str:
    return boto3_token(caller.keys, HOST.region, HOST.name, cluster_id)


def token_at(caller, moment: float, host: hosts.Host = HOST) -> str:
    return vectors.token(vectors.presigned(host, CLUSTER, caller.keys, int(moment)))


def assert_denied_by_sts(aws, review, requests: int = 1) -> None:
    assert_has_reason(review)
    assert [seen.status for seen in aws.sts_tls.record.requests] == [403] * requests


def assert_denied_unasked(aws, review) -> None:
    assert_has_reason(review)
    assert (aws.sts_tls.record.connections, aws.sts_tls.record.requests) == (0, [])


def assert_has_reason(review) -> None:
    reason = review.reason
    assert reason and len(reason) <= REASON_LIMIT and reason.isprintable()


def test_a_token_for_another_cluster_fails_the_signature(aws, webhook, session):
    assert_denied_by_sts(aws, webhook.review(mint(session, "another-cluster")))


def test_the_aws_clis_token_for_another_cluster_fails_the_signature(aws, webhook, workstation, session):
    token = workstation.eks_get_token(REGION, "another-cluster", **session.keys.environment()).token
    assert_denied_by_sts(aws, webhook.review(token))


@pytest.fixture(scope="module")
def both(start_webhook):
    """A server that is being moved from one cluster id to another."""
    return start_webhook({"acceptedClusterIDs": ["old-cluster"]})


class TestAcceptedClusterIds:
    def test_the_clusters_own_id_is_tried_first(self, aws, both, session):
        assert both.review(mint(session)).granted
        assert [seen.status for seen in aws.sts_tls.record.requests] == [200]

    def test_an_accepted_id_is_granted_at_the_second_try(self, aws, both, session):
        assert both.review(mint(session, "old-cluster")).granted
        assert [seen.status for seen in aws.sts_tls.record.requests] == [403, 200]

    def test_a_third_id_is_denied_after_one_request_for_each(self, aws, both, session):
        assert_denied_by_sts(aws, both.review(mint(session, "another-cluster")), requests=2)

    def test_an_expired_session_is_not_tried_again_under_the_other_id(self, aws, both, session):
        aws.directory.expire(session)
        assert_denied_by_sts(aws, both.review(mint(session)))


class TestTampered:
    def test_signature(self, aws, webhook, session):
        token = mint(session)
        signature = token_text.parameters(token)["X-Amz-Signature"]
        flipped = signature[:-1] + ("0" if signature[-1] != "0" else "1")
        assert_denied_by_sts(aws, webhook.review(token_text.with_parameter(token, "X-Amz-Signature", flipped)))

    def test_access_key_of_someone_else(self, aws, webhook, session, developer):
        other = aws.directory.open_session(developer, "other")
        token = mint(session)
        credential = token_text.parameters(token)["X-Amz-Credential"].replace(
            session.keys.access_key_id, other.keys.access_key_id
        )
        assert_denied_by_sts(aws, webhook.review(token_text.with_parameter(token, "X-Amz-Credential", credential)))

    def test_session_token_of_someone_else(self, aws, webhook, session, developer):
        other = aws.directory.open_session(developer, "other").keys.session_token
        token = token_text.with_parameter(mint(session), "X-Amz-Security-Token", other)
        assert_denied_by_sts(aws, webhook.review(token))

    def test_date_moved_within_the_day(self, aws, webhook, session):
        token = token_at(session, time.time() - 60)
        date = token_text.parameters(token)["X-Amz-Date"]
        moved = date[:-2] + ("1Z" if date[-2] != "1" else "2Z")
        assert_denied_by_sts(aws, webhook.review(token_text.with_parameter(token, "X-Amz-Date", moved)))

    def test_date_and_scope_of_another_day(self, aws, webhook, session):
        token = token_at(session, time.time())
        credential = token_text.parameters(token)["X-Amz-Credential"].split("/")
        credential[1] = "20200101"
        token = token_text.with_parameter(token, "X-Amz-Credential", "/".join(credential))
        assert_denied_unasked(aws, webhook.review(token))

    def test_host_of_another_region(self, aws, webhook, session):
        token = token_text.with_host(mint(session), "sts.us-east-1.amazonaws.com")
        assert_denied_unasked(aws, webhook.review(token))

    @pytest.mark.parametrize(
        "suffix",
        [
            "&x-amz-credential=eve",
            "&X-Amz-Credential=eve",
            "&X-Amz-%43redential=eve",
            "&Action=AssumeRole",
            "&action=GetCallerIdentity",
            "&RoleArn=arn",
            "#fragment",
            "\n",
        ],
    )
    def test_anything_added(self, aws, webhook, session, suffix):
        assert_denied_unasked(aws, webhook.review(token_text.with_suffix(mint(session), suffix)))

    @pytest.mark.parametrize(
        "host",
        [
            "sts.us-west-2.amazonaws.com.evil.test",
            "sts.us-west-2.amazonaws.com:443",
            "user@sts.us-west-2.amazonaws.com",
            "STS.us-west-2.amazonaws.com",
            "sts.not-a-region.amazonaws.com",
            "169.254.169.254",
        ],
    )
    def test_host_that_is_not_an_sts_of_ours(self, aws, webhook, session, host):
        assert_denied_unasked(aws, webhook.review(token_text.with_host(mint(session), host)))


class TestTime:
    @pytest.mark.parametrize("age", [14 * 60, -4 * 60])
    def test_a_token_inside_the_window_is_granted(self, webhook, session, age):
        assert webhook.review(token_at(session, time.time() - age)).granted

    @pytest.mark.parametrize("age", [15 * 60 + 2, -6 * 60, 86400])
    def test_a_token_outside_the_window_is_refused_unasked(self, aws, webhook, session, age):
        assert_denied_unasked(aws, webhook.review(token_at(session, time.time() - age)))

    def test_max_token_age_narrows_the_window(self, aws, start_webhook, session):
        strict = start_webhook({"server": {"maxTokenAge": 120}})
        assert_denied_unasked(aws, strict.review(token_at(session, time.time() - 180)))
        assert strict.review(token_at(session, time.time() - 30)).granted


class TestCallers:
    def test_expired_credentials(self, aws, webhook, session):
        aws.directory.expire(session)
        assert_denied_by_sts(aws, webhook.review(mint(session)))

    def test_a_key_that_aws_does_not_know(self, aws, webhook):
        keys = Keys("ASIAUNKNOWNUNKNOWN22", "x" * 40, "y" * 343)
        assert_denied_by_sts(aws, webhook.review(boto3_token(keys, HOST.region, HOST.name)))

    def test_a_role_that_is_not_mapped(self, aws, webhook):
        stranger = aws.directory.open_session(aws.directory.add_role("Stranger", ACCOUNT), SESSION_NAME)
        assert_has_reason(webhook.review(mint(stranger)))
        assert [seen.status for seen in aws.sts_tls.record.requests] == [200]

    def test_the_mapped_roles_namesake_in_another_account(self, aws, webhook, session):
        assert webhook.review(mint(session)).granted
        namesake = aws.directory.open_session(aws.directory.add_role("Developer", "210987654321"), SESSION_NAME)
        assert_has_reason(webhook.review(mint(namesake)))

    @pytest.mark.parametrize(
        "token", ["eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrIn0.c2ln", "k8s-aws-v2.AAAA", " k8s-aws-v1.AAAA"]
    )
    def test_a_token_of_another_authenticator_is_denied_without_a_word(self, aws, webhook, token):
        assert webhook.review(token).reason is None
        assert aws.sts_tls.record.requests == []


class TestOutages:
    @pytest.mark.parametrize(
        ("outage", "status"),
        [(sts.THROTTLED, 429), (sts.INTERNAL, 504), (sts.UNAVAILABLE, 504)],
        ids=["throttled", "internal", "unavailable"],
    )
    def test_what_sts_cannot_decide_is_not_a_denial(self, aws, webhook, session, outage, status):
        aws.sts.break_with(outage)
        review = webhook.review(mint(session))
        assert review.status == status
        assert "retry-after" not in review.headers

    def test_the_next_review_is_granted_when_sts_is_back(self, aws, webhook, session):
        aws.sts.break_with(sts.UNAVAILABLE)
        assert webhook.review(mint(session)).status == 504
        aws.sts.break_with(None)
        assert webhook.review(mint(session)).granted

    def test_an_sts_whose_certificate_is_not_trusted_is_unreachable(self, aws, start_webhook, session, tmp_path):
        stranger, _ = issue(tmp_path, ["sts.test"])
        doubtful = start_webhook({"server": {"sts": {"connectTo": aws.connect_to, "caFile": str(stranger)}}})
        assert doubtful.review(mint(session)).status == 504
        assert aws.sts_tls.record.requests == []
