import pytest

from model.credit import COLUMNS, TARGET
from model.quarantine import sift
from model.table import BadInput

ALL = (*COLUMNS, TARGET)
GOOD = dict(zip([c.name for c in ALL], [20000, 2, 2, 1, 24, 2, 2, -1, -1, -2, -2, *[0] * 12, 1], strict=True))


def rows(count: int, **changed) -> dict:
    """`count` clients, every other one in default; changed: column -> {row: value}."""
    table = {name: [value] * count for name, value in GOOD.items()} | {"ID": list(range(count))}
    table[TARGET.name] = [row % 2 for row in range(count)]
    for name, values in changed.items():
        for row, value in values.items():
            table[name][row] = value
    return table


def test_sound_rows_are_kept_and_the_others_put_aside_with_the_reason():
    table = rows(100, AGE={3: ""}, SEX={4: 3, 5: "?"}, ID={7: 6})
    found = sift(table, ALL, TARGET.name, "x.csv", "ID")
    assert list(found.sound) == [row for row in range(100) if row not in (3, 4, 5, 7)]
    assert found.aside == {
        3: "AGE: is missing",
        4: "SEX: is not one of 1, 2",
        5: "SEX: is not one of 1, 2",
        7: "ID: is there twice",
    }
    assert found.reasons == {"SEX: is not one of 1, 2": 2, "ID: is there twice": 1, "AGE: is missing": 1}


WRONG = {
    "a missing column": ({k: v for k, v in rows(9).items() if k != "AGE"}, "column AGE (years) is missing"),
    "no rows": (rows(0), "no rows; at least one is needed"),
    "40 % missing": (
        rows(100, AGE=dict.fromkeys(range(40), "")),
        "40 of 100 rows (40.0%) cannot be used; at most 5% would be right: AGE: is missing (40 rows)",
    ),
    "wrong types": (
        rows(100, AGE=dict.fromkeys(range(100), "old")),
        (
            "100 of 100 rows (100.0%) cannot be used; at most 5% would be right: "
            "AGE: is not a whole number from 18 to 120 (100 rows)"
        ),
    ),
    "duplicated ids": (
        rows(100, ID=dict.fromkeys(range(50), 99)),
        "50 of 100 rows (50.0%) cannot be used; at most 5% would be right: ID: is there twice (50 rows)",
    ),
    "all one class": (
        rows(100, **{TARGET.name: dict.fromkeys(range(100), 1)}),
        "default.payment.next.month is 1 in every row; at least two outcomes would be right",
    ),
}


@pytest.mark.parametrize(("table", "message"), WRONG.values(), ids=WRONG)
def test_a_source_that_cannot_be_used_is_refused(table, message):
    with pytest.raises(BadInput) as error:
        sift(table, ALL, TARGET.name, "x.csv", "ID")
    assert str(error.value) == f"x.csv: {message}"
