"""Rows as requests of the V2 inference protocol: named inputs, one tensor of shape (rows, 1) per raw column."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from model.app import App
from model.table import Table


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
