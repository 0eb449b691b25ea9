"""The whole stand-in: every service on its own port of one address, one directory of principals behind them.

As a program (`python stand_in.py --ready-file FILE`) it writes one JSON object with the ports, the CA's path and a
user's documentation keys to FILE, and serves until it is interrupted or its standard input closes.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from amazon import hosts
from amazon.accounts import Directory, Keys
from amazon.authority import issue
from amazon.loopback import LOOPBACK, Service
from amazon.machine import CONTAINER_PATH, Container, Instance
from amazon.sso import Sso
from amazon.sts import Sts

ACCOUNT = "123456789012"
REGION = "us-west-2"
# AWS's documentation keys: they open nothing.
DOCUMENTED = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


class StandIn:
    """Running from construction until `close`. Certificates go into `directory`; all services listen on `host`."""

    def __init__(self, directory: Path, host: str = LOOPBACK):
        self.directory = Directory()
        self.user = self.directory.add_user("alice", ACCOUNT, keys=DOCUMENTED)
        self.sts = Sts(self.directory)
        self.sso = Sso(self.directory, "alice@example.com")
        task, node = (self.directory.add_role(name, ACCOUNT) for name in ("TaskRole", "NodeRole"))
        self.container = Container(self.directory, task)
        self.ca, certificate = issue(directory, [host.name for host in hosts.ALL])
        self.sts_tls = Service(self.sts.answer, certificate, host=host)
        self.sts_http = Service(self.sts.answer, host=host)
        self.portal = Service(self.sso.portal, host=host)
        self.oidc = Service(self.sso.oidc, host=host)
        self.containers = Service(self.container.answer, host=host)
        self.imds = Service(Instance(self.directory, node, REGION).answer, host=host)
        self.bare_imds = Service(Instance(self.directory, None, REGION).answer, host=host)

    @property
    def services(self) -> list[Service]:
        return [
            self.sts_tls,
            self.sts_http,
            self.portal,
            self.oidc,
            self.containers,
            self.imds,
            self.bare_imds,
        ]

    @property
    def connect_to(self) -> dict[str, str]:
        """For `server.sts.connectTo`: each STS host name, and where it is answered."""
        return {host.name: self.sts_tls.address for host in hosts.ALL}

    def environment(self) -> dict[str, str]:
        """The endpoints a client needs to find every service but STS, at which a token is aimed by its real name."""
        return {
            "AWS_ENDPOINT_URL_SSO": self.portal.url,
            "AWS_ENDPOINT_URL_SSO_OIDC": self.oidc.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.imds.url,
        }

    @property
    def container_uri(self) -> str:
        return self.containers.url + CONTAINER_PATH

    @property
    def faults(self) -> list[str]:
        return [fault for service in self.services for fault in service.record.faults]

    def clear(self) -> None:
        """Forgets what was counted and mends what was broken; principals stay."""
        self.sts.clear()
        for service in self.services:
            service.record.clear()

    def close(self) -> None:
        for service in self.services:
            service.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ready-file", type=Path, required=True, help="written, whole, once every port answers")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        stand_in = StandIn(Path(directory))
        ready = {
            "caFile": str(stand_in.ca),
            "connectTo": stand_in.connect_to,
            "port": stand_in.sts_tls.port,
            "environment": {
                **stand_in.environment(),
                **stand_in.user.keys.environment(),
                "AWS_REGION": REGION,
            },
            "arn": stand_in.user.arn,
        }
        incomplete = arguments.ready_file.with_name(f".{arguments.ready_file.name}.incomplete")
        incomplete.write_text(json.dumps(ready))
        incomplete.rename(arguments.ready_file)
        print(json.dumps(ready), flush=True)
        try:
            sys.stdin.read()
        except KeyboardInterrupt:
            pass
        stand_in.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
