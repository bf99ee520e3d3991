"""A world with one release, whose versions are behaviours: for stories that the others could not stand beside them."""

from ..e2e.stage import PLANS

APP, ENV = "savings", "prod"
NAMESPACE, OVERLAY = f"{APP}-{ENV}", f"overlays/{ENV}/{APP}"
OTHERS = ("overlays/dev", "overlays/staging", "overlays/prod/credit", "apps/credit")


async def one_release(world, ready="90s"):
    """Take every other release out of the repository, before anything is applied. ready: the plan's deadline for a commit."""
    for version in ("1", "2"):
        world.behave(APP, version)
    await world.people.pull_request("One release is enough here", 100, ["git", "rm", "-q", "-r", *OTHERS])
    plan = (PLANS / f"{ENV}.yaml").read_text().replace("ready: 90s", f"ready: {ready}")
    await world.people.commit("A plan of seconds", {f"overlays/{ENV}/common/rollout.yaml": plan})
