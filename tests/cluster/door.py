"""A host's API server, asked over HTTPS by callers with tokens of their own, without starting a program for each question."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from amazon.accounts import Caller, Role
from hosts import POLL_SECONDS, Bed, Host
from webhook import signed

# The API server tries a webhook that cannot decide for 4.5 s, and STS may take 4 s for each of five tries.
ANSWER_SECONDS = 40
PATH = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
QUESTION = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
THREAD_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """What the API server says to `kubectl auth whoami`."""

    status: int
    user: dict
    begun: float
    ended: float


class Door:
    """One connection, kept open, of somebody in `network`: the bed's or the host's own. Not for several threads at once."""

    def __init__(self, network: Bed | Host, host: Host):
        trust = ssl.create_default_context(cadata=host.path("/etc/kubernetes/pki/ca.crt").read_text())
        with network.network():
            plain = socket.create_connection((host.address, 6443), ANSWER_SECONDS)
        self._connection = http.client.HTTPSConnection(host.address, 6443, timeout=ANSWER_SECONDS)
        self._connection.sock = trust.wrap_socket(plain, server_hostname=host.address)

    def ask(self, token: str) -> Answer:
        begun = time.monotonic()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection.request("POST", PATH, QUESTION, headers)
        response = self._connection.getresponse()
        body = json.loads(response.read())
        user = body.get("status", {}).get("userInfo", {}) if response.status == 201 else {}
        return Answer(response.status, user, begun, time.monotonic())

    def close(self) -> None:
        self._connection.close()


def ask(network: Bed | Host, host: Host, token: str) -> Answer:
    """One question over a connection of its own."""
    with contextlib.closing(Door(network, host)) as door:
        return door.ask(token)


class Callers:
    """Keep signing in until `stop`, each time with a new session and so a new token, by `sign_in`."""

    def __init__(self, number: int, sign_in: Callable[[], str | None]):
        self._sign_in = sign_in
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._refusals: list[str] = []
        self._times: list[float] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                refusal = self._sign_in()
            except Exception as fault:  # noqa: BLE001, whatever it is, it is the test's
                refusal = repr(fault)
            with self._lock:
                self._times.append(time.monotonic())
                if refusal:
                    self._refusals.append(refusal)

    def await_more(self, number: int) -> None:
        """Until that many have signed in from now on."""
        wanted = self.number + number
        deadline = time.monotonic() + THREAD_SECONDS
        while self.number < wanted:
            assert time.monotonic() < deadline, f"no {number} more in {THREAD_SECONDS} s"
            time.sleep(POLL_SECONDS)

    @property
    def number(self) -> int:
        with self._lock:
            return len(self._times)

    def stop(self) -> list[str]:
        """What was refused."""
        self._stop.set()
        for thread in self._threads:
            thread.join(THREAD_SECONDS)
            assert not thread.is_alive()
        return self._refusals


@contextlib.contextmanager
def signing_in(number: int, sign_in: Callable[[], str | None]) -> Iterator[Callers]:
    """Callers for as long as the block runs; none of them was refused."""
    callers = Callers(number, sign_in)
    try:
        callers.await_more(number)
        yield callers
        callers.await_more(number)
    finally:
        refusals = callers.stop()
    assert refusals == [], refusals[:3]


def new_token(directory, role: Role, cluster_id: str, session_name: str = "jane") -> str:
    caller: Caller = directory.open_session(role, session_name)
    return signed(caller.keys, cluster_id)
