"""`rollout backtest` on what Prometheus recorded: counters in, the controller's decisions out."""

from __future__ import annotations

import io
import json

import pytest

from rollout.backtest import Recorded, answers, recorded, replay
from rollout.cli import main
from rollout.picture import Album
from rollout.plan import Plan, Step
from rollout.prometheus import Reading
from rollout.release import Key
from rollout.samples import Series

KEY = Key("prod", "credit")
BEGIN = 18_000.0
PLAN = Plan(steps=(Step(5, 600.0), Step(100, 0.0)))
WHAT = Recorded(KEY, "7", "8", BEGIN, BEGIN + 1800)


def counters(errors):
    """Stable 7 at 20 requests/s and, from BEGIN + 60 on, canary 8 at 1/s, failing `errors` in a batch of 15 s."""

    def of(arm, version, kind, start, step):
        samples = [(float(t), float(max(0, (t - start) // 15 * step))) for t in range(15_000, 19_801, 15) if t >= start]
        return Series(arm, version, kind, (("code", kind),), samples)

    return [
        of("stable", "7", "other", 15_000, 300),
        of("stable", "7", "error", 15_000, 0),
        of("canary", "8", "other", 18_060, 15 - errors),
        of("canary", "8", "error", 18_060, errors),
        of("canary", "6", "error", 15_000, 15),
    ]


def told(errors):
    batches = recorded([(15_000.0, BEGIN + 1800, {KEY: counters(errors)})], WHAT, BEGIN)
    return [answer for _, answer in answers(PLAN, batches, BEGIN, "prod/credit")]


def test_a_good_canary_is_completed_after_its_dwell():
    last = next(one for one in told(0) if one["decision"] == "complete")
    assert last["t"] == 600
    assert last["time"] == BEGIN + 60 + 600
    assert last["evidence"]["canary"] == {"requests": 600, "errors": 0}
    assert "10 min at 5 % are over" in last["reason"]


def test_a_bad_one_is_aborted():
    last = next(one for one in told(5) if one["decision"] == "abort")
    assert last["t"] <= 120
    assert "harm e-value" in last["reason"]


class Kept:
    """What `replay` asks of Prometheus, from samples that are at hand."""

    def __init__(self, found):
        self.found = found

    def read(self, keys, budgets, after, until, width):
        yield Reading(after, until, {key: self.found for key in keys})


def test_a_recorded_range_is_answered_and_drawn(tmp_path):
    plan, picture, out = tmp_path / "rollout.yaml", tmp_path / "walk.svg", io.StringIO()
    plan.write_text(
        "apiVersion: rollout/v1\nkind: Plan\nmetadata: {name: credit}\n"
        "spec:\n  steps:\n    - {canary: 5, dwell: 10m}\n    - {canary: 100}\n"
    )
    assert replay(plan, Kept(counters(5)), WHAT, out, Album(picture)) == 0
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert answers == told(5)
    ended = next(one for one in answers if one["decision"] == "abort")
    assert f"prod/credit: abort after {ended['t'] / 60:.1f} min" in picture.read_text()


def test_what_belongs_together_is_asked_for_together(tmp_path, capsys):
    path = tmp_path / "rollout.yaml"
    path.write_text("")
    assert main(["backtest", "--plan", str(path), "--release", "prod/credit"]) == 2
    told = "rollout: --prometheus: is missing; --prometheus, --release, --stable, --canary, --from and --to go together\n"
    assert capsys.readouterr() == ("", told)


def test_a_time_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["backtest", "--plan", "p", "--from", "yesterday"])
    assert "'yesterday': a time such as 2026-11-21T15:00:00Z would be right" in capsys.readouterr().err
