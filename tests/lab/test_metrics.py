"""Prometheus sees what was served, under the executor's names: exact counts, from the first scrape on."""

import asyncio

import aiohttp
import pytest

pytestmark = pytest.mark.scenario
METRIC = "seldon_api_executor_server_requests_seconds"


async def send(stage, count):
    url = f"{stage.world.envoy.url}/seldon/credit-prod/credit/v2/models/model/infer"
    async with aiohttp.ClientSession() as session:
        for _ in range(count):
            async with session.post(url, data="{}") as answer:
                await answer.read()


def test_a_new_series_is_there_at_the_next_scrape_with_its_whole_value_and_the_executors_labels(play):
    async def story(stage):
        stage.model("1.2.3-r4", slow=0.03)
        await stage.release("1.2.3-r4")
        await stage.healthy()
        await stage.world.prometheus.scraping()
        assert await stage.query(f"{METRIC}_count") == []
        await send(stage, 7)
        await asyncio.sleep(1.5)
        (series,) = await stage.query(f"{METRIC}_count")
        labels = series["metric"]
        assert series["value"][1] == "7"
        assert labels.pop("pod").startswith("credit-stable-0-")
        assert {name: value for name, value in labels.items() if name not in ("instance", "job")} == {
            "__name__": f"{METRIC}_count",
            "namespace": "credit-prod",
            "deployment_name": "credit",
            "predictor_name": "stable",
            "predictor_version": "1.2.3-r4",
            "service": "predictions",
            "code": "200",
        }
        buckets = await stage.query(f"{METRIC}_bucket")
        by_le = {bucket["metric"]["le"]: int(bucket["value"][1]) for bucket in buckets}
        assert (by_le["0.025"], by_le["0.1"], by_le["+Inf"]) == (0, 7, 7)
        assert set(by_le) == {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"}
        names = {found["metric"]["__name__"] for found in await stage.query('{job="models"}')}
        assert {name for name in names if not name.startswith(("scrape_", "up"))} == {f"{METRIC}_count", f"{METRIC}_bucket"}

    play(story)


def test_a_models_500_is_counted_and_envoys_own_503_for_a_dead_pod_is_not(play):
    async def story(stage):
        stage.model("1", fails=1)
        await stage.release("1")
        await stage.healthy()
        await stage.world.prometheus.scraping()
        await send(stage, 5)
        pod = stage.world.seldon.pod("credit-prod", "credit", "stable")
        stage.world.nodes.broken.add(pod.name)
        pod.crash()
        await asyncio.sleep(0.3)
        await send(stage, 4)
        stage.load(20)
        await asyncio.sleep(2)
        await stage.world.stop_loads()
        assert {tuple(second["lost"]) for second in stage.seconds()} == {("503",)}
        found = {entry["metric"]["code"]: entry["value"][1] for entry in await stage.query(f"{METRIC}_count")}
        assert found == {"500": "5"}

    play(story)
