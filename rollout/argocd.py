"""Argo CD's Applications, read over HTTP in the Kubernetes API's form: a list, page by page, only the fields needed."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode

import msgspec

from rollout.decide import Application
from rollout.web import Service

AGAIN = "Retrying attempt"  # ends Argo CD's message of why a sync failed, while it waits to try again
PAGE = 500  # Applications per answer: bounds the memory of a tick, whatever the number of releases


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _Sync(msgspec.Struct):
    status: str = "Unknown"
    revision: str = ""


class _Health(msgspec.Struct, rename="camel"):
    status: str = "Unknown"
    message: str = ""
    last_transition_time: str = ""


class _Result(msgspec.Struct):
    revision: str = ""


class _Operation(msgspec.Struct, rename="camel"):
    phase: str = ""
    message: str = ""
    finished_at: str = ""
    sync_result: _Result = msgspec.field(default_factory=_Result)


class _Resource(msgspec.Struct):
    health: _Health | None = None


class _Condition(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Status(msgspec.Struct, rename="camel"):
    sync: _Sync = msgspec.field(default_factory=_Sync)
    health: _Health = msgspec.field(default_factory=_Health)
    operation_state: _Operation = msgspec.field(default_factory=_Operation)
    conditions: list[_Condition] = msgspec.field(default_factory=list)
    resources: list[_Resource] = msgspec.field(default_factory=list)


class _Item(msgspec.Struct):
    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)


class _List(msgspec.Struct):
    kind: str
    items: list[_Item]
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_DECODER = msgspec.json.Decoder(_List)


@dataclass(slots=True)
class ArgoCD:
    """Reads Applications. namespace: where they live, usually argocd.

    Argo CD forgets why a sync failed at the moment when it tries again; the reader remembers it until a sync succeeds.
    """

    service: Service
    namespace: str = "argocd"
    _reasons: dict[str, str] = field(default_factory=dict)

    def applications(self, wanted: Container[str]) -> dict[str, Application]:
        """Return the wanted Applications by name; raise web.Unavailable when Argo CD cannot say."""
        return {
            item.metadata.name: _application(item.status, self._reason(item.metadata.name, item.status.operation_state))
            for item in self._items()
            if item.metadata.name in wanted
        }

    def _reason(self, name: str, operation: _Operation) -> str:
        """Why an operation has not succeeded; empty when it has, or is in its first attempt."""
        if operation.phase == "Succeeded":
            self._reasons.pop(name, None)
            return ""
        if operation.phase in ("Failed", "Error") or AGAIN in operation.message:
            self._reasons[name] = operation.message
        return "; ".join(dict.fromkeys(part for part in (operation.message, self._reasons.get(name, "")) if part))

    def _items(self) -> Iterator[_Item]:
        token = ""
        while True:
            query = urlencode({"limit": PAGE, **({"continue": token} if token else {})})
            path = f"/apis/argoproj.io/v1alpha1/namespaces/{self.namespace}/applications?{query}"
            page = self.service.json("GET", path, _DECODER)
            yield from page.items
            token = page.metadata.continue_
            if not token:
                return


def _application(status: _Status, reason: str) -> Application:
    operation = status.operation_state
    failed = operation.phase in ("Failed", "Error")
    troubles = [condition.message for condition in status.conditions if condition.type.endswith("Error")]
    sick = [one.health.message for one in status.resources if one.health and one.health.status != "Healthy"]
    messages = [status.health.message, *sick, reason, *troubles]
    return Application(
        revision=status.sync.revision,
        sync=status.sync.status,
        health=status.health.status,
        settled=max(_unix(status.health.last_transition_time), _unix(operation.finished_at)),
        applied=operation.sync_result.revision if operation.phase == "Succeeded" else "",
        failed=failed,
        message="; ".join(message for message in messages if message),
    )


def _unix(time: str) -> float:
    return datetime.fromisoformat(time).timestamp() if time else 0.0
