"""Trials of a server whose STS misbehaves: what the API server is told, what the log, and what is counted.

A `Verdict` says what is expected of one review; `Trial.hold_to` asks once and looks at all of it.
"""

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from amazon import hosts
from hostile import HostileSts
from server_process import Server, configuration, rendered
from stand_in import ACCOUNT, StandIn
from webhook import HOST, Review, signed

# How long a server waits for its STS if nobody says otherwise; and what a busy machine may add to it.
STS_SECONDS, GRACE_SECONDS = 4, 4
# Honest answers before a trial, so that what the first ones cost is not counted as growth.
WARM_UP = 20
# In every answer that must not be believed: it comes back in no reply, log line or metric.
CANARY = "canary-in-the-answer"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/Process/{CANARY}"


def identity(account=ACCOUNT, arn=SESSION, user_id=f"AROAEXAMPLE:{CANARY}") -> dict:
    result = {"Account": account, "Arn": arn, "UserId": user_id}
    return {
        "GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": {"RequestId": "r"}},
    }


# Believed, it would be a grant.
GOOD = json.dumps(identity()).encode()


@dataclass(frozen=True)
class Verdict:
    """What becomes of a review: what the API server is told, what the log, and what is counted."""

    status: int
    told: str | None
    result: str
    error: str | None
    counted: tuple[str, ...]


def _response(code: int) -> str:
    label = str(code) if 100 <= code <= 599 else "other"
    return f'sts_responses_total{{ResponseCode="{label}",StsRegion="{HOST.region}"}}'


FAILURE = f'sts_connection_failures_total{{StsRegion="{HOST.region}"}}'
THROTTLE = f'sts_throttling_total{{StsRegion="{HOST.region}"}}'
GRANTED = Verdict(200, None, "success", None, (_response(200),))
UNREACHABLE = Verdict(504, "STS cannot be asked", "sts_error", "STS cannot be reached", (FAILURE,))


def _failed(error: str) -> Verdict:
    return Verdict(504, "STS cannot be asked", "sts_error", error, (FAILURE,))


BROKEN = _failed("the answer of STS broke off")
LATE = _failed("STS did not answer in time")
TOO_LARGE = _failed("the answer of STS is larger than it can be")


def unreadable(what: str, code: int = 200) -> Verdict:
    error = f"the answer of STS cannot be read: {what}"
    return Verdict(504, "the answer of STS cannot be read", "sts_error", error, (_response(code),))


def status(code: int) -> Verdict:
    error = f"STS answered with status {code}"
    return Verdict(504, "STS cannot be asked", "sts_error", error, (_response(code),))


def throttled(code: int) -> Verdict:
    counted = (_response(code), THROTTLE)
    return Verdict(429, "STS is throttling requests", "sts_throttling", "STS is throttling us", counted)


def denied(reason: str, error: str, code: int = 403) -> Verdict:
    return Verdict(200, reason, "sts_error", f"STS refused the token: {error}", (_response(code),))


COUNTERS = re.compile(
    r"^aws_iam_authenticator_((?:sts_\w+_total|authenticate_latency_seconds_count)\{[^}]*\}) (\d+)$", re.MULTILINE
)


class Trial:
    """A server and the one STS that it asks about `HOST`; about the others it asks the ordinary stand-in."""

    def __init__(self, binary: Path, stand_in: StandIn, directory: Path, seconds: int | None = None, **settings):
        self.stand_in = stand_in
        self.seconds = seconds or STS_SECONDS
        self.sts = HostileSts(stand_in.sts.answer, stand_in.ca.with_name("server.pem"))
        self._role = stand_in.directory.add_role("Process", ACCOUNT)
        (directory / "state").mkdir()
        rules = [{"rolearn": self._role.arn, "username": "process:{{SessionNameRaw}}"}]
        sts = {
            "connectTo": {**stand_in.connect_to, HOST.name: self.sts.address},
            "caFile": str(stand_in.ca),
            **({"timeout": f"{seconds}s"} if seconds else {}),
            **settings,
        }
        config = directory / "config.yaml"
        config.write_text(rendered(configuration(directory, stand_in, mapRoles=rules, sts=sts)))
        command = [binary, "server", "--config", config, "--log-verbosity=trace"]
        self.server = Server(command, directory / "state")
        for _ in range(WARM_UP):
            assert self.server.review(self.mint()).granted
        self._memory = self.server.used("VmHWM")

    @property
    def growth(self) -> int:
        """How much more memory the process ever held since the trial began, in KiB."""
        return self.server.used("VmHWM") - self._memory

    def mint(self, session_name: str = "jane", host: hosts.Host = HOST) -> str:
        """A token of a new session on the mapped role, signed by botocore now."""
        session = self.stand_in.directory.open_session(self._role, session_name)
        return signed(session.keys, host=host)

    def review(self, session_name: str) -> Review:
        return self.server.review(self.mint(session_name))

    def hold_to(self, verdict: Verdict) -> float:
        """Asks once, and looks at all that is told, logged and counted; how many seconds the answer took."""
        token, before, logged = self.mint(), self._counts(), len(self.server.log)
        began = time.monotonic()
        review = self.server.review(token)
        took = time.monotonic() - began
        assert (review.status, _told(review)) == (verdict.status, verdict.told)
        assert review.granted == (verdict == GRANTED)
        assert "retry-after" not in review.headers
        line = self.server.await_log(r'.*msg="access (denied|granted)".*', after=logged)
        assert line.group(1) == ("granted" if verdict == GRANTED else "denied")
        if verdict.error:
            assert f'error="{verdict.error}"' in line.group(), line.group()
            assert CANARY not in json.dumps(review.body) + self.server.log[logged:]
        counted = {name: n - before.get(name, 0) for name, n in self._counts().items() if n != before.get(name, 0)}
        result = f'authenticate_latency_seconds_count{{result="{verdict.result}"}}'
        assert counted == dict.fromkeys({result, *verdict.counted}, 1)
        assert CANARY not in self.server.metrics()
        assert took < self.seconds + GRACE_SECONDS
        return took

    def hold_honest_to_grant(self) -> None:
        """The same server, with an STS at the same address that behaves again."""
        self.sts.await_quiet()
        self.sts.play(None)
        self.hold_to(GRANTED)
        assert self.sts.requests == 1
        for path in ("/livez", "/readyz"):
            assert self.server.health(path).status == 200

    def close(self) -> None:
        self.server.stop()
        self.sts.close()

    def _counts(self) -> dict[str, int]:
        return {name: int(value) for name, value in COUNTERS.findall(self.server.metrics())}


def _told(review: Review) -> str | None:
    return review.body["status"].get("error") if review.status == 200 else review.body["message"]
