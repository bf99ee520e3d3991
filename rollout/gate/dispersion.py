"""Dispersion: how much more a count varies between neighbouring batches than independent requests would.

1. Two neighbouring, disjoint blocks of batches have x1 and x2 events in n1 and n2 requests. Given T = x1 + x2,
   independent events fall into the first with u = n1/(n1+n2): D = (x1 - uT)^2 has the mean V = T u (1-u), and the
   variance 2 V^2 + V (1 - 6u(1-u)) - the binomial's fourth moment. Events in clumps of k make D/V about k. A rate
   that changes slowly cancels; so does any harm that lasts.
2. Pairs are formed at widths of 1, 4 and 16 batches. Each width sums D and V over its pairs without the two worst and
   the worst 1 %: an outage has two edges, and they are no clumps.
3. phi of a width = (sum D + prior) / (sum V + prior), and only when sum D is significantly above sum V. phi = the
   largest, within [1, phi_max]: a canary cannot buy tolerance without limit by erring in bursts.
4. Counts over bins: the same with Pearson's statistic of the two batches, whose mean is bins - 1, at a width of one batch.
5. It is used for the next batch only (predictable). Dividing a log factor by phi >= 1 keeps its expectation at most 1
   (Jensen).

| level | block | pair closes every |
|-------|-------|-------------------|
| 0     | 1     | 2 batches         |
| 2     | 4     | 8 batches         |
| 4     | 16    | 32 batches        |

References: McCullagh, Nelder 1989, section 4.5 (dispersion by Pearson's statistic).
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate.rules import WIDTHS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rollout.gate.rules import Rules

ROUNDING = 1e-9  # relative: sums and differences of floats may leave this much that is no excess
KEPT = 12  # worst pairs remembered per width: 1 % of a thousand pairs, and the two
Block = tuple[int, int]  # events, requests
Excess = tuple[float, float, float, float]  # D - V, D, V, variance of D


class Sums(NamedTuple):
    """What is known at one width: over all pairs with an event, and the worst of them, worst first."""

    d: float
    v: float
    q: float
    pairs: int
    worst: tuple[Excess, ...]
    phi: float


class Dispersion(NamedTuple):
    """`waiting[level]` is a block (events, requests) that waits for its neighbour; `phi` what all this says now."""

    waiting: tuple[Block | None, ...]
    sums: tuple[Sums, ...]
    phi: float


class Spread(NamedTuple):
    """Rule 4: `waiting` is a batch's counts that wait for their neighbours."""

    waiting: tuple[int, ...] | None
    sums: Sums

    @property
    def phi(self) -> float:
        """What this says now, >= 1."""
        return self.sums.phi


LEVELS = max(WIDTHS) + 1
NOTHING = Sums(0.0, 0.0, 0.0, 0, (), 1.0)
CALM = Spread(None, NOTHING)
NEW = Dispersion((None,) * LEVELS, (NOTHING,) * len(WIDTHS), 1.0)


def watched(known: Dispersion, events: int, requests: int, rules: Rules) -> Dispersion:
    """Take in the next batch of one arm: `events` of `requests`."""
    waiting, sums, phi = known
    block = (events, requests)
    first = waiting[0]
    if first is None:  # the common half of all cases, kept cheap
        return Dispersion((block, *waiting[1:]), sums, phi)
    queue = list(waiting)
    changed = list(sums)
    level = 0
    while first is not None:
        queue[level] = None
        if level in WIDTHS and first[0] + block[0]:
            index = WIDTHS.index(level)
            changed[index] = _paired(changed[index], first, block, rules)
        block = (first[0] + block[0], first[1] + block[1])
        level += 1
        if level == LEVELS:
            break
        first = queue[level]
    else:
        queue[level] = block
    if block[0] == 0:
        return Dispersion(tuple(queue), sums, phi)
    return Dispersion(tuple(queue), tuple(changed), max([s.phi for s in changed]))


def spread(known: Spread, counts: tuple[int, ...], rules: Rules) -> Spread:
    """Take in the next batch of one arm, counts per bin; one without any count is passed over."""
    n = sum(counts)
    if not n:
        return known
    if known.waiting is None:
        return Spread(counts, known.sums)
    every = n + sum(known.waiting)
    u = 1 - n / every
    pairs = [(one, one + two) for one, two in zip(known.waiting, counts, strict=True) if one + two]
    if len(pairs) == 1:
        return Spread(None, known.sums)
    pearson = sum((one - u * total) ** 2 / total for one, total in pairs) / (u * (1 - u)) * (every - 1) / every
    free = len(pairs) - 1.0
    return Spread(None, _summed(known.sums, pearson, free, 2 * free, rules))


def _paired(sums: Sums, one: Block, two: Block, rules: Rules) -> Sums:
    """Rule 1, and what follows. Events imply requests, so n1 + n2 > 0."""
    total = one[0] + two[0]
    u = one[1] / (one[1] + two[1])
    dd = (one[0] - u * total) ** 2
    vv = total * u * (1 - u)
    qq = max(0.0, 2 * vv * vv + vv * (1 - 6 * u * (1 - u)))
    return _summed(sums, dd, vv, qq, rules)


def _summed(sums: Sums, dd: float, vv: float, qq: float, rules: Rules) -> Sums:
    """With one more pair."""
    d, v, q, pairs, worst, _ = sums
    d, v, q, pairs = d + dd, v + vv, q + qq, pairs + 1
    if len(worst) < KEPT or dd - vv > worst[-1][0]:
        worst = tuple(sorted((*worst, (dd - vv, dd, vv, qq)), reverse=True)[:KEPT])
    return Sums(d, v, q, pairs, worst, _phi(d, v, q, worst[: 2 + pairs // 100], rules))


def _phi(d: float, v: float, q: float, worst: Iterable[Excess], rules: Rules) -> float:
    """Rules 2 and 3 at one width."""
    if d <= v:
        return 1.0
    for _, dd, vv, qq in worst:
        d -= dd
        v -= vv
        q -= qq
    if d - v <= rules.phi_sure * sqrt(max(q, 0.0)) + ROUNDING * v:
        return 1.0
    return min(rules.phi_max, (d + rules.phi_prior) / (v + rules.phi_prior))
