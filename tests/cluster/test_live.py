"""What changes on a running control plane without the API server being started again."""

import concurrent.futures
import contextlib
import re
import ssl
import time

import yaml
from cryptography import x509

import door
import installation
from conftest import CLUSTER
from amazon.sts import UNAVAILABLE
from hosts import MACHINE, await_that
from stand_in import ACCOUNT

MIB = 1024 * 1024
# With this many at once; each keeps its connection to the API server.
LOGINS, AT_ONCE, BY_KUBECTL = 1000, 32, 24
# A mapping is live this soon after its file has changed.
LIVE_SECONDS = 1
# What the API server does when the webhook cannot decide: five tries, with pauses of 0.5, 0.75, 1.1 and 1.7 s or some more. Each
# takes up to the 4 s that STS is given, as long as we hold connections that the other end does not hear on any more.
TRIES, TRYING_SECONDS = 5, (4, 35)


@contextlib.contextmanager
def nothing_restarts(host, but: str | None = None):
    """But a server of ours, if it is named, and that once."""
    programs = [program for program in ("kube-apiserver", "iamgate") if program != but]
    processes = [host.process(program) for program in programs]
    starts = {program: host.starts(program) + (program == but) for program in ("kube-apiserver", "iamgate")}
    yield
    assert [host.process(program) for program in programs] == processes
    assert {program: host.starts(program) for program in starts} == starts


def test_a_mapping_that_is_edited_on_the_host_is_live_within_a_second(installed, bed, aws, mappings, note):
    role = aws.directory.add_role("Newcomer", ACCOUNT)
    more = {"mapRoles": [*mappings["mapRoles"], {"rolearn": role.arn, "username": "new:{{SessionName}}", "groups": []}]}
    with nothing_restarts(installed), contextlib.closing(door.Door(bed, installed)) as api:

        def ask() -> door.Answer:
            return api.ask(door.new_token(aws.directory, role, CLUSTER))

        assert ask().status == 401
        for change, status in ((more, 201), (mappings, 401)):
            installed.put(installation.CONFIG, installation.configuration(CLUSTER, aws, change), 0o640, installation.USER)
            edited = time.monotonic()
            late = None
            while (answer := ask()).status != status:
                late = answer
                assert answer.begun - edited < LIVE_SECONDS
            note(f"{'granted' if status == 201 else 'refused'} {(late.ended if late else edited) - edited:.2f} s later")


def test_rotating_the_leaf_under_load_refuses_nobody(installed, sign_in, kubectl_signs_in, note):
    before = served(installed)
    with (
        nothing_restarts(installed),
        door.signing_in(4, lambda: sign_in(installed)) as direct,
        door.signing_in(2, lambda: kubectl_signs_in(installed)) as by_kubectl,
    ):
        rotated = installation.provision(installed, "--rotate=leaf", "--wait")
        await_that(lambda: served(installed) != before, why="the new certificate is served")
    note(f"{direct.number} logins, {by_kubectl.number} of kubectl, meanwhile")
    assert set(rotated.changes) == {f"{installation.STATE}/cert.pem", f"{installation.STATE}/key.pem"}
    assert rotated.report["restart_required"] == []
    on_disk = installed.path(f"{installation.STATE}/cert.pem").read_bytes()
    assert served(installed) == x509.load_pem_x509_certificate(on_disk).serial_number


def test_sts_that_fails_is_tried_again_told_and_got_over(installed, bed, aws, developer, kubectl, iamgate_exec, tmp_path):
    caller = aws.directory.open_session(developer, "jane")
    kubeconfig = installed.kubeconfig(tmp_path / "me", iamgate_exec)
    with nothing_restarts(installed):
        logged, ours = len(installed.log("kube-apiserver")), len(installed.log("iamgate"))
        aws.sts.break_with(UNAVAILABLE)
        ran = kubectl(kubeconfig, "auth", "whoami", caller=caller)
        assert (ran.status, "Unauthorized" in ran.stderr or "You must be logged in" in ran.stderr) == (1, True), ran
        assert aws.sts_tls.record.count("GetCallerIdentity") == TRIES
        why = await_that(lambda: told(installed, logged), why="the API server says why")
        assert "STS cannot be asked" in why, why
        assert installed.log("iamgate")[ours:].count("STS answered with status 503") == TRIES
        aws.sts.break_with(None)
        assert kubectl(kubeconfig, "auth", "whoami", caller=caller).status == 0


def test_sts_out_of_reach_is_tried_again_told_and_got_over(installed, aws, developer, sign_in, note):
    with nothing_restarts(installed):
        logged, ours = len(installed.log("kube-apiserver")), len(installed.log("iamgate"))
        installed.run("ip", "route", "add", "unreachable", f"{MACHINE}/32")
        try:
            # Asked from the host itself: nothing else reaches it meanwhile.
            answer = door.ask(installed, installed, door.new_token(aws.directory, developer, CLUSTER))
        finally:
            installed.run("ip", "route", "del", "unreachable", f"{MACHINE}/32")
        assert answer.status == 401
        least, most = TRYING_SECONDS
        note(f"{TRIES} tries in {answer.ended - answer.begun:.1f} s")
        assert least < answer.ended - answer.begun < most
        assert "STS cannot be asked" in await_that(lambda: told(installed, logged), why="the API server says why")
        assert installed.log("iamgate")[ours:].count('msg="access denied"') == TRIES
        assert await_that(lambda: sign_in(installed) is None)


def test_our_pod_is_killed_and_kubelet_starts_it_again(installed, sign_in, note):
    assert sign_in(installed) is None
    with nothing_restarts(installed, but="iamgate"):
        number, _ = installed.process("iamgate")
        installed.run("kill", "-9", number)
        killed = time.monotonic()
        await_that(lambda: installed.process("iamgate") and installation.answers(installed))
        note(f"answers again after {time.monotonic() - killed:.1f} s")
        assert await_that(lambda: sign_in(installed) is None)


def test_a_new_version_restarts_our_pod_once_and_nothing_else(installed, binary, sign_in, note):
    old = manifest(installed)["spec"]["volumes"]
    with nothing_restarts(installed, but="iamgate"):
        installation.put_program(installed, binary, more=b"another version")
        upgraded = installation.provision(installed, "--wait", "--rollback")
        assert upgraded.report["restart_required"] == ["iamgate"]
        assert await_that(lambda: sign_in(installed) is None)
    note(f"`iamgate provision --wait` took {upgraded.ran.seconds:.1f} s")
    assert manifest(installed)["spec"]["volumes"] != old
    assert installation.MANIFEST in upgraded.changes and installation.API_SERVER not in upgraded.changes


def test_memory_of_our_pod_stays_within_its_limit_under_a_thousand_logins(
    installed, bed, aws, developer, kubectl_signs_in, note
):
    tokens = [door.new_token(aws.directory, developer, CLUSTER) for _ in range(LOGINS)]

    def some(these: list[str]) -> list[int]:
        with contextlib.closing(door.Door(bed, installed)) as api:
            return [api.ask(token).status for token in these]

    began = time.monotonic()
    with nothing_restarts(installed), concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        granted = sum(pool.map(some, (tokens[at::AT_ONCE] for at in range(AT_ONCE))), [])
        seconds = time.monotonic() - began
        by_kubectl = [kubectl_signs_in(installed) for _ in range(BY_KUBECTL)]
    assert granted == [201] * LOGINS
    assert by_kubectl == [None] * BY_KUBECTL
    peak = installed.peak_memory("iamgate")
    status = installed.path(f"/proc/{installed.process('iamgate')[0]}/status").read_text()
    resident = int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024
    note(f"{LOGINS} logins in {seconds:.0f} s, {AT_ONCE} at once, and {BY_KUBECTL} of kubectl")
    note(f"control group {peak / MIB:.1f} MiB at most, of 20; process {resident / MIB:.1f} MiB at most")
    assert peak < 20 * MIB


def told(host, after: int) -> str | None:
    """What the API server wrote about a webhook that could not decide, after that many characters."""
    found = re.search(r".*[Ff]ailed to make webhook authenticator request.*", host.log("kube-apiserver")[after:])
    return found and found.group()


def served(host) -> int:
    """The number of the certificate that the webhook serves."""
    with host.network():
        pem = ssl.get_server_certificate(("127.0.0.1", 21362))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def manifest(host) -> dict:
    return yaml.safe_load(host.path(installation.MANIFEST).read_text())
