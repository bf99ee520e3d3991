"""Candidates and the stable version, judged on the same held-out rows: what gates.py and evaluate.py need, gathered.

The rows are those that every version has been kept from. A version that cannot answer a row, for a category that its training
never saw, is compared on the rows it can answer, and how many those are is said.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model import artifact, evaluate, gates
from model.app import App, Data, Model, held_out, open_model, split
from model.evaluate import Figure, Served
from model.features import Matrix, Vector
from model.gates import Verdict
from model.table import BadInput, Table, Value, take

TIMED = 300  # single predictions, after a few that are not counted
CONFIDENCE = 95


@dataclass(frozen=True)
class Candidate:
    """A version under judgement, with everything that was found."""

    name: str
    folder: Path
    sha256: str
    figures: Mapping[str, Figure]
    served: Served
    threshold: float | None
    milliseconds: float
    size: int
    verdicts: Sequence[Verdict]

    @property
    def sound(self) -> bool:
        """Whether no gate failed."""
        return all(verdict.outcome != "failed" for verdict in self.verdicts)


@dataclass(frozen=True)
class Stable:
    """The version to compare with, on the rows it can answer. model is None where it cannot answer here, and name says why."""

    name: str
    schema: Mapping[str, Any] | None = None
    model: Model | None = None
    figures: Mapping[str, Figure] | None = None


def stable_of(name: str, folder: Path | None, app: App, data: Data) -> Stable:
    """Open the stable version, or say why there is none."""
    if folder is None:
        return Stable(f"{name}, which is not to be had")
    schema = artifact.read_json(folder, artifact.SCHEMA)
    try:
        model = open_model(folder)
    except BadInput:
        return Stable(f"{name}, which has another schema", schema)
    table, target = _unseen(app, data)
    some = _answerable(model, table)
    left = int((~some).sum())
    figures = _figures(app, target[some], _predicted(model, table, some), _threshold(folder), evaluate.weights(int(some.sum())))
    said = f"{name} (which cannot answer {left} of them)" if left else name
    return Stable(said, schema, model, {name: evaluate.figure(values) for name, values in figures.items()})


def judged(name: str, folder: Path, app: App, data: Data, stable: Stable, limits: Mapping[str, float]) -> Candidate:
    """Judge one version on the held-out rows."""
    model, threshold = open_model(folder), _threshold(folder)
    table, target = _unseen(app, data)
    predicted = model.predict(table, "held-out rows")
    by = evaluate.weights(len(target))
    figures = {key: evaluate.figure(values) for key, values in _figures(app, target, predicted, threshold, by).items()}
    kinds = {kind: names(table) for kind, names in app.groups.items()}
    served = evaluate.served(target, predicted, threshold if app.probability else None, kinds, by)
    schema = artifact.read_json(folder, artifact.SCHEMA)
    facts = gates.Facts(
        figures=figures,
        gaps=served.gaps,
        worse=_worse(app, target, table, predicted, stable.model),
        stable=stable.name,
        milliseconds=_milliseconds(model, table),
        size=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        schema=schema["schema"],
        stable_schema=None if stable.schema is None else int(stable.schema.get("schema", 1)),
        same_fields=stable.schema is not None and schema["fields"] == stable.schema.get("fields"),
    )
    return Candidate(
        name,
        folder,
        artifact.digest(folder),
        figures,
        served,
        threshold,
        facts.milliseconds,
        facts.size,
        gates.judge(limits, facts),
    )


def _unseen(app: App, data: Data) -> tuple[dict[str, list[Value]], Vector]:
    return held_out(app, data), data.target[split(len(data.target))[1]]


def _threshold(folder: Path) -> float:
    return float(artifact.read_json(folder, artifact.SCHEMA).get("threshold", 0.5))


def _figures(app: App, target: Vector, predicted: Vector, threshold: float, by: Matrix) -> evaluate.Figures:
    if app.probability:
        return evaluate.probabilities(target, predicted, threshold, by)
    return evaluate.amounts(target, predicted, by)


def _answerable(model: Model, table: Table) -> evaluate.Mask:
    known = [[value in ranks for value in table[name]] for name, ranks in model.encoder.items()]
    some: evaluate.Mask = np.all(np.array(known, dtype=bool), axis=0)
    return some


def _predicted(model: Model, table: Table, some: evaluate.Mask) -> Vector:
    return model.predict(take(table, np.flatnonzero(some).tolist(), model.app.columns), "held-out rows")


def _worse(app: App, target: Vector, table: Table, predicted: Vector, stable: Model | None) -> tuple[float, float] | None:
    """By how much the new version is worse on the rows both answer, and the bound it is below with 95 % confidence."""
    if stable is None:
        return None
    some = _answerable(stable, table)
    by = evaluate.weights(int(some.sum()))
    new, old = (
        _score(app, target[some], one, by) for one in (predicted[some], _predicted(stable, table, some))
    )  # the same weights for both: paired
    worse = old - new if app.probability else new - old
    return float(worse[0]), float(np.percentile(worse[1:], CONFIDENCE))


def _score(app: App, target: Vector, predicted: Vector, by: Matrix) -> Vector:
    if app.probability:
        return evaluate.ranking(target, predicted, by)["auc"]
    return evaluate.amounts(target, predicted, by)["share"]


def _milliseconds(model: Model, table: Table) -> float:
    """What 99 of 100 single predictions stay within, from raw columns to the answer."""
    rows = [take(table, [row], model.app.columns) for row in range(min(TIMED, len(next(iter(table.values())))))]
    seconds = []
    for row in rows[:10] + rows:
        began = time.perf_counter()
        model.predict(row)
        seconds.append(time.perf_counter() - began)
    return float(np.percentile(seconds[10:], 99)) * 1000
