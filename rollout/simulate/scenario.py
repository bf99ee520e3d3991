"""Scenarios: what the world does to a rollout, by configuration. Text in, values out; strict, an unknown key is an error.

| key     | default  | meaning                                                                                          |
|---------|----------|--------------------------------------------------------------------------------------------------|
| name    |          | a sentence, unique                                                                               |
| truth   |          | same: canary <= stable in every batch; tolerated: not so, but nobody minds; worse: it is harmful |
| rate    |          | requests per second, all arms together                                                           |
| load    | constant | wave: amplitude 0..1 within `period`; burst: sd of a gamma factor, new in every batch            |
| errors  |          | stable's error rate                                                                              |
| canary  | as stable| `ratio` times stable's rate or `errors`, a rate; `after`: from then on; `at`: from this percent  |
|         |          | on; `load`: while the load is over this multiple of its mean                                     |
| drift   | 1        | both arms' rate grows to this multiple of itself within the first hour                           |
| outage  | none     | `at`, `lasts`, `errors`: both arms fail at this rate meanwhile                                   |
| clumps  | none     | errors come `size` together, same mean, in `arms`: both, canary, stable                          |
| spells  | none     | rate times `factor` in spells of mean `lasts`, one every `every`, same mean over time, in `arms`:|
|         |          | shared (a dependency: both at once), canary, stable                                              |
| cold    | none     | the canary fails at `errors` for `lasts` after each rise of its traffic                          |
| slow    | none     | `stable`, `canary`: part of requests over the latency budget; switches the latency test on       |
| session | 1        | requests that stick together in routing                                                          |
| share   | 1        | the canary gets this multiple of its committed share                                             |
| gaps    | none     | `scrape`: probability that a batch has no data; `late`: that the canary's counts come with the   |
|         |          | next; `restart`: that a canary pod restarts and its counts of the batch are lost; `down`: spans  |
|         |          | `at`, `lasts` without the metrics backend                                                        |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from rollout.document import Fields, head, kind_of, load, one_of
from rollout.plan import seconds

T = TypeVar("T")
TRUTHS = ("same", "tolerated", "worse")


@dataclass(frozen=True, slots=True)
class Span:
    """From `at` on, for `lasts` seconds after the start, with a rate."""

    at: float
    lasts: float
    errors: float = 0.0


@dataclass(frozen=True, slots=True)
class Spells:
    """See the table."""

    factor: float
    lasts: float
    every: float
    arms: str

    @property
    def part(self) -> float:
        """The part of time that is in a spell."""
        return self.lasts / (self.lasts + self.every)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario; the table says what each field means. Rates 0..1, times in seconds."""

    name: str
    truth: str
    rate: float
    errors: float
    ratio: float = 1.0
    canary: float | None = None
    after: float = 0.0
    at: int = 0
    over: float = 0.0
    wave: float = 0.0
    period: float = 86400.0
    burst: float = 0.0
    drift: float = 1.0
    outage: Span | None = None
    clump: int = 1
    clump_arms: str = "both"
    spells: Spells | None = None
    cold: Span | None = None
    slow: tuple[float, float] | None = None
    session: int = 1
    off: float = 1.0
    scrape: float = 0.0
    late: float = 0.0
    restart: float = 0.0
    down: Span | None = None

    @property
    def bad(self) -> float:
        """The canary's error rate where the harm is there."""
        return min(1.0, self.errors * self.ratio) if self.canary is None else self.canary


def parse(text: str, where: str) -> tuple[Scenario, ...]:
    """Read a file of scenarios; raise BadInput naming the file, the scenario, the field, and what would be right."""
    return tuple(scenario for _, scenario in listed(text, where, "Scenarios", _scenario))


def listed(text: str, where: str, kind: str, make: Callable[[str, Fields], T]) -> list[tuple[str, T]]:
    """Read a file of this kind; `make` reads one of its scenarios, whose name is taken already and stands once."""
    top = Fields(load(text, where), where)
    head(top, kind)
    found = top.take("scenarios", _list)
    top.done()
    scenarios: dict[str, T] = {}
    for place, item in enumerate(found):
        fields = Fields(item, where, (f"scenarios[{place}]",))
        name = fields.take("name", _text)
        if name in scenarios:
            raise fields.error("name", f"is {name!r}, which stands twice")
        scenarios[name] = make(name, fields)
    return list(scenarios.items())


def _scenario(name: str, fields: Fields) -> Scenario:
    traffic, canary, gaps = fields.inside("load"), fields.inside("canary"), fields.inside("gaps")
    if canary.has("ratio") and canary.has("errors"):
        raise canary.error("errors", "stands beside ratio; one of them would be right")
    scenario = Scenario(
        name=name,
        truth=fields.take("truth", one_of(*TRUTHS)),
        rate=fields.take("rate", number(0.01, 1e5)),
        errors=fields.take("errors", number(0, 1)),
        ratio=canary.take("ratio", number(0, 1000), 1.0),
        canary=canary.take("errors", _rate, None),
        after=canary.take("after", seconds, 0.0),
        at=int(canary.take("at", number(0, 99), 0.0)),
        over=canary.take("load", number(0, 10), 0.0),
        wave=traffic.take("wave", number(0, 1), 0.0),
        period=traffic.take("period", seconds, 86400.0),
        burst=traffic.take("burst", number(0, 3), 0.0),
        drift=fields.take("drift", number(0.01, 100), 1.0),
        outage=_span(fields, "outage", rate=True),
        spells=_spells(fields),
        cold=_cold(fields),
        slow=_slow(fields),
        session=int(fields.take("session", number(1, 1000), 1.0)),
        off=fields.take("share", number(0, 20), 1.0),
        scrape=gaps.take("scrape", number(0, 1), 0.0),
        late=gaps.take("late", number(0, 1), 0.0),
        restart=gaps.take("restart", number(0, 1), 0.0),
        down=_span(gaps, "down", rate=False),
        **_clumps(fields),
    )
    for part in (traffic, canary, gaps, fields):
        part.done()
    return scenario


def _inside(fields: Fields, key: str) -> Fields | None:
    """The mapping under `key`, None when there is none."""
    if not fields.has(key):
        return fields.take(key, lambda _: None, None)
    return fields.inside(key)


def _clumps(fields: Fields) -> dict[str, Any]:
    inside = _inside(fields, "clumps")
    if inside is None:
        return {}
    found = {
        "clump": int(inside.take("size", number(1, 1000))),
        "clump_arms": inside.take("arms", one_of("both", "canary", "stable"), "both"),
    }
    inside.done()
    return found


def _span(fields: Fields, key: str, *, rate: bool) -> Span | None:
    inside = _inside(fields, key)
    if inside is None:
        return None
    errors = inside.take("errors", number(0, 1)) if rate else 0.0
    span = Span(inside.take("at", seconds), inside.take("lasts", seconds), errors)
    inside.done()
    return span


def _cold(fields: Fields) -> Span | None:
    inside = _inside(fields, "cold")
    if inside is None:
        return None
    span = Span(0.0, inside.take("lasts", seconds), inside.take("errors", number(0, 1)))
    inside.done()
    return span


def _spells(fields: Fields) -> Spells | None:
    inside = _inside(fields, "spells")
    if inside is None:
        return None
    spells = Spells(
        inside.take("factor", number(1, 1000)),
        inside.take("lasts", seconds),
        inside.take("every", seconds),
        inside.take("arms", one_of("shared", "canary", "stable"), "shared"),
    )
    inside.done()
    return spells


def _slow(fields: Fields) -> tuple[float, float] | None:
    inside = _inside(fields, "slow")
    if inside is None:
        return None
    pair = inside.take("stable", number(0, 1)), inside.take("canary", number(0, 1))
    inside.done()
    return pair


def number(low: float, high: float) -> Callable[[object], float]:
    """Return a converter that accepts a number from low to high; NaN is none."""

    def convert(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g} would be right")
        return float(value)

    return convert


def _rate(value: object) -> float | None:
    return number(0, 1)(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a sentence would be right")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{kind_of(value)}; a list of scenarios would be right")
    return value
