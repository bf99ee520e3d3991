"""The features of an app's rows as one Parquet file: what both learners read, and what new rows are compared with.

| column              | is                                                                                          |
|---------------------|---------------------------------------------------------------------------------------------|
| the raw columns     | as they came, in the schema's types and order                                               |
| the derived ones    | by the code that a server runs on a request, FP64                                           |
| target              | the outcome, FP64                                                                           |
| held_out            | whether no version may learn from the row                                                   |

The file's metadata, under the key `rows`, names the app, its schema's number, the rows by their sha256, where they are from, and
the categories by which texts and codes become ranks. A reader recomputes the sha256: rows that were changed are refused.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from model.app import App, Data, Featured, split
from model.features import matrix, ranks
from model.table import BadInput

KEY = b"rows"
TARGET, HELD_OUT = "target", "held_out"


def write(path: Path, app: App, rows: Featured) -> None:
    """Write the features of all rows of an app."""
    import pyarrow as arrow  # noqa: PLC0415  # serving needs no Parquet
    from pyarrow import parquet  # noqa: PLC0415

    kinds = {"INT64": arrow.int64(), "FP64": arrow.float64(), "BYTES": arrow.string()}
    derived = rows.seen[:, len(app.columns) :].T
    columns = {
        **{column.name: arrow.array(rows.data.table[column.name], kinds[column.datatype]) for column in app.columns},
        **{feature.name: arrow.array(values) for feature, values in zip(app.features, derived, strict=True)},
        TARGET: arrow.array(rows.data.target),
        HELD_OUT: arrow.array(np.isin(np.arange(len(rows.data.target)), rows.holdout)),
    }
    said = {
        "app": app.name,
        "schema": app.schema,
        "origin": rows.data.origin,
        "sha256": rows.data.sha256,
        "categories": rows.categories,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.table(columns).replace_schema_metadata({KEY: json.dumps(said, sort_keys=True)}), path)


def named(path: Path) -> dict[str, Any]:
    """What the file's metadata says; raises BadInput where it is no such file."""
    import pyarrow as arrow  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    try:
        said = parquet.read_schema(path).metadata or {}
        content: dict[str, Any] = json.loads(said[KEY])
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error}); must be a features file") from error
    except (arrow.ArrowInvalid, KeyError, ValueError) as error:
        raise BadInput(f"{path}: is no features file ({error}); must be what the step `features` wrote") from error
    return content


def read(path: Path, app: App) -> Featured:
    """Read the features of all rows, and verify that they are the rows that the metadata names."""
    from pyarrow import parquet  # noqa: PLC0415

    said = named(path)
    if (said["app"], said["schema"]) != (app.name, app.schema):
        of = f"{said['app']}, schema {said['schema']}"
        raise BadInput(f"{path}: has the features of {of}; must be of {app.name}, schema {app.schema}")
    table = parquet.read_table(path)
    raw = {column.name: table[column.name].to_pylist() for column in app.columns}
    data = Data(raw, np.array(table[TARGET], dtype=np.float64), said["origin"])
    if data.sha256 != said["sha256"]:
        raise BadInput(f"{path}: sha256 of its rows is {data.sha256}; must be {said['sha256']}, as its metadata says")
    derived = [np.array(table[feature.name], dtype=np.float64) for feature in app.features]
    seen = np.column_stack([matrix(raw, app.columns, ranks(said["categories"]), ()), *derived])
    return Featured(data, said["categories"], seen, *split(len(data.target)))
