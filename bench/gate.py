"""`python -m bench.gate [--runs N] [--seed S]`: the published scenarios under all policies, and ours with each rule off.

Everything but the rules is done twice, with two seeds; the tables are the first one's. Prints the tables as they grow; writes
out/bench/gate.json, docs/gate.svg, the blocks of docs/gate.md, and `goals` of README.md:

| block `<!-- gate: NAME -->` | is replaced by                                                             |
|-----------------------------|----------------------------------------------------------------------------|
| about                       | runs, seeds, time                                                          |
| goals                       | on how many scenarios each goal is met, and where it is not                |
| seeds                       | in how many conclusions the second seed agrees                             |
| healthy, tolerated, harmful | the policies side by side                                                  |
| ours                        | our figures with their intervals                                           |
| rules                       | what each rule of the gate buys and costs                                  |
| model                       | the model gates, at a tenth of the runs                                    |
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.table import whole
from rollout.gate import RULES
from rollout.simulate import model_report, model_study, report, study
from rollout.simulate.command import read, read_model
from rollout.simulate.conclusions import agreement, compared, concluded, differs, exceptions, fair, table
from rollout.simulate.policies import POLICIES, Fast, Ours, Policy, Start
from rollout.simulate.scenario import Scenario
from rollout.simulate.study import Row

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURE, OUT = ROOT / "docs" / "gate.md", ROOT / "docs" / "gate.svg", ROOT / "out" / "bench"
FRONT = ROOT / "README.md"
SHIPPED = "as shipped"
Policies = Mapping[str, Callable[[Start], Policy]]
OFF: dict[str, Callable[[Start], Policy]] = {
    name: partial(Ours, rules=rules)
    for name, rules in {
        SHIPPED: RULES,
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


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="rollouts per scenario, policy and seed (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="the tables' seed; the next one is the second (default: 1)")
    chosen = parser.parse_args()
    began = time.monotonic()
    scenarios = read(None)
    first = _rows(scenarios, POLICIES, chosen.runs, chosen.seed)
    concerned = {name: policy for name, policy in POLICIES.items() if name != "ours-polling"}  # no conclusion is about it
    second = _rows(scenarios, concerned, chosen.runs, chosen.seed + 1)
    telling = [scenario for scenario in scenarios if scenario.name in TELLING]
    fewer = max(1, chosen.runs // 2)
    rules = _rows(telling, OFF, fewer, chosen.seed, "ours")
    judged = _model(max(1, chosen.runs // 10), chosen.seed)
    rich = {scenario.name for scenario in scenarios if scenario.rate >= 5}
    pairs = compared(concluded(first, rich), concluded(second, rich))
    made = (len(first) + len(second)) * chosen.runs + len(rules) * fewer
    told = (
        f"{whole(chosen.runs)} rollouts per scenario, policy and seed ({whole(fewer)} per rule), seeds {chosen.seed} and "
        f"{chosen.seed + 1}, {whole(made)} in all, in {_took(began)}."
    )
    checked: dict[str, Any] = {"table": table(pairs), "exceptions": exceptions(pairs), "seeds": agreement(pairs)}
    print("\n".join(["", checked["table"], "", *checked["exceptions"], "", *checked["seeds"], "", told]))
    OUT.mkdir(parents=True, exist_ok=True)
    figures = {"rows": first, "second": second, "rules": rules}
    facts = {"about": told, "seeds": [chosen.seed, chosen.seed + 1], "others": fair(first), "conclusions": pairs}
    plain = {name: [report.plain(row) for row in rows] for name, rows in figures.items()}
    plain["model"] = [model_report.plain(row) for row in judged]
    (OUT / "gate.json").write_text(json.dumps(facts | plain, indent=1) + "\n")
    report.plot(first, PICTURE)
    _write(PAGE, blocks(first, rules, told, checked) | {"model": model_report.page(judged)})
    _write(FRONT, {"goals": checked["table"]})


def _rows(scenarios: Sequence[Scenario], policies: Policies, runs: int, seed: int, stream: str = "") -> list[Row]:
    print(f"\nseed {seed}\n{report.head()}")
    return study.table(scenarios, policies, runs, seed, lambda row: print(report.line(row), flush=True), stream)


def _model(runs: int, seed: int) -> list[model_study.ModelRow]:
    print(f"\nseed {seed}\n{model_report.head()}")
    return model_study.table(read_model(None), runs, seed, lambda row: print(model_report.line(row), flush=True))


def _took(began: float) -> str:
    """Wall and processor time, of this process and of those it waited for."""
    used = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cores = f"{len(os.sched_getaffinity(0))} cores with load average {os.getloadavg()[1]:.1f}"
    return f"{time.monotonic() - began:.0f} s ({used:.0f} s of processor time) on {cores}"


def blocks(rows: Sequence[Row], rules: Sequence[Row], told: str, checked: Mapping[str, Any]) -> dict[str, str]:
    """What stands in docs/gate.md, by the names of its blocks."""
    ours = [row for row in rows if row.policy == "ours"]
    peers = ", ".join(fair(rows)) or "none"
    met_not = _listed(checked["exceptions"]) or "- everywhere met"
    return {
        "about": told,
        "goals": f"{checked['table']}\n\nOther policies that are wrong in at most 5 % of every healthy scenario: {peers}. "
        f"Not met, or not shown:\n\n{met_not}",
        "seeds": "\n\n".join(part for part in (checked["seeds"][0], _listed(checked["seeds"][1:])) if part),
        "healthy": report.side_by_side(rows, ("same",)),
        "tolerated": report.side_by_side(rows, ("tolerated",)),
        "harmful": report.side_by_side(rows, ("worse",)),
        "ours": report.markdown(ours),
        "rules": f"{switched_off(rules)}\n\n{noise(rules)}",
    }


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _write(page: Path, named: Mapping[str, str]) -> None:
    text = page.read_text()
    for name, content in named.items():
        block = f"<!-- gate: {name} -->\n{content}\n<!-- end -->"
        text, count = re.subn(rf"<!-- gate: {name} -->.*?<!-- end -->", lambda _, new=block: new, text, flags=re.DOTALL)  # type: ignore[misc]
        if count != 1:
            raise SystemExit(f"{page}: has {count} blocks named {name}; one would be right")
    page.write_text(text)


def switched_off(rows: Sequence[Row]) -> str:
    """One line per scenario, one column per rule that is off: P(abort), or bad requests."""
    found = {(row.scenario, row.policy): row for row in rows}
    lines = ["| scenario | " + " | ".join(OFF) + " |", "|---|" + "---:|" * len(OFF)]
    for name in dict.fromkeys(row.scenario for row in rows):
        shipped = found[name, SHIPPED]
        lines.append(f"| {name} | " + " | ".join(_cell(shipped, found[name, variant]) for variant in OFF) + " |")
    return "\n".join(lines)


def _cell(shipped: Row, row: Row) -> str:
    told = report.count(row.bad.value) if row.truth == "worse" else report.percent(row.abort.value)
    return f"**{told}**" if differs(shipped, row) else told


def noise(rows: Sequence[Row]) -> str:
    """Which columns cannot be told from the shipped gate in any scenario."""
    shipped = {row.scenario: row for row in rows if row.policy == SHIPPED}
    same = [name for name in OFF if name != SHIPPED]
    same = [name for name in same if not any(differs(shipped[row.scenario], row) for row in rows if row.policy == name)]
    return f"Within the noise in every scenario: {', '.join(same) or 'none'}."


if __name__ == "__main__":
    main()
