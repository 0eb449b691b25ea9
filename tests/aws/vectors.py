"""Golden tokens, made with botocore: an independent signer, a fixed clock, AWS's documentation keys.

`python vectors.py` writes `tests/vectors/tokens.json`; `test_vectors.py` holds the committed file to a fresh run.
The parameter order is the wire format's own (sorted, signature last), which the signature does not depend on.
"""

import base64
import calendar
import json
import time
from pathlib import Path

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from amazon import hosts
from amazon.accounts import Keys, session_token

FILE = Path(__file__).parents[1] / "vectors" / "tokens.json"

PREFIX = "k8s-aws-v1."
EXPIRES_SECONDS = 60
QUERY = "Action=GetCallerIdentity&Version=2011-06-15"

LONG_TERM = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
CLUSTERS = {
    "dns-name": "my-cluster.example.com",
    "one-character": "c",
    "url-characters": "a/b?c=d&e=%2F+f#g",
    "braces-and-quotes": "{{SessionName}}\"'`\\",
    "every-mark": "!#$%&()*,-./:;<=>?@[]^_|~",
    "longest": "x" * 256,
}
# The clock's corners: an ordinary day, one second before midnight and after, a leap day, the new year.
TIMES = {
    "ordinary": "20261122T152233Z",
    "last-second-of-a-day": "20261122T235959Z",
    "first-second-of-a-day": "20261123T000000Z",
    "leap-day": "20280229T120000Z",
    "new-year": "20270101T000000Z",
}
TOKEN_LENGTHS = (343, 832, 2500, 4096)


def temporary(length: int) -> Keys:
    return Keys("ASIAIOSFODNN7EXAMPLE", LONG_TERM.secret_access_key, session_token(b"golden", length))


def presigned(host: hosts.Host, cluster_id: str, keys: Keys, unix_time: int) -> str:
    """The presigned URL of a token."""
    request = AWSRequest("GET", f"https://{host.name}/?{QUERY}", headers={"x-k8s-aws-id": cluster_id})
    request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(unix_time))
    credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
    signer = SigV4QueryAuth(credentials, "sts", host.region, EXPIRES_SECONDS)
    # `add_auth` in its own steps, since that one reads the wall clock.
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    query = canonical.split("\n")[2]
    return f"https://{host.name}/?{query}&X-Amz-Signature={signature}"


def token(url: str) -> str:
    return PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def generate() -> list[dict]:
    """Each axis once against the ordinary case: hosts, cluster ids, clock, session tokens."""
    west, ordinary = hosts.BY_NAME["sts.us-west-2.amazonaws.com"], TIMES["ordinary"]
    cluster = CLUSTERS["dns-name"]
    cases = [(f"host {host.name}", host, cluster, LONG_TERM, ordinary) for host in hosts.ALL]
    cases += [(f"cluster id {name}", west, text, LONG_TERM, ordinary) for name, text in CLUSTERS.items()]
    cases += [(f"clock {name}", west, cluster, LONG_TERM, text) for name, text in TIMES.items()]
    cases += [(f"session token {n}", west, cluster, temporary(n), ordinary) for n in TOKEN_LENGTHS]
    cases += [(f"session token {n} global", hosts.GLOBAL, cluster, temporary(n), ordinary) for n in TOKEN_LENGTHS]
    return [_vector(*case) for case in cases]


def rendered() -> str:
    return json.dumps(generate(), indent=2) + "\n"


def _vector(name: str, host: hosts.Host, cluster_id: str, keys: Keys, date: str) -> dict:
    unix_time = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
    url = presigned(host, cluster_id, keys, unix_time)
    return {
        "name": name,
        "region": host.region,
        "host": host.name,
        "cluster_id": cluster_id,
        "access_key_id": keys.access_key_id,
        "secret_access_key": keys.secret_access_key,
        "session_token": keys.session_token,
        "unix_time": unix_time,
        "url": url,
        "token": token(url),
    }


if __name__ == "__main__":
    FILE.write_text(rendered())
