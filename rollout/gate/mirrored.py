"""Does the canary answer mirrored requests otherwise than stable? A one-sample test of their disagreement.

A mirrored (shadow) request is answered by both versions, and only stable's answer reaches the caller: nobody is hurt.

1. Null: given the past, two answers disagree with probability at most the tolerated rate d. What "disagree" means is
   the caller's: another class, or a score that is off by more than so much. Each bet multiplies by (p1/d)^k
   ((1-p1)/(1-d))^(n-k), p1 > d.
2. Dispersion: the same client asks again and is answered again. Log gains are divided by phi, from the batches before.

| d = 2 %, of 1 000 mirrored requests disagree | alarm          |
|----------------------------------------------|----------------|
| 20                                           | no             |
| 60                                           | after some 400 |

References: Wald 1945; Robbins 1970.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate import dispersion
from rollout.gate.dispersion import Dispersion, watched
from rollout.gate.rules import MIRRORED_GRID, RULES
from rollout.gate.watch import Watch, begun, checked, grown, tolerable

if TYPE_CHECKING:
    from rollout.gate.rules import Rules


class Compared(NamedTuple):
    """One batch: seconds, the plan's step (0 = the first), mirrored requests that both answered, and how many disagreed."""

    seconds: float
    step: int
    requests: int
    disagreed: int


class Mirrored(NamedTuple):
    """What is known, with the counts so far."""

    watch: Watch
    seen: Dispersion
    requests: int
    disagreed: int
    rules: Rules

    @property
    def value(self) -> float:
        """The e-value: the most that it was."""
        return self.watch.highest

    @property
    def phi(self) -> float:
        """Dispersion in force for the next batch, >= 1."""
        return self.seen.phi


def begin(rules: Rules = RULES) -> Mirrored:
    """The state before the first batch."""
    return Mirrored(begun(len(MIRRORED_GRID), rules), dispersion.NEW, 0, 0, rules)


def observe(state: Mirrored, batch: Compared, tolerated: float) -> Mirrored:
    """The state after one more batch; `tolerated` is the rate d. Raises ValueError naming the field that cannot be."""
    checked(batch.step, batch.seconds, requests=(batch.requests,), disagreed=(batch.disagreed,))
    if batch.disagreed > batch.requests:
        raise ValueError(f"disagreed: {batch.disagreed} of {batch.requests} mirrored requests")
    tolerable("tolerated", tolerated, 1e-6, 1)
    k, n = batch.disagreed, batch.requests
    gains = [
        (k * log(p / tolerated) + (n - k) * log((1 - p) / (1 - tolerated))) / state.phi
        for p in (min(g * tolerated, (1 + tolerated) / 2) for g in MIRRORED_GRID)
    ]
    return Mirrored(
        grown(state.watch, gains if n else None, batch.step, batch.seconds, state.rules),
        watched(state.seen, k, n, state.rules) if n else state.seen,
        state.requests + n,
        state.disagreed + k,
        state.rules,
    )
