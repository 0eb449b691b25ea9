"""What somebody else changes meanwhile: what was there before stays, and what was edited stays edited."""

import re

import pytest
import yaml

from control_plane_host import (
    APISERVER,
    CA,
    CA_KEY,
    CERTIFICATE,
    CONFIG,
    KEY,
    KUBEADM,
    KUBECONFIG,
    MANIFESTS,
    POD,
    STATE,
)
from tree import difference, entry, untouched

OURS = re.compile(rb"token-webhook|aws-iam-authenticator|iamgate")


def without_ours(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines() if not OURS.search(line)]


def test_a_manifest_that_the_installer_made_anew_is_edited_again_and_restored_to_that(host):
    host.done()
    newer = (MANIFESTS / "kubeadm-1.37/kube-apiserver.yaml").read_bytes()
    host.write(APISERVER, newer, 0o600)
    ran = host.done()
    assert ("update", APISERVER) in ran.changes
    assert OURS.search(host.read(APISERVER))
    assert not host.done().report["changed"]
    host.done("unprovision")
    assert host.read(APISERVER) == newer


def test_a_manifest_that_the_installer_put_back_is_left_alone_by_the_way_back(host):
    host.done()
    host.write(APISERVER, KUBEADM.read_bytes(), 0o600)
    before = entry(host.root / APISERVER)
    host.done("unprovision")
    assert entry(host.root / APISERVER) == before
    assert not (host.root / STATE).exists()


@pytest.mark.parametrize("again", [False, True], ids=["at once", "after one more run"])
def test_a_flag_that_somebody_added_outlives_the_way_back(host, again):
    original = host.read(APISERVER)
    host.done()
    theirs = b"    - --profiling=false # ours, says somebody\n"
    edit = lambda text: text.replace(b"    - --secure-port=6443\n", b"    - --secure-port=6443\n" + theirs)  # noqa: E731
    host.write(APISERVER, edit(host.read(APISERVER)), 0o600)
    if again:
        assert not host.done().report["changed"]
    host.done("unprovision")
    assert host.read(APISERVER) == edit(original)


def test_one_of_our_flags_that_somebody_removed_is_put_back(host):
    host.done()
    good = host.read(APISERVER)
    lines = good.splitlines(keepends=True)
    host.write(APISERVER, b"".join(line for line in lines if b"webhook-config-file" not in line), 0o600)
    ran = host.done()
    assert ran.changes == [("update", APISERVER)]
    assert sorted(host.read(APISERVER).splitlines()) == sorted(good.splitlines())
    host.done("unprovision")
    assert host.read(APISERVER) == KUBEADM.read_bytes()


def test_flags_that_were_there_before_us_stay(make_host):
    """An installer's own webhook flags, such as kubeadm's extraArgs with the report of `--apiserver later`."""
    host = make_host(manifest=MANIFESTS / "ours-one-word" / "kube-apiserver.yaml")
    original = host.read(APISERVER)
    host.done()
    host.done("unprovision")
    assert host.read(APISERVER) == original


def test_a_configuration_that_was_there_before_us_stays_as_it_is(host):
    text = "# by hand\nclusterID: c.example.com\n"
    host.write(CONFIG, text, 0o640)
    before = entry(host.root / CONFIG)
    host.done()
    assert host.read(CONFIG).decode() == text
    host.done("unprovision")
    after = entry(host.root / CONFIG)
    assert (after.state, after.inode, after.modified) == (before.state, before.inode, before.modified)


def test_a_configuration_that_was_edited_is_neither_rewritten_nor_removed(host):
    host.done()
    text = host.read(CONFIG) + b"# a line more\n"
    host.write(CONFIG, text, 0o640)
    assert not host.done().report["changed"]
    ran = host.done("unprovision")
    assert host.read(CONFIG) == text
    assert any(f"/{CONFIG} was changed since, and stays" in warning for warning in ran.report["warnings"])
    # Whoever provisions again, finds it.
    host.done()
    assert host.read(CONFIG) == text


def test_a_directory_that_holds_something_of_somebody_elses_stays(host):
    host.done()
    host.write("etc/kubernetes/aws-iam-authenticator/notes.txt", "by hand\n")
    host.done("unprovision")
    directory = host.root / "etc/kubernetes/aws-iam-authenticator"
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]


def test_a_ca_that_somebody_replaced_is_taken_over_or_told_and_what_is_theirs_stays(host, make_host):
    other = make_host(name="other")
    other.done()
    host.done()
    for path in (CA, CA_KEY):
        host.write(path, other.read(path), int(entry(host.root / path).mode, 8))
    theirs = host.read(CA)
    ran = host.done()
    assert ("update", CERTIFICATE) in ran.changes
    assert any("is replaced" in warning for warning in ran.report["warnings"])
    assert not host.done().report["changed"]
    assert theirs in host.read(CA) or host.read(CA) == theirs
    host.done("unprovision")
    assert host.read(CA) == theirs


@pytest.mark.parametrize("path", [KEY, CERTIFICATE, KUBECONFIG, POD, CA])
def test_what_was_removed_is_made_again(host, path):
    original = host.tree()
    host.done()
    (host.root / path).unlink()
    assert path in [changed for _, changed in host.done().changes]
    assert not host.done().report["changed"]
    host.done("unprovision")
    # Of what was replaced meanwhile, such as the leaf of a CA that was lost, nothing is left.
    assert difference(original, host.tree()) == []


def test_a_ca_key_that_was_removed_is_missed_when_it_is_needed(host):
    host.done()
    (host.root / CA_KEY).unlink()
    assert not host.done().report["changed"]
    ran = host.done("provision", "--rotate", "leaf")
    # Its certificate follows once API servers trust it.
    assert {CA, CA_KEY} == {path for _, path in ran.changes} - {APISERVER}


@pytest.mark.parametrize("path", [KUBECONFIG, POD])
def test_what_was_edited_is_put_right_and_the_edit_is_kept(host, path):
    host.done()
    edited = host.read(path) + b"# by hand\n"
    host.write(path, edited, int(entry(host.root / path).mode, 8))
    assert ("update", path) in host.done().changes
    copies = [copy for copy in (host.root / STATE / "snapshots").rglob("*") if copy.is_file()]
    assert edited in [copy.read_bytes() for copy in copies]


def test_the_manifest_of_another_file_name_is_edited_where_it_is(host):
    (host.root / APISERVER).rename(host.root / "etc/kubernetes/manifests/kube-apiserver.manifest")
    original = host.tree()
    host.done()
    assert OURS.search(host.read("etc/kubernetes/manifests/kube-apiserver.manifest"))
    host.done("unprovision")
    assert difference(original, host.tree()) == []


def test_another_lifetime_of_answers_takes_the_place_of_the_one_before(host):
    host.done()
    host.done("provision", "--cache-ttl", "60s")
    words = yaml.safe_load(host.read(APISERVER))["spec"]["containers"][0]["command"]
    assert [word for word in words if "cache-ttl" in word] == ["--authentication-token-webhook-cache-ttl=60s"]
    assert not host.done("provision", "--cache-ttl", "60s").report["changed"]
    host.done("unprovision")
    assert host.read(APISERVER) == KUBEADM.read_bytes()


def test_another_lifetime_of_answers_spares_what_somebody_added(host):
    host.done()
    theirs = b"    - --profiling=false # theirs\n"
    host.write(APISERVER, host.read(APISERVER).replace(b"    - --secure-port=6443\n", theirs + b"    - --secure-port=6443\n"), 0o600)
    host.done("provision", "--cache-ttl", "60s")
    host.done("unprovision")
    assert host.read(APISERVER) == KUBEADM.read_bytes().replace(b"    - --secure-port=6443\n", theirs + b"    - --secure-port=6443\n")


def test_what_the_installer_was_told_is_found_effective(host):
    """`--apiserver later` before the installer has run, and again after it."""
    manifest = host.read(APISERVER)
    (host.root / APISERVER).unlink()
    installer = host.done("provision", "--apiserver", "later").report["installer"]
    pod = yaml.safe_load(manifest)
    container = pod["spec"]["containers"][0]
    container["command"] += [f"--{flag['name']}={flag['value']}" for flag in installer["flags"]]
    for volume in installer["volumes"]:
        source = {"path": volume["hostPath"], "type": volume["pathType"]}
        pod["spec"]["volumes"].append({"name": volume["name"], "hostPath": source})
        mount = {"name": volume["name"], "mountPath": volume["mountPath"], "readOnly": volume["readOnly"]}
        container["volumeMounts"].append(mount)
    host.write(APISERVER, yaml.safe_dump(pod), 0o600)
    before = host.tree()
    assert not host.done().report["changed"]
    assert untouched(before, host.tree()) == []


def test_a_way_back_twice_is_once(host):
    host.done()
    host.done("unprovision")
    before = host.tree()
    assert not host.done("unprovision").report["changed"]
    assert untouched(before, host.tree()) == []


def test_what_was_never_provisioned_is_not_taken_back(host):
    before = host.tree()
    ran = host.done("unprovision")
    assert "nothing here is ours" in ran.report["msg"]
    assert untouched(before, host.tree()) == []
