import numpy as np
import pytest

from model import credit, credit_generated
from model.credit_features import FEATURES
from model.features import derived

NAMES = [column.name for column in credit.COLUMNS]
# limit 50 000, a woman of 37 with a university degree, married; statuses and amounts from September back to April
CLIENT = [50_000, 2, 2, 1, 37, 2, 0, -1, 3, 0, -2, 40_000, 30_000, 20_000, 10_000, 0, -500, 0, 1_500, 20_000, 0, 300, 200]
EXPECTED = {
    "LATE_PAYMENTS": 2,
    "MAX_DELAY": 3,
    "AVG_DELAY": 5 / 6,
    "SEVERE_DELAY": 2,
    "EVER_2MONTH_LATE": 1,
    "RECENT_DELAY_WEIGHTED": (6 * 2 + 3 * 3) / 21,
    "UTILIZATION": 0.8,
    "AVG_BILL_AMT": 99_500 / 6,
    "AVG_UTILIZATION": 99_500 / 6 / 50_000,
    "TOTAL_BILL": 99_500,
    "TOTAL_PAY": 22_000,
    "AVG_PAY_AMT": 22_000 / 6,
    "PAY_RATIO": 21_800 / 60_000,
    "RECENT_PAY_RATIO": 0,
    "BILL_TREND": 40_500 / 5 / 50_000,
    "PAY_TREND": -200 / 5 / 50_000,
    "INCREASING_DEBT": 1,
    "LIMIT_AGE": 50_000 / 37,
    "DELAY_UTIL": 2.4,
    "HIGH_EDUCATION": 1,
    "SINGLE": 0,
    "MONTHS_UNPAID": 1,
}


def test_every_formula_gives_what_a_person_computes_for_one_client():
    found = derived({name: np.array([value], float) for name, value in zip(NAMES, CLIENT, strict=True)}, FEATURES)
    assert list(found) == list(EXPECTED)
    assert {name: values[0] for name, values in found.items()} == pytest.approx(EXPECTED)


def test_a_client_who_was_never_billed_has_ratios_and_none_is_infinite():
    nobody = dict(zip(NAMES, [10_000, 1, 1, 2, 25, *[-2] * 6, *[0] * 6, *[5_000] * 6], strict=True))
    found = derived({name: np.array([value], float) for name, value in nobody.items()}, FEATURES)
    assert (found["PAY_RATIO"][0], found["RECENT_PAY_RATIO"][0], found["MONTHS_UNPAID"][0]) == (10, 10, 0)


def test_every_feature_stays_in_the_range_that_the_schema_says():
    table = credit_generated.table(rows=3000)
    found = derived({name: np.array(table[name], float) for name in NAMES}, FEATURES)
    for feature in FEATURES:
        assert feature.low <= found[feature.name].min(), feature.name
        assert found[feature.name].max() <= feature.high, feature.name


def test_the_schema_names_45_fields_and_each_has_a_policy_for_what_is_missing():
    fields = credit.APP.fields
    assert (len(fields), len({field["name"] for field in fields})) == (45, 45)
    assert {field["missing"] for field in fields[:23]} == {"refused"}
    assert {field["missing"] for field in fields[23:]} == {"cannot be"}


def test_the_prediction_never_falls_when_a_delay_feature_rises(credit_version):
    rows = credit_version.model.matrix(credit_version.rows)[:300]
    for place, feature in enumerate(FEATURES, len(NAMES)):
        if feature.harm:
            more = rows.copy()
            more[:, place] += 1
            assert (credit_version.model.predict_matrix(more) >= credit_version.model.predict_matrix(rows)).all(), feature.name
