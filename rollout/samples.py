"""From counter samples to batches: what both arms of a release did, interval by interval.

- Time is cut into batches of equal width on the Unix clock: batch k covers (k w, (k+1) w]. It is complete, and read, once
  `lag` seconds have passed after its end; so the same samples give the same batches, whenever and however often they are read.
- Counters are read raw. The events of a sample are its increase over the sample before; a value that fell is a process that
  began anew, and all of it counts; so does the first value of a series that appears while its arm is watched.
- A series that is there when reading begins, or appears in an arm nobody watched, only sets the mark from which on it counts.
- Only samples of the arm's own version count: predictor `canary` with version 8 never holds a sample of version 7.
- A batch in which neither arm has a sample was not observed. One with samples and no increase had no requests. A canary without a
  sample while stable has them is silent: a canary nobody can scrape, and one that gets nothing, look alike.

| series                                    | counts as                                  |
|-------------------------------------------|--------------------------------------------|
| ..._requests_seconds_count, code 5xx      | requests and errors                        |
| ..._requests_seconds_count, other codes   | requests                                   |
| ..._requests_seconds_bucket, le = +Inf    | timed requests                             |
| ..._requests_seconds_bucket, le = budget  | timed requests within the latency budget   |

Slow requests are the timed ones less those within the budget, at most the requests of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from rollout.gate import Arm

STABLE, CANARY = "stable", "canary"
WIDTH = 15.0  # seconds per batch, unless said otherwise: the usual scrape interval
LOOKBACK = 300.0  # seconds read before the first batch, so that a series that is there is known; Prometheus' own staleness
Mark = tuple[str, str, tuple[tuple[str, str], ...]]  # arm, kind and labels: which counter goes on


class Series(NamedTuple):
    """One counter of one arm. kind: "error", "other", "all" (le = +Inf) or "fast" (le = budget). samples: (time, value)."""

    arm: str
    version: str
    kind: str
    name: tuple[tuple[str, str], ...]
    samples: Sequence[tuple[float, float]]


class Counted(NamedTuple):
    """One batch: its end in Unix seconds, and both arms, None where it was not observed."""

    end: float
    stable: Arm | None
    canary: Arm | None


def complete_until(now: float, width: float, lag: float) -> float:
    """Return the end of the last batch that is complete at `now`."""
    return math.floor((now - lag) / width) * width


@dataclass(slots=True)
class _Tally:
    counts: dict[str, int] = field(default_factory=dict)

    def arm(self) -> Arm:
        requests = self.counts.get("error", 0) + self.counts.get("other", 0)
        slow = self.counts.get("all", 0) - self.counts.get("fast", 0)
        return Arm(requests, self.counts.get("error", 0), min(max(slow, 0), requests))


@dataclass(slots=True)
class Counter:
    """Folds samples of one release into batches. It is fed consecutive stretches of time; where they are cut does not matter.

    begin: Unix seconds from which on batches are wanted; samples up to it only set marks.
    """

    width: float
    begin: float
    stable: str
    canary: str
    marks: dict[Mark, float] = field(default_factory=dict)
    watched: dict[str, float] = field(default_factory=dict)

    def count(self, series: Iterable[Series], after: float, until: float) -> list[Counted]:
        """Return the batches that end in (after, until], from all samples in that stretch, oldest first."""
        found = self._found(series, after, until)
        for (arm, _, _), samples in found.items():
            first = math.ceil(samples[0][0] / self.width)
            self.watched[arm] = min(first, self.watched.get(arm, first))
        tallies: dict[tuple[int, str], _Tally] = {}
        for key, samples in found.items():
            self._tally(key, samples, tallies)
        first = math.floor(max(after, self.begin) / self.width) + 1
        return [self._batch(place, tallies) for place in range(first, math.floor(until / self.width) + 1)]

    def _found(self, series: Iterable[Series], after: float, until: float) -> dict[Mark, list[tuple[float, float]]]:
        """Return the samples that count, in the order of time, by what they count on from."""
        wanted = {STABLE: self.stable, CANARY: self.canary}
        found: dict[Mark, list[tuple[float, float]]] = {}
        for one in series:
            samples = [sample for sample in one.samples if after < sample[0] <= until and math.isfinite(sample[1])]
            if samples and wanted.get(one.arm) == one.version:
                found.setdefault((one.arm, one.kind, one.name), []).extend(samples)
        for samples in found.values():
            samples.sort(key=itemgetter(0))
        return found

    def _tally(self, key: Mark, samples: Sequence[tuple[float, float]], tallies: dict[tuple[int, str], _Tally]) -> None:
        arm, kind, _ = key
        before = self.marks.get(key)
        for time, value in samples:
            place = math.ceil(time / self.width)
            counts = tallies.setdefault((place, arm), _Tally()).counts
            counts[kind] = counts.get(kind, 0) + (self._events(place, arm, before, value) if time > self.begin else 0)
            before = value
        self.marks[key] = value

    def _events(self, place: int, arm: str, before: float | None, value: float) -> int:
        if before is None:
            return round(value) if arm == CANARY or self.watched[arm] < place else 0
        return round(value - before) if value >= before else round(value)

    def _batch(self, place: int, tallies: Mapping[tuple[int, str], _Tally]) -> Counted:
        stable, canary = tallies.get((place, STABLE)), tallies.get((place, CANARY))
        silent = Arm(0, 0) if stable is not None else None
        return Counted(place * self.width, stable.arm() if stable else None, canary.arm() if canary else silent)
