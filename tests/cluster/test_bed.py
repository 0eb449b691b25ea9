"""The test bed itself: hosts come and go, leave nothing, and nothing but their own is ended with them."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from hosts import DOWN_SECONDS, HERE, Bed, await_that


@pytest.fixture
def small_bed(tmp_path):
    """A bed for hosts without a control plane."""
    bed = Bed(tmp_path / "bed")
    yield bed
    bed.close()


def host_script(bed: Bed, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [HERE / "host", *arguments],
        env=bed.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DOWN_SECONDS,
        check=False,
    )


def up(bed: Bed, name: str) -> int:
    """The number of its first process."""
    done = host_script(bed, "up", name)
    assert done.returncode == 0, done.stderr
    return int((bed.directory / "hosts" / name / "first").read_text().split()[0])


def dial(bed: Bed, address: str) -> subprocess.CompletedProcess:
    return host_script(bed, "enter", "a", "timeout", "5", "bash", "-c", f"cat < /dev/tcp/{address}/7")


def descendants(namespace: str) -> list[int]:
    """The processes in a PID namespace, as /proc names it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "ns/pid") == namespace:
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def groups(bed: Bed) -> list[Path]:
    return [path for path in Path("/sys/fs/cgroup").glob("**/iamgate-*") if path.name == bed.group]


def test_a_host_sees_this_machine_and_keeps_what_it_writes_to_itself(small_bed):
    up(small_bed, "a")
    path = Path("/etc/written-in-a-host")
    write = f"cat /etc/os-release && hostname && touch {path} && ls {path}"
    wrote = host_script(small_bed, "enter", "a", "sh", "-c", write)
    assert wrote.stdout == f"{Path('/etc/os-release').read_text()}a\n{path}\n", wrote.stderr
    assert not path.exists()


def test_up_again_changes_nothing(small_bed):
    assert up(small_bed, "a") == up(small_bed, "a")


def test_hosts_reach_one_another_and_nobody_else(small_bed):
    for name in ("a", "b"):
        up(small_bed, name)
    listener = subprocess.Popen(
        [HERE / "host", "enter", "b", "python3", "-c", SAY_HELLO], env=small_bed.environment, stdin=subprocess.DEVNULL
    )
    try:
        await_that(lambda: dial(small_bed, "198.51.100.11").stdout == "hello", why="the other host answers")
        assert "Network is unreachable" in dial(small_bed, "192.0.2.1").stderr
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
        assert not any(f" {name}:" in links or f" {name}@" in links for name in ("a", "b", "host-bridge"))
    finally:
        listener.kill()
        listener.wait()


SAY_HELLO = """
import socket
server = socket.create_server(("198.51.100.11", 7))
while True:
    with server.accept()[0] as connection:
        connection.sendall(b"hello")
"""


def test_one_kill_ends_a_host_and_up_makes_it_again(small_bed):
    first = up(small_bed, "a")
    namespace = os.readlink(f"/proc/{first}/ns/pid")
    sleeper = subprocess.Popen([HERE / "host", "enter", "a", "sleep", "600"], env=small_bed.environment)
    await_that(lambda: len(descendants(namespace)) == 2)
    os.kill(first, signal.SIGKILL)
    assert sleeper.wait(20) != 0
    await_that(lambda: descendants(namespace) == [])
    assert up(small_bed, "a") != first


def test_one_kill_ends_the_network_and_all_hosts_with_it(small_bed):
    namespaces = [os.readlink(f"/proc/{up(small_bed, name)}/ns/pid") for name in ("a", "b")]
    os.kill(int((small_bed.directory / "first").read_text().split()[0]), signal.SIGKILL)
    await_that(lambda: not any(descendants(namespace) for namespace in namespaces))
    up(small_bed, "b")


def test_down_leaves_nothing(small_bed):
    namespace = os.readlink(f"/proc/{up(small_bed, 'a')}/ns/pid")
    assert groups(small_bed)
    assert host_script(small_bed, "down").returncode == 0
    assert (groups(small_bed), small_bed.directory.exists()) == ([], False)
    # The kernel has ended them, and they go as it comes to it.
    await_that(lambda: descendants(namespace) == [])


def test_down_spares_a_stranger_with_the_number_of_a_host_that_is_gone(small_bed):
    first = up(small_bed, "a")
    told = small_bed.directory / "hosts/a/first"
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            told.write_text(told.read_text().replace(str(first), str(stranger.pid), 1))
            assert host_script(small_bed, "down").returncode == 0
            assert stranger.poll() is None
        finally:
            stranger.kill()


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "a-b", "thirteenchars"])
def test_a_host_has_a_plain_name(small_bed, name):
    done = host_script(small_bed, "up", name)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, f"error: not a host's name: {name}")
