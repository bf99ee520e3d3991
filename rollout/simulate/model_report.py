"""The model gates' rows as text, Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rollout.simulate.model_study import ModelRow
from rollout.simulate.report import interval
from rollout.simulate.study import Figure

HEAD = ("scenario", "truth", "alarm", "used to the alarm", "bound", "efficiency", "minutes to the alarm")
WIDTHS = (6, 22, 22, 6, 10, 22)


def head() -> str:
    """The line above the rows."""
    return f"{HEAD[0]:<46}" + " ".join(f"{word:>{n}}" for word, n in zip(HEAD[1:], WIDTHS, strict=True))


def line(row: ModelRow) -> str:
    """One row for a terminal."""
    return f"{row.scenario:<46}" + " ".join(f"{cell:>{n}}" for cell, n in zip(_cells(row), WIDTHS, strict=True))


def markdown(rows: Sequence[ModelRow]) -> str:
    """All rows, with intervals."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|" + "---:|" * 5]
    lines += ["| " + " | ".join((row.scenario, *_cells(row))) + " |" for row in rows]
    return "\n".join(lines)


def page(rows: Sequence[ModelRow]) -> str:
    """The same for docs/gate.md, with how many walks it took."""
    return f"{rows[0].runs} walks per scenario.\n\n{markdown(rows)}"


def as_json(rows: Sequence[ModelRow]) -> str:
    """All rows, for machines."""
    return json.dumps([plain(row) for row in rows], indent=1)


def plain(row: ModelRow) -> dict[str, Any]:
    """A row as a plain value."""
    return asdict(row)


def _cells(row: ModelRow) -> tuple[str, ...]:
    alarm = Figure(100 * row.alarm.value, 100 * row.alarm.low, 100 * row.alarm.high)
    worse = row.truth == "worse"
    return (
        row.truth,
        interval(alarm, 2, " %"),
        interval(row.used, 0) if row.used and worse else "-",
        f"{row.bound:.0f}" if row.bound is not None else "-",
        f"{row.efficiency:.2f}" if row.efficiency is not None else "-",
        interval(row.minutes, 1) if row.minutes and worse else "-",
    )
