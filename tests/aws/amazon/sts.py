"""STS: GetCallerIdentity, AssumeRole, AssumeRoleWithWebIdentity, in AWS's own wording, JSON or XML as asked.

A test can make it fail on purpose through `outage`.
"""

import json
import threading
import time
import uuid
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from .accounts import Caller, Directory, Role
from .loopback import Answer, Received
from .signature import Refused, caller

VERSION = "2011-06-15"
NAMESPACE = f"https://sts.amazonaws.com/doc/{VERSION}/"

THROTTLED = Refused(400, "Throttling", "Rate exceeded")
UNAVAILABLE = Refused(503, "ServiceUnavailable", "Service is unavailable")
INTERNAL = Refused(500, "InternalFailure", "The request processing has failed because of an unknown error.")


class Sts:
    def __init__(self, directory: Directory):
        self.directory = directory
        self._lock = threading.Lock()
        self._outage: Refused | None = None
        self._assumed: list[dict[str, str]] = []

    @property
    def assumed(self) -> list[dict[str, str]]:
        """The form of each granted AssumeRole call, without its one-time code."""
        with self._lock:
            return list(self._assumed)

    def break_with(self, outage: Refused | None) -> None:
        """Answers everything with `outage`, until called with None."""
        with self._lock:
            self._outage = outage

    def clear(self) -> None:
        with self._lock:
            self._outage, self._assumed = None, []

    def answer(self, received: Received) -> Answer:
        form = dict(parse_qsl(received.query if received.method == "GET" else received.body.decode()))
        action = form.get("Action", "")
        as_json = received.headers.get("Accept") == "application/json"
        try:
            with self._lock:
                if self._outage is not None:
                    raise self._outage
            result = self._perform(action, form, received)
        except Refused as refused:
            return _refusal(refused, action, as_json)
        return _success(action, result, as_json)

    def _perform(self, action: str, form: dict[str, str], received: Received) -> dict:
        if received.path != "/" or form.get("Version") != VERSION:
            raise Refused(400, "InvalidAction", f"Could not find operation {action} for version {form.get('Version')}")
        if action == "AssumeRoleWithWebIdentity":
            return self._web_identity(form)
        signer = caller(received, self.directory, time.time())
        if action == "GetCallerIdentity":
            return {"Account": signer.account, "Arn": signer.arn, "UserId": signer.user_id}
        if action == "AssumeRole" and received.method == "POST":
            return self._assume(signer, form)
        raise Refused(400, "InvalidAction", f"Could not find operation {action} for version {VERSION}")

    def _assume(self, signer: Caller, form: dict[str, str]) -> dict:
        role = self.directory.role(form.get("RoleArn", ""))
        denied = Refused(
            403,
            "AccessDenied",
            f"User: {signer.arn} is not authorized to perform: sts:AssumeRole on resource: {form.get('RoleArn')}",
        )
        if role is None or role.web_identity_token or role.external_id != form.get("ExternalId"):
            raise denied
        if role.mfa_serial != form.get("SerialNumber"):
            raise denied
        if role.mfa_code != form.get("TokenCode"):
            raise Refused(403, "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code.")
        return self._session(role, form)

    def _web_identity(self, form: dict[str, str]) -> dict:
        role = self.directory.role(form.get("RoleArn", ""))
        if role is None or role.web_identity_token is None or role.web_identity_token != form.get("WebIdentityToken"):
            raise Refused(400, "InvalidIdentityToken", "The web identity token that was passed is not valid.")
        return self._session(role, form)

    def _session(self, role: Role, form: dict[str, str]) -> dict:
        opened = self.directory.open_session(role, form["RoleSessionName"])
        with self._lock:
            hidden = ("TokenCode", "WebIdentityToken")
            self._assumed.append({k: v for k, v in form.items() if k not in hidden})
        return {
            "Credentials": {
                "AccessKeyId": opened.keys.access_key_id,
                "SecretAccessKey": opened.keys.secret_access_key,
                "SessionToken": opened.keys.session_token,
                "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(opened.expires_at)),
            },
            "AssumedRoleUser": {"Arn": opened.arn, "AssumedRoleId": opened.user_id},
        }


def _success(action: str, result: dict, as_json: bool) -> Answer:
    tree = {f"{action}Result": result, "ResponseMetadata": {"RequestId": str(uuid.uuid4())}}
    if as_json:
        return Answer(action, 200, json.dumps({f"{action}Response": tree}).encode())
    body = f'<{action}Response xmlns="{NAMESPACE}">{_xml(tree)}</{action}Response>'
    return Answer(action, 200, body.encode(), "text/xml")


def _refusal(refused: Refused, action: str, as_json: bool) -> Answer:
    side = "Sender" if refused.status < 500 else "Receiver"
    tree = {
        "Error": {"Code": refused.code, "Message": refused.message, "Type": side},
        "RequestId": str(uuid.uuid4()),
    }
    if as_json:
        return Answer(action, refused.status, json.dumps(tree).encode())
    body = f'<ErrorResponse xmlns="{NAMESPACE}">{_xml(tree)}</ErrorResponse>'
    return Answer(action, refused.status, body.encode(), "text/xml")


def _xml(tree: dict) -> str:
    return "".join(
        f"<{name}>{_xml(value) if isinstance(value, dict) else escape(value)}</{name}>" for name, value in tree.items()
    )
