"""YAML read strictly, and edited in its smallest parts."""

from __future__ import annotations

import pytest

from rollout.document import Fields, edit, kind_of, load, utf8
from rollout.errors import BadInput

BROKEN = {
    "broken YAML": ("a: [1", "f: line 2, column 1: not valid YAML: did not find expected ',' or ']'"),
    "a tab for indentation": (
        "a:\n\tb: 1",
        "f: line 2, column 1: not valid YAML: found character that cannot start any token",
    ),
    "two documents": ("a: 1\n---\nb: 2\n", "f: line 2, column 1: not valid YAML: but found another document"),
    "a key twice": ("a: 1\na: 2\n", "f: line 2, column 1: not valid YAML: key 'a' stands twice"),
    "a key that is a list": ("? [a]\n: 1\n", "f: line 1, column 3: not valid YAML: a key must be a word"),
    "a control character": (
        "a: \x07",
        'f: not valid YAML: unacceptable character #x0007: control characters are not allowed in "<unicode string>", position 3',
    ),
    "a day that no calendar has": ("a: 2024-13-45", "f: not valid YAML: month must be in 1..12"),
    "nothing": ("", "f: holds nothing; a mapping with apiVersion and kind would be right"),
    "a list": ("- a", "f: holds a list; a mapping with apiVersion and kind would be right"),
    "text": ("a", "f: holds text; a mapping with apiVersion and kind would be right"),
    "far too much": ("- " * 8193, "f: has 16386 characters; at most 16384 would be right"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_text_that_is_no_document(text, message):
    with pytest.raises(BadInput) as told:
        load(text, "f")
    assert str(told.value) == message


def test_a_value_is_named_in_plain_words():
    values = (None, {}, [], "a", True, 1, 1.5)
    assert [kind_of(value) for value in values] == [
        "nothing", "a mapping", "a list", "text", "a truth value", "a whole number", "a float",
    ]  # fmt: skip


def test_a_key_that_nobody_took_is_unknown():
    fields = Fields({"a": 1, "b": 2}, "f", ("spec",))
    assert fields.take("a", int) == 1
    with pytest.raises(BadInput, match=r"^f: spec\.b: is not a known key; known here: a$"):
        fields.done()


def test_a_key_that_must_be_there():
    with pytest.raises(BadInput, match=r"^f: spec\.a: is missing$"):
        Fields({}, "f", ("spec",)).take("a", int)


BLOCK = 'kind: X\nspec:\n  # why\n  a: "1"   # one\n  b: two\n  # end\nother: {a: 9}\n'
EDITS = {
    "a value, with its comment and quotes where they were": (
        BLOCK,
        {"a": '"2"'},
        BLOCK.replace('"1"', '"2"'),
    ),
    "two values of different lengths": (
        BLOCK,
        {"a": "long text", "b": "c"},
        BLOCK.replace('"1"', "long text").replace("two", "c"),
    ),
    "a new key goes below the last one named": (
        BLOCK,
        {"a": "1", "c": "3"},
        BLOCK.replace('"1"   # one\n', "1   # one\n  c: 3\n"),
    ),
    "a new key alone goes last": (BLOCK, {"c": "3"}, BLOCK.replace("two\n", "two\n  c: 3\n")),
    "None removes a line": (BLOCK, {"b": None}, BLOCK.replace("  b: two\n", "")),
    "None for a key that is not there": (BLOCK, {"c": None}, BLOCK),
    "a file without a last newline": ("spec:\n  a: 1", {"a": "2", "b": "3"}, "spec:\n  a: 2\n  b: 3\n"),
    "a value on the line below its key": ("spec:\n  a:\n    1\n  b: 2\n", {"a": None}, "spec:\n  b: 2\n"),
    "a mapping in one line": ("spec: {a: 1, b: 2}  # why\n", {"a": "100", "b": "3"}, "spec: {a: 100, b: 3}  # why\n"),
    "a mapping in one line, less and more": ("spec: {a: 1, b: 2}\n", {"a": None, "c": "3"}, "spec: {b: 2, c: 3}\n"),
}


@pytest.mark.parametrize(("text", "values", "edited"), EDITS.values(), ids=EDITS)
def test_edit(text, values, edited):
    assert edit(text, ("spec",), values) == edited


def test_bytes_that_are_no_utf_8_are_told_with_their_line_or_the_field_that_is_given():
    assert utf8("ä\n".encode(), "f") == "ä\n"
    with pytest.raises(BadInput, match=r"^f: line 2: byte 0xe4 is not UTF-8; UTF-8 text would be right$"):
        utf8("a\nä\n".encode("latin-1"), "f")
    with pytest.raises(BadInput, match=r"^standard input: line 7: byte 0xe4 is not UTF-8; UTF-8 text would be right$"):
        utf8("ä".encode("latin-1"), "standard input", "line 7")
