"""Betting against a null: the start-time mixture and the one way in which wealth grows.

1. Every harm test is a mixture of bets. A bet starts with wealth 1, and is multiplied by a factor whose expectation
   is at most 1 under the null; so is any average of bets. By Ville (1939) the average ever reaches 1/alpha with
   probability at most alpha.
2. The mass of a mixture is let out over time: most at the start, some at each next step, some at a constant rate.
   Mass not yet let out counts as 1. So harm that comes late is met by fresh bets that nothing has diluted, without a
   second alpha.
3. In the young time of a step the wealth may reach at most `young_gain` times what it was: bets are scaled down
   together. Like every cap here this only lowers wealth, so rule 1 stays true.

References: Ville 1939; Robbins 1970; Shiryaev 1963 and Howard et al. 2021 for mixtures over start times.
"""

from __future__ import annotations

from math import exp, inf
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate.rules import BIG, STEEP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rollout.gate.rules import Rules

STEEPEST = exp(STEEP)
HUGE = BIG / 100  # no bet of a mixture of fewer than a hundred exceeds BIG while their mean is below this


class Clock(NamedTuple):
    """How much mass is out. `out` of 1 is betting, `steps` and `later` wait; `mass` is what the last batch let out."""

    out: float
    mass: float
    steps: float
    later: float
    step: int

    @property
    def rest(self) -> float:
        """Mass that waits: the wealth of bets that have not begun."""
        return self.steps + self.later


def wound(rules: Rules) -> Clock:
    """The clock before any batch: all mass waits, the start's too."""
    return Clock(0.0, 0.0, rules.mass_steps, rules.mass_later, -1)


def tick(clock: Clock, step: int, seconds: float, rules: Rules) -> Clock:
    """Let out the mass for a batch of `seconds` at plan index `step`, before its data is looked at."""
    out, _, steps, later, last = clock
    fresh = later * min(1.0, seconds / rules.later)
    later -= fresh
    if last < 0:
        fresh += rules.mass_start
    elif step > last:
        fresh += steps / 2
        steps /= 2
    return Clock(out + fresh, fresh, steps, later, step)


class Moment(NamedTuple):
    """What all tests need to know of a batch: the clock (which has let out its mass), whether pods are young, its seconds."""

    clock: Clock
    young: bool
    seconds: float
    rules: Rules


class Bets(NamedTuple):
    """A mixture of bets with equal weights. `ref` is the value when the young time began (the last value outside it)."""

    active: tuple[float, ...]
    value: float
    ref: float


def fresh(size: int, out: float = 0.0) -> Bets:
    """Bets that begin now; `out` is mass that others were given earlier."""
    return Bets((out,) * size, 1.0, 1.0)


def limit(ref: float, at: Moment) -> float:
    """The wealth that may not be exceeded in this batch."""
    return at.rules.young_gain * max(1.0, ref) if at.young else inf


def grow(bets: Bets, gains: Iterable[float] | None, at: Moment) -> Bets:
    """Add the mass that the clock let out, multiply each bet by exp(gain); None = nothing was learnt."""
    _, mass, steps, later, _ = at.clock
    if gains is None:
        active = [a + mass for a in bets.active]
    else:
        active = [(a + mass) * (exp(g) if g < STEEP else STEEPEST) for a, g in zip(bets.active, gains, strict=True)]
    rest = steps + later
    value = sum(active) / len(active) + rest
    if value > HUGE:
        active = [min(a, BIG) for a in active]
        value = sum(active) / len(active) + rest
    if not at.young:
        return Bets(tuple(active), value, value)
    most = limit(bets.ref, at)
    if value > most:
        scale = (most - rest) / (value - rest)
        active = [a * scale for a in active]
        value = most
    return Bets(tuple(active), value, bets.ref)
