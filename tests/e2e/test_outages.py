"""Parts that are away for a while: the walk holds, then goes on, and nothing is doubled. Runs when the other stories are done."""

import asyncio

import pytest

from .test_stories import WALK

AWAY = 5  # seconds


@pytest.mark.alone
@pytest.mark.app("outage")
async def test_argo_cd_the_api_server_git_and_prometheus_may_go_away_and_the_walk_goes_on(stage):
    app, people, world = "outage", await stage.person("outage"), stage.world
    world.behave(app, "2")
    stage.load(app)
    before = (await stage.now(app)).sha
    await stage.start(people, app, "2")
    await stage.canary(app, 5)

    components = [world.argocd.running[name] for name in ("application-controller", "repo-server")]
    await asyncio.gather(*(world.processes.stop(process) for process in components))
    await asyncio.sleep(AWAY)
    await asyncio.gather(*(world.argocd.start_one(name) for name in ("application-controller", "repo-server")))
    await world.argocd.ready()

    await world.processes.stop(world.kubernetes.server)
    await asyncio.sleep(AWAY)
    assert world.weights(f"{app}-prod", app)  # the data plane does not ask
    await world.kubernetes.start_server()

    await world.remote.down()
    await asyncio.sleep(AWAY)
    await world.remote.up()

    await world.prometheus.stop()
    await asyncio.sleep(AWAY)
    await world.prometheus.start()

    await stage.rests(app, "2", within=400)
    commits = await stage.commits(app, before)
    assert await stage.walked(app, before) == WALK
    assert len(commits) == len(WALK)
    assert (await stage.stop_load(app)).parts("lost") == {}
    said = "\n".join(stage.told_of_all())
    for words in ("argocd at", "prometheus at", "everything holds"):
        assert words in said, words
