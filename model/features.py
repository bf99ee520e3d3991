"""Raw columns in, model matrix out: the same function at training and at serving.

Rules. The matrix holds the raw columns in the schema's order, then the app's derived features; float64 throughout.
A categorical column becomes the rank of its value among the categories the training rows had. The encoder is strict:
a category that training never saw has no rank and raises `UnseenCategory`; guessing one would be a silent mistake.
Derived features see numbers as they are and texts as ranks, and may use those derived before them. They use element-wise
arithmetic only: numpy's sums may round differently for one row than for many, and a served prediction equals the training
side's bit for bit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.table import Column, Table, Value

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]
Ranks: TypeAlias = Mapping[str, Mapping[Value, float]]


@dataclass(frozen=True)
class Feature:
    """One derived feature. harm: +1 or -1 where the prediction may only rise or fall with it, 0 where it may do either."""

    name: str
    unit: str
    formula: str
    compute: Callable[[Mapping[str, Vector]], Vector]
    low: float = -inf
    high: float = inf
    harm: int = 0


class UnseenCategory(Exception):
    """A value that the schema allows and this version's training rows did not have: the model's fault."""


def fit_encoder(table: Table, columns: Sequence[Column]) -> dict[str, list[Value]]:
    """The categories each categorical column takes in `table`, sorted; this is what an artifact stores."""
    return {c.name: sorted(set(table[c.name]), key=_order) for c in columns if c.categories}


def ranks(categories: Mapping[str, Sequence[Value]]) -> dict[str, dict[Value, float]]:
    """The look-up table of an encoder: column -> category -> rank, from 0."""
    return {name: {value: float(rank) for rank, value in enumerate(seen)} for name, seen in categories.items()}


def matrix(table: Table, columns: Sequence[Column], encoder: Ranks, features: Sequence[Feature]) -> Matrix:
    """The model matrix of a checked table; shape (rows, len(columns) + len(features))."""
    raw = {c.name: _numbers(c.name, table[c.name], encoder) for c in columns}
    seen = {c.name: raw[c.name] if c.datatype == "BYTES" else np.array(table[c.name], dtype=np.float64) for c in columns}
    return np.stack([*raw.values(), *derived(seen, features).values()], axis=1)


def derived(seen: Mapping[str, Vector], features: Sequence[Feature]) -> dict[str, Vector]:
    """The derived features by name, in order; `seen` are the raw columns as numbers."""
    known = dict(seen)
    for feature in features:
        known[feature.name] = np.asarray(feature.compute(known), dtype=np.float64)
    return {feature.name: known[feature.name] for feature in features}


def _numbers(name: str, values: Sequence[Value], encoder: Ranks) -> Vector:
    if name not in encoder:
        return np.array(values, dtype=np.float64)
    known = encoder[name]
    try:
        return np.array([known[value] for value in values], dtype=np.float64)
    except KeyError as error:
        seen = ", ".join(map(repr, known))
        raise UnseenCategory(
            f"{name} = {error.args[0]!r}: this version never saw that category in training, only {seen}"
        ) from error


def _order(value: Value) -> tuple[bool, float, str]:
    return (True, 0.0, value) if isinstance(value, str) else (False, float(value), "")
