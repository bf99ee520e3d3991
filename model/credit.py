"""The app `credit`: probability that a credit card client defaults next month, learned by LightGBM.

The data are 30 000 clients in Taiwan, April to September 2005 (Yeh & Lien 2009, DOI 10.24432/C55S3H), 22 % of whom
defaulted. Amounts are in New Taiwan dollars. PAY_0 is September's repayment status, PAY_6 April's; the source calls
the month after PAY_2 PAY_0, and so do we.
"""

from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np

from model import credit_source
from model.app import App, Data, Predict
from model.features import Matrix, Vector
from model.scores import auc, half
from model.table import Column

MONTHS = ("September", "August", "July", "June", "May", "April")
STATUS = tuple(range(-2, 10))  # -2 no use, -1 paid in full, 0 revolving, 1..9 months of delay
AMOUNT = 10_000_000

COLUMNS = (
    Column("LIMIT_BAL", "INT64", "credit limit, NT$", 1, AMOUNT),
    Column("SEX", "INT64", "1 male, 2 female", categories=(1, 2)),
    Column("EDUCATION", "INT64", "1 graduate school, 2 university, 3 high school, others", categories=tuple(range(7))),
    Column("MARRIAGE", "INT64", "1 married, 2 single, others", categories=(0, 1, 2, 3)),
    Column("AGE", "INT64", "years", 18, 120),
    *(
        Column(f"PAY_{number}", "INT64", f"repayment status in {month}", categories=STATUS)
        for number, month in zip((0, 2, 3, 4, 5, 6), MONTHS, strict=True)
    ),
    *(Column(f"BILL_AMT{number}", "INT64", f"bill of {month}, NT$", -AMOUNT, AMOUNT) for number, month in enumerate(MONTHS, 1)),
    *(Column(f"PAY_AMT{number}", "INT64", f"paid in {month}, NT$", 0, AMOUNT) for number, month in enumerate(MONTHS, 1)),
)
TARGET = Column("default.payment.next.month", "INT64", "1 defaulted, 0 did not", 0, 1)

# One thread and every source of randomness seeded: the same rows give the same bytes.
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def load(setting: str | None) -> Data:
    """The clients: from the CSV file that `setting` names, "generated", or (None) downloaded with a fallback."""
    table, origin = credit_source.load(setting, (*COLUMNS, TARGET))
    target = np.array(table[TARGET.name], dtype=np.float64)
    return Data({c.name: table[c.name] for c in COLUMNS}, target, origin)


def derive(raw: Mapping[str, Vector]) -> list[Vector]:
    """Two derived features: the share of the limit in use, and the share of August's bill paid in September."""
    used = raw["BILL_AMT1"] / raw["LIMIT_BAL"]
    paid = raw["PAY_AMT1"] / np.maximum(raw["BILL_AMT2"], 1.0)
    return [used, paid]


def fit(features: Matrix, target: Vector, seed: int, rounds: int) -> bytes:
    """Learn; the bytes of a LightGBM model file. `features` is (rows, 25), `target` 0 or 1."""
    booster = lightgbm.train({**PARAMETERS, "seed": seed}, lightgbm.Dataset(features, target), num_boost_round=rounds)
    text: str = booster.model_to_string()
    return text.encode()


def open_booster(content: bytes) -> Predict:
    """Probabilities from a LightGBM model file, one per row."""
    booster = lightgbm.Booster(model_str=content.decode())

    def predict(features: Matrix) -> Vector:
        return np.asarray(booster.predict(features, num_threads=1), dtype=np.float64)

    return predict


APP = App(
    name="credit",
    columns=COLUMNS,
    load=load,
    derive=derive,
    fit=fit,
    open=open_booster,
    file="model.bst",
    output="probability",
    metric="auc",
    score=auc,
    naive=half,
)
