"""The verdict: what a state says, in which order.

| order | verdict      | when                                                                | cause                         |
|-------|--------------|---------------------------------------------------------------------|-------------------------------|
| 1     | harmful      | errors, latency, ceiling or share reached 1/alpha of its part, ever | that test                     |
| 2     | metrics down | the last batch had no backend                                       |                               |
| 3     | undecided    | the last batch with data was above its share                        | share                         |
| 4     | no data      | the window has no request of an arm, or is stale                    |                               |
| 5     | undecided    | stable is over the ceiling itself                                   | outage                        |
| 6     | safe         | safety reached 1/alpha, and every harm test is below 2              |                               |
| 7     | undecided    | else                                                                |                               |

A test that is switched off by the plan says nothing. Numbers refer to the rules of fold.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout.gate import ceiling as ceilings
from rollout.gate import safety as safeties
from rollout.gate.rules import thresholds
from rollout.gate.values import Arm, Evidence, Verdict

if TYPE_CHECKING:
    from rollout.gate.fold import State
    from rollout.gate.harm import Harm
    from rollout.gate.share import Share
    from rollout.gate.wealth import Bets
    from rollout.plan import Gates

CAUSES = ("errors", "ceiling", "latency", "share")  # as in Thresholds


def latch(gates: Gates, errors: Harm, slow: Harm | None, ceiling: Bets | None, share: Share) -> tuple[str, float] | None:
    """The test that is due to abort, and its e-value (rule 5)."""
    now = values(gates, errors, slow, ceiling, share)
    if max(now) * gates.alpha < 1:  # no threshold is below 1/alpha: the common case, kept cheap
        return None
    need = thresholds(gates)
    return next(((cause, value) for cause, value, least in zip(CAUSES, now, need, strict=False) if value >= least), None)


def values(gates: Gates, errors: Harm, slow: Harm | None, ceiling: Bets | None, share: Share) -> tuple[float, ...]:
    """The harm tests' e-values, in the order of CAUSES; 0 when the plan has switched a test off."""
    return (
        errors.evidence,
        0.0 if ceiling is None or gates.ceiling is None else ceiling.value,
        0.0 if slow is None or gates.latency_budget is None else slow.evidence,
        share.bets.value,
    )


def judge(state: State, gates: Gates) -> Evidence:
    """What the state says now, by the table above."""
    need = thresholds(gates)
    place = state.place
    now = values(gates, state.errors, state.slow, state.ceiling, state.share)
    verdict, cause, stale = _verdict(state, gates, now, need.safety)
    if state.latched:
        now = tuple([state.latched[1] if name == state.latched[0] else x for name, x in zip(CAUSES, now, strict=True)])
    harm, ceiling, latency, share = now
    return Evidence(
        verdict=verdict,
        cause=cause,
        step=place.step,
        traffic=place.traffic,
        harm=harm,
        harm_threshold=need.errors,
        two_arm=state.errors.value,
        floor=state.errors.floor.value,
        ceiling=None if gates.ceiling is None else ceiling,
        ceiling_threshold=need.ceiling,
        ceiling_rate=gates.ceiling,
        latency=None if gates.latency_budget is None else latency,
        latency_threshold=need.latency,
        share=share,
        share_threshold=need.share,
        share_got=state.share.got,
        share_of=state.share.total,
        safe=state.safety.value,
        safe_threshold=need.safety,
        safe_limit=(gates.safety_ratio, safeties.floor_at(place.step, gates, state.rules)),
        phi=state.errors.phi,
        window_start=place.opened,
        window_seconds=place.dwelt,
        window_stable=Arm(*place.window[:3]),
        window_canary=Arm(*place.window[3:]),
        steps=tuple([(traffic, Arm(*t[:3]), Arm(*t[3:])) for _, traffic, t in state.steps]),
        dropped=state.dropped,
        stale=stale,
        stable_rate=state.minute.rate,
    )


def _verdict(state: State, gates: Gates, harm: tuple[float, ...], enough: float) -> tuple[Verdict, str | None, str | None]:
    """The table, row by row: verdict, cause, and why there is no data."""
    stale = _stale(state)
    rows = (
        (state.latched is not None, Verdict.HARMFUL, state.latched and state.latched[0]),
        (not state.up, Verdict.METRICS_DOWN, None),
        (state.above, Verdict.UNDECIDED, "share"),
        (stale is not None, Verdict.NO_DATA, None),
        (ceilings.outage(state.minute, gates.ceiling), Verdict.UNDECIDED, "outage"),
        (state.safety.value >= enough and max(harm) < state.rules.calm, Verdict.SAFE, None),
        (True, Verdict.UNDECIDED, None),
    )
    return next((verdict, cause, stale) for holds, verdict, cause in rows if holds)


def _stale(state: State) -> str | None:
    """Why the window says nothing, or None (rule 7)."""
    place, rules = state.place, state.rules
    if place.opened is None:
        return "unopened"
    if not place.window[3]:
        return "canary"
    if not place.window[0]:
        return "stable"
    if place.missed >= rules.silent and place.quiet >= rules.blind:
        return "silent"
    return "blind" if place.blind >= rules.blind else None
