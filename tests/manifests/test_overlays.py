"""What must hold for every app in every environment, as committed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"[^\s:@]+(/[^\s:@]+)+(:(?!latest@)[\w.-]+)?@sha256:[0-9a-f]{64}")


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [found for found in objects if found["kind"] == kind]


def pods(objects: list[Object]) -> Iterator[Object]:
    """Every pod spec, also those that Seldon's operator will make."""
    for deployment in of_kind(objects, "Deployment"):
        yield deployment["spec"]["template"]["spec"]
    for sdep in of_kind(objects, "SeldonDeployment"):
        for predictor in sdep["spec"]["predictors"]:
            yield from (component["spec"] for component in predictor["componentSpecs"])


def containers(objects: list[Object]) -> list[Object]:
    return [one for pod in pods(objects) for one in pod.get("initContainers", []) + pod["containers"]]


def scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from scalars(inner)
    else:
        yield value


def test_names_follow_from_the_path(objects, overlay):
    _, env, app = overlay.split("/")
    assert [sdep["metadata"]["name"] for sdep in of_kind(objects, "SeldonDeployment")] == [app]
    assert {found["metadata"]["namespace"] for found in objects} == {f"{app}-{env}"}


def test_nothing_is_left_to_fill_in(objects):
    assert [text for text in scalars(objects) if "placeholder" in str(text)] == []


def test_the_release_files_are_read_and_not_applied(objects):
    assert not {found["kind"] for found in objects} & {"ModelVersion", "TrafficSplit", "Plan"}


def test_at_rest_one_predictor_has_all_traffic(objects, overlay):
    if "at-rest" not in (ROOT / overlay / "release/kustomization.yaml").read_text():
        pytest.skip("in rollout")
    (sdep,) = of_kind(objects, "SeldonDeployment")
    (predictor,) = sdep["spec"]["predictors"]
    wanted = yaml.safe_load((ROOT / overlay / "release/model.yaml").read_text())["spec"]
    assert (predictor["name"], predictor["traffic"]) == ("stable", 100)
    assert predictor["annotations"]["version"] == wanted["version"]
    assert predictor["graph"]["modelUri"] == wanted["modelUri"]


def test_release_comes_last_so_that_the_canary_is_a_copy_of_all_that_was_patched(overlay):
    assert yaml.safe_load((ROOT / overlay / "kustomization.yaml").read_text())["components"][-1] == "release"


def test_images_are_pinned_by_digest(objects):
    assert [one["image"] for one in containers(objects) if not PINNED.fullmatch(one["image"])] == []


def test_pods_get_no_rights(objects):
    for pod in pods(objects):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {key for volume in pod["volumes"] for key in volume} == {"name", "emptyDir"}
    for one in containers(objects):
        context = one["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"mountPath": "/tmp", "name": "tmp"} in one["volumeMounts"]


def test_pods_ask_for_what_they_need_and_have_a_limit(objects):
    executors = [p["svcOrchSpec"] for sdep in of_kind(objects, "SeldonDeployment") for p in sdep["spec"]["predictors"]]
    for one in containers(objects) + executors:
        assert {"cpu", "memory"} <= one["resources"]["requests"].keys()
        assert "memory" in one["resources"]["limits"]


def test_a_model_server_is_ready_only_when_the_model_is(objects):
    (sdep,) = of_kind(objects, "SeldonDeployment")
    for predictor in sdep["spec"]["predictors"]:
        assert predictor["progressDeadlineSeconds"] <= 120
        (container,) = predictor["componentSpecs"][0]["spec"]["containers"]
        env = {entry["name"]: entry["value"] for entry in container["env"]}
        assert container["name"] == predictor["graph"]["name"]
        assert container["readinessProbe"]["httpGet"]["path"] == f"/v2/models/{env['MLSERVER_MODEL_NAME']}/ready"
        ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
        assert {name: env[f"MLSERVER_{name.upper()}_PORT"] for name in ports} == ports


def test_one_disruption_budget_per_predictor_by_the_label_seldon_gives_its_pods(objects):
    (sdep,) = of_kind(objects, "SeldonDeployment")
    budgets = [budget["spec"]["selector"]["matchLabels"] for budget in of_kind(objects, "PodDisruptionBudget")]
    name = sdep["metadata"]["name"]
    assert budgets == [{"seldon-app": f"{name}-{predictor['name']}"} for predictor in sdep["spec"]["predictors"]]


def test_executor_and_model_server_are_scraped_alike(objects):
    (monitor,) = of_kind(objects, "PodMonitor")
    assert monitor["spec"]["selector"] == {"matchLabels": {"app.kubernetes.io/managed-by": "seldon-core"}}
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("metrics", "/prometheus")
    for one in containers(of_kind(objects, "SeldonDeployment")):
        assert {"name": "MLSERVER_METRICS_ENDPOINT", "value": "/prometheus"} in one["env"]


def test_staging_replays_held_out_rows_with_the_apps_image(objects, overlay):
    replays = of_kind(objects, "Deployment")
    assert len(replays) == overlay.startswith("overlays/staging/")
    words = ["--app=$(APP)", "--url=$(REPLAY_URL)", "--rate=$(REPLAY_RATE)", "--seconds=0"]  # 0: it never ends by itself
    assert [one["args"] for one in containers(replays)] == [words] * len(replays)
    assert len({one["image"] for one in containers(objects)}) == 1


def test_no_application_may_ignore_what_the_cluster_says():
    manifests = [path for folder in ("argocd", "base", "apps", "overlays") for path in (ROOT / folder).rglob("*.yaml")]
    assert [path for path in manifests if "ignoreDifferences" in path.read_text()] == []
