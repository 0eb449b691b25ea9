"""Which functions a server runs, for `scripts/link`: IAMGATE (not stripped) TOOLS FILE, which is written.

A function is named by its symbol without what differs from build to build: the hash at its end, and the crates'
disambiguators. `scripts/link` takes the same off the symbols that it finds.
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from rig import ROLE, Generators, Mint, Server, Sts

# One name may stand for many functions (one for each type that it is made for): it is worth its place where a fifth ran.
WORTH = 0.2
SECONDS = 10


def main() -> None:
    binary, tools, file = (Path(path).absolute() for path in sys.argv[1:4])
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        profile = directory / "profile"
        ran = _ran(binary, tools, directory, profile)
    sizes = defaultdict(int)
    used = defaultdict(int)
    symbols = subprocess.run(["nm", "--print-size", "--defined-only", binary], capture_output=True, text=True, check=True)
    for line in symbols.stdout.splitlines():
        match line.split():
            case [_, size, "t" | "T" | "w" | "W", symbol]:
                sizes[plain(symbol)] += int(size, 16)
                used[plain(symbol)] += int(size, 16) if symbol in ran else 0
    worth = sorted(name for name in used if used[name] and used[name] >= WORTH * sizes[name])
    file.write_text("".join(f"{name}\n" for name in worth))
    print(f"{len(worth)} names, {sum(sizes[name] for name in worth) / 1e6:.1f} MB of {sum(sizes.values()) / 1e6:.1f} MB")


def plain(symbol: str) -> str:
    return re.sub(r"Cs[0-9A-Za-z]+_", "Cs_", re.sub(r"17h[0-9a-f]+E.*$", "", symbol))


def _ran(binary: Path, tools: Path, directory: Path, profile: Path) -> set[str]:
    """Symbols of all that ran."""
    valgrind = directory / "iamgate"
    valgrind.write_text(f'#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file={profile} --demangle=no {binary} "$@"\n')
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
    # Names are told once, by the caller or by the callee; a recursion's further frames are marked with an apostrophe.
    named = re.findall(r"^c?fn=\(\d+\) ([^'\s]+)", profile.read_text(), re.MULTILINE)
    return set(named)


if __name__ == "__main__":
    main()
