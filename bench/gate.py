"""`python -m bench.gate [--runs N] [--seed S]`: the published scenarios under all policies, and ours with each rule off.

Prints the table as it grows; writes out/bench/gate.json, docs/gate.svg, and the blocks of docs/gate.md:

| block `<!-- gate: NAME -->` | is replaced by                                                             |
|-----------------------------|----------------------------------------------------------------------------|
| about                       | runs, seed, time                                                           |
| goals                       | each goal, and where it is not met                                         |
| healthy, tolerated, harmful | the policies side by side                                                  |
| ours                        | our figures with their intervals                                           |
| rules                       | what each rule of the gate buys and costs                                  |
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rollout.gate import RULES
from rollout.simulate import report, study
from rollout.simulate.command import read
from rollout.simulate.policies import POLICIES, Fast, Ours, Policy, Start
from rollout.simulate.study import Row

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURE, OUT = ROOT / "docs" / "gate.md", ROOT / "docs" / "gate.svg", ROOT / "out" / "bench"
OFF: dict[str, Callable[[Start], Policy]] = {
    name: partial(Ours, rules=rules)
    for name, rules in {
        "as shipped": RULES,
        "no start-time mixture": replace(RULES, mass_start=1.0, mass_steps=0.0, mass_later=0.0),
        "no dispersion": replace(RULES, phi_max=1.0),
        "no winsor": replace(RULES, winsor=1e9),
        "no cap": replace(RULES, cap=1e30),
        "no young pods": replace(RULES, young=0.0),
        "no floor": replace(RULES, floor_errors=1e-9, total_rate=RULES.total_rate * RULES.floor_errors / 1e-9),
        "no total failure": replace(RULES, total_mass=0.0),
        "no shrunk share": replace(RULES, share_prior=0.0),
        "cap 20": replace(RULES, cap=20.0),
        "later 10 min": replace(RULES, later=600.0),
    }.items()
} | {"batches of 5 s": Fast}
TELLING = (  # the scenarios in which a rule shows
    "healthy: 0.5 %, 10/s",
    "clumps of 5 in both arms",
    "clumps of 5 in the canary only",
    "storms and clumps of 5, shared",
    "one bad pod: x5 for a minute, canary only",
    "cold start: 20 % for 30 s",
    "stable never fails, the canary 0.02 %",
    "every call fails, 0.3/s",
    "half of all calls fail, 1/s",
    "2x of 1 %, 60/s",
    "10x of 0.3 %, 60/s",
    "late: 20x of 0.5 % after 20 min, 100/s",
    "late: 3x of 1 % after 20 min, 60/s",
    "only from 25 % on: 5x of 1 %",
)
FALSE, OTHERS, IN_TIME = 0.01, 0.05, 0.95  # the goals


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="rollouts per scenario and policy (default: 1000)")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began = time.monotonic()
    scenarios = read(None)
    print(report.head())
    rows = study.table(scenarios, POLICIES, chosen.runs, chosen.seed, lambda row: print(report.line(row), flush=True))
    telling = [scenario for scenario in scenarios if scenario.name in TELLING]
    fewer = max(1, chosen.runs // 4)
    rules = study.table(telling, OFF, fewer, chosen.seed, lambda row: print(report.line(row), flush=True), stream="ours")
    took = f"{(time.monotonic() - began) / 60:.1f} min on {len(os.sched_getaffinity(0))} cores"
    told = (
        f"{chosen.runs} rollouts per scenario and policy ({fewer} per rule), seed {chosen.seed}, "
        f"{report.count(len(rows) * chosen.runs + len(rules) * fewer)} in all, in {took}."
    )
    checked = goals(rows)
    print("\n".join(["", *checked, "", told]))
    OUT.mkdir(parents=True, exist_ok=True)
    whole = {"about": told, "goals": checked, "rows": [report.plain(row) for row in rows]}
    (OUT / "gate.json").write_text(json.dumps({**whole, "rules": [report.plain(row) for row in rules]}, indent=1) + "\n")
    report.plot(rows, PICTURE)
    ours = [row for row in rows if row.policy == "ours"]
    blocks = {
        "about": told,
        "goals": "\n".join(f"- {line}" for line in checked),
        "healthy": report.side_by_side(rows, ("same",)),
        "tolerated": report.side_by_side(rows, ("tolerated",)),
        "harmful": report.side_by_side(rows, ("worse",)),
        "ours": report.markdown(ours),
        "rules": switched_off(rules),
    }
    text = PAGE.read_text()
    for name, content in blocks.items():
        whole_block = f"<!-- gate: {name} -->\n{content}\n<!-- end -->"
        text = re.sub(rf"<!-- gate: {name} -->.*?<!-- end -->", lambda _, new=whole_block: new, text, flags=re.DOTALL)  # type: ignore[misc]
    PAGE.write_text(text)


def goals(rows: Sequence[Row]) -> list[str]:
    """Each goal with what was found, and where it is not met."""
    null = [row for row in rows if row.truth == "same"]
    ours = [row for row in null if row.policy == "ours"]
    worst = max(ours, key=lambda row: row.abort.value)
    over = [row.scenario for row in ours if row.abort.low > FALSE]
    rich = [row for row in ours if row.scenario.startswith("healthy") and "0.2/s" not in row.scenario]
    late = [f"{row.scenario} ({report.percent(row.in_time)})" for row in rich if row.in_time < IN_TIME]
    between = f"(95 %: {report.percent(worst.abort.low)} to {report.percent(worst.abort.high)})"
    false = (
        f"False abort at most 1 % wherever the null holds: worst {report.percent(worst.abort.value)} {between}, "
        f"{worst.scenario}; {_named('significantly above', over)}."
    )
    time_taken = (
        f"Healthy at 5 requests/s or more complete within 1.2 times the dwells in 95 %: {len(rich) - len(late)} of {len(rich)} "
        f"scenarios; {_named('late', late)}."
    )
    return [false, _harm(rows), time_taken]


def _harm(rows: Sequence[Row]) -> str:
    """Bad requests against the best of the others that are hardly ever wrong."""
    fair = [
        name
        for name in POLICIES
        if not name.startswith("ours")
        and max(row.abort.value for row in rows if row.policy == name and row.truth == "same") <= OTHERS
    ]
    found = {(row.scenario, row.policy): row.bad.value for row in rows if row.truth == "worse"}
    names = list(dict.fromkeys(scenario for scenario, _ in found))
    best = {name: min((found[name, peer] for peer in fair), default=float("inf")) for name in names}
    fifth = [name for name in names if found[name, "ours"] <= best[name] / 5]
    lowest = [name for name in names if name not in fifth and found[name, "ours"] <= best[name]]
    neither = [name for name in names if name not in fifth and name not in lowest]
    return (
        f"Bad requests at most a fifth of the best other policy that is wrong in at most 5 % of every healthy scenario "
        f"({', '.join(fair) or 'none is'}), or the fewest: a fifth in {len(fifth)}, the fewest in {len(lowest)} more, "
        f"of {len(names)}; {_named('neither', neither)}."
    )


def _named(word: str, names: Sequence[str]) -> str:
    return f"{word}: {'; '.join(names) or 'none'}"


def switched_off(rows: Sequence[Row]) -> str:
    """One line per scenario, one column per rule that is off: P(abort), or bad requests."""
    found = {(row.scenario, row.policy): row for row in rows}
    lines = ["| scenario | " + " | ".join(OFF) + " |", "|---|" + "---:|" * len(OFF)]
    for name in dict.fromkeys(row.scenario for row in rows):
        each = [found[name, variant] for variant in OFF]
        cells = [report.count(row.bad.value) if row.truth == "worse" else report.percent(row.abort.value) for row in each]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
