"""A small client of the Kubernetes API: objects as plain values, server-side apply, watches that survive a restart of the server.

A token is read from its file (0600) and never stands on a command line. What the server refuses is an ApiError with its words.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import yaml

from lab.processes import LabError

Object = dict[str, Any]
OLDEST = ("CustomResourceDefinition", "Namespace")  # applied first: the rest needs them


class ApiError(LabError):
    """The API server said no."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"{status}: {message}")


@dataclass(frozen=True)
class Kind:
    """Where a kind's objects live. api: api/v1, or apis/<group>/<version>."""

    api: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", sub: str = "") -> str:
        """The path of a list, an object or a subresource; all namespaces without one."""
        parts = [self.api]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, sub) if part]
        return "/" + "/".join(parts)


PODS = Kind("api/v1", "pods")
SERVICES = Kind("api/v1", "services")
SECRETS = Kind("api/v1", "secrets")
CONFIGMAPS = Kind("api/v1", "configmaps")
NAMESPACES = Kind("api/v1", "namespaces", namespaced=False)
SERVICE_ACCOUNTS = Kind("api/v1", "serviceaccounts")
DEPLOYMENTS = Kind("apis/apps/v1", "deployments")
POD_MONITORS = Kind("apis/monitoring.coreos.com/v1", "podmonitors")
VIRTUAL_SERVICES = Kind("apis/networking.istio.io/v1", "virtualservices")
DESTINATION_RULES = Kind("apis/networking.istio.io/v1", "destinationrules")
SELDON_DEPLOYMENTS = Kind("apis/machinelearning.seldon.io/v1", "seldondeployments")
APPLICATIONS = Kind("apis/argoproj.io/v1alpha1", "applications")
APPLICATION_SETS = Kind("apis/argoproj.io/v1alpha1", "applicationsets")


@dataclass
class Api:
    """One user's way to the API server."""

    url: str
    ca: Path
    token: Path
    manager: str = "controlplane"  # the field manager of what is applied
    _session: aiohttp.ClientSession | None = None
    _kinds: dict[tuple[str, str], Kind] = field(default_factory=dict)

    @classmethod
    def of(cls, kubeconfig: Path, manager: str) -> Self:
        """The way that a kubeconfig's current context names; LabError where it names none."""
        try:
            config = yaml.safe_load(kubeconfig.read_text())
            context = _named(config, "context", config["current-context"])
            cluster, user = _named(config, "cluster", context["cluster"]), _named(config, "user", context["user"])
            return cls(cluster["server"], Path(cluster["certificate-authority"]), Path(user["tokenFile"]), manager)
        except OSError as error:
            raise LabError(f"KUBECONFIG={kubeconfig}: {error.strerror}; a kubeconfig's path would be right") from None
        except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
            raise LabError(f"KUBECONFIG={kubeconfig}: not a kubeconfig: {' '.join(str(error).split())}") from None
        except KeyError as error:
            raise LabError(
                f"KUBECONFIG={kubeconfig}: {error} is missing; server, certificate-authority and tokenFile are read"
            ) from None

    async def __aenter__(self) -> Self:
        """Open the connections."""
        trust = ssl.create_default_context(cafile=str(self.ca))
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close them."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """One request; raise ApiError when it is refused, LabError when nobody answers."""
        data = None if body is None else json.dumps(body)
        try:
            async with self._open(method, path, data, kind, 30) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LabError(f"the API server does not answer {method} {path}: {error!r}") from None
        said = json.loads(text) if text.startswith("{") else {"message": text}
        if answer.status >= 400:
            raise ApiError(answer.status, said.get("message", text))
        return said

    def _open(self, method: str, path: str, data: str | None, kind: str, seconds: float | None) -> Any:
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self.token.read_text().strip()}", "Content-Type": kind}
        limit = aiohttp.ClientTimeout(total=seconds)
        return self._session.request(method, self.url + path, data=data, headers=headers, timeout=limit)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """An object, None where there is none."""
        try:
            found: Object = await self.ask("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def list(self, kind: Kind, namespace: str = "", labels: str = "") -> list[Object]:
        """All objects of a kind."""
        query = f"?{urlencode({'labelSelector': labels})}" if labels else ""
        found: list[Object] = (await self.ask("GET", kind.path(namespace) + query)).get("items") or []
        return found

    async def apply(self, manifest: Object, namespace: str = "") -> Object:
        """Server-side apply; conflicts are ours."""
        kind = await self.kind_of(manifest)
        metadata = manifest["metadata"]
        query = urlencode({"fieldManager": self.manager, "force": "true"})
        path = kind.path(metadata.get("namespace") or namespace or "default", metadata["name"])
        applied: Object = await self.ask("PATCH", f"{path}?{query}", manifest, "application/apply-patch+yaml")
        return applied

    async def apply_all(self, manifests: Iterable[Object], namespace: str = "") -> None:
        """Definitions and namespaces first; a definition is awaited."""
        manifests = list(manifests)
        first = [item for item in manifests if item["kind"] in OLDEST]
        await asyncio.gather(*(self.apply(item) for item in first))
        for item in first:
            if item["kind"] == "CustomResourceDefinition":
                await self._established(item["metadata"]["name"])
        await asyncio.gather(*(self.apply(item, namespace) for item in manifests if item["kind"] not in OLDEST))

    async def _established(self, name: str) -> None:
        kind = Kind("apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
        for _ in range(100):
            found = await self.get(kind, "", name) or {}
            conditions = found.get("status", {}).get("conditions") or []
            if any(item["type"] == "Established" and item["status"] == "True" for item in conditions):
                return
            await asyncio.sleep(0.1)
        raise LabError(f"the definition {name} is not established after 10 s")

    async def patch(self, kind: Kind, namespace: str, name: str, change: Object, sub: str = "") -> Object:
        """A merge patch."""
        body = "application/merge-patch+json"
        patched: Object = await self.ask("PATCH", kind.path(namespace, name, sub), change, body)
        return patched

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object, if it is there."""
        try:
            await self.ask("DELETE", kind.path(namespace, name))
        except ApiError as error:
            if error.status != 404:
                raise

    async def token_of(self, namespace: str, account: str, seconds: int = 86400) -> str:
        """A token of a ServiceAccount."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}}
        said = await self.ask("POST", SERVICE_ACCOUNTS.path(namespace, account, "token"), request)
        token: str = said["status"]["token"]
        return token

    async def kind_of(self, manifest: Object) -> Kind:
        """Where a manifest's kind lives, from discovery."""
        version, name = manifest["apiVersion"], manifest["kind"]
        if (version, name) not in self._kinds:
            api = f"apis/{version}" if "/" in version else f"api/{version}"
            for _ in range(50):  # discovery learns of a new definition a moment after it is established
                found = await self.ask("GET", f"/{api}")
                for item in found["resources"]:
                    if "/" not in item["name"]:
                        self._kinds[version, item["kind"]] = Kind(api, item["name"], item["namespaced"])
                if (version, name) in self._kinds:
                    break
                await asyncio.sleep(0.1)
            else:
                raise LabError(f"the API server knows no kind {name} in {version}")
        return self._kinds[version, name]

    async def watch(self, kind: Kind, labels: str = "") -> AsyncIterator[tuple[str, Object]]:
        """Every object, and then every change, of a kind in all namespaces; SYNC after each complete listing.

        When the watch ends or the server goes away it lists again, until cancelled. Who watches keeps what it saw, and after
        SYNC drops what the listing did not name.
        """
        while True:
            try:
                query = {"labelSelector": labels} if labels else {}
                listed = await self.ask("GET", f"{kind.path()}?{urlencode(query)}")
                for item in listed.get("items") or []:
                    yield "ADDED", item
                yield "SYNC", {"items": listed.get("items") or []}
                query |= {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
                async with self._open("GET", f"{kind.path()}?{urlencode(query)}", None, "application/json", None) as answer:
                    if answer.status >= 400:  # it has just come up, say
                        raise ApiError(answer.status, f"no watch of {kind.plural}")
                    async for line in _lines(answer.content):
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            break
                        yield event["type"], event["object"]
            except (LabError, aiohttp.ClientError, TimeoutError, OSError):
                await asyncio.sleep(0.3)


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length."""
    rest = b""
    async for chunk in stream.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line


@dataclass
class Cache:
    """The objects of one kind as a watch sees them, by (namespace, name)."""

    kind: Kind
    changed: Callable[[Object], None]  # told of every object that came, changed or went
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    synced: bool = False

    async def run(self, api: Api, labels: str = "") -> None:
        """Follow until cancelled."""
        async for event, item in api.watch(self.kind, labels):
            if event == "SYNC":
                listed, before = {key_of(found) for found in item["items"]}, self.objects
                self.objects = {key: found for key, found in before.items() if key in listed}
                self.synced = True
                for found in before.values():
                    self.changed(found)
                continue
            if event == "DELETED":
                self.objects.pop(key_of(item), None)
            elif event in ("ADDED", "MODIFIED"):
                self.objects[key_of(item)] = item
            self.changed(item)


def key_of(item: Object) -> tuple[str, str]:
    """Namespace and name."""
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _named(config: Object, kind: str, name: str) -> Object:
    for item in config[f"{kind}s"]:
        if item["name"] == name:
            found: Object = item[kind]
            return found
    raise KeyError(f"{kind} {name}")
