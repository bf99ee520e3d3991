"""The stand-in for Seldon's operator behaves as the real one does where that decides designs (SELDON facts)."""

import asyncio
import time

import pytest

from lab.processes import until

pytestmark = pytest.mark.scenario


async def health(stage, wanted, within=20):
    async def probe():
        stage.world.check()
        return stage.application()["status"]["health"]["status"] == wanted

    await until(f"health {wanted}", probe, within)
    return stage.application()["status"]["health"]["message"]


async def two_ready(stage, canary):
    stage.model("1")
    stage.model("2")
    await stage.release("1")
    await stage.healthy()
    await stage.release("2", stable="1", canary=canary)
    await stage.healthy()


def test_a_canary_that_is_not_ready_never_enters_the_routes_whatever_its_traffic_says(play):
    async def story(stage):
        stage.model("1")
        stage.model("2", ready=False)
        await stage.release("1")
        await stage.healthy()
        plan = {"overlays/prod/common/kustomization.yaml": DEADLINE_OF_TWO_SECONDS}
        await stage.release("2", stable="1", canary=25, files=plan)
        await health(stage, "Progressing")
        assert stage.split() == {"stable/1": 100}
        assert "canary" in await health(stage, "Degraded")  # the progress deadline has passed
        assert stage.split() == {"stable/1": 100}
        await stage.release("1", files=plan)
        await stage.healthy()
        assert stage.split() == {"stable/1": 100}

    play(story)


DEADLINE_OF_TWO_SECONDS = """\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
  - target: {kind: SeldonDeployment}
    patch: |-
      - {op: replace, path: /spec/predictors/0/progressDeadlineSeconds, value: 3}
"""


@pytest.mark.parametrize(
    ("version", "behaviour", "why"),
    [
        pytest.param("2", {"ends": 3}, "ended with 3: this model cannot start", id="the server ends"),
        pytest.param("9", None, "s3://models/credit/9: no such folder in the model store", id="the model URI is not there"),
    ],
)
def test_what_keeps_a_pod_from_starting_is_named_in_the_applications_health(play, version, behaviour, why):
    async def story(stage):
        stage.model("1")
        if behaviour is not None:
            stage.model(version, **behaviour)
        await stage.release("1")
        await stage.healthy()
        await stage.release(version, stable="1", canary=5)

        async def named():
            return why in stage.application()["status"]["health"]["message"]

        await until(f"the reason {why!r}", named, 15)
        assert stage.split() == {"stable/1": 100}

    play(story)


def test_the_traffic_of_a_canary_that_crash_loops_cannot_be_changed_but_removing_it_works_at_once(play):
    async def story(stage):
        await two_ready(stage, 25)
        pod = stage.world.seldon.pod("credit-prod", "credit", "canary")
        stage.world.nodes.broken.add(pod.name)
        pod.crash()
        await health(stage, "Progressing")
        await stage.release("2", stable="1", canary=0)
        await asyncio.sleep(3)
        assert stage.split() == {"stable/1": 75, "canary/2": 25}
        await stage.release("1")
        removed = time.monotonic()
        await stage.wait_split({"stable/1": 100})
        assert time.monotonic() - removed < 1
        await stage.healthy()

    play(story)


def test_removing_the_canary_and_changing_stable_in_one_commit_moves_all_traffic_to_the_old_stable_first(play):
    async def story(stage):
        await two_ready(stage, 25)
        seen = []
        await stage.release("2")  # the shortcut that nobody should take

        async def rolled():
            if not seen or seen[-1] != stage.split():
                seen.append(stage.split())
            return seen[-1] == {"stable/2": 100}

        await until("stable rolled", rolled, 15)
        assert seen == [{"stable/1": 75, "canary/2": 25}, {"stable/1": 100}, {"stable/2": 100}]

    play(story)


def test_changing_traffic_or_replicas_restarts_no_pod_and_killing_one_brings_it_back(play):
    async def story(stage):
        await two_ready(stage, 0)
        pods = [stage.world.seldon.pod("credit-prod", "credit", name) for name in ("stable", "canary")]
        processes = [pod.process.pid for pod in pods]
        await stage.release("2", stable="1", canary=25)
        await stage.wait_split({"stable/1": 75, "canary/2": 25})
        key = ("SeldonDeployment", "credit-prod", "credit")
        stage.world.cluster.patch(key, {"spec": {"predictors": [{"name": "canary", "replicas": 9}]}})
        await asyncio.sleep(0.5)
        assert [pod.process.pid for pod in pods] == processes
        pods[1].crash()
        await health(stage, "Progressing")
        await health(stage, "Healthy")
        assert pods[1].process.pid != processes[1]

    play(story)
