"""The stand-in for the kubelet: real model servers behind a real Envoy; what it would patch at the API server is dropped."""

import asyncio
import base64
import json
import time

import pytest

from lab.controlplane.gateway import Gateway
from lab.controlplane.kubelet import Kubelet
from lab.controlplane.operator import children, routes
from lab.envoy import Envoy
from lab.pods import Nodes
from lab.processes import LabError, Processes, http_get, until

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


class Cluster:
    """Holds these objects, whatever their kind, and keeps why a Pod waits."""

    def __init__(self, **objects):
        self.objects, self.waits = objects, ""

    async def get(self, kind, namespace, name):
        return self.objects.get(name)

    async def patch(self, kind, namespace, name, change, sub=""):
        self.waits = change["status"]["containerStatuses"][0]["state"].get("waiting", {}).get("message", "")


KEYS = {"data": {"key": base64.b64encode(b"a key").decode()}}
WORDS = {"data": {"word": "a word"}}
TELL = """\
echo "KEY=${KEY-}, $(FILE)"
for each in /etc/keys /etc/words /etc/both; do cd $each && grep -r . . | sort; done
echo .
sleep 600
"""


def teller(**may):
    """A Pod that tells its variable and what its mounts hold. may: what every reference to a Secret or ConfigMap says besides."""
    keys, words = {"name": "keys", **may}, {"name": "words", **may}
    volumes = [
        {"name": "keys", "secret": {"secretName": "keys", **may}},
        {"name": "words", "configMap": words},
        {"name": "both", "projected": {"sources": [{"secret": keys}, {"configMap": words}]}},
        {"name": "tmp", "emptyDir": {}},
    ]
    container = {
        "name": "teller",
        "image": "none",
        "command": ["sh", "-c", TELL],
        "envFrom": [{"secretRef": keys}, {"configMapRef": words}],
        "env": [
            {"name": "KEY", "valueFrom": {"secretKeyRef": {**keys, "key": "key"}}},
            {"name": "FILE", "value": "/etc/keys/key"},
        ],
        "volumeMounts": [
            *({"name": name, "mountPath": f"/etc/{name}"} for name in ("keys", "words", "both")),
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    metadata = {"name": "teller", "namespace": "rollout", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {"containers": [container], "volumes": volumes}}


def told(folder, cluster, pod):
    """What the Pod prints, its own folder left out, or why it waits."""

    async def story():
        processes = Processes(folder / "logs")
        kubelet = Kubelet(cluster, Nodes(folder / "pods", processes, folder, tiny), None, {}, "")
        kubelet.pods.objects = {("rollout", "teller"): pod}
        try:
            await kubelet.look(("rollout", "teller"))
        except LabError:
            return [cluster.waits]
        running = kubelet.groups["rollout", "teller"].process

        async def done():
            return running.process is not None and running.process.tail(1) == "."

        await until("all is told", done, 30)
        printed = running.process.tail()
        await running.stop()
        return printed.replace(f"{running.folder}/", "").splitlines()[:-1]

    return asyncio.run(story())


def test_what_a_pod_names_is_in_its_mounts_and_its_variables(tmp_path):
    files = ["./key:a key", "./word:a word"]
    assert told(tmp_path, Cluster(keys=KEYS, words=WORDS), teller()) == ["KEY=a key, volumes/keys/key", *files, *files]


def test_a_secret_or_configmap_that_is_not_there_is_waited_for(tmp_path):
    assert told(tmp_path, Cluster(words=WORDS), teller()) == ["secrets rollout/keys is not there"]
    assert told(tmp_path, Cluster(keys=KEYS), teller()) == ["configmaps rollout/words is not there"]


def test_where_it_is_optional_its_mount_is_empty_and_its_variable_is_not_set(tmp_path):
    assert told(tmp_path / "neither", Cluster(), teller(optional=True)) == ["KEY=, volumes/keys/key"]
    key = "./key:a key"  # in the Secret's mount, and in the projected one
    assert told(tmp_path / "one", Cluster(keys=KEYS), teller(optional=True)) == ["KEY=a key, volumes/keys/key", key, key]


async def ready(kubelet, owner):
    group = kubelet.groups.get((PLACE[0], owner))
    return bool(group and group.process and group.process.ready)


async def gone(kubelet):
    return not kubelet.leaving
