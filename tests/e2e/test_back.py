"""The pull request reverted, at every point of a walk: all traffic is on the old version, and git says so."""

import time

import pytest

from lab.story import walk


async def reverted(stage, people, app, merged):
    """Revert a start; the seconds until all traffic is on version 1."""
    await people.revert(merged.sha)
    pushed = time.time()
    await stage.split(app, {"stable/1": 100}, within=90)
    taken = time.time() - pushed
    await stage.rests(app, "1")
    return taken


@pytest.mark.app("hasty")
async def test_a_start_reverted_while_argo_cd_is_syncing_it_leaves_nothing(stage):
    app, people = "hasty", await stage.person("hasty", queues=False)
    stage.world.behave(app, "2")
    merged = await stage.start(people, app, "2")
    await reverted(stage, people, app, merged)
    assert {canary for _, _, canary in walk(await stage.commits(app, merged.sha))} == {0}


@pytest.mark.app("midway")
async def test_a_start_reverted_at_a_step_takes_the_canary_out(stage):
    app = "midway"
    people, merged = await stage.asked_and_started(app)
    await stage.canary(app, 5)
    await stage.split(app, {"stable/1": 95, "canary/2": 5})
    stage.times["revert at 5 % -> all traffic on the old version"] = await reverted(stage, people, app, merged)
    assert (await stage.stop_load(app)).parts("lost") == {}


@pytest.mark.app("handover")
async def test_a_start_reverted_between_the_completions_commits_goes_back(stage):
    app = "handover"
    people, merged = await stage.asked_and_started(app)

    async def handing_over():
        state = await stage.now(app)
        return state.in_rollout and state.stable == "2"

    await stage.wait("stable 1 -> 2", handing_over, 240)
    await reverted(stage, people, app, merged)
    assert (await stage.stop_load(app)).parts("lost") == {}


@pytest.mark.app("closed")
async def test_a_start_reverted_after_the_close_goes_back(stage):
    app = "closed"
    people, merged = await stage.asked_and_started(app)
    await stage.rests(app, "2", within=300)
    stage.times["revert after the close -> all traffic on the old version"] = await reverted(stage, people, app, merged)
    assert (await stage.stop_load(app)).parts("lost") == {}
