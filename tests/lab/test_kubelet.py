"""The stand-in for the kubelet: real model servers behind a real Envoy; what it would patch at the API server is dropped."""

import asyncio
import json
import time

import pytest

from lab.controlplane.gateway import Gateway
from lab.controlplane.kubelet import Kubelet
from lab.controlplane.operator import children, routes
from lab.envoy import Envoy
from lab.pods import Nodes
from lab.processes import Processes, http_get, until

from .conftest import tiny
from .test_controlplane import predictor, sdep

pytestmark = pytest.mark.scenario
PLACE = "credit-prod", "credit"


class Patched:
    """Takes every patch."""

    async def patch(self, kind, namespace, name, change, sub=""):
        return change


def pods_of(version, owner):
    """Three Pods of stable at a version, as the operator's Deployment makes them."""
    template = children(sdep(predictor("stable", 100, version)))[0]["spec"]["template"]
    found = {}
    for number in range(3):
        metadata = {"name": f"{owner}-{number}", "namespace": PLACE[0], "creationTimestamp": "2026-01-01T00:00:00Z"}
        metadata |= {"labels": template["metadata"]["labels"], "ownerReferences": [{"name": owner}]}
        found[PLACE[0], metadata["name"]] = {"metadata": metadata, "spec": template["spec"]}
    return found


def test_pods_that_come_back_while_those_before_them_are_leaving_lose_no_request(tmp_path):
    async def story():
        processes = Processes(tmp_path / "logs")
        envoy = Envoy(tmp_path / "envoy", processes)
        for version in ("1", "2"):
            folder = tmp_path / "models" / "credit" / version
            folder.mkdir(parents=True)
            (folder / "behaviour.json").write_text(json.dumps({}))
        await envoy.start()
        gateway = Gateway(Patched(), envoy)
        kubelet = Kubelet(Patched(), Nodes(tmp_path / "pods", processes, tmp_path / "models", tiny), gateway, {}, "")
        gateway.services.objects[PLACE], gateway.services.synced = routes(sdep(predictor("stable", 100, "1"))), True
        queue, answers, done = asyncio.create_task(kubelet.queue.run()), [], asyncio.Event()

        async def show(owner, version, there):
            pods = pods_of(version, owner)
            kubelet.pods.objects = {key: pod for key, pod in kubelet.pods.objects.items() if key not in pods}
            kubelet.pods.objects |= pods if there else {}
            kubelet.queue.add((PLACE[0], owner))

        async def served(*versions):
            async def probe():
                await gateway.settle()
                return {one.version for one, weight in envoy.routes.get(PLACE, ()) if weight} == set(versions)

            await until(f"{versions} served", probe, 30)

        async def client():
            while not done.is_set():
                answers.append((await http_get(f"{envoy.url}/seldon/credit-prod/credit/v2/x"))[0])

        await show("one", "1", there=True)
        await until("version 1 is ready", lambda: ready(kubelet, "one"), 30)
        await served("1")
        asking = asyncio.create_task(client())
        await show("two", "2", there=True)
        await until("version 2 is ready", lambda: ready(kubelet, "two"), 30)
        await served("1", "2")
        await show("one", "1", there=False)
        await served("2")
        await show("one", "1", there=True)  # while the first ones drain
        await until("version 1 is ready again", lambda: ready(kubelet, "one"), 30)
        await show("two", "2", there=False)
        await served("1")
        began = time.monotonic()
        await until("those before are gone", lambda: gone(kubelet), 60)
        await asyncio.sleep(max(0.0, 1 - (time.monotonic() - began)))
        done.set()
        await asking
        left = {backend.version for backend in envoy.backends.values()}
        queue.cancel()
        for group in kubelet.groups.values():
            await group.process.stop()
        await processes.stop_all()
        return answers, left

    answers, left = asyncio.run(story())
    assert left == {"1"}
    assert len(answers) > 50
    assert set(answers) == {200}


async def ready(kubelet, owner):
    group = kubelet.groups.get((PLACE[0], owner))
    return bool(group and group.process and group.process.ready)


async def gone(kubelet):
    return not kubelet.leaving
