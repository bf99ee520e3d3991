"""What is asked of a version against what it learned from, by Evidently: field by field of the schema, raw and derived.

The schema, the features' code and the reading of a cell are those of training and serving: frame.py, features.py, App.columns.
A field has drifted when its population stability index is LIMIT or more, the customary bound in credit scoring: the sum over
bins of (share now - share then) x log(share now / share then). Rows that the server would refuse are counted and left out.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.app import App, Data
from model.features import Vector, derived, fit_encoder, ranks
from model.frame import dataset
from model.table import BadInput, Column, Table, take

LIMIT = 0.2
FEWEST = 100  # rows; fewer say little about shares


@dataclass(frozen=True)
class Field:
    """One field's population stability index."""

    name: str
    index: float

    @property
    def drifted(self) -> bool:
        """Whether it moved too far."""
        return self.index >= LIMIT


@dataclass(frozen=True)
class Drift:
    """Every field, the most moved first; how many rows were compared, how many left out; Evidently's report as one html page."""

    fields: Sequence[Field]
    rows: int
    refused: int
    page: str


def drift(app: App, asked: Table, reference: Data, where: str) -> Drift:
    """Compare rows that were asked with the rows that a version learned from."""
    from evidently import Report, metrics  # noqa: PLC0415  # ten seconds of imports

    sound = _sound(app.columns, asked, where)
    if len(sound) < FEWEST:
        raise BadInput(f"{where}: {len(sound)} rows can be compared; at least {FEWEST} would be right")
    now, then = take(asked, sound, app.columns), reference.table
    names = [one["name"] for one in app.fields]
    with warnings.catch_warnings(action="ignore"):
        report = Report([metrics.ValueDrift(column=name, method="psi", threshold=LIMIT) for name in names])
        done = report.run(*(dataset(table, app.columns, **_derived(app, table)) for table in (now, then)))
    found = [Field(name, float(result.value)) for name, result in zip(names, done.metric_results.values(), strict=True)]
    refused = len(asked[app.columns[0].name]) - len(sound)
    return Drift(sorted(found, key=lambda one: -one.index), len(sound), refused, done.get_html_str(as_iframe=False))


def _sound(columns: Sequence[Column], asked: Table, where: str) -> list[int]:
    for column in columns:
        if column.name not in asked:
            raise BadInput(f"{where}: column {column.name} ({column.meaning}) is missing")
    count = len(asked[columns[0].name])
    return [row for row in range(count) if all(column.allows(asked[column.name][row]) for column in columns)]


def _derived(app: App, table: Table) -> dict[str, Vector]:
    known = ranks(fit_encoder(table, app.columns))
    texts = {c.name: [known[c.name][value] for value in table[c.name]] for c in app.columns if c.datatype == "BYTES"}
    seen = {c.name: np.array(texts.get(c.name, table[c.name]), dtype=np.float64) for c in app.columns}
    return derived(seen, app.features)
