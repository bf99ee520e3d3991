"""The fold: begin, observe batch after batch; judge.py judges at any time.

1. A state is a value. `observe` returns the next one and `judge` only looks, so the numbers are the same however
   batches are chunked, before and after a restart, in the controller and in a backtest.
2. A batch without the backend (up=False) is no evidence and no dwell. A batch above its share is dropped: no
   evidence, no dwell.
3. The window of a step opens at its first batch that fits the committed share (share=False: at its first batch), and
   stays open. Dwell and safety count from there. Harm counts every batch from the canary's first request on, since
   each is of this version.
4. An arm without data says nothing. Without stable's data the canary's errors count for the ceiling only.
5. All harm is carried over the steps. A test that reached its threshold stays there: harmful is for good.
6. Young pods: in the first 30 s of a step, and again of its window, the evidence of harm may grow to at most three
   times what it was.
7. Stale: for a minute no canary request came though ten should have, or an arm's data was missing: no data,
   whatever was.
8. A batch that is the first because the canary had a request in it is no random draw of the share: harm takes the larger
   of the batch's own share and the shrunk one there, safety the smaller, which is right for any routing.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate import ceiling as ceilings
from rollout.gate import harm as harms
from rollout.gate import safety as safeties
from rollout.gate import share as shares
from rollout.gate.ceiling import Against, Minute
from rollout.gate.harm import Counts, Harm
from rollout.gate.judge import latch
from rollout.gate.rules import CEILING_GRID, RULES, Rules
from rollout.gate.values import Arm, Batch
from rollout.gate.wealth import Bets, Clock, Moment, fresh, tick, wound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollout.gate.safety import Safety
    from rollout.gate.share import Share
    from rollout.plan import Gates

Tally = tuple[int, int, int, int, int, int]  # requests, errors, slow of stable, then of the canary
EMPTY: Tally = (0, 0, 0, 0, 0, 0)


class Place(NamedTuple):
    """Where the rollout is: the current step and its window."""

    step: int = -1
    traffic: int = 0
    began: float = 0.0  # start of the step's first batch
    opened: float | None = None  # start of the window
    dwelt: float = 0.0
    window: Tally = EMPTY
    requests: int = 0  # of both arms at this step, all counted batches
    canary: int = 0  # the canary's part of them
    missed: float = 0.0  # canary requests expected since its last one
    quiet: float = 0.0  # seconds since then
    blind: float = 0.0  # seconds since both arms had data


class State(NamedTuple):
    """All that the gate remembers. Two equal states give equal verdicts for ever."""

    rules: Rules
    clock: Clock
    routed: Clock  # of the share test, which begins with the first routed batch
    errors: Harm
    slow: Harm | None
    ceiling: Bets | None
    share: Share
    safety: Safety
    minute: Minute
    place: Place
    steps: tuple[tuple[int, int, Tally], ...] = ()
    latched: tuple[str, float] | None = None
    dropped: int = 0
    up: bool = True
    above: bool = False


def begin(gates: Gates, history: Sequence[tuple[int, int]] = (), rules: Rules = RULES) -> State:
    """The state before a rollout's first batch.

    history: stable's (requests, errors) per batch from before the start, oldest first: teaches its rate and its dispersion.
    Raises ValueError when a pair of it is no count.
    """
    for requests, errors in history:
        _counted("history", requests, errors=errors)
    return State(
        rules=rules,
        clock=wound(rules),
        routed=wound(rules),
        errors=harms.begun(history, rules),
        slow=None if gates.latency_budget is None else harms.begun((), rules),
        ceiling=None if gates.ceiling is None else fresh(len(CEILING_GRID)),
        share=shares.begun(history, rules),
        safety=safeties.NEW,
        minute=Minute(),
        place=Place(),
    )


def observe(state: State, batch: Batch, gates: Gates) -> State:
    """The state after one more batch. Raises ValueError naming the field that cannot be."""
    _checked(batch)
    rules = state.rules
    place = state.place
    new_step = batch.step != place.step or batch.traffic != place.traffic
    share = state.share
    safety = state.safety
    if new_step:
        place = Place(batch.step, batch.traffic, batch.end - batch.seconds)
        share = share._replace(pool=(), routed=0.0, got=0, total=0)
        safety = safeties.NEW
    stable, canary = batch.stable, batch.canary
    if not batch.up:
        return _with(state, share, safety, place, up=False)
    judged = batch.share and stable is not None and canary is not None
    if judged:
        n_c, n = _requests(canary), _requests(canary) + _requests(stable)
        share = shares.pooled(share, n_c, n, rules)
        if shares.above(share, batch.traffic, rules):
            return _with(state, share, safety, place, up=True, above=True, dropped=1)
    return _weighed(state, batch, gates, Draft(place, share, safety, judged))


def _with(
    state: State, share: Share, safety: Safety, place: Place, *, up: bool, above: bool | None = None, dropped: int = 0
) -> State:
    """The state after a batch that is evidence for nothing."""
    return State(
        state.rules, state.clock, state.routed, state.errors, state.slow, state.ceiling, share, safety, state.minute, place,
        state.steps, state.latched, state.dropped + dropped, up, state.above if above is None else above,
    )  # fmt: skip


class Draft(NamedTuple):
    """What a batch has changed before it is weighed: place, share's pool, safety of a new step; `judged`: its share counts."""

    place: Place
    share: Share
    safety: Safety
    judged: bool


def _weighed(state: State, batch: Batch, gates: Gates, draft: Draft) -> State:
    """The state after a batch that counts."""
    rules, stable, canary, seconds = state.rules, batch.stable, batch.canary, batch.seconds
    share, safety = draft.share, draft.safety
    n_s, n_c = _requests(stable), _requests(canary)
    now = _counts(stable, canary, draft.place, rules)
    place = _moved(draft.place, batch, n_s, n_c, rules)
    young = batch.end - seconds < (place.began if place.opened is None else place.opened) + rules.young
    minute = ceilings.seen(state.minute, stable, seconds, rules)
    clock, routed, phi = state.clock, state.routed, state.errors.phi
    slow, ceiling = state.slow, state.ceiling
    if n_c or clock.out:
        if not clock.out:
            now = now._replace(share=max(now.share, n_c / (n_c + n_s)))  # rule 8
        clock = tick(clock, batch.step, seconds, rules)
        at = Moment(clock, young, seconds, rules)
        errors = harms.weighed(state.errors, now, gates.ratio, rules.floor_errors, at)
        if gates.ceiling is not None:
            bets = ceiling or fresh(len(CEILING_GRID), state.clock.out)
            ceiling = ceilings.weighed(bets, (stable, canary), minute, Against(gates.ceiling, phi), at)
        if gates.latency_budget is not None:
            slow = slow or harms.begun((), rules, state.clock.out)
            slow = harms.weighed(slow, _slow(now, stable, canary), gates.latency_ratio, rules.floor_slow, at)
    else:
        errors = harms.idle(state.errors, now, Moment(clock, young, seconds, rules))
    if draft.judged and batch.routed and n_s + n_c:
        routed = tick(routed, batch.step, seconds, rules)
        share = shares.weighed(share, n_c, n_s, batch.traffic, Moment(routed, young, seconds, rules))
    if place.opened is not None and n_s and canary is not None:
        if draft.place.opened is None:
            now = now._replace(share=min(now.share, n_c / (n_c + n_s)))  # rule 8
        safety = safeties.weighed(safety, now, batch.step, gates, (phi, rules))
    above = state.above and batch.share and not draft.judged  # this batch is not; one that cannot tell changes nothing
    return State(
        rules, clock, routed, errors, slow, ceiling, share, safety, minute, place, _tallied(state.steps, batch),
        state.latched or latch(gates, errors, slow, ceiling, share), state.dropped, True, above,
    )  # fmt: skip


def _requests(arm: Arm | None) -> int:
    return 0 if arm is None else arm.requests


def _counts(stable: Arm | None, canary: Arm | None, place: Place, rules: Rules) -> Counts:
    """The batch as the tests take it, with the canary's shrunk share (harm.py, rule 2)."""
    e_s, n_s = (0, None) if stable is None else (stable.errors, stable.requests)
    e_c, n_c = (0, None) if canary is None else (canary.errors, canary.requests)
    few = rules.step_prior
    so_far = (place.canary + few * place.traffic / 100) / (place.requests + few)
    few = rules.share_prior
    return Counts(e_c, n_c, e_s, n_s, ((n_c or 0) + few * so_far) / ((n_c or 0) + (n_s or 0) + few))


def _slow(now: Counts, stable: Arm | None, canary: Arm | None) -> Counts:
    """The same batch with slow requests as the events."""
    return Counts(
        0 if canary is None else canary.slow, now.canary_requests,
        0 if stable is None else stable.slow, now.stable_requests, now.share,
    )  # fmt: skip


def _moved(place: Place, batch: Batch, n_s: int, n_c: int, rules: Rules) -> Place:
    """Open the window if it is time, and count the batch in it (rule 3 and 7)."""
    stable, canary = batch.stable, batch.canary
    both = stable is not None and canary is not None
    opened, window = place.opened, place.window
    if opened is None and (not batch.share or (both and shares.fits(n_c, n_c + n_s, batch.traffic, rules))):
        opened = batch.end - batch.seconds
    dwelt = place.dwelt
    if opened is not None:
        dwelt += batch.seconds
        window = _added(window, stable, canary)
    w = batch.traffic / 100
    return Place(
        step=place.step,
        traffic=place.traffic,
        began=place.began,
        opened=opened,
        dwelt=dwelt,
        window=window,
        requests=place.requests + (n_c + n_s if both else 0),
        canary=place.canary + (n_c if both else 0),
        missed=0.0 if n_c else place.missed + n_s * w / (1 - w),
        quiet=0.0 if n_c else place.quiet + batch.seconds,
        blind=0.0 if both else place.blind + batch.seconds,
    )


def _added(tally: Tally, stable: Arm | None, canary: Arm | None) -> Tally:
    a, b, c, d, e, f = tally
    if stable is not None:
        a, b, c = a + stable.requests, b + stable.errors, c + stable.slow
    if canary is not None:
        d, e, f = d + canary.requests, e + canary.errors, f + canary.slow
    return a, b, c, d, e, f


def _tallied(steps: tuple[tuple[int, int, Tally], ...], batch: Batch) -> tuple[tuple[int, int, Tally], ...]:
    """The counts per step, with the batch."""
    if steps and steps[-1][:2] == (batch.step, batch.traffic):
        return (*steps[:-1], (batch.step, batch.traffic, _added(steps[-1][2], batch.stable, batch.canary)))
    return (*steps, (batch.step, batch.traffic, _added(EMPTY, batch.stable, batch.canary)))


def _checked(batch: Batch) -> None:
    """Refuse what cannot be, with the field's name."""
    if not 0 < batch.traffic < 100:
        raise ValueError(f"traffic: {batch.traffic} is not between 1 and 99")
    if batch.step < 0:
        raise ValueError(f"step: {batch.step} is negative")
    if not (isfinite(batch.seconds) and batch.seconds > 0):
        raise ValueError(f"seconds: {batch.seconds} is not a positive number")
    if not isfinite(batch.end):
        raise ValueError(f"end: {batch.end} is not a number")
    for name, arm in (("stable", batch.stable), ("canary", batch.canary)):
        if arm is not None and not (0 <= arm.errors <= arm.requests and 0 <= arm.slow <= arm.requests):
            _counted(name, arm.requests, errors=arm.errors, slow=arm.slow)


def _counted(name: str, requests: int, **counts: int) -> None:
    """Raise ValueError for a count below 0 or above the requests."""
    if requests < 0:
        raise ValueError(f"{name}.requests: {requests} is negative")
    for field, count in counts.items():
        if count < 0:
            raise ValueError(f"{name}.{field}: {count} is negative")
        if count > requests:
            raise ValueError(f"{name}.{field}: {count} of {requests} requests")
