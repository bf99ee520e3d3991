"""What the stand-ins answer, in the form and size of the real services' answers.

- Argo CD: Applications of 8 KiB in the Kubernetes API's list form: managed fields, ten deployments of history, resources.
- Prometheus: the request counters of stable and canary, two pods and two codes each, scraped every WIDTH seconds with the
  labels that the Prometheus operator adds; 600 requests/s per release, split as committed, one in five thousand failing.
Releases with the same past have the same counters, so that a stand-in's own time stays small beside the controller's.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime

from bench.fleet import BEGIN, NEW, OLD, WIDTH, Member, fleet

SIZE = 8192
TIP = "f" * 40  # stands for the revision that Argo CD has compared, until a page is sent
RATE, FAILING = 600.0, 0.0002
_BOOT = BEGIN - 86400  # when the counters began
_APPLY = 2  # seconds from a commit to its traffic
Split = tuple[tuple[float, int], ...]  # since when, the canary's percent


class Applications:
    """Every Application of the fleet, as bytes."""

    def __init__(self, size: int) -> None:
        self._members = {member.namespace: member for member in fleet(size)}
        self._places = {namespace: place for place, namespace in enumerate(self._members)}
        self._items = [_application(m, m.stepped if m.cohort is not None else _BOOT, TIP) for m in self._members.values()]

    def applied(self, namespace: str, commit: str, when: float) -> None:
        """Take note that a release's commit was synced."""
        self._items[self._places[namespace]] = _application(self._members[namespace], when, commit)

    def page(self, tip: str, begin: int, limit: int) -> bytes:
        """Return one page of the list."""
        end = begin + limit
        more = len(self._items) - end
        rest = f',"continue":"{end}","remainingItemCount":{more}' if more > 0 else ""
        head = (
            f'{{"apiVersion":"argoproj.io/v1alpha1","kind":"ApplicationList","metadata":{{"resourceVersion":"1"{rest}}},"items":['
        )
        return (head.encode() + b",".join(self._items[begin:end]) + b"]}\n").replace(TIP.encode(), tip.encode())


def _application(member: Member, when: float, applied: str) -> bytes:
    finished = datetime.fromtimestamp(when + _APPLY, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    source = {
        "path": f"overlays/prod/{member.app}",
        "repoURL": "https://git.example.com/models/deployments.git",
        "targetRevision": "main",
    }
    resources = [
        {
            "group": group,
            "kind": kind,
            "name": f"{member.app}{tail}",
            "namespace": member.namespace,
            "status": "Synced",
            "version": "v1",
        }
        for group, kind, tail in (
            ("", "ServiceAccount", ""),
            ("machinelearning.seldon.io", "SeldonDeployment", ""),
            ("monitoring.coreos.com", "PodMonitor", ""),
            ("policy", "PodDisruptionBudget", "-stable"),
            ("policy", "PodDisruptionBudget", "-canary"),
        )
    ]
    past = [
        {
            "deployStartedAt": "2026-01-01T00:00:00Z",
            "deployedAt": "2026-01-01T00:00:05Z",
            "id": number,
            "initiatedBy": {"automated": True},
            "revision": hashlib.sha1(f"{member.app} {number}".encode()).hexdigest(),
            "source": source,
        }
        for number in range(10)
    ]
    fields: dict[str, object] = {
        f"f:{name}": {".": {}, "f:status": {}, "f:revision": {}} for name in ("health", "history", "operationState", "sync")
    }
    metadata = {
        "annotations": {"argocd.argoproj.io/refresh": "normal"},
        "creationTimestamp": "2025-06-01T08:00:00Z",
        "labels": {"app": member.app, "env": "prod"},
        "managedFields": [
            {"apiVersion": "argoproj.io/v1alpha1", "fieldsType": "FieldsV1", "fieldsV1": {"f:status": fields}, "manager": manager}
            for manager in ("argocd-application-controller", "argocd-applicationset-controller")
        ],
        "name": member.namespace,
        "namespace": "argocd",
        "uid": hashlib.md5(member.app.encode(), usedforsecurity=False).hexdigest(),
    }
    status = {
        "health": {"lastTransitionTime": finished, "status": "Healthy"},
        "history": past,
        "operationState": {
            "finishedAt": finished,
            "message": "successfully synced (all tasks run)",
            "operation": {
                "initiatedBy": {"automated": True},
                "retry": {"limit": 5},
                "sync": {"prune": True, "revision": applied},
            },
            "phase": "Succeeded",
            "startedAt": finished,
            "syncResult": {"resources": resources, "revision": applied, "source": source},
        },
        "reconciledAt": finished,
        "resources": resources,
        "sourceType": "Kustomize",
        "summary": {"images": ["registry.example.com/models/model-server@sha256:" + "0" * 64]},
        "sync": {"comparedTo": {"source": source}, "revision": TIP, "status": "Synced"},
    }
    spec = {"destination": {"namespace": member.namespace, "server": "https://kubernetes.default.svc"}, "project": "models"}
    whole = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata, "spec": spec, "status": status}
    room = SIZE - len(json.dumps(whole, separators=(",", ":"))) - len(',"notified":""')
    metadata["annotations"]["notified"] = "n" * room  # type: ignore[index]  # as notifications leave behind
    return json.dumps(whole, separators=(",", ":")).encode()


class Counters:
    """The counters of every release in rollout."""

    def __init__(self, size: int) -> None:
        walks = [member for member in fleet(size) if member.cohort is not None]
        self._splits: dict[str, Split] = {m.namespace: ((_BOOT, 0), (m.stepped + _APPLY, 5)) for m in walks}
        self._labels = {m.namespace: [(one, _labels(m, one)) for one in _SERIES] for m in walks}
        self._texts: dict[tuple[Split, _One, float, float], str] = {}

    def split(self, namespace: str, when: float, canary: int) -> None:
        """Take note that a release's traffic changes."""
        self._splits[namespace] = (*self._splits[namespace], (when + _APPLY, canary))

    def answer(self, namespaces: list[str], after: float, until: float) -> bytes:
        """Return the samples in (after, until], as Prometheus' HTTP API does."""
        self._texts.clear()
        rows = ",".join(self._rows(namespaces, after, until))
        return f'{{"status":"success","data":{{"resultType":"matrix","result":[{rows}]}}}}'.encode()

    def _rows(self, namespaces: list[str], after: float, until: float) -> Iterator[str]:
        for namespace in namespaces:
            split = self._splits.get(namespace, ())
            for one, labels in self._labels.get(namespace, ()):
                values = self._values(split, one, after, until)
                if values:
                    yield f'{{"metric":{labels},"values":[{values}]}}'

    def _values(self, split: Split, one: _One, after: float, until: float) -> str:
        key = (split, one, after, until)
        if key not in self._texts:
            arm, pod, code = one
            begin = split[1][0] if arm == "canary" else _BOOT
            offset = 3.217 + 5.003 * pod
            first = math.floor((max(after, begin) - offset) / WIDTH) + 1
            times = [place * WIDTH + offset for place in range(first, math.floor((until - offset) / WIDTH) + 1)]
            share = (FAILING if code == "500" else 1 - FAILING) / 2
            self._texts[key] = ",".join(f'[{time:.3f},"{math.floor(share * requests(split, arm, time))}"]' for time in times)
        return self._texts[key]


_One = tuple[str, int, str]  # arm, pod, code
_SERIES: tuple[_One, ...] = tuple((arm, pod, code) for arm in ("stable", "canary") for pod in (0, 1) for code in ("200", "500"))


def requests(split: Split, arm: str, time: float) -> float:
    """Return how many requests an arm has had."""
    total = 0.0
    for place, (since, canary) in enumerate(split):
        end = split[place + 1][0] if place + 1 < len(split) else math.inf
        percent = canary if arm == "canary" else 100 - canary
        total += max(min(end, time) - since, 0) * RATE * percent / 100
    return total


def _labels(member: Member, one: _One) -> str:
    arm, pod, code = one
    name = f"{member.app}-{arm}-0-{hashlib.sha1(member.app.encode()).hexdigest()[:10]}-{pod}"
    return json.dumps(
        {
            "__name__": "seldon_api_executor_server_requests_seconds_count",
            "code": code,
            "container": "seldon-container-engine",
            "deployment_name": member.app,
            "endpoint": "metrics",
            "instance": f"10.0.0.{pod}:8000",
            "job": f"{member.namespace}/{member.app}",
            "method": "post",
            "namespace": member.namespace,
            "pod": name,
            "predictor_name": arm,
            "predictor_version": OLD if arm == "stable" else NEW,
            "service": "predictions",
        },
        separators=(",", ":"),
    )
