"""An STS that lies, stalls, floods and breaks off: each has its one answer, in bounded time and memory.

The same server goes through all of it, and after every case an honest STS at the same address is believed again.
"""

import gzip
import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from hostile import Act, HostileSts, Wire, answered, cut, dripping, flooding, response, stalled
from stand_in import ACCOUNT
from verdicts import (
    BROKEN,
    CANARY,
    GOOD,
    GRANTED,
    HOST,
    LATE,
    SESSION,
    TOO_LARGE,
    Trial,
    Verdict,
    denied,
    identity,
    status,
    throttled,
    unreadable,
)

# Of the most memory that the process ever held, over all cases, each with one answer at a time: an answer's head may
# have 4 KiB, and its body 64 KiB.
GROWTH_KIB = 2 * 1024
BODY_LIMIT = 64 * 1024

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def good(**members) -> bytes:
    return json.dumps(identity(**members)).encode()


def swapped(old: str, new: str) -> bytes:
    text = GOOD.decode()
    assert old in text
    return text.replace(old, new).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def refusal(code: str) -> bytes:
    return json.dumps({"Error": {"Code": code, "Message": CANARY, "Type": "Sender"}, "RequestId": CANARY}).encode()


def said(body: bytes, *headers: str, **options) -> Act:
    """A well-framed answer."""
    return answered(response(body, *headers, **options))


NOT_JSON = unreadable("it is not JSON")
SHAPE = unreadable("it is not a GetCallerIdentity answer")
OTHER_ACCOUNT = unreadable("its account is not that of its ARN")
USER_ID = unreadable("its UserId is not of the principal's form")


def bad_arn(what: str) -> Verdict:
    return unreadable(f"its ARN is not one: {what}")


BAD_SIGNATURE = denied(
    "cluster_id_mismatch_or_bad_signature", "the signature does not fit: wrong cluster ID or altered token"
)


def case(name: str, act: Act, verdict: Verdict):
    return pytest.param(act, verdict, id=name)


BELIEVED = [
    case("the answer that the others spoil", said(GOOD), GRANTED),
    case("with a charset", said(GOOD, kind='Application/JSON; Charset="UTF-8"'), GRANTED),
    case("in two chunks and a trailer", answered(CHUNKED + chunk(GOOD[:9]) + chunk(GOOD[9:]) + b"0\r\nX: y\r\n\r\n"), GRANTED),
    case("up to the end of the connection", answered(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + GOOD), GRANTED),
    case("whole, and no goodbye", cut(response(GOOD)), GRANTED),
    case("after an early hint", answered(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" + response(GOOD)), GRANTED),
    case("as long as may be", said(GOOD + b" " * (BODY_LIMIT - len(GOOD))), GRANTED),
    case("with escapes", said(swapped("assumed-role", "\\u0061ssumed-role")), GRANTED),
    case("with a member more", said(swapped('"UserId"', '"More": [1e400, {"Arn": null}], "UserId"')), GRANTED),
]  # fmt: skip

BODIES = [
    case("empty", said(b""), NOT_JSON),
    case("HTML", said(b"<html>canary-in-the-answer</html>", kind="text/html"), NOT_JSON),
    case("HTML that says it is JSON", said(b"<html>canary-in-the-answer</html>"), NOT_JSON),
    case("XML", said(b"<GetCallerIdentityResponse/>", kind="text/xml"), NOT_JSON),
    case("JSON that says it is XML", said(GOOD, kind="text/xml"), NOT_JSON),
    case("JSON that says nothing", answered(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD), NOT_JSON),
    case("two types", said(GOOD, "Content-Type: text/html"), NOT_JSON),
    case("another charset", said(GOOD, kind="application/json; charset=utf-16"), NOT_JSON),
    case("UTF-16", said(GOOD.decode().encode("utf-16")), NOT_JSON),
    case("a byte order mark", said(b"\xef\xbb\xbf" + GOOD), NOT_JSON),
    case("no UTF-8 where nobody looks", said(GOOD.replace(b'"r"', b'"\xff"')), NOT_JSON),
    case("gzip", said(gzip.compress(GOOD), "Content-Encoding: gzip"), NOT_JSON),
    case("gzip by name alone", said(GOOD, "Content-Encoding: gzip"), NOT_JSON),
    case("identity by name", said(GOOD, "Content-Encoding: identity"), NOT_JSON),
    case("a gzip bomb", said(gzip.compress(bytes(32 << 20)), "Content-Encoding: gzip"), NOT_JSON),
    case("a gzip bomb without a name", said(gzip.compress(bytes(32 << 20))), NOT_JSON),
    case("junk before", said(b"x" + GOOD), NOT_JSON),
    case("junk after", said(GOOD + b"x"), NOT_JSON),
    case("twice", said(GOOD + GOOD), NOT_JSON),
    case("a NUL behind", said(GOOD + b"\0"), NOT_JSON),
    case("cut off", said(GOOD[:-1]), NOT_JSON),
    case("NaN", said(swapped('"r"', "NaN")), NOT_JSON),
    case("a comment", said(b"/**/" + GOOD), NOT_JSON),
    case("a lone surrogate", said(swapped('"AROA', '"\\ud800AROA')), NOT_JSON),
    case("deep", said(swapped('"AROA', "[" * 9000 + '"AROA')), SHAPE),
    case("null", said(b"null"), SHAPE),
    case("a list", said(b"[" + GOOD + b"]"), SHAPE),
    case("inside another answer", said(b'{"AssumeRoleWithWebIdentityResponse": ' + GOOD + b"}"), SHAPE),
    case("beside another answer", said(b'{"AssumeRoleResponse": {}, ' + GOOD[1:]), SHAPE),
    case("an outer name in another case", said(swapped("GetCallerIdentityResponse", "getCallerIdentityResponse")), SHAPE),
    case("a name in another case", said(swapped('"Arn"', '"arn"')), SHAPE),
    case("a name in two cases", said(swapped('"UserId"', '"ARN": "arn:aws:iam::1:root", "UserId"')), SHAPE),
    case("a member twice", said(swapped('"UserId"', f'"Arn": "{SESSION}", "UserId"')), SHAPE),
    case("a member twice, once escaped", said(swapped('"UserId"', f'"\\u0041rn": "{SESSION}", "UserId"')), SHAPE),
    case("a member missing", said(swapped('"UserId"', '"Other"')), SHAPE),
    case("Account a number", said(swapped(f'"{ACCOUNT}"', ACCOUNT)), SHAPE),
    case("Account a huge number", said(swapped(f'"{ACCOUNT}"', "9" * 400)), NOT_JSON),
    case("Arn a list", said(good(arn=[SESSION])), SHAPE),
    case("UserId null", said(good(user_id=None)), SHAPE),
    case("another account in the ARN", said(good(account="999999999999")), OTHER_ACCOUNT),
    case("no account", said(good(account="")), OTHER_ACCOUNT),
    case("11 digits", said(good(account=ACCOUNT[1:])), OTHER_ACCOUNT),
    case("13 digits", said(good(account=ACCOUNT + "0")), OTHER_ACCOUNT),
    case("other digits", said(good(account="".join(chr(0xFF10 + int(digit)) for digit in ACCOUNT))), OTHER_ACCOUNT),
    case("11 digits in the ARN", said(good(arn=SESSION.replace(ACCOUNT, ACCOUNT[1:]), account=ACCOUNT[1:])), bad_arn("the account is not twelve digits")),
    case("no ARN", said(good(arn="")), bad_arn("it does not begin with `arn:`")),
    case("another service", said(good(arn=f"arn:aws:ec2::{ACCOUNT}:assumed-role/Process/jane")), bad_arn("no such kind of principal in that service")),
    case("a region", said(good(arn=f"arn:aws:sts:us-west-2:{ACCOUNT}:assumed-role/Process/jane")), bad_arn("the region field is not empty")),
    case("a line's end in the ARN", said(good(arn=SESSION + "\n")), bad_arn("it holds a character that is not printable ASCII")),
    case("an endless ARN", said(good(arn=SESSION + "x" * 4096)), bad_arn("it is longer than 2048 bytes")),
    case("another partition", said(good(arn=SESSION.replace("arn:aws:", "arn:aws-cn:"))), unreadable("its ARN is of another partition")),
    case("no UserId", said(good(user_id="")), USER_ID),
    case("no colon in it", said(good(user_id="AROAEXAMPLE")), USER_ID),
    case("two colons in it", said(good(user_id="AROAEXAMPLE:jane:x")), USER_ID),
    case("no session in it", said(good(user_id="AROAEXAMPLE:")), USER_ID),
    case("a NUL in it", said(good(user_id=f"AROAEXAMPLE:{CANARY}\0")), USER_ID),
    case("another session in it", said(good(user_id="AROAEXAMPLE:admin")), unreadable("its UserId names another session than its ARN")),
]  # fmt: skip

STATUSES = [
    *(case(f"{code} with a good answer", said(GOOD, status=f"{code} x"), status(code)) for code in (201, 202, 203, 205, 206, 226, 299)),
    *(case(f"{code} with a good answer", said(GOOD, status=f"{code} x"), status(code)) for code in (204, 304)),
    case("switching protocols", answered(b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: y\r\n\r\n" + GOOD), status(101)),
    case("an own number", said(GOOD, status="999 x"), status(999)),
    case("404", said(GOOD, status="404 x"), status(404)),
    case("407", said(b"", "Proxy-Authenticate: Basic realm=x", status="407 x"), status(407)),
    case("408", said(b"", status="408 x"), status(408)),
    case("500", said(refusal("InternalFailure"), status="500 x"), status(500)),
    case("502 in HTML", said(b"<html>canary-in-the-answer</html>", status="502 x", kind="text/html"), status(502)),
    case("503", said(refusal("ServiceUnavailable"), "Retry-After: 1", status="503 x"), status(503)),
    case("504", said(b"", status="504 x"), status(504)),
    case("an error of STS in a 400", said(refusal("InternalFailure"), status="400 x"), status(400)),
    case("400 with a good answer", said(GOOD, status="400 x"), unreadable("it is not JSON", 400)),
    case("403 in HTML", said(b"<html>canary-in-the-answer</html>", status="403 x", kind="text/html"), unreadable("it is not JSON", 403)),
    case("403 without a word", said(b"", status="403 x"), unreadable("it is not JSON", 403)),
    case("401 of someone else", said(b"", "WWW-Authenticate: Basic realm=x", status="401 x"), unreadable("it is not JSON", 401)),
    *(case(f"400 {code}", said(refusal(code), status="400 x"), throttled(400)) for code in ("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException")),
    case("403 RequestLimitExceeded", said(refusal("RequestLimitExceeded"), status="403 x"), throttled(403)),
    case("400 Throttling in XML", said(b"<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>", status="400 x", kind="text/xml"), throttled(400)),
    case("503 SlowDown", said(refusal("SlowDown"), status="503 x"), throttled(503)),
    case("503 SlowDown in XML", said(b"<Error><Code>SlowDown</Code></Error>", status="503 x", kind="text/xml"), throttled(503)),
    case("429", said(b"", "Retry-After: 30", status="429 x"), throttled(429)),
    case("429 with a good answer", said(GOOD, status="429 x"), throttled(429)),
    case("a wrong signature", said(refusal("SignatureDoesNotMatch"), status="403 x"), BAD_SIGNATURE),
    case("an expired session", said(refusal("ExpiredToken"), status="403 x"), denied("credentials_expired", "the credentials have expired")),
    case("an unknown key", said(refusal("InvalidClientTokenId"), status="403 x"), denied("access_key_unknown", "the access key or session token is not known")),
    case("access denied", said(refusal("AccessDenied"), status="403 x"), denied("sts_denied", "access denied")),
    case("a code that nobody knows", said(refusal(f"{CANARY}\n\x1b[31m"), status="400 x"), denied("sts_denied", "another reason", 400)),
    case("two codes", said(b'{"Error": {"Code": "ExpiredToken", "Code": "AccessDenied"}}', status="403 x"), unreadable("it is not JSON", 403)),
]  # fmt: skip

HEADS = [
    case("no answer", answered(b""), BROKEN),
    case("a reset", Act(Wire.reset), BROKEN),
    case("no HTTP", answered(GOOD), BROKEN),
    case("HTTP/0.9", answered(b"<html>canary-in-the-answer</html>\r\n\r\n"), BROKEN),
    case("HTTP/2", answered(b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64" + b"\0\0\0\4\1\0\0\0\0"), BROKEN),
    case("HTTP/2 in words", answered(response(GOOD).replace(b"HTTP/1.1", b"HTTP/2")), BROKEN),
    case("another protocol", answered(response(GOOD).replace(b"HTTP/1.1", b"ICY")), BROKEN),
    case("a number of two digits", said(GOOD, status="20 x"), BROKEN),
    case("a number of four digits", said(GOOD, status="2000 x"), BROKEN),
    case("a number below all", said(GOOD, status="099 x"), BROKEN),
    case("a head that ends", cut(b"HTTP/1.1 200 OK\r\nContent-"), BROKEN),
    case("no name", said(GOOD, ": x"), BROKEN),
    case("a space before the colon", said(GOOD, "X : y"), BROKEN),
    case("a folded line", said(GOOD, "X: y\r\n folded"), BROKEN),
    case("a NUL in a value", said(GOOD, "X: \0"), BROKEN),
    case("a hundred lines too many", said(GOOD, *(f"X-{n}: y" for n in range(200))), BROKEN),
    case("lines without end", flooding(OK, b"X: canary-in-the-answer\r\n"), BROKEN),
    case("a line without end", flooding(OK + b"X: ", b"canary-in-the-answer"), BROKEN),
    case("a reason without end", flooding(b"HTTP/1.1 200 ", b"canary-in-the-answer "), BROKEN),
    case("a line of 1 MiB", said(GOOD, "X: " + "y" * (1 << 20)), BROKEN),
]  # fmt: skip

FRAMES = [
    case("two lengths", said(GOOD, "Content-Length: 5"), BROKEN),
    case("two lengths in one", answered(OK + b"Content-Length: 5, %d\r\n\r\n" % len(GOOD) + GOOD), BROKEN),
    case("a negative length", answered(OK + b"Content-Length: -1\r\n\r\n" + GOOD), BROKEN),
    case("a length with a sign", answered(OK + b"Content-Length: +%d\r\n\r\n" % len(GOOD) + GOOD), BROKEN),
    case("a length in hexadecimal", answered(OK + b"Content-Length: 0x%x\r\n\r\n" % len(GOOD) + GOOD), BROKEN),
    case("a length beyond all", answered(OK + b"Content-Length: 18446744073709551617\r\n\r\n" + GOOD), BROKEN),
    case("a length too long", answered(OK + b"Content-Length: %d\r\n\r\n" % (len(GOOD) + 1) + GOOD), BROKEN),
    case("a length too short", answered(OK + b"Content-Length: %d\r\n\r\n" % (len(GOOD) - 1) + GOOD), NOT_JSON),
    case("a length and chunks", answered(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(GOOD) + chunk(b"")), BROKEN),
    case("chunks of a coding", answered(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk(GOOD) + chunk(b"")), BROKEN),
    case("chunks twice", answered(OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(GOOD) + chunk(b"")), BROKEN),
    case("a coding without chunks", said(GOOD, "Transfer-Encoding: identity"), BROKEN),
    case("chunks in HTTP/1.0", answered((CHUNKED + chunk(GOOD) + chunk(b"")).replace(b"HTTP/1.1", b"HTTP/1.0")), BROKEN),
    case("a chunk of no size", answered(CHUNKED + b"zz\r\n" + GOOD), BROKEN),
    case("a chunk of every size", answered(CHUNKED + b"f" * 17 + b"\r\n" + GOOD), BROKEN),
    case("a chunk longer than it says", answered(CHUNKED + b"1\r\n" + GOOD + b"\r\n0\r\n\r\n"), BROKEN),
    case("no last chunk", answered(CHUNKED + chunk(GOOD)), BROKEN),
    case("no last chunk, and no goodbye", cut(CHUNKED + chunk(GOOD)), BROKEN),
    case("extensions without end", flooding(CHUNKED + b"1;", b"canary-in-the-answer"), BROKEN),
    case("trailers without end", flooding(CHUNKED + chunk(GOOD) + b"0\r\n", b"X: canary-in-the-answer\r\n"), BROKEN),
    case("no length, and no goodbye", cut(OK + b"\r\n" + GOOD), BROKEN),
    case("one byte too many", said(GOOD + b" " * (BODY_LIMIT - len(GOOD) + 1)), TOO_LARGE),
    case("1 MiB", said(GOOD + b" " * (1 << 20)), TOO_LARGE),
    case("1 TiB, as it says", flooding(OK + b"Content-Length: 1099511627776\r\n\r\n", b"canary-in-the-answer"), TOO_LARGE),
    case("without end", flooding(OK + b"\r\n", b"canary-in-the-answer"), TOO_LARGE),
    case("chunks without end", flooding(CHUNKED, chunk(b"canary-in-the-answer" * 99)), TOO_LARGE),
    case("a chunk without end", flooding(CHUNKED + b"ffffffffffffff\r\n", b"canary-in-the-answer"), TOO_LARGE),
]  # fmt: skip

SLOW = [
    case("100 without end", flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), LATE),
    case("103 without end", flooding(b"", b"HTTP/1.1 103 Early Hints\r\nX: canary-in-the-answer\r\n\r\n"), LATE),
    case("a silent one", stalled(b""), LATE),
    case("silent in the head", stalled(b"HTTP/1.1 200 OK\r\nContent-"), LATE),
    case("silent after the head", stalled(OK + b"Content-Length: %d\r\n\r\n" % len(GOOD)), LATE),
    case("silent before the last byte", stalled(response(GOOD)[:-1]), LATE),
    case("silent before the last chunk", stalled(CHUNKED + chunk(GOOD)), LATE),
    case("a silent end", stalled(OK + b"\r\n" + GOOD), LATE),
    case("a head byte by byte", dripping(OK, itertools.repeat(b"x")), LATE),
    case("a body byte by byte", dripping(response(GOOD)[:-50], itertools.repeat(b" ")), LATE),
    case("chunk by chunk", dripping(CHUNKED, itertools.repeat(chunk(b" "))), LATE),
    case("hint by hint", dripping(b"", itertools.repeat(b"HTTP/1.1 103 x\r\n\r\n")), LATE),
]  # fmt: skip


@pytest.fixture(scope="module")
def trial(start_trial) -> Trial:
    return start_trial()


@pytest.fixture(scope="module")
def hasty(start_trial) -> Trial:
    """Does not wait for long."""
    return start_trial(seconds=2)


def try_one(trial: Trial, act: Act, verdict: Verdict) -> float:
    """How many seconds the answer took."""
    trial.sts.play(act)
    took = trial.hold_to(verdict)
    assert trial.sts.requests == 1
    trial.hold_honest_to_grant()
    assert trial.growth < GROWTH_KIB
    return took


@pytest.mark.parametrize(("act", "verdict"), [*BELIEVED, *BODIES, *STATUSES, *HEADS, *FRAMES])
def test_an_answer_has_its_one_verdict(trial, act, verdict):
    try_one(trial, act, verdict)


@pytest.mark.parametrize(("act", "verdict"), SLOW)
def test_an_answer_without_end_ends_at_the_limit(hasty, act, verdict):
    try_one(hasty, act, verdict)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(trial, code):
    elsewhere = HostileSts(trial.stand_in.sts.answer, trial.stand_in.ca.with_name("server.pem"))
    try:
        for place in (f"https://{elsewhere.address}/", f"https://{HOST.name}/", "/"):
            trial.sts.play(said(GOOD, f"Location: {place}", status=f"{code} x"))
            trial.hold_to(status(code))
            assert (trial.sts.requests, elsewhere.connections) == (1, 0)
            trial.sts.await_quiet()
    finally:
        elsewhere.close()
    trial.hold_honest_to_grant()


@pytest.mark.parametrize("data", [b"", response(GOOD)[:-1]], ids=["nothing", "all but a byte"])
def test_by_default_an_answer_has_four_seconds(trial, data):
    assert 4 <= try_one(trial, stalled(data), LATE) < 5.5


class TestCrowds:
    """Many at once: as many as may be under way by default, all of them answered badly."""

    UNDER_WAY = 64
    # Each holds at most a head of 4 KiB, or a body of 64 KiB in a buffer that doubles, and TLS's own buffers.
    EACH_KIB = 224

    @pytest.mark.parametrize(
        "act",
        [
            stalled(OK + b"X: " + b"y" * 3_900),
            stalled(response(b"x" * BODY_LIMIT)[:-1]),
            flooding(OK + b"X: ", b"y"),
            flooding(b"", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"),
            flooding(CHUNKED, chunk(b"x")),
        ],
        ids=["a head of 4 KiB", "a body of 64 KiB", "a head without end", "hints without end", "small chunks"],
    )
    def test_they_do_not_starve_the_others_and_do_not_grow_without_bound(self, start_trial, act):
        trial = start_trial(seconds=3)
        trial.sts.play(act)
        tokens = [trial.mint(f"user-{n}") for n in range(self.UNDER_WAY)]
        with ThreadPoolExecutor(self.UNDER_WAY) as crowd:
            asking = [crowd.submit(trial.server.review, token) for token in tokens]
            trial.sts.await_requests(1)
            assert trial.server.health("/livez").status == 200
            statuses = [review.result().status for review in asking]
        # Strangers have three quarters of the questions to STS, and wait half a second for a turn.
        assert set(statuses) <= {504, 429}
        assert statuses.count(504) == trial.sts.requests >= self.UNDER_WAY * 3 // 4
        trial.hold_honest_to_grant()
        assert trial.growth < self.UNDER_WAY * self.EACH_KIB
