"""Is this request signed by someone we know? Signature Version 4, recomputed with botocore.

The canonical request is made from what was received, never from what a client meant to send. Takes the query form
(presigned) and the header form. The refusals carry AWS's codes and messages.
Rules: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

import calendar
import hmac
import re
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from . import hosts
from .accounts import Caller, Directory
from .loopback import Received

OLDEST_SECONDS = 15 * 60
EARLIEST_SECONDS = 5 * 60

_DATE = "%Y%m%dT%H%M%SZ"
_LOOPBACK = re.compile(r"127\.0\.0\.1:\d{1,5}")


@dataclass(frozen=True)
class Refused(Exception):
    status: int
    code: str
    message: str


@dataclass(frozen=True)
class _Claim:
    """What the request says of its own signature, in either form."""

    algorithm: str
    credential: str
    date: str
    signed_headers: str
    signature: str
    session_token: str | None
    parameters: list[tuple[str, str]]
    """The query without its signature."""


def caller(received: Received, directory: Directory, now: float) -> Caller:
    """The principal that signed `received`; raises `Refused`."""
    claim = _claim(received)
    if claim.algorithm != "AWS4-HMAC-SHA256":
        raise Refused(400, "IncompleteSignature", f"Unsupported AWS 'algorithm': '{claim.algorithm}'.")
    scope = claim.credential.split("/")
    if len(scope) != 5 or scope[4] != "aws4_request":
        raise Refused(400, "IncompleteSignature", "Credential must have exactly 5 slash-delimited elements.")
    access_key_id, day, region, service, _ = scope
    host, partition = _region_of_host(received, region, service)
    _check_date(claim.date, day, now)
    known = directory.caller(access_key_id)
    if known is None or known.keys.session_token != claim.session_token or partition not in (None, known.partition):
        raise Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
    if not hmac.compare_digest(_recomputed(received, claim, known, host, region), claim.signature):
        raise Refused(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        )
    if known.expires_at is not None and known.expires_at <= now:
        raise Refused(403, "ExpiredToken", "The security token included in the request is expired")
    return known


def _claim(received: Received) -> _Claim:
    parameters = parse_qsl(received.query, keep_blank_values=True)
    header = received.headers.get("Authorization")
    if header is not None:
        parts = re.fullmatch(r"(\S+) Credential=(\S+), ?SignedHeaders=(\S+), ?Signature=(\S+)", header)
        if parts is None:
            raise Refused(400, "IncompleteSignature", "Authorization header is malformed.")
        algorithm, credential, signed, signature = parts.groups()
        date, token = received.headers.get("X-Amz-Date", ""), received.headers.get("X-Amz-Security-Token")
        return _Claim(algorithm, credential, date, signed, signature, token, parameters)
    names = [name for name, _ in parameters]
    if "X-Amz-Signature" not in names:
        raise Refused(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
    if len({name.lower() for name in names}) != len(names):
        raise Refused(400, "IncompleteSignature", "A query parameter is given twice.")
    given = dict(parameters)
    return _Claim(
        given.get("X-Amz-Algorithm", ""),
        given.get("X-Amz-Credential", ""),
        given.get("X-Amz-Date", ""),
        given.get("X-Amz-SignedHeaders", ""),
        given["X-Amz-Signature"],
        given.get("X-Amz-Security-Token"),
        [(name, value) for name, value in parameters if name != "X-Amz-Signature"],
    )


def _region_of_host(received: Received, region: str, service: str) -> tuple[str, str | None]:
    """The Host header and its partition (None on loopback, where any region is served)."""
    name = received.headers.get("Host", "")
    if service != "sts":
        raise Refused(403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'.")
    if received.server_name is None and _LOOPBACK.fullmatch(name):
        return name, None
    host = hosts.BY_NAME.get(name)
    if host is None or received.server_name != name:
        raise Refused(400, "InvalidHost", "The Host header is not the name that the TLS handshake asked for.")
    if region != host.region:
        raise Refused(403, "SignatureDoesNotMatch", f"Credential should be scoped to a valid region, not '{region}'.")
    return name, host.partition


def _check_date(date: str, day: str, now: float) -> None:
    try:
        signed_at = calendar.timegm(time.strptime(date, _DATE))
    except ValueError:
        raise Refused(400, "IncompleteSignature", "Date must be in ISO-8601 'basic format'.") from None
    if day != date[:8]:
        raise Refused(
            403,
            "SignatureDoesNotMatch",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{day}' != '{date[:8]}'.",
        )
    text = time.strftime(_DATE, time.gmtime(now))
    if signed_at < now - OLDEST_SECONDS:
        raise Refused(403, "SignatureDoesNotMatch", f"Signature expired: {date} is now earlier than {text} - 15 min.")
    if signed_at > now + EARLIEST_SECONDS:
        message = f"Signature not yet current: {date} is still later than {text} + 5 min."
        raise Refused(403, "SignatureDoesNotMatch", message)


def _recomputed(received: Received, claim: _Claim, known: Caller, host: str, region: str) -> str:
    names = claim.signed_headers.split(";")
    amazon = {name.lower() for name in received.headers if name.lower().startswith("x-amz-")}
    if "host" not in names or not amazon <= set(names):
        raise Refused(403, "SignatureDoesNotMatch", "Host and every x-amz-* header must be signed.")
    missing = [name for name in names if received.headers.get(name) is None]
    if missing:
        raise Refused(403, "SignatureDoesNotMatch", "A signed header is missing from the request.")
    scheme = "http" if received.server_name is None else "https"
    request = AWSRequest(
        method=received.method,
        url=f"{scheme}://{host}{received.path}",
        params=claim.parameters,
        headers={name: received.headers[name] for name in names},
        data=received.body,
    )
    request.context["timestamp"] = claim.date
    keys = known.keys
    signer = SigV4Auth(Credentials(keys.access_key_id, keys.secret_access_key), "sts", region)
    return signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
