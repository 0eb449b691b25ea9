"""Credentials that a machine finds around itself: the container endpoint (ECS, EKS Pod Identity) and IMDSv2.

IMDS answers version 2 only, as a hardened instance does.
"""

import json
import secrets
import time

from .accounts import Directory, Role
from .loopback import Answer, Received

INSTANCE_ID = "i-0123456789abcdef0"
CONTAINER_PATH = "/v1/credentials"


class Container:
    def __init__(self, directory: Directory, role: Role):
        self._directory, self._role = directory, role
        self.authorization = secrets.token_urlsafe(32)

    def answer(self, received: Received) -> Answer:
        if received.path != CONTAINER_PATH:
            return Answer("unknown", 404, b"{}")
        if received.headers.get("Authorization") != self.authorization:
            return Answer("credentials", 401, b"{}")
        opened = self._directory.open_session(self._role, "task-1")
        body = {**_credentials(opened), "RoleArn": self._role.arn}
        return Answer("credentials", 200, json.dumps(body).encode())


class Instance:
    """An EC2 instance with, or without, an instance profile."""

    def __init__(self, directory: Directory, role: Role | None, region: str):
        self._directory, self._role, self._region = directory, role, region
        self._token = secrets.token_urlsafe(40)

    def answer(self, received: Received) -> Answer:
        if received.method == "PUT":
            return self._session(received)
        if received.headers.get("X-aws-ec2-metadata-token") != self._token:
            return _text("unauthorized", 401, "")
        base = "/latest/meta-data/iam/security-credentials/"
        if received.path == "/latest/meta-data/placement/region":
            return _text("region", 200, self._region)
        if self._role is not None and received.path.rstrip("/") == base.rstrip("/"):
            return _text("role", 200, self._role.name)
        if self._role is not None and received.path == base + self._role.name:
            opened = self._directory.open_session(self._role, INSTANCE_ID)
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            body = {"Code": "Success", "LastUpdated": now, "Type": "AWS-HMAC", **_credentials(opened)}
            return Answer("credentials", 200, json.dumps(body).encode())
        return _text("unknown", 404, "")

    def _session(self, received: Received) -> Answer:
        ttl = received.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        if received.path != "/latest/api/token" or ttl is None:
            return _text("unknown", 400, "")
        return Answer(
            "session", 200, self._token.encode(), "text/plain", (("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl),)
        )


def _credentials(opened) -> dict[str, str]:
    return {
        "AccessKeyId": opened.keys.access_key_id,
        "SecretAccessKey": opened.keys.secret_access_key,
        "Token": opened.keys.session_token,
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(opened.expires_at)),
    }


def _text(what: str, status: int, text: str) -> Answer:
    return Answer(what, status, text.encode(), "text/plain")
