"""Which functions a server runs, for `scripts/static-cc`: IAMGATE (not stripped) TOOLS FILE, which is written.

A function is named by its symbol without what differs from build to build: the hash at its end, and the crates'
disambiguators. `scripts/static-cc` takes the same off the symbols that it finds.
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from rig import ROLE, Generators, Mint, Server, Sts

# One name may stand for many functions, one for each type that it is made for. Where less than a fifth of them ran, those
# that did are named with their hash: they are found as long as the compiler and the library stay.
WORTH = 0.2
SECONDS = 10


def main() -> None:
    binary, tools, file = (Path(path).absolute() for path in sys.argv[1:4])
    with tempfile.TemporaryDirectory() as name:
        ran = _ran(binary, tools, Path(name))
    sizes = defaultdict(int)
    used = defaultdict(int)
    symbols = subprocess.run(["nm", "--print-size", "--defined-only", binary], capture_output=True, text=True, check=True)
    for line in symbols.stdout.splitlines():
        match line.split():
            case [_, size, "t" | "T" | "w" | "W", symbol]:
                sizes[plain(symbol)] += int(size, 16)
                used[plain(symbol)] += int(size, 16) if symbol in ran else 0
    worth = {name for name in used if used[name] and used[name] >= WORTH * sizes[name]}
    alone = {symbol for symbol in ran if plain(symbol) in used and plain(symbol) not in worth}
    file.write_text("".join(f"{name}\n" for name in sorted(worth | alone)))
    print(f"{len(worth)} names and {len(alone)} symbols: {sum(used.values()) / 1e6:.1f} MB of {sum(sizes.values()) / 1e6:.1f} MB ran")


def plain(symbol: str) -> str:
    return re.sub(r"Cs[0-9A-Za-z]+_", "Cs_", re.sub(r"17h[0-9a-f]+E.*$", "", symbol))


def _ran(binary: Path, tools: Path, directory: Path) -> set[str]:
    """Symbols of all that ran: under load, and in a server that trusts the system's roots and has doubts about its file."""
    valgrind = directory / "iamgate"
    options = f"--tool=callgrind --callgrind-out-file={directory}/profile.%p --demangle=no"
    valgrind.write_text(f'#!/bin/sh\nexec valgrind {options} {binary} "$@"\n')
    valgrind.chmod(0o755)
    generators = Generators(tools, Mint(directory, 1000))
    sts = Sts(tools, directory / "sts", 0)
    server = Server(valgrind, directory / "server", sts)
    try:
        generators.http1(server, 8, SECONDS)
        generators.http2(server, 2, 4, SECONDS)
        generators.junk(server, SECONDS)
        server.map([{"roleARN": ROLE, "username": "changed"}])
        generators.http1(server, 1, SECONDS)
    finally:
        server.close()
        sts.close()
    Server(valgrind, directory / "doubted", None, [{"roleARN": ROLE, "username": "{{SessionName}}", "groups": []}]).close()
    # Names are told once, by the caller or by the callee; a recursion's further frames are marked with an apostrophe.
    profiles = (file.read_text() for file in directory.glob("profile.*"))
    return {name for text in profiles for name in re.findall(r"^c?fn=\(\d+\) ([^'\s]+)", text, re.MULTILINE)}


if __name__ == "__main__":
    main()
