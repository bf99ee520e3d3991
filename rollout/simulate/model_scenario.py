"""Scenarios of the model gates: what a canary predicts and how it is found out, by configuration. Strict, as scenario.py.

| key         | default | meaning                                                                                          |
|-------------|---------|--------------------------------------------------------------------------------------------------|
| name        |         | a sentence, unique                                                                               |
| truth       |         | same: nothing beyond what is tolerated in any batch; worse: it is                                |
| rate        |         | requests per second, all arms together                                                           |
| lasts       | 60m     | the canary has 5 % of them for the first half of this time, 25 % for the other                   |
| batch       | 60s     | the gate looks this often                                                                        |
| after       | 0s      | what is worse is so from then on                                                                 |
| session     | 1       | requests that come together, to one arm, and are all alike                                       |
| predictions |         | `bins`: stable's frequencies, which sum to 1; `canary`: the canary's, as stable's by default;    |
|             |         | `becomes`: both arms' at the end, gradually, or from `jump` on; `tolerated` 1: r0                |
| mirrored    |         | `part` of stable's requests; `disagree`: rate; `tolerated`: rate                                 |
| labels      |         | `part` of the requests get one; `wrong`: stable's rate, `becomes` at the end, gradually, in both |
|             |         | arms; `canary`: its rate, as stable's by default; `delay`: mean, exponential; `bad` 1: this      |
|             |         | multiple of it for wrong predictions; `again` 0: part that comes twice; `tolerated` 1: r0        |

One of predictions, mirrored and labels stands in a scenario. `disagree` is what is tolerated until `after`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rollout.document import Fields, one_of
from rollout.plan import seconds
from rollout.simulate.scenario import listed, number

Frequencies = tuple[float, ...]
TOLERATED = number(1, 100)


@dataclass(frozen=True, slots=True)
class Predictions:
    """See the table."""

    bins: Frequencies
    canary: Frequencies | None
    becomes: Frequencies | None
    jump: float | None
    tolerated: float


@dataclass(frozen=True, slots=True)
class Mirrored:
    """See the table."""

    part: float
    disagree: float
    tolerated: float


@dataclass(frozen=True, slots=True)
class Labels:
    """See the table; delay in seconds."""

    part: float
    wrong: float
    becomes: float
    canary: float | None
    delay: float
    bad: float
    again: float
    tolerated: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelScenario:
    """One scenario; the table says what each field means. `gate`: its name; times in seconds."""

    name: str
    truth: str
    rate: float
    lasts: float
    batch: float
    after: float
    session: int
    gate: str
    what: Predictions | Mirrored | Labels


def parse(text: str, where: str) -> tuple[ModelScenario, ...]:
    """Read a file of scenarios; raise BadInput naming the file, the scenario, the field, and what would be right."""
    return tuple(scenario for _, scenario in listed(text, where, "ModelScenarios", _scenario))


def _scenario(name: str, fields: Fields) -> ModelScenario:
    gates: dict[str, Callable[[Fields], Predictions | Mirrored | Labels]] = {
        "predictions": _predictions,
        "mirrored": _mirrored,
        "labels": _labels,
    }
    there = [gate for gate in gates if fields.has(gate)]
    if len(there) != 1:
        raise fields.error(there[1] if there else "predictions", f"one of {', '.join(gates)} would be right")
    inside = fields.inside(there[0])
    what = gates[there[0]](inside)
    inside.done()
    scenario = ModelScenario(
        name=name,
        truth=fields.take("truth", one_of("same", "worse")),
        rate=fields.take("rate", number(0.01, 1e4)),
        lasts=fields.take("lasts", seconds, 3600.0),
        batch=fields.take("batch", _positive, 60.0),
        after=fields.take("after", seconds, 0.0),
        session=fields.take("session", _whole, 1),
        gate=there[0],
        what=what,
    )
    fields.done()
    if scenario.lasts < 2 * scenario.batch:
        raise fields.error("lasts", f"is {scenario.lasts:g} s; two batches of {scenario.batch:g} s at least would be right")
    return scenario


def _predictions(inside: Fields) -> Predictions:
    bins = inside.take("bins", _frequencies)
    canary, becomes = inside.take("canary", _others, None), inside.take("becomes", _others, None)
    for key, value in (("canary", canary), ("becomes", becomes)):
        if value is not None and len(value) != len(bins):
            raise inside.error(key, f"has {len(value)} bins; {len(bins)} as in bins would be right")
    return Predictions(bins, canary, becomes, inside.take("jump", seconds, None), inside.take("tolerated", TOLERATED, 1.0))


def _mirrored(inside: Fields) -> Mirrored:
    part, disagree = inside.take("part", number(0, 1), 1.0), inside.take("disagree", number(0, 1))
    return Mirrored(part, disagree, inside.take("tolerated", number(1e-6, 0.999)))


def _labels(inside: Fields) -> Labels:
    wrong = inside.take("wrong", number(0, 1))
    return Labels(
        part=inside.take("part", number(0, 1), 1.0),
        wrong=wrong,
        becomes=inside.take("becomes", number(0, 1), wrong),
        canary=inside.take("canary", _rate, None),
        delay=inside.take("delay", seconds, 0.0),
        bad=inside.take("bad", number(0.01, 100), 1.0),
        again=inside.take("again", number(0, 1), 0.0),
        tolerated=inside.take("tolerated", TOLERATED, 1.0),
    )


def _rate(value: object) -> float | None:
    return number(0, 1)(value)


def _others(value: object) -> Frequencies | None:
    return _frequencies(value)


def _frequencies(value: object) -> Frequencies:
    if not isinstance(value, list) or len(value) < 2:
        raise ValueError("a list of two frequencies or more would be right")
    found = tuple(number(0, 1)(each) for each in value)
    if abs(sum(found) - 1) > 1e-6:
        raise ValueError(f"they sum to {sum(found):g}; 1 would be right")
    return found


def _positive(value: object) -> float:
    found = seconds(value)
    if found <= 0:
        raise ValueError("a duration above 0 would be right")
    return found


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise ValueError("a whole number from 1 to 1000 would be right")
    return value
