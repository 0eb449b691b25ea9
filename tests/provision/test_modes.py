"""Modes and owners: exactly the documented ones under any umask, and drift is mended without rewriting anything."""

import os
import subprocess

import pytest

from control_plane_host import APISERVER, CA, CA_KEY, CERTIFICATE, CONFIG, KEY, KUBECONFIG, LEDGER, POD, STATE, Host
from tree import entry

# decisions.md, 2
DOCUMENTED = {
    "etc/aws-iam-authenticator": ("0750", "0:GID"),
    CONFIG: ("0640", "0:GID"),
    "var/aws-iam-authenticator": ("0750", "0:GID"),
    CERTIFICATE: ("0644", "UID:GID"),
    KEY: ("0600", "UID:GID"),
    "etc/kubernetes/aws-iam-authenticator": ("0755", "0:0"),
    CA: ("0644", "0:0"),
    KUBECONFIG: ("0644", "0:0"),
    STATE: ("0700", "0:0"),
    CA_KEY: ("0600", "0:0"),
    f"{STATE}/snapshots": ("0700", "0:0"),
    LEDGER: ("0600", "0:0"),
    POD: ("0600", "0:0"),
    APISERVER: ("0600", "0:0"),
}
# The API server's manifest and the configuration file are somebody's; nobody else gets to what is in the state directory.
MENDED = [path for path in DOCUMENTED if path not in (APISERVER, CONFIG, LEDGER, f"{STATE}/snapshots")]


def modes(host: Host, paths) -> dict[str, tuple[str, str]]:
    found = {path: entry(host.root / path) for path in paths}
    return {path: (of.mode, of.owner) for path, of in found.items()}


def documented(uid: int, gid: int) -> dict[str, tuple[str, str]]:
    return {
        path: (mode, owner.replace("UID", str(uid)).replace("GID", str(gid)))
        for path, (mode, owner) in DOCUMENTED.items()
    }


@pytest.mark.parametrize("umask", ["000", "022", "077"])
@pytest.mark.parametrize(("uid", "gid"), [(10000, 10000), (65532, 65532), (10000, 4242)])
def test_every_file_has_the_documented_mode_and_owner_under_any_umask(make_host, umask, uid, gid):
    host = make_host()
    mask = ("sh", "-c", f'umask {umask} && exec "$@"', "sh")
    host.done("provision", "--server-uid", str(uid), "--server-gid", str(gid), wrapper=mask)
    assert modes(host, DOCUMENTED) == documented(uid, gid)
    assert not host.done("provision", "--server-uid", str(uid), "--server-gid", str(gid), wrapper=mask).report["changed"]


@pytest.mark.parametrize("umask", ["000", "077"])
def test_the_program_can_be_run_by_everybody_under_any_umask(make_host, umask):
    host = make_host("--cluster-id", "c.example.com")
    host.done("provision", wrapper=("sh", "-c", f'umask {umask} && exec "$@"', "sh"))
    (directory,) = (host.root / STATE / "bin").iterdir()
    assert {entry(path).mode for path in (directory.parent, directory, directory / "iamgate")} == {"0755"}


def test_another_user_or_group_is_given_to_what_is_there(host):
    host.done()
    contents = {path: entry(host.root / path).content for path in (KEY, CERTIFICATE)}
    host.done("provision", "--server-uid", "65532", "--server-gid", "65532")
    assert modes(host, DOCUMENTED) == documented(65532, 65532)
    assert {path: entry(host.root / path).content for path in contents} == contents


@pytest.mark.parametrize("path", MENDED)
@pytest.mark.parametrize("drift", ["mode", "owner"])
def test_drift_alone_is_told_and_mended_without_rewriting(host, path, drift):
    host.done()
    file = host.root / path
    if drift == "mode":
        file.chmod(0o701 if file.is_dir() else 0o604)
    else:
        os.chown(file, 1234, 1234)
    before = entry(file)
    ran = host.done()
    after = entry(file)
    assert ran.changes == [("chmod" if drift == "mode" else "chown", path)]
    assert (after.inode, after.content) == (before.inode, before.content)
    # The ledger is written anew, in the state directory.
    assert path == STATE or after.modified == before.modified
    assert modes(host, DOCUMENTED) == documented(10000, 10000)
    assert ran.report["restart_required"] == []


def test_a_stricter_configuration_file_is_opened_to_the_group_and_the_report_says_so(host):
    host.write(CONFIG, "clusterID: c.example.com\n", 0o600)
    before = entry(host.root / CONFIG)
    ran = host.done()
    after = entry(host.root / CONFIG)
    assert (after.mode, after.owner) == ("0640", "0:10000")
    assert (after.inode, after.modified, after.content) == (before.inode, before.modified, before.content)
    (change,) = [change for change in ran.report["changes"] if change["path"] == f"/{CONFIG}"]
    assert (change["action"], change["mode"], change["owner"], change["group"]) == ("chown", "0640", 0, 10000)
    host.done("unprovision")
    back = entry(host.root / CONFIG)
    assert (back.mode, back.owner, back.content) == (before.mode, before.owner, before.content)


def test_a_laxer_configuration_file_stays_as_it_is(host):
    host.write(CONFIG, "clusterID: c.example.com\n", 0o644)
    before = entry(host.root / CONFIG)
    host.done()
    assert entry(host.root / CONFIG) == before


@pytest.mark.parametrize("mode", ["0600", "0644", "0400", "0640"])
@pytest.mark.parametrize("owner", [(0, 0), (4321, 8765)])
def test_the_api_servers_manifest_keeps_its_mode_and_owner(host, mode, owner):
    (host.root / APISERVER).chmod(int(mode, 8))
    os.chown(host.root / APISERVER, *owner)
    host.done()
    assert modes(host, [APISERVER]) == {APISERVER: (mode, f"{owner[0]}:{owner[1]}")}
    host.done("unprovision")
    assert modes(host, [APISERVER]) == {APISERVER: (mode, f"{owner[0]}:{owner[1]}")}


def test_an_ordinary_user_works_in_a_tree_of_their_own_and_is_told_whose_the_files_should_be(make_host, room):
    host = make_host()
    subprocess.run(["chown", "-R", "4321:4321", host.root], check=True)
    as_user = ("setpriv", "--reuid=4321", "--regid=4321", "--clear-groups")
    ran = host.done("provision", wrapper=as_user)
    found = modes(host, DOCUMENTED)
    assert {path: mode for path, (mode, _) in found.items()} == {path: mode for path, (mode, _) in DOCUMENTED.items()}
    assert {owner for _, owner in found.values()} == {"4321:4321"}
    (key,) = [change for change in ran.report["changes"] if change["path"] == f"/{KEY}"]
    assert (key["owner"], key["group"]) == (10000, 10000)
    assert not host.done("provision", wrapper=as_user).report["changed"]
    host.done("unprovision", wrapper=as_user)
    assert not (host.root / STATE).exists()
