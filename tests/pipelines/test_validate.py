"""Rows are checked by Evidently before anything is learned from them; its report is there whatever it says."""

import json
import math

import pytest

from model import savings
from model.app import Data, find
from model.frame import cell
from model.quarantine import sift
from model.table import BadInput, Column
from model.validate import validate
from pipelines import steps

from .conftest import write_csv

TARGET = "default.payment.next.month"
NO_REFERENCE = (None, "stable 1: nothing to compare with")


def checked(tmp_path, app="credit", setting=None, reference=NO_REFERENCE):
    """Ingest and validate; what was kept, what was put aside, and the report."""
    steps.ingest(app, setting, tmp_path / "raw.json")
    page, checks = tmp_path / "validation.html", tmp_path / "validation.json"
    data, aside = steps.validate(app, tmp_path / "raw.json", reference, tmp_path / "rows.json", page, checks)
    return data, aside, json.loads(checks.read_text())


def outcomes(report) -> dict:
    return {(one["check"], one["column"]): one["outcome"] for one in report["checks"]}


def test_sound_rows_pass_bad_ones_are_put_aside_and_counted_and_the_report_names_every_check(tmp_path):
    path = write_csv(tmp_path / "x.csv", 400, AGE={3: ""}, SEX={4: "?"}, ID={7: 6})
    data, aside, report = checked(tmp_path, setting=str(path))
    assert aside == {"ID: is there twice": 1, "SEX: is not one of 1, 2": 1, "AGE: is missing": 1}
    assert (len(data.target), report["rows"], report["outcome"], report["quarantined"]) == (397, 400, "passed", aside)
    assert report["quarantine"] == [
        {"row": 4, "reason": "AGE: is missing"},
        {"row": 5, "reason": "SEX: is not one of 1, 2"},
        {"row": 8, "reason": "ID: is there twice"},
    ]
    assert len(report["checks"]) == 2 * 24 + 2  # missing and declared of each column, duplicates, target
    assert {name for name, outcome in outcomes(report).items() if outcome != "passed"} == {("target", TARGET)}
    assert outcomes(report)["target", TARGET] == "not compared"
    assert "Duplicated row count" in (tmp_path / "validation.html").read_text()
    assert steps.read_rows(tmp_path / "rows.json").sha256 == data.sha256


def test_what_evidently_counts_as_missing_and_not_as_declared_is_what_the_quarantine_puts_aside(tmp_path):
    app = find("credit")
    wrong = {"AGE": {0: "", 1: "old", 2: 17, 3: 30.5}, "PAY_0": {4: "", 5: 17, 6: "late"}, TARGET: {7: 2, 8: ""}}
    steps.ingest("credit", str(write_csv(tmp_path / "x.csv", 400, **wrong)), tmp_path / "raw.json")
    table = json.loads((tmp_path / "raw.json").read_text())["table"]
    said = {(one.check, one.column): one.sentence for one in validate(app, table, None, "none").checks}
    assert said["missing", "AGE"] == "AGE: 1 cells (0.2%) are empty; at most 5% would be right"
    assert said["declared", "AGE"] == "AGE: 3 cells (0.8%) are not as declared; at most 5% would be right"
    assert said["declared", "PAY_0"] == "PAY_0: 2 cells (0.5%) are not as declared; at most 5% would be right"
    assert said["declared", TARGET] == f"{TARGET}: 1 cells (0.3%) are not as declared; at most 5% would be right"
    assert len(sift(table, (*app.columns, app.target), TARGET, "x.csv", "ID").aside) == 9


REFUSED = {
    "a missing column": (
        lambda path: cut(path, "AGE"),
        "column AGE (years) is missing",
        ("schema", "AGE"),
    ),
    "wrong types": (
        lambda path: write_csv(path, 200, AGE=dict.fromkeys(range(200), "old")),
        (
            "200 of 200 rows (100.0%) cannot be used; at most 5% would be right: "
            "AGE: is not a whole number from 18 to 120 (200 rows)"
        ),
        ("declared", "AGE"),
    ),
    "all one class": (
        lambda path: write_csv(path, 200, **{TARGET: dict.fromkeys(range(200), 0)}),
        f"{TARGET} is 0 in every row; at least two outcomes would be right",
        None,
    ),
    "duplicated ids": (
        lambda path: write_csv(path, 200, ID=dict.fromkeys(range(1, 101), 0)),
        "100 of 200 rows (50.0%) cannot be used; at most 5% would be right: ID: is there twice (100 rows)",
        None,
    ),
    "duplicated rows": (
        lambda path: doubled(path, 200),
        "100 of 200 rows repeat another; at most 5% would be right",
        ("duplicates", ""),
    ),
    "40 % missing": (
        lambda path: write_csv(path, 200, AGE=dict.fromkeys(range(80), "")),
        "80 of 200 rows (40.0%) cannot be used; at most 5% would be right: AGE: is missing (80 rows)",
        ("missing", "AGE"),
    ),
    "a header alone": (
        lambda path: path.write_text(write_csv(path, 1).read_text().splitlines()[0]),
        "no rows; at least one is needed",
        None,
    ),
}


def cut(path, column: str) -> None:
    lines = [line.split(",") for line in write_csv(path, 50).read_text().splitlines()]
    place = lines[0].index(column)
    path.write_text("\n".join(",".join(line[:place] + line[place + 1 :]) for line in lines) + "\n")


def doubled(path, rows: int) -> None:
    head, *lines = write_csv(path, rows // 2).read_text().splitlines()
    again = [f"{number + rows},{line.partition(',')[2]}" for number, line in enumerate(lines)]
    path.write_text("\n".join([head, *lines, *again]) + "\n")


@pytest.mark.parametrize(("make", "message", "failed"), REFUSED.values(), ids=REFUSED)
def test_rows_that_must_not_be_learned_from_are_refused_and_the_report_says_why(tmp_path, make, message, failed):
    path = tmp_path / "bad.csv"
    make(path)
    with pytest.raises(BadInput) as error:
        checked(tmp_path, setting=str(path))
    assert str(error.value) == f"{path}: {message}"
    report = json.loads((tmp_path / "validation.json").read_text())
    assert (report["outcome"], report["because"]) == ("refused", f"{path}: {message}")
    assert [name for name, outcome in outcomes(report).items() if outcome == "failed"] == ([failed] if failed else [])
    assert not (tmp_path / "rows.json").exists()
    assert (tmp_path / "validation.html").exists()


def reference(tmp_path, app: str, data: Data):
    steps.write_rows(data, tmp_path / "before.json")
    steps.features(app, tmp_path / "before.json", tmp_path / "before.parquet")
    return tmp_path / "before.parquet", ""


@pytest.mark.parametrize(("share", "outcome"), [(1.1, "passed"), (0.9, "passed"), (1.25, "refused"), (0.75, "refused")])
def test_the_target_rate_may_differ_from_the_references_by_a_fifth_either_way(tmp_path, share, outcome):
    path, ones = write_csv(tmp_path / "x.csv", 400, **{TARGET: {row: int(row < 100) for row in range(400)}}), round(100 * share)
    before, _, _ = checked(tmp_path, setting=str(path))
    write_csv(path, 400, **{TARGET: {row: int(row < ones) for row in range(400)}})
    against = reference(tmp_path, "credit", before)
    if outcome == "passed":
        assert outcomes(checked(tmp_path, setting=str(path), reference=against)[2])["target", TARGET] == "passed"
        return
    with pytest.raises(BadInput) as error:
        checked(tmp_path, setting=str(path), reference=against)
    rates = f"{ones / 400:,.4g} on average, in the reference 0.25"
    assert str(error.value) == f"{path}: {TARGET} is {rates}; within 20% of it would be right"


def test_savings_are_checked_by_the_same_code_and_their_mean_is_compared(tmp_path):
    before = savings.generate(rows=500)
    against = reference(tmp_path, "savings", before)
    _, aside, report = checked(tmp_path, app="savings", reference=against)
    assert (aside, report["outcome"], report["reference"]) == ({}, "passed", before.sha256)
    assert set(outcomes(report).values()) == {"passed"}


CELLS = {
    "a number in range": (Column("a", "INT64", "", 0, 9), 5, 5.0),
    "a number out of range is told as it is": (Column("a", "INT64", "", 0, 9), 12, 12.0),
    "half where a whole number belongs": (Column("a", "INT64", "", 0, 9), 5.5, math.inf),
    "a text where a number belongs": (Column("a", "FP64", "", 0, 9), "many", math.inf),
    "a category": (Column("a", "INT64", "", categories=(0, 1)), 1, "1"),
    "a category written as a number with a point": (Column("a", "INT64", "", categories=(0, 1)), 1.0, "1"),
    "a text that only looks like a category": (Column("a", "INT64", "", categories=(0, 1)), "1", "'1'"),
    "an empty category": (Column("a", "BYTES", "", categories=("x",)), "", None),
}


@pytest.mark.parametrize(("column", "value", "seen"), CELLS.values(), ids=CELLS)
def test_a_cell_reaches_evidently_so_that_it_counts_it_right(column, value, seen):
    assert cell(column, value) == seen


def test_an_empty_number_is_missing():
    assert math.isnan(cell(Column("a", "FP64", "", 0, 9), ""))
