"""Each goal on each scenario is concluded from intervals, and a second seed agrees or does not."""

from __future__ import annotations

import pytest

from rollout.simulate.conclusions import MET, NOT, UNSURE, agreement, compared, concluded, differs, exceptions, fair, table
from rollout.simulate.study import Figure, Row, wilson


def row(
    scenario: str, policy: str, truth: str, *, aborted: int = 0, bad: float = 0.0, half: float = 0.0, in_time: float = 1.0
) -> Row:
    """One of 1000 rollouts per scenario; `half` is half the width of the interval of the bad requests."""
    nothing = Figure(0.0, 0.0, 0.0)
    return Row(
        scenario=scenario, policy=policy, truth=truth, runs=1000, abort=wilson(aborted, 1000), complete=nothing, hold=nothing,
        bad=Figure(bad, bad - half, bad + half), minutes=None, in_time=in_time, requests=1.0, efficiency=None,
    )  # fmt: skip


def says(rows: list[Row], goal: str, rich: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(one.says, one.how) for one in concluded(rows, rich) if one.goal == goal]


@pytest.mark.parametrize(
    ("aborted", "expected"),
    [(0, MET), (3, MET), (4, UNSURE), (10, UNSURE), (16, UNSURE), (17, NOT), (50, NOT)],
)
def test_false_abort_is_judged_with_its_interval(aborted: int, expected: str) -> None:
    assert says([row("a", "ours", "same", aborted=aborted)], "false abort") == [(expected, "")]


@pytest.mark.parametrize(("in_time", "expected"), [(1.0, MET), (0.97, MET), (0.95, UNSURE), (0.92, NOT)])
def test_in_time_is_asked_where_traffic_is_rich(in_time: float, expected: str) -> None:
    rows = [row("rich", "ours", "same", in_time=in_time), row("poor", "ours", "same", in_time=0.0)]
    assert says(rows, "in time", rich=("rich",)) == [(expected, "")]


@pytest.mark.parametrize(
    ("ours", "half", "expected"),
    [
        (1.0, 0.5, (MET, "a fifth")),
        (2.0, 0.5, (MET, "the fewest")),
        (8.0, 1.0, (MET, "the fewest")),
        (8.5, 1.0, (UNSURE, "")),
        (12.0, 1.5, (UNSURE, "")),
        (12.0, 0.5, (NOT, "")),
    ],
)
def test_bad_requests_are_held_against_the_best_that_is_hardly_ever_wrong(
    ours: float, half: float, expected: tuple[str, str]
) -> None:
    rows = [
        row("good", "ours", "same"), row("good", "quick", "same", aborted=51), row("good", "slow", "same", aborted=50),
        row("good", "slower", "same"),
        row("bad", "ours", "worse", bad=ours, half=half), row("bad", "quick", "worse", bad=0.1),
        row("bad", "slow", "worse", bad=10.0, half=1.0), row("bad", "slower", "worse", bad=100.0),
    ]  # fmt: skip
    assert fair(rows) == ["slow", "slower"]
    assert says(rows, "bad requests") == [expected]
    assert "against 10 (slow)" in next(one.figures for one in concluded(rows, ()) if one.goal == "bad requests")


def test_ours_by_another_name_is_not_its_own_rival() -> None:
    rows = [
        row("good", "ours-polling", "same"),
        row("bad", "ours", "worse", bad=5.0),
        row("bad", "ours-polling", "worse", bad=1.0),
    ]
    assert says(rows, "bad requests") == [(MET, "the fewest")]


def test_a_second_seed_is_counted_conclusion_by_conclusion() -> None:
    first = [row(name, "ours", "same", aborted=n) for name, n in (("a", 0), ("b", 3), ("c", 0))]
    second = [row(name, "ours", "same", aborted=n) for name, n in (("a", 1), ("b", 6), ("c", 40))]
    pairs = compared(concluded(first, ()), concluded(second, ()))
    assert [(pair["scenario"], pair["says"], pair["second"], pair["agrees"]) for pair in pairs] == [
        ("a", MET, MET, True), ("b", MET, UNSURE, False), ("c", MET, NOT, False),
    ]  # fmt: skip
    told = agreement(pairs)
    assert told[0] == "The second seed says the same in 1 of 3 conclusions (a goal on a scenario), the opposite in 1."
    assert told[1] == "false abort, b: met, 0.30 % (0.10..0.88); with the second seed not significant, 0.60 % (0.28..1.30)"
    assert len(told) == 3
    assert exceptions(pairs) == []
    assert "| 3 of 3 | 0 | 0 | 0.30 % (0.10..0.88), b | 1 of 3 |" in table(pairs)


def test_a_rule_shows_where_the_intervals_lie_apart() -> None:
    shipped = row("a", "as shipped", "same", aborted=2)
    assert not differs(shipped, row("a", "no cap", "same", aborted=8))
    assert differs(shipped, row("a", "no cap", "same", aborted=80))
    assert differs(row("b", "as shipped", "worse", bad=10, half=1), row("b", "no cap", "worse", bad=13, half=1))
    assert not differs(row("b", "as shipped", "worse", bad=10, half=1), row("b", "no cap", "worse", bad=11, half=1))
