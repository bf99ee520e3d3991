from dataclasses import replace

import pytest

from model import gates
from model.evaluate import Figure
from model.gates import Facts, Verdict, champion, judge, read
from model.table import BadInput

GOOD = Facts(
    figures={"auc": Figure(0.79, 0.77, 0.81), "calibration": Figure(0.01, 0.008, 0.02), "share": Figure(0.12, 0.11, 0.13)},
    gaps={"sex": Figure(0.05, 0.01, 0.1), "age": Figure(0.08, 0.02, 0.15)},
    worse=(-0.002, 0.001),
    stable="stable 7",
    milliseconds=1.5,
    size=300_000,
    schema=2,
    stable_schema=2,
    same_fields=True,
)

CASES = {
    "auc passes above its limit": ("auc", 0.75, {}, "passed", "AUC 0.7900 (0.7700 to 0.8100) > 0.75"),
    "auc fails at its limit": ("auc", 0.79, {}, "failed", "AUC 0.7900 (0.7700 to 0.8100) is not above 0.79, by 0.0000"),
    "error passes below": ("error", 0.5, {}, "passed", "error 0.1200 (0.1100 to 0.1300) of the median's < 0.5"),
    "error fails above": (
        "error",
        0.1,
        {},
        "failed",
        "error 0.1200 (0.1100 to 0.1300) of the median's is not below 0.1, by 0.02",
    ),
    "stable passes when surely not much worse": (
        "stable",
        0.005,
        {},
        "passed",
        "0.0020 better than stable 7 on the same rows, with 95 % confidence less than 0.005 worse (+0.0010)",
    ),
    "stable fails when it may be much worse, though it looks better": (
        "stable",
        0.005,
        {"worse": (-0.001, 0.006)},
        "failed",
        "0.0010 better than stable 7 on the same rows, and may be 0.0060 worse; less than 0.005 is asked for, 95 % sure",
    ),
    "stable is not compared when there is none": (
        "stable",
        0.005,
        {"worse": None, "stable": "stable 7, which is not to be had"},
        "not compared",
        "stable 7, which is not to be had: nothing to compare with",
    ),
    "calibration passes": (
        "calibration",
        0.03,
        {},
        "passed",
        "predicted and seen rates differ by 0.0100 (0.0080 to 0.0200) < 0.03",
    ),
    "calibration fails": (
        "calibration",
        0.005,
        {},
        "failed",
        "predicted and seen rates differ by 0.0100 (0.0080 to 0.0200) is not below 0.005, by 0.005",
    ),
    "groups pass by the greatest difference": (
        "groups",
        0.1,
        {},
        "passed",
        "greatest difference between groups, by age, 0.0800 (0.0200 to 0.1500) < 0.1",
    ),
    "groups fail and name the kind": (
        "groups",
        0.06,
        {},
        "failed",
        "greatest difference between groups, by age, 0.0800 (0.0200 to 0.1500) is not below 0.06, by 0.02",
    ),
    "groups too small are not compared": ("groups", 0.1, {"gaps": {}}, "not compared", "no two groups have rows enough"),
    "latency passes": ("latency", 20, {}, "passed", "99 of 100 predictions within 1.50 ms < 20 ms"),
    "latency fails": ("latency", 1, {}, "failed", "99 of 100 predictions within 1.50 ms is not below 1 ms, by 0.5 ms"),
    "size passes": ("size", 1e6, {}, "passed", "300,000 bytes < 1,000,000 bytes"),
    "size fails": ("size", 1e5, {}, "failed", "300,000 bytes is not below 100,000 bytes, by 2e+05 bytes"),
    "schema passes unchanged": ("schema", 0, {}, "passed", "schema 2, the same as stable 7's"),
    "schema passes bumped": ("schema", 0, {"same_fields": False, "schema": 3}, "passed", "schema 2 -> 3"),
    "schema fails changed and not bumped": (
        "schema",
        0,
        {"same_fields": False},
        "failed",
        "fields differ from stable 7's and both say schema 2; a higher number would be right",
    ),
    "schema is not compared when there is none": (
        "schema",
        0,
        {"stable_schema": None},
        "not compared",
        "stable 7: nothing to compare with",
    ),
}


@pytest.mark.parametrize(("gate", "limit", "facts", "outcome", "sentence"), CASES.values(), ids=CASES)
def test_gate(gate, limit, facts, outcome, sentence):
    assert judge({gate: limit}, replace(GOOD, **facts)) == [Verdict(gate, outcome, sentence)]


PASSED, FAILED, NONE = (Verdict("auc", outcome, "") for outcome in ("passed", "failed", "not compared"))
CHAMPIONS = {
    "the better wins": ({"a": [PASSED], "b": [PASSED]}, {"a": 0.7, "b": 0.8}, True, "b"),
    "where less is better, the lesser wins": ({"a": [PASSED], "b": [PASSED]}, {"a": 0.7, "b": 0.8}, False, "a"),
    "one that failed a gate never wins": ({"a": [PASSED], "b": [PASSED, FAILED]}, {"a": 0.7, "b": 0.8}, True, "a"),
    "what was not compared does not stop it": ({"a": [PASSED], "b": [NONE]}, {"a": 0.7, "b": 0.8}, True, "b"),
    "of two alike, the first": ({"a": [PASSED], "b": [PASSED]}, {"a": 0.8, "b": 0.8}, True, "a"),
    "all failed: none": ({"a": [FAILED], "b": [FAILED]}, {"a": 0.7, "b": 0.8}, True, None),
}


@pytest.mark.parametrize(("verdicts", "scores", "higher", "best"), CHAMPIONS.values(), ids=CHAMPIONS)
def test_champion(verdicts, scores, higher, best):
    assert champion(scores, verdicts, higher=higher) == best


WRONG = {
    "no spec": ({}, "spec: must be gates and their limits, such as auc: {above: 0.75}"),
    "no mapping": ([1], "spec: must be gates and their limits, such as auc: {above: 0.75}"),
    "an unknown gate": (
        {"spec": {"acu": {"above": 1}}},
        "spec.acu: is unknown; must be one of auc, error, stable, calibration, groups, latency, size, schema",
    ),
    "another word": ({"spec": {"auc": {"below": 1}}}, "spec.auc: is {'below': 1}; must be {above: a number from 0}"),
    "a text": ({"spec": {"auc": {"above": "high"}}}, "spec.auc: is {'above': 'high'}; must be {above: a number from 0}"),
    "a truth for a number": (
        {"spec": {"size": {"below": True}}},
        "spec.size: is {'below': True}; must be {below: a number from 0}",
    ),
    "a number for a truth": (
        {"spec": {"schema": {"same-or-bumped": 1.5}}},
        "spec.schema: is {'same-or-bumped': 1.5}; must be {same-or-bumped: true}",
    ),
}


@pytest.mark.parametrize(("document", "message"), WRONG.values(), ids=WRONG)
def test_gates_that_cannot_be_read_are_named(document, message):
    with pytest.raises(BadInput) as error:
        read(document, "apps/credit/gates.yaml")
    assert str(error.value) == f"apps/credit/gates.yaml: {message}"


def test_settings_keep_their_order():
    assert read({"spec": {"size": {"below": 5}, "auc": {"above": 0.75}, "schema": {"same-or-bumped": True}}}, "x") == {
        "size": 5.0,
        "auc": 0.75,
        "schema": 0.0,
    }
    assert set(gates.GATES) >= {"auc", "error"}
