"""Hostile tokens over the wire: each is refused by the server alone, with a reason of a closed set, and told to nobody.

Every token is a good one with one thing changed, so that it is refused for that thing; the good one is granted first.
"""

import base64
import hashlib
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

import token_text
import vectors
from amazon import hosts
from server_process import Server, configuration, rendered
from stand_in import ACCOUNT
from vectors import PREFIX
from webhook import CLUSTER

HOST = hosts.BY_NAME["sts.us-west-2.amazonaws.com"]
MALFORMED, WRONG_HOST = "token_malformed", "sts_host_not_allowed"
EXPIRED, EARLY, NOT_OURS = "token_expired", "token_not_yet_valid", None
# The bytes of a token that are read at all.
LONGEST = 16 * 1024


class Good:
    """A good token, and ways to spoil it."""

    def __init__(self, keys):
        self._keys = keys
        self.url = vectors.presigned(HOST, CLUSTER, keys, int(time.time()))
        self.token = vectors.token(self.url)
        self.base, self.query = self.url.split("?")

    def at(self, age: float) -> str:
        """Honestly signed, `age` seconds ago."""
        return vectors.token(vectors.presigned(HOST, CLUSTER, self._keys, int(time.time() - age)))

    def value(self, name: str) -> str:
        """As it stands in the URL."""
        return dict(pair.split("=", 1) for pair in self.query.split("&"))[name]

    def with_value(self, name: str, value: str) -> str:
        return vectors.token(self.url.replace(f"{name}={self.value(name)}", f"{name}={value}"))

    def with_day(self, day: str) -> str:
        """In the date and in the scope, with another signature: outdated tokens are remembered by theirs."""
        url = self.url.replace(self.value("X-Amz-Date")[:8], day)
        signature = hashlib.sha256(url.encode()).hexdigest()
        return vectors.token(url.replace(self.value("X-Amz-Signature"), signature))

    def with_scope(self, change: Callable[[list[str]], list[str]]) -> str:
        parts = self.value("X-Amz-Credential").split("%2F")
        return self.with_value("X-Amz-Credential", "%2F".join(change(parts)))

    def with_url(self, change: Callable[[str], str]) -> str:
        changed = change(self.url)
        assert changed != self.url
        return vectors.token(changed)

    def with_base(self, base: str) -> str:
        return vectors.token(f"{base}?{self.query}")

    def with_host(self, name: str) -> str:
        return self.with_base(f"https://{name}/")

    def with_pair_first(self, pair: str) -> str:
        return vectors.token(f"{self.base}?{pair}&{self.query}")

    def with_pair_last(self, pair: str) -> str:
        return vectors.token(f"{self.url}&{pair}")

    def without(self, name: str) -> str:
        kept = [pair for pair in self.query.split("&") if not pair.startswith(f"{name}=")]
        assert len(kept) == len(token_text.NAMES) - 1
        return vectors.token(f"{self.base}?{'&'.join(kept)}")


def encoded(content: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(content).decode().rstrip("=")


def padded(good: Good) -> str:
    return good.token + "=" * (-len(good.token.removeprefix(PREFIX)) % 4 or 4)


def trailing_bits(good: Good) -> str:
    """The same bytes in base64's other spelling: bits after the end that are not zero."""
    url = good.url + "&" * (1 if len(good.url) % 3 == 0 else 0)
    text = vectors.token(url)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def standard_alphabet(good: Good) -> str:
    """`+` and `/` for `-` and `_`."""
    text = good.token.removeprefix(PREFIX)
    return PREFIX + (text.replace("-", "+").replace("_", "/") if set("-_") & set(text) else text[:-1] + "+")


Spoil = Callable[[Good], str]
CASES: dict[str, tuple[str | None, Spoil]] = {}


def case(name: str, reason: str | None, spoil: Spoil) -> None:
    assert name not in CASES
    CASES[name] = (reason, spoil)


# The envelope.
case("prefix alone", MALFORMED, lambda good: PREFIX)
case("prefix and nothing sensible", MALFORMED, lambda good: PREFIX + "AAAA")
case("prefix twice", MALFORMED, lambda good: PREFIX + good.token)
case("token in a token", MALFORMED, lambda good: vectors.token(good.token))
case("prefix of version 2", NOT_OURS, lambda good: good.token.replace("v1.", "v2.", 1))
case("prefix in capitals", NOT_OURS, lambda good: good.token.replace("k8s-aws-v1.", "K8S-AWS-V1.", 1))
case("space in front", NOT_OURS, lambda good: " " + good.token)
case("Bearer in front", NOT_OURS, lambda good: "Bearer " + good.token)
case("empty", NOT_OURS, lambda good: "")
case("a JWT", NOT_OURS, lambda good: "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrIn0.c2ln")
for mark in ("\n", "\r\n", "\0", " ", "\t", "."):
    case(f"{mark!r} behind", MALFORMED, lambda good, mark=mark: good.token + mark)
case("newline inside", MALFORMED, lambda good: good.token[:64] + "\n" + good.token[64:])
case("base64 with padding", MALFORMED, padded)
case("base64 with bits left over", MALFORMED, trailing_bits)
case("base64 of the other alphabet", MALFORMED, standard_alphabet)
case("a byte too long", MALFORMED, lambda good: good.token + "A" * (LONGEST + 1 - len(good.token)))
case("bytes that are no UTF-8", MALFORMED, lambda good: encoded(good.url.encode() + b"\xff"))
case("byte order mark", MALFORMED, lambda good: encoded(b"\xef\xbb\xbf" + good.url.encode()))
case("UTF-16", MALFORMED, lambda good: encoded(good.url.encode("utf-16")))
case("a slash of two bytes", MALFORMED, lambda good: encoded(good.url.encode().replace(b"/", b"\xc0\xaf", 1)))
case("half a surrogate pair", MALFORMED, lambda good: encoded(good.url.encode() + b"\xed\xa0\x80"))
case("NUL in the URL", MALFORMED, lambda good: good.with_url(lambda url: url + "\0"))
for mark in ("\t", "\r", "\n", " ", "\u00e9", "\u3002"):
    case(
        f"{mark!r} in the URL",
        MALFORMED,
        lambda good, mark=mark: good.with_url(lambda url: url[:40] + mark + url[40:]),
    )

# The URL and the host.
for base in (
    "http://sts.us-west-2.amazonaws.com/",
    "HTTPS://sts.us-west-2.amazonaws.com/",
    "https:/sts.us-west-2.amazonaws.com/",
    "https:\\\\sts.us-west-2.amazonaws.com/",
    "//sts.us-west-2.amazonaws.com/",
    "file:///etc/passwd",
    "sts.us-west-2.amazonaws.com/",
    "https://sts.us-west-2.amazonaws.com",
    "https://sts.us-west-2.amazonaws.com/x",
    "https://sts.us-west-2.amazonaws.com//",
    "https://sts.us-west-2.amazonaws.com/.",
    "https://sts.us-west-2.amazonaws.com/%2e",
    "https://sts.us-west-2.amazonaws.com/;a",
    "https://sts.us-west-2.amazonaws.com/\\",
):
    case(f"base {base}", MALFORMED, lambda good, base=base: good.with_base(base))
for name in (
    "sts.us-west-2\u3002amazonaws.com",
    "\u0455ts.us-west-2.amazonaws.com",
    "\uff53ts.us-west-2.amazonaws.com",
):
    case(f"look-alike {name!a}", MALFORMED, lambda good, name=name: good.with_host(name))
case("fragment", MALFORMED, lambda good: good.with_url(lambda url: url + "#x"))
case("escaped fragment", MALFORMED, lambda good: good.with_url(lambda url: url + "%23x"))
case("no query", MALFORMED, lambda good: vectors.token(good.base))
case("two question marks", MALFORMED, lambda good: good.with_url(lambda url: url.replace("?", "??")))
for name in (
    "",
    "user:word@sts.us-west-2.amazonaws.com",
    "sts.us-west-2.amazonaws.com@evil.test",
    "sts.us-west-2.amazonaws.com%40evil.test",
    "sts.us-west-2.amazonaws.com:443",
    "sts.us-west-2.amazonaws.com:8443",
    "sts.us-west-2.amazonaws.com:",
    "sts.us-west-2.amazonaws.com.evil.test",
    "evilsts.us-west-2.amazonaws.com",
    "evil.sts.us-west-2.amazonaws.com",
    "sts.evil.test",
    "amazonaws.com",
    "s3.us-west-2.amazonaws.com",
    "iam.amazonaws.com",
    "sts.us-west-2.amazonaws.com.",
    "STS.us-west-2.amazonaws.com",
    "sts.us-west-2.amazonaws.Com",
    "sts..amazonaws.com",
    "sts.us-west-2%2eamazonaws.com",
    "xn--ts-usb.us-west-2.amazonaws.com",
    "127.0.0.1",
    "2130706433",
    "[::1]",
    "169.254.169.254",
    "localhost",
    "sts.not-a-region.amazonaws.com",
    "sts.us-west-99999999999999999999.amazonaws.com",
    f"sts.{'a' * 63}.amazonaws.com",
    "sts.us-west-2.amazonaws.com.cn",
    "sts.us-west-2.amazonaws.eu",
    "sts.cn-north-1.amazonaws.com.cn",
    "sts.us-iso-east-1.c2s.ic.gov",
    "sts.cn-north-1.api.amazonwebservices.com.cn",
    "sts.us-gov-west-1.amazonaws.com",
):
    case(f"host {name}", WRONG_HOST, lambda good, name=name: good.with_host(name))
case("scope of another region", MALFORMED, lambda good: good.with_scope(lambda s: [*s[:2], "eu-west-1", *s[3:]]))
case("host of another region", MALFORMED, lambda good: good.with_host("sts.eu-west-1.amazonaws.com"))

# The query: one spelling, each name once, and no other.
for name in ("x-amz-credential", "X-AMZ-CREDENTIAL", "X-Amz-credential", "X-Amz-%43redential", "%58-Amz-Credential"):
    case(f"{name}=eve first", MALFORMED, lambda good, name=name: good.with_pair_first(f"{name}=eve"))
    case(f"{name}=eve last", MALFORMED, lambda good, name=name: good.with_pair_last(f"{name}=eve"))
for name in token_text.NAMES:
    case(
        f"{name} again, the same",
        MALFORMED,
        lambda good, name=name: good.with_pair_last(f"{name}={good.value(name)}"),
    )
    case(f"{name} again, another first", MALFORMED, lambda good, name=name: good.with_pair_first(f"{name}=x"))
    case(
        f"{name} in small letters",
        MALFORMED,
        lambda good, name=name: good.with_url(lambda url: url.replace(f"{name}=", f"{name.lower()}=", 1)),
    )
    case(f"{name} empty", MALFORMED, lambda good, name=name: good.with_value(name, ""))
    if name != "X-Amz-Security-Token":
        case(f"{name} missing", MALFORMED, lambda good, name=name: good.without(name))
for pair in (
    "Action=AssumeRole",
    "action=AssumeRoleWithWebIdentity",
    "DurationSeconds=900",
    "RoleArn=arn",
    "WebIdentityToken=x",
    "X-Amz-Content-Sha256=UNSIGNED-PAYLOAD",
    "X-Amz-Region-Set=*",
    "X-Amz-Target=x",
    "Foo=bar",
    "=x",
    "",
    "Foo",
    "&",
):
    case(f"with &{pair}", MALFORMED, lambda good, pair=pair: good.with_pair_last(pair))
case("semicolons", MALFORMED, lambda good: good.with_url(lambda url: url.replace("&", ";")))
case("HTML's ampersands", MALFORMED, lambda good: good.with_url(lambda url: url.replace("&", "&amp;")))
case("everything escaped once more", MALFORMED, lambda good: good.with_url(lambda url: url.replace("%", "%25")))
case("escapes in small letters", MALFORMED, lambda good: good.with_url(lambda url: url.replace("%2F", "%2f")))
case("slashes unescaped", MALFORMED, lambda good: good.with_url(lambda url: url.replace("%2F", "/")))
case("no pairs", MALFORMED, lambda good: vectors.token(good.base + "?"))
case("ampersand first", MALFORMED, lambda good: good.with_url(lambda url: url.replace("?", "?&")))
case("ampersand last", MALFORMED, lambda good: good.with_url(lambda url: url + "&"))
case("escaped ampersand", MALFORMED, lambda good: good.with_url(lambda url: url.replace("&", "%26", 1)))
VALUES = {
    "Action": (
        "AssumeRole",
        "AssumeRoleWithWebIdentity",
        "GetSessionToken",
        "getcalleridentity",
        "GetCallerIdentity%20",
        "GetCallerIdentity%00",
        "GetCallerIdentity%2CAssumeRole",
        "GetCallerIdentit%79",
    ),
    "Version": ("2011-06-14", "2011-06-15x", "2011%2D06%2D15"),
    "X-Amz-Algorithm": ("AWS4-ECDSA-P256-SHA256", "AWS4-HMAC-SHA1", "aws4-hmac-sha256"),
    "X-Amz-Expires": (
        "-1",
        "00",
        "901",
        "1e9",
        "+60",
        "060",
        "60.0",
        "0x3c",
        "65596",
        "4294967356",
        "18446744073709551676",
        "99999999999999999999",
        "060%20",
    ),
    "X-Amz-SignedHeaders": (
        "host",
        "x-k8s-aws-id",
        "x-k8s-aws-id%3Bhost",
        "Host%3BX-K8s-Aws-Id",
        "host%3Bx-k8s-aws-id%3B",
        "host%3Bhost%3Bx-k8s-aws-id",
        "accept%3Bhost%3Bx-k8s-aws-id",
        "authorization%3Bhost%3Bx-k8s-aws-id",
        "host%3Bx-amz-target%3Bx-k8s-aws-id",
        "host%3bx-k8s-aws-id",
        "host%3Bx-vault-aws-iam-server-id",
    ),
    "X-Amz-Signature": ("0" * 63, "0" * 65, "g" * 64, "A" * 64, "%30" + "0" * 63),
    "X-Amz-Security-Token": ("%", "%0", "%zz", "%00", "%0A", "a%20b", "%C3%A9", "{{AccountID}}"),
}
for name, values in VALUES.items():
    for value in values:
        case(f"{name}={value}", MALFORMED, lambda good, name=name, value=value: good.with_value(name, value))

# Dates of today's day, so that they agree with the scope as far as they can.
DATES = {
    "in small letters": str.lower,
    "without its end": lambda date: date[:-1],
    "with an offset": lambda date: date[:-1] + "%2B0000",
    "with parts of a second": lambda date: date[:-1] + ".000Z",
    "in the long form": lambda date: f"{date[:4]}-{date[4:6]}-{date[6:11]}%3A00%3A00Z",
    "with digits of another script": lambda date: "%D9%A2" + date[1:],
    "at 25 o'clock": lambda date: date[:9] + "250000Z",
    "at minute 60": lambda date: date[:11] + "6000Z",
    "at 24 o'clock": lambda date: date[:9] + "240000Z",
    "at a leap second": lambda date: date[:9] + "235960Z",
    "with a sign": lambda date: date[:9] + "%2B" + date[10:],
}
for name, change in DATES.items():
    case(
        f"date {name}",
        MALFORMED,
        lambda good, change=change: good.with_value("X-Amz-Date", change(good.value("X-Amz-Date"))),
    )
for day in ("20260230", "20261301", "20260100", "99991231"):
    case(f"day {day}", MALFORMED, lambda good, day=day: good.with_day(day))
case("the first year", EXPIRED, lambda good: good.with_day("00010101"))
case("year 0", EXPIRED, lambda good: good.with_day("00000101"))
case("year 9998", EARLY, lambda good: good.with_day("99981231"))

# The credential's scope.
SCOPES = {
    "of four parts": lambda s: s[:4],
    "of six parts": lambda s: [*s, "aws4_request"],
    "with a slash in the key": lambda s: ["ASIA", *s],
    "for S3": lambda s: [*s[:3], "s3", s[4]],
    "for IAM": lambda s: [*s[:3], "iam", s[4]],
    "with another end": lambda s: [*s[:4], "aws5_request"],
    "of another day": lambda s: [s[0], "20200101", *s[2:]],
    "with a key of another kind": lambda s: ["AROA" + s[0][4:], *s[1:]],
    "with a short key": lambda s: ["ASIA", *s[1:]],
    "with a long key": lambda s: ["ASIA" + "A" * 125, *s[1:]],
    "with a key in small letters": lambda s: [s[0].lower(), *s[1:]],
    "with a template in the key": lambda s: ["ASIA%7B%7BAccountID%7D%7D", *s[1:]],
    "with a colon in the key": lambda s: [s[0] + "%3A", *s[1:]],
    "with a newline in the key": lambda s: [s[0] + "%0A", *s[1:]],
    "with no key": lambda s: ["", *s[1:]],
}
for name, change in SCOPES.items():
    case(f"scope {name}", MALFORMED, lambda good, change=change: good.with_scope(change))

# Time, on tokens that are signed well.
case("15 minutes and a bit old", EXPIRED, lambda good: good.at(15 * 60 + 2))
case("a day old", EXPIRED, lambda good: good.at(86_400))
case("of 1970", EXPIRED, lambda good: good.at(time.time() - 86_400))
case("more than 5 minutes early", EARLY, lambda good: good.at(-5 * 60 - 10))
case("a year early", EARLY, lambda good: good.at(-365 * 86_400))


@pytest.fixture(scope="module")
def server(binary, running_stand_in, tmp_path_factory):
    """Its end searches the log and the metrics for every token that it was asked about."""
    directory = tmp_path_factory.mktemp("corpus")
    (directory / "state").mkdir()
    config = directory / "config.yaml"
    role = {"rolearn": f"arn:aws:iam::{ACCOUNT}:role/Corpus", "username": "corpus"}
    config.write_text(rendered(configuration(directory, running_stand_in, mapRoles=[role])))
    server = Server([binary, "server", "--config", config, "--log-verbosity=trace"], directory / "state")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def good(running_stand_in) -> Good:
    role = running_stand_in.directory.add_role("Corpus", ACCOUNT)
    return Good(running_stand_in.directory.open_session(role, "jane").keys)


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def test_the_token_that_is_spoiled_is_good(aws, server, good, client):
    assert token_text.parameters(good.token).keys() == set(token_text.NAMES)
    assert quote(good.query, safe="&=%-_.~") == good.query
    assert client.review(good.token).user["username"] == "corpus"
    assert client.review(good.at(14 * 60)).granted
    assert client.review(good.at(-4 * 60)).granted


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize("name", CASES)
def test_a_spoiled_token_is_refused_unasked(aws, server, good, client, name, version):
    reason, spoil = CASES[name]
    review = client.review(spoil(good), version)
    assert review.status == 200
    assert review.body["apiVersion"] == f"authentication.k8s.io/{version}"
    status = review.body["status"]
    assert status["authenticated"] is False and "user" not in status
    assert status.get("error") == reason
    assert (aws.sts_tls.record.connections, aws.sts_tls.record.requests) == (0, [])


def test_an_outdated_copy_does_not_spoil_the_token(aws, client, good):
    fresh = good.at(1)
    date = token_text.parameters(fresh)["X-Amz-Date"]
    old = token_text.url(fresh).replace(date[:8], "20200101")
    assert client.review(fresh).granted
    assert client.review(vectors.token(old)).reason == EXPIRED
    assert client.review(fresh).granted


def test_a_thousand_hosts_leave_the_metrics_as_they_were(aws, server, good, client):
    before = server.series()
    for number in range(1000):
        assert client.review(good.with_host(f"sts.zz-north-{number}.amazonaws.com")).reason == WRONG_HOST
    assert server.series() == before
    assert aws.sts_tls.record.connections == 0


def test_the_refusals_are_counted_and_nothing_else(server, client):
    def count(result: str) -> float:
        return server.metric(f'aws_iam_authenticator_authenticate_latency_seconds_count{{result="{result}"}}')

    before = count("invalid_token")
    assert client.review("k8s-aws-v1.AAAA").reason == MALFORMED
    assert count("invalid_token") == before + 1
    assert {count(result) for result in ("malformed_request", "sts_error", "sts_throttling", "uknown_user")} == {0}
