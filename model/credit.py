"""The app `credit`: probability that a credit card client defaults next month, learned by LightGBM or
XGBoost.

The data are 30 000 clients in Taiwan, April to September 2005 (Yeh & Lien 2009, DOI 10.24432/C55S3H), 22 % of whom
defaulted. Amounts are in New Taiwan dollars. PAY_0 is September's repayment status, PAY_6 April's; the source calls
the month after PAY_2 PAY_0, and so do we.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from model import credit_source
from model.app import App, Data
from model.credit_features import FEATURES
from model.scores import auc, half
from model.table import Column, Table, Value

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
TARGET = Column("default.payment.next.month", "INT64", "1 defaulted, 0 did not", categories=(0, 1))

# What rises with a feature by the domain's word: a default is not made less likely by more months of delay.
HARM = [0] * len(COLUMNS) + [feature.harm for feature in FEATURES]

# Found by `python -m model tune credit` on the real data; no class weights: see `python -m model study credit`.
LEARNERS: dict[str, dict[str, Any]] = {
    "lightgbm": {
        "objective": "binary",
        "learning_rate": 0.04,
        "num_leaves": 16,
        "min_data_in_leaf": 135,
        "feature_fraction": 0.634,
        "bagging_fraction": 0.69,
        "bagging_freq": 1,
        "lambda_l2": 15.36,
        "monotone_constraints": HARM,
        "monotone_constraints_method": "advanced",
    },
    "xgboost": {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "learning_rate": 0.04,
        "max_depth": 4,
        "min_child_weight": 17,
        "colsample_bytree": 0.557,
        "subsample": 0.767,
        "lambda": 5.237,
        "monotone_constraints": tuple(HARM),
    },
}


def load(setting: str | None) -> Data:
    """The clients: from the CSV file that `setting` names, "generated", or (None) downloaded with a fallback."""
    table, origin = credit_source.load(setting, (*COLUMNS, TARGET))
    target = np.array(table[TARGET.name], dtype=np.float64)
    return Data({c.name: table[c.name] for c in COLUMNS}, target, origin)


def read(setting: str | None) -> tuple[Table, str, str]:
    """The clients as they are, where they are from, and their origin."""
    return credit_source.read(setting, (*COLUMNS, TARGET))


def _band(age: Value) -> str:
    return "under 30" if float(age) < 30 else "30 to 44" if float(age) < 45 else "45 and over"


SCHOOLS = {1: "graduate school", 2: "university", 3: "high school"}
GROUPS: dict[str, Callable[[Table], list[str]]] = {
    "sex": lambda table: ["male" if sex == 1 else "female" for sex in table["SEX"]],
    "age": lambda table: [_band(age) for age in table["AGE"]],
    "education": lambda table: [SCHOOLS.get(int(school), "others") for school in table["EDUCATION"]],
}

APP = App(
    name="credit",
    columns=COLUMNS,
    target=TARGET,
    features=FEATURES,
    schema=2,
    read=read,
    load=load,
    learners=LEARNERS,
    period="April to September 2005",
    limits="Clients of one bank in Taiwan in 2005: no figure carries over to others, and a prediction is no reason.",
    output="probability",
    metric="auc",
    score=auc,
    naive=half,
    groups=GROUPS,
)
