"""`make bench`: what iamgate costs, in one run, beside its budgets. Prints; judges nothing: a busy machine makes it all larger.

The server is the release binary with its ordinary limits and its ordinary log (to a file); every review has a token of
its own, really signed, and is granted; STS is nginx on loopback over TLS and HTTP/1.1. Server, load and STS share the machine.

    bench.py IAMGATE AWS TOOLS REVIEWS [commands|server|mappings|growth ...]
"""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import commands
import growth
import mappings
from rig import KIB, WARM_UP_SECONDS, Generators, Load, Mint, Server, Sts, forget

# Distinct tokens: a load that is longer begins again, long after the first answer was forgotten.
TOKENS = 60_000
LOAD_SECONDS = 4
# Repeats of the load that the budgets are about, each with a new server; the median counts.
REPEATS = 3
STS_DELAY = 0.02
# As many as the server takes by default.
CROWD = 128
# More: the limit is raised for them.
MANY_CONNECTIONS = 256

PARTS = ("commands", "server", "mappings", "growth")
AT_MOST, AT_LEAST = "<=", ">="


class Table:
    """The figures that have a budget."""

    def __init__(self):
        self._rows: list[tuple[str, float, str, str, float, str]] = []

    def add(self, what: str, value: float, direction: str, budget: float, unit: str) -> None:
        self._rows.append((what, value, unit, direction, budget, "" if self._within(value, direction, budget) else "  over"))

    @staticmethod
    def _within(value: float, direction: str, budget: float) -> bool:
        return value <= budget if direction == AT_MOST else value >= budget

    def print(self) -> None:
        print(f"\n{'what':58} {'measured':>10} {'budget':>10}  {'':5} {'ratio':>6}")
        for what, value, unit, direction, budget, over in self._rows:
            print(f"{what:58} {value:10,.2f} {direction:>3} {budget:6,g}  {unit:5} {value / budget:6.2f}{over}")


def whole_commands(binary: Path, aws: Path, table: Table) -> None:
    took = commands.measured(binary, aws)
    base = took[commands.TOKEN].median
    print(f"\n{'command':24} {'runs':>5} {'median ms':>10} {'p95 ms':>8} {'to token':>9}")
    for name, one in took.items():
        print(f"{name:24} {one.runs:5} {one.median:10.2f} {one.p95:8.2f} {one.median / base:8.1f}x")
    table.add("release binary, static", binary.stat().st_size / 1e6, AT_MOST, 13, "MB")
    table.add("token, whole process", base, AT_MOST, 4, "ms")
    table.add("aws eks get-token / token, the same run", took[commands.AWS].median / base, AT_LEAST, 80, "x")


class Reviews:
    """The server under load."""

    def __init__(self, binary: Path, tools: Path, directory: Path):
        # A copy that nobody else runs, so that its pages can be dropped.
        self._binary, self._directory = Path(shutil.copy2(binary, directory)), directory
        self._mint = Mint(directory, TOKENS)
        self.generators = Generators(tools, self._mint)
        self._servers = 0
        self.sts = {delay: Sts(tools, directory / f"sts-{delay}", delay) for delay in (0, STS_DELAY)}

    def server(self, sts: Sts, **limits: int) -> Server:
        self._servers += 1
        forget(self._binary)
        return Server(self._binary, self._directory / f"server-{self._servers}", sts, **limits)

    def load(self, delay: float, front: str, connections: int, streams: int = 1) -> tuple[Load, dict[str, float]]:
        """One load on a new server, and its memory in MiB and connections to STS."""
        sts = self.sts[delay]
        server = self.server(sts, **({"connections": MANY_CONNECTIONS + 8} if connections >= CROWD else {}))
        time.sleep(1)  # what it does after its start is done
        idle, opened = server.used(), sts.counts()[0]

        def run(seconds: int) -> Load:
            if front == "h1":
                return self.generators.http1(server, connections, seconds)
            return self.generators.http2(server, connections, streams, seconds)

        run(WARM_UP_SECONDS)
        load = run(LOAD_SECONDS)
        peak = server.used().peak
        time.sleep(1)  # "a second later" is the figure
        after = server.used().resident
        opened = sts.counts()[0] - opened - 1  # the question itself is a connection
        server.close()
        figures = {"idle": idle.resident / KIB, "peak": peak / KIB, "after": after / KIB, "opened": opened}
        print(
            f"{front:5} {connections:5}{f' x{streams}' if streams > 1 else '':4} {delay * 1e3:6.0f} {load.rate:10,.0f} {load.p50:8.2f} "
            f"{load.p99:8.2f} {load.cpu_us:8.1f} {figures['idle']:6.1f} {figures['peak']:6.1f} {figures['after']:6.1f} {opened:8}"
            + (f"   {load.turned_away} turned away at first" if load.turned_away else ""),
            flush=True,
        )
        return load, figures

    def close(self) -> None:
        for sts in self.sts.values():
            sts.close()


def server_under_load(reviews: Reviews, table: Table) -> None:
    for delay, sts in reviews.sts.items():
        rate = reviews.generators.ceiling(sts, 64, 2)
        print(f"the STS by itself, {delay * 1e3:.0f} ms, 64 connections: {rate:,.0f} requests/s")
    print(f"\n{'front':5} {'connections':>9} {'STS ms':>6} {'reviews/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8} "
          f"{'idle':>6} {'peak':>6} {'+1 s':>6} {'to STS':>8}   (memory in MiB)")
    main = [reviews.load(0, "h1", 64) for _ in range(REPEATS)]
    slow = [reviews.load(STS_DELAY, "h1", 64) for _ in range(REPEATS)]
    _, crowd = reviews.load(0, "h1", CROWD)
    for delay in reviews.sts:
        for connections in (1, MANY_CONNECTIONS):
            reviews.load(delay, "h1", connections)
        for connections, streams in ((1, 1), (1, 64), (64, 1), (MANY_CONNECTIONS, 1)):
            reviews.load(delay, "h2", connections, streams)
    checked = sum(sts.check_sample() for sts in reviews.sts.values())
    print(f"signatures of requests that reached STS, recomputed with botocore: {checked}, all right")

    def middle(values) -> float:
        return statistics.median(values)

    table.add("server, resident, idle", middle(f["idle"] for _, f in main), AT_MOST, 6.5, "MiB")
    table.add("server, peak, 64 connections", middle(f["peak"] for _, f in main), AT_MOST, 13, "MiB")
    table.add(f"server, peak, {CROWD} connections", crowd["peak"], AT_MOST, 16, "MiB")
    table.add("server, resident, a second after 64 connections", middle(f["after"] for _, f in main), AT_MOST, 9, "MiB")
    table.add("granted reviews, 64 connections, STS 0 ms", middle(l.rate for l, _ in main), AT_LEAST, 13_000, "/s")
    table.add("CPU for a review", middle(l.cpu_us for l, _ in main), AT_MOST, 70, "us")
    table.add("connections to STS for 10,000 reviews and more", middle(f["opened"] for _, f in main), AT_MOST, 100, "")
    table.add("p99, 64 connections, STS 20 ms", middle(l.p99 for l, _ in slow), AT_MOST, 28, "ms")


def growing(reviews: Reviews, table: Table) -> None:
    server = reviews.server(reviews.sts[0])
    try:
        grown = growth.reviews(reviews.generators, server)
        _, longest = growth.reloads(reviews.generators, server)
    finally:
        server.close()
    table.add("growth over 100,000 reviews", grown, AT_MOST, 1, "MiB")
    table.add("rename to effect, the longest of 1,000 under load", longest, AT_MOST, 1, "s")


def many_mappings(binary: Path, reviews: Path, table: Table) -> None:
    print()
    for rules in mappings.NUMBERS:
        told = subprocess.run([reviews, "lookup", str(rules)], capture_output=True, text=True, check=True, timeout=120)
        print(f"look-up of one caller among {rules:7,} mappings: {int(told.stdout):6,} ns")
    start, reload = mappings.measure(binary)
    table.add("start with 100,000 mappings", start, AT_MOST, 1, "s")
    table.add("rename to effect with 100,000 mappings", reload, AT_MOST, 1, "s")


def main() -> None:
    parts = sys.argv[5:] or PARTS
    if len(sys.argv) < 5 or not set(parts) <= set(PARTS):
        sys.exit(f"usage: bench.py IAMGATE AWS TOOLS REVIEWS [{'|'.join(PARTS)} ...]")
    binary, aws, tools, program = (Path(path).absolute() for path in sys.argv[1:5])
    table = Table()
    print(f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {platform.release().split('-')[0]}, load {os.getloadavg()[0]:.1f}")
    if "commands" in parts:
        whole_commands(binary, aws, table)
    with tempfile.TemporaryDirectory(prefix="iamgate-bench-") as name:
        directory = Path(name)
        if {"server", "growth"} & set(parts):
            reviews = Reviews(binary, tools, directory)
            try:
                if "server" in parts:
                    server_under_load(reviews, table)
                if "growth" in parts:
                    growing(reviews, table)
            finally:
                reviews.close()
        if "mappings" in parts:
            many_mappings(binary, program, table)
    table.print()


if __name__ == "__main__":
    main()
