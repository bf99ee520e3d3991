import numpy as np
import pytest

from model import calibrate, evaluate, scores


@pytest.fixture(scope="module")
def sample():
    random = np.random.default_rng(3)
    chance = random.beta(1, 3, 2000)
    return (random.random(2000) < chance).astype(float), np.round(chance, 2)


def test_the_values_are_those_of_the_plain_formulas(sample):
    target, predicted = sample
    found = evaluate.probabilities(target, predicted, 0.3, evaluate.weights(2000, 3))
    flagged = predicted >= 0.3
    hits = float((flagged * target).sum())
    assert found["auc"][0] == pytest.approx(scores.auc(target, predicted))
    assert found["recall"][0] == pytest.approx(hits / target.sum())
    assert found["precision"][0] == pytest.approx(hits / flagged.sum())
    assert found["accuracy"][0] == pytest.approx((flagged == target).mean())
    assert found["f1"][0] == pytest.approx(2 * hits / (flagged.sum() + target.sum()))
    assert found["brier"][0] == pytest.approx(((predicted - target) ** 2).mean())
    top = predicted >= np.quantile(predicted, 0.9)
    assert found["lift"][0] == pytest.approx(target[top].mean() / target.mean())
    steps = np.unique(predicted)
    apart = [abs((predicted[target == 1] >= s).mean() - (predicted[target == 0] >= s).mean()) for s in steps]
    assert found["ks"][0] == pytest.approx(max(apart))


def test_a_row_of_weights_counts_a_case_as_often_as_it_says(sample):
    target, predicted = sample
    times = np.random.default_rng(1).integers(0, 3, 2000)
    weighted = evaluate.probabilities(target, predicted, 0.3, np.array([times], float))
    repeated = evaluate.probabilities(np.repeat(target, times), np.repeat(predicted, times), 0.3, np.ones((1, times.sum())))
    for name in ("auc", "pr_auc", "ks", "accuracy", "precision", "recall", "f1", "brier", "bias"):
        assert weighted[name][0] == pytest.approx(repeated[name][0]), name


def test_perfect_and_useless_rankings():
    target = np.array([0.0, 0, 1, 1])
    perfect = evaluate.ranking(target, np.array([0.1, 0.2, 0.8, 0.9]), np.ones((1, 4)))
    assert [float(perfect[name][0]) for name in ("auc", "pr_auc", "ks")] == [1, 1, 1]
    useless = evaluate.ranking(target, np.full(4, 0.5), np.ones((1, 4)))
    assert [float(useless[name][0]) for name in ("auc", "pr_auc", "ks")] == [0.5, 0.5, 0]


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        target = (np.arange(400) < 200).astype(float)
        predicted = random.normal(size=400) + target  # its AUC is Phi(1 / sqrt 2) = 0.7602
        found = evaluate.figure(evaluate.ranking(target, predicted, evaluate.weights(400, 200))["auc"])
        held += found.low <= 0.7602 <= found.high
    assert 52 <= held <= 60


def test_groups_are_compared_where_they_are_large_enough_and_the_gap_is_between_the_extremes(sample):
    target, predicted = sample
    names = ["small"] * 100 + ["a", "b"] * 950
    found = evaluate.served(target, predicted, 0.3, {"kind": names}, evaluate.weights(2000, 50))
    recall = {g.name: g.score.value for g in found.groups}
    assert [(g.name, g.rows) for g in found.groups] == [("a", 950), ("b", 950), ("small", 100)]
    assert found.gaps["kind"].value == pytest.approx(abs(recall["a"] - recall["b"]))


def test_calibration_puts_right_what_weights_put_wrong(sample):
    target, predicted = sample
    wrong = np.clip(3 * predicted / (3 * predicted + 1 - predicted), 0.001, 0.999)
    right = calibrate.calibrated(wrong, calibrate.platt(target, wrong))
    by = np.ones((1, 2000))
    of = {
        name: evaluate.probabilities(target, one, 0.5, by)["calibration"][0] for name, one in (("wrong", wrong), ("right", right))
    }
    assert of["wrong"] > 0.15
    assert of["right"] < 0.03
    assert scores.auc(target, right) == scores.auc(target, wrong)
    assert calibrate.calibrated(wrong, calibrate.NONE) is wrong


def test_the_threshold_is_where_f1_is_best():
    target, predicted = np.array([0.0, 0, 1, 1, 1]), np.array([0.1, 0.35, 0.3, 0.6, 0.9])
    assert scores.best_threshold(target, predicted) == 0.11
    assert scores.best_threshold(target, np.array([0.1, 0.2, 0.4, 0.6, 0.9])) == 0.21
