"""Apps come and go as folders do; what serves in prod goes only when a person confirms; a broken folder harms only itself."""

import asyncio

import pytest

from lab.controlplane import api as kube
from lab.controlplane import argocd


async def test_a_new_app_is_folders_and_a_removed_one_goes_in_dev_and_waits_for_a_person_in_prod(stage):
    app, people = "comet", await stage.person("comet")
    stage.world.behave(app, "1")
    await people.commit("comet: a new app", stage.new_app(app, "dev", "prod"))
    await stage.wait("the Applications of a new app", lambda: there(stage, f"{app}-dev", f"{app}-prod"), 60)
    await stage.settled(f"{app}-dev", f"{app}-prod")
    await stage.split(app, {"stable/1": 100})

    removal = ["git", "rm", "-q", "-r", f"overlays/dev/{app}", f"overlays/prod/{app}"]
    await people.pull_request("comet goes", next(stage.numbers), removal)

    async def gone_in_dev():
        left = await stage.world.admin.list(kube.SELDON_DEPLOYMENTS, f"{app}-dev")
        return left == [] and f"{app}-dev" not in await stage.world.argocd.applications()

    await stage.wait("comet is gone in dev", gone_in_dev, 90)

    async def missed():
        conditions = (await stage.application(f"{app}-prod")).get("conditions") or []
        return any(item["type"] == "ComparisonError" for item in conditions)

    await stage.world.argocd.refresh(f"{app}-prod")
    await stage.wait("prod's Application says that its folder is gone", missed, 90)
    assert stage.world.weights(f"{app}-prod", app) == {"stable/1": 100}
    # a person deletes the Application: what serves is deleted only after a second, explicit word
    await stage.world.admin.delete(kube.APPLICATIONS, argocd.NAMESPACE, f"{app}-prod")

    await asyncio.sleep(15)
    assert await stage.seldon(app)
    assert stage.world.weights(f"{app}-prod", app) == {"stable/1": 100}
    stage.world.variables["APPLICATION"] = f"{app}-prod"
    await stage.world.step("confirm")

    async def gone():
        return await stage.world.admin.list(kube.SELDON_DEPLOYMENTS, f"{app}-prod") == []

    await stage.wait("comet is gone in prod", gone, 90)


@pytest.mark.app("shattered")
async def test_a_folder_that_does_not_render_harms_only_itself(stage):
    people = await stage.person("shattered")
    broken = {"overlays/prod/shattered/kustomization.yaml": "resources: [nowhere]\n"}
    sha = await people.commit("shattered: oops", broken)

    async def told():
        conditions = (await stage.application("shattered-prod")).get("conditions") or []
        return any(item["type"] == "ComparisonError" and "nowhere" in item["message"] for item in conditions)

    await stage.wait("the broken folder's Application says so", told, 60)
    assert stage.world.weights("shattered-prod", "shattered") == {"stable/1": 100}
    await stage.world.argocd.refresh("savings-prod")
    await stage.settled("savings-prod")
    status = await stage.application("savings-prod")
    assert status["sync"]["status"] == "Synced", sha


async def there(stage, *names):
    return set(names) <= set(await stage.world.argocd.applications())
