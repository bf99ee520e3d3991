"""What the two apps have in common: train, evaluate, predict, and the files of a version.

An app is a value (`App`): its raw columns, where its rows come from, its derived features and its learner. A learner
is two functions over the bytes of a model file, so the training side predicts from the very bytes that are served.

Rules. A fixed fifth of the rows is held out, the same for every version and seed: those rows play production. A version
may be trained on a slice (`keep`); it is evaluated on the held-out rows of that slice, as its author would. The encoder
learns its categories from all rows of the slice, held out or not: a vocabulary carries no labels.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from model import artifact
from model.features import Derive, Matrix, Ranks, Vector, fit_encoder, matrix, ranks
from model.table import BadInput, Column, Table, Value, check, take

NAMES = ("credit", "savings")
SELFTEST_ROWS = 8
HOLDOUT = 5  # one row in five
SPLIT_SEED = 20240101  # not a setting: every version shares the same held-out rows

Predict: TypeAlias = Callable[[Matrix], Vector]


@dataclass(frozen=True)
class Data:
    """Rows of an app with their targets; `origin` is "real" or "generated"."""

    table: Table
    target: Vector
    origin: str


@dataclass(frozen=True)
class App:
    """Everything that differs between apps."""

    name: str
    columns: tuple[Column, ...]
    load: Callable[[str | None], Data]  # the setting says where from; None = the app's own order
    derive: Derive
    fit: Callable[[Matrix, Vector, int, int], bytes]  # matrix, target, seed, rounds -> model file
    open: Callable[[bytes], Predict]
    file: str  # name of the model file, MLServer's convention
    output: str  # name of the predicted tensor
    metric: str
    score: Callable[[Vector, Vector], float]  # target, predictions
    naive: Callable[[Vector], float]  # target -> the score of knowing nothing
    rounds: int = 200


@dataclass(frozen=True)
class Trained:
    """A trained version: its files, and how it did on its own held-out rows."""

    files: Mapping[str, bytes]
    rows: int
    held_out: int
    value: float
    baseline: float


@dataclass(frozen=True)
class Model:
    """A version opened for predicting."""

    app: App
    encoder: Ranks
    predict_matrix: Predict

    def predict(self, table: Table, where: str = "request") -> Vector:
        """Raw columns in, one prediction per row out; raises BadInput or UnseenCategory."""
        check(table, self.app.columns, where)
        return self.predict_matrix(matrix(table, self.app.columns, self.encoder, self.app.derive))


def find(name: str) -> App:
    """The app of that name. Imported when asked for: a server of one needs not the other's library."""
    if name not in NAMES:
        raise BadInput(f"app {name!r} is unknown; must be one of {', '.join(NAMES)}")
    app: App = importlib.import_module(f"model.{name}").APP
    return app


def skip_unused_imports() -> None:
    """For processes of our own: tell the learners' libraries that scikit-learn and pandas are not there.

    They import both for wrappers that nothing here uses, which takes longer than all the rest of a start.
    """
    for unused in ("sklearn", "pandas"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]  # None is how Python spells "not importable"


def split(rows: int) -> tuple[list[int], list[int]]:
    """Row numbers to train on (four fifths) and to hold out (a fifth), each in one fixed random order."""
    order: list[int] = np.random.default_rng(SPLIT_SEED).permutation(rows).tolist()
    cut = rows // HOLDOUT
    return order[cut:], order[:cut]


def held_out(app: App, data: Data) -> dict[str, list[Value]]:
    """The held-out rows as a table, in random order: what production would send."""
    return take(data.table, split(len(data.target))[1], app.columns)


def train(app: App, data: Data, seed: int = 1, rounds: int | None = None, keep: Sequence[bool] | None = None) -> Trained:
    """Train a version on the kept rows and evaluate it on its own held-out rows."""
    training, holdout = ([r for r in part if keep is None or keep[r]] for part in split(len(data.target)))
    if len(set(data.target[training])) < 2 or len(set(data.target[holdout])) < 2:
        raise BadInput(
            f"{app.name}: {len(training)} rows to learn from and {len(holdout)} held out are too few, "
            "or all alike; must be more, with different targets"
        )
    categories = fit_encoder(take(data.table, training + holdout, app.columns), app.columns)
    encoder = ranks(categories)
    rows = take(data.table, training, app.columns)
    learned = app.fit(matrix(rows, app.columns, encoder, app.derive), data.target[training], seed, rounds or app.rounds)
    model = Model(app, encoder, app.open(learned))
    unseen = take(data.table, holdout, app.columns)
    predicted, actual = model.predict(unseen, "held-out rows"), data.target[holdout]
    few = {name: values[:SELFTEST_ROWS] for name, values in unseen.items()}
    files = {
        app.file: learned,
        artifact.SCHEMA: artifact.as_json({"app": app.name, "categories": categories, "data": data.origin}),
        artifact.SELFTEST: artifact.as_json({"inputs": few, "expected": predicted[:SELFTEST_ROWS].tolist()}),
    }
    return Trained(files, len(training), len(holdout), app.score(actual, predicted), app.naive(actual))


def open_model(folder: Path) -> Model:
    """Open a version's folder for predicting."""
    schema = artifact.read_json(folder, artifact.SCHEMA)
    app = find(schema["app"])
    return Model(app, ranks(schema["categories"]), app.open(artifact.read(folder, app.file)))


def selftest(folder: Path) -> tuple[dict[str, list[Value]], list[float]]:
    """The self-test of a version: rows, and what the training side predicted for them."""
    content: dict[str, Any] = artifact.read_json(folder, artifact.SELFTEST)
    return content["inputs"], content["expected"]
