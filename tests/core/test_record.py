"""A decision as a commit message, and what an audit reads back from it."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace

import pytest

from rollout.decide import Action, Change, Decision
from rollout.gate import Arm, Batch, Verdict
from rollout.record import MARK, Record, message, pack, read, unpack
from tests.core.conftest import HEALTHY, evidence, seen, started

BATCHES = [
    Batch(end=1015.0, seconds=15.0, traffic=5, step=0, stable=Arm(950, 2), canary=Arm(50, 1, 3), routed=False),
    Batch(end=1030.0, seconds=15.0, traffic=5, step=0, stable=None, canary=Arm(0, 0)),
    Batch(end=1045.0, seconds=15.0, traffic=5, step=0, stable=None, canary=None, up=False),
]
HISTORY = [(900, 1), (910, 0)]
OBSERVED = seen(started(5), evidence=evidence(Verdict.SAFE))
ADVANCE = Decision(Action.ADVANCE, "it is safe", Change.CANARY, 25)


def trailers(text: str) -> list[str]:
    return [line for line in text.split("\n\n")[2].splitlines() if not line.startswith("Rollout-Batches: ")]


def test_a_message_says_what_why_and_on_which_numbers():
    text = message(OBSERVED, ADVANCE, HISTORY, BATCHES)
    assert text.split("\n\n")[:2] == ["credit(prod): canary 8 at 25 %", "it is safe"]
    assert trailers(text) == [
        "Rollout-Decision: advance",
        "Rollout-Release: prod/credit",
        "Rollout-Version: 8",
        "Rollout-Canary: 5 -> 25",
        "Rollout-Plan: feed",
        "Rollout-Verdict: safe, harm 0.4 of 128.6, ceiling 0.1 of 900, share 0.2 of 900, safe 31 of 20",
        "Rollout-Counts: 5 %: stable 2 of 1900, canary 1 of 100",
        "Rollout-Window: 998200 +1800 s",
        (
            'Rollout-Argo: {"app":{"revision":"c9","sync":"Synced","health":"Healthy","settled":999000.0,"applied":"c9",'
            '"failed":false,"message":""},"silence":"","reached":true,"applied":true,"settle":10.0}'
        ),
    ]


def test_a_window_that_is_not_open_says_so():
    observed = replace(OBSERVED, evidence=evidence(Verdict.NO_DATA, window_start=None))
    assert "Rollout-Window: not open" in trailers(message(observed, ADVANCE, [], []))


AFTER = {
    Change.CANARY: "5 -> 25",
    Change.STABLE: "5 -> 5",
    Change.TAKE_BACK: "5 -> 0",
    Change.TIDY: "5 -> 0",
}


@pytest.mark.parametrize(("what", "told"), AFTER.items(), ids=AFTER)
def test_the_percent_before_and_after(what, told):
    assert f"Rollout-Canary: {told}" in message(OBSERVED, replace(ADVANCE, change=what), [], [])


def test_what_is_written_is_read():
    text = message(OBSERVED, ADVANCE, HISTORY, BATCHES)
    assert MARK in text
    assert read(text) == Record(
        decision="advance", release="prod/credit", plan="feed", app=HEALTHY, silence="", reached=True, applied=True,
        settle=10.0, history=HISTORY, batches=BATCHES,
    )  # fmt: skip


def test_without_evidence_and_without_argo_cd():
    observed = replace(OBSERVED, evidence=None, app=None, silence="Argo CD answers 503", reached=False, applied=False)
    text = message(observed, ADVANCE, [], [])
    assert "Rollout-Batches" not in text
    assert read(text) == Record(
        decision="advance", release="prod/credit", plan="feed", app=None, silence="Argo CD answers 503", reached=False,
        applied=False, settle=10.0, history=[], batches=[],
    )  # fmt: skip


WHOLE = message(OBSERVED, ADVANCE, HISTORY, BATCHES)
PACKED = pack(HISTORY, BATCHES)


def packed(plain: str) -> str:
    return base64.b64encode(zlib.compress(plain.encode())).decode()


TORN = {
    "no plan": (WHOLE.replace("Rollout-Plan", "Plan"), "a trailer is missing or not whole: 'Rollout-Plan'"),
    "no Argo CD": (WHOLE.replace("Rollout-Argo", "Argo"), "a trailer is missing or not whole: 'Rollout-Argo'"),
    "an Argo CD that is no mapping": (
        WHOLE.replace("Rollout-Argo: {", "Rollout-Argo: 1 #{").replace("1 #", "[]\nRollout-X: "),
        "a trailer is missing or not whole: list indices must be integers or slices, not str",
    ),
    "batches that are no base64": (WHOLE.replace(PACKED, "%%%"), "batches that cannot be read: Only base64 data is allowed"),
    "batches cut off": (
        WHOLE.replace(PACKED, PACKED[:40]),
        "batches that cannot be read: Error -5 while decompressing data: incomplete or truncated stream",
    ),
    "batches without a history": (WHOLE.replace(PACKED, packed('{"batches": []}')), "batches that cannot be read: 'history'"),
    "batches that are numbers": (
        WHOLE.replace(PACKED, packed('{"batches": [1], "history": []}')),
        "batches that cannot be read: cannot unpack non-iterable int object",
    ),
    "batches that are no JSON": (WHOLE.replace(PACKED, packed("batches")), "Expecting value: line 1 column 1 (char 0)"),
}


@pytest.mark.parametrize(("text", "problem"), TORN.values(), ids=TORN)
def test_a_message_that_is_not_whole(text, problem):
    with pytest.raises(ValueError) as told:  # noqa: PT011  # the message is asserted below
        read(text)
    assert str(told.value) == problem


def test_batches_pack_into_little_and_come_back():
    many = [replace(BATCHES[0], end=15.0 * place) for place in range(120)]
    assert unpack(pack(HISTORY, many)) == (HISTORY, many)
    assert len(pack(HISTORY, many)) < 1000
