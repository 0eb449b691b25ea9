"""The unit of systemd. No systemd runs on the hosts: it looks at the unit, and a socket stands in for it."""

import re
import shlex
import shutil
import signal
import socket
import subprocess

import pytest

import installation
from conftest import CLUSTER
from hosts import PATIENCE_SECONDS, await_that

UNIT = "/etc/systemd/system/iamgate.service"
NOTIFY = "/run/notify"


@pytest.fixture(scope="module")
def unit_host(bed, binary, running_stand_in, mappings):
    host = bed.bare("unit")
    installation.configure(host, CLUSTER, running_stand_in, mappings)
    installation.put_program(host, binary)
    installation.provision(host, "--workload=systemd", "--apiserver=later")
    yield host
    bed.down("unit")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_unit(unit_host):
    looked = unit_host.attempt("systemd-analyze", "verify", UNIT)
    ours = [line for line in looked.stderr.splitlines() if "iamgate" in line]
    assert (looked.status, ours) == (0, []), looked


def test_the_units_command_tells_the_manager_that_it_is_ready_and_that_it_stops(unit_host):
    unit = unit_host.path(UNIT).read_text()
    setting = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    assert (setting["Type"], setting["User"], setting["Group"]) == ("notify", "10000", "10000")
    as_user = ("setpriv", "--reuid=10000", "--regid=10000", "--clear-groups", "--no-new-privs", "--bounding-set=-all")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:

        def news() -> str:
            while (told := manager.recv(1024).decode()) == "WATCHDOG=1":
                pass
            return told

        manager.bind(str(unit_host.path(NOTIFY)))
        manager.settimeout(PATIENCE_SECONDS)
        unit_host.path(NOTIFY).chmod(0o777)
        command = (*as_user, *shlex.split(setting["ExecStart"]))
        server = unit_host.start(*command, environment={"NOTIFY_SOCKET": NOTIFY, "WATCHDOG_USEC": f"{setting['WatchdogSec'].removesuffix('s')}000000"})
        try:
            assert news() == "READY=1\nSTATUS=listening on 127.0.0.1:21362"
            assert installation.answers(unit_host)
            number, _ = await_that(lambda: unit_host.process("iamgate"))
            unit_host.run("kill", f"-{signal.SIGTERM.value}", number)
            assert news() == "STOPPING=1"
            assert server.wait(PATIENCE_SECONDS) == 0
        finally:
            if server.poll() is None:
                subprocess.run(["pkill", "-KILL", "--parent", str(server.pid)], check=False)
                server.wait()
