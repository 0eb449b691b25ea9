"""Clients that mean harm, each on many connections at once, in a process of their own.

As a program (`python hostile_peers.py NAME --port N --connections N`) it connects, takes up its posture, says `ready` on its
standard output, keeps at it until its standard input closes, and then says as JSON what it did.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import resource
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator

import hostile_http2
from hostile_http2 import BREATH_SECONDS, closed

# Some thousands of connections, with room for what Python itself holds open.
DESCRIPTORS = 8192
# Between two connections of the whole crowd, once they are closed: it must not take a whole core to be refused.
PAUSE_SECONDS = 0.001
# Nothing that the server does to a connection takes longer than this; then the connection is tried again.
LIFE_SECONDS = 90

def head(length: int, *lines: str) -> bytes:
    fields = ["POST /authenticate HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}", *lines, "", ""]
    return "\r\n".join(fields).encode()


class Crowd:
    """Connections that live the same life again and again."""

    def __init__(self, port: int, size: int, tokens: Iterator[str]):
        self.port, self._size, self.tokens = port, size, tokens
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self._posed: set[int] = set()
        self._all_posed = asyncio.Event()
        self.done = {"opened": 0, "closed": 0, "said": 0}

    async def plain(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = await asyncio.open_connection("127.0.0.1", self.port)
        self.done["opened"] += 1
        return connection

    async def tls(self, protocol: str = "http/1.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.context.set_alpn_protocols([protocol])
        connection = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)
        self.done["opened"] += 1
        return connection

    async def say(self, writer: asyncio.StreamWriter, words: bytes) -> None:
        if writer.is_closing():
            raise EOFError
        writer.write(words)
        self.done["said"] += 1
        await writer.drain()
        # `drain` gives way to nobody while there is room.
        await asyncio.sleep(0)

    async def live(self, number: int, life: Callable[["Crowd", Callable[[], None]], Awaitable]) -> None:
        def posed() -> None:
            self._posed.add(number)
            if len(self._posed) == self._size:
                self._all_posed.set()

        while True:
            with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(life(self, posed), LIFE_SECONDS)
            self.done["closed"] += 1
            # Who is turned away at the door stands as well as it can.
            posed()
            await asyncio.sleep(PAUSE_SECONDS * self._size)

    async def attack(self, life) -> None:
        crowd = [asyncio.create_task(self.live(number, life)) for number in range(self._size)]
        await self._all_posed.wait()
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print(json.dumps(self.done), flush=True)
        # Without a goodbye to anybody; the tasks are held until here.
        os._exit(0 if crowd else 1)


async def silent(crowd: Crowd, posed) -> None:
    reader, _writer = await crowd.plain()
    posed()
    await closed(reader)


async def half_hello(crowd: Crowd, posed) -> None:
    reader, writer = await crowd.plain()
    await crowd.say(writer, b"\x16\x03\x01\x02\x00\x01")
    posed()
    await closed(reader)


async def stalled_hello(crowd: Crowd, posed) -> None:
    """A whole client hello, and no word after it."""
    outgoing = ssl.MemoryBIO()
    tls = crowd.context.wrap_bio(ssl.MemoryBIO(), outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    reader, writer = await crowd.plain()
    await crowd.say(writer, outgoing.read())
    posed()
    await closed(reader)


async def speechless(crowd: Crowd, posed) -> None:
    """TLS, and no word in it."""
    reader, _writer = await crowd.tls()
    posed()
    await closed(reader)


async def half_head(crowd: Crowd, posed) -> None:
    reader, writer = await crowd.tls()
    await crowd.say(writer, b"POST /authenticate HTTP/1.1\r\nHo")
    posed()
    await closed(reader)


async def slow_head(crowd: Crowd, posed) -> None:
    _reader, writer = await crowd.tls()
    for byte in head(100) * 100:
        await crowd.say(writer, bytes([byte]))
        posed()
        await asyncio.sleep(1)


async def half_body(crowd: Crowd, posed) -> None:
    """As much of a body as the server takes, but for its last bytes, which come one a second."""
    reader, writer = await crowd.tls()
    await crowd.say(writer, head(65536) + b"x" * 65000)
    posed()
    for _ in range(500):
        await crowd.say(writer, b"x")
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            if not await asyncio.wait_for(reader.read(65536), 1):
                return


async def lingering(crowd: Crowd, posed) -> None:
    """One small question, so that the connection counts as used, and then none."""
    reader, writer = await crowd.tls()
    await crowd.say(writer, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await reader.readuntil(b"ok")
    posed()
    await closed(reader)


async def header_flood(crowd: Crowd, posed) -> None:
    """Heads as large as they may be, and larger, as fast as they are taken."""
    reader, writer = await crowd.tls()
    lines = [f"X-{n}: {'y' * 200}" for n in range(35)]
    for _ in range(50):
        await crowd.say(writer, head(0, *lines))
        await reader.readuntil(b"\r\n\r\n")
        posed()
    await crowd.say(writer, head(0, *lines * 3))
    await closed(reader)


async def not_asked_so(crowd: Crowd, posed) -> None:
    """Another method, as fast as it is refused: each used to be a line in the log."""
    reader, writer = await crowd.tls()
    while True:
        await crowd.say(writer, b"GET /authenticate HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 10)
        for _ in range(10):
            await reader.readuntil(b"expected POST\n")
        posed()


async def churn(crowd: Crowd, posed) -> None:
    """Connects, and is gone."""
    while True:
        _reader, writer = await crowd.plain()
        writer.transport.abort()
        posed()
        await asyncio.sleep(BREATH_SECONDS)


async def unread(crowd: Crowd, posed) -> None:
    """Questions with large answers over HTTP/1, one behind the other, whose answers nobody reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", crowd.port))
    crowd.context.set_alpn_protocols(["http/1.1"])
    # A reader that stops reading at once.
    reader, writer = await asyncio.open_connection(
        sock=connection, ssl=crowd.context, server_hostname="127.0.0.1", limit=1
    )
    crowd.done["opened"] += 1
    for _ in range(100):
        await crowd.say(writer, b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 5)
        posed()
        await asyncio.sleep(0.1)
    await closed(reader)


async def strangers(crowd: Crowd, posed) -> None:
    """Tokens that are well formed, each another, of keys that STS has never seen; as fast as they are answered."""
    reader, writer = await crowd.tls()
    while True:
        token = next(crowd.tokens)
        question = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        body = json.dumps(question).encode()
        await crowd.say(writer, head(len(body), "Content-Type: application/json") + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        status = answer.split(b" ", 2)[1].decode()
        crowd.done[status] = crowd.done.get(status, 0) + 1
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        posed()


LIVES = {
    life.__name__: life
    for life in (
        silent,
        half_hello,
        stalled_hello,
        speechless,
        half_head,
        slow_head,
        half_body,
        lingering,
        header_flood,
        not_asked_so,
        churn,
        unread,
        strangers,
        *hostile_http2.LIVES,
    )
}


def made_up(template: str) -> Iterator[str]:
    """Tokens like `template`, an URL, each of another key and with another signature; in order, without end."""
    for number in range(2**31):
        key, signature = f"ASIA{number:016d}", f"{number:064x}"
        url = template.replace("ASIAAAAAAAAAAAAAAAAA", key).replace("f" * 64, signature)
        yield "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(LIVES))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--url", default="", help="of a token, for those who make up others")
    arguments = parser.parse_args()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

    async def attack() -> None:
        crowd = Crowd(arguments.port, arguments.connections, made_up(arguments.url))
        await crowd.attack(LIVES[arguments.name])

    asyncio.run(attack())
    return 0


if __name__ == "__main__":
    sys.exit(main())
