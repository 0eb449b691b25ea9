"""How long whole processes take, from spawn to exit: starting at all, and `token`, beside `aws eks get-token`.

The commands take turns, so that a busy moment of the machine falls on all of them. No network: the credentials are the
documentation's static ones, and signing is local.
"""

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# AWS's documentation keys: they open nothing.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
REGION = "us-west-2"
CLUSTER = "bench"
TOKEN, AWS = "iamgate token", "aws eks get-token"

# Enough for a stable median of a process of a few milliseconds.
FAST_RUNS = 200
# A process of half a second: twenty of them keep the run under a quarter of a minute.
SLOW_RUNS = 20
# No process here should take a hundredth of it.
PROCESS_LIMIT_SECONDS = 60


@dataclass(frozen=True)
class Took:
    """Milliseconds."""

    runs: int
    median: float
    p95: float


def measured(iamgate: Path, aws: Path) -> dict[str, Took]:
    """Each command's times, by its name."""
    arguments = ["--region", REGION]
    commands = {
        "/bin/true (the floor)": (["/bin/true"], FAST_RUNS),
        "iamgate version": ([iamgate, "version"], FAST_RUNS),
        TOKEN: ([iamgate, "token", "--cluster-id", CLUSTER, *arguments], FAST_RUNS),
        AWS: ([aws, "eks", "get-token", "--cluster-name", CLUSTER, *arguments], SLOW_RUNS),
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for command, _ in commands.values():
        _milliseconds(command)  # once unmeasured: files come from the disk
    for turn in range(FAST_RUNS):
        for name, (command, runs) in commands.items():
            if turn % (FAST_RUNS // runs) == 0:
                taken[name].append(_milliseconds(command))
    return {
        name: Took(len(times), statistics.median(times), statistics.quantiles(times, n=20)[-1])
        for name, times in taken.items()
    }


def _milliseconds(command: list) -> float:
    """Wall time of one run of the command, which has to succeed."""
    started = time.perf_counter()
    subprocess.run(
        command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
        timeout=PROCESS_LIMIT_SECONDS,
    )
    return (time.perf_counter() - started) * 1e3
