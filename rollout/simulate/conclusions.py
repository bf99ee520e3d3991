"""What the simulated figures say of each goal on each scenario, and whether another seed says the same.

| goal         | on scenarios                  | met: the interval of                        | not met                           |
|--------------|-------------------------------|---------------------------------------------|-----------------------------------|
| false abort  | with a canary like stable     | ours ends at 1 % or below                   | ours begins above 1 %             |
| in time      | those of 5 requests/s or more | complete in time begins at 95 % or above    | it ends below 95 %                |
| bad requests | with a harmful canary         | ours ends where the best other policy's     | ours begins above where that ends |
|              |                               | begins (the fewest), or a fifth of it       |                                   |

Intervals are those of 95 %; what is neither is *not significant*. In time: within 1.2 times the dwells. Other policies count when
they are wrong in at most 5 % in every scenario with a canary like stable.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rollout.simulate import report
from rollout.simulate.study import Figure, Row, wilson

FALSE, OTHERS, IN_TIME, PART = 0.01, 0.05, 0.95, 5  # the goals
MET, UNSURE, NOT = "met", "not significant", "not met"
GOALS = {
    "false abort": "false abort at most 1 % of rollouts, where the canary is like stable",
    "bad requests": "bad requests at most a fifth of the best other policy's that is hardly ever wrong, or the fewest",
    "in time": "at 5 requests/s or more, 95 % of healthy rollouts complete within 1.2 times the dwells",
}


@dataclass(frozen=True, slots=True)
class Conclusion:
    """One goal on one scenario.

    figures: what it was concluded from, in words. edge: how far it is from the goal, the larger the worse, comparable within a
    goal: the part that was aborted or late, or ours over the best other policy's. how: of bad requests, a fifth or the fewest.
    """

    goal: str
    scenario: str
    says: str
    figures: str
    edge: float
    how: str = ""


def concluded(rows: Sequence[Row], rich: Collection[str]) -> list[Conclusion]:
    """Every goal on every scenario it is about; rich: names of the scenarios of 5 requests/s or more."""
    ours = [row for row in rows if row.policy == "ours"]
    null = [row for row in ours if row.truth == "same"]
    found = [_false(row) for row in null] + [_in_time(row) for row in null if row.scenario in rich]
    peers = fair(rows)
    for row in ours:
        if row.truth == "worse":
            its = [other for other in rows if other.scenario == row.scenario and other.policy in peers]
            found.append(_bad(row, min(its, key=lambda other: other.bad.value, default=None)))
    return found


def fair(rows: Sequence[Row]) -> list[str]:
    """The other policies that are hardly ever wrong."""
    names = dict.fromkeys(row.policy for row in rows if not row.policy.startswith("ours"))
    return [
        name for name in names if max(row.abort.value for row in rows if row.policy == name and row.truth == "same") <= OTHERS
    ]


def _false(row: Row) -> Conclusion:
    says = MET if row.abort.high <= FALSE else NOT if row.abort.low > FALSE else UNSURE
    return Conclusion("false abort", row.scenario, says, _percents(row.abort), row.abort.value)


def _in_time(row: Row) -> Conclusion:
    part = wilson(round(row.in_time * row.runs), row.runs)
    says = MET if part.low >= IN_TIME else NOT if part.high < IN_TIME else UNSURE
    return Conclusion("in time", row.scenario, says, _percents(part), 1 - part.value)


def _bad(row: Row, best: Row | None) -> Conclusion:
    if best is None:
        figures = f"{report.count(row.bad.value)}, no other policy counts"
        return Conclusion("bad requests", row.scenario, MET, figures, 0.0, "the fewest")
    figures = f"{report.count(row.bad.value)} against {report.count(best.bad.value)} ({best.policy})"
    fifth, fewest = row.bad.high <= best.bad.low / PART, row.bad.high <= best.bad.low
    says = MET if fewest else NOT if row.bad.low > best.bad.high else UNSURE
    edge = row.bad.value / best.bad.value if best.bad.value > 0 else 0.0
    return Conclusion("bad requests", row.scenario, says, figures, edge, "a fifth" if fifth else "the fewest" if fewest else "")


def _percents(figure: Figure) -> str:
    low, value, high = (f"{100 * x:.2f}" for x in (figure.low, figure.value, figure.high))
    return f"{value} % ({low}..{high})"


def compared(first: Sequence[Conclusion], second: Sequence[Conclusion]) -> list[dict[str, Any]]:
    """Each conclusion as a plain value, with what the other seed says and whether they agree."""
    other = {(one.goal, one.scenario): one for one in second}
    pairs = [(one, other[one.goal, one.scenario]) for one in first]
    return [
        {**asdict(one), "second": its.says, "second_figures": its.figures, "agrees": one.says == its.says} for one, its in pairs
    ]


def agreement(pairs: Sequence[dict[str, Any]]) -> list[str]:
    """How often two seeds say the same, and where they do not; opposite: one says met, the other not met."""
    same = sum(pair["agrees"] for pair in pairs)
    opposite = sum({pair["says"], pair["second"]} == {MET, NOT} for pair in pairs)
    told = [
        f"The second seed says the same in {same} of {len(pairs)} conclusions (a goal on a scenario), the opposite in {opposite}."
    ]
    return told + [
        f"{pair['goal']}, {pair['scenario']}: {pair['says']}, {pair['figures']}; with the second seed {pair['second']}, "
        f"{pair['second_figures']}"
        for pair in pairs
        if not pair["agrees"]
    ]


def table(pairs: Sequence[dict[str, Any]]) -> str:
    """A line per goal: on how many scenarios it is met, the figure that is nearest to its edge, and the second seed's count."""
    lines = ["| goal | met | not significant | not met | farthest from it | second seed: met |", "|---|---:|---:|---:|---|---:|"]
    for goal, words in GOALS.items():
        mine = [pair for pair in pairs if pair["goal"] == goal]
        met, unsure, missed = (sum(pair["says"] == says for pair in mine) for says in (MET, UNSURE, NOT))
        again = sum(pair["second"] == MET for pair in mine)
        worst = max(mine, key=lambda pair: pair["edge"], default=None)
        told = f"{worst['figures']}, {worst['scenario']}" if worst else "-"
        lines.append(f"| {words} | {met} of {len(mine)} | {unsure} | {missed} | {told} | {again} of {len(mine)} |")
    return "\n".join(lines)


def exceptions(pairs: Sequence[dict[str, Any]]) -> list[str]:
    """Where a goal is not met or not shown, with the figures."""
    return [f"{pair['goal']}, {pair['scenario']}: {pair['says']}: {pair['figures']}" for pair in pairs if pair["says"] != MET]


def differs(shipped: Row, other: Row) -> bool:
    """Whether the 95 % intervals of what a scenario is about lie apart: bad requests of a harmful canary, else aborts."""
    one, two = (row.bad if row.truth == "worse" else row.abort for row in (shipped, other))
    return one.high < two.low or two.high < one.low
