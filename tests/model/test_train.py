import json
from dataclasses import replace

import numpy as np
import pytest

from model import artifact, credit, credit_generated, savings
from model.app import Data, find, held_out, open_model, split, train
from model.features import UnseenCategory
from model.keep import kept
from model.table import BadInput, check, take


@pytest.mark.parametrize("name", ["credit", "savings"])
def test_training_twice_on_the_same_data_gives_the_same_bytes(name, request, tmp_path):
    data: Data = request.getfixturevalue(f"{name}_data")
    for folder in ("one", "two"):
        artifact.write(tmp_path / folder, train(find(name), data, rounds=20).files)
    assert artifact.listing(tmp_path / "one") == artifact.listing(tmp_path / "two")
    artifact.write(tmp_path / "two", train(find(name), data, seed=2, rounds=20).files)
    assert artifact.digest(tmp_path / "one") != artifact.digest(tmp_path / "two")


@pytest.mark.parametrize("learner", ["lightgbm", "xgboost"])
def test_early_stopping_and_calibration_give_the_same_bytes_too_and_probabilities_that_mean_what_they_say(learner, credit_data):
    one, two = (train(credit.APP, credit_data, learner=learner, early=True) for _ in range(2))
    assert one.files == two.files
    schema = json.loads(one.files[artifact.SCHEMA])
    slope, shift = schema["calibration"]
    assert (abs(slope - 1) < 0.2, abs(shift) < 0.2, 0.15 < schema["threshold"] < 0.5) == (True, True, True)
    assert one.rounds < 600


def test_a_learner_that_is_unknown_is_refused(credit_data):
    with pytest.raises(BadInput) as error:
        train(credit.APP, credit_data, learner="catboost")
    assert str(error.value) == "learner 'catboost' is unknown; must be one of lightgbm, xgboost"


def test_a_version_of_another_schema_is_not_opened(credit_version, tmp_path):
    files = dict(credit_version.trained.files)
    schema = json.loads(files[artifact.SCHEMA])
    artifact.write(
        tmp_path, {**files, artifact.SCHEMA: artifact.as_json({**schema, "fields": schema["fields"][1:], "schema": 1})}
    )
    with pytest.raises(BadInput) as error:
        open_model(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: its columns and features are not this code's (its schema is 1, this code's 2); "
        "must be served by the image it was trained with"
    )


def test_the_held_out_fifth_is_the_same_for_every_version():
    training, holdout = split(1000)
    assert (len(training), len(holdout)) == (800, 200)
    assert sorted(training + holdout) == list(range(1000))
    assert split(1000) == (training, holdout)


def test_the_model_ranks_generated_clients_about_as_well_as_real_ones():
    trained = train(credit.APP, credit.load("generated"))
    assert 0.75 <= trained.value <= 0.8
    assert (trained.rows, trained.held_out, trained.baseline) == (24_000, 6_000, 0.5)


def test_generated_clients_are_like_the_real_ones_where_it_matters():
    table = {name: np.array(values) for name, values in credit_generated.table().items()}
    assert table["default.payment.next.month"].mean() == pytest.approx(0.2212, abs=0.0005)
    assert (table["PAY_0"] == -2).mean() == pytest.approx(0.092, abs=0.01)
    assert np.corrcoef(table["BILL_AMT1"], table["BILL_AMT2"])[0, 1] > 0.8
    assert np.corrcoef(table["PAY_AMT1"], table["BILL_AMT2"])[0, 1] > 0.2


@pytest.mark.parametrize("rows", [1, 7, 500])
def test_the_generator_keeps_to_the_schema_at_any_size(rows):
    table = credit_generated.table(rows, seed=rows)
    assert check(table, (*credit.COLUMNS, credit.TARGET), "generated") == rows


def test_savings_are_predicted_far_better_than_by_their_median(savings_version):
    assert savings_version.trained.value < savings_version.trained.baseline / 3


def test_offline_metrics_do_not_see_the_bad_version_but_a_tenth_of_production_does(credit_version, bad_credit_version):
    assert bad_credit_version.trained.value > credit_version.trained.value - 0.03
    rows, columns = bad_credit_version.rows, credit.COLUMNS
    failing = 0
    for row in range(len(rows["PAY_0"])):
        try:
            bad_credit_version.model.predict(take(rows, [row], columns))
        except UnseenCategory:
            failing += 1
            assert rows["PAY_0"][row] == -2
    assert failing == rows["PAY_0"].count(-2)
    assert 0.07 < failing / len(rows["PAY_0"]) < 0.12


def test_a_good_version_predicts_for_every_held_out_row(version):
    predicted = version.model.predict(version.rows)
    assert len(predicted) == len(next(iter(version.rows.values())))
    assert np.isfinite(predicted).all()


def test_savings_has_a_bad_version_too(savings_data):
    keep = kept("work != self-employed", savings_data.table, savings.COLUMNS)
    files = train(savings.APP, savings_data, rounds=20, keep=keep).files
    assert "self-employed" not in json.loads(files[artifact.SCHEMA])["categories"]["work"]
    assert 0.07 < 1 - np.mean(keep) < 0.15


KEEP = {
    "unequal": ("PAY_0 != -2", lambda r: r["PAY_0"] != -2),
    "equal": ("SEX == 1", lambda r: r["SEX"] == 1),
    "both": ("AGE>=30 and AGE < 40", lambda r: 30 <= r["AGE"] < 40),
    "above": ("LIMIT_BAL > 50000 and PAY_AMT1 <= 1000.0", lambda r: r["LIMIT_BAL"] > 50000 and r["PAY_AMT1"] <= 1000),
}


@pytest.mark.parametrize(("expression", "rule"), KEEP.values(), ids=KEEP)
def test_keep_means_what_it_says(credit_data, expression, rule):
    rows = [dict(zip(credit_data.table, row, strict=True)) for row in zip(*credit_data.table.values(), strict=True)]
    assert kept(expression, credit_data.table, credit.COLUMNS) == [rule(row) for row in rows]


def test_a_slice_too_thin_to_evaluate_is_refused(credit_data):
    few = replace(credit_data, target=credit_data.target[:4])
    with pytest.raises(BadInput) as error:
        train(credit.APP, few)
    assert str(error.value) == (
        "credit: 4 rows to learn from and 0 held out are too few, or all alike; must be more, with different targets"
    )


def test_the_real_data_give_the_auc_that_others_report(real_path):
    data = credit.load(str(real_path))
    trained = train(credit.APP, data)
    assert data.origin == "real"
    assert trained.value >= 0.75
    bad = train(credit.APP, data, keep=kept("PAY_0 != -2", data.table, credit.COLUMNS))
    assert bad.value > trained.value - 0.01
    pay = held_out(credit.APP, data)["PAY_0"]
    assert pay.count(-2) / len(pay) == pytest.approx(0.092, abs=0.01)
