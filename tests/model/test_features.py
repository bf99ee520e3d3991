import numpy as np
import pytest

from model.features import Feature, UnseenCategory, fit_encoder, matrix, ranks
from model.scores import auc, mae, mae_of_median
from model.table import Column, take

COLOUR = Column("colour", "BYTES", "a colour", categories=("red", "green", "blue"))
DELAY = Column("delay", "INT64", "months", categories=(-2, -1, 0, 1))
AMOUNT = Column("amount", "FP64", "EUR", 0, 10)
TWICE = Feature("twice", "EUR", "amount x 2", lambda r: r["amount"] * 2)
FOUR_TIMES = Feature("four times", "EUR", "twice x 2", lambda r: r["twice"] * 2)
STATUS = Feature("status", "months", "the delay as it is, not its rank", lambda r: r["delay"])


def test_a_category_becomes_its_rank_and_features_see_numbers_as_they_are_and_features_before_them():
    columns = [DELAY, AMOUNT, COLOUR]
    table = {"delay": [1, -2, 0, -2], "amount": [0.5, 1, 2, 3], "colour": ["red", "blue", "red", "red"]}
    seen = fit_encoder(table, columns)
    assert seen == {"delay": [-2, 0, 1], "colour": ["blue", "red"]}
    features = matrix(table, columns, ranks(seen), [TWICE, FOUR_TIMES, STATUS])
    assert features.tolist() == [[2, 0.5, 1, 1, 2, 1], [0, 1, 0, 2, 4, -2], [1, 2, 1, 4, 8, 0], [0, 3, 1, 6, 12, -2]]


def test_a_category_that_training_never_saw_has_no_rank():
    encoder = ranks(fit_encoder({"delay": [-1, 0]}, [DELAY]))
    with pytest.raises(UnseenCategory) as error:
        matrix({"delay": [0, -2]}, [DELAY], encoder, [])
    assert str(error.value) == "delay = -2: this version never saw that category in training, only -1, 0"


def test_one_row_gives_the_same_features_and_prediction_as_many_to_the_last_bit(version):
    app, rows = version.model.app, version.rows
    together = matrix(rows, app.columns, version.model.encoder, app.features)
    predicted = version.model.predict(rows)
    for row in range(300):
        alone = take(rows, [row], app.columns)
        assert matrix(alone, app.columns, version.model.encoder, app.features).tobytes() == together[row].tobytes()
        assert version.model.predict(alone)[0] == predicted[row]


def test_auc_is_the_share_of_pairs_in_the_right_order():
    random = np.random.default_rng(1)
    target, predicted = random.integers(0, 2, 200).astype(float), random.integers(0, 20, 200) / 20
    ups, downs = predicted[target == 1][:, None], predicted[target == 0][None, :]
    assert auc(target, predicted) == pytest.approx((np.mean(ups > downs) + np.mean(ups == downs) / 2).item())


def test_mean_absolute_errors():
    target = np.array([0.0, 1.0, 5.0])
    assert mae(target, np.array([1.0, 1.0, 3.0])) == 1.0
    assert mae_of_median(target) == pytest.approx(5 / 3)
