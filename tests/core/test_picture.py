"""`rollout backtest --plot`: what is drawn is what was answered, and a picture that cannot be made is refused before any work."""

from __future__ import annotations

import json
import subprocess
import sys
from math import isnan
from pathlib import Path

import pytest

from rollout.cli import main
from rollout.picture import MOST, SHOWN, Moment, drawn

ROOT = Path(__file__).parents[2]
ROLLOUT = [sys.executable, "-m", "rollout.cli"]
PLAN = "apiVersion: rollout/v1\nkind: Plan\nmetadata: {name: credit}\nspec:\n  steps:\n"
STEPS = "    - {canary: 5, dwell: 5m}\n    - {canary: 100}\n"


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "rollout.yaml"
    path.write_text(PLAN + STEPS)
    return path


def line(k, canary_errors=0, run="a", **more):
    arms = {"stable": {"requests": 950, "errors": 9}, "canary": {"requests": 50, "errors": canary_errors}}
    return json.dumps({"run": run, "t": 15.0 * k, **arms, **more})


def backtest(plan, words, lines):
    """The command's exit code, its answers and what it said on standard error."""
    done = subprocess.run(
        [*ROLLOUT, "backtest", "--plan", plan, *words],
        input="\n".join(lines),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(one) for one in done.stdout.splitlines()], done.stderr


def text_of(picture):
    return picture.read_text().replace("\n", " ")


def test_a_walk_that_completes_is_drawn_with_its_thresholds_and_its_end(plan, tmp_path):
    picture = tmp_path / "walk.svg"
    code, answers, said = backtest(plan, ["--plot", picture], [line(k) for k in range(1, 31)])
    assert (code, said, answers[19]["decision"]) == (0, "", "complete")
    told = text_of(picture)
    for words in (
        "a: complete after 5.0 min",
        "safe, this step (safe from 20 on",
        "harm by errors (abort from 129 on",
        ">complete<",
    ):
        assert words in told
    assert ">abort<" not in told


def test_the_same_lines_make_the_same_bytes_and_the_same_answers_as_without_a_picture(plan, tmp_path):
    lines = [line(k, 8) for k in range(1, 10)]
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    assert backtest(plan, ["--plot", one], lines) == backtest(plan, ["--plot", two], lines) == backtest(plan, [], lines)
    assert one.read_bytes() == two.read_bytes()
    assert ">abort<" in text_of(one)


def test_a_png_is_one(plan, tmp_path):
    assert backtest(plan, ["--plot", tmp_path / "walk.png"], [line(1)])[0] == 0
    assert (tmp_path / "walk.png").read_bytes().startswith(b"\x89PNG")


def moment(t, decision, traffic, verdict="undecided", canary=(50, 1), **evidence):
    numbers = {"harm": 1.0, "ceiling": None, "latency": None, "share": 0.5, "safe": 1.0, **evidence}
    limits = {"harm_threshold": 129.0, "safe_threshold": 20.0, "share_threshold": 900.0}
    answer = {"t": t, "decision": decision, "traffic": traffic, "verdict": verdict, "reason": "r", "evidence": numbers | limits}
    return Moment((950, 19), canary, answer)


def test_shares_rates_e_values_and_decisions_stand_where_they_were():
    moments = [
        moment(30.0, "hold", 5, harm=3.0),
        moment(60.0, "advance", 25, safe=30.0, canary=None),
        moment(90.0, "hold", 25, verdict="no data", share=1e9),
        moment(120.0, "abort", 0, harm=200.0),
        moment(150.0, "abort", 0, harm=200.0),
    ]
    traffic, errors, evidence = drawn({"a": moments}, 5).axes
    had, plan = (one.get_data() for one in traffic.get_lines()[:2])
    assert [had[1][0], isnan(had[1][1])] == [5.0, True]
    assert (list(plan[0]), list(plan[1])) == ([0, 0.5, 1.0, 1.5, 2.0], [5, 5, 5, 25, 25])
    stable, canary = (one.get_data() for one in errors.get_lines()[:2])
    assert (list(stable[1]), list(canary[1])) == ([2.0] * 5, [2.0] * 5)
    lines = {str(one.get_label()).split(" (")[0]: list(one.get_data()[1]) for one in evidence.get_lines()}
    assert lines["harm by errors"] == [3.0, 1.0, 1.0, 200.0]
    assert lines["does not answer"] == [0.5, 0.5, SHOWN[1], 0.5]
    assert "over the ceiling" not in lines
    level = [one.get_ydata()[0] for one in evidence.get_lines() if one.get_linestyle() == "--"]
    assert level == [129.0, 900.0, 20.0]
    assert [(note.get_text(), note.xy[0]) for note in traffic.texts] == [("advance to 25 %", 1.0), ("abort", 2.0)]
    assert [(patch.get_x(), patch.get_width()) for patch in traffic.patches] == [(1.0, 0.5)]


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("walk.gif", "walk.gif does not end in .svg or .png, which would be right"),
        ("walk", "walk does not end in .svg or .png, which would be right"),
        ("nowhere/walk.svg", "nowhere/walk.svg cannot be written: No such file or directory"),
        ("folder.svg", "folder.svg cannot be written: Is a directory"),
    ],
)
@pytest.mark.parametrize("command", ["backtest", "simulate"])
def test_a_picture_that_cannot_be_is_refused_before_anything_is_printed(place, problem, command, plan, tmp_path, capsys):
    (tmp_path / "folder.svg").mkdir()
    words = ["backtest", "--plan", str(plan)] if command == "backtest" else ["simulate", "--runs", "1"]
    assert main([*words, "--plot", str(tmp_path / place)]) == 2
    assert capsys.readouterr() == ("", f"rollout: --plot: {tmp_path}/{problem}\n")


def test_without_matplotlib_one_is_told_how_to_get_it(plan, tmp_path):
    without = "import sys; sys.modules['matplotlib'] = None; from rollout.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", without, "backtest", "--plan", plan, "--plot", tmp_path / "walk.svg"]
    done = subprocess.run(words, input=line(1), capture_output=True, text=True, cwd=ROOT, check=False)
    told = "rollout: --plot: needs matplotlib, which the controller does not: pip install 'rollout[simulate]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([line(2), line(1)], "standard input: line 2: t: is 15.0; more than the run's last, 30.0, would be right"),
        ([], "--plot: there is no batch to draw"),
        ([line(1, run=str(k)) for k in range(MOST + 1)], (
            "standard input: line 7: run: is '6', the 7th; with --plot 6 runs at most would be right"
        )),
    ],
    ids=["time goes backwards", "nothing", "too many"],
)  # fmt: skip
def test_bad_lines_leave_no_picture(lines, problem, plan, tmp_path):
    picture = tmp_path / "walk.svg"
    code, _, said = backtest(plan, ["--plot", picture], lines)
    assert (code, said) == (2, f"rollout: {problem}\n")
    assert not picture.exists()


def test_from_after_to_is_refused_and_leaves_no_picture(plan, tmp_path, capsys):
    picture = tmp_path / "walk.svg"
    words = ["--prometheus", "http://127.0.0.1:9", "--release", "prod/credit", "--stable", "1", "--canary", "2"]
    times = ["--from", "2026-11-21T16:00:00Z", "--to", "2026-11-21T15:00:00Z"]
    assert main(["backtest", "--plan", str(plan), *words, *times, "--plot", str(picture)]) == 2
    assert capsys.readouterr() == ("", "rollout: --to: is not after --from by 15 s; a later time would be right\n")
    assert not picture.exists()
