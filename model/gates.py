"""What a new version must be, to be proposed: a verdict per gate in apps/<app>/gates.yaml, each a sentence with numbers.

| gate        | setting           | passes when                                                                              |
|-------------|-------------------|------------------------------------------------------------------------------------------|
| auc         | above             | the area under the ROC curve is above it                                                 |
| error       | below             | the mean absolute error, as a share of always answering the median, is below it          |
| stable      | margin            | with 95 % confidence, at most `margin` worse than the stable version on the same rows    |
| calibration | below             | predicted and seen rates differ by less, on average over tenths of the rows              |
| groups      | below             | no two groups' scores differ by as much: recall, for amounts the error as a share        |
| latency     | below (ms)        | 99 of 100 single predictions take less, on the machine that judges                       |
| size        | below (bytes)     | the version's files are smaller together                                                 |
| schema      | same-or-bumped    | columns and features are the stable version's, or the schema's number is higher          |

A verdict is passed, failed or not compared: where there is no stable version to be had, `stable` and `schema` have nothing to
compare with, and say so. The champion is the best of those of which no gate failed; of two equally good, the first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from model.evaluate import Figure
from model.table import BadInput

Outcome: TypeAlias = Literal["passed", "failed", "not compared"]


@dataclass(frozen=True)
class Verdict:
    """What one gate says."""

    gate: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the gates judge. worse: the stable version's score less this one's (amounts: this one's error share less stable's),
    its value and the bound that it is below with 95 % confidence; None where nothing could be compared.
    """

    figures: Mapping[str, Figure]
    gaps: Mapping[str, Figure]
    worse: tuple[float, float] | None
    stable: str
    milliseconds: float
    size: int
    schema: int
    stable_schema: int | None
    same_fields: bool


Judge: TypeAlias = Callable[[Facts, float], Verdict]


def _under(gate: str, value: float, limit: float, shown: str, unit: str = "") -> Verdict:
    if value < limit:
        return Verdict(gate, "passed", f"{shown} < {_plain(limit)}{unit}")
    return Verdict(gate, "failed", f"{shown} is not below {_plain(limit)}{unit}, by {value - limit:,.4g}{unit}")


def _plain(limit: float) -> str:
    return f"{limit:,.0f}" if limit >= 1 else f"{limit:g}"


def _auc(facts: Facts, limit: float) -> Verdict:
    found = facts.figures["auc"]
    if found.value > limit:
        return Verdict("auc", "passed", f"AUC {found} > {limit:g}")
    return Verdict("auc", "failed", f"AUC {found} is not above {limit:g}, by {limit - found.value:.4f}")


def _error(facts: Facts, limit: float) -> Verdict:
    found = facts.figures["share"]
    return _under("error", found.value, limit, f"error {found} of the median's")


def _stable(facts: Facts, margin: float) -> Verdict:
    if facts.worse is None:
        return Verdict("stable", "not compared", f"{facts.stable}: nothing to compare with")
    value, bound = facts.worse
    than = f"{abs(value):.4f} {'worse' if value > 0 else 'better'} than {facts.stable} on the same rows"
    if bound < margin:
        return Verdict("stable", "passed", f"{than}, with 95 % confidence less than {margin:g} worse ({bound:+.4f})")
    return Verdict("stable", "failed", f"{than}, and may be {bound:.4f} worse; less than {margin:g} is asked for, 95 % sure")


def _calibration(facts: Facts, limit: float) -> Verdict:
    found = facts.figures["calibration"]
    return _under("calibration", found.value, limit, f"predicted and seen rates differ by {found}")


def _groups(facts: Facts, limit: float) -> Verdict:
    if not facts.gaps:
        return Verdict("groups", "not compared", "no two groups have rows enough")
    kind, gap = max(facts.gaps.items(), key=lambda one: one[1].value)
    return _under("groups", gap.value, limit, f"greatest difference between groups, by {kind}, {gap}")


def _latency(facts: Facts, limit: float) -> Verdict:
    return _under("latency", facts.milliseconds, limit, f"99 of 100 predictions within {facts.milliseconds:.2f} ms", " ms")


def _size(facts: Facts, limit: float) -> Verdict:
    return _under("size", facts.size, limit, f"{facts.size:,} bytes", " bytes")


def _schema(facts: Facts, _: float) -> Verdict:
    if facts.stable_schema is None:
        return Verdict("schema", "not compared", f"{facts.stable}: nothing to compare with")
    if facts.same_fields:
        return Verdict("schema", "passed", f"schema {facts.schema}, the same as {facts.stable}'s")
    if facts.schema > facts.stable_schema:
        return Verdict("schema", "passed", f"schema {facts.stable_schema} -> {facts.schema}")
    return Verdict(
        "schema",
        "failed",
        f"fields differ from {facts.stable}'s and both say schema {facts.schema}; a higher number would be right",
    )


GATES: dict[str, tuple[str, Judge]] = {
    "auc": ("above", _auc),
    "error": ("below", _error),
    "stable": ("margin", _stable),
    "calibration": ("below", _calibration),
    "groups": ("below", _groups),
    "latency": ("below", _latency),
    "size": ("below", _size),
    "schema": ("same-or-bumped", _schema),
}


def read(document: object, where: str) -> dict[str, float]:
    """The gates of a parsed gates.yaml, each with its limit, in its order; anything unknown is an error."""
    spec = document.get("spec") if isinstance(document, dict) else None
    if not isinstance(spec, dict) or not spec:
        raise BadInput(f"{where}: spec: must be gates and their limits, such as auc: {{above: 0.75}}")
    return {str(gate): _limit(str(gate), setting, where) for gate, setting in spec.items()}


def _limit(gate: str, setting: object, where: str) -> float:
    if gate not in GATES:
        raise BadInput(f"{where}: spec.{gate}: is unknown; must be one of {', '.join(GATES)}")
    name = GATES[gate][0]
    given: Any = setting.get(name) if isinstance(setting, dict) and list(setting) == [name] else None
    if name == "same-or-bumped" and given is True:
        return 0.0
    if name == "same-or-bumped" or isinstance(given, bool) or not isinstance(given, int | float) or given < 0:
        right = "true" if name == "same-or-bumped" else "a number from 0"
        raise BadInput(f"{where}: spec.{gate}: is {setting!r}; must be {{{name}: {right}}}")
    return float(given)


def judge(limits: Mapping[str, float], facts: Facts) -> list[Verdict]:
    """What each gate says of a version, in the order of the settings."""
    return [GATES[gate][1](facts, limit) for gate, limit in limits.items()]


def champion(scores: Mapping[str, float], verdicts: Mapping[str, Sequence[Verdict]], *, higher: bool) -> str | None:
    """The name of the best version of which no gate failed; None when there is none. scores: in the order of preference."""
    sound = [name for name in scores if all(verdict.outcome != "failed" for verdict in verdicts[name])]
    best = max if higher else min
    return best(sound, key=lambda name: scores[name]) if sound else None
