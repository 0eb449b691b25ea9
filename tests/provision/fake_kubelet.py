"""Plays kubelet for one run of iamgate: starts what the manifests say, and stops what they do not say any more.

    fake_kubelet.py SETTINGS COMMAND...

Meant for namespaces of its own (processes, network), as its first process: all that it starts ends with it, and no other
machine's kube-apiserver can be taken for this one's. SETTINGS is a JSON object: `root`, `binary`, `apiserver` (how each API
server in turn behaves: ready, failing, dies, never; the last goes on), `authenticator` (runs or never) and `lingers` (for how
many seconds the API server of before goes on answering). Exits as COMMAND does. Tells what it did on the file `told`.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml
from inotify_simple import INotify, flags

HERE = Path(__file__).parent
PYTHON = os.path.realpath(sys.executable)
# Beyond this, something is stuck that is not what is tested.
START_LIMIT_SECONDS = 10
# From the event to the start of the program.
HASTE_SECONDS = 0.1
END = ".end-of-the-run"


class Kubelet:
    def __init__(self, settings: dict):
        self.root = Path(settings["root"])
        self.manifests = self.root / "etc/kubernetes/manifests"
        self.binary = settings["binary"]
        self.behaviours = list(settings["apiserver"])
        self.authenticator = settings["authenticator"]
        self.lingers = settings["lingers"]
        self.told = (self.root.parent / "told").open("w")
        self.running: dict[str, subprocess.Popen] = {}
        self.ended = threading.Event()
        self.watch = INotify()
        self.watch.add_watch(self.manifests, flags.MOVED_TO | flags.DELETE | flags.CREATE | flags.MODIFY | flags.ATTRIB)

    def tell(self, what: str) -> None:
        print(what, file=self.told, flush=True)

    def follow(self) -> None:
        while True:
            for event in self.watch.read():
                if event.name == END:
                    self.ended.set()
                if not event.name.startswith("."):
                    self.tell(f"{flags.from_mask(event.mask)[0].name} {event.name}")
                    time.sleep(HASTE_SECONDS)
                    self.sync(event.name)

    def sync(self, name: str) -> None:
        """Stops the pod of that file, and starts what the file says now."""
        file = self.manifests / name
        start = {"kube-apiserver.yaml": self.start_apiserver, "iamgate.yaml": self.start_authenticator}.get(name)
        if not start:
            return
        if old := self.running.pop(name, None):
            if name == "kube-apiserver.yaml":
                time.sleep(self.lingers)
            old.kill()
            old.wait()
            self.tell(f"stopped {name}")
        if file.exists() and (process := start(file)):
            self.running[name] = process
            self.tell(f"started {name}")

    def start_apiserver(self, file: Path) -> subprocess.Popen | None:
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        if behaviour == "never":
            return None
        words = yaml.safe_load(file.read_text())["spec"]["containers"][0]["command"]
        value = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        place = lambda flag: f"{self.root}{value[flag]}"  # noqa: E731
        arguments = [value["secure-port"], place("tls-cert-file"), place("tls-private-key-file")]
        arguments += [place("kubelet-client-certificate"), behaviour]
        return self.start(["kube-apiserver", HERE / "fake_apiserver.py", *arguments], PYTHON)

    def start_authenticator(self, file: Path) -> subprocess.Popen | None:
        if self.authenticator == "never":
            return None
        words = yaml.safe_load(file.read_text())["spec"]["containers"][0]["command"]
        # The pod's mounts are at their places on the host.
        words = [word.replace("=/", f"={self.root}/") for word in words]
        return self.start(words, self.binary)

    def start(self, words: list, executable: str) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONHOME": sys.base_prefix, "AWS_EC2_METADATA_DISABLED": "true"}
        log = (self.root.parent / f"{Path(words[0]).name}.log").open("a")
        return subprocess.Popen(words, executable=executable, env=environment, stdout=log, stderr=log)


def main(settings: str, *command: str) -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    kubelet = Kubelet(json.loads(settings))
    kubelet.sync("kube-apiserver.yaml")
    kubelet.sync("iamgate.yaml")
    if "kube-apiserver.yaml" in kubelet.running:
        wait_for(6443)
    threading.Thread(target=kubelet.follow, daemon=True).start()
    status = subprocess.run(command, check=False).returncode
    # All that it did has been seen when this has.
    (kubelet.manifests / END).touch()
    (kubelet.manifests / END).unlink()
    kubelet.ended.wait(START_LIMIT_SECONDS)
    return status


def wait_for(port: int) -> None:
    import socket

    end = time.monotonic() + START_LIMIT_SECONDS
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on {port}")


# No exit handlers: the thread is in the middle of a read.
if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))
