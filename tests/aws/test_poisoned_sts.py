"""Connections to STS are kept for the next review: nothing of one answer may become the answer to another.

Whatever has come before a question is written cannot be its answer, so the connection that it came on is given up. What
comes after it can only be told apart by STS, which is whom the connection was made to.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from hostile import PATIENCE_SECONDS, Act, Wire, response
from verdicts import CANARY, GOOD, Trial

# Believed, it would let somebody in as the canary.
POISON = response(GOOD)
HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n"


def keep(wire: Wire) -> None:
    """Answers, and takes the next request on the same connection."""
    wire.send(wire.honest_answer())


KEEPING = Act(keep)


def without_body(status: bytes) -> bytes:
    """Says that a body follows, where none can: it would be read as the next answer."""
    return HEAD % status + b"Content-Length: %d\r\n\r\n" % len(POISON) + POISON


def chunked(body: bytes) -> bytes:
    return HEAD % b"200 OK" + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


# What is sent in place of the honest answer, all in one piece; and whether the first caller is let in all the same.
SPOILT: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "an answer": (lambda honest: honest + POISON, True),
    "many answers": (lambda honest: honest + POISON * 200, True),
    "an answer behind chunks": (lambda honest: chunked(body_of(honest)) + POISON, True),
    "a hint": (lambda honest: honest + b"HTTP/1.1 100 Continue\r\n\r\n", True),
    "half a head": (lambda honest: honest + POISON[:30], True),
    "a line's end": (lambda honest: honest + b"\r\n", True),
    "a byte": (lambda honest: honest + b"x", True),
    "an answer behind a denial": (lambda _: response(b'{"Error":{"Code":"AccessDenied"}}', status="403 x") + POISON, False),
    "an answer behind nothing": (lambda _: response(b"") + POISON, False),
    "an answer behind too much": (lambda _: response(b" " * 70_000) + POISON, False),
    "an answer behind a bad chunk": (lambda _: HEAD % b"200 OK" + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + POISON, False),
    "an answer as the body of a 204": (lambda _: without_body(b"204 x"), False),
    "an answer as the body of a 304": (lambda _: without_body(b"304 x"), False),
    "an answer after a change of protocol": (lambda _: HEAD % b"101 x" + b"Connection: upgrade\r\nUpgrade: y\r\n\r\n" + POISON, False),
    "an answer behind two lengths": (lambda _: HEAD % b"200 OK" + b"Content-Length: 0\r\nContent-Length: 2\r\n\r\n{}" + POISON, False),
    "an answer behind a length and chunks": (lambda honest: chunked(b"").replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n", 1) + POISON, False),
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(start_trial) -> Trial:
    return start_trial()


@pytest.fixture
def trial(shared) -> Trial:
    """In the beginning no connection is kept, and in the end none is spoilt."""
    yield shared
    shared.sts.play(Act(lambda wire: wire.send(wire.honest_answer("Connection: close"))))
    for _ in range(3):
        assert user(shared, "zoe") == "process:zoe"
    shared.hold_honest_to_grant()


def user(trial: Trial, session_name: str) -> str:
    return trial.review(session_name).user["username"]


def test_a_connection_is_kept(trial):
    trial.sts.play(KEEPING)
    assert [user(trial, name) for name in ("ann", "bob", "cat")] == ["process:ann", "process:bob", "process:cat"]
    assert (trial.sts.connections, trial.sts.requests) == (1, 3)


@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_is_behind_an_answer_is_nobody_s(trial, spoilt):
    data, granted = SPOILT[spoilt]
    given_up = threading.Event()

    def spoil(wire: Wire) -> None:
        # The server may have heard enough before the end.
        with contextlib.suppress(OSError):
            wire.send(data(wire.honest_answer()))
        if wire.await_end():
            given_up.set()

    trial.sts.play(Act(spoil))
    first = trial.review("ann")
    assert first.granted == granted and CANARY not in str(first)
    trial.sts.play(KEEPING)
    assert [user(trial, name) for name in ("bob", "cat")] == ["process:bob", "process:cat"]
    assert given_up.wait(PATIENCE_SECONDS)
    assert (trial.sts.connections, trial.sts.requests) == (1, 2)


@pytest.mark.parametrize("late", [POISON, b"HTTP/1.1 100 Continue\r\n\r\n", POISON[:30], b"x"], ids=range(4))
@pytest.mark.parametrize("noticed", [False, True])
def test_what_comes_later_is_nobody_s(trial, late, noticed):
    answered, sent, given_up = threading.Event(), threading.Event(), threading.Event()

    def spoil(wire: Wire) -> None:
        keep(wire)
        assert answered.wait(PATIENCE_SECONDS)
        wire.send(late)
        sent.set()
        if wire.await_end():
            given_up.set()

    trial.sts.play(Act(spoil))
    assert user(trial, "ann") == "process:ann"
    trial.sts.play(KEEPING)
    answered.set()
    # Before the server has noticed, as well as after.
    assert (given_up if noticed else sent).wait(PATIENCE_SECONDS)
    assert user(trial, "bob") == "process:bob"
    assert given_up.wait(PATIENCE_SECONDS)
    assert (trial.sts.connections, trial.sts.requests) == (1, 1)


def test_an_answer_that_comes_too_late_is_nobody_s(trial):
    given_up = threading.Event()

    def delay(wire: Wire) -> None:
        answer = wire.honest_answer()
        if wire.await_end():
            given_up.set()
        wire.send(answer)

    trial.sts.play(Act(delay))
    assert trial.review("ann").status == 504
    trial.sts.play(KEEPING)
    assert user(trial, "bob") == "process:bob"
    assert given_up.wait(PATIENCE_SECONDS)
    assert (trial.sts.connections, trial.sts.requests) == (1, 1)


def test_among_many_everybody_stays_who_they_are(start_trial):
    trial = start_trial()
    number, spoils = itertools.count(), list(SPOILT.values())

    def play(wire: Wire) -> None:
        turn = next(number)
        data, granted = spoils[turn // 3 % len(spoils)]
        if turn % 3 or not granted:
            return keep(wire)
        with contextlib.suppress(OSError):
            wire.send(data(wire.honest_answer()))
        wire.await_end()
        return None

    trial.sts.play(Act(play))
    names = [f"user-{n}" for n in range(240)]
    with ThreadPoolExecutor(12) as crowd:
        assert list(crowd.map(lambda name: user(trial, name), names)) == [f"process:{name}" for name in names]
    assert trial.sts.requests == len(names)
    # Most connections were used again, so that there was something to mix up.
    assert trial.sts.connections < len(names) * 3 / 4
