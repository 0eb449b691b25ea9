"""Every call that a run makes of the system: keys are never open to others, and `--root` is a wall."""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from control_plane_host import APISERVER, CA_KEY, KEY, POD, Host
from tracing import LOOKING, Call, changes, inside, trace
from tree import tree, untouched

OPENED = re.compile(r"O_CREAT.*, (0\d+)\) = \d+<(?P<path>[^>]*)>")
MODE = re.compile(r"fchmod\(\d+<(?P<path>[^>]*)>, (?P<mode>0\d+)\)")
WRITTEN = re.compile(r'write\(\d+<(?P<path>[^>]*)>, "(?P<text>.*)"')
RENAMED = re.compile(r'"[^"]*/(?P<old>[^"/]+)", AT_FDCWD<[^>]*>, "[^"]*/(?P<new>[^"/]+)"\)')
# Whatever the run, these are done to files of our own making.
RUNS = [
    ("provision",),
    ("provision", "--rotate", "leaf"),
    ("provision", "--rotate", "ca"),
    ("provision", "--workload", "none"),
    ("unprovision",),
]


@pytest.fixture
def traces(host) -> list[tuple[tuple, list[Call]]]:
    found = []
    for arguments in RUNS:
        ran, calls = trace(host, *arguments)
        assert ran.status == 0, ran.stderr
        found.append((arguments, calls))
    return found


def test_a_keys_bytes_go_to_files_that_were_made_for_their_owner_alone_and_stay_so(traces):
    keys = 0
    for _, calls in traces:
        made: dict[str, str] = {}
        modes: dict[str, set[str]] = {}
        for call in calls:
            if match := OPENED.search(call.text):
                made[match["path"]] = match[1]
            if match := MODE.search(call.text):
                modes.setdefault(match["path"], set()).add(match["mode"])
        for call in calls:
            match = WRITTEN.search(call.text)
            if match and re.match(r"-----BEGIN [A-Z ]*PRIVATE KEY", match["text"]):
                keys += 1
                path = match["path"]
                assert made.get(path) == "0600", f"{call}: made with {made.get(path)}"
                assert modes.get(path, {"0600"}) == {"0600"}, f"{call}: {modes[path]}"
                assert Path(path).name.startswith(".iamgate-"), call
    # Two at first, and with the CA its leaf's.
    assert keys >= 4


def test_nothing_sets_the_mode_of_a_file_under_its_final_name(traces):
    for _, calls in traces:
        for call in calls:
            if (match := MODE.search(call.text)) and Path(match["path"]).suffix:
                assert Path(match["path"]).name.startswith(".iamgate-"), call


def test_each_manifest_is_renamed_once_in_a_run(traces):
    for arguments, calls in traces:
        names = Counter(
            RENAMED.search(call.text)["new"] for call in calls if call.name.startswith("rename") and not call.failed
        )
        for path in (APISERVER, POD):
            # The first copy of the API server's manifest has its name, too.
            copies = 1 if Path(path).name == "kube-apiserver.yaml" and arguments == ("provision",) else 0
            assert names[Path(path).name] <= 1 + copies, (arguments, names)


def test_what_is_written_is_on_the_disk_before_it_has_its_name_and_the_directory_after(traces):
    for _, calls in traces:
        synced: set[str] = set()
        for number, call in enumerate(calls):
            if match := re.search(r"fsync\(\d+<(.*)>\)", call.text):
                synced.add(match[1])
            if call.name.startswith("rename"):
                old = RENAMED.search(call.text)["old"]
                assert any(Path(path).name == old for path in synced), call
                assert any(later.name == "fsync" for later in calls[number + 1 :]), call


def test_the_ledger_tells_of_the_changes_before_they_are_made(traces):
    _, first = traces[0]
    renamed = [RENAMED.search(call.text)["new"] for call in first if call.name.startswith("rename")]
    assert renamed.index("ledger.json") < renamed.index("ca-key.pem")
    # The copy of the API server's manifest comes before it all.
    assert renamed[0] == "kube-apiserver.yaml"
    assert renamed[-1] == "kube-apiserver.yaml"


def test_nothing_outside_the_root_is_opened_for_writing(host, traces):
    for _, calls in traces:
        mine = inside(host, calls)
        for call in calls:
            if not changes(call) or call.failed or call in mine:
                continue
            # strace tells the place of a descriptor, but not of a path that goes by one.
            if call.name.startswith("rename"):
                assert re.findall(r'"([^"]*)/[^"/]*"', call.text)[0].startswith("/proc/self/fd/"), call
                continue
            assert re.match(r"\d+ +write\([12]<|\d+ +write\(\d+<(pipe|anon_inode|socket|UNIX)", call.text), call


@pytest.fixture
def canary(room) -> Path:
    """What stands outside, as like to what is inside as can be."""
    outside = Host(Path("/nonexistent"), room / "outside").install().root
    (outside / "secret").write_text("somebody else's\n")
    return outside


def directory_away(host: Host, path: str, target: str) -> None:
    place = host.root / path
    if place.is_dir():
        place.rename(host.root / f"moved-{place.name}")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


PLACES = [
    "etc/kubernetes/manifests",
    "etc/kubernetes",
    "etc/aws-iam-authenticator",
    "etc/kubernetes/aws-iam-authenticator",
    "var/aws-iam-authenticator",
    "var/lib/iamgate",
    "var/lib",
    "etc/kubernetes/manifests/kube-apiserver.yaml",
    "etc/kubernetes/manifests/iamgate.yaml",
    "etc/aws-iam-authenticator/config.yaml",
    "var/lib/iamgate/ledger.json",
    "var/lib/iamgate/ca-key.pem",
    "var/aws-iam-authenticator/key.pem",
    "var/lib/iamgate/snapshots",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", ["absolute", "climbing", "through /proc"])
def test_a_symlink_never_leads_out_of_the_root(host, canary, place, how):
    depth = "../" * 12
    target = {
        "absolute": f"{canary}/{place}",
        "climbing": f"{depth.rstrip('/')}{canary}/{place}",
        "through /proc": f"/proc/self/root{canary}/{place}",
    }[how]
    (canary / place).parent.mkdir(parents=True, exist_ok=True)
    if not Path(place).suffix:
        (canary / place).mkdir(parents=True, exist_ok=True)
    # What a way out would lead to is the same inside, but for its place.
    (host.root / "proc").mkdir()
    (host.root / "proc/self").mkdir()
    (host.root / "proc/self/root").symlink_to("/")
    if (host.root / place).is_file():
        (host.root / place).unlink()
    directory_away(host, place, target)
    outside = tree(canary)
    for arguments in [("provision",), ("provision", "--quarantine", "--apiserver", "later"), ("unprovision",)]:
        ran = host.run(*arguments)
        assert ran.status in (0, 1, 3), ran
        assert untouched(outside, tree(canary)) == [], (arguments, ran.report["msg"])


def test_nothing_that_is_read_lies_outside_the_root(host, canary):
    directory_away(host, "etc/kubernetes/pki", str(canary / "etc/kubernetes/pki"))
    ran, calls = trace(host, "provision", calls=("openat2", "openat", "open", *LOOKING))
    assert ran.status == 0, ran.stderr
    mine = inside(host, calls)
    first = calls.index(mine[0])
    for call in calls[first:]:
        opened = re.search(r" = \d+<(/[^>]*)>$", call.text)
        if call.name.startswith("open") and opened:
            allowed = opened[1].startswith((str(host.root), "/proc/", "/sys/", "/dev/"))
            assert allowed or opened[1] == os.path.realpath(host.binary), call
    assert not [call for call in calls if str(canary) in call.text and call.name.startswith("open") and not call.failed]


def test_both_keys_are_there_in_the_end_and_closed(host):
    host.done()
    for path in (KEY, CA_KEY):
        assert (host.root / path).stat().st_mode & 0o7777 == 0o600
