"""An STS that misbehaves as a test says: before TLS, in TLS, in HTTP or in the answer. Honest until told otherwise.

An honest answer ends its connection, so that the next act begins with a handshake. Acts are plain functions of a
`Wire`; `answered`, `flooding` and their like make the usual ones. What is not done: anything but GET requests.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.client import parse_headers
from pathlib import Path

from amazon.loopback import Answer, Received, tls_context

# Longer than any server here waits for its STS, and less than pytest's own limit.
PATIENCE_SECONDS = 20
# What a flood sends at once: a few TLS records.
GULP = 64 * 1024


class Wire:
    """One connection after its handshake, and the request that is being answered on it."""

    def __init__(self, connection, honest: Callable[[Received], Answer]):
        self.connection, self._honest = connection, honest
        self._read = connection.makefile("rb")
        self.received: Received | None = None

    def await_request(self) -> bool:
        """Reads the next request's head; false where the client hangs up instead."""
        line = self._read.readline()
        if not line:
            return False
        method, target, _ = line.decode().split(" ")
        path, _, query = target.partition("?")
        name = getattr(self.connection, "asked_name", None)
        self.received = Received(method, path, query, parse_headers(self._read), b"", name)
        return True

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def honest_answer(self, *headers: str) -> bytes:
        """What STS itself would say to the request, as bytes."""
        answer = self._honest(self.received)
        return response(answer.body, *headers, status=str(answer.status))

    def await_end(self) -> bool:
        """Whether the client hung up in time, having asked nothing more; if it asked, it gets no answer."""
        try:
            ended = self._read.read(1) == b""
        except TimeoutError:
            ended = False
        except OSError:
            ended = True
        if not ended:
            self.drop()
        return ended

    def drop(self) -> None:
        """Ends the connection as TCP does, without TLS's own goodbye."""
        self._read.close()
        self.connection.close()

    def reset(self) -> None:
        """Ends the connection as a crash does."""
        self._read.close()
        reset(self.connection)

    def close(self) -> None:
        """Ends the connection in good order."""
        with contextlib.suppress(OSError, ValueError):
            self.connection.settimeout(1)
            self.connection.unwrap()
        self.drop()


def reset(connection: socket.socket) -> None:
    """Ends the connection as a crash does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@dataclass(frozen=True)
class Act:
    """What is done instead of the honest thing; what is left out is honest."""

    answer: Callable[[Wire], None] | None = None
    tls: ssl.SSLContext | None = None
    tcp: Callable[[socket.socket], None] | None = None
    """In place of a handshake."""


def response(body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def answered(data: bytes) -> Act:
    """Sends this and ends the connection in good order."""

    def play(wire: Wire) -> None:
        wire.send(data)
        wire.close()

    return Act(play)


def cut(data: bytes) -> Act:
    """Sends this and ends the connection without TLS's goodbye."""

    def play(wire: Wire) -> None:
        wire.send(data)
        wire.drop()

    return Act(play)


def stalled(data: bytes) -> Act:
    """Sends this and then nothing, for as long as the client waits."""

    def play(wire: Wire) -> None:
        wire.send(data)
        wire.await_end()

    return Act(play)


def flooding(head: bytes, again: bytes) -> Act:
    """Sends `head`, then `again` for as long as the client reads."""
    gulp = again * max(1, GULP // len(again))

    def play(wire: Wire) -> None:
        wire.send(head)
        with contextlib.suppress(OSError):
            while True:
                wire.send(gulp)

    return Act(play)


def dripping(head: bytes, drops: Iterable[bytes], seconds: float = 0.1) -> Act:
    """Sends `head`, then `drops` one by one, each after a while, for as long as the client reads."""

    def play(wire: Wire) -> None:
        wire.send(head)
        gone = threading.Event()
        with contextlib.suppress(OSError):
            for drop in drops:
                gone.wait(seconds)
                wire.send(drop)

    return Act(play)


class HostileSts:
    """One listener on a free loopback port, from construction until `close`."""

    def __init__(self, honest: Callable[[Received], Answer], certificate: Path):
        self._honest, self._tls = honest, tls_context(certificate)
        self._changed = threading.Condition()
        self._act = Act()
        self._requests = self._connections = self._open = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return "127.0.0.1:%d" % self._listener.getsockname()[1]

    @property
    def requests(self) -> int:
        """Since the last `play`."""
        with self._changed:
            return self._requests

    @property
    def connections(self) -> int:
        """Since the last `play`."""
        with self._changed:
            return self._connections

    def play(self, act: Act | None) -> None:
        """From now on, until called again; None for honesty."""
        with self._changed:
            self._act = act or Act()
            self._requests = self._connections = 0

    def await_requests(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._requests >= number, PATIENCE_SECONDS), self._requests

    def await_quiet(self) -> None:
        """Until every connection has ended, on either side: then the client can use none of them any more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._open == 0, PATIENCE_SECONDS), self._open

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self._connections += 1
                self._open += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        act = self._act
        connection.settimeout(PATIENCE_SECONDS)
        # What is sent is there, not held back until the client's next word.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The client may leave at any byte: its test tells, from its own side.
        with contextlib.suppress(OSError), connection:
            if act.tcp:
                act.tcp(connection)
            else:
                with (act.tls or self._tls).wrap_socket(connection, server_side=True) as tls:
                    self._converse(Wire(tls, self._honest))
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _converse(self, wire: Wire) -> None:
        while wire.await_request():
            with self._changed:
                self._requests += 1
                play = self._act.answer
                self._changed.notify_all()
            if play:
                play(wire)
            else:
                wire.send(wire.honest_answer("Connection: close"))
                return wire.close()
            if wire.connection.fileno() < 0:
                return

