"""What `rollout plan` proposes and what `rollout check` warns of: whole texts."""

from __future__ import annotations

from rollout.cli import main
from rollout.gate.power import Traffic
from rollout.plan import Gates, Plan, Step
from rollout.propose import measured, proposed, told, warnings
from rollout.release import Key
from rollout.samples import Series

HALVES = Plan(steps=(Step(5, 1800.0), Step(25, 1800.0), Step(100, 0.0)))
KEY = Key("prod", "credit")


def test_rich_traffic_is_walked_in_two_small_steps():
    assert proposed(Gates(), Traffic(60, 0.01)) == (
        "# 60 requests/s, of which stable fails 1.00 %\n"
        "steps:\n"
        "  - {canary: 5, dwell: 30m}  # finds 2 x 98 %, 5 x 100 %, 20 x 100 %\n"
        "  - {canary: 25, dwell: 30m}  # finds 2 x 100 %, 5 x 100 %, 20 x 100 %\n"
        "  - {canary: 100}\n"
    )


def test_poor_traffic_takes_half_of_it_and_is_told_what_stays_unseen():
    assert proposed(Gates(), Traffic(0.4, 0.002)) == (
        "# 0.4 requests/s, of which stable fails 0.20 %\n"
        "# to see a doubling of errors with 90 % would take 2.3 d at 50 %: these steps see what is large\n"
        "steps:\n"
        "  - {canary: 50, dwell: 240m}  # finds 2 x 2 %, 5 x 71 %, 20 x 100 %\n"
        "  - {canary: 100}\n"
    )
    assert "would take over a month at 50 %" in proposed(Gates(), Traffic(0.01, 0.002))


def test_a_warning_says_what_a_step_shows_and_what_would_show_it():
    assert warnings(HALVES, Traffic(10, 0.005)) == [
        "at 10 requests/s, 5 % for 30 min shows a doubling of errors with probability 4 %; to see it in 90 % take 4.3 h",
        "at 10 requests/s, 25 % for 30 min shows a doubling of errors with probability 35 %; to see it in 90 % take 68 min",
    ]
    assert warnings(Plan(steps=(Step(5, 1800.0), Step(100, 0.0))), Traffic(20, 0.008)) == [
        "at 20 requests/s, 5 % for 30 min shows a doubling of errors with probability 27 %; to see it in 90 % take 81 min or 20 %"
    ]
    assert warnings(HALVES, Traffic(0.01, 0.002))[0].endswith("probability below 1 %; no share shows it in a month")


def test_no_warning_where_a_doubling_shows_or_no_evidence_is_asked():
    assert warnings(HALVES, Traffic(60, 0.01)) == []
    assert warnings(Plan(steps=HALVES.steps, evidence=False), Traffic(1, 0.01)) == []
    assert warnings(HALVES, Traffic(10, 0.0)) == []


def test_measured_is_what_stable_of_the_running_version_did():
    def series(kind, samples, version="7"):
        return Series("stable", version, kind, (("code", kind),), samples)

    early = {KEY: [series("other", [(1000.0, 100.0), (1015.0, 130.0)]), series("other", [(1015.0, 9.0)], "6")]}
    late = {KEY: [series("other", [(1030.0, 160.0)])], Key("prod", "quiet"): [series("other", [(1030.0, 5.0)])]}
    versions = {KEY: "7", Key("prod", "quiet"): "7"}
    found = measured([(990.0, 1020.0, early), (1020.0, 1035.0, late)], versions, 1005.0, 1035.0, 15.0)
    assert found == {KEY: Traffic(2.0, 0.5 / 60)}
    failing = {KEY: [*early[KEY], series("error", [(1000.0, 0.0), (1015.0, 3.0)])]}
    assert measured([(990.0, 1035.0, failing)], versions, 1005.0, 1035.0, 15.0) == {KEY: Traffic(33 / 30, 3 / 33)}


def test_the_words_of_a_step():
    assert told(Gates(), Traffic(10, 0.005), 5, 1800) == "finds 2 x 4 %, 5 x 94 %, 20 x 100 %"


def test_rollout_plan_refuses_what_cannot_be(capsys):
    assert main(["plan", "--traffic", "0", "--baseline", "0.1"]) == 2
    assert main(["plan", "--traffic", "1", "--baseline", "nan"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "rollout: --traffic: is 0; a number above 0 and below 1e+06 would be right",
        "rollout: --baseline: is nan; a number above 0 and below 1 would be right",
    ]


def test_rollout_plan_proposes_or_judges_a_plan(tmp_path, capsys):
    assert main(["plan", "--traffic", "60", "--baseline", "0.01"]) == 0
    assert capsys.readouterr().out == proposed(Gates(), Traffic(60, 0.01))
    path = tmp_path / "rollout.yaml"
    path.write_text(
        "apiVersion: rollout/v1\nkind: Plan\nmetadata: {name: a}\nspec: {steps: [{canary: 5, dwell: 30m}, {canary: 100}]}\n"
    )
    assert main(["plan", "--traffic", "10", "--baseline", "0.005", "--plan", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("5 %: finds 2 x 4 %, 5 x 94 %, 20 x 100 %\nwarning: at 10 requests/s, 5 % for 30 min shows")
