"""What the tests share: one stand-in for the run, one ordinary webhook for a file, one empty workstation for a test.

From the repository's root, with a built binary:

    python3 -m venv .venv && .venv/bin/pip install -r tests/aws/requirements.txt
    IAMGATE_BIN=target/debug/iamgate .venv/bin/python -m pytest tests/aws
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from amazon.accounts import Caller, Role
from server_process import Server, Webhook, configuration, rendered
from stand_in import ACCOUNT, StandIn
from verdicts import Trial
from webhook import CLUSTER, signed
from workstation import Workstation

SESSION_NAME = "jane@example.com"


@pytest.fixture(scope="session", autouse=True)
def no_ambient_credentials():
    """boto3 runs inside this process: what the caller of the tests has set must not reach it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


@pytest.fixture(scope="session")
def binary() -> Path:
    path = os.environ.get("IAMGATE_BIN")
    if not path or not os.access(path, os.X_OK):
        pytest.fail("IAMGATE_BIN must be the path of the iamgate binary: cargo build, then target/debug/iamgate")
    return Path(path).absolute()


@pytest.fixture(scope="session")
def running_stand_in(tmp_path_factory):
    stand_in = StandIn(tmp_path_factory.mktemp("stand-in"))
    yield stand_in
    stand_in.close()


@pytest.fixture
def aws(running_stand_in) -> StandIn:
    """The stand-in, with nothing counted yet."""
    running_stand_in.clear()
    yield running_stand_in
    assert running_stand_in.faults == []


@pytest.fixture(scope="session")
def developer(running_stand_in) -> Role:
    """A mapped role."""
    return running_stand_in.directory.add_role("Developer", ACCOUNT)


@pytest.fixture
def session(aws, developer) -> Caller:
    """A session on it that no other test has used."""
    return aws.directory.open_session(developer, SESSION_NAME)


@pytest.fixture(scope="session")
def mappings(running_stand_in, developer) -> dict:
    running_stand_in.sso.assign("ViewOnly", ACCOUNT)
    user = running_stand_in.user
    return {
        "mapRoles": [
            {
                "rolearn": developer.arn,
                "username": "dev:{{SessionName}}",
                "groups": ["developers", "account-{{AccountID}}"],
            },
            {"rolearn": f"arn:aws:iam::{ACCOUNT}:role/TaskRole", "username": "task:{{SessionName}}", "groups": []},
            {"rolearn": f"arn:aws:iam::{ACCOUNT}:role/NodeRole", "username": "node:{{SessionName}}", "groups": []},
            {
                "sso": {"permissionSetName": "ViewOnly", "accountID": ACCOUNT},
                "username": "view:{{SessionName}}",
                "groups": ["viewers"],
            },
        ],
        "mapUsers": [{"userarn": user.arn, "username": "alice", "groups": ["admins"]}],
    }


@pytest.fixture(scope="module")
def start_webhook(binary, running_stand_in, mappings, tmp_path_factory) -> Callable[[dict], Webhook]:
    """Starts a server with `config` over the ordinary one.

    After the file's last test it is stopped and its log searched for secrets.
    """
    running: list[Webhook] = []

    def start(config: dict) -> Webhook:
        server = {
            "sts": {"connectTo": running_stand_in.connect_to, "caFile": str(running_stand_in.ca)},
            **mappings,
            **config.get("server", {}),
        }
        environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": running_stand_in.bare_imds.url}
        directory = tmp_path_factory.mktemp("webhook")
        webhook = Webhook(binary, directory, {**config, "server": server}, environment)
        running.append(webhook)
        return webhook

    yield start
    for webhook in running:
        webhook.close()


@pytest.fixture(scope="module")
def ordinary_webhook(start_webhook) -> Webhook:
    return start_webhook({})


@pytest.fixture
def webhook(aws, ordinary_webhook) -> Webhook:
    return ordinary_webhook


@pytest.fixture
def mint(aws) -> Callable[..., str]:
    """Makes a token of a new session on the role that `start` maps."""
    role = aws.directory.add_role("Process", ACCOUNT)
    return lambda cluster_id=CLUSTER: signed(aws.directory.open_session(role, "jane").keys, cluster_id)


@pytest.fixture
def start(binary, aws, tmp_path) -> Callable[..., Server]:
    """Starts a server with `settings` in its section of the file; `wrapper` is what starts the binary.

    Afterwards it must end well, having told nothing.
    """
    running: list[Server] = []

    def start(wrapper: tuple[str, ...] = (), arguments: tuple[str, ...] = (), **settings) -> Server:
        role = {"rolearn": f"arn:aws:iam::{ACCOUNT}:role/Process", "username": "process"}
        config, state = tmp_path / "config.yaml", tmp_path / "state"
        config.write_text(rendered(configuration(tmp_path, aws, mapRoles=[role], **settings)))
        state.mkdir(exist_ok=True)
        running.append(Server([*wrapper, binary, "server", "--config", config, *arguments], state))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def start_trial(binary, running_stand_in, tmp_path_factory) -> Callable[..., Trial]:
    """Starts a server with `settings` in its `sts` section, and the STS that is to misbehave."""
    running: list[Trial] = []

    def start(**settings) -> Trial:
        running.append(Trial(binary, running_stand_in, tmp_path_factory.mktemp("trial"), **settings))
        return running[-1]

    yield start
    for trial in running:
        trial.close()


@pytest.fixture
def workstation(binary, tmp_path, aws) -> Workstation:
    return Workstation(binary, tmp_path, aws)
