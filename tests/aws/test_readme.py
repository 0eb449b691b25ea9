"""The README's walk-through, typed as it stands there."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from conftest import SESSION_NAME
from stand_in import ACCOUNT, REGION

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"<!-- tests/aws/test_readme\.py runs this block as it stands here -->\n```sh\n(.*?)```", re.DOTALL)
# Three processes of AWS's CLI start in a second each; the rest is ours.
SECONDS = 40


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_walk_through_by_hand_ends_in_a_grant(binary, aws, session, tmp_path):
    (block,) = BLOCK.findall(README.read_text())
    # A reader has STS and the ports to themselves; this test has the stand-in and whatever ports are free.
    port, health = free_port(), free_port()
    sts = json.dumps({"connectTo": aws.connect_to, "caFile": str(aws.ca)})
    settings = f"server:\n  port: {port}\n  healthAddress: 127.0.0.1:{health}\n  sts: {sts}\n"
    assert block.count("server:\n") == 1 and "21362" in block and "21363" in block
    block = block.replace("server:\n", settings).replace("21362", str(port)).replace("21363", str(health))

    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "iamgate").symlink_to(binary)
    (commands / "aws").symlink_to(Path(sys.executable).parent / "aws")
    environment = {
        "PATH": f"{commands}:{os.defpath}",
        "HOME": str(tmp_path),
        **session.keys.environment(),
        "AWS_DEFAULT_REGION": REGION,
    }
    directory = tmp_path / "try"
    directory.mkdir()
    shell = subprocess.Popen(
        ["sh", "-euc", block],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # The server goes on in the background; the answer has no newline at its end.
        shell.wait(SECONDS)
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        stdout, stderr = shell.communicate(timeout=SECONDS)
    assert shell.returncode == 0, stderr
    status = json.loads(stdout[stdout.index('{"apiVersion"') :])["status"]
    assert status["authenticated"] is True
    assert status["user"]["username"] == "dev:" + SESSION_NAME.replace("@", "-")
    assert status["user"]["groups"] == ["developers"]
    assert status["user"]["extra"]["canonicalArn"] == [f"arn:aws:iam::{ACCOUNT}:role/Developer"]

