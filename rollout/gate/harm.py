"""Is the canary worse than stable? The two-arm test, for errors and for slow requests alike.

Events are errors, or requests over the latency budget. Null: in every batch the canary's rate is at most r0 times stable's, whatever
stable's is (it may drift), or at most a floor that nobody minds.
1. A batch with e_c, e_s events and share W of the canary multiplies the bet on ratio r > r0 by (q/q0)^e_c ((1-q)/(1-q0))^e_s, where
   q = W r/(W r + 1 - W) is the share of events that r predicts, and q0 the same for r0. Its expectation is at most
   exp(n_c p_c (q/q0 - 1) + n_s p_s ((1-q)/(1-q0) - 1)) <= 1 when p_c <= r0 p_s (Turner, Ly, Gruenwald 2024; Lindon, Malek 2022).
2. W is the batch's own share, shrunk by 100 requests to the step's share so far, and that by 400 to the committed one. For a data
   plane that routes at random the expectation stays at most 1 for every amount of shrinking (the tests enumerate it).
3. Start-time mixture: wealth.py. Ratios are a grid of equal weights.
4. Dispersion: log gains are divided by phi, the larger of both arms' (dispersion.py).
5. Winsor: the canary's events in one batch count for r up to what r predicts from stable's recent rate, plus 2 sd, and 1 at least.
6. Cap: a batch with two canary events or more multiplies a bet by at most 12. 5 and 6 only lower the wealth.
7. Young pods: wealth.py, rule 3.
8. Floor: besides, a one-sample bet against "the canary's rate is at most the floor" (0.05 % errors, 0.5 % slow) must agree; it is
   for a stable that never fails.
9. Total failure: 2 % of the mass are on the linear bet 1 - 0.9 + 0.9 (e_c/n_c)/p0 (Waudby-Smith, Ramdas 2020), with p0 the largest of
   ten floors and three times r0 times stable's rate so far, recently, and in this batch. It wins where requests are rare.
   It is exact while stable's rate is below ten floors / r0, and beyond when stable's observed rates are at least a third of the true.

| data of the batch       | ratio bets | total failure          | floor | what is learnt of stable |
|-------------------------|------------|------------------------|-------|--------------------------|
| both arms               | yes        | yes                    | yes   | yes                      |
| canary only             | no         | if stable was seen     | yes   | no                       |
| stable only             | no         | no                     | no    | yes                      |
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate import dispersion
from rollout.gate.dispersion import Dispersion, watched
from rollout.gate.rules import BIG, FLOOR_GRID, GRID
from rollout.gate.wealth import Bets, Clock, fresh, grow, limit, multiplied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollout.gate.rules import Rules

LOG_GRID = tuple(log(g) for g in GRID)
NOT_SEEN = 1.0  # stable requests, decayed, below which stable counts as not seen


class Stable(NamedTuple):
    """Stable's events and requests: all of them, and the recent ones (decayed)."""

    events: int = 0
    requests: int = 0
    recent_events: float = 0.0
    recent_requests: float = 0.0


class Harm(NamedTuple):
    """The test of one kind of event. `value` is its e-value, `floor.value` that of the floor test."""

    ratios: Bets
    total: float
    value: float
    floor: Bets
    stable: Stable
    of_stable: Dispersion
    of_canary: Dispersion

    @property
    def phi(self) -> float:
        """Dispersion in force for the next batch, >= 1."""
        return max(self.of_stable.phi, self.of_canary.phi)


class Counts(NamedTuple):
    """One batch of both arms: events and requests; None = no data of that arm. `share` is rule 2's W."""

    canary_events: int
    canary_requests: int | None
    stable_events: int
    stable_requests: int | None
    share: float


def begun(history: Sequence[tuple[int, int]], rules: Rules, out: float = 0.0) -> Harm:
    """The test before its first batch; `history` is stable's (requests, events) per batch from before, oldest first."""
    stable, seen = Stable(), dispersion.NEW
    for requests, events in history:
        stable = Stable(
            stable.events + events,
            stable.requests + requests,
            stable.recent_events * 0.9 + events,  # how long these batches were is not known: remember about ten
            stable.recent_requests * 0.9 + requests,
        )
        seen = watched(seen, events, requests, rules)
    return Harm(fresh(len(GRID), out), out, 1.0, fresh(len(FLOOR_GRID), out), stable, seen, dispersion.NEW)


def weighed(
    harm: Harm, now: Counts, ratio: float, floor: float, clock: Clock, young: bool, seconds: float, rules: Rules
) -> Harm:
    """Take in one batch. `ratio` is r0, `floor` a rate, `clock` has already let out this batch's mass."""
    phi = max(harm.of_stable.phi, harm.of_canary.phi)
    stable = learnt(harm.stable, now, seconds, rules)
    e_c, n_c = now.canary_events, now.canary_requests
    of_canary, floors = harm.of_canary, harm.floor
    gains = factor = None
    if n_c:
        if now.stable_requests and (e_c or now.stable_events):
            gains = _gains(now, ratio, phi, stable, floor, rules)
        if now.stable_requests or stable.recent_requests >= NOT_SEEN:
            factor = _total_failure(now, ratio, phi, stable, floor, rules)
        floors = grow(floors, _floor_gains(e_c, n_c, phi, floor), clock, False, rules)
        of_canary = watched(of_canary, e_c, n_c, rules)
    else:
        if n_c is not None and now.stable_requests and now.stable_events:
            gains = _gains(now, ratio, phi, stable, floor, rules)
        floors = grow(floors, None, clock, False, rules)
    of_stable = harm.of_stable
    if now.stable_requests:
        of_stable = watched(of_stable, now.stable_events, now.stable_requests, rules)
    ratios = grow(harm.ratios, gains, clock, False, rules)
    total = harm.total + clock.mass
    if factor is not None:
        total = min(BIG, total * factor)
    return _muzzled(harm, ratios, total, floors, stable, of_stable, of_canary, clock, young, rules)


def _muzzled(
    harm: Harm,
    ratios: Bets,
    total: float,
    floors: Bets,
    stable: Stable,
    of_stable: Dispersion,
    of_canary: Dispersion,
    clock: Clock,
    young: bool,
    rules: Rules,
) -> Harm:
    """Rules 7 and 9: mix the total-failure bet in, and keep the sum down while pods are young."""
    part = rules.total_mass
    rest = clock.rest
    value = (1 - part) * (ratios.value - rest) + part * total + rest
    ref = harm.ratios.ref if young else value
    if young:
        most = limit(ref, young, rules)
        if value > most:
            scale = (most - rest) / (value - rest)
            ratios = Bets(tuple([a * scale for a in ratios.active]), (ratios.value - rest) * scale + rest, ref)
            total *= scale
            value = most
    return Harm(Bets(ratios.active, ratios.value, ref), total, value, floors, stable, of_stable, of_canary)


def learnt(stable: Stable, now: Counts, seconds: float, rules: Rules) -> Stable:
    """Stable's rates, this batch included."""
    fade = exp(-seconds / rules.recent)
    if not now.stable_requests:
        return Stable(stable.events, stable.requests, stable.recent_events * fade, stable.recent_requests * fade)
    return Stable(
        stable.events + now.stable_events,
        stable.requests + now.stable_requests,
        stable.recent_events * fade + now.stable_events,
        stable.recent_requests * fade + now.stable_requests,
    )


def _gains(now: Counts, ratio: float, phi: float, stable: Stable, floor: float, rules: Rules) -> list[float]:
    """Rules 1, 4, 5, 6: the log gain of each ratio."""
    e_c, _, e_s, _, share = now
    rest = 1 - share
    scaled = share * ratio
    base = scaled + rest
    if not e_c:
        return [-e_s * log((scaled * g + rest) / base) / phi for g in GRID]
    expected = _recent_rate(stable, floor) * ratio * (now.canary_requests or 0)
    highest = log(rules.cap) if e_c >= 2 else BIG
    gains = []
    for g, log_g in zip(GRID, LOG_GRID, strict=True):
        mean = expected * g
        counted = min(e_c, max(1.0, mean + rules.winsor * sqrt(mean * phi)))
        gain = (counted * log_g - (counted + e_s) * log((scaled * g + rest) / base)) / phi
        gains.append(min(gain, highest))
    return gains


def _recent_rate(stable: Stable, floor: float) -> float:
    """Stable's recent rate, shrunk by 100 requests to its rate so far, and that by 200 to the floor."""
    so_far = (stable.events + 200 * floor) / (stable.requests + 200)
    return (stable.recent_events + 100 * so_far) / (stable.recent_requests + 100)


def _total_failure(now: Counts, ratio: float, phi: float, stable: Stable, floor: float, rules: Rules) -> float:
    """Rule 9."""
    rate = 0.0
    if stable.requests:
        rate = stable.events / stable.requests
    if stable.recent_requests:
        rate = max(rate, stable.recent_events / stable.recent_requests)
    if now.stable_requests:
        rate = max(rate, now.stable_events / now.stable_requests)
    null = max(rules.total_rate * floor, rules.total_ratio * ratio * rate)
    stake = rules.total_stake
    factor = 1 - stake + stake * now.canary_events / phi / (now.canary_requests or 1) / null
    return min(factor, rules.cap) if now.canary_events >= 2 else factor


@lru_cache(maxsize=8)
def _floor_bets(floor: float) -> tuple[tuple[float, float], ...]:
    """(log(p1/floor), p1 - floor) of each alternative p1 < 1."""
    return tuple((log(g), min(0.99, g * floor) - floor) for g in FLOOR_GRID)


def _floor_gains(events: int, requests: int, phi: float, floor: float) -> list[float]:
    """Rule 8: a Poisson bound of the binomial likelihood ratio, (p1/p0)^e exp(-n (p1 - p0)), whose expectation is at most 1."""
    return [(events * up - requests * cost) / phi for up, cost in _floor_bets(floor)]


__all__ = ["Counts", "Harm", "Stable", "begun", "learnt", "multiplied", "weighed"]
