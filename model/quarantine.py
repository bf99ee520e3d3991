"""Rows before they are learned from: the sound ones, and those put aside with the reason.

| the rows                                         | then                                                         |
|--------------------------------------------------|--------------------------------------------------------------|
| lack a column, or there are none                 | refused                                                      |
| have a cell that is empty, or not as declared    | that row is put aside: "AGE: is missing", "AGE: is not ..."  |
| name somebody again (the same ID)                | the later row is put aside                                   |
| are put aside by more than LIMIT                 | refused: something is wrong with the source, not with a row  |
| that are left have one outcome only              | refused: there is nothing to learn                           |
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.table import BadInput, Column, Table, Value

LIMIT = 0.05
SHOWN = 3


@dataclass(frozen=True)
class Sifted:
    """Row numbers that are sound, and the reason of every other."""

    sound: Sequence[int]
    aside: Mapping[int, str]

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows each reason put aside, the most frequent first."""
        return dict(Counter(self.aside.values()).most_common())


def sift(table: Table, columns: Sequence[Column], target: str, where: str, identity: str = "") -> Sifted:
    """Tell sound rows from others; raise BadInput where the source as a whole cannot be used."""
    for column in columns:
        if column.name not in table:
            raise BadInput(f"{where}: column {column.name} ({column.meaning}) is missing")
    rows = len(table[columns[0].name])
    if not rows:
        raise BadInput(f"{where}: no rows; at least one is needed")
    aside = _twice(table[identity]) if identity in table else {}
    for column in columns:
        for row, value in enumerate(table[column.name]):
            if row not in aside and not column.allows(value):
                aside[row] = f"{column.name}: is missing" if value == "" else f"{column.name}: is not {column.expects()}"
    found = Sifted([row for row in range(rows) if row not in aside], aside)
    if len(aside) > LIMIT * rows:
        most = "; ".join(f"{reason} ({count:,} rows)" for reason, count in list(found.reasons.items())[:SHOWN])
        share = f"{len(aside):,} of {rows:,} rows ({len(aside) / rows:.1%})"
        raise BadInput(f"{where}: {share} cannot be used; at most {LIMIT:.0%} would be right: {most}")
    outcomes = {table[target][row] for row in found.sound}
    if len(outcomes) < 2:
        raise BadInput(f"{where}: {target} is {next(iter(outcomes))!r} in every row; at least two outcomes would be right")
    return found


def _twice(names: Sequence[Value]) -> dict[int, str]:
    seen: set[Value] = set()
    aside = {}
    for row, name in enumerate(names):
        if name in seen:
            aside[row] = "ID: is there twice"
        seen.add(name)
    return aside
