"""Parts that are away for a while, which no other story could stand: the walk holds, then goes on, and nothing is doubled."""

import asyncio

import pytest

from lab.controlplane.world import ROOT, ControlPlane

from ..e2e.stage import WALK, Stage
from .small import APP, NAMESPACE, one_release

OUT = ROOT / "out" / "outages"
AWAY = 5  # seconds


async def walked_through_outages(stage):
    world, people = stage.world, await stage.person("outage")
    await one_release(world, ready="5m")  # longer than all of it is away, and Argo CD asks git again once a minute
    await world.apply_root()
    await stage.settled("root", NAMESPACE, "rollout-controller", within=300)
    await world.prometheus.scraping()
    stage.load(APP)
    before = (await stage.now(APP)).sha
    await stage.start(people, APP, "2")
    await stage.canary(APP, 5)
    await stage.split(APP, {"stable/1": 95, "canary/2": 5})

    components = [world.argocd.running[name] for name in ("application-controller", "repo-server")]
    await asyncio.gather(*(world.processes.stop(process) for process in components))
    await asyncio.sleep(AWAY)
    await asyncio.gather(*(world.argocd.start_one(name) for name in ("application-controller", "repo-server")))
    await world.argocd.ready()

    await world.processes.stop(world.kubernetes.server)
    await asyncio.sleep(AWAY)
    assert world.weights(NAMESPACE, APP)  # the data plane does not ask
    await world.kubernetes.start_server()

    await world.remote.down()
    await asyncio.sleep(AWAY)
    await world.remote.up()

    await world.prometheus.stop()
    await asyncio.sleep(AWAY)
    await world.prometheus.start()

    await stage.rests(APP, "2", within=400)
    commits = await stage.commits(APP, before)
    assert await stage.walked(APP, before) == WALK
    assert len(commits) == len(WALK)
    assert (await stage.stop_load(APP)).parts("lost") == {}
    said = "\n".join(stage.told_of_all())
    for words in ("argocd at", "prometheus at", "everything holds"):
        assert words in said, words


@pytest.mark.scenario
@pytest.mark.timeout(1800)
def test_argo_cd_the_api_server_git_and_prometheus_may_go_away_and_the_walk_goes_on():
    async def whole():
        async with ControlPlane(OUT) as world:
            try:
                await walked_through_outages(Stage(world))
            except BaseException:
                await world.dump(OUT / "dump")
                raise

    asyncio.run(whole())
