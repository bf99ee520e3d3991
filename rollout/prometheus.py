"""Prometheus at the edge: the raw counter samples of all releases in rollout, in a constant number of queries.

One query reads the request counters, one the latency buckets (only when a plan has a budget); both name all releases at once.
Long stretches, as after a restart, are read in pieces of time, so that memory stays bounded. An answer with warnings is partial,
and a partial answer is no answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from rollout.release import Key
from rollout.samples import CANARY, LOOKBACK, STABLE, Series
from rollout.web import Service, Unavailable

METRIC = "seldon_api_executor_server_requests_seconds"
PIECE = 300.0  # seconds per query, about: bounds the samples held at once
_IDENTITY = ("namespace", "deployment_name", "predictor_name", "predictor_version", "le")


class _Row(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: list[_Row]


class _Answer(msgspec.Struct):
    status: str
    data: _Data
    warnings: list[str] = []


_DECODER = msgspec.json.Decoder(_Answer)


@dataclass(slots=True)
class Prometheus:
    """Reads counters. budgets: release -> latency budget in seconds, for those whose plan has one."""

    service: Service

    def read(
        self, keys: Iterable[Key], budgets: Mapping[Key, float], after: float, until: float, width: float
    ) -> Iterator[Reading]:
        """Yield the samples in (after, until], in pieces of whole batches; raise web.Unavailable when one cannot be had.

        after, until: Unix seconds, multiples of `width`, the seconds of a batch.
        """
        wanted = {key.namespace: key for key in sorted(keys)}
        while after < until and wanted:
            end = min(after + max(PIECE // width, 1) * width, until)
            found: dict[Key, list[Series]] = {}
            self._count(wanted, after, end, found)
            self._time(wanted, budgets, after, end, found)
            yield Reading(after, end, found)
            after = end

    def watched(self, keys: Iterable[Key]) -> dict[Key, frozenset[float]]:
        """Return which releases have request counters of a predictor `stable` now, each with its latency buckets' bounds."""
        wanted = {key.namespace: key for key in keys}
        now = time.time()
        found: dict[Key, set[float]] = {key: set() for key, _ in self._rows(f"{METRIC}_count", "", wanted, now - LOOKBACK, now)}
        for key, row in self._rows(f"{METRIC}_bucket", "", wanted, now - LOOKBACK, now):
            found.setdefault(key, set()).add(float(row.metric["le"]))
        return {key: frozenset(bounds) for key, bounds in found.items()}

    def _count(self, wanted: Mapping[str, Key], after: float, until: float, found: dict[Key, list[Series]]) -> None:
        for key, row in self._rows(f"{METRIC}_count", "", wanted, after, until):
            kind = "error" if row.metric.get("code", "").startswith("5") else "other"
            found.setdefault(key, []).append(_series(row, kind))

    def _time(
        self, wanted: Mapping[str, Key], budgets: Mapping[Key, float], after: float, until: float, found: dict[Key, list[Series]]
    ) -> None:
        timed = {key.namespace: key for key in wanted.values() if key in budgets}
        if not timed:
            return
        # a whole number of seconds is "1" to some clients, and "1.0" to others and to Prometheus 3
        bounds = "|".join(sorted({text for budget in budgets.values() for text in (f"{budget:g}", str(float(budget)))}))
        for key, row in self._rows(f"{METRIC}_bucket", f',le=~"{bounds}|\\\\+Inf"', timed, after, until):
            if row.metric["le"] == "+Inf":
                found.setdefault(key, []).append(_series(row, "all"))
            elif float(row.metric["le"]) == budgets[key]:
                found.setdefault(key, []).append(_series(row, "fast"))

    def _rows(self, metric: str, more: str, wanted: Mapping[str, Key], after: float, until: float) -> Iterator[tuple[Key, _Row]]:
        spaces = "|".join(wanted)
        where = f'service="predictions",predictor_name=~"{STABLE}|{CANARY}",namespace=~"{spaces}"{more}'
        span = max(round((until - after) * 1000), 1)
        form = {"query": f"{metric}{{{where}}}[{span}ms]", "time": f"{until:.3f}"}
        answer = self.service.json("POST", "/api/v1/query", _DECODER, form)
        if answer.warnings or answer.status != "success":
            raise Unavailable(f"prometheus at {self.service.url} answers in part only: {'; '.join(answer.warnings)}")
        for row in answer.data.result:
            key = wanted.get(row.metric.get("namespace", ""))
            if key is not None and row.metric.get("deployment_name") == key.app:
                yield key, row


@dataclass(frozen=True, slots=True)
class Reading:
    """The samples of one piece of time, (after, until]."""

    after: float
    until: float
    found: Mapping[Key, list[Series]]


def _series(row: _Row, kind: str) -> Series:
    rest = tuple(sorted((name, value) for name, value in row.metric.items() if name not in _IDENTITY))
    samples = [(time, float(value)) for time, value in row.values]
    return Series(row.metric["predictor_name"], row.metric.get("predictor_version", ""), kind, rest, samples)
