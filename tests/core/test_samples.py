"""Counter samples become batches: first values, resets, gaps, versions; where time is cut does not matter."""

from __future__ import annotations

import math

import pytest

from rollout.gate import Arm
from rollout.samples import CANARY, STABLE, Counted, Counter, Series, complete_until

BEGIN = 100.0


def series(arm: str, kind: str, *samples: tuple[float, float], version: str = "", pod: str = "a") -> Series:
    return Series(arm, version or {STABLE: "7", CANARY: "8"}[arm], kind, (("pod", pod),), samples)


def counted(*found: Series, until: float = 130.0) -> list[Counted]:
    return Counter(10.0, BEGIN, "7", "8").count(found, 50.0, until)


def batches(*arms: tuple[Arm | None, Arm | None]) -> list[Counted]:
    return [Counted(110.0 + 10 * place, *pair) for place, pair in enumerate(arms)]


KNOWN = series(STABLE, "other", (99, 5), (109, 5), (119, 5), (129, 5))
NONE = Arm(0, 0)
SAMPLES = {
    "nothing was observed": ([], [(None, None)] * 3),
    "increases, at a batch's end still in it": (
        [series(STABLE, "other", (99, 5), (105, 7), (110, 10), (111, 14))],
        [(Arm(5, 0), NONE), (Arm(4, 0), NONE), (None, None)],
    ),
    "errors are requests": (
        [series(STABLE, "error", (99, 5), (105, 7)), series(STABLE, "other", (99, 1), (105, 4))],
        [(Arm(5, 2), NONE), (None, None), (None, None)],
    ),
    "a value that fell: a process that began anew": (
        [series(STABLE, "other", (99, 50), (105, 60), (108, 4), (109, 6))],
        [(Arm(16, 0), NONE), (None, None), (None, None)],
    ),
    "what was there before only sets the mark": (
        [series(STABLE, "other", (99, 50), (115, 50))],
        [(None, None), (NONE, NONE), (None, None)],
    ),
    "the first value of a new series of an arm that is watched counts": (
        [KNOWN, series(STABLE, "error", (115, 3), pod="b")],
        [(NONE, NONE), (Arm(3, 3), NONE), (NONE, NONE)],
    ),
    "the first value of an arm that nobody watched does not": (
        [series(STABLE, "other", (115, 3), (125, 4))],
        [(None, None), (NONE, NONE), (Arm(1, 0), NONE)],
    ),
    "two series that begin an arm in one batch": (
        [series(STABLE, "other", (112, 3)), series(STABLE, "error", (115, 3), pod="b")],
        [(None, None), (NONE, NONE), (None, None)],
    ),
    "the canary's first value counts always": (
        [KNOWN, series(CANARY, "error", (115, 3))],
        [(NONE, NONE), (NONE, Arm(3, 3)), (NONE, NONE)],
    ),
    "a canary without a sample is silent where stable has some": ([KNOWN], [(NONE, NONE)] * 3),
    "a canary with samples, stable with none": (
        [series(CANARY, "other", (105, 3))],
        [(None, Arm(3, 0)), (None, None), (None, None)],
    ),
    "another version's samples are nobody's": (
        [KNOWN, series(CANARY, "error", (105, 100), version="7"), series(STABLE, "error", (105, 9), version="6")],
        [(NONE, NONE)] * 3,
    ),
    "values that are no numbers": (
        [series(STABLE, "other", (99, 5), (105, math.nan), (106, math.inf), (107, 8))],
        [(Arm(3, 0), NONE), (None, None), (None, None)],
    ),
    "slow requests: the timed ones less those within the budget": (
        [series(STABLE, kind, (99, 0), (105, value)) for kind, value in (("other", 10), ("all", 10), ("fast", 7))],
        [(Arm(10, 0, 3), NONE), (None, None), (None, None)],
    ),
    "never more slow requests than requests": (
        [series(STABLE, kind, (99, 0), (105, value)) for kind, value in (("other", 2), ("all", 10))],
        [(Arm(2, 0, 2), NONE), (None, None), (None, None)],
    ),
    "never fewer than none": (
        [series(STABLE, kind, (99, 0), (105, value)) for kind, value in (("other", 2), ("fast", 2))],
        [(Arm(2, 0, 0), NONE), (None, None), (None, None)],
    ),
}


@pytest.mark.parametrize(("found", "arms"), SAMPLES.values(), ids=SAMPLES)
def test_batches(found, arms):
    assert counted(*found) == batches(*arms)


def test_a_batch_is_complete_when_its_samples_are_all_there():
    assert [complete_until(now, 15.0, 3.0) for now in (32.9, 33.0, 47.9, 48.0)] == [15.0, 30.0, 30.0, 45.0]


def test_batches_lie_on_the_clock_wherever_reading_begins():
    counter = Counter(10.0, 104.0, "7", "8")
    found = [series(STABLE, "other", (99, 1), (103, 5), (105, 7))]
    assert counter.count(found, 90.0, 120.0) == [Counted(110.0, Arm(2, 0), NONE), Counted(120.0, None, None)]
