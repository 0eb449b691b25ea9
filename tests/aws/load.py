"""Reviews without a pause, while a test changes what they are decided by."""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from server_process import PATIENCE_SECONDS, Server
from stand_in import ACCOUNT
from webhook import signed

CLIENTS = ("Changing", "Constant", "Changing", "Constant")


@dataclass(frozen=True)
class Decided:
    who: str
    name: str
    groups: tuple[str, ...]
    begun: float
    ended: float


class Load:
    """Four clients on connections of their own, each with a new session and a new token for each question."""

    def __init__(self, server: Server, aws):
        self._server, self._aws = server, aws
        self._roles = {who: aws.directory.add_role(who, ACCOUNT) for who in CLIENTS}
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._decided: list[Decided] = []
        self._faults: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(who,), daemon=True) for who in CLIENTS]
        for thread in self._threads:
            thread.start()

    @property
    def decided(self) -> list[Decided]:
        with self._changed:
            assert self._faults == []
            return list(self._decided)

    def await_each(self, good: Callable[[Decided], bool]) -> None:
        """Until as many answers as there are clients, begun from now on, were good, for each role."""
        since, deadline = time.monotonic(), time.monotonic() + PATIENCE_SECONDS
        with self._changed:
            while True:
                assert self._faults == []
                # In the order in which they ended, so the rest is older.
                late = itertools.takewhile(lambda one: one.ended >= since, reversed(self._decided))
                seen = [one.who for one in late if one.begun >= since and good(one)]
                if all(seen.count(who) >= CLIENTS.count(who) for who in CLIENTS):
                    return
                left = deadline - time.monotonic()
                assert left > 0, f"not the answers that were waited for, but {self._decided[-4:]}"
                self._changed.wait(left)

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def stop(self) -> list[Decided]:
        """All that was decided, which is to have been without fault."""
        self.end()
        return self.decided

    def _ask(self, who: str) -> None:
        try:
            with self._server.client() as client:
                first = client.socket
                while not self._stop.is_set():
                    token = signed(self._aws.directory.open_session(self._roles[who], "jane").keys)
                    begun = time.monotonic()
                    review = client.review(token)
                    name, groups = review.user["username"], tuple(review.user["groups"])
                    self._add(Decided(who, name, groups, begun, time.monotonic()))
                    assert client.socket is first, "the connection was closed"
        except BaseException as fault:
            with self._changed:
                self._faults.append(f"{who}: {fault!r}")
                self._changed.notify_all()

    def _add(self, one: Decided) -> None:
        with self._changed:
            self._decided.append(one)
            self._changed.notify_all()
