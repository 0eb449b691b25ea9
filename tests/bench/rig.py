"""What a measurement is made with: a quick STS, tokens, a server process, and two public load generators.

Everything is on loopback and in one directory. Nothing is judged here but whether a load was what it was said to be:
all reviews granted, each token signed, STS asked once for each.
"""

import calendar
import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "aws"))
import vectors  # noqa: E402
from amazon import hosts  # noqa: E402
from amazon.authority import issue  # noqa: E402

CLUSTER = "bench"
HOST = hosts.BY_NAME["sts.us-west-2.amazonaws.com"]
ROLE = "arn:aws:iam::123456789012:role/Developer"
ANSWER = json.dumps({
    "GetCallerIdentityResponse": {
        "GetCallerIdentityResult": {
            "Account": "123456789012",
            "Arn": "arn:aws:sts::123456789012:assumed-role/Developer/jane@example.com",
            "UserId": "AROAIOSFODNN7EXAMPLE:jane@example.com",
        },
        "ResponseMetadata": {"RequestId": "01234567-89ab-cdef-0123-456789abcdef"},
    }
})
# What STS gives for a role: the commonest token.
SESSION_TOKEN_LENGTH = 832
START_SECONDS = 60
STOP_SECONDS = 30
# Signatures checked after each load, of those that the STS sampled.
CHECKED_SIGNATURES = 20
# Requests at once for which there is room before any was granted; server/limits.rs has the reason.
STRANGERS = 128
# Beyond that, how often at most each of them may be turned away in a load over HTTP/2, by 429 or by the end of its connection;
# oha comes again at once. The worst first second, with 256 before an STS of 20 ms, has 2.
TURNS_AWAY = 4
# Reviews before a measurement: connections are open, memory is touched.
WARM_UP_SECONDS = 1
KIB = 1024


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


# --- Tokens ----------------------------------------------------------------------------------------------------------


class Mint:
    """`count` tokens of as many access keys, all signed now by botocore; the file that they are in, one a line."""

    def __init__(self, directory: Path, count: int):
        self.file, self.count = directory / "tokens", count
        now, workers = int(time.time()), os.cpu_count() or 1
        parts = [(range(part, count, workers), now) for part in range(workers)]
        with ProcessPoolExecutor(workers) as pool:
            tokens = [token for part in pool.map(_minted, parts) for token in part]
        self.file.write_text("\n".join(tokens) + "\n")
        self._bodies = directory / "bodies"
        self._bodies.write_text("".join(
            json.dumps({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
            }) + "\n"
            for token in tokens
        ))
        self._next = 0

    @property
    def bodies(self) -> Path:
        """The same as TokenReviews, one a line."""
        return self._bodies

    def start(self) -> int:
        """Where the next load begins, so that loads after each other take different tokens."""
        self._next = (self._next + 7919) % self.count
        return self._next


def _keys(number: int):
    return replace(vectors.temporary(SESSION_TOKEN_LENGTH), access_key_id=f"ASIA{number:016d}")


def _minted(part: tuple[range, int]) -> list[str]:
    numbers, now = part
    return [vectors.token(vectors.presigned(HOST, CLUSTER, _keys(number), now)) for number in numbers]


# --- STS -------------------------------------------------------------------------------------------------------------


class Sts:
    """nginx, answering after `delay` seconds; running from construction until `close`."""

    def __init__(self, tools: Path, directory: Path, delay: float):
        directory.mkdir()
        self.directory, self.delay = directory, delay
        self.ca, _ = issue(directory, [HOST.name])
        self.port, self._status_port = free_port(), free_port()
        answer = f"echo_sleep {delay}; echo '{ANSWER}';" if delay else f"return 200 '{ANSWER}';"
        root = tools / "load"
        values = {
            "DIR": directory, "PORT": self.port, "STATUS_PORT": self._status_port, "HOST": HOST.name,
            "CLUSTER": CLUSTER, "ANSWER": answer, "MODULES": root / "usr/lib/nginx/modules",
        }
        text = (Path(__file__).parent / "sts.conf").read_text()
        (directory / "nginx.conf").write_text(re.sub(r"@([A-Z_]+)@", lambda name: str(values[name[1]]), text))
        command = [root / "usr/sbin/nginx", "-p", directory, "-e", directory / "error.log", "-c", directory / "nginx.conf"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while self._connected() is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nginx did not start: {(directory / 'error.log').read_text()}")
            time.sleep(0.02)

    def _connected(self) -> str | None:
        try:
            with socket.create_connection(("127.0.0.1", self._status_port), timeout=5) as http:
                http.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return http.makefile().read()
        except OSError:
            return None

    def counts(self) -> tuple[int, int]:
        """Connections taken and requests answered so far, those of this question on its own port included."""
        found = re.search(r"requests\s+(\d+) \d+ (\d+)", self._connected() or "")
        return int(found[1]), int(found[2])

    def check_sample(self) -> int:
        """Recomputes the signatures of some of the requests that came, with botocore; how many."""
        lines = (self.directory / "sampled.log").read_text().splitlines()
        for line in random.sample(lines, min(CHECKED_SIGNATURES, len(lines))):
            cluster, _, target = line.partition(" ")
            given = dict(parse_qsl(target.partition("?")[2], strict_parsing=True))
            key = given["X-Amz-Credential"].partition("/")[0]
            signed_at = time.strptime(given["X-Amz-Date"] + "UTC", "%Y%m%dT%H%M%SZ%Z")
            expected = vectors.presigned(HOST, cluster, _keys(int(key.removeprefix("ASIA"))), calendar.timegm(signed_at))
            if expected != f"https://{HOST.name}{target}":
                raise RuntimeError("what reached STS is not what was signed")
        return min(CHECKED_SIGNATURES, len(lines))

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(STOP_SECONDS)


# --- The server ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Used:
    """What a process has used so far. KiB, seconds."""

    resident: int
    peak: int
    cpu: float


def forget(file: Path) -> None:
    """Has the kernel drop the file's pages: a program that was just written is in memory in larger pieces than one that is
    read from the disk as it runs, and more of it counts as resident."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


class Server:
    """`iamgate server`, its log in a file, since a reader in this process would take a part of the machine."""

    def __init__(self, binary: Path, directory: Path, sts: Sts | None, mappings: list | None = None, **limits: int):
        directory.mkdir()
        # The log is not beside the configuration, whose directory the server watches.
        for name in ("config", "log", "state"):
            (directory / name).mkdir()
        self.directory, self.log = directory, directory / "log" / "server.log"
        self.config = directory / "config" / "config.yaml"
        server = {
            "address": "127.0.0.1", "port": 0, "healthAddress": "127.0.0.1:0",
            "stateDir": str(directory / "state"), "generateKubeconfig": str(directory / "kubeconfig.yaml"),
            "limits": limits,
        }
        if sts:
            server["sts"] = {"connectTo": {HOST.name: f"127.0.0.1:{sts.port}"}, "caFile": str(sts.ca)}
        self.settings = {"clusterID": CLUSTER, "server": server}
        self.map(mappings or [{"roleARN": ROLE, "username": "dev:{{SessionName}}", "groups": ["developers"]}])
        self._followed, self._taken = None, 0
        self._started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary, "server", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"HOME": str(directory), "PATH": os.environ["PATH"]},
            )
        try:
            self.health_port = int(self._await_log(rb"health listening on \S+?:(\d+)"))
            self.port = int(self._await_log(rb"(?<!health )listening on 127\.0\.0\.1:(\d+)"))
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.start_seconds = time.monotonic() - self._started

    def map(self, roles: list) -> None:
        """Puts the configuration in its place by one rename."""
        text = yaml.dump({**self.settings, "server": {**self.settings["server"], "mapRoles": roles}},
                         Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
        incomplete = self.config.with_name(".incomplete")
        incomplete.write_text(text)
        incomplete.rename(self.config)

    def _await_log(self, pattern: bytes) -> bytes:
        while True:
            if found := re.search(pattern, self.log.read_bytes()):
                return found[1]
            if self.process.poll() is not None or time.monotonic() > self._started + START_SECONDS:
                raise RuntimeError(f"the server did not start: {self.log.read_text()}")
            time.sleep(0.002)

    def used(self) -> Used:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        ran = sum(
            int((task / "schedstat").read_text().split()[0])
            for task in Path(f"/proc/{self.process.pid}/task").iterdir()
        )
        resident, peak = (int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) for name in ("VmRSS", "VmHWM"))
        return Used(resident, peak, ran / 1e9)

    def granted(self) -> int:
        """Reviews that were granted so far, by the server's own count."""
        return self._counted(r'authenticate_latency_seconds_count\{result="success"\}')

    def reloads(self) -> int:
        """How often a changed configuration was taken, by the log that was written since the first call."""
        if self._followed is None:
            self._followed = self.log.open("rb")
            self._followed.seek(0, os.SEEK_END)
        self._taken += sum(b"configuration reloaded" in line for line in self._followed)
        return self._taken

    def _counted(self, series: str) -> int:
        with socket.create_connection(("127.0.0.1", self.health_port), timeout=10) as http:
            http.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = http.makefile().read()
        found = re.search(rf"{series} (\d+)", text)
        return int(found[1]) if found else 0

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.directory / "state" / "cert.pem")

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(STOP_SECONDS)
        if self._followed:
            self._followed.close()
        if status != 0:
            raise RuntimeError(f"the server left with {status}")


# --- Load ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """One load's figures. Milliseconds where no other unit is said."""

    reviews: int
    seconds: float
    p50: float
    p99: float
    cpu_us: float
    """The server's, for one review."""
    turned_away: int
    """Over HTTP/2, in the first moment of more requests than the server has room for strangers': 429, or no answer."""

    @property
    def rate(self) -> float:
        return self.reviews / self.seconds


class Generators:
    """wrk for HTTP/1.1, oha for HTTP/2."""

    def __init__(self, tools: Path, mint: Mint):
        self._tools, self._mint = tools, mint
        library = next((tools / "load").glob("usr/lib/*/libluajit-5.1.so.2"), None)
        self._environment = {**os.environ, **({"LD_LIBRARY_PATH": str(library.parent)} if library else {})}

    def http1(self, server: Server, connections: int, seconds: int) -> Load:
        def run() -> dict:
            return self._wrk_told(server, connections, seconds, self._mint.file)
        return self._measured(server, run)

    def junk(self, server: Server, seconds: int) -> None:
        """Tokens that are none."""
        file = server.directory / "junk"
        file.write_text("k8s-aws-v1.AAAA\neyJhbGciOiJSUzI1NiJ9\n")
        self._wrk_told(server, 1, seconds, file)

    def _wrk_told(self, server: Server, connections: int, seconds: int, tokens: Path) -> dict:
        return json.loads(self._run(
            self._wrk(), "--threads", 1, "--connections", connections, "--duration", f"{seconds}s", "--timeout", "10s",
            "--script", Path(__file__).parent / "review.lua", f"https://127.0.0.1:{server.port}",
            "--", tokens, self._mint.start(),
        ).splitlines()[-1])

    def http2(self, server: Server, connections: int, streams: int, seconds: int) -> Load:
        def run() -> dict:
            told = json.loads(self._run(
                self._tools / "bin/oha", "--no-tui", "--output-format", "json", "--http2", "--insecure",
                "--wait-ongoing-requests-after-deadline", "-z", f"{seconds}s", "-c", connections, "-p", streams,
                "-m", "POST", "-H", "content-type: application/json", "-Z", self._mint.bodies,
                f"https://127.0.0.1:{server.port}/authenticate",
            ))
            statuses = told["statusCodeDistribution"]
            errors = sum(told["errorDistribution"].values())
            asked = sum(statuses.values()) + errors
            granted, turned_away = statuses.get("200", 0), statuses.get("429", 0) + errors
            return {
                "requests": asked, "seconds": told["summary"]["total"],
                "p50": told["latencyPercentiles"]["p50"] * 1e3, "p99": told["latencyPercentiles"]["p99"] * 1e3,
                "failed": asked - granted - turned_away, "turned_away": turned_away,
            }
        at_once = connections * streams
        return self._measured(server, run, TURNS_AWAY * at_once if at_once > STRANGERS else 0)

    def ceiling(self, sts: Sts, connections: int, seconds: int) -> float:
        """How many requests per second the STS answers when nothing stands before it."""
        text = self._run(
            self._wrk(), "--threads", 1, "--connections", connections, "--duration", f"{seconds}s",
            "--header", f"Host: {HOST.name}", "--header", f"x-k8s-aws-id: {CLUSTER}", f"https://127.0.0.1:{sts.port}/",
        )
        return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])

    def _wrk(self) -> Path:
        return self._tools / "load/usr/bin/wrk"

    def _measured(self, server: Server, run, may_turn_away: int = 0) -> Load:
        before, granted = server.used(), server.granted()
        told = run()
        after, granted = server.used(), server.granted() - granted
        # Those that were under way at the end of the time are granted and not counted by the generator.
        turned_away = told.get("turned_away", 0)
        asked = told["requests"] - turned_away
        if told["failed"] or turned_away > may_turn_away or granted < asked or not asked:
            raise RuntimeError(f"not every review was granted: {told}, granted {granted}")
        cpu = (after.cpu - before.cpu) / granted * 1e6
        return Load(asked, told["seconds"], told["p50"], told["p99"], cpu, turned_away)

    def _run(self, *command) -> str:
        done = subprocess.run(
            [str(word) for word in command], env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            timeout=300, text=True, check=True,
        )
        return done.stdout
