"""A user's machine: an empty home directory, a clean environment, and the commands typed there.

Nothing of the environment that runs the tests reaches a command, and every AWS endpoint points at the stand-in.
"""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.signers import RequestSigner

from amazon.accounts import Keys
from stand_in import REGION, StandIn
from vectors import token
from webhook import CLUSTER

# AWS's own CLI takes about a second here; a prompt or a stalled endpoint shows as this limit.
COMMAND_SECONDS = 30

# A session leader that opens a terminal makes it the session's own. Done after exec: this process has threads.
_TAKE_TERMINAL = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"


@dataclass(frozen=True)
class Ran:
    status: int
    stdout: str = field(repr=False)
    stderr: str
    seconds: float

    @property
    def credential(self) -> dict:
        assert self.status == 0, self
        return json.loads(self.stdout)

    @property
    def token(self) -> str:
        return self.credential["status"]["token"]


class Workstation:
    def __init__(self, binary: Path, home: Path, stand_in: StandIn):
        self.home = home
        self._binary = binary
        self._stand_in = stand_in
        self.environment = {"HOME": str(home), "PATH": os.defpath, **stand_in.environment()}

    def write(self, name: str, text: str) -> Path:
        """A private file under the home directory."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def sts_over_http(self) -> dict[str, str]:
        """What makes role-assuming clients call the stand-in's STS."""
        return {"AWS_ENDPOINT_URL_STS": self._stand_in.sts_http.url}

    def iamgate(self, *arguments: str, **environment: str) -> Ran:
        return self._run([self._binary, *arguments], environment)

    def mint(self, *arguments: str, **environment: str) -> Ran:
        """`iamgate token` for the test cluster and region."""
        return self.iamgate("token", "-i", CLUSTER, "--region", REGION, *arguments, **environment)

    def eks_get_token(self, region: str, cluster_id: str = CLUSTER, **environment: str) -> Ran:
        """AWS's own CLI."""
        command = ["eks", "get-token", "--cluster-name", cluster_id, "--region", region, "--output", "json"]
        return self._run([sys.executable, "-m", "awscli", *command], environment)

    def at_terminal(self, *arguments: str, prompt: str, reply: str, **environment: str) -> tuple[Ran, str]:
        """As kubectl runs `iamgate`: a terminal for input and errors, a pipe for output. Also what the screen said."""
        ours, theirs = pty.openpty()
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, self._binary, *arguments],
            env={**self.environment, **environment},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            screen = _read_screen(ours, until=prompt)
            os.write(ours, f"{reply}\n".encode())
            stdout, _ = process.communicate(timeout=COMMAND_SECONDS)
            screen += _read_screen(ours, until=None)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        return Ran(process.returncode, stdout.decode(), screen, time.monotonic() - started), screen

    def _run(self, command: list, environment: dict[str, str]) -> Ran:
        started = time.monotonic()
        done = subprocess.run(
            command,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.home,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def boto3_token(keys: Keys, region: str, host: str, cluster_id: str = CLUSTER, expires: int = 60) -> str:
    """The presign snippet that boto3 users copy from AWS's documentation, with the host in a variable."""
    session = boto3.Session(keys.access_key_id, keys.secret_access_key, keys.session_token, region_name=region)
    client = session.client("sts", region_name=region)
    signer = RequestSigner(
        client.meta.service_model.service_id, region, "sts", "v4", session.get_credentials(), session.events
    )
    parameters = {
        "method": "GET",
        "url": f"https://{host}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": cluster_id},
        "context": {},
    }
    return token(signer.generate_presigned_url(parameters, region_name=region, expires_in=expires, operation_name=""))


def _read_screen(terminal: int, until: str | None) -> str:
    """What appears on the terminal up to the text `until`, or to its end."""
    deadline = time.monotonic() + COMMAND_SECONDS
    screen = ""
    while until is None or until not in screen:
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"the terminal never showed {until!r}, but {screen!r}")
        try:
            text = os.read(terminal, 4096).decode()
        except OSError:  # EIO: the last process on the terminal is gone.
            text = ""
        if not text:
            break
        screen += text
    assert until is None or until in screen, f"the terminal never showed {until!r}, but {screen!r}"
    return re.sub(r"\r\n", "\n", screen)
