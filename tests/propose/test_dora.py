"""`rollout dora`: the four figures, from git alone."""

import json

import pytest

from rollout.dora import Deployment, figures, table

WEEK = 7 * 86400
GOOD = Deployment("8", 0, traffic=600, stable=3600)
SLOW = Deployment("9", 0, traffic=600, stable=7200)
ABORTED = Deployment("10", 1000, traffic=1600, failed=1900)
UNSEEN = Deployment("11", 1000, failed=1300)
ROLLED_BACK = Deployment("12", 0, traffic=600, stable=3600, failed=4200)
GOING = Deployment("13", 0, traffic=600)

CASES = {
    "nothing yet": ([], (0, 0, 0, 0.0, None, None, None)),
    "one that is stable": ([GOOD], (1, 1, 0, 1.0, 3600, 0.0, None)),
    "the median of two": ([GOOD, SLOW], (2, 2, 0, 2.0, 5400, 0.0, None)),
    "one aborted": ([GOOD, ABORTED], (2, 1, 1, 1.0, 3600, 0.5, 300)),
    "one taken out before it had traffic": ([UNSEEN], (1, 0, 1, 0.0, None, 1.0, None)),
    "one rolled back was stable, and failed": ([ROLLED_BACK], (1, 1, 1, 1.0, 3600, 1.0, 3600)),
    "one still going counts as begun only": ([GOOD, GOING], (2, 1, 0, 1.0, 3600, 0.0, None)),
}


@pytest.mark.parametrize(("deployments", "wanted"), CASES.values(), ids=CASES)
def test_figures_of(deployments, wanted):
    found = figures(deployments, WEEK)
    assert tuple(getattr(found, name) for name in found.__slots__) == wanted


def test_a_rate_per_week_of_less_than_a_day_is_not_shown():
    rows = {"prod/credit": figures([GOOD], 7200)}
    assert list(table(rows, 7200))[-1] == "| prod/credit | 1 | 1 | 0 |  | 60 min | 0% |  |"
    assert list(table(rows, WEEK))[-1] == "| prod/credit | 1 | 1 | 0 | 84.0 | 60 min | 0% |  |"


def counts(desk) -> tuple[int, int, int]:
    answer = desk.rollout("dora", "--json")
    assert answer.code == 0
    row = json.loads(answer.out)["releases"].get("prod/credit", {"started": 0, "completed": 0, "failed": 0})
    return row["started"], row["completed"], row["failed"]


def test_begun_stable_and_taken_back_are_told_apart(at):
    assert counts(at("before")) == (0, 0, 0)
    assert counts(at("started")) == (1, 0, 0)
    assert counts(at("stepped")) == (1, 0, 0)
    desk = at("completed")
    assert counts(desk) == (1, 1, 0)
    desk.revert("started")
    assert counts(desk) == (1, 1, 1)
    desk.settle()
    assert counts(desk) == (1, 1, 1)


def test_an_abort_is_a_failure_from_its_0_percent_on(at):
    desk = at("stepped")
    assert desk.rollout("abort", "prod/credit", "--reason", "it smells").code == 0
    assert counts(desk) == (1, 0, 1)
    desk.settle()
    assert counts(desk) == (1, 0, 1)


def test_days_that_are_none_are_refused(at):
    answer = at("before").rollout("dora", "--days", "0")
    assert answer.code == 2
    assert "argument --days: '0': a number above 0 would be right" in answer.err
