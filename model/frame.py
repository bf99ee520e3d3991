"""Rows as Evidently sees them: one reading of the schema for the validation of rows and for drift.

A column with categories is categorical, any other numerical; what is not as the schema declares is out of the list or the range:

| a cell                                        | of a numerical column | of a categorical one |
|-----------------------------------------------|-----------------------|----------------------|
| allowed by the schema                         | its number            | its text             |
| empty                                         | missing               | missing              |
| a number out of range, or no category         | its number            | its text             |
| a text where a number belongs, half a person  | infinite              | its text, quoted     |
"""

import os
from collections.abc import Sequence
from math import inf, isfinite, nan
from typing import Any

from model.features import Vector
from model.table import Column, Table, Value

os.environ.setdefault("DO_NOT_TRACK", "1")  # Evidently's server counts its users; nothing here does


def frame(table: Table, columns: Sequence[Column]) -> Any:
    """Those of the columns that are there, as a pandas DataFrame."""
    import pandas as pd  # noqa: PLC0415  # serving needs it not

    there = [column for column in columns if column.name in table]
    cells = {column.name: [cell(column, value) for value in table[column.name]] for column in there}
    return pd.DataFrame({c.name: pd.Series(cells[c.name], dtype=object if c.categories else float) for c in there})


def cell(column: Column, value: Value) -> str | float | None:
    """One value as the table above says."""
    if column.categories:
        return None if value == "" else str(column.plain(value)) if column.allows(value) else repr(value)
    if value == "":
        return nan
    number = isinstance(value, int | float) and isfinite(value)
    return float(value) if number and (column.allows(value) or not column.low <= float(value) <= column.high) else inf


def dataset(table: Table, columns: Sequence[Column], **more: Sequence[float] | Vector) -> Any:
    """The same as Evidently's Dataset, with `more` numerical columns."""
    from evidently import DataDefinition, Dataset  # noqa: PLC0415  # ten seconds of imports

    seen = frame(table, columns).assign(**{name: list(values) for name, values in more.items()})
    kinds: dict[str, list[str]] = {"categorical": [], "numerical": [*more]}
    for column in columns:
        if column.name in seen:
            kinds["categorical" if column.categories else "numerical"].append(column.name)
    said = DataDefinition(categorical_columns=kinds["categorical"], numerical_columns=kinds["numerical"])
    return Dataset.from_pandas(seen, data_definition=said)
