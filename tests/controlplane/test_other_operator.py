"""A small world in which a program that SELDON_OPERATOR names is Seldon's operator, with the definition of SELDON_CRD.

The program is the stand-in, started by itself: Seldon's own cannot be had here. The release was there before Argo CD knew of it;
it is taken over, walks, and is left behind by the way out, with clients asking all the time.
"""

import asyncio
import sys
from pathlib import Path

import pytest
import yaml

from lab import tools
from lab.controlplane import api as kube
from lab.controlplane.seldon import CRD, Seldon
from lab.controlplane.world import ROOT, ControlPlane
from lab.processes import until
from lab.render import command
from lab.story import Seconds

from .small import APP, NAMESPACE, OVERLAY, one_release

OUT = ROOT / "out" / "controlplane"
ROLLOUT = str(Path(sys.executable).parent / "rollout")
PATIENCE = 300  # seconds for any one thing


def other(folder):
    """The settings, and what they name: a program, and a definition that can be told from the stand-in's."""
    manager, crd = folder / "manager", folder / "crd.yaml"
    manager.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lab.controlplane operator\n')
    manager.chmod(0o755)
    definition = yaml.safe_load(CRD.read_text())
    definition["metadata"]["annotations"] = {"of": "SELDON_CRD"}
    crd.write_text(yaml.safe_dump(definition))
    return {"SELDON_OPERATOR": str(manager), "SELDON_CRD": str(crd)}


async def there_before(world):
    """The release as somebody applied it by hand, long ago: one replica, other requests, nothing of this repository's own."""
    code, out, error = await command(tools.kubectl(), "kustomize", str(world.people.folder / OVERLAY))
    assert code == 0, error
    account, sdep = (
        next(item for item in yaml.safe_load_all(out) if item["kind"] == kind) for kind in ("ServiceAccount", "SeldonDeployment")
    )
    del sdep["metadata"]["annotations"], sdep["metadata"]["labels"]
    (predictor,) = sdep["spec"]["predictors"]
    predictor["replicas"] = 1
    predictor["componentSpecs"][0]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "200m"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await world.admin.apply_all([namespace, account, sdep])


async def waited(world, what, probe):
    async def checked():
        world.check()
        return await probe()

    await until(what, checked, PATIENCE)


async def split(world, wanted):
    async def probe():
        return world.weights(NAMESPACE, APP) == wanted

    await waited(world, f"{APP} split {wanted}", probe)


async def a_release_from_before_to_after(world):
    assert world.operator.running
    kind = kube.Kind("apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
    defined = await world.admin.get(kind, "", "seldondeployments.machinelearning.seldon.io")
    assert defined["metadata"]["annotations"]["of"] == "SELDON_CRD"

    await one_release(world)
    await there_before(world)
    await split(world, {"stable/1": 100})
    (written,) = await world.admin.list(kube.VIRTUAL_SERVICES, NAMESPACE)
    assert {entry["manager"] for entry in written["metadata"]["managedFields"]} == {"seldon-operator"}
    load = world.load(APP, NAMESPACE, APP, ['{"inputs": []}'], 30)

    world.variables["OVERLAY"] = OVERLAY
    told = await world.step("adopt")
    assert "200m" in told
    assert "500m" in told
    await world.apply_root()
    await world.argocd.settled("root", NAMESPACE, "rollout-controller", within=PATIENCE)
    await split(world, {"stable/1": 100})
    live = await world.admin.get(kube.SELDON_DEPLOYMENTS, NAMESPACE, APP)
    assert live["spec"]["predictors"][0]["replicas"] == 3

    await world.prometheus.scraping()
    version = ["--version", "2", "--model-uri", f"s3://models/{APP}/2", "--sha256", "ab" * 32]
    await world.people.pull_request(f"{APP}(prod): start 2", 2, [ROLLOUT, "start", f"prod/{APP}", *version])
    await split(world, {"stable/1": 95, "canary/2": 5})

    await world.step("out")
    assert await world.argocd.applications() == {}
    assert await world.admin.list(kube.APPLICATION_SETS, "argocd") == []
    assert await world.admin.list(kube.DEPLOYMENTS, "rollout") == []
    await asyncio.sleep(15)  # long enough for whatever would have gone with them
    live = await world.admin.get(kube.SELDON_DEPLOYMENTS, NAMESPACE, APP)
    shares = {f"{one['name']}/{one['annotations']['version']}": one["traffic"] for one in live["spec"]["predictors"]}
    await split(world, shares)

    await world.processes.stop(load, grace=60)
    client = Seconds.read(world.logs / f"load-{APP}.jsonl")
    assert client.parts("served")["canary/2"] > 0
    assert client.parts("lost") == {}


@pytest.mark.scenario
@pytest.mark.timeout(1800)
def test_another_operator_serves_a_release_that_was_there_before_walks_and_stays_after_the_way_out(tmp_path):
    async def whole():
        async with ControlPlane(OUT, seldon=Seldon.read(other(tmp_path))) as world:
            try:
                await a_release_from_before_to_after(world)
            except BaseException:
                await world.dump(OUT / "dump")
                raise

    asyncio.run(whole())
