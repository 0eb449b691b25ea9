"""iamgate on a host, pointed at the stand-in.

`install` is all that tests know of how it gets there. It does by hand what one command is to do:
`iamgate provision --wait`.
"""

import hashlib
from pathlib import Path

import yaml

from amazon.authority import Authority
from hosts import MANIFESTS, PATIENCE_SECONDS, Host, await_that
from stand_in import StandIn

CONFIG = "/etc/aws-iam-authenticator/config.yaml"
STS_CA = "/etc/aws-iam-authenticator/sts-ca.pem"
STATE = "/var/aws-iam-authenticator"
WEBHOOK = "/etc/kubernetes/aws-iam-authenticator"
MANIFEST = f"{MANIFESTS}/iamgate.yaml"
API_SERVER = f"{MANIFESTS}/kube-apiserver.yaml"
# The user of our pod.
USER = 10000


def configure(host: Host, cluster_id: str, aws: StandIn, mappings: dict) -> None:
    """What a user writes: the configuration, and here also whom to trust as STS."""
    host.put(STS_CA, aws.ca.read_bytes())
    host.put(CONFIG, configuration(cluster_id, aws, mappings), 0o640, USER)


def configuration(cluster_id: str, aws: StandIn, mappings: dict) -> str:
    sts = {"connectTo": aws.connect_to, "caFile": STS_CA}
    return yaml.safe_dump({"clusterID": cluster_id, "server": {"sts": sts, **mappings}}, sort_keys=False)


def install(host: Host, binary: Path) -> None:
    """The configuration is there; afterwards our pod answers and a new API server asks it."""
    authority = Authority()
    certificate, key = authority.leaf(["localhost", "127.0.0.1"])
    for path in (STATE, WEBHOOK):
        host.path(path).mkdir(parents=True, exist_ok=True)
    host.put(f"{STATE}/cert.pem", certificate, 0o644, USER)
    host.put(f"{STATE}/key.pem", key, 0o600, USER)
    host.put(f"{WEBHOOK}/ca.pem", authority.pem)
    host.put(f"{WEBHOOK}/kubeconfig.yaml", yaml.safe_dump(_webhook_kubeconfig()))
    content = binary.read_bytes()
    directory = f"/var/lib/iamgate/bin/{hashlib.sha256(content).hexdigest()[:12]}"
    host.put(f"{directory}/iamgate", content, 0o755)
    manifest = yaml.safe_load(host.path(API_SERVER).read_text())
    host.put(MANIFEST, yaml.safe_dump(_static_pod(manifest["spec"]["containers"][0]["image"], directory)), 0o600)
    await_healthy(host)
    with host.api_server_restarts():
        host.put(API_SERVER, yaml.safe_dump(_asking_us(manifest), sort_keys=False), 0o600)


def await_healthy(host: Host, seconds: float = PATIENCE_SECONDS) -> None:
    await_that(lambda: answers(host), seconds, f"our pod on {host.name} answers")


def answers(host: Host) -> bool:
    """Whether the server answers on the host's loopback address."""
    script = 'exec 3<>/dev/tcp/127.0.0.1/21363; printf "GET /readyz HTTP/1.0\\r\\n\\r\\n" >&3; head -n 1 <&3'
    return " 200 " in host.attempt("timeout", "5", "bash", "-c", script).stdout


def _webhook_kubeconfig() -> dict:
    cluster = {"server": "https://127.0.0.1:21362/authenticate", "certificate-authority": f"{WEBHOOK}/ca.pem"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "aws-iam-authenticator", "cluster": cluster}],
        "users": [{"name": "apiserver"}],
        "contexts": [{"name": "webhook", "context": {"cluster": "aws-iam-authenticator", "user": "apiserver"}}],
        "current-context": "webhook",
    }


def _static_pod(image: str, directory: str) -> dict:
    """The host's own binary in an image that is on the host anyway."""
    arguments = ["server", f"--config={CONFIG}", f"--state-dir={STATE}", "--kubeconfig-pregenerated=true"]
    volumes = {"binary": (directory, directory), "config": (str(Path(CONFIG).parent),) * 2, "state": (STATE, STATE)}
    probe = {"httpGet": {"host": "127.0.0.1", "port": 21363, "path": "/healthz"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "iamgate", "namespace": "kube-system", "labels": {"k8s-app": "iamgate"}},
        "spec": {
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "priority": 2000001000,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsUser": USER,
                "runAsGroup": USER,
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "iamgate",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": [f"{directory}/iamgate", *arguments],
                    "resources": {"requests": {"cpu": "10m", "memory": "20Mi"}, "limits": {"memory": "20Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "livenessProbe": probe,
                    "readinessProbe": {**probe, "httpGet": {**probe["httpGet"], "path": "/readyz"}},
                    "volumeMounts": [
                        {"name": name, "mountPath": inside, "readOnly": True} for name, (_, inside) in volumes.items()
                    ],
                }
            ],
            "volumes": [
                {"name": name, "hostPath": {"path": outside, "type": "Directory"}}
                for name, (outside, _) in volumes.items()
            ],
        },
    }


def _asking_us(manifest: dict) -> dict:
    """The API server's manifest with what points it at us: flags, volume and mount."""
    container = manifest["spec"]["containers"][0]
    container["command"] += [
        f"--authentication-token-webhook-config-file={WEBHOOK}/kubeconfig.yaml",
        "--authentication-token-webhook-version=v1",
    ]
    container["volumeMounts"].append({"name": "aws-iam-authenticator", "mountPath": WEBHOOK, "readOnly": True})
    volume = {"name": "aws-iam-authenticator", "hostPath": {"path": WEBHOOK, "type": "Directory"}}
    manifest["spec"]["volumes"].append(volume)
    return manifest
