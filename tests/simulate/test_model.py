"""The model gates' scenarios, their bounds by simulation, and the command."""

from __future__ import annotations

import json
from math import log

import numpy as np
import pytest

from rollout.cli import main
from rollout.errors import BadInput
from rollout.gate import labels, mirrored, predictions
from rollout.gate.labels import Arrived, Label, Prediction
from rollout.gate.mirrored import Compared
from rollout.gate.predictions import Predicted
from rollout.simulate import model_study
from rollout.simulate.command import read_model
from rollout.simulate.model_scenario import Labels, Mirrored, ModelScenario, Predictions, parse
from rollout.simulate.model_study import coins, nearest

HEAD = "apiVersion: rollout/v1\nkind: ModelScenarios\nscenarios:\n"


def one(text):
    return parse(f"{HEAD}  - {{name: a, truth: same, rate: 10, {text}}}\n", "m.yaml")[0]


def test_every_key_has_its_meaning():
    common = {"name": "a", "truth": "same", "rate": 10}
    assert one("predictions: {bins: [0.5, 0.5]}") == ModelScenario(
        **common,
        lasts=3600,
        batch=60,
        after=0,
        session=1,
        gate="predictions",
        what=Predictions((0.5, 0.5), None, None, None, 1.0),
    )
    found = one(
        "lasts: 2h, batch: 15s, after: 10m, session: 3, "
        "predictions: {bins: [0.5, 0.5], canary: [0, 1], becomes: [1, 0], jump: 20m, tolerated: 1.5}"
    )
    what = Predictions((0.5, 0.5), (0, 1), (1, 0), 1200, 1.5)
    assert found == ModelScenario(**common, lasts=7200, batch=15, after=600, session=3, gate="predictions", what=what)
    assert one("mirrored: {part: 0.1, disagree: 0.3, tolerated: 0.02}").what == Mirrored(0.1, 0.3, 0.02)
    assert one("labels: {wrong: 0.1}").what == Labels(1, 0.1, 0.1, None, 0, 1, 0, 1)
    every = "part: 0.5, wrong: 0.1, becomes: 0.2, canary: 0.3, delay: 5m, bad: 4, again: 0.1, tolerated: 2"
    assert one(f"labels: {{{every}}}").what == Labels(0.5, 0.1, 0.2, 0.3, 300, 4, 0.1, 2)


def test_the_published_scenarios_have_both_truths_of_every_gate():
    found = {(each.gate, each.truth) for each in read_model(None)}
    assert found == {(gate, truth) for gate in ("predictions", "mirrored", "labels") for truth in ("same", "worse")}


KNOWN = "known here: name, predictions, truth, rate, lasts, batch, after, session"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("session: 1", "predictions: one of predictions, mirrored, labels would be right"),
        ("mirrored: {}, labels: {}", "labels: one of predictions, mirrored, labels would be right"),
        ("predictions: {bins: [1, 0]}, sesion: 2", f"sesion: is not a known key; {KNOWN}"),
        ("predictions: {bins: [0.5, 0.4]}", "predictions.bins: is [0.5, 0.4]; they sum to 0.9; 1 would be right"),
        ("predictions: {bins: [.nan, 1]}", "predictions.bins: is [nan, 1]; a number from 0 to 1 would be right"),
        ("predictions: {bins: [1]}", "predictions.bins: is [1]; a list of two frequencies or more would be right"),
        ("predictions: {bins: [1, 0], canary: [1, 0, 0]}", "predictions.canary: has 3 bins; 2 as in bins would be right"),
        ("mirrored: {disagree: -1, tolerated: 0.1}", "mirrored.disagree: is -1; a number from 0 to 1 would be right"),
        (
            "mirrored: {disagree: 1, tolerated: 0.1, k: 1}",
            "mirrored.k: is not a known key; known here: part, disagree, tolerated",
        ),
        ("labels: {wrong: 0.1, canary: 2}", "labels.canary: is 2; a number from 0 to 1 would be right"),
        ("labels: {wrong: 0.1}, session: 0", "session: is 0; a whole number from 1 to 1000 would be right"),
        ("labels: {wrong: 0.1}, batch: 0s", "batch: is '0s'; a duration above 0 would be right"),
        ("labels: {wrong: 0.1}, lasts: 1m", "lasts: is 60 s; two batches of 60 s at least would be right"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(text, problem):
    with pytest.raises(BadInput) as error:
        one(text)
    assert str(error.value) == f"m.yaml: scenarios[0].{problem}"


def test_information_by_hand():
    assert coins(0.4, 0.2) == pytest.approx(0.4 * log(2) + 0.6 * log(0.75))
    assert coins(0.1, 0.2) == 0
    p_s, p_c = np.array([0.8, 0.2]), np.array([0.6, 0.4])
    assert nearest(p_c, p_s, 1.0) == pytest.approx(0.6 * log(0.75) + 0.4 * log(2))
    assert nearest(p_c, p_s, 1.5) == pytest.approx(0.6 * log(0.6 / 0.7) + 0.4 * log(0.4 / 0.3))
    assert nearest(p_c, p_s, 2.0) == 0


@pytest.mark.parametrize(
    "text",
    [
        "truth: worse, rate: 10, predictions: {bins: [0.9, 0.1], canary: [0.2, 0.8]}",
        "truth: worse, rate: 10, mirrored: {disagree: 0.5, tolerated: 0.02}",
        "truth: worse, rate: 10, labels: {wrong: 0.1, canary: 1}",
    ],
    ids=["predictions", "mirrored", "labels"],
)
def test_what_is_plain_is_found_within_minutes_by_no_more_than_the_bound_allows(text):
    scenario = parse(f"{HEAD}  - {{name: a, {text}}}\n", "m.yaml")[0]
    row = model_study.row(scenario, model_study.walks(scenario, 20, (1,)))
    assert row.alarm.value == 1
    assert row.minutes.high <= 8
    assert 0 < row.bound <= row.used.value
    assert row.efficiency == pytest.approx(row.bound / row.used.value)


def test_after_is_when_it_begins():
    scenario = parse(
        f"{HEAD}  - {{name: a, truth: worse, rate: 10, after: 20m, predictions: {{bins: [0.9, 0.1], canary: [0.2, 0.8]}}}}\n", "m"
    )[0]
    ended = model_study.walks(scenario, 20, (1,))
    assert min(each.at for each in ended) > 1200
    assert model_study.row(scenario, ended).minutes.high <= 8


RUNS = 6000


def test_predictions_like_stables_alarm_in_at_most_one_of_a_hundred():
    """Ville: with 6000 walks, a truth of 1.5 % would fail in 99 seeds of 100 (90 expected, standard deviation 9.4)."""
    rng, p, alarms = np.random.default_rng(5), (0.5, 0.3, 0.15, 0.05), 0
    for _ in range(RUNS):
        state = predictions.begin(4)
        stable, canary = rng.multinomial(60, p, 25).tolist(), rng.multinomial(40, p, 25).tolist()
        for s, c in zip(stable, canary, strict=True):
            state = predictions.observe(state, Predicted(60.0, 0, tuple(s), tuple(c)))
        alarms += state.value >= 100
    assert alarms <= 66


def test_tolerated_disagreement_alarms_in_at_most_one_of_a_hundred():
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(RUNS):
        state = mirrored.begin()
        for k in rng.binomial(200, 0.05, 40).tolist():
            state = mirrored.observe(state, Compared(60.0, 0, 200, k), 0.05)
        alarms += state.value >= 100
    assert alarms <= 66


def test_labels_like_stables_alarm_in_at_most_one_of_a_hundred():
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(RUNS):
        state, late = labels.begin(), ()
        arms, wrong = (rng.random((20, 16)) < 0.4).tolist(), (rng.random((20, 16)) < 0.3).tolist()
        for i in range(20):
            made = tuple(Prediction(f"{i}-{j}", canary, 0) for j, canary in enumerate(arms[i]))
            state = labels.observe(state, Arrived(60.0, 0, made, late))
            late = tuple(Label(f"{i}-{j}", int(bad)) for j, bad in enumerate(wrong[i]))
        alarms += state.value >= 100
    assert alarms <= 66


def test_the_command_prints_one_table_in_three_forms(tmp_path, capsys):
    path = tmp_path / "m.yaml"
    path.write_text(
        f"{HEAD}  - {{name: all in one bin, truth: worse, rate: 10, predictions: {{bins: [0.9, 0.1], canary: [0, 1]}}}}\n"
    )
    words = ["simulate", "--model", "--scenarios", str(path), "--runs", "8"]
    assert main([*words, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [(row["scenario"], row["gate"], row["alarm"]["value"]) for row in first] == [("all in one bin", "predictions", 1.0)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert main([*words, "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("| scenario | truth | alarm | used to the alarm | bound | efficiency |")
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("all in one bin ")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--policies", "ours"], "--policies: stands beside --model; one of them would be right"),
        (["--plot", "p.svg"], "--plot: stands beside --model; one of them would be right"),
        (["--runs", "0"], "--runs: is 0; a whole number of at least 1 would be right"),
        (["--scenarios", "no.yaml"], "--scenarios: no.yaml cannot be read: [Errno 2] No such file or directory: 'no.yaml'"),
    ],
)
def test_bad_words_print_one_line_and_nothing_half(words, problem, capsys):
    assert main(["simulate", "--model", *words]) == 2
    assert capsys.readouterr() == ("", f"rollout: {problem}\n")
