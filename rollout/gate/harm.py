"""Is the canary worse than stable? The two-arm test, for errors and for slow requests alike.

Events are errors, or requests over the latency budget. Null: in every batch the canary's rate is at most r0 times
stable's, whatever stable's is (it may drift), or at most a floor that nobody minds.
1. A batch with e_c, e_s events and share W of the canary multiplies the bet on ratio r > r0 by (q/q0)^e_c
   ((1-q)/(1-q0))^e_s, where q = W r/(W r + 1 - W) is the share of events that r predicts, and q0 the same for r0. Its
   expectation is at most exp(n_c p_c (q/q0 - 1) + n_s p_s ((1-q)/(1-q0) - 1)) <= 1 when p_c <= r0 p_s (Turner, Ly,
   Gruenwald 2024; Lindon, Malek 2022).
2. W is the batch's own share, shrunk by 100 requests to the step's share so far, and that by 400 to the committed
   one. For a data plane that routes at random the expectation stays at most 1 for every amount of shrinking (the
   tests enumerate it).
3. Start-time mixture: wealth.py. Ratios are a grid of equal weights.
4. Dispersion: log gains are divided by phi, the larger of both arms' (dispersion.py).
5. Winsor: the canary's events in one batch count for r up to what r predicts from stable's recent rate, plus 2 sd,
   and 1 at least.
6. Cap: a batch with two canary events or more multiplies a bet by at most 12. 5 and 6 only lower the wealth.
7. Young pods: wealth.py, rule 3.
8. Floor: besides, a one-sample bet against "the canary's rate is at most the floor" (0.05 % errors, 0.5 % slow) must
   agree; it is for a stable that never fails.
9. Total failure: 2 % of the mass are on the linear bet 1 - 0.9 + 0.9 (e_c/n_c)/p0 (Waudby-Smith, Ramdas 2020), with p0
   the largest of ten floors and three times r0 times stable's rate so far, recently, and in this batch. It wins where
   requests are rare. So far is (e + 1)/(n + 1): E[(n + 1)/(e + 1)] <= 1/p_s, so while stable's rate is constant the
   bet's expectation is at most 0.1 + 0.9/3; the other two, and the three, are for a rate that has just risen.

| data of the batch              | ratio bets | total failure               | floor | what is learnt of stable |
|--------------------------------|------------|-----------------------------|-------|--------------------------|
| both arms                      | yes        | if the canary had a request | too   | yes                      |
| canary; of stable no request   | no         | if stable was seen lately   | yes   | no                       |
| canary; of stable no data      | no         | no                          | yes   | no                       |
| stable; of the canary no data  | no         | no                          | no    | yes                      |
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate import dispersion
from rollout.gate.dispersion import Dispersion, watched
from rollout.gate.rules import BIG, FLOOR_GRID, GRID
from rollout.gate.wealth import Bets, Moment, fresh, grow, limit

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

    def plus(self, events: int, requests: int, fade: float) -> Stable:
        """With a batch, what was recent having faded."""
        return Stable(
            self.events + events, self.requests + requests,
            self.recent_events * fade + events, self.recent_requests * fade + requests,
        )  # fmt: skip


class Harm(NamedTuple):
    """The test of one kind of event: `ratios` and `total` are bets on the canary against stable, `value` their mixture."""

    ratios: Bets
    total: float
    value: float
    floor: Bets
    stable: Stable
    of_stable: Dispersion
    of_canary: Dispersion

    @property
    def evidence(self) -> float:
        """The e-value of "worse than stable, and above the floor": the smaller of the two tests'."""
        return min(self.value, self.floor.value)

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


class Null(NamedTuple):
    """What is tolerated: `ratio` times stable's rate, and the `floor`, a rate; phi, by which log gains are divided."""

    ratio: float
    floor: float
    phi: float


def begun(history: Sequence[tuple[int, int]], rules: Rules, out: float = 0.0) -> Harm:
    """The test before its first batch.

    history: stable's (requests, events) per batch from before, oldest first. out: mass that a clock has let out already.
    """
    stable, seen = Stable(), dispersion.NEW
    for requests, events in history:
        stable = stable.plus(events, requests, 0.9)  # how long these batches were is not known: remember about ten
        seen = watched(seen, events, requests, rules)
    return Harm(fresh(len(GRID), out), out, 1.0, fresh(len(FLOOR_GRID), out), stable, seen, dispersion.NEW)


def weighed(harm: Harm, now: Counts, ratio: float, floor: float, at: Moment) -> Harm:
    """Take in one batch, by the table above. `ratio` is r0, `floor` a rate."""
    rules = at.rules
    null = Null(ratio, floor, harm.phi)
    known = idle(harm, now, at)
    stable = known.stable
    e_c, n_c = now.canary_events, now.canary_requests
    of_canary = harm.of_canary
    gains = floors = None
    factor = 1.0
    if n_c is not None and now.stable_requests and (e_c or now.stable_events):
        gains = _gains(now, null, stable, rules)
    if n_c:
        if now.stable_requests is not None and stable.recent_requests >= NOT_SEEN:
            factor = _total_failure(now, null, stable, rules)
        floors = _floor_gains(e_c, n_c, null)
        of_canary = watched(of_canary, e_c, n_c, rules)
    elder = Moment(at.clock, False, at.seconds, rules)  # rule 7 looks at the whole mixture, below
    ratios = grow(harm.ratios, gains, elder)
    total = min(BIG, (harm.total + at.clock.mass) * factor)
    value, scale = _mixed(ratios, total, harm.ratios.ref, at)
    active = ratios.active
    if scale < 1:
        active = tuple([a * scale for a in active])
        total *= scale
    ratios = Bets(active, value, harm.ratios.ref if at.young else value)
    return Harm(ratios, total, value, grow(harm.floor, floors, elder), stable, known.of_stable, of_canary)


def idle(harm: Harm, now: Counts, at: Moment) -> Harm:
    """Learn what stable does, and no more: all that a batch from before the canary's first request is good for."""
    ratios, total, value, floor, stable, seen, of_canary = harm
    _, _, events, requests, _ = now
    stable = stable.plus(events, requests or 0, exp(-at.seconds / at.rules.recent))
    if requests:
        seen = watched(seen, events, requests, at.rules)
    return Harm(ratios, total, value, floor, stable, seen, of_canary)


def _mixed(ratios: Bets, total: float, ref: float, at: Moment) -> tuple[float, float]:
    """Rules 7 and 9: the wealth of all bets, and what they are scaled down by while pods are young."""
    rest = at.clock.rest
    part = at.rules.total_mass
    value = (1 - part) * (ratios.value - rest) + part * total + rest
    most = limit(ref, at)
    return (value, 1.0) if value <= most else (most, (most - rest) / (value - rest))


def _gains(now: Counts, null: Null, stable: Stable, rules: Rules) -> list[float]:
    """Rules 1, 4, 5, 6: the log gain of each ratio."""
    e_c, n_c, e_s, _, share = now
    ratio, floor, phi = null
    rest = 1 - share
    scaled = share * ratio
    base = scaled + rest
    if not e_c:
        return [-e_s * log((scaled * g + rest) / base) / phi for g in GRID]
    expected = _recent_rate(stable, floor) * ratio * (n_c or 0)
    highest = log(rules.cap) if e_c >= 2 else BIG
    gains = []
    for g, log_g in zip(GRID, LOG_GRID, strict=True):
        mean = expected * g
        most = mean + rules.winsor * sqrt(mean * phi)
        counted = e_c if e_c <= 1 or e_c <= most else max(1.0, most)
        gain = (counted * log_g - (counted + e_s) * log((scaled * g + rest) / base)) / phi
        gains.append(gain if gain < highest else highest)
    return gains


def _recent_rate(stable: Stable, floor: float) -> float:
    """Stable's recent rate, shrunk by 100 requests to its rate so far, and that by 200 to the floor."""
    so_far = (stable.events + 200 * floor) / (stable.requests + 200)
    return (stable.recent_events + 100 * so_far) / (stable.recent_requests + 100)


def _total_failure(now: Counts, null: Null, stable: Stable, rules: Rules) -> float:
    """Rule 9."""
    rate = max((stable.events + 1) / (stable.requests + 1), stable.recent_events / stable.recent_requests)
    if now.stable_requests:
        rate = max(rate, now.stable_events / now.stable_requests)
    most = max(rules.total_rate * null.floor, rules.total_ratio * null.ratio * rate)
    stake = rules.total_stake
    factor = 1 - stake + stake * now.canary_events / null.phi / (now.canary_requests or 1) / most
    return min(factor, rules.cap) if now.canary_events >= 2 else factor


@lru_cache(maxsize=8)
def _floor_bets(floor: float) -> tuple[tuple[float, float], ...]:
    """(log(p1/floor), p1 - floor) of each alternative p1 < 1."""
    return tuple((log(p1 / floor), p1 - floor) for p1 in (min(0.99, g * floor) for g in FLOOR_GRID))


def _floor_gains(events: int, requests: int, null: Null) -> list[float]:
    """Rule 8: a Poisson bound of the binomial likelihood ratio, (p1/p0)^e exp(-n (p1 - p0)), whose expectation is at most 1."""
    return [(events * up - requests * cost) / null.phi for up, cost in _floor_bets(null.floor)]
