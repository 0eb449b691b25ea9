"""Who exists: users, roles and the sessions opened on them, with the keys that prove each.

Keys do not print themselves. What is not modelled: policies; a role says on its own what it asks of a caller.
"""

import base64
import hashlib
import secrets
import string
import threading
import time
from dataclasses import dataclass, field, replace

# Lengths seen in the wild: STS regional, STS with session tags, and the documented maximum.
SESSION_TOKEN_LENGTH = 832
SESSION_LIFETIME = 3600


@dataclass(frozen=True)
class Keys:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def environment(self) -> dict[str, str]:
        """The variables that AWS's tools read them from."""
        variables = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }
        if self.session_token is not None:
            variables["AWS_SESSION_TOKEN"] = self.session_token
        return variables

    def profile(self) -> str:
        """The lines of a shared profile that hold them."""
        return "".join(f"{k.lower()} = {v}\n" for k, v in self.environment().items())


@dataclass(frozen=True)
class Caller:
    """What GetCallerIdentity tells, and what proves it."""

    account: str
    arn: str
    user_id: str
    keys: Keys
    expires_at: float | None = None

    @property
    def partition(self) -> str:
        return self.arn.split(":")[1]


@dataclass(frozen=True)
class Role:
    name: str
    account: str
    partition: str
    role_id: str
    external_id: str | None = None
    mfa_serial: str | None = None
    mfa_code: str | None = field(default=None, repr=False)
    web_identity_token: str | None = field(default=None, repr=False)
    path: str = "/"

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role{self.path}{self.name}"


def session_token(seed: bytes, length: int) -> str:
    """Base64 text of exactly `length` characters that holds `+`, `/` and `=`, all of which a URL must escape."""
    stream = b"".join(hashlib.sha512(seed + bytes([n])).digest() for n in range(length // 85 + 1))
    return ("IQo/+" + base64.b64encode(stream).decode().rstrip("="))[: length - 2] + "=="


class Directory:
    """Every principal of the stand-in; safe to use from several threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._callers: dict[str, Caller] = {}
        self._roles: dict[str, Role] = {}

    def add_user(self, name: str, account: str, partition: str = "aws", keys: Keys | None = None) -> Caller:
        keys = keys or Keys(_identifier("AKIA"), secrets.token_urlsafe(30))
        caller = Caller(account, f"arn:{partition}:iam::{account}:user/{name}", _identifier("AIDA"), keys)
        return self._add(caller)

    def add_role(self, name: str, account: str, partition: str = "aws", **asks) -> Role:
        role = Role(name, account, partition, _identifier("AROA"), **asks)
        with self._lock:
            self._roles[role.arn] = role
        return role

    def open_session(
        self,
        role: Role,
        session_name: str,
        token_length: int = SESSION_TOKEN_LENGTH,
        lifetime: float = SESSION_LIFETIME,
    ) -> Caller:
        token = session_token(secrets.token_bytes(16), token_length)
        keys = Keys(_identifier("ASIA"), secrets.token_urlsafe(30), token)
        arn = f"arn:{role.partition}:sts::{role.account}:assumed-role/{role.name}/{session_name}"
        user_id = f"{role.role_id}:{session_name}"
        return self._add(Caller(role.account, arn, user_id, keys, time.time() + lifetime))

    def expire(self, caller: Caller) -> None:
        self._add(replace(caller, expires_at=time.time() - 1))

    def caller(self, access_key_id: str) -> Caller | None:
        with self._lock:
            return self._callers.get(access_key_id)

    def role(self, arn: str) -> Role | None:
        with self._lock:
            return self._roles.get(arn)

    def _add(self, caller: Caller) -> Caller:
        with self._lock:
            self._callers[caller.keys.access_key_id] = caller
        return caller


def _identifier(prefix: str) -> str:
    """AWS's form of a unique id: four letters that say the kind, then sixteen of A-Z and 2-7."""
    alphabet = string.ascii_uppercase + "234567"
    return prefix + "".join(secrets.choice(alphabet) for _ in range(16))
