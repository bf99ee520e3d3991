"""The stand-in for Argo CD reports and repairs as Argo CD does, and says that it is a stand-in."""

import asyncio

import aiohttp
import pytest

from lab.processes import until

pytestmark = pytest.mark.scenario
APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
SELDON = ("SeldonDeployment", "credit-prod", "credit")


async def ask(stage, path):
    async with aiohttp.ClientSession() as session, session.get(stage.world.api.url + path) as answer:
        return answer.status, await answer.json(), answer.headers


async def becomes(stage, sync):
    async def probe():
        return stage.application()["status"]["sync"]["status"] == sync

    await until(f"sync {sync}", probe, 10)
    return stage.application()["status"]


def test_live_traffic_that_somebody_patched_is_put_back(play):
    async def story(stage):
        stage.model("1")
        stage.model("2")
        await stage.release("2", stable="1", canary=5)
        await stage.healthy()
        patch = {"spec": {"predictors": [{"name": "stable", "traffic": 50}, {"name": "canary", "traffic": 50}]}}
        stage.world.cluster.patch(SELDON, patch)
        await stage.wait_split({"stable/1": 50, "canary/2": 50})
        await becomes(stage, "OutOfSync")
        await stage.wait_split({"stable/1": 95, "canary/2": 5})
        await becomes(stage, "Synced")

    play(story)


def test_a_folder_that_does_not_render_leaves_what_runs_alone_and_says_why(play):
    async def story(stage):
        stage.model("1")
        stage.model("2")
        good = await stage.release("1")
        await stage.healthy()
        await stage.world.people.commit("oops", {"overlays/prod/credit/release/model.yaml": "kind: ModelVersion\n"})
        status = await becomes(stage, "Unknown")
        assert status["conditions"][0]["type"] == "ComparisonError"
        assert "kustomize build ./overlays/prod/credit` failed" in status["conditions"][0]["message"]
        assert status["operationState"]["syncResult"]["revision"] == good
        assert stage.split() == {"stable/1": 100}
        await stage.release("2")
        await stage.wait_split({"stable/2": 100})
        await stage.healthy()
        assert stage.application()["status"]["conditions"] == []

    play(story)


def test_what_the_webhook_refuses_is_a_failed_operation_with_its_words(play):
    async def story(stage):
        stage.model("1")
        await stage.release("1")
        await stage.healthy()
        traffic = "apiVersion: rollout/v1\nkind: TrafficSplit\nmetadata: {name: traffic}\nspec: {stable: 90, canary: 5}\n"
        await stage.release("1", stable="1", files={"overlays/prod/credit/release/traffic.yaml": traffic})
        status = await becomes(stage, "OutOfSync")
        assert status["operationState"]["phase"] == "Failed"
        assert "Traffic must sum to 100 for multiple predictors, found 95" in status["operationState"]["message"]
        assert stage.split() == {"stable/1": 100}

    play(story)


def test_a_commit_elsewhere_moves_the_compared_revision_and_not_the_applied_one(play):
    async def story(stage):
        stage.model("1")
        first = await stage.release("1")
        await stage.healthy()
        second = await stage.world.people.commit("a word", {"NOTES.md": "hello\n"})
        await stage.healthy()
        status = stage.application()["status"]
        assert (status["sync"]["revision"], status["operationState"]["syncResult"]["revision"]) == (second, first)

    play(story)


def test_the_list_comes_in_pages_in_the_kubernetes_form_and_says_that_it_is_a_stand_in(play):
    async def story(stage):
        stage.world.argocd.environments = None  # dev, staging and prod
        stage.model("1")
        await stage.release("1")
        await stage.healthy()
        names, token = [], ""
        for _ in range(3):
            _, page, headers = await ask(stage, f"{APPLICATIONS}?limit=2&continue={token}")
            names += [item["metadata"]["name"] for item in page["items"]]
            token = page["metadata"].get("continue", "")
            assert page["kind"] == "ApplicationList"
            assert "stands in for Argo CD" in headers["X-Stand-In"]
        assert token == ""
        assert names == [f"{app}-{env}" for app in ("credit", "savings") for env in ("dev", "prod", "staging")]
        _, whole, _ = await ask(stage, "/apis/argoproj.io/v1alpha1/applications")
        assert [item["metadata"]["name"] for item in whole["items"]] == names
        assert whole["items"][1]["spec"]["destination"]["namespace"] == "credit-prod"
        log = (stage.world.logs / "stand-ins.log").read_text().splitlines()
        assert "stands in for Argo CD" in log[0]

    play(story)


def test_it_can_refuse_and_be_down_and_pause_and_come_back(play):
    async def story(stage):
        stage.model("1")
        stage.model("2")
        await stage.release("1")
        await stage.healthy()
        stage.world.api.forbidden = True
        status, body, _ = await ask(stage, APPLICATIONS)
        assert (status, body["reason"]) == (403, "Forbidden")
        stage.world.api.forbidden = False
        await stage.world.api.down()
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(stage, APPLICATIONS)
        await stage.world.api.up()
        stage.world.argocd.paused = True
        await stage.release("2")
        await asyncio.sleep(1)
        assert stage.split() == {"stable/1": 100}
        stage.world.argocd.paused = False
        await stage.wait_split({"stable/2": 100})
        status, _, _ = await ask(stage, f"{APPLICATIONS}/credit-prod")
        assert status == 200

    play(story)
