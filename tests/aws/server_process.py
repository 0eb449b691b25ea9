"""`iamgate server` as a process whose files, connections and signals a test holds in its hands.

With a `Server` a test says where the configuration is, keeps connections open, speaks half a sentence, and sends
signals; a `Webhook` is the ordinary one. `stop` fails if the server gave a secret away.
"""

import copy
import http.client
import json
import re
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from webhook import CLUSTER, Review, secret_parts

# A debug build on a busy machine starts in well under a second.
START_SECONDS = 20
# STS is given 4 s, so an answer takes no longer than this.
REVIEW_SECONDS = 15
# In-flight reviews get 5 s when the server is told to stop.
STOP_SECONDS = 10
# Far more than anything takes that is waited for, and less than pytest's own limit.
PATIENCE_SECONDS = 15
# What the product promises from the change of a file to its effect.
LIVE_SECONDS = 1.0
# A log of thousands of reviews is searched for the parts of so many tokens; all of them would take minutes.
REMEMBERED_TOKENS = 400


def ordinary(directory: Path) -> dict:
    """The configuration of a server whose state is in `directory`."""
    return {
        "clusterID": CLUSTER,
        "server": {
            "address": "127.0.0.1",
            "port": 0,
            "healthAddress": "127.0.0.1:0",
            "stateDir": str(directory / "state"),
            "generateKubeconfig": str(directory / "kubeconfig.yaml"),
        },
    }


def configuration(directory: Path, aws, **server) -> dict:
    """The same, with the stand-in as its STS, and `server` over it."""
    config = ordinary(directory)
    config["server"] |= {"sts": {"connectTo": aws.connect_to, "caFile": str(aws.ca)}, **server}
    return config


def rendered(config: dict) -> str:
    return yaml.safe_dump(config, sort_keys=False)


def await_that(what: Callable[[], object], seconds: float = PATIENCE_SECONDS):
    """The first true value of `what`, asked until there is one. For what no event tells."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(0.01)


def asked(token: str, version: str = "v1", padding: int = 0) -> bytes:
    """A TokenReview's bytes; `padding` makes it longer, where a question may be."""
    question = {
        "apiVersion": f"authentication.k8s.io/{version}",
        "kind": "TokenReview",
        "metadata": {"creationTimestamp": None},
        "spec": {"token": token},
    }
    if padding:
        question["metadata"]["name"] = "x" * padding
    return json.dumps(question).encode()


class Client:
    """One connection that is kept open, as an API server keeps its own."""

    def __init__(self, server: "Server", context: ssl.SSLContext | None = None, port: int | None = None):
        self._server = server
        self._http = http.client.HTTPSConnection(
            "127.0.0.1", port or server.port, context=context or server.tls(), timeout=REVIEW_SECONDS
        )

    @property
    def socket(self) -> ssl.SSLSocket:
        if self._http.sock is None:
            self._http.connect()
        return self._http.sock

    @property
    def serial(self) -> int:
        """Of the certificate that the server presented on this connection."""
        return int(self.socket.getpeercert()["serialNumber"], 16)

    def review(self, token: str, version: str = "v1") -> Review:
        self._server.remember(token)
        review = self.post(asked(token, version))
        assert not any(part in str(review) for part in secret_parts(token)), "the server told a part of a token"
        if review.status == 200:
            kind = (review.body["apiVersion"], review.body["kind"])
            assert kind == (f"authentication.k8s.io/{version}", "TokenReview")
        return review

    def post(self, body: bytes, path: str = "/authenticate", **options) -> Review:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._http.request("POST", path, body, headers, **options)
        return self._reply()

    def get(self, path: str) -> Review:
        self._http.request("GET", path)
        return self._reply()

    def _reply(self) -> Review:
        # A reply that breaks off holds on to the socket.
        with self._http.getresponse() as reply:
            text = reply.read().decode()
            headers = {name.lower(): value for name, value in reply.getheaders()}
        return Review(reply.status, headers, json.loads(text) if text.startswith("{") else {"text": text})

    def close(self) -> None:
        self._http.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Server:
    """Running from construction until `stop`; `state` is its state directory, with the certificate."""

    def __init__(self, command: list, state: Path, environment: dict[str, str] | None = None):
        self.state = state
        self._tokens: set[str] = set()
        self._log: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            command,
            env={"HOME": str(state.parent), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            self.port = int(self.await_log(r"(?<!health )listening on 127\.0\.0\.1:(\d+)", START_SECONDS).group(1))
        except BaseException:
            self.process.kill()
            self._end()
            raise
        health = re.search(r"health listening on \S+?:(\d+)", self.log)
        self.health_port = int(health.group(1)) if health else None

    @property
    def log(self) -> str:
        with self._changed:
            return "".join(self._log)

    def lines(self, text: str) -> list[str]:
        return [line for line in self.log.splitlines() if text in line]

    def await_log(self, pattern: str, seconds: float = PATIENCE_SECONDS, after: int = 0) -> re.Match:
        """The first match in the log behind its first `after` characters."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                log = "".join(self._log)
                if found := re.compile(pattern).search(log, after):
                    return found
                left = deadline - time.monotonic()
                assert left > 0 and not self._ended, f"the server never logged {pattern!r}:\n{log}"
                self._changed.wait(left)

    def tls(self) -> ssl.SSLContext:
        """Trusts the certificate that is in the state directory now."""
        return ssl.create_default_context(cafile=self.state / "cert.pem")

    def client(self) -> Client:
        return Client(self)

    def review(self, token: str, version: str = "v1") -> Review:
        """On a connection of its own."""
        with self.client() as client:
            return client.review(token, version)

    def health(self, path: str) -> Review:
        """A GET from the health port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=REVIEW_SECONDS)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            return Review(reply.status, headers, {"text": reply.read().decode()})
        finally:
            connection.close()

    def metrics(self) -> str:
        return self.health("/metrics").body["text"]

    def series(self) -> set[str]:
        """Their names and labels, without the values."""
        return {line.rpartition(" ")[0] for line in self.metrics().splitlines() if not line.startswith("#")}

    def metric(self, name: str) -> float:
        """Of a series, by its name and labels as they are printed."""
        found = [line.rpartition(" ") for line in self.metrics().splitlines() if not line.startswith("#")]
        values = [float(value) for series, _, value in found if series == name]
        assert len(values) == 1, f"{len(values)} series are called {name}"
        return values[0]

    def remember(self, token: str) -> None:
        """For `stop`, which looks for it in the log and the metrics."""
        with self._changed:
            if len(self._tokens) < REMEMBERED_TOKENS:
                self._tokens.add(token)

    def refuse_secrets(self, text: str) -> None:
        with self._changed:
            parts = {part for token in self._tokens for part in secret_parts(token)}
        # Without the text in the message: a failing test must not print it either.
        assert not any(part in text for part in parts), "the server told a part of a token"

    def used(self, name: str) -> int:
        """A figure of the process that the kernel keeps in its `status`; memory in KiB."""
        told = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)( kB)?$", told, re.MULTILINE).group(1))

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        metrics = self.metrics() if self.health_port and self.process.poll() is None else ""
        self.terminate()
        status = self.ended()
        self.refuse_secrets(metrics)
        self.refuse_secrets(self.log)
        assert status == 0, f"the server left with {status} after SIGTERM:\n{self.log}"

    def ended(self) -> int:
        """Waits for the end; the exit status."""
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            self.process.kill()
            self._end()

    def _end(self) -> None:
        self.process.wait()
        self._reader.join(STOP_SECONDS)
        self.process.stderr.close()

    def _read_log(self) -> None:
        for line in self.process.stderr:
            with self._changed:
                self._log.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Webhook(Server):
    """A server with `config` over the ordinary one. No answer may hold a part of any token so far."""

    def __init__(self, binary: Path, directory: Path, config: dict, environment: dict[str, str]):
        self.config_file = directory / "config.yaml"
        self.config_file.write_text(rendered(_merged(ordinary(directory), config)))
        (directory / "state").mkdir()
        super().__init__([binary, "server", "--config", self.config_file], directory / "state", environment)

    def review(self, token: str, version: str = "v1") -> Review:
        review = super().review(token, version)
        self.refuse_secrets(str(review))
        return review

    close = Server.stop


def _merged(base: dict, over: dict) -> dict:
    merged = copy.deepcopy(base)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged
