"""Does the canary get the share of requests that was committed?

1. *Fits*: the canary had a request, and their number is within 25 % and two binomial standard deviations of the
   committed share. The first batch that fits opens a step's window; later ones need not.
2. *Above*: the canary had over 1.25 times its odds in this batch, and, over the last k <= 4 batches of the step
   together, over 1.25 (k+1)/k times, by at least four standard deviations and three requests. (k+1)/k is what one
   late or doubled scrape can do. Such a batch is evidence for nothing and is dropped.
3. *Below*: null: a request goes to the canary with at least half of the committed probability. A batch multiplies the
   bet on share s1 < s0 by (s1/s0)^n_c ((1-s1)/(1-s0))^n_s (Lindon, Malek 2022). Requests of a session stick together,
   so the log is divided by the dispersion of the canary's requests, at least 2; one batch multiplies by at most 4,
   since a scrape may be late. Young as in wealth.py, counted from the step's first routed batch.

| committed 5 %, 60 requests/s, batch of 15 s: canary got | fits | above | below |
|---------------------------------------------------------|------|-------|-------|
| 45 of 900                                               | yes  | no    | no    |
| 0 of 900, then 90 of 900 (a late scrape)                | no   | no    | no    |
| 450 of 900                                              | no   | yes   | no    |
| 0 of 900, again and again                               | no   | no    | yes   |
"""

from __future__ import annotations

from functools import lru_cache
from math import log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate import dispersion
from rollout.gate.dispersion import Dispersion, watched
from rollout.gate.rules import SHARE_GRID
from rollout.gate.wealth import Bets, Moment, fresh, grow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollout.gate.rules import Rules


class Share(NamedTuple):
    """What is known of the share.

    pool: the step's last batches, (canary, all) requests; routed: seconds of the step's routed batches.
    got of total: requests since the share last looked right.
    """

    bets: Bets
    seen: Dispersion
    pool: tuple[tuple[int, int], ...]
    routed: float
    got: int
    total: int


def begun(history: Sequence[tuple[int, int]], rules: Rules) -> Share:
    """The test before its first batch; of stable's `history` it learns how requests clump."""
    seen = dispersion.NEW
    for requests, _ in history:
        seen = watched(seen, requests, 1, rules)
    # What waits for a neighbour is thrown away: batches of the history are as long as each other, the rollout's may differ.
    return Share(fresh(len(SHARE_GRID)), seen._replace(waiting=dispersion.NEW.waiting), (), 0.0, 0, 0)


def fits(canary: int, total: int, traffic: int, rules: Rules) -> bool:
    """Rule 1."""
    w = traffic / 100
    expected = total * w
    room = rules.share_slack * expected + rules.fit_sigma * sqrt(expected * (1 - w))
    return canary > 0 and abs(canary - expected) <= room


def pooled(share: Share, canary: int, total: int, rules: Rules) -> Share:
    """Remember a batch for rule 2."""
    bets, seen, pool, routed, got, of = share
    return Share(bets, seen, (*pool, (canary, total))[-rules.share_pool :], routed, got, of)


def above(share: Share, traffic: int, rules: Rules) -> bool:
    """Rule 2, for the batch that was pooled last."""
    w = traffic / 100
    slack = 1 + rules.share_slack
    canary, total = share.pool[-1]
    if canary * (1 - w) <= slack * (total - canary) * w:
        return False
    size = len(share.pool)
    got = sum(c for c, _ in share.pool)
    of = sum(n for _, n in share.pool)
    if got * (1 - w) <= slack * (size + 1) / size * (of - got) * w:
        return False
    return got - of * w >= rules.share_sigma * sqrt(of * w * (1 - w) * share.seen.phi) + rules.share_few


def weighed(share: Share, canary: int, stable: int, traffic: int, at: Moment) -> Share:
    """Rule 3, for a routed batch."""
    rules = at.rules
    phi = max(rules.share_temper, share.seen.phi)
    highest = log(rules.share_cap)
    gains = [min(highest, (canary * up + stable * down) / phi) for up, down in _bets(traffic, rules.share_floor)]
    bets = grow(share.bets, gains, Moment(at.clock, share.routed < rules.young, at.seconds, rules))
    seen = watched(share.seen, canary + stable, round(1000 * at.seconds), rules)
    if max(gains) <= 0:
        return Share(bets, seen, share.pool, share.routed + at.seconds, 0, 0)
    return Share(bets, seen, share.pool, share.routed + at.seconds, share.got + canary, share.total + canary + stable)


@lru_cache(maxsize=128)
def _bets(traffic: int, least: float) -> tuple[tuple[float, float], ...]:
    """(log(s1/s0), log((1-s1)/(1-s0))) of each alternative share s1."""
    s0 = least * traffic / 100
    return tuple((log(g), log((1 - g * s0) / (1 - s0))) for g in SHARE_GRID)
