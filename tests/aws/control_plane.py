"""A real etcd and real kube-apiservers on loopback, in a directory that the caller removes.

No kubelet, no controller: enough to sign in and be authorised. The programs are the pinned ones of `tests/cluster`.
No port is chosen beforehand: etcd listens on a socket file, and an API server shares a port that is held for it.
"""

import datetime
import http.client
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT = Path(__file__).resolve().parents[2]
# An API server is ready in 4 to 8 s here; other work beside it can make that several times longer.
READY_SECONDS = 120
# Both leave within 2 s of SIGTERM unless they are stuck.
STOP_SECONDS = 20
POLL_SECONDS = 0.1
LIFETIME = datetime.timedelta(hours=1)
# In etcd's grammar a socket file is named like an address; it appears in the working directory.
ETCD_SOCKET = "unix://localhost:2379"


def programs() -> Path:
    """The directory with kube-apiserver and kubectl, built if they are not there yet."""
    built = subprocess.run([ROOT / "tests/cluster/binaries"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(built.stdout.strip())


def etcd_program(assets: Path) -> str:
    unpacked = ROOT / ".cache/tools/etcd/usr/bin"
    found = shutil.which("etcd", path=os.pathsep.join([str(assets), os.environ.get("PATH", ""), str(unpacked)]))
    assert found, "etcd is on no known path: run scripts/tools etcd"
    return found


class Process:
    """A program of the control plane, its output in NAME.log. Stopped by its own id."""

    def __init__(self, name: str, directory: Path, command: list):
        self._log_file = directory / f"{name}.log"
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env={"HOME": str(directory), "PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._name = name

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def assert_running(self) -> None:
        status = self._process.poll()
        assert status is None, f"{self._name} left with {status}:\n{self.log[-4000:]}"

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Cluster:
    """One etcd and one authority; any number of API servers over them, each with its own webhook settings."""

    def __init__(self, directory: Path):
        self.programs = programs()
        self._directory = directory
        self._authority = Authority(directory)
        self._authority.issue("apiserver", "kube-apiserver", server=True)
        # Members of this group may do everything, whatever RBAC says.
        self._authority.issue("admin", "root", organization="system:masters")
        self._authority.issue("service-account", "service-account")
        command = [
            etcd_program(self.programs),
            f"--data-dir={directory / 'etcd'}",
            f"--listen-client-urls={ETCD_SOCKET}",
            f"--advertise-client-urls={ETCD_SOCKET}",
            "--listen-peer-urls=unix://localhost:2380",
            "--initial-advertise-peer-urls=http://localhost:2380",
            "--initial-cluster=default=http://localhost:2380",
            "--unsafe-no-fsync",
        ]
        self._running: list[ApiServer | Process] = [Process("etcd", directory, command)]

    def start_api_server(self, name: str, webhook_kubeconfig: Path, webhook_version: str) -> "ApiServer":
        server = ApiServer(name, self.programs, self._directory, webhook_kubeconfig, webhook_version)
        self._running.append(server)
        server.await_ready()
        return server

    def close(self) -> None:
        for process in reversed(self._running):
            process.close()


class ApiServer:
    """A kube-apiserver with RBAC that asks a webhook about bearer tokens; client certificates work beside it."""

    def __init__(self, name: str, assets: Path, directory: Path, webhook_kubeconfig: Path, webhook_version: str):
        self._directory = directory
        # Bound and never listening: it keeps the port ours, and kube-apiserver shares it.
        self._port_holder = socket.socket()
        self._port_holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._port_holder.bind(("127.0.0.1", 0))
        self._port = self._port_holder.getsockname()[1]
        command = [
            assets / "kube-apiserver",
            f"--etcd-servers={ETCD_SOCKET}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self._port}",
            "--permit-port-sharing",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--tls-cert-file=apiserver.pem",
            "--tls-private-key-file=apiserver-key.pem",
            "--client-ca-file=ca.pem",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=service-account.pem",
            "--service-account-signing-key-file=service-account-key.pem",
            "--authorization-mode=RBAC",
            f"--authentication-token-webhook-config-file={webhook_kubeconfig}",
            f"--authentication-token-webhook-version={webhook_version}",
            "--authentication-token-webhook-cache-ttl=0s",
        ]
        self._process = Process(name, directory, command)

    @property
    def log(self) -> str:
        return self._process.log

    def await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            self._process.assert_running()
            assert time.monotonic() < deadline, f"not ready after {READY_SECONDS} s:\n{self.log[-4000:]}"
            time.sleep(POLL_SECONDS)

    def kubeconfig(self, path: Path, user: dict) -> Path:
        """Writes the file a person would have: this cluster, and `user` as its only user."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {
                        "server": f"https://127.0.0.1:{self._port}",
                        "certificate-authority": str(self._directory / "ca.pem"),
                    },
                }
            ],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "me"}}],
            "current-context": "test",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path

    @property
    def administrator(self) -> dict:
        """The user entry of someone with a client certificate."""
        return {
            "client-certificate": str(self._directory / "admin.pem"),
            "client-key": str(self._directory / "admin-key.pem"),
        }

    def close(self) -> None:
        self._process.close()
        self._port_holder.close()

    def _ready(self) -> bool:
        tls = ssl.create_default_context(cafile=self._directory / "ca.pem")
        tls.load_cert_chain(self._directory / "admin.pem", self._directory / "admin-key.pem")
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=tls, timeout=READY_SECONDS)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


class Authority:
    """The cluster's certificate authority, good for an hour."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throw-away cluster authority")])
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        (directory / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, file: str, name: str, organization: str | None = None, server: bool = False) -> None:
        """Writes FILE.pem and FILE-key.pem for a client, or for a server on 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if organization is not None:
            subject.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            self._builder(x509.Name(subject), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if server:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        (self._directory / f"{file}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file = self._directory / f"{file}-key.pem"
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + LIFETIME)
        )
