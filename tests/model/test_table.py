import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.credit import COLUMNS
from model.table import BadInput, Column, check

INCOME = Column("income", "FP64", "EUR", 0, 1000)
AGE = Column("age", "INT64", "years", 18, 120)
WORK = Column("work", "BYTES", "main work", categories=("employee", "retired"))

WRONG = {
    "below the range": (INCOME, -0.01, "rows: row 2, income = -0.01: must be a number from 0 to 1,000"),
    "above the range": (AGE, 121, "rows: row 2, age = 121: must be a whole number from 18 to 120"),
    "not whole": (AGE, 20.5, "rows: row 2, age = 20.5: must be a whole number from 18 to 120"),
    "not a number": (INCOME, float("nan"), "rows: row 2, income = nan: must be a number from 0 to 1,000"),
    "a number as text": (AGE, "20", "rows: row 2, age = '20': must be a whole number from 18 to 120"),
    "an empty cell": (AGE, "", "rows: row 2, age = (empty): must be a whole number from 18 to 120"),
    "true is no number": (AGE, True, "rows: row 2, age = True: must be a whole number from 18 to 120"),
    "null": (INCOME, None, "rows: row 2, income = None: must be a number from 0 to 1,000"),
    "not a category": (WORK, "idle", "rows: row 2, work = 'idle': must be one of 'employee', 'retired'"),
    "a number among names": (WORK, 1, "rows: row 2, work = 1: must be one of 'employee', 'retired'"),
}


@pytest.mark.parametrize(("column", "value", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named_with_what_would_be_right(column, value, message):
    right = column.categories[0] if column.categories else 100
    with pytest.raises(BadInput) as error:
        check({column.name: [right, value]}, [column], "rows")
    assert str(error.value) == message


def test_bounds_are_included_and_a_whole_float_is_a_whole_number():
    assert check({"age": [18, 120, 50.0], "income": [0, 1000.0, 0.5]}, [AGE, INCOME], "rows") == 3


SHAPES = {
    "a missing column": ({"age": [20]}, "rows: column income (EUR) is missing"),
    "uneven lengths": ({"age": [20, 30], "income": [1.0]}, "rows: column income has 1 values where others have 2"),
    "no rows": ({"age": [], "income": []}, "rows: no rows; at least one is needed"),
}


@pytest.mark.parametrize(("table", "message"), SHAPES.values(), ids=SHAPES)
def test_a_table_of_the_wrong_shape_is_refused(table, message):
    with pytest.raises(BadInput) as error:
        check(table, [AGE, INCOME], "rows")
    assert str(error.value) == message


@given(
    st.sampled_from(COLUMNS), st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()))
)
def test_any_json_value_is_either_allowed_or_not(column, value):
    if column.allows(value):
        assert isinstance(value, int | float)
        assert float(value).is_integer()
