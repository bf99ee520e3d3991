"""What the stand-ins share instead of an API server: objects by kind, namespace and name, with admission and watchers."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str, str]  # kind, namespace, name


class Denied(Exception):
    """An admission webhook said no."""


def key_of(manifest: Object, namespace: str = "") -> Key:
    """The identity of an object; `namespace` for those that name none."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", namespace), metadata["name"]


@dataclass
class Cluster:
    """The live objects, without their status, and the statuses that controllers wrote."""

    objects: dict[Key, Object] = field(default_factory=dict)
    status: dict[Key, Object] = field(default_factory=dict)
    admission: list[Callable[[Object], None]] = field(default_factory=list)
    watchers: list[Callable[[Key], None]] = field(default_factory=list)

    def apply(self, key: Key, manifest: Object) -> None:
        """Create or replace; raises Denied and changes nothing when a webhook refuses."""
        if self.objects.get(key) == manifest:
            return
        for webhook in self.admission:
            webhook(manifest)
        self.objects[key] = copy.deepcopy(manifest)
        self._changed(key)

    def delete(self, key: Key) -> None:
        """Remove an object."""
        if self.objects.pop(key, None) is not None:
            self.status.pop(key, None)
            self._changed(key)

    def patch(self, key: Key, change: Object) -> Object:
        """A person's `kubectl patch --type merge` on the live object; lists of predictors merge by name."""
        patched: Object = merge(self.objects[key], change)
        self.apply(key, patched)
        return patched

    def of_kind(self, kind: str) -> Iterable[Key]:
        """Every object of a kind."""
        return [key for key in self.objects if key[0] == kind]

    def _changed(self, key: Key) -> None:
        for watcher in self.watchers:
            watcher(key)


def merge(old: Any, change: Any) -> Any:
    """A merge patch that knows lists of named things."""
    if isinstance(old, dict) and isinstance(change, dict):
        merged = {**old, **{name: merge(old.get(name), value) for name, value in change.items()}}
        return {name: value for name, value in merged.items() if value is not None}
    named = isinstance(old, list) and isinstance(change, list) and all("name" in item for item in [*old, *change])
    if named:
        changes = {item["name"]: item for item in change}
        return [merge(item, changes.get(item["name"], {})) for item in old]
    return copy.deepcopy(change)
