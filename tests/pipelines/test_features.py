"""The step `features`: one Parquet table for both learners, and the same rows as training alone and a server compute."""

import json

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet as files

from model import artifact, credit_generated, parquet, savings, v2
from model.app import Data, featured, find, learn, open_model, train
from model.table import BadInput, check
from pipelines import steps


@pytest.fixture(scope="module")
def rows() -> dict[str, Data]:
    credit = find("credit")
    table = credit_generated.table(rows=2000)
    target = np.array(table[credit.target.name], float)
    return {
        "credit": Data({c.name: table[c.name] for c in credit.columns}, target, "generated"),
        "savings": savings.generate(rows=1500),
    }


@pytest.fixture(params=["credit", "savings"])
def made(request, rows, tmp_path):
    """An app, its rows, and what the step made of them."""
    steps.write_rows(rows[request.param], tmp_path / "rows.json")
    steps.features(request.param, tmp_path / "rows.json", tmp_path / "features.parquet")
    return find(request.param), rows[request.param], tmp_path / "features.parquet"


def test_the_file_names_its_rows_by_sha256_and_the_categories_of_the_schema(made):
    app, data, path = made
    said = parquet.named(path)
    assert (said["app"], said["schema"], said["origin"], said["sha256"]) == (app.name, app.schema, "generated", data.sha256)
    assert set(said["categories"]) == {column.name for column in app.columns if column.categories}
    table = files.read_table(path)
    assert table.column_names == [*(one["name"] for one in app.fields), "target", "held_out"]
    assert table.num_rows == len(data.target)
    assert sum(table["held_out"].to_pylist()) == len(data.target) // 5


@pytest.mark.parametrize("learner", ["lightgbm", "xgboost"])
def test_a_version_learned_from_the_file_is_byte_for_byte_what_training_alone_makes(made, learner):
    app, data, path = made
    alone = train(app, data, rounds=30, learner=learner)
    assert learn(app, parquet.read(path, app), rounds=30, learner=learner).files == alone.files


def test_a_server_computes_the_same_rows_from_requests_to_the_last_bit(made, tmp_path):
    app, data, path = made
    artifact.write(tmp_path / "version", train(app, data, rounds=5).files)
    model, seen = open_model(tmp_path / "version"), parquet.read(path, app).seen
    for row in range(200):
        sent = json.loads(json.dumps(v2.request(app, data.table, [row])))
        table = {tensor["name"]: tensor["data"] for tensor in sent["inputs"]}
        assert check(table, app.columns, "request") == 1
        assert model.matrix(table).tobytes() == seen[row].tobytes()


def test_the_file_is_read_back_as_the_features_that_were_written(made):
    app, data, path = made
    before, after = featured(app, data), parquet.read(path, app)
    assert (after.data.sha256, after.categories) == (before.data.sha256, before.categories)
    assert after.seen.tobytes() == before.seen.tobytes()
    assert (list(after.training), list(after.holdout)) == (list(before.training), list(before.holdout))


def test_a_file_whose_rows_were_changed_or_that_is_another_apps_or_none_at_all_is_refused(made, tmp_path):
    app, data, path = made
    other = find({"credit": "savings", "savings": "credit"}[app.name])
    with pytest.raises(BadInput, match=f"has the features of {app.name}, schema 2; must be of {other.name}, schema 2"):
        parquet.read(path, other)
    table = files.read_table(path)
    turned = table.set_column(table.column_names.index("target"), "target", pyarrow.array(data.target[::-1].copy()))
    files.write_table(turned, path)
    with pytest.raises(BadInput, match=f"sha256 of its rows is [0-9a-f]{{64}}; must be {data.sha256}, as its metadata says"):
        parquet.read(path, app)
    files.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(BadInput, match="is no features file"):
        parquet.named(path)
    with pytest.raises(BadInput, match="cannot be read"):
        parquet.named(tmp_path / "none.parquet")
