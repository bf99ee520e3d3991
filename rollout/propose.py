"""What a service's traffic can show: `rollout plan` proposes steps and dwells, `rollout check` warns. Values in, text out.

1. The first step has the least share of 5, 10, 25, 50 % that shows a doubling of errors with 90 % within two hours; the next,
   if any is left, is 25 or 50 %. Where no share does, it is 50 % alone, and the text says how long a doubling would take.
2. A dwell is at least half an hour, long enough to show the doubling (first step) and to call a healthy canary safe with 90 %,
   rounded up to 30 min, and at most four hours: waiting longer is a person's decision.
3. A warning is due for a step that shows a doubling with less than 50 %. Measured is what stable did in the last half hour; an
   error rate nobody saw counts as half an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil, isinf

from rollout.decide import span
from rollout.gate.power import Traffic, safe_by, shows, time
from rollout.gate.sentence import percent
from rollout.plan import Gates, Plan
from rollout.release import Key
from rollout.samples import Counter, Series

Piece = tuple[float, float, Mapping[Key, list[Series]]]  # after, until, what was found between
SURE = 0.9
RATIO = 2.0
SHARES = (5, 10, 25, 50)
PATIENT, HALF_HOUR, LONGEST = 2 * 3600.0, 1800.0, 4 * 3600.0


def proposed(gates: Gates, traffic: Traffic) -> str:
    """Return the plan's steps as YAML, with a comment of what each can show."""
    first = next((share for share in SHARES if to_show(gates, traffic, share) <= PATIENT), SHARES[-1])
    shares = [first, *[share for share in SHARES if share > first and share in (25, 50)][:1]]
    lines = [f"# {traffic.rate:g} requests/s, of which stable fails {percent(traffic.baseline)}"]
    if isinf(needed := to_show(gates, traffic, first)) or needed > LONGEST:
        long = "over a month" if isinf(needed) else span(needed)
        lines.append(f"# to see a doubling of errors with 90 % would take {long} at {first} %: these steps see what is large")
    lines.append("steps:")
    for step, share in enumerate(shares):
        needs = [HALF_HOUR, to_safe(gates, traffic, share, step)]
        if step == 0:
            needs.append(to_show(gates, traffic, share))
        dwell = min(LONGEST, ceil(max(needs[:2]) / HALF_HOUR) * HALF_HOUR if isinf(needs[-1]) else _up(max(needs)))
        lines.append(f"  - {{canary: {share}, dwell: {dwell / 60:.0f}m}}  # {told(gates, traffic, share, dwell)}")
    return "\n".join([*lines, "  - {canary: 100}", ""])


def warnings(plan: Plan, traffic: Traffic) -> list[str]:
    """Say of each step that shows a doubling with less than 50 % what it shows, and what would."""
    found: list[str] = []
    if not plan.evidence or traffic.baseline <= 0:
        return found
    for step in plan.steps[:-1]:
        seen = shows(plan.gates, traffic, step.canary / 100, step.dwell, RATIO)
        if seen < 0.5:
            found.append(
                f"at {traffic.rate:g} requests/s, {step.canary} % for {span(step.dwell)} shows a doubling of errors with "
                f"probability {_chance(seen)}; {_instead(plan.gates, traffic, step.canary, step.dwell)}"
            )
    return found


def measured(pieces: Iterable[Piece], versions: Mapping[Key, str], begin: float, end: float, width: float) -> dict[Key, Traffic]:
    """Rule 3: what stable did from `begin` to `end` (Unix seconds), by release, from consecutive pieces of time."""
    counters: dict[Key, Counter] = {}
    sums: dict[Key, tuple[int, int]] = {}
    for after, until, found in pieces:
        for key, series in found.items():
            counter = counters.setdefault(key, Counter(width, begin, versions[key], ""))
            requests, errors = sums.get(key, (0, 0))
            arms = [batch.stable for batch in counter.count(series, after, until) if batch.stable]
            sums[key] = requests + sum(arm.requests for arm in arms), errors + sum(arm.errors for arm in arms)
    return {key: Traffic(n / (end - begin), (e or 0.5) / n) for key, (n, e) in sums.items() if n}


def to_show(gates: Gates, traffic: Traffic, share: int) -> float:
    """Seconds until a doubling shows with 90 %."""
    return time(SURE, lambda seconds: shows(gates, traffic, share / 100, seconds, RATIO))


def to_safe(gates: Gates, traffic: Traffic, share: int, step: int) -> float:
    """Seconds until a healthy canary is called safe with 90 %."""
    return time(SURE, lambda seconds: safe_by(gates, traffic, share / 100, seconds, step))


def told(gates: Gates, traffic: Traffic, share: int, dwell: float) -> str:
    """What a step can show, in words."""
    chances = (f"{ratio} x {_chance(shows(gates, traffic, share / 100, dwell, ratio))}" for ratio in (2, 5, 20))
    return f"finds {', '.join(chances)}"


def _instead(gates: Gates, traffic: Traffic, share: int, dwell: float) -> str:
    ways = []
    longer = to_show(gates, traffic, share)
    if not isinf(longer):
        ways.append(span(longer))
    wider = next((s for s in range(share + 5, 55, 5) if shows(gates, traffic, s / 100, dwell, RATIO) >= SURE), None)
    if wider:
        ways.append(f"{wider} %")
    return f"to see it in 90 % take {' or '.join(ways)}" if ways else "no share shows it in a month"


def _chance(p: float) -> str:
    return f"{100 * p:.0f} %" if p >= 0.01 else "below 1 %"


def _up(seconds: float) -> float:
    return ceil(seconds / HALF_HOUR) * HALF_HOUR
