"""The app `savings`: what a household puts by in a month, EUR, from its income and spending; learned by XGBoost or
LightGBM.

The source system of this model published no data, so its rows come from a seeded generator and from nowhere else.
Recorded spending explains most of what is saved; irregular work, children and unrecorded cash explain the rest.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model.app import App, Data
from model.features import Feature, Vector
from model.scores import mae, mae_of_median
from model.table import BadInput, Column, Table, Value

WORK = ("employee", "civil servant", "self-employed", "retired", "student")
SPENDING = ("housing", "food", "transport", "health", "leisure", "other")
AMOUNT = 1_000_000
ROWS = 20_000
SEED = 2009

COLUMNS = (
    Column("work", "BYTES", "main earner's work", categories=WORK),
    Column("region", "BYTES", "where the household lives", categories=("city", "suburb", "country")),
    Column("members", "INT64", "people in the household", 1, 30),
    Column("income", "FP64", "net income of the month, EUR", 0, AMOUNT),
    *(Column(name, "FP64", f"spent on {name} in the month, EUR", 0, AMOUNT) for name in SPENDING),
)

TARGET = Column("saved", "FP64", "put by in the month, EUR", -AMOUNT, AMOUNT)

LEARNERS: dict[str, dict[str, Any]] = {
    "xgboost": {
        "objective": "reg:absoluteerror",
        "max_depth": 6,
        "learning_rate": 0.1,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
    },
    "lightgbm": {
        "objective": "regression_l1",
        "num_leaves": 31,
        "learning_rate": 0.1,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "feature_fraction": 0.8,
    },
}


def load(setting: str | None) -> Data:
    """The households: always generated, so `setting` can only be None or "generated"."""
    if setting not in (None, "generated"):
        raise BadInput(f"savings: data {setting!r} cannot be read; this app has generated rows only")
    return generate()


def read(setting: str | None) -> tuple[Table, str, str]:
    """The households with what they saved, where they are from, and their origin."""
    data = load(setting)
    return {**data.table, TARGET.name: data.target.tolist()}, "the generator", data.origin


def generate(rows: int = ROWS, seed: int = SEED) -> Data:
    """`rows` households and what they saved, EUR: the same for the same seed."""
    random = np.random.default_rng(seed)
    work = random.choice(len(WORK), rows, p=[0.56, 0.10, 0.11, 0.17, 0.06])
    region = random.choice(3, rows, p=[0.45, 0.30, 0.25])
    members = 1 + random.binomial(5, 0.25, rows)
    pay = np.array([2700.0, 3000.0, 3100.0, 2000.0, 1000.0])[work]
    income = pay * members**0.35 * random.lognormal(0, np.where(work == 2, 0.6, 0.3))
    shares = np.array([0.27, 0.14, 0.10, 0.04, 0.09, 0.10]) * np.array([1.2, 1.0, 0.85])[region][:, None]
    scale = np.array([0.1, 0.6, 0.3, 0.3, 0.1, 0.2])  # how much children add to each
    spent = income[:, None] ** 0.9 * 2.2 * shares * (1 + scale * (members - 1)[:, None] / 3)
    spent = spent * random.lognormal(0, 0.25, spent.shape)
    put_by = _put_by(random, work, members, income, spent.sum(axis=1))
    table: dict[str, list[Value]] = {
        "work": [WORK[i] for i in work],
        "region": [COLUMNS[1].categories[i] for i in region],
        "members": members.tolist(),
        "income": income.round(2).tolist(),
        **{name: spent[:, i].round(2).tolist() for i, name in enumerate(SPENDING)},
    }
    return Data(table, put_by.round(2), "generated")


def _put_by(random: np.random.Generator, work: Any, members: Any, income: Vector, spent: Vector) -> Vector:
    """EUR saved: what is left, less tax to come for the self-employed, cash unrecorded and a parent's surprises."""
    left = income - spent
    tax = np.where(work == 2, 0.18 * np.clip(income - 1200, 0, None), 0.0)
    cash = np.clip(left, 0, None) * np.where(work == 4, 0.5, 0.15) + 35.0 * (members - 1)
    saved: Vector = left - tax - cash + random.normal(0, 60, len(left))
    return saved


def _spent(raw: Mapping[str, Vector]) -> Vector:
    spent = raw["housing"]
    for name in SPENDING[1:]:  # one by one, in order: the same rounding for one row as for many
        spent = spent + raw[name]
    return spent


FEATURES = (
    Feature("left", "EUR", "income less all that was spent", lambda r: r["income"] - _spent(r)),
    Feature(
        "spent_share", "share", "all that was spent / income, at least 1", lambda r: _spent(r) / np.maximum(r["income"], 1.0)
    ),
    Feature("per_head", "EUR", "income / members", lambda r: r["income"] / r["members"], 0, AMOUNT),
)

APP = App(
    name="savings",
    columns=COLUMNS,
    target=TARGET,
    features=FEATURES,
    schema=2,
    read=read,
    load=load,
    learners=LEARNERS,
    period="one month",
    limits="Made for showing a second app in the house; it knows of no real household.",
    output="amount",
    metric="mae",
    score=mae,
    naive=mae_of_median,
    groups={"work": lambda table: [str(work) for work in table["work"]]},
)
