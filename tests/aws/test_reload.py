"""A change of the configuration is live within a second, whoever writes the file and however, while reviews go on.

Generation N of the file makes the Changing role `gen-N` and the Constant role `constant`. Four clients ask without a
pause; whatever happens to the file, each answer must be the old generation's or the new one's, and Constant is let in.
"""

import contextlib
import itertools
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from load import CLIENTS, Decided, Load
from server_process import LIVE_SECONDS, PATIENCE_SECONDS, Server, asked, await_that, configuration, rendered
from stand_in import ACCOUNT
from webhook import CLUSTER, signed

READY = "aws_iam_authenticator_config_last_reload_successful"
# After 2 s a file that is missing is looked for again, which must not be told again.
RETRY_SECONDS = 2.5


class Scene:
    """A server on a file at `path`, where `prepare` put generation 1 of it."""

    def __init__(self, binary: Path, aws, directory: Path, prepare=None, wrapper: tuple[str, ...] = ()):
        self._directory, self._aws = directory, aws
        (directory / "state").mkdir()
        (directory / "etc").mkdir()
        self.path = directory / "etc" / "config.yaml"
        (prepare or write_at_once)(self.path, self.text(1))
        self.server = Server([*wrapper, binary, "server", "--config", self.path], directory / "state")
        self.generation = 1
        self._changes: list[tuple[int, float, float]] = []
        self.load = Load(self.server, aws)
        self.await_generation()

    def config(self, generation: int, **server) -> dict:
        # Constant comes last: half a file is without it.
        roles = [("Changing", f"gen-{generation}"), ("Constant", "constant")]
        return configuration(
            self._directory,
            self._aws,
            mapRoles=[
                {"rolearn": f"arn:aws:iam::{ACCOUNT}:role/{role}", "username": name, "groups": ["everybody"]}
                for role, name in roles
            ],
            **server,
        )

    def text(self, generation: int, **server) -> str:
        return rendered(self.config(generation, **server))

    def change(self, write: Callable[[Path, str], None]) -> None:
        """Writes the next generation and waits until all clients see it."""
        self.generation += 1
        began = time.monotonic()
        write(self.path, self.text(self.generation))
        self._changes.append((self.generation, began, time.monotonic()))
        self.await_generation()

    def await_generation(self) -> None:
        name = f"gen-{self.generation}"
        self.load.await_each(lambda one: one.who == "Constant" or one.name == name)

    def finish(self) -> list[Decided]:
        """Stops the load and judges each answer that was given."""
        decided = self.load.stop()
        assert {one.name for one in decided if one.who == "Constant"} == {"constant"}
        changing = [one for one in decided if one.who == "Changing"]
        before, written = 1, 0.0
        for generation, began, ended in self._changes:
            for one in changing:
                if one.name == f"gen-{before}":
                    assert one.begun <= ended + LIVE_SECONDS, f"{one.begun - ended:.2f} s after {generation}: {one}"
                if one.name == f"gen-{generation}":
                    assert one.ended >= began, f"before {generation} was written: {one}"
            before, written = generation, ended
        assert {one.name for one in changing} == {f"gen-{n}" for n in range(1, before + 1)}
        assert self.server.metric(READY) == 1, written
        return decided

    def close(self) -> None:
        self.load.end()
        self.server.stop()


@pytest.fixture
def stage(binary, aws, tmp_path):
    scenes = []

    def stage(prepare=None, wrapper=()) -> Scene:
        scenes.append(Scene(binary, aws, tmp_path, prepare, wrapper))
        return scenes[-1]

    yield stage
    for scene in scenes:
        scene.close()


def write_at_once(path: Path, text: str) -> None:
    path.write_text(text)


def replace(path: Path, text: str) -> None:
    """Editors, Ansible, and our own writer: a complete file takes the old one's place."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.rename(path)


def vim(path: Path, text: str) -> None:
    """`backupcopy=no`: a probe named 4913, the file renamed to a backup, a new one, the backup removed."""
    probe, backup = path.with_name("4913"), path.with_name(path.name + "~")
    probe.touch()
    probe.unlink()
    path.rename(backup)
    path.write_text(text)
    backup.unlink()


def sed(path: Path, text: str) -> None:
    name = re.search(r"gen-\d+", text).group()
    subprocess.run(["sed", "-i", f"s/gen-[0-9]*/{name}/", path], check=True)
    assert path.read_text() == text


def truncate(path: Path, text: str) -> None:
    with path.open("r+") as file:
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
        file.write(text)


def pieces(path: Path, text: str, pause: float = 0.01) -> None:
    """Twenty writes, each of which leaves a file that is no YAML, or YAML without the Constant role."""
    size = len(text) // 20 + 1
    with path.open("w") as file:
        for begin in range(0, len(text), size):
            file.write(text[begin : begin + size])
            file.flush()
            # The pause is what is tried here: a slow writer.
            time.sleep(pause)


def delete_and_create(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def replace_directory(path: Path, text: str) -> None:
    directory = path.parent
    fresh, old = directory.with_name("etc.new"), directory.with_name("etc.old")
    fresh.mkdir()
    (fresh / path.name).write_text(text)
    directory.rename(old)
    fresh.rename(directory)
    (old / path.name).unlink()
    old.rmdir()


def copy_over(path: Path, text: str) -> None:
    source = path.parents[1] / "source.yaml"
    source.write_text(text)
    subprocess.run(["cp", source, path], check=True)


def move_over(path: Path, text: str) -> None:
    source = path.parents[1] / "source.yaml"
    source.write_text(text)
    subprocess.run(["mv", "-f", source, path], check=True)


_versions = itertools.count(1)


def publish(path: Path, text: str) -> None:
    """Kubelet's way with a mounted ConfigMap: a new directory, and one rename of a link to it."""
    root, data = path.parent, path.parent / "..data"
    fresh = root / f"..2026_01_02_03_04_05.{next(_versions)}"
    fresh.mkdir()
    (fresh / path.name).write_text(text)
    old = data.resolve() if data.is_symlink() else None
    (root / "..data_tmp").symlink_to(fresh.name)
    (root / "..data_tmp").rename(data)
    if old is None:
        path.symlink_to(f"..data/{path.name}")
    else:
        (old / path.name).unlink()
        old.rmdir()


def retarget(path: Path, text: str) -> None:
    """A link that is pointed at another version, which stays."""
    target = path.parents[1] / f"version-{next(_versions)}.yaml"
    target.write_text(text)
    link = path.with_name(".link")
    link.symlink_to(target)
    link.rename(path)


PATTERNS = [
    replace,
    vim,
    sed,
    truncate,
    pieces,
    delete_and_create,
    replace_directory,
    copy_over,
    move_over,
    publish,
    retarget,
]


@pytest.mark.parametrize("write", PATTERNS, ids=lambda write: write.__name__)
def test_however_the_file_is_written_it_is_live_within_a_second(stage, write):
    scene = stage(prepare=write if write in (publish, retarget) else None)
    for _ in range(3):
        scene.change(write)
    decided = scene.finish()
    assert len(decided) >= 4 * 3 * len(CLIENTS)


def test_a_writer_of_two_seconds_is_waited_for(stage):
    scene = stage()
    scene.change(lambda path, text: pieces(path, text, pause=0.1))
    scene.finish()


def test_sighup_has_the_file_read_at_once(stage):
    scene = stage()

    def write_and_hang_up(path, text):
        path.write_text(text)
        scene.server.hang_up()

    scene.change(write_and_hang_up)
    scene.finish()
    scene.server.await_log("SIGHUP: reading configuration")


def test_fifty_changes_at_full_speed_end_with_the_last(stage):
    scene = stage()
    for generation in range(2, 52):
        replace(scene.path, scene.text(generation))
    scene.generation, written = 51, time.monotonic()
    scene.await_generation()
    decided = scene.load.stop()
    late = {one.name for one in decided if one.who == "Changing" and one.begun > written + LIVE_SECONDS}
    assert late <= {"gen-51"}


def test_without_inotify_the_file_is_looked_at_often_enough(stage):
    # Counted per user namespace, so that using them up here touches nobody else.
    script = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
    wrapper = ("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")
    try:
        tried = subprocess.run([*wrapper, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError as fault:
        pytest.skip(f"unshare cannot be started: {fault}")
    if tried.returncode != 0:
        pytest.skip(f"no user namespace to be had here: {tried.stderr}")
    scene = stage(wrapper=wrapper)
    scene.server.await_log(r"how changes of the configuration are found.*Polling\(Instances\)")
    for write in (replace, truncate, replace_directory):
        scene.change(write)
    scene.finish()


BREAKAGES = {
    "bad": lambda path: path.write_text("clusterID: [\n"),
    "not-utf8": lambda path: path.write_bytes(b"clusterID: \xff\n"),
    "faulty": lambda path: path.write_text(path.read_text().replace("rolearn: arn:", "rolearn: urn:")),
    "empty": lambda path: path.write_text(""),
    "deleted": lambda path: path.unlink(),
    "directory": lambda path: (path.unlink(), path.mkdir()),
    "parent-deleted": lambda path: (path.unlink(), path.parent.rmdir()),
}


@pytest.mark.parametrize("how", BREAKAGES)
def test_a_file_that_cannot_be_used_keeps_the_last_good_one(stage, how):
    scene = stage()
    scene.change(replace)
    BREAKAGES[how](scene.path)
    broken = time.monotonic()
    await_that(lambda: scene.server.metric(READY) == 0)
    assert time.monotonic() - broken < LIVE_SECONDS + 0.5, "told late"
    ready = scene.server.health("/readyz")
    assert ready.status == 200
    assert re.match(r"\[-\]config: keeping the last good: .+\nok\n", ready.body["text"])
    while time.monotonic() < broken + RETRY_SECONDS:
        scene.load.await_each(lambda one: one.name in ("gen-2", "constant"))
    assert len(scene.server.lines("configuration not reloaded; the last good one stays")) == 1

    def repair(path, text):
        if path.is_dir():
            path.rmdir()
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    scene.change(repair)
    await_that(lambda: scene.server.health("/readyz").body["text"] == "ok")
    scene.finish()


def test_the_same_bytes_after_a_deletion_end_the_complaint(stage):
    scene = stage()
    text = scene.path.read_text()
    scene.path.unlink()
    await_that(lambda: scene.server.metric(READY) == 0)
    scene.path.write_text(text)
    await_that(lambda: scene.server.metric(READY) == 1)
    assert scene.server.health("/readyz").body["text"] == "ok"
    scene.finish()


class TestWhatIsLive:
    """Each change is the file's next content; a client asks until it shows."""

    @pytest.fixture
    def scene(self, stage):
        scene = stage()
        scene.load.stop()
        return scene

    @pytest.fixture
    def ask(self, scene, aws):
        role = aws.directory.add_role("Changing", ACCOUNT)
        with scene.server.client() as client:
            yield lambda **how: client.review(signed(aws.directory.open_session(role, "jane").keys, **how))

    def set(self, scene: Scene, shows: Callable[[], bool], config: dict) -> None:
        replace(scene.path, rendered(config))
        written = time.monotonic()
        await_that(shows)
        assert time.monotonic() - written < LIVE_SECONDS + 0.2, "live too late"

    def test_groups(self, scene, ask):
        assert ask().user["groups"] == ["everybody"]
        config = scene.config(1)
        config["server"]["mapRoles"][0]["groups"] = ["nobody", "else"]
        self.set(scene, lambda: ask().user["groups"] == ["nobody", "else"], config)

    def test_a_removed_mapping(self, scene, ask):
        assert ask().granted
        config = scene.config(1)
        del config["server"]["mapRoles"][0]
        self.set(scene, lambda: not ask().granted, config)
        assert ask().reason == "identity_not_mapped"

    def test_scrubbed_accounts(self, scene, ask):
        assert "extra" in ask().user
        self.set(scene, lambda: "extra" not in ask().user, scene.config(1, scrubbedAccounts=[ACCOUNT]))
        assert ask().user["uid"] == "aws-iam-authenticator:administrative:gen-1"

    def test_reserved_prefixes(self, scene, ask):
        assert ask().granted
        reserved = [{"backendMode": "MountedFile", "usernamePrefixReserveList": ["gen-"]}]
        self.set(scene, lambda: not ask().granted, scene.config(1, reservedPrefixConfig=reserved))
        assert ask().reason == "username_not_allowed"

    def test_the_cluster_id_and_the_accepted_ones(self, scene, ask):
        assert ask().granted
        assert ask(cluster_id="next").reason == "cluster_id_mismatch_or_bad_signature"
        both = {**scene.config(1), "clusterID": "next", "acceptedClusterIDs": [CLUSTER]}
        self.set(scene, lambda: ask(cluster_id="next").granted, both)
        assert ask().granted
        self.set(scene, lambda: not ask().granted, {**scene.config(1), "clusterID": "next"})
        assert ask(cluster_id="next").granted

    def test_allowed_regions(self, scene, ask):
        assert ask().granted
        self.set(scene, lambda: not ask().granted, scene.config(1, allowedRegions=["eu-central-1"]))
        assert ask().reason == "sts_host_not_allowed"
        self.set(scene, lambda: ask().granted, scene.config(1, allowedRegions=["us-west-2"]))

    def test_the_longest_body(self, scene):
        def status() -> int | None:
            # A refused body is not read; who is still sending it then may miss the answer.
            with contextlib.suppress(OSError), scene.server.client() as client:
                return client.post(asked("k8s-aws-v1.x", padding=30_000)).status

        assert status() == 200
        self.set(scene, lambda: status() == 413, scene.config(1, limits={"body": 24_576}))
        self.set(scene, lambda: status() == 200, scene.config(1))

    def test_the_oldest_token(self, scene, aws):
        session = aws.directory.open_session(aws.directory.add_role("Changing", ACCOUNT), "jane")
        token = signed(session.keys, age=300)
        assert scene.server.review(token).granted
        self.set(scene, lambda: not scene.server.review(token).granted, scene.config(1, maxTokenAge=120))
        assert scene.server.review(token).reason == "token_expired"

    @pytest.mark.parametrize(
        ("key", "value"), [("port", 1), ("address", "127.0.0.2"), ("healthAddress", "127.0.0.1:1")]
    )
    def test_what_takes_a_restart_is_named(self, scene, ask, key, value):
        replace(scene.path, scene.text(2, **{key: value}))
        line = scene.server.await_log(r".*takes effect after a restart.*").group()
        assert f"server.{key}" in line
        await_that(lambda: ask().user["username"] == "gen-2")


class TestMissingAtTheStart:
    """Under our own name a server without its file waits for it."""

    @pytest.fixture(params=["missing", "bad"])
    def path(self, request, tmp_path):
        (tmp_path / "etc").mkdir()
        path = tmp_path / "etc" / "config.yaml"
        if request.param == "bad":
            path.write_text("clusterID: [\n")
        return path

    @pytest.fixture
    def server(self, binary, path, aws, tmp_path):
        # What takes a restart is what flags say. The health port cannot be said by a flag: its paths are asked for on
        # the other one.
        flags = {
            "config": path,
            "port": 0,
            "state-dir": tmp_path / "state",
            "generate-kubeconfig": tmp_path / "kubeconfig.yaml",
        }
        (tmp_path / "state").mkdir()
        server = Server([binary, "server", *(f"--{flag}={value}" for flag, value in flags.items())], tmp_path / "state")
        server.health_port = None
        yield server
        server.stop()

    def test_it_is_alive_and_not_ready_until_the_file_is_repaired(self, server, path, aws, tmp_path):
        with server.client() as client:
            assert client.get("/livez").status == 200
            ready = client.get("/readyz")
            assert (ready.status, ready.body["text"].splitlines()[-1]) == (503, "not ready")
            unsure = client.review("k8s-aws-v1.AAAA")
            assert unsure.status == 504 and "retry-after" not in unsure.headers
            path.write_text(rendered(configuration(tmp_path, aws)))
            repaired = time.monotonic()
            await_that(lambda: client.get("/readyz").status == 200)
            assert time.monotonic() - repaired < LIVE_SECONDS
            assert client.review("k8s-aws-v1.AAAA").reason == "token_malformed"


def test_under_the_reference_s_name_a_missing_file_ends_it(binary, tmp_path):
    link = tmp_path / "aws-iam-authenticator"
    link.symlink_to(binary)
    command = [link, "server", "--config", tmp_path / "config.yaml", "--port=0", f"--state-dir={tmp_path}"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert ran.returncode == 1, shlex.join(map(str, command))
    assert "Can't read configuration file" in ran.stderr
