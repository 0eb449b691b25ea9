"""What kubelet sees in its directory while runs are made: one rename for each manifest, and nothing else."""

import pytest
from inotify_simple import INotify, flags

from control_plane_host import APISERVER, CONFIG, Host
from scenarios import OTHER_PORT

WATCHED = (
    flags.CREATE
    | flags.MODIFY
    | flags.ATTRIB
    | flags.CLOSE_WRITE
    | flags.MOVED_FROM
    | flags.MOVED_TO
    | flags.DELETE
    | flags.DELETE_SELF
    | flags.MOVE_SELF
)
NEW, GONE = "MOVED_TO", "DELETE"


@pytest.fixture
def seen(host):
    """Runs a command and says what kubelet saw of it: it looks at no name that begins with a dot."""

    def run(*arguments: str) -> list[tuple[str, str]]:
        with INotify() as watch:
            watch.add_watch((host.root / APISERVER).parent, WATCHED)
            host.done(*arguments)
            events = watch.read(timeout=0)
        visible = [event for event in events if not event.name.startswith(".")]
        return [
            ("|".join(flag.name for flag in flags.from_mask(event.mask)), event.name)
            for event in visible
        ]

    return run


def test_each_manifest_appears_by_one_rename_the_authenticators_first(seen):
    assert seen("provision") == [(NEW, "iamgate.yaml"), (NEW, "kube-apiserver.yaml")]


def test_a_run_without_change_is_not_seen(host, seen):
    host.done()
    assert seen("provision") == []
    assert seen("provision", "--check", "--diff") == []


def test_an_update_is_one_rename_for_each_manifest_that_changes(host, seen):
    host.done()
    assert seen("provision", "--image", "registry.example.com/iamgate:v2") == [(NEW, "iamgate.yaml")]
    assert seen("provision", "--cache-ttl", "60s") == [(NEW, "iamgate.yaml"), (NEW, "kube-apiserver.yaml")]
    host.write(CONFIG, OTHER_PORT, 0o640)
    assert seen("provision") == [(NEW, "iamgate.yaml"), (NEW, "kube-apiserver.yaml")]


def test_a_rotation_of_the_leaf_is_not_seen(host, seen):
    host.done()
    assert seen("provision", "--rotate", "leaf") == []


def test_a_rotation_of_the_ca_starts_the_api_server_once(host, seen):
    host.done()
    assert seen("provision", "--rotate", "ca") == [(NEW, "kube-apiserver.yaml")]


def test_the_way_back_is_one_rename_and_then_one_removal(host, seen):
    host.done()
    assert seen("unprovision") == [(NEW, "kube-apiserver.yaml"), (GONE, "iamgate.yaml")]


def test_a_drift_of_mode_is_one_event_on_the_name(host, seen):
    host.done()
    (host.root / "etc/kubernetes/manifests/iamgate.yaml").chmod(0o644)
    assert seen("provision") == [("ATTRIB", "iamgate.yaml")]


def test_what_is_in_the_way_leaves_before_the_api_server_changes(host, seen):
    host.write(f"{APISERVER}.bak", host.read(APISERVER), 0o600)
    events = seen("provision", "--quarantine")
    assert sorted(events) == sorted(
        [(GONE, "kube-apiserver.yaml.bak"), (NEW, "iamgate.yaml"), (NEW, "kube-apiserver.yaml")]
    )
    assert events.index((GONE, "kube-apiserver.yaml.bak")) < events.index((NEW, "kube-apiserver.yaml"))
