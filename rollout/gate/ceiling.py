"""Is the canary over the error rate that is never tolerated? A one-sample test, and the sign of a shared outage.

1. Null: the canary's error rate is at most the ceiling c. Each bet multiplies by (p1/c)^e ((1-p1)/(1-c))^(n-e), p1 >
   c (a binomial likelihood ratio: expectation at most 1), tempered by phi, capped and young as in harm.py.
2. A batch in which stable is over the ceiling itself, in that batch or by its rate of the last minute, counts
   nothing: a shared outage is not blamed on the canary, not even when it ends.
3. Stable is in an *outage* when its rate of the last minute is over the ceiling, with two errors at least: then no
   canary is safe.

References: Wald 1945; Robbins 1970.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, log
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate.rules import BIG, CEILING_GRID
from rollout.gate.wealth import Bets, grow

if TYPE_CHECKING:
    from rollout.gate.rules import Rules
    from rollout.gate.values import Arm
    from rollout.gate.wealth import Moment


class Minute(NamedTuple):
    """Stable's errors and requests of the last minute or so (decayed)."""

    errors: float = 0.0
    requests: float = 0.0

    @property
    def rate(self) -> float:
        """Errors per request, 0 when there was none."""
        return self.errors / self.requests if self.requests > 0 else 0.0


class Against(NamedTuple):
    """The rate never tolerated, 0..1, and the dispersion that errors are divided by."""

    ceiling: float
    phi: float


def seen(minute: Minute, stable: Arm | None, seconds: float, rules: Rules) -> Minute:
    """Take in stable's batch, or the passing of its time."""
    fade = exp(-seconds / rules.outage)
    if stable is None:
        return Minute(minute.errors * fade, minute.requests * fade)
    return Minute(minute.errors * fade + stable.errors, minute.requests * fade + stable.requests)


def outage(minute: Minute, ceiling: float | None) -> bool:
    """Rule 3."""
    return ceiling is not None and minute.errors >= 2 and minute.errors > ceiling * minute.requests


def weighed(bets: Bets, arms: tuple[Arm | None, Arm | None], minute: Minute, against: Against, at: Moment) -> Bets:
    """Take in one batch; `arms` are stable and canary, and `minute` includes stable's."""
    stable, canary = arms
    ceiling, phi = against
    if canary is None or canary.requests == 0 or _blamed_on_stable(stable, minute, ceiling):
        return grow(bets, None, at)
    e, n = canary.errors, canary.requests
    highest = log(at.rules.cap) if e >= 2 else BIG
    gains = [min(highest, (e * up - (n - e) * down) / phi) for up, down in _bets(ceiling)]
    return grow(bets, gains, at)


def _blamed_on_stable(stable: Arm | None, minute: Minute, ceiling: float) -> bool:
    """Rule 2."""
    here = stable is not None and stable.errors > ceiling * stable.requests
    return here or outage(minute, ceiling)


@lru_cache(maxsize=64)
def _bets(ceiling: float) -> tuple[tuple[float, float], ...]:
    """(log(p1/c), -log((1-p1)/(1-c))) of each alternative; p1 stays between the ceiling and 1."""
    alternatives = [min(g * ceiling, (1 + ceiling) / 2) for g in CEILING_GRID]
    return tuple((log(p1 / ceiling), log((1 - ceiling) / (1 - p1))) for p1 in alternatives)
