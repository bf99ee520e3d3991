"""Rows before anything is learned from them, checked by Evidently against the schema and against the reference.

The reference is what the stable version learned from. Every check but the first is one of Evidently's tests.

| check      | of           | passes when                                                                             |
|------------|--------------|-----------------------------------------------------------------------------------------|
| schema     | each column  | it is there                                                                             |
| missing    | each column  | at most LIMIT of its cells are empty                                                    |
| declared   | each column  | at most LIMIT of its other cells are out of range, no category, or of another type      |
| duplicates | whole rows   | at most LIMIT of them repeat another in every column but the ID                         |
| target     | mean outcome | it is within SHIFT of the reference's; without a reference: not compared                |

Any check that fails stops the run. A row with a bad cell is put aside by quarantine.py, which also bounds how many may be.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.app import App, Data
from model.frame import dataset
from model.gates import Outcome
from model.quarantine import LIMIT
from model.table import Column, Table, Value

SHIFT = 0.2  # of the reference's mean outcome
MEAN = "mean outcome"


@dataclass(frozen=True)
class Check:
    """What one check says, of a column or ("") of whole rows."""

    check: str
    column: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True)
class Validation:
    """All checks, and Evidently's report as one html page; empty where there were no rows to report on."""

    checks: Sequence[Check]
    page: str

    @property
    def failed(self) -> list[str]:
        """The sentences of the checks that failed."""
        return [one.sentence for one in self.checks if one.outcome == "failed"]


def validate(app: App, table: Table, reference: Data | None, lacking: str) -> Validation:
    """Check rows as they came, with their outcomes. lacking: why there is no reference, where there is none."""
    columns = (*app.columns, app.target)
    gone = [_gone(column) for column in columns if column.name not in table]
    if not all(table.values()) or len(gone) == len(columns):
        return Validation(gone, "")
    there = [column for column in columns if column.name in table]
    outcomes = [_outcome(app.target, value) for value in table.get(app.target.name, ())]
    known = [one for one in outcomes if not math.isnan(one)]
    compared = reference if known else None
    found, page = _run(there, table, outcomes if known else [], app, compared)
    if compared is None:
        found.append(Check("target", app.target.name, "not compared", lacking or "no row has an outcome: nothing to compare"))
    return Validation([*gone, *found], page)


def _gone(column: Column) -> Check:
    return Check("schema", column.name, "failed", f"column {column.name} ({column.meaning}) is missing")


def _outcome(target: Column, value: Value) -> float:
    return float(value) if target.allows(value) else math.nan


def _run(
    there: Sequence[Column], table: Table, outcomes: Sequence[float], app: App, reference: Data | None
) -> tuple[list[Check], str]:
    """Run the report; return its verdicts in our words."""
    from evidently import Report, metrics  # noqa: PLC0415
    from evidently.tests import Reference, gte, lte  # noqa: PLC0415

    rows = len(table[there[0].name])
    wanted: list[Any] = [metrics.DuplicatedRowCount(tests=[lte(math.floor(LIMIT * rows))])]
    for column in there:
        few: dict[str, Any] = {"column": column.name, "share_tests": [lte(LIMIT)]}
        wanted.append(metrics.MissingValueCount(**few))
        if column.categories:
            wanted.append(metrics.OutListValueCount(values=[str(one) for one in column.categories], **few))
        else:
            wanted.append(metrics.OutRangeValueCount(left=column.low, right=column.high, **few))
    if outcomes and reference is not None:
        near = Reference(relative=SHIFT)
        wanted.append(metrics.MeanValue(column=MEAN, tests=[gte(near), lte(near)]))
    current = dataset(table, there, **({MEAN: outcomes} if outcomes else {}))
    before = reference and dataset(
        {**reference.table, app.target.name: reference.target.tolist()}, there, **{MEAN: reference.target.tolist()}
    )
    with warnings.catch_warnings(action="ignore"):  # of columns without one good cell
        done = Report(wanted).run(current, before)
    failed = {test.metric_config.metric_id for test in done.tests_results if test.status.value != "SUCCESS"}
    found = []
    for name, result in done.metric_results.items():
        check, of, sentence, value = _said(result.metric_value_location.metric.params, result, rows, app.target, reference)
        outcome: Outcome = "not compared" if math.isnan(value) else "failed" if name in failed else "passed"
        found.append(Check(check, of, outcome, sentence))
    return found, done.get_html_str(as_iframe=False)


def _said(params: Any, result: Any, rows: int, target: Column, reference: Data | None) -> tuple[str, str, str, float]:
    """The check, its column, the sentence that tells what was found, and its value (NaN: there was nothing to look at)."""
    kind = params["type"].rpartition(":")[2]
    right = f"at most {LIMIT:.0%} would be right"
    if kind == "DuplicatedRowCount":
        return "duplicates", "", f"{result.value:,.0f} of {rows:,} rows repeat another; {right}", float(result.value)
    if kind == "MeanValue" and reference is not None:
        means = f"{result.value:,.4g} on average, in the reference {float(reference.target.mean()):,.4g}"
        return "target", target.name, f"{target.name} is {means}; within {SHIFT:.0%} of it would be right", float(result.value)
    name, share = params["column"], float(result.share.value)
    check, what = ("missing", "are empty") if kind == "MissingValueCount" else ("declared", "are not as declared")
    if math.isnan(share):
        return check, name, f"{name}: every cell is empty", share
    return check, name, f"{name}: {result.count.value:,.0f} cells ({share:.1%}) {what}; {right}", share
