"""What a raw column is, and the one check of raw values that training and serving share.

A table is a mapping from column name to a list of plain Python values, all lists equally long: what a CSV gives after
`.tolist()` and what a V2 request carries as JSON. A value outside its column's declaration is the sender's mistake and
raises `BadInput`, whose text names where, the field, the value and what would be right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

Value: TypeAlias = int | float | str
Table: TypeAlias = Mapping[str, Sequence[Value]]


class BadInput(Exception):
    """Input that no version of the model could use; the text is meant for the person who sent it."""


@dataclass(frozen=True)
class Column:
    """One raw column: its V2 datatype and either a range (numbers, bounds included) or its possible categories."""

    name: str
    datatype: Literal["INT64", "FP64", "BYTES"]
    meaning: str
    low: float = -inf
    high: float = inf
    categories: tuple[Value, ...] = ()

    def allows(self, value: Value) -> bool:
        """Whether `value` is of this column's type and within its range or categories (NaN never is)."""
        if self.categories:
            return not isinstance(value, bool) and value in self.categories
        if type(value) is int or (type(value) is float and (self.datatype == "FP64" or value.is_integer())):
            return self.low <= value <= self.high
        return False

    def plain(self, value: Value) -> Value:
        """An allowed value as the type that its column says: 5 of an FP64 column is 5.0, 5.0 of an INT64 column is 5."""
        return int(value) if self.datatype == "INT64" else float(value) if self.datatype == "FP64" else value

    def expects(self) -> str:
        """What would be right, as the end of a sentence beginning "must be"."""
        if self.categories:
            return f"one of {', '.join(map(repr, self.categories))}"
        kind = "a whole number" if self.datatype == "INT64" else "a number"
        return f"{kind} from {self.low:,.0f} to {self.high:,.0f}"


def check(table: Table, columns: Sequence[Column], where: str) -> int:
    """Return the number of rows, or raise BadInput for the first missing column, uneven length or wrong value."""
    for column in columns:
        if column.name not in table:
            raise BadInput(f"{where}: column {column.name} ({column.meaning}) is missing")
    rows = len(table[columns[0].name])
    for column in columns:
        values = table[column.name]
        if len(values) != rows:
            raise BadInput(f"{where}: column {column.name} has {len(values)} values where others have {rows}")
        for row, value in enumerate(values):
            if not column.allows(value):
                shown = "(empty)" if value == "" else repr(value)
                raise BadInput(f"{where}: row {row + 1}, {column.name} = {shown}: must be {column.expects()}")
    if not rows:
        raise BadInput(f"{where}: no rows; at least one is needed")
    return rows


def take(table: Table, rows: Sequence[int], columns: Sequence[Column]) -> dict[str, list[Value]]:
    """The given rows of the given columns, in the order of `rows`."""
    return {c.name: [table[c.name][row] for row in rows] for c in columns}
