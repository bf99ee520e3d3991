"""The pull request's text: what a reviewer needs to say yes, from values that others made.

What changes, and where it was made; what the gates say; old against new with intervals; what will happen on merge, how many
requests that needs and how long it takes at the traffic there is; what was vetoed; the whole change, in files and in manifests;
and how to go back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isinf, log

from model import card
from model.app import App, Data
from model.judge import Candidate, Stable
from rollout import propose
from rollout.decide import span
from rollout.gate.power import MONTH, Traffic
from rollout.gate.rules import SAFETY_GRID
from rollout.gate.sentence import percent
from rollout.plan import Plan, Step
from rollout.release import Key, ModelVersion

JUDGED = "### Gates"  # how `judged` begins
FIRST_FLOOR = 0.02  # rollout/gate/safety.py, rule 3
RATES = (1, 10, 100)  # requests per second, where nobody says how many there are


@dataclass(frozen=True)
class Proposal:
    """What is proposed, for which release, by which plan.

    diff: of the files; vetoes: of the app's versions, in any environment; manifests: what it does to each release, markdown;
    traffic: the release's own, where it could be asked; made: where the run and the card are, markdown links or words.
    """

    key: Key
    old: ModelVersion
    new: ModelVersion
    plan: Plan
    diff: str
    vetoes: Sequence[str]
    manifests: str = ""
    traffic: Traffic | None = None
    made: Sequence[str] = ()


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
        judged(data, champion, stable),
        f"Learned by {champion.name} from {len(data.target):,} {data.origin} rows of {app.period}, `{data.sha256}`.",
        f"Beside it: {'; '.join(runners)}.",
        *(["Where it was made: " + ", ".join(proposal.made) + "."] if proposal.made else []),
        "### What will happen\n\n" + walk(proposal.plan, proposal.traffic),
        f"In quarantine (vetoed), of this app's versions: {', '.join(proposal.vetoes) or 'none'}.",
        "### Going back\n\n" + back(key, new.version),
        "### The change\n\n" + (proposal.manifests.rstrip() or "Its manifests are not rendered here."),
        f"<details><summary>The release's files</summary>\n\n```diff\n{proposal.diff.rstrip()}\n```\n\n</details>",
        "<details><summary>Groups</summary>\n\n" + card.groups(champion) + "\n\n</details>",
    ]
    return "\n\n".join(blocks) + "\n"


def judged(data: Data, champion: Candidate, stable: Stable) -> str:
    """How the new version was judged: the gates, and the old one against it. The commit that proposes it says so too."""
    rows = f"### Old against new, on {len(data.target) // 5:,} held-out rows, with 95 % intervals"
    return f"{JUDGED}\n\n{card.verdicts(champion)}\n\n{rows}\n\n{card.figures(champion, stable)}"


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


def walk(plan: Plan, traffic: Traffic | None = None) -> str:
    """The plan as lines: each step, its least time, and the canary requests without an error that make it `safe`.

    Then how long it takes: at the traffic there is, or at some.
    """
    lines = [f"- canary at 0 %, warm for {minutes(plan.warm)}"]
    for place, step in enumerate(plan.steps[:-1]):
        floor = max(plan.gates.safety_floor, FIRST_FLOOR if place == 0 else 0.0)
        lines.append(f"- {_step(step, quiet(floor, plan.gates.safety_alpha), evidence=plan.evidence)}")
    least = sum(step.dwell for step in plan.steps) + plan.warm
    lines.append(f"- {plan.steps[-1].canary} %: it becomes stable; {minutes(least)} after the start at the earliest")
    if not plan.evidence:
        return "\n".join([*lines, "", "No requests are asked as evidence here: healthy for that long is enough."])
    return "\n".join([*lines, "", *_takes(plan, traffic)])


def _takes(plan: Plan, traffic: Traffic | None) -> list[str]:
    """How long the plan takes for a canary that is as good as stable."""
    if traffic is None:
        whole = {rate: f"{rate} requests/s: {_span(_whole(plan, Traffic(rate, 0.0)))}" for rate in RATES}
        return [f"If nothing fails, the whole takes, at {'; '.join(whole.values())}."]
    seen = f"At the {traffic.rate:.3g} requests/s of the last half hour, of which stable failed {percent(traffic.baseline)},"
    steps = (f"{step.canary} % {propose.told(plan.gates, traffic, step.canary, step.dwell)}" for step in plan.steps[:-1])
    return [
        f"{seen} the whole takes {_span(_whole(plan, traffic))} with 90 % probability, if the canary is as good as stable.",
        f"Within its dwell (times stable's errors, and the chance): {'; '.join(steps)}.",
        *(f"**Note:** {warning}." for warning in propose.warnings(plan, traffic)),
    ]


def _whole(plan: Plan, traffic: Traffic) -> float:
    """Seconds until the last step, each step as long as its dwell or as `safe` takes, whichever is longer."""
    safe = (propose.to_safe(plan.gates, traffic, step.canary, place) for place, step in enumerate(plan.steps[:-1]))
    return plan.warm + sum(max(step.dwell, needed) for step, needed in zip(plan.steps[:-1], safe, strict=True))


def _span(seconds: float) -> str:
    return "over a month" if isinf(seconds) or seconds > MONTH else span(seconds)


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
