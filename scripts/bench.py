"""Times whole processes and prints one table, with each median's ratio to `iamgate token`.

The commands take turns, so that a busy moment of the machine falls on all of them. It measures wall time from
spawn to exit and checks every exit code; it judges nothing: a loaded machine makes every figure larger.
"""

import os
import statistics
import subprocess
import sys
import time

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

# Enough for a stable median of a process of a few milliseconds.
FAST_RUNS = 200
# A process of half a second: twenty of them keep the run under a quarter of a minute.
SLOW_RUNS = 20
# No process here should take a hundredth of it.
PROCESS_LIMIT_SECONDS = 60


def seconds(command: list[str]) -> float:
    """Wall time of one run of the command, which has to succeed."""
    started = time.perf_counter()
    subprocess.run(
        command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
        timeout=PROCESS_LIMIT_SECONDS,
    )
    return time.perf_counter() - started


def main() -> None:
    iamgate, aws = (os.path.abspath(path) for path in sys.argv[1:3])
    token = "iamgate token"
    commands = {
        "/bin/true (the floor)": (["/bin/true"], FAST_RUNS),
        "iamgate version": ([iamgate, "version"], FAST_RUNS),
        token: ([iamgate, "token", "--cluster-id", CLUSTER, "--region", REGION], FAST_RUNS),
        "aws eks get-token": ([aws, "eks", "get-token", "--cluster-name", CLUSTER, "--region", REGION], SLOW_RUNS),
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for name, (command, _) in commands.items():
        seconds(command)  # once unmeasured: files come from the disk
    for turn in range(FAST_RUNS):
        for name, (command, runs) in commands.items():
            if turn % (FAST_RUNS // runs) == 0:
                taken[name].append(seconds(command))

    base = statistics.median(taken[token])
    print(f"{'command':24} {'runs':>5} {'median ms':>10} {'p95 ms':>8} {'to token':>9}")
    for name, times in taken.items():
        median, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        print(f"{name:24} {len(times):5} {median * 1e3:10.2f} {p95 * 1e3:8.2f} {median / base:8.1f}x")


if __name__ == "__main__":
    main()
