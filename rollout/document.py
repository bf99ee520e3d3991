"""YAML documents, read strictly and edited without touching what is not meant.

Reading: one document per file, a mapping at the top, no key twice, no key that nobody knows. Editing replaces or
inserts whole lines of a block mapping, so comments, order and quoting of everything else stay byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import yaml

from rollout.errors import BadInput

Path = tuple[str, ...]
T = TypeVar("T")
_REQUIRED: Any = object()
LONGEST = 16_384  # characters of one file: some hundred times what they have; YAML nested deeper than that ends the process


class _Strict(yaml.CSafeLoader):
    """The safe loader, except that a key may stand only once in a mapping."""


def _mapping_once(loader: _Strict, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, Hashable):
            raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key_node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark)
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


_Strict.add_constructor("tag:yaml.org,2002:map", _mapping_once)


def utf8(raw: bytes, where: str, field: str = "") -> str:
    """Return the text of `raw`; raise BadInput naming `field`, or the line, where it is not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        place = field or f"line {raw[: error.start].count(10) + 1}"  # 10: a new line
        raise BadInput(where, place, f"byte 0x{raw[error.start]:02x} is not UTF-8; UTF-8 text would be right") from None


def load(text: str, where: str) -> dict[str, Any]:
    """Return the one mapping in `text`; raise BadInput naming `where` and the line otherwise."""
    if len(text) > LONGEST:
        raise BadInput(where, "", f"has {len(text)} characters; at most {LONGEST} would be right")
    try:
        value = yaml.load(text, Loader=_Strict)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "whole file"
        raise BadInput(where, place, f"not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:  # a ValueError is a scalar that looks like a date or a number and is none
        raise BadInput(where, "", f"not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise BadInput(where, "", f"holds {kind_of(value)}; a mapping with apiVersion and kind would be right")
    return value


def kind_of(value: object) -> str:
    """Say in plain words what YAML made of a value."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "a truth value", int: "a whole number"}
    if value is None:
        return "nothing"
    return names.get(type(value), f"a {type(value).__name__}")


class Fields:
    """A mapping whose keys are taken one by one; what nobody took is an unknown key."""

    def __init__(self, value: object, where: str, path: Path = ()) -> None:
        self.where, self.path = where, path
        if not isinstance(value, Mapping):
            raise BadInput(where, ".".join(path), f"is {kind_of(value)}; a mapping would be right")
        self._left: dict[Any, Any] = dict(value)
        self._known: list[str] = []

    def error(self, key: str, problem: str) -> BadInput:
        """Return a BadInput for one of this mapping's keys."""
        return BadInput(self.where, ".".join((*self.path, key)), problem)

    def has(self, key: str) -> bool:
        """Whether the key stands in the mapping and was not taken yet."""
        return key in self._left

    def take(self, key: str, convert: Callable[[object], T], default: T = _REQUIRED) -> T:
        """Take one key through `convert` (which raises ValueError saying what would be right)."""
        self._known.append(key)
        if key not in self._left:
            if default is _REQUIRED:
                raise self.error(key, "is missing")
            return default
        value = self._left.pop(key)
        try:
            return convert(value)
        except ValueError as error:
            raise self.error(key, f"is {value!r}; {error}") from None

    def inside(self, key: str) -> Fields:
        """Take one key that holds a mapping; a missing one reads as an empty mapping."""
        self._known.append(key)
        return Fields(self._left.pop(key, {}), self.where, (*self.path, key))

    def done(self) -> None:
        """Raise BadInput for a key that nobody took."""
        for key in self._left:
            raise self.error(str(key), f"is not a known key; known here: {', '.join(self._known)}")


def head(fields: Fields, kind: str) -> None:
    """Take and check apiVersion and kind of one of our own files."""
    fields.take("apiVersion", one_of("rollout/v1"))
    fields.take("kind", one_of(kind))


def one_of(*allowed: str) -> Callable[[object], str]:
    """Return a converter that accepts the given words."""

    def convert(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{' or '.join(allowed)} would be right")
        return value

    return convert


def edit(text: str, path: Path, values: Mapping[str, str | None]) -> str:
    """Set keys of the mapping at `path` to scalar texts, in place; None removes the key's line.

    A key that stands is replaced where it stands, a new one is added below the last key named in `values` that stands.
    """
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for step in path:
        node = _child(node, step)
    stands = {key.value: (key.start_mark.index, value.start_mark.index, value.end_mark.index) for key, value in _items(node)}
    if node.flow_style:
        now = {key: text[begin:end] for key, (_, begin, end) in stands.items()} | dict(values)
        flow = ", ".join(f"{key}: {value}" for key, value in now.items() if value is not None)
        return f"{text[: node.start_mark.index]}{{{flow}}}{text[node.end_mark.index :]}"
    text = text if text.endswith("\n") else f"{text}\n"
    indent = " " * node.start_mark.column
    added = "".join(f"{indent}{key}: {value}\n" for key, value in values.items() if value is not None and key not in stands)
    below = max(stands[key][2] for key in (values.keys() & stands.keys() or stands))
    spans = [(text.index("\n", below) + 1, text.index("\n", below) + 1, added)]
    for key in values.keys() & stands.keys():
        at, begin, end = stands[key]
        line = (text.rfind("\n", 0, at) + 1, text.index("\n", end) + 1, "")
        spans.append(line if values[key] is None else (begin, end, str(values[key])))
    for begin, end, new in sorted(spans, reverse=True):
        text = f"{text[:begin]}{new}{text[end:]}"
    return text


def _items(node: yaml.Node) -> Sequence[tuple[yaml.ScalarNode, yaml.Node]]:
    return node.value  # type: ignore[no-any-return]


def _child(node: yaml.Node, key: str) -> yaml.Node:
    return next(value for name, value in _items(node) if name.value == key)
