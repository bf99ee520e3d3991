"""How the learners' parameters were found: a seeded search within a budget, by Optuna, on folds of the training rows only.

`python -m model tune credit --learner xgboost --trials 30` prints what it tried last and best; a person puts the
best into the app's file. So a training run searches nothing: it takes what git says, and the same data give the same bytes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from model import learners
from model.app import FOLDS, App, Data, split
from model.features import fit_encoder, matrix, ranks
from model.table import take

# parameter -> what to suggest: (kind, lowest, highest)
SPACE: dict[str, dict[str, tuple[str, float, float]]] = {
    "lightgbm": {
        "num_leaves": ("int", 7, 40),
        "min_data_in_leaf": ("int", 40, 300),
        "feature_fraction": ("float", 0.2, 0.7),
        "bagging_fraction": ("float", 0.6, 1.0),
        "lambda_l2": ("log", 1, 50),
    },
    "xgboost": {
        "max_depth": ("int", 3, 6),
        "min_child_weight": ("int", 5, 60),
        "colsample_bytree": ("float", 0.2, 0.7),
        "subsample": ("float", 0.6, 1.0),
        "lambda": ("log", 1, 50),
    },
}


def tune(app: App, data: Data, learner: str, trials: int, seed: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Search for better parameters; return the best found. tell: called with one line per trial."""
    import optuna  # noqa: PLC0415  # only here: serving and training need it not

    by = learners.find(learner, tuple(app.learners))
    training = split(len(data.target))[0]
    rows = take(data.table, training, app.columns)
    seen, target = matrix(rows, app.columns, ranks(fit_encoder(rows, app.columns)), app.features), data.target[training]
    fold = np.arange(len(target)) % FOLDS

    def scored(trial: Any) -> float:
        chosen = {name: _suggest(trial, name, *space) for name, space in SPACE[learner].items()}
        outside = np.zeros(len(target))
        for one in range(FOLDS):
            learn, judge = fold != one, fold == one
            parts = (seen[learn], target[learn]), (seen[judge], target[judge])
            rounds = by.stop(*parts, {**app.learners[learner], **chosen}, seed)
            content = by.fit(*parts[0], {**app.learners[learner], **chosen}, seed, rounds)
            outside[judge] = by.open(content)(seen[judge])
        score = app.score(target, outside)
        tell(f"{app.metric} {score:.5f}  {chosen}")
        return score

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize" if app.probability else "minimize", sampler=optuna.samplers.TPESampler(seed=seed)
    )
    now = {name: app.learners[learner][name] for name in SPACE[learner] if name in app.learners[learner]}
    if len(now) == len(SPACE[learner]):
        study.enqueue_trial(now)  # what git says is tried first, and must be beaten
    study.optimize(scored, n_trials=trials)
    return dict(study.best_params)


def _suggest(trial: Any, name: str, kind: str, low: float, high: float) -> float:
    if kind == "int":
        return int(trial.suggest_int(name, int(low), int(high)))
    return round(float(trial.suggest_float(name, low, high, log=kind == "log")), 3)
