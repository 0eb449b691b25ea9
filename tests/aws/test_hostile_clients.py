"""Honest API servers beside clients that mean harm: they are answered, and the server stays small.

One honest connection was there before the attack; for each other review a new one comes during it. Both are asked as an
API server asks: within a deadline, and again where the answer is 429 or 504 or the connection is closed.
"""

import contextlib
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import vectors
from amazon.accounts import Keys
from amazon.loopback import Answer, Received, Service
from hostile_peers import LIVES
from server_process import PATIENCE_SECONDS, Client, Server, await_that
from test_server_process import BUCKETS, METRICS, Told
from webhook import CLUSTER, HOST

# `server.limits.connections`, by default; twice as many come.
SEATS = 128
CROWD = 2 * SEATS
# Beside seats: listeners, STS, files. What STS connections take is bounded by the questions to it.
DESCRIPTORS = SEATS + 16 + 2 * 64 + 32
MEMORY_KIB = 20 * 1024
# How long an attack goes on beside the honest ones, and how many reviews they ask in it.
ATTACK_SECONDS, ROUNDS = 3, 12
# kube-apiserver tries five times in some 4.5 s; a busy machine gets longer, and the test more.
TRIES, TRY_PAUSE_SECONDS = 5, 0.2
CONNECTIONS = 'aws_iam_authenticator_connections{port="tls"}'
# From the end of an attack until the last of its connections is gone: a review or a body may have to end first.
CALM_SECONDS = 15
# Those that read a file or look up a name.
THREADS = 8
# Over HTTP/2 one connection is a crowd by itself. Of those that flood there are few: the machine is not what is tested.
FEW = {"rapid_reset", "continuation_flood", "empty_continuations", "control_flood", "idle_frames"}
# Those that say nothing: of all others, as many as there are seats have to have said something, or nothing was tried.
MUTE = {"silent", "speechless", "churn"}
# Those that are cut off for what they say, however many seats are free.
CUT_OFF = {"rapid_reset", "continuation_flood", "empty_continuations"}
# A review has lines of its own; of everything else a few kinds are told once in five seconds, and at the start some.
ABOUT_A_REVIEW = "access denied|access granted|STS response|could not parse request body"
NOISE_LINES = 60


class Attack:
    """The crowd of one kind, from its posture on until the end of the block."""

    def __init__(self, name: str, server: Server, connections: int):
        template = vectors.presigned(HOST, CLUSTER, Keys("ASIA" + "A" * 16, "x" * 40, "y" * 343), int(time.time()))
        arguments = ["--port", str(server.port), "--connections", str(connections)]
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("hostile_peers.py"), name, *arguments, "--url", template],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.done: dict = {}

    def __enter__(self):
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_):
        try:
            told, _ = self._process.communicate("", PATIENCE_SECONDS)
            self.done = json.loads(told)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()


@dataclass
class Honest:
    """An API server: one connection that it keeps, and others that it opens."""

    server: Server
    mint: object
    kept: Client = None
    known: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)
    tries: int = 0

    def __post_init__(self):
        self.trust = self.server.tls()
        self.kept = Client(self.server, self.trust)
        self._first = self.kept.socket

    def ask(self) -> None:
        began = time.monotonic()
        review = self.kept.review(self.mint())
        assert review.granted, f"on the connection that is known: {review}"
        assert self.kept.socket is self._first, "the connection that is known was closed"
        self.known.append(time.monotonic() - began)
        began = time.monotonic()
        self._ask_anew()
        self.new.append(time.monotonic() - began)

    def _ask_anew(self) -> None:
        said = []
        for _ in range(TRIES):
            self.tries += 1
            with contextlib.suppress(OSError), Client(self.server, self.trust) as client:
                said.append(client.review(self.mint()))
                if said[-1].granted:
                    return
                assert said[-1].status in (429, 504), said[-1]
            time.sleep(TRY_PAUSE_SECONDS)
        raise AssertionError(f"no grant on a new connection in {TRIES} tries: {said}")

    def close(self) -> None:
        self.kept.close()


@dataclass(frozen=True)
class Size:
    resident: int
    peak: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, server: Server) -> "Size":
        used = [server.used(name) for name in ("VmRSS", "VmHWM", "Threads")]
        return cls(*used, len(os.listdir(f"/proc/{server.process.pid}/fd")))


def is_static(binary: Path) -> bool:
    """Whether it is the release, which alone is promised to be small: it names no dynamic loader."""
    with open(binary, "rb") as file:
        elf = file.read(64)
        assert elf[:5] == b"\x7fELF\x02", "expected a 64-bit ELF binary"
        offset, size, number = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
        file.seek(offset)
        headers = file.read(size * number)
    return all(struct.unpack_from("<I", headers, at)[0] != 3 for at in range(0, len(headers), size))


def is_known(series: str) -> bool:
    """Whether a line of the metrics, without its value, is of the closed set."""
    [(name, [labels])] = Told(f"{series} 0").series.items()
    if name.startswith("process_"):
        return not labels
    short = name.removeprefix("aws_iam_authenticator_")
    for metric, (kind, values) in METRICS.items():
        parts = [f"{metric}_{part}" for part in ("bucket", "count", "sum")] if kind == "histogram" else [metric]
        if short in parts:
            allowed = {**values, "le": set(BUCKETS[metric])} if short.endswith("_bucket") else values
            return labels.keys() == allowed.keys() and all(labels[one] in allowed[one] for one in labels)
    return False


class NotMeasured(UserWarning):
    """A promise that this binary does not make."""


def assert_small(binary: Path, size: Size) -> None:
    if is_static(binary):
        assert size.peak < MEMORY_KIB
    else:
        warnings.warn(f"not asserted of a debug binary: {size.peak} KiB < {MEMORY_KIB} KiB", NotMeasured, stacklevel=2)


def median_ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f} ms (worst {max(seconds) * 1000:.0f})"


@pytest.fixture
def beside(mint, binary, record_property):
    """Runs an attack and honest reviews beside it, and holds the server to what is promised of any."""

    everybody = contextlib.ExitStack()

    def beside(server: Server, name: str, connections: int, attack_over=None) -> Attack:
        began = time.monotonic()
        honest = everybody.enter_context(contextlib.closing(Honest(server, mint)))
        for _ in range(ROUNDS):
            honest.ask()
        figures = {"calm": [median_ms(honest.known), median_ms(honest.new)]}
        honest.known, honest.new, honest.tries = [], [], 0
        before = Size.of(server)
        with Attack(name, server, connections) as attack:
            until = time.monotonic() + ATTACK_SECONDS
            while len(honest.new) < ROUNDS or time.monotonic() < until or not (attack_over or bool)(attack):
                honest.ask()
            during = Size.of(server)
        # What they held does not outlive their connections.
        await_that(lambda: server.metric(CONNECTIONS) <= 1, CALM_SECONDS)
        after = Size.of(server)
        figures |= {
            "attacked": [median_ms(honest.known), median_ms(honest.new)],
            "tries": f"{honest.tries} for {len(honest.new)}",
            "KiB": f"{before.resident} before, {during.resident} during, {after.peak} at most, {after.resident} after",
            "descriptors": during.descriptors,
            "did": attack.done,
        }
        record_property("figures", figures)
        print(f"\n{name}: {figures}")
        honest.ask()
        honest.close()
        assert attack.done["opened"] > 0
        assert name in MUTE or attack.done["said"] >= min(connections, SEATS)
        assert name not in CUT_OFF or attack.done["closed"] > 0
        assert during.descriptors <= DESCRIPTORS
        assert after.threads <= before.threads + THREADS
        assert [one for one in server.series() if not is_known(one)] == []
        noise = [line for line in server.log.splitlines() if not re.search(ABOUT_A_REVIEW, line)]
        assert len(noise) < NOISE_LINES + time.monotonic() - began, noise[-NOISE_LINES:]
        assert_small(binary, after)
        return attack

    with everybody:
        yield beside


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("default::test_hostile_clients.NotMeasured")
class TestBeside:
    @pytest.mark.parametrize("name", sorted(LIVES))
    def test_honest_reviews_go_on(self, name, start, beside):
        beside(start(), name, SEATS // 4 if name in FEW else CROWD)

    def test_thousands_of_idle_connections_keep_nobody_out(self, start, beside):
        beside(start(), "silent", 3000)

    def test_ten_thousand_tokens_of_unknown_keys_are_denied(self, start, beside, aws):
        def sts(received: Received) -> Answer:
            if "Credential=ASIA0" not in received.query:
                return aws.sts.answer(received)
            error = {"Code": "InvalidClientTokenId", "Message": "no such key", "Type": "Sender"}
            return Answer("GetCallerIdentity", 403, json.dumps({"Error": error, "RequestId": "x"}).encode())

        service = Service(sts, aws.ca.with_name("server.pem"))
        server = start(sts={"connectTo": {HOST.name: service.address}, "caFile": str(aws.ca)})
        count = 'aws_iam_authenticator_authenticate_latency_seconds_count{result="%s"}'
        counted = [count % result for result in ("sts_error", "sts_throttling")]
        done = beside(server, "strangers", 96, lambda _: sum(map(server.metric, counted)) >= 10_000).done
        assert done["200"] + done.get("429", 0) >= 10_000
        assert done["200"] > 10 * done.get("429", 0), "not denied, but put off"
        service.close()
        assert service.record.faults == []

    def test_with_too_few_descriptors_strangers_give_way_too(self, start, beside):
        limited = ("/bin/sh", "-c", 'ulimit -n 64 && exec "$@"', "sh")
        server = start(limited)
        beside(server, "silent", CROWD)
        assert server.lines("could not accept a connection")
