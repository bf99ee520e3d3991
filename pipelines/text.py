"""The pull request's text: what a reviewer needs to say yes, from values that others made.

What changes; what the gates say; old against new with intervals; what will happen on merge, how long it takes at the least and
how many requests it needs; the whole diff; and how to go back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from model import card
from model.app import App, Data
from model.judge import Candidate, Stable
from rollout.gate.rules import SAFETY_GRID
from rollout.plan import Plan, Step
from rollout.release import Key, ModelVersion

FIRST_FLOOR = 0.02  # rollout/gate/safety.py, rule 3


@dataclass(frozen=True)
class Proposal:
    """What is proposed, for which release, by which plan."""

    key: Key
    old: ModelVersion
    new: ModelVersion
    plan: Plan
    diff: str
    vetoes: Sequence[str]


def subject(key: Key, version: str) -> str:
    """The pull request's title, and its commit's first line."""
    return f"{key.app}({key.env}): start {version}"


def body(app: App, data: Data, champion: Candidate, others: Sequence[Candidate], stable: Stable, proposal: Proposal) -> str:
    """The pull request's text."""
    key, old, new = proposal.key, proposal.old, proposal.new
    runners = [
        f"{one.name}: {app.metric} {one.figures[app.metric]}, {'passed every gate' if one.sound else 'failed a gate'}"
        for one in others
    ]
    blocks = [
        lead(key, old.version, new.version),
        card.table(("", "version", "address", "sha256"), [_row("now", old), _row("wanted", new)]),
        "### Gates\n\n" + card.verdicts(champion),
        f"### Old against new, on {len(data.target) // 5:,} held-out rows, with 95 % intervals\n\n"
        + card.figures(champion, stable),
        f"Learned by {champion.name} from {data.origin} rows of {app.period}, `{data.sha256}`. Beside it {'; '.join(runners)}.",
        "### What will happen\n\n" + walk(proposal.plan),
        f"In quarantine (vetoed) in this release: {', '.join(proposal.vetoes) or 'nothing'}.",
        "### Going back\n\n" + back(key, new.version),
        f"<details><summary>The whole change</summary>\n\n```diff\n{proposal.diff.rstrip()}\n```\n\n</details>",
        "<details><summary>Groups</summary>\n\n" + card.groups(champion) + "\n\n</details>",
    ]
    return "\n\n".join(blocks) + "\n"


def _row(name: str, model: ModelVersion) -> tuple[str, str, str, str]:
    return name, model.version, f"`{model.model_uri}`", f"`{model.sha256[:16]}`"


def lead(key: Key, old: str, new: str) -> str:
    """What the merge does."""
    starts = f"On merge, canary {new} starts at 0 %; stable {old} keeps serving until {new} has shown itself."
    return f"**{key.app} in {key.env}: {old} -> {new}.** {starts}"


def back(key: Key, version: str) -> str:
    """How to go back, at any moment."""
    press = f"Press Revert on this pull request, at any moment, or `rollout rollback {key}`"
    return f"{press}: {version} is then vetoed until a person reopens it."


def walk(plan: Plan) -> str:
    """The plan as lines: each step, its least time, and the canary requests without an error that make it `safe`."""
    lines = [f"- canary at 0 %, warm for {minutes(plan.warm)}"]
    for place, step in enumerate(plan.steps[:-1]):
        floor = max(plan.gates.safety_floor, FIRST_FLOOR if place == 0 else 0.0)
        lines.append(f"- {_step(step, quiet(floor, plan.gates.safety_alpha), evidence=plan.evidence)}")
    least = sum(step.dwell for step in plan.steps) + plan.warm
    return "\n".join(
        [*lines, f"- {plan.steps[-1].canary} %: it becomes stable; {minutes(least)} after the start at the earliest"]
    )


def _step(step: Step, requests: int, *, evidence: bool) -> str:
    needs = (
        f", and until about {requests:,} canary requests went well ({requests * 100 // step.canary:,} in all)" if evidence else ""
    )
    return f"canary at {step.canary} % for {minutes(step.dwell)}{needs}"


def quiet(floor: float, alpha: float) -> int:
    """How many canary requests, none of which fails, it takes to call a canary safe: the gate's own mixture, solved."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        wealth = sum(exp(middle * (1 - a)) for a in SAFETY_GRID) / len(SAFETY_GRID)
        low, high = (low, middle) if log(wealth) > log(1 / alpha) else (middle, high)
    return round(high / floor)


def minutes(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds / 3600:g} h" if seconds >= 7200 else f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
