"""The learners: LightGBM and XGBoost behind the same four functions over the bytes of a model file.

The training side predicts from the very bytes that are served. One thread and every source of randomness seeded: the same
rows give the same bytes. A library is imported when its learner is asked for: a server of one needs not the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from model.features import Matrix, Vector
from model.table import BadInput

Predict: TypeAlias = Callable[[Matrix], Vector]
Parameters: TypeAlias = Mapping[str, Any]
MOST_ROUNDS = 2000
PATIENCE = 50  # rounds without a better score before early stopping gives up


@dataclass(frozen=True)
class Learner:
    """One library. file: the model file's name, by MLServer's convention.

    fit: matrix, target, parameters, seed, rounds -> the bytes of a model file.
    stop: the same for training and judging rows, without rounds -> how many rounds were best for the judging rows.
    open: bytes -> predictions, one per row. shap: bytes, matrix -> contributions, shape (rows, features), by TreeSHAP.
    """

    name: str
    file: str
    fit: Callable[[Matrix, Vector, Parameters, int, int], bytes]
    stop: Callable[[tuple[Matrix, Vector], tuple[Matrix, Vector], Parameters, int], int]
    open: Callable[[bytes], Predict]
    shap: Callable[[bytes, Matrix], Matrix]


def find(name: str, known: Sequence[str]) -> Learner:
    """The learner of that name."""
    if name not in known:
        raise BadInput(f"learner {name!r} is unknown; must be one of {', '.join(known)}")
    return {"lightgbm": _lightgbm, "xgboost": _xgboost}[name]()


def _lightgbm() -> Learner:
    import lightgbm  # noqa: PLC0415

    fixed = {"deterministic": True, "force_col_wise": True, "num_threads": 1, "verbosity": -1}

    def fit(features: Matrix, target: Vector, parameters: Parameters, seed: int, rounds: int) -> bytes:
        rows = lightgbm.Dataset(features, target)
        booster = lightgbm.train({**parameters, **fixed, "seed": seed}, rows, num_boost_round=rounds)
        return str(booster.model_to_string()).encode()

    def stop(learn: tuple[Matrix, Vector], judge: tuple[Matrix, Vector], parameters: Parameters, seed: int) -> int:
        rows = lightgbm.Dataset(*learn)
        booster = lightgbm.train(
            {**parameters, **fixed, "seed": seed},
            rows,
            num_boost_round=MOST_ROUNDS,
            valid_sets=[lightgbm.Dataset(*judge, reference=rows)],
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )
        return int(booster.best_iteration)

    def opened(content: bytes) -> Predict:
        booster = lightgbm.Booster(model_str=content.decode())
        return lambda features: np.asarray(booster.predict(features, num_threads=1), dtype=np.float64)

    def shap(content: bytes, features: Matrix) -> Matrix:
        booster = lightgbm.Booster(model_str=content.decode())
        return np.asarray(booster.predict(features, pred_contrib=True, num_threads=1), dtype=np.float64)[:, :-1]

    return Learner("lightgbm", "model.bst", fit, stop, opened, shap)


def _xgboost() -> Learner:
    import xgboost  # noqa: PLC0415

    fixed = {"tree_method": "hist", "nthread": 1}

    def fit(features: Matrix, target: Vector, parameters: Parameters, seed: int, rounds: int) -> bytes:
        rows = xgboost.DMatrix(features, target, nthread=1)
        booster = xgboost.train({**parameters, **fixed, "seed": seed}, rows, num_boost_round=rounds)
        return bytes(booster.save_raw("json"))

    def stop(learn: tuple[Matrix, Vector], judge: tuple[Matrix, Vector], parameters: Parameters, seed: int) -> int:
        booster = xgboost.train(
            {**parameters, **fixed, "seed": seed},
            xgboost.DMatrix(*learn, nthread=1),
            num_boost_round=MOST_ROUNDS,
            evals=[(xgboost.DMatrix(*judge, nthread=1), "judge")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        return int(booster.best_iteration) + 1

    def opened(content: bytes) -> Predict:
        booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(content))
        return lambda features: np.asarray(booster.inplace_predict(features, validate_features=False), dtype=np.float64)

    def shap(content: bytes, features: Matrix) -> Matrix:
        booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(content))
        rows = xgboost.DMatrix(features, nthread=1)
        return np.asarray(booster.predict(rows, pred_contribs=True), dtype=np.float64)[:, :-1]

    return Learner("xgboost", "model.json", fit, stop, opened, shap)
