"""What the tests share: a host that is a directory in memory.

From the repository's root, with a built binary, as root:

    IAMGATE_BIN=target/debug/iamgate scripts/pytest tests/provision
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control_plane_host import Host


@pytest.fixture(scope="session")
def binary() -> Path:
    path = os.environ.get("IAMGATE_BIN")
    if not path or not os.access(path, os.X_OK):
        pytest.fail("IAMGATE_BIN must be the path of the iamgate binary: cargo build, then target/debug/iamgate")
    if os.geteuid() != 0:
        pytest.fail("these tests give files away and need root")
    return Path(path).absolute()


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory for this test. In memory where there is some: thousands of runs each wait for the disk otherwise."""
    memory = Path("/dev/shm")
    directory = tempfile.mkdtemp(prefix="iamgate-", dir=memory if os.access(memory, os.W_OK) else None)
    os.chmod(directory, 0o755)
    yield Path(directory).resolve()
    shutil.rmtree(directory)


@pytest.fixture
def make_host(binary, room) -> Callable[..., Host]:
    """Makes a host as an installer leaves it."""

    def make(*arguments: str, manifest=None, name: str = "host") -> Host:
        host = Host(binary, room / name, *arguments)
        return host.install(manifest) if manifest else host.install()

    return make


@pytest.fixture
def host(make_host) -> Host:
    return make_host()
