"""The state of a release is what its files say along history: every row of the state table, and every veto."""

from __future__ import annotations

import pytest

from rollout.state import Kind, derive, fold, state_of
from tests.core.conftest import at_rest, model, rolling, snapshots, state_after

OLD, NEW = at_rest("7"), at_rest("8")
EQUAL = {"version": "8", "stable": "8"}

STATES = {
    "at rest": ([OLD], Kind.REST),
    "at rest with stale files": ([at_rest("7", stable="6", canary=5)], Kind.REST),
    "started: in rollout at 0 %, never above": ([OLD, rolling(0)], Kind.WARMING),
    "its first commit is a start": ([rolling(0)], Kind.WARMING),
    "in rollout above 0 %, only rose": ([OLD, rolling(0), rolling(5)], Kind.STEP),
    "rose twice": ([OLD, rolling(0), rolling(5), rolling(25)], Kind.STEP),
    "fell, still above 0 %": ([OLD, rolling(0), rolling(25), rolling(5)], Kind.VETO),
    "rose again after it fell": ([OLD, rolling(0), rolling(25), rolling(5), rolling(25)], Kind.VETO),
    "stable went back after it had equalled model": (
        [OLD, rolling(0), rolling(25), rolling(25, **EQUAL), rolling(25)],
        Kind.VETO,
    ),
    "the start inherited traffic above 0 %": ([at_rest("7", canary=5), rolling(5)], Kind.VETO),
    "fell to 0 %": ([OLD, rolling(0), rolling(5), rolling(0)], Kind.DRAINING),
    "vetoed before it had traffic": ([OLD, rolling(0), OLD, rolling(0)], Kind.DRAINING),
    "equal, canary keeps its share": ([OLD, rolling(0), rolling(25), rolling(25, **EQUAL)], Kind.HANDING_OVER),
    "equal, canary at 0 %": ([OLD, rolling(0), rolling(25), rolling(25, **EQUAL), rolling(0, **EQUAL)], Kind.HANDED_OVER),
    "closed": ([OLD, rolling(0), rolling(25), rolling(25, **EQUAL), rolling(0, **EQUAL), NEW], Kind.REST),
    "completed without a step, as in dev": ([OLD, rolling(0), rolling(0, **EQUAL)], Kind.HANDED_OVER),
    "the toggle alone, with nothing new wanted": ([OLD, rolling(0, "7", "7")], Kind.HANDED_OVER),
}


@pytest.mark.parametrize(("releases", "kind"), STATES.values(), ids=STATES)
def test_state(releases, kind):
    assert state_after(*releases).kind is kind


WALKED = [OLD, rolling(0), rolling(5), rolling(25), rolling(25, **EQUAL), rolling(0, **EQUAL), NEW]
VETOES = {
    "a start taken back": ([OLD, rolling(0), OLD], "8", "8 was taken out for 7"),
    "a pull request reverted at a step": ([OLD, rolling(0), rolling(5), at_rest("7", canary=5)], "8", "8 was taken out for 7"),
    "a step taken back": ([OLD, rolling(0), rolling(5), rolling(25), rolling(5)], "8", "canary 8 fell from 25 to 5 % in c4"),
    "an abort, or the first step taken back": (
        [OLD, rolling(0), rolling(5), rolling(0)],
        "8",
        "canary 8 fell from 5 to 0 % in c3",
    ),
    "stable's new version taken back": ([*WALKED[:5], rolling(25)], "8", "stable went back from 8 to 7 in c5"),
    "the canary's 0 % taken back": ([*WALKED[:6], rolling(25, **EQUAL)], "8", "canary 8 rose again from 0 % in c6"),
    "the close taken back": ([*WALKED, rolling(0, **EQUAL)], "8", "the close of 8 was taken back"),
    "a completed rollout reverted": ([*WALKED, at_rest("7", stable="8")], "8", "8 was rolled back to 7"),
    "a start overwritten while it warms": ([OLD, rolling(0), rolling(0, "9")], "8", "8 was overwritten by 9"),
    "a step overwritten vetoes the one": ([OLD, rolling(0), rolling(5), rolling(5, "9")], "8", "8 was overwritten by 9"),
    "a step overwritten vetoes the other": (
        [OLD, rolling(0), rolling(5), rolling(5, "9")],
        "9",
        "model.yaml changed from 8 to 9 in rollout, in c3",
    ),
    "an aborted version that was closed": (
        [OLD, rolling(0), rolling(5), rolling(0), OLD],
        "8",
        "canary 8 fell from 5 to 0 % in c3",
    ),
}


@pytest.mark.parametrize(("releases", "version", "reason"), VETOES.values(), ids=VETOES)
def test_veto(releases, version, reason):
    veto = state_after(*releases).veto_on(model(version))
    assert veto is not None
    assert (veto.reason, veto.attempt, veto.commit) == (reason, 1, f"c{len(releases) - 1}")


NO_VETOES = {
    "nothing but steps up": [OLD, rolling(0), rolling(5), rolling(25)],
    "a rollout that completed": WALKED,
    "a version straight to rest, never seen before": [OLD, NEW],
    "a person's switches": [OLD, rolling(0), rolling(5), rolling(5, hold=True), rolling(5)],
    "the first commit": [rolling(5)],
}


@pytest.mark.parametrize("releases", NO_VETOES.values(), ids=NO_VETOES)
def test_no_veto(releases):
    assert state_after(*releases).vetoes == ()


COVERED = {
    "the version itself": (model("8"), True),
    "the same name with other bytes": (model("8", image="r/i:2"), True),
    "the same bytes and image under another name": (model("8-r2"), True),
    "the same bytes on another image under another name": (model("8-r2", image="r/i:2"), False),
    "another version": (model("9"), False),
    "the version with a person's next attempt": (model("8", attempt=2), False),
}


@pytest.mark.parametrize(("wanted", "covered"), COVERED.values(), ids=COVERED)
def test_a_veto_covers(wanted, covered):
    assert (state_after(OLD, rolling(0), OLD).veto_on(wanted) is not None) is covered


def test_a_vetoed_version_started_again_is_vetoed_at_once_and_says_since_when():
    state = state_after(OLD, rolling(0), OLD, rolling(0))
    assert state.walk is not None
    assert state.walk.vetoed == "8 is vetoed since c2: 8 was taken out for 7"


def test_the_start_of_a_version_that_inherits_traffic_says_so():
    state = state_after(at_rest("7", canary=5), rolling(5))
    assert state.walk is not None
    assert state.walk.vetoed == "the start of 8 inherited a canary at 5 %"


def test_a_second_attempt_walks_and_a_second_veto_covers_it():
    again = [OLD, rolling(0), OLD, rolling(0, attempt=2)]
    assert state_after(*again).kind is Kind.WARMING
    assert state_after(*again, OLD).veto_on(model("8", attempt=2)) is not None
    assert state_after(*again, OLD).veto_on(model("8", attempt=3)) is None


def test_an_overwritten_start_goes_back_to_before_the_first_of_the_two():
    walk = state_after(OLD, rolling(0), rolling(0, "9")).walk
    assert walk is not None
    assert (walk.before, walk.start.release.model.version, walk.vetoed) == ("c0", "9", "")


def test_an_overwriting_start_of_a_vetoed_version_is_vetoed():
    state = state_after(OLD, rolling(0), OLD, rolling(0, "9"), rolling(0, "8"))
    assert state.kind is Kind.DRAINING


def test_an_attempt_taken_away_in_rollout_leaves_the_veto():
    state = state_after(OLD, rolling(0), OLD, rolling(0, attempt=2), rolling(0))
    assert state.walk is not None
    assert (state.kind, state.walk.vetoed) == (Kind.DRAINING, "8 is vetoed since c2: 8 was taken out for 7")


def test_a_close_taken_back_returns_to_the_walk_that_was_closed():
    state = state_after(*WALKED, rolling(0, **EQUAL))
    assert (state.kind, state.walk and state.walk.before) == (Kind.DRAINING, "c0")


def test_the_toggle_alone_reopens_no_walk_of_another_version():
    """8 was rolled back to 7; the toggle by itself then asks for nothing, and vetoes nothing."""
    state = state_after(*WALKED, at_rest("7", stable="8"), OLD, rolling(0, "7", "7"))
    assert (state.kind, state.veto_on(model("7"))) == (Kind.HANDED_OVER, None)


def test_the_walk_knows_its_steps_and_their_commits():
    walk = state_after(*WALKED[:4]).walk
    assert walk is not None
    assert [(split.commit, split.release.canary) for split in walk.splits] == [("c1", 0), ("c2", 5), ("c3", 25)]
    assert (walk.before, walk.peak, walk.equalled) == ("c0", 25, False)


def test_what_brought_the_present_version():
    assert state_after(OLD).brought_by is None
    for upto in range(2, len(WALKED) + 1):
        walk = state_after(*WALKED[:upto]).brought_by
        assert walk is not None
        assert walk.start.commit == "c1"
    assert state_after(*WALKED, at_rest("7", stable="8")).brought_by is None


def test_what_ran_is_what_was_at_rest():
    assert [one.version for one in state_after(*WALKED).ran] == ["7", "8"]
    assert [one.version for one in state_after(*WALKED[:4]).ran] == ["7"]


def test_history_folded_in_two_parts_is_history_folded_at_once():
    history = snapshots(*WALKED, at_rest("7", stable="8"), OLD, rolling(0, "9"))
    for cut in range(1, len(history)):
        assert state_of(fold(history[cut:], fold(history[:cut]))) == derive(history)


def test_no_history_is_no_state():
    with pytest.raises(ValueError, match=r"^a release without a snapshot has no state$"):
        derive([])
