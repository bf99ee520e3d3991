"""What the two apps have in common: train, predict, and the files of a version.

An app is a value (`App`): its raw columns, where its rows come from, its derived features and how each learner is set. A
version is one learner's work on one app; which, its files say themselves.

Rules. A fixed fifth of the rows is held out, the same for every version and seed: those rows play production, and no choice is
made on them. A version may be trained on a slice (`keep`); it is evaluated on the held-out rows of that slice, as its author
would. The encoder learns its categories from all rows of the slice, held out or not: a vocabulary carries no labels.

Without a number of rounds the training rows are folded: each fold says, by early stopping, how many rounds were best for it;
their mean is taken. What the folds predict for the rows they did not see calibrates probabilities and sets the threshold above
which a case is flagged (the best F1 there).
"""

import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from model import artifact, calibrate, learners
from model.features import Feature, Matrix, Ranks, Vector, fit_encoder, matrix, ranks
from model.learners import Learner, Parameters, Predict
from model.scores import best_threshold
from model.table import BadInput, Column, Table, Value, check, take

NAMES = ("credit", "savings")
SELFTEST_ROWS = 8
HOLDOUT = 5  # one row in five
FOLDS = 4
SPLIT_SEED = 20240101  # not a setting: every version shares the same held-out rows


@dataclass(frozen=True)
class Data:
    """Rows of an app with their targets; `origin` is "real" or "generated"."""

    table: Table
    target: Vector
    origin: str

    @property
    def sha256(self) -> str:
        """What names these rows, in this order."""
        plain = {"table": {name: list(values) for name, values in self.table.items()}, "target": self.target.tolist()}
        return hashlib.sha256(artifact.as_json(plain)).hexdigest()


@dataclass(frozen=True)
class App:
    """Everything that differs between apps. schema: raised by whoever changes columns or features."""

    name: str
    columns: tuple[Column, ...]
    target: Column
    features: tuple[Feature, ...]
    schema: int
    read: Callable[[str | None], tuple[Table, str, str]]  # the setting says where from; the table, where from, its origin
    load: Callable[[str | None], Data]  # the same, checked
    learners: Mapping[str, Parameters]  # the first is what `train` uses unless told
    period: str  # of the rows, for people
    limits: str  # what a version must not be used for, for people
    output: str  # name of the predicted tensor
    metric: str
    score: Callable[[Vector, Vector], float]  # target, predictions
    naive: Callable[[Vector], float]  # target -> the score of knowing nothing
    groups: Mapping[str, Callable[[Table], list[str]]] = field(default_factory=dict)  # who must be served alike
    rounds: int = 200

    @property
    def probability(self) -> bool:
        """Whether a prediction is a probability; otherwise it is an amount."""
        return self.target.categories == (0, 1)

    @property
    def fields(self) -> list[dict[str, Any]]:
        """The schema, raw and derived, as training, serving and whoever watches for drift read it; a part of every version."""
        raw = [
            {
                "name": column.name,
                "kind": "raw",
                "type": column.datatype,
                **({"categories": list(column.categories)} if column.categories else {"low": column.low, "high": column.high}),
                "missing": "refused",
            }
            for column in self.columns
        ]
        return raw + [_field(feature) for feature in self.features]


def _field(feature: Feature) -> dict[str, Any]:
    bounds = {name: value for name, value in (("low", feature.low), ("high", feature.high)) if np.isfinite(value)}
    plain = {"name": feature.name, "kind": "derived", "type": "FP64", "unit": feature.unit, "formula": feature.formula}
    return {**plain, **bounds, "missing": "cannot be"}


@dataclass(frozen=True)
class Featured:
    """Rows with all that is learned from them, the same for every learner.

    categories: what each categorical column takes in these rows; seen: the model matrix, a line per row; training, holdout: row
    numbers, each in its fixed random order.
    """

    data: Data
    categories: Mapping[str, Sequence[Value]]
    seen: Matrix
    training: Sequence[int]
    holdout: Sequence[int]


@dataclass(frozen=True)
class Trained:
    """A trained version: its files, and how it did on its own held-out rows."""

    files: Mapping[str, bytes]
    rows: int
    held_out: int
    rounds: int
    value: float
    baseline: float


@dataclass(frozen=True)
class Model:
    """A version opened for predicting."""

    app: App
    learner: Learner
    content: bytes
    encoder: Ranks
    calibration: calibrate.Platt
    predict_matrix: Predict

    def predict(self, table: Table, where: str = "request") -> Vector:
        """Raw columns in, one prediction per row out; raises BadInput or UnseenCategory."""
        check(table, self.app.columns, where)
        return calibrate.calibrated(self.predict_matrix(self.matrix(table)), self.calibration)

    def matrix(self, table: Table) -> Matrix:
        """What the learner sees of a checked table."""
        return matrix(table, self.app.columns, self.encoder, self.app.features)


def find(name: str) -> App:
    """The app of that name."""
    if name not in NAMES:
        raise BadInput(f"app {name!r} is unknown; must be one of {', '.join(NAMES)}")
    app: App = importlib.import_module(f"model.{name}").APP
    return app


def skip_unused_imports(unused: Sequence[str] = ("sklearn", "pandas")) -> None:
    """For processes of our own: tell the learners' libraries that scikit-learn and pandas are not there.

    They import both for wrappers that nothing here uses, which takes longer than all the rest of a start.
    """
    for name in unused:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None is how Python spells "not importable"


def split(rows: int) -> tuple[list[int], list[int]]:
    """Row numbers to train on (four fifths) and to hold out (a fifth), each in one fixed random order."""
    order: list[int] = np.random.default_rng(SPLIT_SEED).permutation(rows).tolist()
    cut = rows // HOLDOUT
    return order[cut:], order[:cut]


def held_out(app: App, data: Data) -> dict[str, list[Value]]:
    """The held-out rows as a table, in random order: what production would send."""
    return take(data.table, split(len(data.target))[1], app.columns)


def featured(app: App, data: Data, keep: Sequence[bool] | None = None) -> Featured:
    """Compute the features of the kept rows (None: of all), split into those to learn from and those to hold out."""
    parts = [[row for row in part if keep is None or keep[row]] for part in split(len(data.target))]
    kept = sorted(parts[0] + parts[1])
    place = {row: number for number, row in enumerate(kept)}
    training, holdout = ([place[row] for row in part] for part in parts)
    mine = Data(take(data.table, kept, app.columns), data.target[kept], data.origin)
    if len(set(mine.target[training])) < 2 or len(set(mine.target[holdout])) < 2:
        raise BadInput(
            f"{app.name}: {len(training)} rows to learn from and {len(holdout)} held out are too few, "
            "or all alike; must be more, with different targets"
        )
    categories = fit_encoder(mine.table, app.columns)
    return Featured(mine, categories, matrix(mine.table, app.columns, ranks(categories), app.features), training, holdout)


def train(
    app: App,
    data: Data,
    seed: int = 1,
    rounds: int | None = None,
    keep: Sequence[bool] | None = None,
    learner: str = "",
    *,
    early: bool = False,
) -> Trained:
    """Train a version on the kept rows and evaluate it on its own held-out rows. early: let folds say the rounds."""
    return learn(app, featured(app, data, keep), seed, rounds, learner, early=early)


def learn(
    app: App, rows: Featured, seed: int = 1, rounds: int | None = None, learner: str = "", *, early: bool = False
) -> Trained:
    """The same from features that were computed before, by whatever step; the bytes are the same."""
    by = learners.find(learner or next(iter(app.learners)), tuple(app.learners))
    parameters, data = app.learners[by.name], rows.data
    seen, target = rows.seen[rows.training], data.target[rows.training]
    rounds, said = folded(by, seen, target, parameters, seed, app) if early else (rounds or app.rounds, {})
    learned = by.fit(seen, target, parameters, seed, rounds)
    schema = {
        "app": app.name,
        "categories": rows.categories,
        "data": data.origin,
        "fields": app.fields,
        "learner": by.name,
        "schema": app.schema,
        **said,
    }
    model = _opened(app, learned, schema)
    unseen = take(data.table, rows.holdout, app.columns)
    predicted, actual = model.predict(unseen, "held-out rows"), data.target[rows.holdout]
    few = {name: values[:SELFTEST_ROWS] for name, values in unseen.items()}
    files = {
        by.file: learned,
        artifact.SCHEMA: artifact.as_json(schema),
        artifact.SELFTEST: artifact.as_json({"inputs": few, "expected": predicted[:SELFTEST_ROWS].tolist()}),
    }
    score, naive = app.score(actual, predicted), app.naive(actual)
    return Trained(files, len(rows.training), len(rows.holdout), rounds, score, naive)


def folded(by: Learner, seen: Matrix, target: Vector, parameters: Parameters, seed: int, app: App) -> tuple[int, dict[str, Any]]:
    """How many rounds, and for probabilities what calibrates them and the threshold: from folds of the training rows."""
    fold = np.arange(len(target)) % FOLDS  # the rows are in random order already
    parts = [(fold != one, fold == one) for one in range(FOLDS)]
    stops = [by.stop((seen[a], target[a]), (seen[b], target[b]), parameters, seed) for a, b in parts]
    rounds = round(sum(stops) / FOLDS)
    if not app.probability:
        return rounds, {}
    outside = np.zeros(len(target))
    for learn, judge in parts:
        outside[judge] = by.open(by.fit(seen[learn], target[learn], parameters, seed, rounds))(seen[judge])
    slope, shift = calibrate.platt(target, outside)
    threshold = best_threshold(target, calibrate.calibrated(outside, (slope, shift)))
    return rounds, {"calibration": [slope, shift], "threshold": threshold}


def open_model(folder: Path) -> Model:
    """Open a version's folder for predicting; one whose columns or features are not this code's is refused."""
    schema = artifact.read_json(folder, artifact.SCHEMA)
    app = find(schema["app"])
    by = schema.get("learner", next(iter(app.learners)))
    if schema.get("fields") != app.fields:
        raise BadInput(
            f"{folder}: its columns and features are not this code's (its schema is {schema.get('schema', 1)}, "
            f"this code's {app.schema}); must be served by the image it was trained with"
        )
    return _opened(app, artifact.read(folder, learners.find(by, tuple(app.learners)).file), schema)


def _opened(app: App, content: bytes, schema: Mapping[str, Any]) -> Model:
    by = learners.find(schema["learner"], tuple(app.learners))
    slope, shift = schema.get("calibration", calibrate.NONE)
    return Model(app, by, content, ranks(schema["categories"]), (slope, shift), by.open(content))


def selftest(folder: Path) -> tuple[dict[str, list[Value]], list[float]]:
    """The self-test of a version: rows, and what the training side predicted for them."""
    content: dict[str, Any] = artifact.read_json(folder, artifact.SELFTEST)
    return content["inputs"], content["expected"]
