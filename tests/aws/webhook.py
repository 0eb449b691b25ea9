"""`iamgate server` as a process: on a free port, asked over TLS with its certificate pinned, stopped by SIGTERM."""

import copy
import http.client
import json
import re
import signal
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import yaml

from token_text import parameters

CLUSTER = "test-cluster"
# A debug build on a busy machine starts in well under a second.
START_SECONDS = 20
# STS is given 4 s, so an answer takes no longer than this.
REVIEW_SECONDS = 15
# In-flight reviews get 5 s when the server is told to stop.
STOP_SECONDS = 10


@dataclass(frozen=True)
class Review:
    """The answer to one TokenReview."""

    status: int
    headers: dict[str, str]
    body: dict

    @property
    def granted(self) -> bool:
        return self.status == 200 and self.body["status"].get("authenticated") is True

    @property
    def user(self) -> dict:
        assert self.granted, self
        return self.body["status"]["user"]

    @property
    def reason(self) -> str | None:
        """Why it was denied; None when the token was not for us, which is told quietly."""
        assert self.status == 200 and not self.body["status"].get("authenticated", False), self
        assert not self.body["status"].get("user", {}).get("username"), self
        return self.body["status"].get("error")


class Webhook:
    """A running server. `config` is merged over the ordinary one; `close` fails if the server gave a secret away."""

    def __init__(self, binary: Path, directory: Path, config: dict, environment: dict[str, str]):
        self.config_file = directory / "config.yaml"
        self.config_file.write_text(yaml.safe_dump(_merged(_ordinary(directory), config), sort_keys=False))
        self._certificate = directory / "state" / "cert.pem"
        (directory / "state").mkdir()
        self._secrets: set[str] = set()
        self._log: list[str] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [binary, "server", "--config", self.config_file],
            env={"HOME": str(directory), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            self.health_port = int(self._await_line(r"health listening on \S+?:(\d+)"))
            self._port = int(self._await_line(r"(?<!health )listening on 127\.0\.0\.1:(\d+)"))
        except BaseException:
            self._process.kill()
            self._process.wait()
            self._reader.join(STOP_SECONDS)
            self._process.stderr.close()
            raise
        self._tls = ssl.create_default_context(cafile=self._certificate)

    def review(self, token: str, version: str = "v1") -> Review:
        self._remember(token)
        asked = {
            "apiVersion": f"authentication.k8s.io/{version}",
            "kind": "TokenReview",
            "metadata": {"creationTimestamp": None},
            "spec": {"token": token},
        }
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._tls, timeout=REVIEW_SECONDS)
        try:
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            connection.request("POST", "/authenticate", json.dumps(asked), headers)
            reply = connection.getresponse()
            text = reply.read().decode()
            headers = {name.lower(): value for name, value in reply.getheaders()}
        finally:
            connection.close()
        self._refuse_secrets(text)
        body = json.loads(text) if text.startswith("{") else {}
        if reply.status == 200:
            assert (body["apiVersion"], body["kind"]) == (asked["apiVersion"], "TokenReview")
        return Review(reply.status, headers, body)

    def metrics(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=REVIEW_SECONDS)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    @property
    def log(self) -> str:
        with self._changed:
            return "".join(self._log)

    def close(self) -> None:
        metrics = self.metrics()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self._reader.join(STOP_SECONDS)
        self._process.stderr.close()
        self._refuse_secrets(metrics)
        self._refuse_secrets(self.log)
        assert status == 0, f"the server left with {status} after SIGTERM"

    def _read_log(self) -> None:
        for line in self._process.stderr:
            with self._changed:
                self._log.append(line)
                self._changed.notify_all()
        with self._changed:
            self._log.append("(end of log)\n")
            self._changed.notify_all()

    def _await_line(self, pattern: str) -> str:
        deadline = time.monotonic() + START_SECONDS
        with self._changed:
            while True:
                found = re.search(pattern, "".join(self._log))
                if found:
                    return found.group(1)
                left = deadline - time.monotonic()
                if left <= 0 or self._log[-1:] == ["(end of log)\n"]:
                    raise AssertionError(f"the server never logged {pattern!r}:\n{''.join(self._log)}")
                self._changed.wait(left)

    def _remember(self, token: str) -> None:
        self._secrets |= secret_parts(token)

    def _refuse_secrets(self, text: str) -> None:
        # Without the text in the message: a failing test must not print it either.
        assert not any(part in text for part in self._secrets), "the server told a part of a token"


def secret_parts(token: str) -> set[str]:
    """Pieces of a token, long enough not to occur by chance, that no log, metric or message may hold."""
    parts = {token[-60:]} if len(token) >= 60 else set()
    given = parameters(token)
    for name in ("X-Amz-Signature", "X-Amz-Security-Token"):
        value = given.get(name, "")
        if len(value) >= 40:
            parts |= {value[:40], quote(value[:40], safe="-_.~")}
    return parts


def _ordinary(directory: Path) -> dict:
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


def _merged(base: dict, over: dict) -> dict:
    merged = copy.deepcopy(base)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged
