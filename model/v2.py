"""Rows as requests of the V2 inference protocol: named inputs, one tensor of shape (rows, 1) per raw column."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from model.app import App
from model.table import BadInput, Table, Value


def request(app: App, table: Table, rows: Iterable[int]) -> dict[str, Any]:
    """The body of one inference request for these rows of the table."""
    chosen = list(rows)
    return {
        "inputs": [
            {
                "name": column.name,
                "shape": [len(chosen), 1],
                "datatype": column.datatype,
                "data": [table[column.name][row] for row in chosen],
            }
            for column in app.columns
        ]
    }


def lines(app: App, table: Table, rows: Sequence[int]) -> Iterable[str]:
    """One request per row, each as one line of JSON."""
    return (json.dumps(request(app, table, [row])) for row in rows)


def table_of(text: str, app: App, where: str) -> dict[str, list[Value]]:
    """Requests, one per line, as one table of the app's columns; raise BadInput for a line that is no such request."""
    table: dict[str, list[Value]] = {column.name: [] for column in app.columns}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            tensors = {tensor["name"]: tensor["data"] for tensor in json.loads(line)["inputs"]}
            rows = {name: list(tensors[name]) for name in table}
        except (ValueError, TypeError, KeyError) as error:
            right = "must be a request as `python -m model rows` prints them"
            raise BadInput(f"{where}: line {number}: cannot be read ({error!r}); {right}") from error
        if len({len(values) for values in rows.values()}) != 1:
            raise BadInput(f"{where}: line {number}: its columns have different numbers of rows")
        for name, values in rows.items():
            table[name] += values
    return table
