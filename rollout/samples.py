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
from typing import NamedTuple

from rollout.gate import Arm

STABLE, CANARY = "stable", "canary"
LOOKBACK = 300.0  # seconds read before the first batch, so that a series that is there is known; Prometheus' own staleness


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
    marks: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)
    watched: dict[str, float] = field(default_factory=dict)

    def count(self, series: Iterable[Series], after: float, until: float) -> list[Counted]:
        """Return the batches that end in (after, until], from all samples in that stretch, oldest first."""
        wanted = {STABLE: self.stable, CANARY: self.canary}
        rows = [
            (time, value, one)
            for one in series
            if wanted.get(one.arm) == one.version
            for time, value in one.samples
            if after < time <= until and math.isfinite(value)
        ]
        rows.sort(key=lambda row: (row[0], row[2].arm, row[2].kind, row[2].name))
        tallies: dict[tuple[int, str], _Tally] = {}
        for time, value, one in rows:
            place = math.ceil(time / self.width)
            events = self._events(time, value, one, place)
            tally = tallies.setdefault((place, one.arm), _Tally())
            tally.counts[one.kind] = tally.counts.get(one.kind, 0) + events
        first = math.floor(max(after, self.begin) / self.width) + 1
        return [self._batch(place, tallies) for place in range(first, math.floor(until / self.width) + 1)]

    def _events(self, time: float, value: float, one: Series, place: int) -> int:
        key = (one.arm, one.kind, one.name)
        before = self.marks.get(key)
        self.marks[key] = value
        watched = self.watched.get(one.arm)
        self.watched[one.arm] = place if watched is None else min(watched, place)
        if time <= self.begin:
            return 0
        if before is None:
            known = one.arm == CANARY or (watched is not None and watched < place)
            return round(value) if known else 0
        return round(value - before) if value >= before else round(value)

    def _batch(self, place: int, tallies: Mapping[tuple[int, str], _Tally]) -> Counted:
        stable, canary = tallies.get((place, STABLE)), tallies.get((place, CANARY))
        silent = Arm(0, 0) if stable is not None else None
        return Counted(place * self.width, stable.arm() if stable else None, canary.arm() if canary else silent)
