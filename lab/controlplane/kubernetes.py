"""etcd, kube-apiserver and kube-controller-manager as plain processes, RBAC on, everything on 127.0.0.1.

There is no scheduler and no kubelet: a Pod is ready when its status says so, and that is for whoever runs it to say
(kubelet.py). The tokens of the fixed users are made at every start, into a file of mode 0600 that the API server reads.
"""

import asyncio
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lab import tools
from lab.controlplane import build
from lab.controlplane.api import Api
from lab.processes import LabError, Process, Processes, free_port, http_get, until

USERS = {  # user: groups
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "stand-in": "system:masters",
}
# Cores are few and memory is there: Go's programs collect garbage when they hold five times what is live, or a gigabyte.
GO = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}


def private(path: Path, text: str) -> Path:
    """Write a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
    return path


def kubeconfig(path: Path, url: str, ca: Path, token: Path, namespace: str = "default") -> Path:
    """A kubeconfig whose token stays in its own file."""
    context = {"cluster": "local", "user": "local", "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": url, "certificate-authority": str(ca)}}],
        "users": [{"name": "local", "user": {"tokenFile": str(token)}}],
        "contexts": [{"name": "local", "context": context}],
        "current-context": "local",
    }
    return private(path, json.dumps(config))


@dataclass
class Kubernetes:
    """The three processes and their folder."""

    folder: Path
    processes: Processes
    port: int = field(default_factory=free_port)
    etcd_port: int = field(default_factory=free_port)
    etcd_peer: int = field(default_factory=free_port)
    etcd: Process | None = None
    server: Process | None = None
    manager: Process | None = None

    @property
    def url(self) -> str:
        """The API server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        """The certificate that signs the API server's."""
        return self.folder / "certificates" / "apiserver.crt"

    def token(self, user: str) -> Path:
        """The file with a fixed user's token."""
        return self.folder / "tokens" / user.rpartition(":")[2]

    def api(self, user: str = "admin") -> Api:
        """A fixed user's client."""
        return Api(self.url, self.ca, self.token(user), manager=user)

    async def start(self) -> None:
        """Start in order; ready when the API server says so."""
        rows = []
        for user, groups in USERS.items():
            token = secrets.token_urlsafe(32)
            private(self.token(user), token)
            rows.append(f'{token},{user},{user},"{groups}"\n' if groups else f"{token},{user},{user}\n")
        private(self.folder / "tokens" / "users.csv", "".join(rows))
        key = self.folder / "service-accounts.key"
        pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        form = (Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        private(key, pair.private_bytes(*form).decode())
        await self.start_etcd()
        await self.start_server()
        own = kubeconfig(self.folder / "manager.yaml", self.url, self.ca, self.token("system:kube-controller-manager"))
        self.manager = self.processes.start(
            "kube-controller-manager",
            [
                build.program("kube-controller-manager"),
                f"--kubeconfig={own}",
                f"--authentication-kubeconfig={own}",
                f"--authorization-kubeconfig={own}",
                f"--service-account-private-key-file={key}",
                f"--root-ca-file={self.ca}",
                "--use-service-account-credentials",
                "--controllers=*,-nodelifecycle,-cloud-node-lifecycle,-attachdetach",
                "--leader-elect=false",
                "--secure-port=0",
                "--concurrent-deployment-syncs=5",
            ],
            env={**os.environ, **GO},
        )

    async def start_etcd(self) -> None:
        """Start etcd on its folder."""
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.etcd_peer}"
        self.etcd = self.processes.start(
            "etcd",
            [
                tools.found("etcd") or "etcd",
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
            ],
            env={**os.environ, **GO},
        )

        async def healthy() -> bool:
            return '"health":"true"' in (await http_get(f"{client}/health"))[1]

        await until("etcd is healthy", healthy, 20, self.etcd)

    async def start_server(self) -> None:
        """Start the API server; its certificate is made when there is none."""
        key = self.folder / "service-accounts.key"
        self.server = self.processes.start(
            "kube-apiserver",
            [
                build.program("kube-apiserver"),
                f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
                f"--cert-dir={self.ca.parent}",
                f"--secure-port={self.port}",
                "--bind-address=127.0.0.1",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                f"--token-auth-file={self.folder / 'tokens' / 'users.csv'}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--allow-privileged",
                "--endpoint-reconciler-type=none",
            ],
            env={**os.environ, **GO},
        )
        for _ in range(100):
            if self.ca.exists() or not self.server.running:
                break
            await asyncio.sleep(0.1)

        async def ready() -> bool:
            try:
                async with self.api() as api:
                    said = await api.ask("GET", "/readyz")
                    await api.ask("GET", "/api/v1/namespaces/default")
            except LabError:
                return False
            return "ok" in str(said)

        await until("the API server is ready", ready, 60, self.server)
