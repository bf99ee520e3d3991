"""What production is asked, against what a version learned from: by the same schema and the same features."""

import json

import pytest

from model import savings, v2
from model.app import find, held_out
from model.table import BadInput, take
from pipelines import steps
from pipelines.cli import main

APP = find("savings")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    steps.write_rows(savings.generate(rows=3000), folder / "rows.json")
    steps.features("savings", folder / "rows.json", folder / "features.parquet")
    return folder / "features.parquet"


def asked(path, **changed):
    rows = {**held_out(APP, savings.generate(rows=3000)), **changed}
    path.write_text("\n".join(v2.lines(APP, rows, range(600))) + "\n")
    return path


def drift(capsys, path, reference, tmp_path) -> tuple[int, dict]:
    words = ["drift", "savings", str(path), "--reference", str(reference), "--out", str(tmp_path / "drift.html"), "--json"]
    code = main(words)
    return code, json.loads(capsys.readouterr().out)


def test_what_was_held_out_has_not_drifted_and_every_field_of_the_schema_is_compared(capsys, reference, tmp_path):
    code, found = drift(capsys, asked(tmp_path / "asked"), reference, tmp_path)
    assert (code, found["rows"], found["refused"], found["drifted"]) == (0, 600, 0, [])
    assert set(found["index"]) == {one["name"] for one in APP.fields}
    assert "<html" in (tmp_path / "drift.html").read_text()


def test_a_raw_field_that_moved_is_named_with_the_features_that_it_moves(capsys, reference, tmp_path):
    income = [value * 1.6 for value in held_out(APP, savings.generate(rows=3000))["income"]]
    code, found = drift(capsys, asked(tmp_path / "asked", income=income), reference, tmp_path)
    assert (code, set(found["drifted"])) == (1, {"income", "left", "spent_share", "per_head"})


def test_rows_that_break_the_schema_are_counted_and_left_out(capsys, reference, tmp_path):
    members = held_out(APP, savings.generate(rows=3000))["members"]
    code, found = drift(capsys, asked(tmp_path / "asked", members=[-1, "two", *members[2:]]), reference, tmp_path)
    assert (code, found["rows"], found["refused"]) == (0, 598, 2)


WRONG = {
    "too few": (lambda path: path.write_text("\n".join(path.read_text().splitlines()[:99])), "99 rows can be compared; "),
    "no JSON": (lambda path: path.write_text("rows\n"), "line 1: cannot be read (JSONDecodeError("),
    "no request": (lambda path: path.write_text('{"a": 1}\n'), "line 1: cannot be read (KeyError('inputs')); must be a request"),
    "not there": (lambda path: path.unlink(), "cannot be read ("),
}


@pytest.mark.parametrize(("spoil", "message"), WRONG.values(), ids=WRONG)
def test_requests_that_cannot_be_compared_exit_with_2_and_are_named(capsys, reference, tmp_path, spoil, message):
    path = asked(tmp_path / "asked")
    spoil(path)
    assert main(["drift", "savings", str(path), "--reference", str(reference)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path}: {message}")


def test_a_request_of_a_column_less_is_refused():
    rows = take(savings.generate(rows=10).table, [0], APP.columns)
    body = v2.request(APP, rows, [0])
    body["inputs"] = body["inputs"][1:]
    with pytest.raises(BadInput, match=r"^x: line 1: cannot be read \(KeyError\('work'\)\)"):
        v2.table_of(json.dumps(body), APP, "x")
