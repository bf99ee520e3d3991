"""What a step can show: how probable it is that the gate finds a harmful canary in it, or calls a healthy one safe.

1. In `seconds` at a share s of R requests/s the arms have Poisson errors of mean a = s R t p_c and b = (1 - s) R t p_s.
2. *Shows*: the probability that the two-arm test's start bets and the floor test, bet by bet as in harm.py, are at their
   threshold at the end of the step. What the step knew before its end, late bets and the total-failure bet add a little;
   the cap, the winsor and the young time take away where a batch holds many errors.
3. *Safe by then*: the probability that the safety test is at its threshold at the end, stable's errors being as many
   as expected, the canary being as good as stable.
4. *Time* is the least one at which a probability is reached, to 1 %; a month at most.

| 5 % of 10 requests/s, stable fails in 0.5 %, 30 min | probability                |
|-----------------------------------------------------|----------------------------|
| shows twice the errors                              | 0.04                       |
| shows five times                                    | 0.94                       |
| safe by then                                        | 1.00                       |
"""

from __future__ import annotations

from math import exp, inf, lgamma, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate.rules import FLOOR_GRID, GRID, RULES, SAFETY_GRID, thresholds
from rollout.gate.safety import floor_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollout.plan import Gates

MONTH = 30 * 86400.0


class Traffic(NamedTuple):
    """Requests per second of all arms together, and stable's error rate, 0..1."""

    rate: float
    baseline: float


def shows(gates: Gates, traffic: Traffic, share: float, seconds: float, ratio: float) -> float:
    """Rule 2, for a canary that fails `ratio` times as often as stable; share 0..1."""
    n = traffic.rate * seconds
    a = n * share * min(1.0, traffic.baseline * ratio)
    b = n * (1 - share) * traffic.baseline
    need = thresholds(gates).errors
    least = _floor(n * share, need)
    base = share * gates.ratio + 1 - share
    bets = [(log(g), log((share * gates.ratio * g + 1 - share) / base)) for g in GRID]
    start = log((need - 1 + RULES.mass_start) / RULES.mass_start * len(GRID))
    most, below, found = -1, 0.0, 0.0
    for e_c in range(max(least, 0), round(a + 9 * sqrt(a) + 20)):
        while _wealth([e_c * up - (e_c + most + 1) * cost for up, cost in bets]) >= start and most < b + 9 * sqrt(b) + 20:
            most += 1
            below += _poisson(most, b)
        found += _poisson(e_c, a) * below
    return min(1.0, found)


def safe_by(gates: Gates, traffic: Traffic, share: float, seconds: float, step: int) -> float:
    """Rule 3."""
    n = traffic.rate * seconds
    a, b = n * share * traffic.baseline, n * (1 - share) * traffic.baseline
    odds, gift = share / (1 - share) * gates.safety_ratio, n * share * floor_at(step, gates, RULES)
    start = log(thresholds(gates).safety * len(SAFETY_GRID))
    bets = [(log(x), b * log(1 + odds * (1 - x)) + gift * (1 - x)) for x in SAFETY_GRID]
    e_c, found = 0, 0.0
    while e_c < a + 9 * sqrt(a) + 20 and _wealth([e_c * down + up for down, up in bets]) >= start:
        found += _poisson(e_c, a)
        e_c += 1
    return min(1.0, found)


def time(probability: float, at: Callable[[float], float]) -> float:
    """Rule 4: the least number of seconds at which `at` reaches the probability; infinite when a month is too short."""
    low = high = 15.0
    while at(high) < probability:
        low, high = high, 2 * high
        if high > MONTH:
            return inf
    while high > 1.01 * low:
        middle = sqrt(low * high)
        low, high = (low, middle) if at(middle) >= probability else (middle, high)
    return high


def _floor(requests: float, need: float) -> int:
    """The least number of canary errors at which the floor test agrees."""
    floor = RULES.floor_errors
    bets = [(log(g), requests * floor * (g - 1)) for g in FLOOR_GRID]
    start = log((need - 1 + RULES.mass_start) / RULES.mass_start * len(FLOOR_GRID))
    e = 0
    while _wealth([e * up - cost for up, cost in bets]) < start:
        e += 1
    return e


def _wealth(logs: list[float]) -> float:
    """Return the log of a sum of exponentials."""
    top = max(logs)
    return top + log(sum(exp(x - top) for x in logs))


def _poisson(k: int, mean: float) -> float:
    if mean == 0:
        return 1.0 if k == 0 else 0.0
    return exp(k * log(mean) - mean - lgamma(k + 1))
