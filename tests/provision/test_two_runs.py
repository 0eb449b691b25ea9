"""Two runs on one host: the second waits its turn or is refused, and nothing of either is lost."""

import fcntl
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from control_plane_host import environment
from tree import difference, untouched

REFUSED = 3


@pytest.fixture
def locked(host):
    """Held by somebody, as a run holds it."""
    directory = os.open(host.root, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    yield directory
    os.close(directory)


def start(host, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        host.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


@pytest.mark.parametrize("command", ["provision", "unprovision"])
def test_a_run_waits_for_its_turn(host, locked, command):
    before = host.tree()
    process = start(host, command)
    assert process.stderr.readline() == "waiting for another run to end\n"
    assert untouched(before, host.tree()) == []
    fcntl.flock(locked, fcntl.LOCK_UN)
    assert process.wait(timeout=30) == 0
    process.communicate()


@pytest.mark.parametrize("command", ["provision", "unprovision"])
def test_a_run_that_waits_in_vain_is_refused_and_names_the_lock(host, locked, command):
    before = host.tree()
    began = time.monotonic()
    ran = host.run(command)
    assert ran.status == REFUSED
    assert f"another run holds the lock on {host.root}" in ran.report["refusals"][0]["problem"]
    assert 8 < time.monotonic() - began < 30
    assert untouched(before, host.tree()) == []


def test_a_check_waits_for_nobody(host, locked):
    assert host.provision("--check").status == 0


def test_runs_at_once_end_as_one_would(host):
    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(lambda _: host.provision(), range(6)))
    assert [ran.status for ran in runs] == [0] * 6, [ran.stderr for ran in runs]
    assert sum(ran.report["changed"] for ran in runs) == 1
    assert not host.done().report["changed"]


def test_runs_in_both_directions_at_once_leave_a_host_that_can_be_taken_back(host):
    original = host.tree()
    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(host.run, ["provision", "unprovision"] * 6))
    assert [ran.status for ran in runs] == [0] * 12, [ran.stderr for ran in runs]
    host.done("unprovision")
    assert difference(original, host.tree()) == []


def test_a_lock_dies_with_its_holder(host):
    """A killed run keeps nobody out."""
    holder = subprocess.Popen(["flock", host.root, "sleep", "60"], start_new_session=True)
    while subprocess.run(["flock", "--nonblock", host.root, "true"], check=False).returncode == 0:
        time.sleep(0.01)
    os.killpg(holder.pid, 9)
    holder.wait()
    ran = host.done()
    assert "waiting" not in ran.stderr
