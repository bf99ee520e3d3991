"""Real Argo CD on a real API server walks, aborts and serves what git says; each story on a release of its own."""

import time

import aiohttp
import pytest

from lab import models
from lab.controlplane import api as kube
from lab.processes import LabError
from lab.render import git
from lab.story import folder

from .stage import ENVIRONMENTS, REAL, WALK

JSON = {"Content-Type": "application/json"}


@pytest.mark.first
async def test_root_applied_by_hand_makes_everything_else_synced_and_healthy_and_it_serves(stage):
    await stage.up()
    applications = await stage.world.argocd.applications()
    expected = {f"{app}-{env}" for app in REAL for env in ENVIRONMENTS} | {"rollout-controller"}
    assert expected <= set(applications)
    for name in expected:
        status = applications[name]["status"]
        assert (name, status["sync"]["status"], status["health"]["status"]) == (name, "Synced", "Healthy")
    sets = await stage.world.admin.list(kube.APPLICATION_SETS, "argocd")
    assert {item["metadata"]["name"] for item in sets} == {"dev", "models"}
    async with aiohttp.ClientSession() as session:
        for app in REAL:
            (question, *_) = await models.questions(app)
            for env in ENVIRONMENTS:
                url = f"{stage.world.envoy.url}/seldon/{app}-{env}/{app}/v2/models/model/infer"
                async with session.post(url, data=question, headers=JSON) as answer:
                    assert (answer.status, answer.headers["x-version"]) == (200, "1"), (app, env, await answer.text())


@pytest.mark.first
async def test_a_merged_start_walks_5_25_100_in_signed_commits_and_no_request_is_lost(stage):
    await stage.up()
    app, people = "credit", await stage.person("walk")
    before = (await stage.now(app)).sha
    stage.load(app, await models.questions(app))
    merged = await stage.start(people, app, "2")
    pushed = next(when for _, sha, when in stage.world.remote.pushes if sha == merged.sha)

    async def synced():
        return (await stage.application(f"{app}-prod"))["sync"]["revision"] == merged.sha

    await stage.wait("Argo CD compares the merged commit", synced, 60)
    stage.times["merge -> compared by Argo CD"] = time.time() - pushed

    async def first():
        return "canary/2" in stage.client(app).parts("served")

    await stage.wait("the first request to the canary", first, 180)
    stage.times["merge -> first canary request"] = time.time() - pushed
    stage.let_go()
    step = await stage.canary(app, 25)
    await stage.split(app, {"stable/1": 75, "canary/2": 25})
    stage.times["step commit -> weights applied, in prod"] = time.time() - step.time
    await stage.rests(app, "2")
    assert (await stage.walked(app, before))[-len(WALK) :] == WALK
    assert await stage.signed(app, before) == {("A. Person", ""), ("rollout", "rollout@example.com")}
    # what it syncs is the branch's head: another story's commit may already lie above ours, with the same release in it
    history = [item["revision"] for item in (await stage.application(f"{app}-prod"))["history"]]
    release = [f"{revision}:{folder(app)}" for revision in history]
    synced_trees = set((await git("rev-parse", *release, cwd=stage.world.remote.repository)).split())
    assert {commit.tree for commit in await stage.commits(app, before)} <= synced_trees
    client = await stage.stop_load(app)
    assert client.parts("lost") == {}
    assert client.total("sent") == client.total("ok")


@pytest.mark.app("broken")
async def test_a_bad_version_is_taken_out_and_git_cluster_and_stable_agree(stage):
    app, people = "broken", await stage.person("broken")
    stage.world.behave(app, "2", fails=0.6)
    stage.load(app)
    before = await stage.now(app)
    merged = await stage.start(people, app, "2")
    await stage.canary(app, 5)
    after = await stage.rests(app, "1")
    assert after.tree == before.tree
    steps = await stage.walked(app, merged.sha)
    assert (steps[0], steps[-1]) == (("2", "1", 5), ("1", "", 0))
    with pytest.raises(LabError, match="vetoed"):
        await stage.start(people, app, "2")  # `rollout start` asks for a person's word
    bot = await stage.person("bot")
    taken = ["git", "checkout", merged.sha, "--", folder(app)]  # a machine commits the start again, byte for byte
    again = await bot.pull_request("bot: 2 again", next(stage.numbers), taken)
    await stage.rests(app, "1", within=180)
    assert {canary for _, _, canary in await stage.walked(app, again)} == {0}
    client = await stage.stop_load(app)
    assert client.parts("lost") == {}


@pytest.mark.app("twice")
async def test_two_controllers_at_once_make_one_linear_history_and_no_step_twice(stage):
    app, people, world = "twice", await stage.person("twice"), stage.world
    world.behave(app, "2")
    stage.load(app)
    second = await stage.second_controller()
    before = (await stage.now(app)).sha
    await stage.start(people, app, "2")
    await stage.rests(app, "2", within=400)
    assert second.running
    await world.processes.stop(second)
    commits = await stage.commits(app, before)
    assert await stage.walked(app, before) == WALK
    assert len(commits) == len(WALK)
    repository = world.remote.repository
    assert await git("rev-list", "--merges", f"{before}..main", cwd=repository) == ""
    assert (await stage.stop_load(app)).parts("lost") == {}
