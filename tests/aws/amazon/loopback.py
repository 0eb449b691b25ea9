"""HTTP/1.1 services, on loopback unless told otherwise, that count what reaches them, with or without TLS.

A service is a function from a request to an answer. Records hold names and outcomes only: no value of a header, a
query or a body, so a record can be printed. What is not done: HTTP/2, chunked requests.
"""

import ssl
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# The largest form a client sends is an AssumeRole call with a 4 KiB session token; 64 KiB is ample.
BODY_LIMIT = 64 * 1024
# A connection that says nothing for this long is closed, so that a stuck client cannot keep a thread.
IDLE_SECONDS = 30
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    query: str
    headers: Message = field(repr=False)
    body: bytes = field(repr=False)
    server_name: str | None
    """What the client asked for in the TLS handshake; None on plain HTTP."""


@dataclass(frozen=True)
class Answer:
    what: str
    """The operation, for the record."""
    status: int
    body: bytes = field(repr=False)
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    what: str
    status: int
    header_names: frozenset[str]


class Record:
    """What reached one service since the last `clear`."""

    def __init__(self):
        self._lock = threading.Lock()
        self._connections = 0
        self._seen: list[Seen] = []
        self._faults: list[str] = []

    @property
    def connections(self) -> int:
        with self._lock:
            return self._connections

    @property
    def requests(self) -> list[Seen]:
        with self._lock:
            return list(self._seen)

    @property
    def faults(self) -> list[str]:
        """Stack traces of the stand-in's own mistakes; a test run that has any is void."""
        with self._lock:
            return list(self._faults)

    def count(self, what: str) -> int:
        return sum(seen.what == what for seen in self.requests)

    def clear(self) -> None:
        with self._lock:
            self._connections, self._seen = 0, []

    def add_connection(self) -> None:
        with self._lock:
            self._connections += 1

    def add(self, seen: Seen) -> None:
        with self._lock:
            self._seen.append(seen)

    def add_fault(self, trace: str) -> None:
        with self._lock:
            self._faults.append(trace)


class Service:
    """One listener on a free port of `host`, from construction until `close`."""

    def __init__(self, answer: Callable[[Received], Answer], certificate: Path | None = None, host: str = LOOPBACK):
        self.record = Record()
        self._server = _Server(answer, self.record, tls_context(certificate) if certificate else None, host)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def address(self) -> str:
        return f"{self._server.server_address[0]}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def tls_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["http/1.1"])

    def remember(socket, name, _context):
        socket.asked_name = name

    context.sni_callback = remember
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, answer, record, tls, host):
        self.answer, self.record, self.tls = answer, record, tls
        super().__init__((host, 0), _Handler)

    def process_request(self, request, client_address):
        self.record.add_connection()
        super().process_request(request, client_address)

    def finish_request(self, request, client_address):
        # In the connection's own thread: a slow handshake must not hold up the next connection.
        request.settimeout(IDLE_SECONDS)
        try:
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            pass  # The client went away, or refused the certificate: its test tells, from its own side.
        finally:
            if self.tls:
                request.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # One write per answer.
    wbufsize = -1

    def _serve(self):
        path, _, query = self.path.partition("?")
        received = Received(
            self.command, path, query, self.headers, self._body(), getattr(self.connection, "asked_name", None)
        )
        try:
            answer = self.server.answer(received)
        except Exception:
            self.server.record.add_fault(traceback.format_exc())
            answer = Answer("fault", 500, b"{}")
        names = frozenset(name.lower() for name in self.headers)
        self.server.record.add(Seen(self.command, path, answer.what, answer.status, names))
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = _serve

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_LIMIT:
            raise ConnectionError(f"a body of {length} bytes is over the limit of {BODY_LIMIT}")
        return self.rfile.read(length)

    def log_message(self, *_):
        """Nothing: request lines hold tokens."""
