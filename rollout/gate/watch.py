"""What the model gates share: one wealth that is watched against 1/alpha, and the bet on outcomes of two arms.

predictions.py, mirrored.py and labels.py judge the model, not the service. Each is a supermartingale under its own
null, has its own part of alpha (rules.py, `slices`), and may be looked at after every batch.

1. A watch is a mixture of bets over start times, as in wealth.py; a batch multiplies a bet by at most 4. `highest`
   is the most it ever was: an alarm that was due stays due.
2. In a batch the canary has n_c outcomes and stable n_s, W = n_c/(n_c + n_s); bin b has c_b of the one and s_b of the
   other. A bet on ratios r_b of frequencies, canary to stable, multiplies by the product over bins of (q_b/q0)^c_b
   ((1-q_b)/(1-q0))^s_b, q_b = W r_b/(W r_b + 1 - W), and q0 the same for the tolerated ratio r0: the bet of harm.py in
   every bin at once. Bins with r_b <= r0 are left out, except at r0 = 1.
3. Why it is fair: let a and b be the mean factors of one canary and one stable outcome. The batch's expectation is
   a^n_c b^n_s <= (W a + (1-W) b)^n by the means' inequality, and W a + (1-W) b <= 1 when no bin is more than r0 times
   as frequent in the canary, whatever stable's frequencies are. At r0 = 1 that null is "the same distribution in both
   arms". It takes a batch's outcomes to be independent draws. W is counted, so nothing is assumed of the routed share;
   the frequencies may change from batch to batch.
4. Logs are divided by a dispersion phi >= 1 known before the batch (dispersion.py): that keeps expectations at most 1.

References: Turner, Ly, Gruenwald, JSPI 2024 (rule 3 for two groups); Waudby-Smith, Ramdas 2020 (betting); Ville 1939.
"""

from __future__ import annotations

from math import isfinite, log
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate.wealth import Bets, Clock, Moment, fresh, grow, tick, wound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollout.gate.rules import Rules


class Watch(NamedTuple):
    """Rule 1."""

    clock: Clock
    bets: Bets
    highest: float


def begun(size: int, rules: Rules) -> Watch:
    """A watch of `size` bets before its first batch."""
    return Watch(wound(rules), fresh(size), 1.0)


def grown(watch: Watch, gains: Sequence[float] | None, step: int, seconds: float, rules: Rules) -> Watch:
    """Take in one batch's log gains, one per bet; None = nothing was learnt. `step` is the plan's index, from 0."""
    clock = tick(watch.clock, step, seconds, rules)
    most = log(rules.model_cap)
    bets = grow(watch.bets, gains and [min(most, gain) for gain in gains], Moment(clock, False, seconds, rules))
    return Watch(clock, bets, max(watch.highest, bets.value))


def gain(canary: Sequence[int], stable: Sequence[int], ratios: Sequence[float], tolerated: float) -> float:
    """Rule 2's log factor; 0 when an arm has no outcome. `ratios` are above 0, `tolerated` is r0 >= 1."""
    n_c, n_s = sum(canary), sum(stable)
    if not n_c or not n_s:
        return 0.0
    share = n_c / (n_c + n_s)
    base = share * tolerated + 1 - share
    return sum(
        c * log(r / tolerated) - (c + s) * log((share * r + 1 - share) / base)
        for c, s, r in zip(canary, stable, ratios, strict=True)
        if c + s and (r > tolerated or tolerated == 1)
    )


def checked(step: int, seconds: float, **counts: Sequence[int]) -> None:
    """Raise ValueError naming the field that cannot be: a batch's step, its seconds, its counts."""
    if step < 0:
        raise ValueError(f"step: {step} is negative")
    if not (isfinite(seconds) and seconds > 0):
        raise ValueError(f"seconds: {seconds} is not a positive number")
    for name, each in counts.items():
        for place, number in enumerate(each):
            if isinstance(number, bool) or not isinstance(number, int):
                raise ValueError(f"{name}[{place}]: {number!r} is not a whole number")
            if number < 0:
                raise ValueError(f"{name}[{place}]: {number} is negative")


def tolerable(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError when what is tolerated does not lie in [low, high); NaN never does."""
    if not low <= value < high:
        raise ValueError(f"{name}: is {value}; a number from {low:g} to below {high:g} would be right")
