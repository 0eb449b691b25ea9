"""What a webhook is asked and what it answers, however it runs; `server_process.py` runs it."""

import time
from dataclasses import dataclass
from urllib.parse import quote

import vectors
from amazon import hosts
from amazon.accounts import Keys
from token_text import parameters

CLUSTER = "test-cluster"
HOST = hosts.BY_NAME["sts.us-west-2.amazonaws.com"]


@dataclass(frozen=True)
class Review:
    """The answer to one TokenReview."""

    status: int
    headers: dict[str, str]
    body: dict

    @property
    def granted(self) -> bool:
        return self.status == 200 and self.body["status"].get("authenticated") is True

    @property
    def user(self) -> dict:
        assert self.granted, self
        return self.body["status"]["user"]

    @property
    def reason(self) -> str | None:
        """Why it was denied; None when the token was not for us, which is told quietly."""
        assert self.status == 200 and not self.body["status"].get("authenticated", False), self
        assert not self.body["status"].get("user", {}).get("username"), self
        return self.body["status"].get("error")


def signed(keys: Keys, cluster_id: str = CLUSTER, host: hosts.Host = HOST, age: float = 0) -> str:
    """A token, signed by botocore `age` seconds ago."""
    return vectors.token(vectors.presigned(host, cluster_id, keys, int(time.time() - age)))


def secret_parts(token: str) -> set[str]:
    """Pieces of a token, long enough not to occur by chance, that no log, metric or message may hold."""
    parts = {token[-60:]} if len(token) >= 60 else set()
    given = parameters(token)
    for name in ("X-Amz-Signature", "X-Amz-Security-Token"):
        value = given.get(name, "")
        if len(value) >= 40:
            parts |= {value[:40], quote(value[:40], safe="-_.~")}
    return parts
