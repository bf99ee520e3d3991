"""A plan: its defaults, an environment's single fields, the step a percent belongs to, and its hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from rollout.plan import Gates, Hours, Plan, Step, parse
from tests.core.test_bad_input import PLAN

BERLIN = ZoneInfo("Europe/Berlin")
EVERYTHING = """\
  warm: 2m
  evidence: none
  gates:
    alpha: 0.02
    errors: {ratio: 1.5, ceiling: null}
    latency: {budget: 0.5s, ratio: 2}
    safety: {ratio: 3, floor: 0.01, alpha: 0.1}
  deadlines: {ready: 5m, verdict: 1d, then: abort}
  drain: 90s
  hours: {days: [fri, mon], from: "08:00", to: "18:30", timezone: Europe/Berlin}
"""
OVER = "apiVersion: rollout/v1\nkind: Plan\nmetadata: {name: dev}\nspec:\n"


def plain(plan: Plan) -> Plan:
    return replace(plan, digest="")


def test_steps_are_enough():
    steps = (Step(5, 1800.0), Step(25, 1800.0), Step(100, 0.0))
    assert plain(parse("credit", PLAN)) == Plan(steps=steps)


def test_every_field():
    assert plain(parse("credit", PLAN + EVERYTHING)) == Plan(
        steps=(Step(5, 1800.0), Step(25, 1800.0), Step(100, 0.0)),
        warm=120.0,
        evidence=False,
        gates=Gates(
            alpha=0.02, ratio=1.5, ceiling=None, latency_budget=0.5, latency_ratio=2.0, safety_ratio=3.0, safety_floor=0.01,
            safety_alpha=0.1,
        ),
        ready=300.0,
        verdict=86400.0,
        then="abort",
        drain=90.0,
        hours=Hours((0, 4), time(8), time(18, 30), BERLIN),
    )  # fmt: skip


def test_an_environment_overrides_single_fields_and_leaves_the_others():
    over = f"{OVER}  steps: [{{canary: 100}}]\n  gates: {{errors: {{ceiling: 0.1}}, alpha: 0.03}}\n  drain: 5s\n"
    found = parse("credit", PLAN + EVERYTHING, "dev", over)
    gates = replace(parse("credit", PLAN + EVERYTHING).gates, ceiling=0.1, alpha=0.03)
    wanted = replace(parse("credit", PLAN + EVERYTHING), steps=(Step(100, 0.0),), gates=gates, drain=5.0)
    assert plain(found) == plain(wanted)


def test_the_digest_names_the_content_and_not_the_spelling():
    plan = parse("credit", PLAN)
    assert plan.digest == parse("credit", f"# why\n{PLAN}  drain: 60s\n").digest
    assert plan.digest == parse("credit", PLAN, "dev", f"{OVER}  drain: 1m\n").digest
    assert plan.digest != parse("credit", f"{PLAN}  drain: 61s\n").digest
    assert len(plan.digest) == 12


def test_a_percent_between_two_steps_counts_as_the_lower_one():
    plan = parse("credit", PLAN)
    assert [plan.index(canary) for canary in (1, 5, 24, 25, 60)] == [0, 0, 0, 1, 1]
    assert [plan.next(canary) for canary in (0, 1, 5, 24, 25, 60, 100)] == [5, 5, 25, 25, 100, 100, 100]


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


OPENS = {
    "within": ("2026-11-20T10:00", "2026-11-20T10:00"),
    "on the dot": ("2026-11-20T08:00", "2026-11-20T08:00"),
    "before": ("2026-11-20T07:59", "2026-11-20T08:00"),
    "at the end": ("2026-11-20T18:30", "2026-11-23T08:00"),
    "on another day": ("2026-11-21T10:00", "2026-11-23T08:00"),
    "over a change of the clocks": ("2026-03-27T19:00", "2026-03-30T08:00"),
}


@pytest.mark.parametrize(("now", "opens"), OPENS.values(), ids=OPENS)
def test_hours_on_mondays_and_fridays(now, opens):
    hours = Hours((0, 4), time(8), time(18, 30), BERLIN)
    assert hours.opens(at(now)) == at(opens)


def test_an_only_day_that_is_over_comes_again_in_a_week():
    hours = Hours((0,), time(8), time(9), ZoneInfo("UTC"))
    evening, next_week = datetime(2026, 11, 23, 20, tzinfo=UTC), datetime(2026, 11, 30, 8, tzinfo=UTC)
    assert hours.opens(evening.timestamp()) == next_week.timestamp()


@pytest.mark.parametrize("env", ["dev", "staging", "prod"])
@pytest.mark.parametrize("app", ["credit", "savings"])
def test_the_plans_of_this_repository_are_read(app, env):
    root = Path(__file__).parents[2]
    over = root / f"overlays/{env}/common/rollout.yaml"
    plan = parse(app, (root / f"apps/{app}/rollout.yaml").read_text(), env, over.read_text() if over.exists() else None)
    assert {
        "dev": [Step(100, 0.0)],
        "staging": [Step(5, 300.0), Step(25, 300.0), Step(100, 0.0)],
        "prod": [Step(5, 1800.0), Step(25, 1800.0), Step(100, 0.0)],
    }[env] == list(plan.steps)
    assert plan.evidence is (env != "dev")
