"""What a person sees in Argo CD, asked of the interface that its pages ask; and what Prometheus sees of the controller."""

import base64
import json
import re
import time
from urllib.parse import urlencode

import aiohttp

from lab.controlplane import api as kube
from lab.controlplane.argocd import NAMESPACE
from lab.processes import http_get

RELEASE = "savings-prod"


async def signed_in(stage):
    """A token of the administrator that Argo CD makes at its first start."""
    secret = await stage.world.admin.get(kube.SECRETS, NAMESPACE, "argocd-initial-admin-secret")
    said = {"username": "admin", "password": base64.b64decode(secret["data"]["password"]).decode()}
    status, answer = await asked(stage, "session", "POST", said)
    assert status == 200, answer
    return answer["token"]


async def asked(stage, path, method="GET", body=None, token=""):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{stage.world.argocd.url}/api/v1/{path}", json=body, headers=headers) as answer,
    ):
        return answer.status, json.loads(await answer.text())


def shown(answer):
    """The links of an answer, by title; the commit is whichever is synced now."""
    status, said = answer
    assert status == 200, said
    return {link["title"]: re.sub(r"\b[0-9a-f]{40}$", "(sha)", link["url"]) for link in said["items"]}


async def test_nobody_without_a_name_sees_anything(stage):
    status, _ = await asked(stage, "applications")
    assert status == 401


async def test_a_release_shows_versions_traffic_and_links_to_commit_dashboard_and_registry(stage):
    token, page = await signed_in(stage), stage.world.remote.url.removesuffix(".git")
    nodes = {}

    async def grown():  # the tree follows the cluster a moment later
        _, tree = await asked(stage, f"applications/{RELEASE}/resource-tree", token=token)
        nodes.update({(node["kind"], node["name"]): node for node in tree["nodes"]})
        return {"SeldonDeployment", "Deployment", "Pod"} <= {kind for kind, _ in nodes}

    await stage.wait("a tree down to Pods", grown, 120)
    sdep = nodes["SeldonDeployment", "savings"]
    assert (sdep["health"]["status"], sdep["health"]["message"]) == ("Healthy", "stable 1 at 100 %")
    live = await stage.seldon("savings")
    assert live["metadata"]["annotations"]["rollout/stable"] == "1 at 100 %"

    deployment = nodes["Deployment", "savings-stable-0-model"]
    assert [parent["name"] for parent in deployment["parentRefs"]] == ["savings"]
    pods = [node for (kind, _), node in nodes.items() if kind == "Pod"]
    for node in (deployment, *pods):  # the tree says of each which predictor it belongs to
        assert {"name": "version", "value": "stable"} in node["info"]

    shared = {
        "commit that is synced": f"{page}/commit/(sha)",
        "dashboard": "https://grafana.example.com/d/rollout/rollout?var-env=prod&var-app=savings",
        "registry": "https://mlflow.example.com/#/models/savings",
    }
    walk = {"walk, commit by commit": f"{page}/commits/main/overlays/prod/savings/release"}
    assert shown(await asked(stage, f"applications/{RELEASE}/links", token=token)) == shared | walk
    query = {
        "namespace": RELEASE,
        "resourceName": "savings",
        "version": "v1",
        "group": "machinelearning.seldon.io",
        "kind": "SeldonDeployment",
    }
    assert shown(await asked(stage, f"applications/{RELEASE}/resource/links?{urlencode(query)}", token=token)) == shared
    assert shown(await asked(stage, "applications/rollout-controller/links", token=token)).keys() == {"commit that is synced"}


async def test_argo_cds_own_rollback_button_is_refused(stage):
    token = await signed_in(stage)
    history = (await stage.application(RELEASE))["history"]
    body = {"name": RELEASE, "id": history[0]["id"]}
    status, said = await asked(stage, f"applications/{RELEASE}/rollback", "POST", body, token)
    assert status == 400
    assert "auto-sync is enabled" in said["message"]


async def test_prometheus_scrapes_the_controller_as_its_podmonitor_says(stage):
    labels = 'job="rollout/rollout-controller",namespace="rollout",endpoint="http"'

    async def value(metric):
        query = urlencode({"query": metric})
        _, said = await http_get(f"{stage.world.prometheus.url}/api/v1/query?{query}", timeout=10)
        return [float(one["value"][1]) for one in json.loads(said)["data"]["result"]]

    async def scraped():
        return await value(f"rollout_hold_all{{{labels}}}") == [0]

    await stage.wait("the controller says that nothing keeps it from looking", scraped, 120)
    (last,) = await value(f"rollout_last_tick_timestamp_seconds{{{labels}}}")
    assert time.time() - last < 60
