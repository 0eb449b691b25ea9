"""IAM Identity Center as a signed-in machine sees it: the portal (GetRoleCredentials), the token refresh (CreateToken).

The device sign-in in a browser is not modelled: a test puts the cached token on disk.
"""

import hashlib
import json
import secrets
import threading
import time
from urllib.parse import parse_qs

from .accounts import Directory, Role
from .loopback import Answer, Received

ACCESS_TOKEN_LIFETIME = 8 * 3600


class Sso:
    """One user, signed in, who may take the roles that were assigned."""

    def __init__(self, directory: Directory, user: str):
        self._directory = directory
        self._user = user
        self._lock = threading.Lock()
        self._access_tokens: set[str] = set()
        self._refresh_tokens: set[str] = set()
        self._assigned: dict[tuple[str, str], Role] = {}

    def assign(self, permission_set: str, account: str) -> Role:
        """The role that AWS makes in `account` for `permission_set`, 16 hex digits and all."""
        suffix = hashlib.sha256(f"{account}/{permission_set}".encode()).hexdigest()[:16]
        path = "/aws-reserved/sso.amazonaws.com/"
        role = self._directory.add_role(f"AWSReservedSSO_{permission_set}_{suffix}", account, path=path)
        with self._lock:
            self._assigned[account, permission_set] = role
        return role

    def sign_in(self) -> tuple[str, str]:
        """A new access token and the refresh token that renews it."""
        access, refresh = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
        with self._lock:
            self._access_tokens.add(access)
            self._refresh_tokens.add(refresh)
        return access, refresh

    def portal(self, received: Received) -> Answer:
        query = parse_qs(received.query)
        with self._lock:
            known = received.headers.get("x-amz-sso_bearer_token") in self._access_tokens
            role = self._assigned.get((query.get("account_id", [""])[0], query.get("role_name", [""])[0]))
        if received.path != "/federation/credentials" or received.method != "GET":
            return _error("unknown", 404, "ResourceNotFoundException", "no such operation")
        if not known:
            return _error("GetRoleCredentials", 401, "UnauthorizedException", "Session token not found or invalid")
        if role is None:
            return _error("GetRoleCredentials", 403, "ForbiddenException", "No access")
        opened = self._directory.open_session(role, self._user)
        credentials = {
            "accessKeyId": opened.keys.access_key_id,
            "secretAccessKey": opened.keys.secret_access_key,
            "sessionToken": opened.keys.session_token,
            "expiration": int(opened.expires_at * 1000),
        }
        return Answer("GetRoleCredentials", 200, json.dumps({"roleCredentials": credentials}).encode())

    def oidc(self, received: Received) -> Answer:
        if received.path != "/token" or received.method != "POST":
            return _error("unknown", 404, "InvalidRequestException", "no such operation")
        asked = json.loads(received.body)
        with self._lock:
            known = asked.get("refreshToken") in self._refresh_tokens
        if asked.get("grantType") != "refresh_token" or not known:
            return _error("CreateToken", 400, "InvalidGrantException", "the refresh token is not valid")
        access, refresh = self.sign_in()
        body = {
            "accessToken": access,
            "refreshToken": refresh,
            "tokenType": "Bearer",
            "expiresIn": ACCESS_TOKEN_LIFETIME,
        }
        return Answer("CreateToken", 200, json.dumps(body).encode())


def cached_token(start_url: str, region: str, access: str, refresh: str, lifetime: float) -> str:
    """The file that `aws sso login` leaves in `~/.aws/sso/cache`."""

    def at(seconds: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))

    return json.dumps(
        {
            "startUrl": start_url,
            "region": region,
            "accessToken": access,
            "expiresAt": at(lifetime),
            "clientId": "a-registered-client",
            "clientSecret": "the-secret-of-a-registered-client",
            "registrationExpiresAt": at(30 * 86400),
            "refreshToken": refresh,
        }
    )


def _error(what: str, status: int, code: str, message: str) -> Answer:
    body = json.dumps({"message": message, "error": code, "error_description": message}).encode()
    return Answer(what, status, body, headers=(("x-amzn-ErrorType", code),))
