"""The slice a version is trained on: `PAY_0 != -2`, or several such conditions joined by "and"."""

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from model.table import BadInput, Column, Table, Value

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
CONDITION = re.compile(r"\s*(\w+)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*")


def kept(expression: str, table: Table, columns: Sequence[Column]) -> list[bool]:
    """For each row of the table, whether it fulfils the expression."""
    conditions = [_condition(part, columns) for part in re.split(r"\band\b", expression)]
    rows = len(table[columns[0].name])
    return [all(holds(table[name][row], value) for name, holds, value in conditions) for row in range(rows)]


def _condition(text: str, columns: Sequence[Column]) -> tuple[str, Callable[[Any, Any], bool], Value]:
    match = CONDITION.fullmatch(text)
    if not match:
        raise BadInput(f"keep: {text.strip()!r} is not a condition; must be like PAY_0 != -2")
    name, sign, value = match.groups()
    column = next((c for c in columns if c.name == name), None)
    if column is None:
        raise BadInput(f"keep: column {name} is unknown; must be one of {', '.join(c.name for c in columns)}")
    return name, OPERATORS[sign], _value(value, column)


def _value(text: str, column: Column) -> Value:
    if column.datatype == "BYTES":
        value: Value = text.strip("'\"")
    else:
        try:
            value = float(text)
        except ValueError:
            value = text
    if not column.allows(value):
        raise BadInput(f"keep: {column.name} = {text}: must be {column.expects()}")
    return value
