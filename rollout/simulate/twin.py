"""The gate for many rollouts at once: a twin of rollout.gate in numpy, proven equal to it batch by batch.

The rules are those of rollout.gate, by the same names; read them there. Nothing here decides anything in production:
the controller runs rollout.gate, and tests/simulate/test_twin.py folds any batches through both and compares every
number. Why it exists: one observe and judge of rollout.gate takes some 80 microseconds, ten thousand rollouts in one
pass of the twin some two per rollout.

Arrays are (rollouts,) or (bets, rollouts). A mask says for which rollouts something happens.
"""

from __future__ import annotations

from math import exp, inf, log

import numpy as np
import numpy.typing as npt

from rollout.gate.ceiling import _bets as ceiling_bets
from rollout.gate.dispersion import KEPT, LEVELS, ROUNDING
from rollout.gate.harm import LOG_GRID, NOT_SEEN, _floor_bets
from rollout.gate.rules import BIG, CEILING_GRID, FLOOR_GRID, GRID, SAFETY_GRID, SHARE_GRID, STEEP, WIDTHS, Rules, thresholds
from rollout.gate.safety import floor_at
from rollout.gate.share import _bets as share_bets
from rollout.gate.wealth import HUGE
from rollout.plan import Gates

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
HARMFUL, DOWN, SHARE, NO_DATA, OUTAGE, SAFE, UNDECIDED = range(7)  # the rows of judge.py's table
ERRORS, CEILING, LATENCY, DEAD = range(4)  # causes of harm, as in judge.CAUSES


class Kept:
    """Arrays whose last axis is rollouts; what is the same for all of them is no array."""

    def keep(self, kept: Flags) -> None:
        """Forget the rollouts that are over."""
        for name, value in vars(self).items():
            if isinstance(value, Kept):
                value.keep(kept)
            elif isinstance(value, np.ndarray):
                setattr(self, name, value[..., kept])

    def take(self, other: Kept, who: Flags) -> None:
        """Become like `other` where `who` says so."""
        at = np.flatnonzero(who)
        for name, value in vars(self).items():
            its = getattr(other, name)
            if isinstance(value, Kept):
                value.take(its, who)
            elif isinstance(value, np.ndarray):
                copied = value.copy()
                copied[..., at] = its[..., at]
                setattr(self, name, copied)


class Clock(Kept):
    """wealth.Clock."""

    def __init__(self, size: int, rules: Rules) -> None:
        self.out, self.mass = np.zeros(size), np.zeros(size)
        self.steps, self.later = np.full(size, rules.mass_steps), np.full(size, rules.mass_later)
        self.step = np.full(size, -1)

    @property
    def rest(self) -> Floats:
        """Mass that waits."""
        found: Floats = self.steps + self.later
        return found

    def tick(self, who: Flags, step: Ints, seconds: float, rules: Rules) -> None:
        """wealth.tick."""
        fresh = self.later * min(1.0, seconds / rules.later)
        later = self.later - fresh
        first, next_step = self.step < 0, (self.step >= 0) & (step > self.step)
        fresh = fresh + np.where(first, rules.mass_start, 0.0) + np.where(next_step, self.steps / 2, 0.0)
        steps = np.where(next_step, self.steps / 2, self.steps)
        self.mass = np.where(who, fresh, self.mass)
        self.out = np.where(who, self.out + fresh, self.out)
        self.steps, self.later = np.where(who, steps, self.steps), np.where(who, later, self.later)
        self.step = np.where(who, step, self.step)


class Bets(Kept):
    """wealth.Bets."""

    def __init__(self, bets: int, size: int) -> None:
        self.active = np.zeros((bets, size))
        self.value, self.ref = np.ones(size), np.ones(size)

    def grow(self, who: Flags, gains: Floats | None, clock: Clock, limit: Floats | None) -> None:
        """wealth.grow; limit: where pods are young, what the wealth may reach, else infinity; None: nobody is young."""
        active = self.active + clock.mass
        if gains is not None:
            active = active * np.exp(np.minimum(gains, STEEP))
        value = active.mean(0) + clock.rest
        if (value > HUGE).any():
            active = np.where(value > HUGE, np.minimum(active, BIG), active)
            value = active.mean(0) + clock.rest
        ref = value
        if limit is not None:
            active, value, ref = self._held(active, value, clock.rest, limit)
        self.active = np.where(who, active, self.active)
        self.value, self.ref = np.where(who, value, self.value), np.where(who, ref, self.ref)

    def _held(self, active: Floats, value: Floats, rest: Floats, limit: Floats) -> tuple[Floats, Floats, Floats]:
        ref = np.where(np.isfinite(limit), self.ref, value)
        over = value > limit
        if over.any():
            with np.errstate(divide="ignore", invalid="ignore"):
                scale = np.where(over, (limit - rest) / (value - rest), 1.0)
            active, value = active * scale, np.where(over, limit, value)
        return active, value, ref


class Dispersion(Kept):
    """dispersion.Dispersion."""

    def __init__(self, size: int) -> None:
        widths = len(WIDTHS)
        self.has = np.zeros((LEVELS, size), bool)
        self.events, self.requests = np.zeros((LEVELS, size), np.int64), np.zeros((LEVELS, size), np.int64)
        self.sums = np.zeros((widths, 3, size))  # d, v, q
        self.pairs = np.zeros((widths, size), np.int64)
        self.worst = np.full((widths, 4, KEPT, size), -inf)
        self.phis = np.ones((widths, size))
        self.phi = np.ones(size)

    def watch(self, who: Flags, events: Ints, requests: Ints, rules: Rules) -> None:
        """dispersion.watched."""
        at = np.flatnonzero(who)
        e, n = events[at], requests[at]
        for level in range(LEVELS):
            if not len(at):
                break
            pair = self.has[level, at]
            alone = at[~pair]
            self.has[level, alone], self.events[level, alone], self.requests[level, alone] = True, e[~pair], n[~pair]
            at, e, n = at[pair], e[pair], n[pair]
            one_e, one_n = self.events[level, at], self.requests[level, at]
            self.has[level, at] = False
            if level in WIDTHS:
                self._paired(WIDTHS.index(level), at, (one_e, one_n), (e, n), rules)
            e, n = e + one_e, n + one_n

    def _paired(self, width: int, at: Ints, one: tuple[Ints, Ints], two: tuple[Ints, Ints], rules: Rules) -> None:
        some = one[0] + two[0] > 0
        at, total = at[some], (one[0] + two[0])[some]
        if not len(at):
            return
        first, of = one[1][some], one[1][some] + two[1][some]
        u = first / of
        dd = (one[0][some] - u * total) ** 2
        vv = total * u * (1 - u)
        qq = np.maximum(0.0, 2 * vv * vv + vv * (1 - 6 * u * (1 - u)))
        self.sums[width][:, at] += np.array((dd, vv, qq))
        self.pairs[width, at] += 1
        self._remember(width, at, np.array((dd - vv, dd, vv, qq)))
        self.phis[width, at] = self._phi(width, at, rules)
        self.phi[at] = self.phis[:, at].max(0)

    def _remember(self, width: int, at: Ints, new: Floats) -> None:
        """Insert into the worst, which are sorted as tuples, worst first."""
        worst = self.worst[width]
        enters = new[0] > worst[0, -1, at]
        at, new = at[enters], new[:, enters]
        if not len(at):
            return
        old = worst[:, :, at]
        above, same = old[0] > new[0], old[0] == new[0]
        if same.any():
            for mine, its in zip(old[1:], new[1:], strict=True):
                above |= same & (mine > its)
                same &= mine == its
        place = above.sum(0)
        rank = np.arange(KEPT)[:, None]
        moved = np.concatenate((old[:, :1], old[:, :-1]), axis=1)
        worst[:, :, at] = np.where(rank < place, old, np.where(rank == place, new[:, None, :], moved))

    def _phi(self, width: int, at: Ints, rules: Rules) -> Floats:
        d, v, q = self.sums[width][:, at]
        phi = np.ones(len(at))
        more = np.flatnonzero(d > v)
        if not len(more):
            return phi
        at, d, v, q = at[more], d[more], v[more], q[more]
        pairs = self.pairs[width, at]
        out = np.arange(KEPT)[:, None] < np.minimum(2 + pairs // 100, pairs)
        trimmed = np.where(out, self.worst[width][1:, :, at], 0.0).sum(1)
        d, v, q = d - trimmed[0], v - trimmed[1], q - trimmed[2]
        sure = d - v > rules.phi_sure * np.sqrt(np.maximum(q, 0.0)) + ROUNDING * v
        phi[more] = np.where(sure, np.minimum(rules.phi_max, (d + rules.phi_prior) / (v + rules.phi_prior)), 1.0)
        return phi


class Counts:
    """One batch: events and requests per arm, whether there is data of the arm, the canary's shrunk share."""

    def __init__(self, stable: tuple[Ints, Ints], canary: tuple[Ints, Ints], data: tuple[Flags, Flags], share: Floats) -> None:
        (self.n_s, self.e_s), (self.n_c, self.e_c), (self.stable, self.canary), self.share = stable, canary, data, share


class Harm(Kept):
    """harm.Harm."""

    def __init__(self, size: int, ratio: float, floor: float) -> None:
        self.ratio, self.null_floor = ratio, floor
        self.ratios, self.floor = Bets(len(GRID), size), Bets(len(FLOOR_GRID), size)
        self.total, self.value = np.zeros(size), np.ones(size)
        self.e, self.n = np.zeros(size), np.zeros(size)
        self.recent_e, self.recent_n = np.zeros(size), np.zeros(size)
        self.of_stable, self.of_canary = Dispersion(size), Dispersion(size)

    @property
    def evidence(self) -> Floats:
        """harm.Harm.evidence."""
        return np.minimum(self.value, self.floor.value)

    @property
    def phi(self) -> Floats:
        """harm.Harm.phi."""
        return np.maximum(self.of_stable.phi, self.of_canary.phi)

    def past(self, requests: Ints, events: Ints, rules: Rules) -> None:
        """harm.begun: one batch of stable's history."""
        self._stable(np.ones(len(requests), bool), requests, events, 0.9)
        self.of_stable.watch(np.ones(len(requests), bool), events, requests, rules)

    def _stable(self, who: Flags, requests: Ints, events: Ints, fade: float) -> None:
        self.e, self.n = self.e + who * events, self.n + who * requests
        self.recent_e = np.where(who, self.recent_e * fade + events, self.recent_e)
        self.recent_n = np.where(who, self.recent_n * fade + requests, self.recent_n)

    def idle(self, who: Flags, now: Counts, seconds: float, rules: Rules) -> None:
        """harm.idle."""
        self._stable(who, now.n_s, now.e_s, exp(-seconds / rules.recent))
        self.of_stable.watch(who & (now.n_s > 0), now.e_s, now.n_s, rules)

    def weigh(self, who: Flags, now: Counts, clock: Clock, limit: Floats | None, phi: Floats, rules: Rules) -> None:
        """harm.weighed, after `idle`; phi is of before; limit: of the wealth where pods are young, None: nobody is."""
        gains = self._gains(now, phi, rules)
        factor = self._total_failure(now, phi, rules)
        bets = np.array(_floor_bets(self.null_floor))
        floors = np.where(now.n_c > 0, (now.e_c * bets[:, :1] - now.n_c * bets[:, 1:]) / phi, 0.0)
        before = self.ratios.ref
        self.ratios.grow(who, gains, clock, None)
        total = np.minimum(BIG, (self.total + clock.mass) * factor)
        rest, part = clock.rest, rules.total_mass
        value = (1 - part) * (self.ratios.value - rest) + part * total + rest
        ref = value
        if limit is not None:
            over = who & (value > limit)
            if over.any():
                with np.errstate(divide="ignore", invalid="ignore"):
                    scale = np.where(over, (limit - rest) / (value - rest), 1.0)
                self.ratios.active, total, value = self.ratios.active * scale, total * scale, np.where(over, limit, value)
            ref = np.where(np.isfinite(limit), before, value)
        self.total, self.value = np.where(who, total, self.total), np.where(who, value, self.value)
        self.ratios.value = np.where(who, value, self.ratios.value)
        self.ratios.ref = np.where(who, ref, before)
        self.floor.grow(who, floors, clock, None)
        self.of_canary.watch(who & (now.n_c > 0), now.e_c, now.n_c, rules)

    def _gains(self, now: Counts, phi: Floats, rules: Rules) -> Floats:
        grid, logs = np.array(GRID)[:, None], np.array(LOG_GRID)[:, None]
        told = now.canary & (now.n_s > 0) & (now.e_c + now.e_s > 0)
        gains = np.zeros((len(GRID), len(told)))
        at = np.flatnonzero(told)
        if not len(at):
            return gains
        e_c, e_s, n_c, phi, share = now.e_c[at], now.e_s[at], now.n_c[at], phi[at], now.share[at]
        scaled, rest = share * self.ratio, 1 - share
        so_far = (self.e[at] + 200 * self.null_floor) / (self.n[at] + 200)
        rate = (self.recent_e[at] + 100 * so_far) / (self.recent_n[at] + 100)
        mean = rate * self.ratio * n_c * grid
        most = mean + rules.winsor * np.sqrt(mean * phi)
        counted = np.where((e_c <= 1) | (e_c <= most), e_c, np.maximum(1.0, most))
        gain = (counted * logs - (counted + e_s) * np.log((scaled * grid + rest) / (scaled + rest))) / phi
        gains[:, at] = np.minimum(gain, np.where(e_c >= 2, log(rules.cap), BIG))
        return gains

    def _total_failure(self, now: Counts, phi: Floats, rules: Rules) -> Floats:
        told = (now.n_c > 0) & now.stable & (self.recent_n >= NOT_SEEN)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.maximum((self.e + 1) / (self.n + 1), self.recent_e / self.recent_n)
            rate = np.where(now.n_s > 0, np.maximum(rate, now.e_s / now.n_s), rate)
            most = np.maximum(rules.total_rate * self.null_floor, rules.total_ratio * self.ratio * rate)
            factor = 1 - rules.total_stake + rules.total_stake * now.e_c / phi / np.maximum(now.n_c, 1) / most
        factor = np.where(now.e_c >= 2, np.minimum(factor, rules.cap), factor)
        return np.where(told, factor, 1.0)


class Share(Kept):
    """share.Share and the clock it goes by."""

    def __init__(self, size: int, rules: Rules) -> None:
        self.clock, self.bets, self.seen = Clock(size, rules), Bets(len(SHARE_GRID), size), Dispersion(size)
        self.pool_c, self.pool_n = np.zeros((rules.share_pool, size)), np.zeros((rules.share_pool, size))
        self.pooled = np.zeros(size, np.int64)
        self.routed = np.zeros(size)

    def past(self, requests: Ints, rules: Rules) -> None:
        """share.begun: one batch of stable's history."""
        everyone = np.ones(len(requests), bool)
        self.seen.watch(everyone, requests, np.ones(len(requests), np.int64), rules)

    def anew(self, who: Flags) -> None:
        """A new step."""
        self.pooled, self.routed = np.where(who, 0, self.pooled), np.where(who, 0.0, self.routed)
        self.pool_c, self.pool_n = np.where(who, 0.0, self.pool_c), np.where(who, 0.0, self.pool_n)

    def above(self, who: Flags, now: Counts, w: Floats, rules: Rules) -> Flags:
        """share.pooled and share.above."""
        canary, total = now.n_c, now.n_c + now.n_s
        self.pool_c = np.where(who, np.concatenate((self.pool_c[1:], canary[None])), self.pool_c)
        self.pool_n = np.where(who, np.concatenate((self.pool_n[1:], total[None])), self.pool_n)
        self.pooled = np.where(who, np.minimum(self.pooled + 1, rules.share_pool), self.pooled)
        slack, size = 1 + rules.share_slack, np.maximum(self.pooled, 1)
        here = canary * (1 - w) > slack * (total - canary) * w
        got, of = self.pool_c.sum(0), self.pool_n.sum(0)
        pool = got * (1 - w) > slack * (size + 1) / size * (of - got) * w
        sure = got - of * w >= rules.share_sigma * np.sqrt(of * w * (1 - w) * self.seen.phi) + rules.share_few
        found: Flags = who & here & pool & sure
        return found

    def weigh(self, who: Flags, now: Counts, place: tuple[Ints, Ints, float], rules: Rules) -> None:
        """share.weighed; place: traffic, step, seconds."""
        traffic, step, seconds = place
        self.clock.tick(who, step, seconds, rules)
        phi = np.maximum(rules.share_temper, self.seen.phi)
        gains = np.zeros((len(SHARE_GRID), len(who)))
        for percent in np.unique(traffic[who]):
            at = np.flatnonzero(who & (traffic == percent))
            bets = np.array(share_bets(int(percent), rules.share_floor))
            gain = (now.n_c[at] * bets[:, :1] + now.n_s[at] * bets[:, 1:]) / phi[at]
            gains[:, at] = np.minimum(gain, log(rules.share_cap))
        young = self.routed < rules.young
        limit = np.where(young, rules.young_gain * np.maximum(1.0, self.bets.ref), inf)
        self.bets.grow(who, gains, self.clock, limit)
        self.seen.watch(who, now.n_c + now.n_s, np.full(len(who), round(1000 * seconds)), rules)
        self.routed = np.where(who, self.routed + seconds, self.routed)


class Gate(Kept):
    """fold.State, observe and judge."""

    def __init__(self, gates: Gates, requests: Ints, errors: Ints, rules: Rules) -> None:
        size = requests.shape[1]
        self.gates, self.rules = gates, rules
        self.clock, self.share = Clock(size, rules), Share(size, rules)
        self.errors = Harm(size, gates.ratio, rules.floor_errors)
        self.slow = None if gates.latency_budget is None else Harm(size, gates.latency_ratio, rules.floor_slow)
        self.ceiling = Bets(len(CEILING_GRID), size)
        for n, e in zip(requests, errors, strict=True):
            self.errors.past(n, e, rules)
            self.share.past(n, rules)
        self.share.seen.has[:] = False
        self.safety = np.zeros((len(SAFETY_GRID), size))
        self.minute_e, self.minute_n = np.zeros(size), np.zeros(size)
        self.step, self.traffic = np.full(size, -1), np.zeros(size, np.int64)
        self.began, self.opened, self.dwelt = np.zeros(size), np.full(size, inf), np.zeros(size)
        self.window = np.zeros((2, size))  # requests of stable, of the canary
        self.requests, self.canary = np.zeros(size), np.zeros(size)
        self.missed, self.quiet, self.blind = np.zeros(size), np.zeros(size), np.zeros(size)
        self.latched = np.full(size, -1)
        self.up, self.is_above = np.ones(size, bool), np.zeros(size, bool)
        self.dropped = np.zeros(size, np.int64)

    def observe(
        self, end: float, seconds: float, at: tuple[Ints, Ints], stable: tuple[Ints, ...], canary: tuple[Ints, ...],
        data: tuple[Flags, Flags], up: Flags, routed: Flags,
    ) -> None:  # fmt: skip
        """fold.observe. at: step and traffic; data: whether there is any of stable, of the canary; counts are 0 without."""
        rules = self.rules
        self._place(end - seconds, at)
        self.up = up
        judged = up & data[0] & data[1]
        now = Counts((stable[0], stable[1]), (canary[0], canary[1]), data, np.zeros(len(up)))
        above = self.share.above(judged, now, self.traffic / 100, rules)
        self.dropped = self.dropped + above
        self.is_above = np.where(above, True, np.where(up, self.is_above & ~judged, self.is_above))
        counts = up & ~above
        now.share = self._share(now)
        opening = self._move(counts, end - seconds, seconds, now)
        self._minute(counts, now, seconds)
        young = end - seconds < np.where(np.isinf(self.opened), self.began, self.opened) + rules.young
        phi = self.errors.phi
        self._harm(counts, (end, seconds), now, (stable[2], canary[2]), (phi, young))
        both = judged & counts
        self.share.weigh(both & routed & (now.n_c + now.n_s > 0), now, (self.traffic, self.step, seconds), rules)
        self._safety(counts & ~np.isinf(self.opened) & (now.n_s > 0) & now.canary, opening, now, phi)
        self._latch(counts)

    def _place(self, begin: float, at: tuple[Ints, Ints]) -> None:
        step, traffic = at
        new = (step != self.step) | (traffic != self.traffic)
        if not new.any():
            return
        self.step, self.traffic = np.where(new, step, self.step), np.where(new, traffic, self.traffic)
        self.began, self.opened = np.where(new, begin, self.began), np.where(new, inf, self.opened)
        for name in ("dwelt", "requests", "canary", "missed", "quiet", "blind"):
            setattr(self, name, np.where(new, 0.0, getattr(self, name)))
        self.window, self.safety = np.where(new, 0.0, self.window), np.where(new, 0.0, self.safety)
        self.share.anew(new)

    def _share(self, now: Counts) -> Floats:
        """fold._counts."""
        few, prior = self.rules.step_prior, self.rules.share_prior
        so_far = (self.canary + few * self.traffic / 100) / (self.requests + few)
        with np.errstate(invalid="ignore"):  # no request and no prior
            found: Floats = (now.n_c + prior * so_far) / (now.n_c + now.n_s + prior)
        return found

    def _move(self, who: Flags, begin: float, seconds: float, now: Counts) -> Flags:
        """fold._moved; returns who opens its window with this batch."""
        both = who & now.stable & now.canary
        n_c, n, w = now.n_c, now.n_c + now.n_s, self.traffic / 100
        expected = n * w
        room = self.rules.share_slack * expected + self.rules.fit_sigma * np.sqrt(expected * (1 - w))
        opening: Flags = both & np.isinf(self.opened) & (n_c > 0) & (abs(n_c - expected) <= room)
        self.opened = np.where(opening, begin, self.opened)
        within = who & ~np.isinf(self.opened)
        self.dwelt = self.dwelt + within * seconds
        self.window = self.window + within * np.array((now.n_s, now.n_c))
        self.requests, self.canary = self.requests + both * n, self.canary + both * n_c
        with np.errstate(divide="ignore", invalid="ignore"):
            missed = self.missed + now.n_s * w / (1 - w)
        asked = n_c > 0
        self.missed = np.where(who, np.where(asked, 0.0, missed), self.missed)
        self.quiet = np.where(who, np.where(asked, 0.0, self.quiet + seconds), self.quiet)
        self.blind = np.where(who, np.where(both, 0.0, self.blind + seconds), self.blind)
        return opening

    def _minute(self, who: Flags, now: Counts, seconds: float) -> None:
        """ceiling.seen."""
        fade = exp(-seconds / self.rules.outage)
        self.minute_e = np.where(who, self.minute_e * fade + now.e_s, self.minute_e)
        self.minute_n = np.where(who, self.minute_n * fade + now.n_s, self.minute_n)

    def _outage(self) -> Flags:
        """ceiling.outage."""
        if self.gates.ceiling is None:
            return np.zeros(len(self.up), bool)
        found: Flags = (self.minute_e >= 2) & (self.minute_e > self.gates.ceiling * self.minute_n)
        return found

    def _harm(
        self, who: Flags, when: tuple[float, float], now: Counts, slow: tuple[Ints, Ints], known: tuple[Floats, Flags]
    ) -> None:
        """The harm tests but the share's; when: end and seconds; slow requests per arm; known: phi, young."""
        rules, gates, (_, seconds), (phi, young) = self.rules, self.gates, when, known
        begun = self.clock.out > 0
        counting = who & ((now.n_c > 0) | begun)
        with np.errstate(invalid="ignore"):
            own = np.where(now.n_c > 0, now.n_c / (now.n_c + now.n_s), 0.0)
        now.share = np.where(counting & ~begun, np.maximum(now.share, own), now.share)  # fold.py, rule 8
        self.clock.tick(counting, self.step, seconds, rules)

        def limit(ref: Floats) -> Floats:
            return np.where(young, rules.young_gain * np.maximum(1.0, ref), inf)

        self.errors.idle(who, now, seconds, rules)
        self.errors.weigh(counting, now, self.clock, limit(self.errors.ratios.ref), phi, rules)
        if gates.ceiling is not None:
            told = (now.n_c > 0) & now.canary & ~((now.e_s > gates.ceiling * now.n_s) & now.stable) & ~self._outage()
            bets = np.array(ceiling_bets(gates.ceiling))
            gain = (now.e_c * bets[:, :1] - (now.n_c - now.e_c) * bets[:, 1:]) / phi
            gain = np.minimum(gain, np.where(now.e_c >= 2, log(rules.cap), BIG))
            self.ceiling.grow(counting, np.where(told, gain, 0.0), self.clock, limit(self.ceiling.ref))
        if self.slow is not None:
            its = Counts((now.n_s, slow[0]), (now.n_c, slow[1]), (now.stable, now.canary), now.share)
            before = self.slow.phi
            self.slow.idle(counting, its, seconds, rules)
            self.slow.weigh(counting, its, self.clock, limit(self.slow.ratios.ref), before, rules)

    def _safety(self, who: Flags, opening: Flags, now: Counts, phi: Floats) -> None:
        """safety.weighed."""
        gates = self.gates
        share = np.where(opening, np.minimum(now.share, now.n_c / np.maximum(now.n_c + now.n_s, 1)), now.share)
        later = floor_at(1, gates, self.rules)
        gift = now.n_c * np.where(self.step == 0, floor_at(0, gates, self.rules), later)
        a = np.array(SAFETY_GRID)[:, None]
        odds = share / np.maximum(1 - share, 1e-300) * gates.safety_ratio  # no stable request: not weighed
        gains = now.e_c * np.log(a) + gift * (1 - a) + now.e_s * np.log(1 + odds * (1 - a))
        logs = np.minimum(log(self.rules.safety_cap / gates.safety_alpha), self.safety + gains / phi)
        self.safety = np.where(who, logs, self.safety)

    def values(self) -> Floats:
        """judge.values: (causes, rollouts)."""
        nothing = np.zeros(len(self.up))
        return np.array(
            (
                self.errors.evidence,
                nothing if self.gates.ceiling is None else self.ceiling.value,
                nothing if self.slow is None else self.slow.evidence,
                self.share.bets.value,
            )
        )

    def _latch(self, who: Flags) -> None:
        """judge.latch."""
        need = np.array(thresholds(self.gates)[:4])[:, None]
        due = self.values() >= need
        self.latched = np.where(who & (self.latched < 0) & due.any(0), due.argmax(0), self.latched)

    @property
    def safe(self) -> Floats:
        """safety.Safety.value."""
        found: Floats = np.exp(self.safety).mean(0)
        return found

    def verdict(self) -> Ints:
        """judge._verdict, as the row of its table."""
        rules = self.rules
        stale = (
            np.isinf(self.opened) | (self.window[1] == 0) | (self.window[0] == 0)
            | ((self.missed >= rules.silent) & (self.quiet >= rules.blind)) | (self.blind >= rules.blind)
        )  # fmt: skip
        calm = self.values().max(0) < rules.calm
        safe = (self.safe >= thresholds(self.gates).safety) & calm
        rows = (self.latched >= 0, ~self.up, self.is_above, stale, self._outage(), safe)
        found: Ints = np.select(rows, range(UNDECIDED), UNDECIDED)
        return found
