"""Counts instructions with valgrind's callgrind and prints one table, with each count's difference to the committed one.

Wall time on a shared machine says little about a change of one per cent; a count of instructions says it in one run. It is
no time: it knows nothing of caches and of what runs in parallel. Counts of another processor, valgrind or compiler are not
quite the same (routines are chosen by what the processor can do), so a difference is told and never judged.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BASELINE = Path(__file__).resolve().parent.parent / "benches/baseline.json"

# AWS's documentation keys: they open nothing. The same environment everywhere, since its size moves the stack.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
# Of benches/reviews.rs, in the order of a review; each run goes on where the one before stops.
STEPS = ("read", "admit", "prove", "map", "answer")
# The difference of two runs is the cost of so many reviews: enough that what is uneven between them does not show.
REVIEWS = 200
# `token` hashes with random seeds and asks the clock, which moves its count by some thousandths: the middle of a few runs.
TOKENS = 5
# Callgrind makes a program some fifty times slower; none here should take a tenth of it.
PROCESS_LIMIT_SECONDS = 120
# What makes libraries choose another routine, as far as valgrind passes it on.
FEATURES = ("adx", "aes", "avx", "avx2", "bmi1", "bmi2", "pclmulqdq", "sse4_2", "ssse3", "asimd", "sha2")


def instructions(command: list[str]) -> int:
    """How many instructions one run of the command takes; it has to succeed."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "callgrind.out")
        valgrind = [shutil.which("valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}", "--error-exitcode=1"]
        ran = subprocess.run(
            [*valgrind, *command], env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PROCESS_LIMIT_SECONDS,
        )
        if ran.returncode != 0:
            sys.exit(f"error: {' '.join(command)}: exit code {ran.returncode}\n{ran.stderr}")
        total = re.search(r"^totals: (\d+)$", out.read_text(), re.MULTILINE)
    if total is None:
        sys.exit(f"error: {' '.join(command)}: callgrind tells no total")
    return int(total[1])


def counts(iamgate: str, reviews: str) -> dict[str, int]:
    """Instructions by what is counted."""
    def through(step: str) -> int:
        once, twice = (
            instructions([reviews, step, str(count), str(2 * REVIEWS)]) for count in (REVIEWS, 2 * REVIEWS)
        )
        return (twice - once) // REVIEWS

    whole = {step: through(step) for step in STEPS}
    before = dict(zip(STEPS, [0, *whole.values()]))
    tokens = sorted(
        instructions([iamgate, "token", "--cluster-id", "bench", "--region", "us-west-2"]) for _ in range(TOKENS)
    )
    print(f"token: {TOKENS} runs, {tokens[0]} to {tokens[-1]}", file=sys.stderr)
    return {
        "token": tokens[TOKENS // 2],
        "review": whole["answer"],
        **{f"review: {step}": whole[step] - before[step] for step in STEPS},
    }


def circumstances() -> dict[str, str]:
    """What the counts depend on beside the code."""
    def told(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    known = flags[1].split() if flags else []
    return {
        "valgrind": told("valgrind", "--version"),
        "compiler": told("rustc", "--version"),
        "machine": os.uname().machine,
        "processor": " ".join(name for name in FEATURES if name in known),
    }


def main() -> None:
    iamgate, reviews, *flags = sys.argv[1:]
    if flags not in ([], ["--bless"]):
        sys.exit("usage: scripts/instructions [--bless]")
    now = {"counts": counts(os.path.abspath(iamgate), reviews), "circumstances": circumstances()}
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"counts": {}, "circumstances": {}}
    print(f"{'instructions':16} {'baseline':>12} {'now':>12} {'difference':>11}")
    for name, count in now["counts"].items():
        old = baseline["counts"].get(name)
        print(f"{name:16} {old or '-':>12} {count:12} {f'{count / old - 1:+.2%}' if old else '-':>11}")
    for name, value in now["circumstances"].items():
        if (old := baseline["circumstances"].get(name)) != value:
            print(f"note: {name} differs: the baseline is of {old}, this is {value}")
    if flags:
        BASELINE.write_text(json.dumps(now, indent=2) + "\n")


if __name__ == "__main__":
    main()
