"""The plan: how a new version of a model is walked to 100 %.

apps/<app>/rollout.yaml is the app's plan; overlays/<env>/common/rollout.yaml may override single fields of it for
every app of an environment. Every field but `steps` has a default that suits most:

| field             | default | meaning                                                                            |
|-------------------|---------|------------------------------------------------------------------------------------|
| steps             |         | canary percents that rise to 100, each with its dwell; 100 completes, at once      |
| warm              | 0s      | how long the canary must be real at 0 % before the first step                      |
| evidence          | traffic | `traffic`: a step needs the gate's "safe"; `none`: healthy for the dwell is enough |
| gates.alpha       | 0.01    | probability of aborting, in one whole rollout, a canary that is not worse          |
| gates.errors      |         | ratio 1.0: canary errors tolerated as a multiple of stable's; ceiling 0.05: never  |
| gates.latency     | off     | budget: seconds a request may take; ratio 1.0: slow requests tolerated, as above   |
| gates.safety      |         | safe: canary's error rate < ratio 2.5 x stable's + floor 0.004, at alpha 0.05      |
| deadlines.ready   | 10m     | a commit that is not real by then is aborted                                       |
| deadlines.verdict | 4h      | how long after its dwell a step may stay undecided                                 |
| deadlines.then    | hold    | what happens then: hold, advance or abort                                          |
| drain             | 60s     | how long an abort waits for 0 % to become real before it closes the canary         |
| hours             | always  | when it may start or advance (an abort may always): days, from, to, timezone       |

A step is `{canary: 5, dwell: 30m}`. Durations are numbers with s, m, h or d. Unknown keys are errors.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rollout.document import Fields, head, kind_of, load, one_of

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What the evidence is judged by.

    alpha: probability, over a whole rollout, of aborting a canary that is not worse (split over the harm tests).
    ratio: canary errors tolerated, as a multiple of stable's error rate (r0).
    ceiling: canary error rate never tolerated, 0..1; None switches the ceiling off.
    latency_budget: seconds; a request that takes longer counts as slow; None switches the latency test off.
    latency_ratio: slow requests tolerated, as a multiple of stable's.
    safety_ratio, safety_floor: safe means "canary error rate < safety_ratio * stable's + safety_floor" (floor 0..1).
    safety_alpha: probability of calling a canary safe that is not.
    """

    alpha: float = 0.01
    ratio: float = 1.0
    ceiling: float | None = 0.05
    latency_budget: float | None = None
    latency_ratio: float = 1.0
    safety_ratio: float = 2.5
    safety_floor: float = 0.004
    safety_alpha: float = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the canary's percent of traffic, and the least time, in seconds, it stays there."""

    canary: int
    dwell: float


@dataclass(frozen=True, slots=True)
class Hours:
    """When a rollout may start or advance: weekdays (0 = Monday) and a span of the day in a time zone."""

    days: tuple[int, ...]
    begin: time
    end: time
    zone: ZoneInfo

    def opens(self, now: float) -> float:
        """Return the first Unix time from `now` on that lies within the hours."""
        local = datetime.fromtimestamp(now, self.zone)
        days = (local + timedelta(days=ahead) for ahead in range(8))  # today may be over, and its weekday the only one
        ours = (day for day in days if day.weekday() in self.days)
        day = next(day for day in ours if local < datetime.combine(day, self.end, self.zone))
        return max(now, datetime.combine(day, self.begin, self.zone).timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A parsed plan; durations in seconds. digest names its content in commits."""

    steps: tuple[Step, ...]
    warm: float = 0.0
    evidence: bool = True
    gates: Gates = field(default_factory=Gates)
    ready: float = 600.0
    verdict: float = 4 * 3600.0
    then: str = "hold"
    drain: float = 60.0
    hours: Hours | None = None
    digest: str = ""

    def index(self, canary: int) -> int:
        """Return which step `canary` percent is; a percent between two steps counts as the lower one."""
        return max(sum(step.canary <= canary for step in self.steps) - 1, 0)

    def next(self, canary: int) -> int:
        """Return the percent that follows `canary`, 100 meaning completion."""
        return next((step.canary for step in self.steps if step.canary > canary), 100)


def parse(app: str, text: str, env: str = "", override: str | None = None, where: str = "") -> Plan:
    """Read an app's plan, with the environment's single fields laid over it.

    text: apps/<app>/rollout.yaml; override: overlays/<env>/common/rollout.yaml or None.
    Raises BadInput naming the file, the field, the value and what would be right.
    """
    where = where or f"apps/{app}/rollout.yaml"
    spec = _spec(text, where, app)
    plan = _plan(Fields(spec, where, ("spec",)), where)
    if override is None:
        return _digested(plan)
    where = f"overlays/{env}/common/rollout.yaml"
    return _digested(_plan(Fields(_merged(spec, _spec(override, where, env)), where, ("spec",)), where))


def _spec(text: str, where: str, name: str) -> dict[str, Any]:
    top = Fields(load(text, where), where)
    head(top, "Plan")
    metadata = top.inside("metadata")
    metadata.take("name", one_of(name))
    metadata.done()
    spec = top.take("spec", _mapping)
    top.done()
    return spec


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _digested(plan: Plan) -> Plan:
    digest = hashlib.sha256(repr(plan).encode()).hexdigest()[:12]
    return Plan(**{name: getattr(plan, name) for name in Plan.__slots__ if name != "digest"}, digest=digest)


def _plan(spec: Fields, where: str) -> Plan:
    plan = Plan(
        steps=spec.take("steps", lambda value: _steps(value, where)),
        warm=spec.take("warm", seconds, 0.0),
        evidence=spec.take("evidence", one_of("traffic", "none"), "traffic") == "traffic",
        gates=_gates(spec.inside("gates")),
        drain=spec.take("drain", seconds, 60.0),
        hours=_hours(spec.inside("hours")) if spec.has("hours") else None,
        **_deadlines(spec.inside("deadlines")),
    )
    spec.done()
    return plan


def _steps(value: object, where: str) -> tuple[Step, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("a list such as [{canary: 5, dwell: 30m}, {canary: 100}] would be right")
    steps = tuple(_step(Fields(item, where, ("spec", f"steps[{place}]"))) for place, item in enumerate(value))
    percents = [step.canary for step in steps]
    if percents != sorted(set(percents)) or percents[-1] != 100:
        raise ValueError(f"canary percents {percents}: percents that rise and end with 100 would be right")
    return steps


def _step(fields: Fields) -> Step:
    canary = fields.take("canary", _step_percent)
    step = Step(canary, fields.take("dwell", seconds, 0.0) if canary == 100 else fields.take("dwell", seconds))
    fields.done()
    if canary == 100 and step.dwell:
        raise fields.error("dwell", "100 completes at once and has no dwell")
    return step


def _gates(fields: Fields) -> Gates:
    errors, latency, safety = fields.inside("errors"), None, fields.inside("safety")
    if fields.has("latency"):
        latency = fields.inside("latency")
    gates = Gates(
        alpha=fields.take("alpha", _share(0, 0.5), 0.01),
        ratio=errors.take("ratio", _at_least(1), 1.0),
        ceiling=errors.take("ceiling", _ceiling, Gates().ceiling),
        latency_budget=latency.take("budget", seconds) if latency else None,
        latency_ratio=latency.take("ratio", _at_least(1), 1.0) if latency else 1.0,
        safety_ratio=safety.take("ratio", _at_least(1), 2.5),
        safety_floor=safety.take("floor", _share(0, 1), 0.004),
        safety_alpha=safety.take("alpha", _share(0, 0.5), 0.05),
    )
    for part in (errors, latency, safety, fields):
        if part is not None:
            part.done()
    if gates.safety_ratio <= gates.ratio:
        problem = f"is {gates.safety_ratio}; more than errors.ratio {gates.ratio} would be right"
        raise fields.error("safety.ratio", problem)
    return gates


def _deadlines(fields: Fields) -> dict[str, Any]:
    found = {
        "ready": fields.take("ready", seconds, 600.0),
        "verdict": fields.take("verdict", seconds, 4 * 3600.0),
        "then": fields.take("then", one_of("hold", "advance", "abort"), "hold"),
    }
    fields.done()
    return found


def _hours(fields: Fields) -> Hours:
    hours = Hours(
        days=fields.take("days", _days, tuple(range(7))),
        begin=fields.take("from", _clock),
        end=fields.take("to", _clock),
        zone=fields.take("timezone", _zone, ZoneInfo("UTC")),
    )
    fields.done()
    if hours.begin >= hours.end:
        raise fields.error("to", f"is {hours.end:%H:%M}; later than from {hours.begin:%H:%M} would be right")
    return hours


def seconds(value: object) -> float:
    """Accept a duration such as 30s, 15m, 4h or 1d; return seconds."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration such as 30s, 15m, 4h or 1d would be right")
    return float(match[1]) * _SECONDS[match[2]]


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{kind_of(value)}; a mapping would be right")
    return value


def _step_percent(value: object) -> int:
    if type(value) is not int or not 1 <= value <= 100:
        raise ValueError("a whole number from 1 to 100 would be right")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise ValueError("a number would be right")
    return float(value)


def _share(low: float, high: float) -> Callable[[object], float]:
    def convert(value: object) -> float:
        number = _number(value)
        if not low < number < high:
            raise ValueError(f"a number between {low} and {high} would be right")
        return number

    return convert


def _at_least(low: float) -> Callable[[object], float]:
    def convert(value: object) -> float:
        number = _number(value)
        if not low <= number <= 1000:
            raise ValueError(f"a number from {low} to 1000 would be right")
        return number

    return convert


def _ceiling(value: object) -> float | None:
    return None if value is None else _share(0, 1)(value)


def _days(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or any(day not in _DAYS for day in value):
        raise ValueError(f"a list of {', '.join(_DAYS)} would be right")
    return tuple(sorted({_DAYS.index(day) for day in value}))


def _clock(value: object) -> time:
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError('a quoted time of day such as "08:00" would be right')
    return time.fromisoformat(value)


def _zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (KeyError, ValueError, OSError):
        raise ValueError("an IANA time zone such as Europe/Berlin would be right") from None
