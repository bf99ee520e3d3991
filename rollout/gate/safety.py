"""Is the canary safe? A test against "the canary's error rate is at least r1 times stable's, plus a floor".

1. For A in a grid below 1 a batch multiplies by A^e_c (1 + W/(1-W) r1 (1-A))^e_s exp(n_c floor (1-A)). Under the null
   its expectation is at most exp((1-A) (-n_c p_c + n_c r1 p_s + n_c floor)) <= 1. Safe: the mean over A reaches
   1/alpha. Dispersion as in harm.py.
2. Safe is what was seen at the current step, within its window: a step has its own load, and its own harm.
3. The floor is at least 2 % at the first step, where requests are few, and the plan's later.
4. Wealth is kept up to twenty times the threshold and no more: what was safe long ago is forgotten once errors come.
5. Nobody is safe while a harm test is at 2 or more, stable is in an outage, or the canary has fallen silent
   (fold.py).

References: Howard, Ramdas, McAuliffe, Sekhon 2021 (mixtures); Waudby-Smith, Ramdas 2020 (betting).
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate.rules import SAFETY_GRID

if TYPE_CHECKING:
    from rollout.gate.harm import Counts
    from rollout.gate.rules import Rules
    from rollout.plan import Gates

GRID = tuple((log(a), 1 - a) for a in SAFETY_GRID)


class Safety(NamedTuple):
    """Log wealth per A, and the mean of the wealths."""

    logs: tuple[float, ...]
    value: float


NEW = Safety((0.0,) * len(SAFETY_GRID), 1.0)


def floor_at(step: int, gates: Gates, rules: Rules) -> float:
    """Rule 3: the floor of "safe" at a step, a rate."""
    return max(rules.first_floor, gates.safety_floor) if step == 0 else gates.safety_floor


def weighed(safety: Safety, now: Counts, step: int, gates: Gates, known: tuple[float, Rules]) -> Safety:
    """Take in one batch of the window that has both arms; `known` is phi, and the rules."""
    phi, rules = known
    e_c, n_c, e_s, _, share = now
    most = log(rules.safety_cap / gates.safety_alpha)
    gift = (n_c or 0) * floor_at(step, gates, rules)
    gains = [e_c * log_a + gift * left for log_a, left in GRID]
    if e_s:
        odds = share / (1 - share) * gates.safety_ratio
        gains = [gain + e_s * log(1 + odds * left) for gain, (_, left) in zip(gains, GRID, strict=True)]
    logs = [old + gain / phi for old, gain in zip(safety.logs, gains, strict=True)]
    logs = [most if x > most else x for x in logs]
    return Safety(tuple(logs), sum(map(exp, logs)) / len(logs))
