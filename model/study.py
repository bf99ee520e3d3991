"""What was chosen by figures, and the figures again: `python -m model study credit`. Folds of the training rows only.

Three questions: what do the derived features add, which 22nd one adds most, and does anything that treats the classes unequally
help: weights, or rows dropped or repeated until they balance. The held-out rows are not looked at.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from model import calibrate, learners
from model.app import FOLDS, App, Data, split
from model.credit_features import BILLS, FEATURES, PAID, STATUS, Raw
from model.features import Feature, Matrix, Vector, derived, fit_encoder, matrix, ranks
from model.scores import auc
from model.table import take

ROUNDS = 150
SEEDS = (1, 2)
ADDED = "MONTHS_UNPAID"


def _spread(r: Raw) -> Vector:
    bills = [r[name] for name in BILLS]
    spread: Vector = np.max(bills, axis=0) - np.min(bills, axis=0)
    return spread / r["LIMIT_BAL"]


CANDIDATES = (
    *(feature for feature in FEATURES if feature.name == ADDED),
    Feature("BILL_SPREAD", "share", "(greatest - least bill) / LIMIT_BAL", _spread),
    Feature("MIN_PAY", "NT$", "least payment", lambda r: np.min([r[name] for name in PAID], axis=0)),
    Feature("MAX_PAY", "NT$", "greatest payment", lambda r: np.max([r[name] for name in PAID], axis=0)),
    Feature(
        "MAX_UTILIZATION", "share", "greatest bill / LIMIT_BAL", lambda r: np.max([r[n] for n in BILLS], axis=0) / r["LIMIT_BAL"]
    ),
    Feature("LIMIT_LEFT", "NT$", "LIMIT_BAL - BILL_AMT1", lambda r: r["LIMIT_BAL"] - r["BILL_AMT1"]),
    Feature("PAID_OF_LIMIT", "share", "TOTAL_PAY / LIMIT_BAL", lambda r: r["TOTAL_PAY"] / r["LIMIT_BAL"]),
    Feature("WORSENING", "months", "PAY_0 - PAY_2", lambda r: r["PAY_0"] - r["PAY_2"]),
    Feature("STATUS_SUM", "months", "sum of statuses", lambda r: np.sum([r[name] for name in STATUS], axis=0)),
)


def study(app: App, data: Data, tell: Callable[[str], None]) -> None:
    """Print the figures, a line each."""
    training = split(len(data.target))[0]
    rows, target = take(data.table, training, app.columns), data.target[training]
    encoder = ranks(fit_encoder(rows, app.columns))
    raw = {column.name: np.array(rows[column.name], dtype=np.float64) for column in app.columns}
    known = raw | derived(raw, app.features)
    twenty_one = [feature for feature in app.features if feature.name != ADDED]
    without = matrix(rows, app.columns, encoder, twenty_one)
    tell(f"{'raw columns alone':24} auc {_auc(app, without[:, : len(app.columns)], target)}")
    tell(f"{'with 21 features':24} auc {_auc(app, without, target)}")
    for one in CANDIDATES:
        tell(f"{'and ' + one.name:24} auc {_auc(app, np.column_stack([without, one.compute(known)]), target)}")
    whole = matrix(rows, app.columns, encoder, app.features)
    for name, weight, chosen in WAYS:
        outside = _outside(app, whole, target, SEEDS[0], {"scale_pos_weight": weight}, chosen)
        right = calibrate.calibrated(outside, calibrate.platt(target, outside))
        brier = f"{_brier(target, outside):.4f}, calibrated {_brier(target, right):.4f}"
        tell(f"{name:24} auc {auc(target, outside):.4f}, brier {brier}")


def _all(rows: Sequence[int], _: Vector) -> Sequence[int]:
    return rows


def _balanced(rows: Sequence[int], target: Vector, *, fewer: bool) -> Sequence[int]:
    random, own = np.random.default_rng(1), np.array(rows)
    ups, downs = own[target[own] == 1], own[target[own] == 0]
    if fewer:
        return sorted([*ups, *random.choice(downs, len(ups), replace=False)])
    return sorted([*downs, *random.choice(ups, len(downs))])


WAYS: tuple[tuple[str, float, Callable[[Sequence[int], Vector], Sequence[int]]], ...] = (
    ("classes as they are", 1.0, _all),
    ("weights of the square root", 1.88, _all),
    ("weights that balance", 3.52, _all),
    ("rows dropped to balance", 1.0, lambda rows, target: _balanced(rows, target, fewer=True)),
    ("rows repeated to balance", 1.0, lambda rows, target: _balanced(rows, target, fewer=False)),
)


def _auc(app: App, seen: Matrix, target: Vector) -> str:
    found = [auc(target, _outside(app, seen, target, seed, {}, _all)) for seed in SEEDS]
    return f"{sum(found) / len(found):.4f} ({', '.join(f'{one:.4f}' for one in found)})"


def _outside(
    app: App,
    seen: Matrix,
    target: Vector,
    seed: int,
    more: dict[str, Any],
    chosen: Callable[[Sequence[int], Vector], Sequence[int]],
) -> Vector:
    """What each fold's model predicts for the rows it did not see."""
    name = next(iter(app.learners))
    by, fold = learners.find(name, tuple(app.learners)), np.arange(len(target)) % FOLDS
    parameters = {key: value for key, value in app.learners[name].items() if not key.startswith("monotone")}
    outside = np.zeros(len(target))
    for one in range(FOLDS):
        learn = chosen(np.flatnonzero(fold != one).tolist(), target)
        content = by.fit(seen[learn], target[learn], {**parameters, **more}, seed, ROUNDS)
        outside[fold == one] = by.open(content)(seen[fold == one])
    return outside


def _brier(target: Vector, predicted: Vector) -> float:
    return float(((predicted - target) ** 2).mean())
