"""The committed vectors are what botocore makes today, and what the stand-in accepts; and so are other SDKs' tokens."""

import base64
import json
from email.message import Message
from urllib.parse import parse_qsl, urlsplit

import pytest

import token_text
import vectors
from amazon.accounts import Directory, Keys
from amazon.loopback import Received
from amazon.signature import Refused, caller

COMMITTED = json.loads(vectors.FILE.read_text())


def _sdks() -> list[dict]:
    """The tokens that AWS's other SDKs made, each as the vector of its case."""
    cases = {vector["name"]: vector for vector in COMMITTED}
    files = sorted((vectors.FILE.parent / "sdks").glob("*.json"))
    made = [made for file in files for made in json.loads(file.read_text())["tokens"]]
    return [
        {
            **cases[one["name"]],
            "name": f"{one['recipe']}: {one['name']}",
            "url": token_text.url(one["token"]),
            "token": one["token"],
        }
        for one in made
    ]


SDKS = _sdks()


def test_the_committed_file_is_a_fresh_generation():
    assert vectors.FILE.read_text() == vectors.rendered()


def test_names_are_unique():
    names = [vector["name"] for vector in COMMITTED]
    assert len(names) == len(set(names)) == 35


def test_other_sdks_signed_the_same_cases():
    assert len({vector["name"] for vector in SDKS}) == len(SDKS) == 6 * len(COMMITTED)


@pytest.mark.parametrize("vector", COMMITTED, ids=lambda vector: vector["name"])
def test_parameters_are_sorted_with_the_signature_last(vector):
    names = [name for name, _ in parse_qsl(urlsplit(vector["url"]).query, keep_blank_values=True)]
    assert names == sorted(names[:-1]) + ["X-Amz-Signature"]


@pytest.mark.parametrize("vector", COMMITTED, ids=lambda vector: vector["name"])
def test_the_token_is_the_url_in_unpadded_base64url(vector):
    text = vector["token"].removeprefix(vectors.PREFIX)
    assert "=" not in text
    assert base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode() == vector["url"]


@pytest.mark.parametrize("vector", COMMITTED + SDKS, ids=lambda vector: vector["name"])
def test_the_stand_in_accepts_the_vector_at_its_own_time(vector):
    directory, keys = _directory(vector)
    known = caller(_received(vector, vector["cluster_id"]), directory, vector["unix_time"] + 1)
    assert known.keys.access_key_id == keys.access_key_id


@pytest.mark.parametrize("vector", COMMITTED + SDKS, ids=lambda vector: vector["name"])
def test_the_stand_in_refuses_the_vector_for_another_cluster(vector):
    directory, _ = _directory(vector)
    with pytest.raises(Refused) as refused:
        caller(_received(vector, vector["cluster_id"] + "2"), directory, vector["unix_time"])
    assert refused.value.code == "SignatureDoesNotMatch"
    assert refused.value.message.startswith("The request signature we calculated")


@pytest.mark.parametrize("length", vectors.TOKEN_LENGTHS)
def test_a_session_token_has_its_length_and_every_character_that_a_url_escapes(length):
    text = vectors.temporary(length).session_token
    assert len(text) == length
    assert set("+/=") <= set(text)


def _directory(vector) -> tuple[Directory, Keys]:
    keys = Keys(vector["access_key_id"], vector["secret_access_key"], vector["session_token"])
    directory = Directory()
    partition = vectors.hosts.BY_NAME[vector["host"]].partition
    directory.add_user("alice", "123456789012", partition, keys)
    return directory, keys


def _received(vector, cluster_id: str) -> Received:
    headers = Message()
    headers["Host"] = vector["host"]
    headers["X-K8s-Aws-Id"] = cluster_id
    return Received("GET", "/", urlsplit(vector["url"]).query, headers, b"", vector["host"])
