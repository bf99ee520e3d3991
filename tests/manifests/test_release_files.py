"""How the release files reach the predictors, in every state a rollout passes through."""

from __future__ import annotations

import itertools
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from pathlib import Path

CONTAINER = ("componentSpecs", 0, "spec", "containers", 0)
SHA256 = (*CONTAINER, "env", 0, "value")
IMAGE = (*CONTAINER, "image")
PER_VERSION = {("name",), ("annotations", "version"), ("graph", "modelUri"), SHA256, ("traffic",)}
OWN = "registry.example.com/models/model-server@sha256:" + "ab" * 32
APP = "overlays/prod/credit"


def write(tree: Path, name: str, **values: Any) -> None:
    """Change the keys of the spec in a release file; None removes one."""
    path = tree / APP / f"release/{name}.yaml"
    content = yaml.safe_load(path.read_text())
    changed = {**content["spec"], **values}
    content["spec"] = {key: value for key, value in changed.items() if value is not None}
    path.write_text(yaml.safe_dump(content))


def toggle(tree: Path, component: str) -> None:
    path = tree / APP / "release/kustomization.yaml"
    path.write_text(path.read_text().replace("at-rest", component))


@pytest.fixture
def started(tree: Path) -> Path:
    """The manifests with version 8 of credit started in prod, at 0 %."""
    write(tree, "model", version="8", modelUri="s3://models/credit/8", sha256="8" * 64)
    write(tree, "traffic", stable=100, canary=0)
    toggle(tree, "in-rollout")
    return tree


@pytest.fixture
def predictors(render):
    """Render credit in prod and return its predictors by name."""

    def predictors(tree: Path) -> dict[str, dict[str, Any]]:
        (sdep,) = (found for found in render(tree / APP) if found["kind"] == "SeldonDeployment")
        return {predictor["name"]: predictor for predictor in sdep["spec"]["predictors"]}

    return predictors


def leaves(value: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {at: leaf for key, inner in items for at, leaf in leaves(inner, (*path, key)).items()}
    return {path: value}


def differences(left: Any, right: Any) -> set[tuple[Any, ...]]:
    a, b = leaves(left), leaves(right)
    return {path for path in a.keys() | b.keys() if (path in a, a.get(path)) != (path in b, b.get(path))}


def test_in_rollout_stable_runs_stable_yaml_and_canary_runs_model_yaml(started, predictors):
    found = predictors(started)
    old = yaml.safe_load((started / APP / "release/stable.yaml").read_text())["spec"]
    got = {name: (one["annotations"]["version"], one["graph"]["modelUri"], leaves(one)[SHA256]) for name, one in found.items()}
    assert got == {
        "stable": (old["version"], old["modelUri"], old["sha256"]),
        "canary": ("8", "s3://models/credit/8", "8" * 64),
    }


def test_the_canary_differs_from_stable_in_its_version_and_nothing_else(started, predictors):
    found = predictors(started)
    assert differences(found["stable"], found["canary"]) == PER_VERSION


def test_starting_changes_nothing_on_the_predictor_that_serves(tree, predictors):
    before = predictors(tree)["stable"]
    write(tree, "model", version="8", modelUri="s3://models/credit/8", sha256="8" * 64)
    toggle(tree, "in-rollout")
    assert predictors(tree)["stable"] == before


def test_a_step_changes_two_integers_and_what_says_so_for_people(started, render):
    renders = []
    for canary in (0, 5, 25):
        write(started, "traffic", stable=100 - canary, canary=canary)
        renders.append(render(started / APP))
    for before, after in itertools.pairwise(renders):
        changed = {path[1:] for path in differences(before, after)}
        assert changed == {
            *(("spec", "predictors", number, "traffic") for number in (0, 1)),
            *(("metadata", "annotations", f"rollout/{name}") for name in ("stable", "canary")),
        }
    traffic = [leaf for path, leaf in leaves(renders[-1]).items() if path[-1] == "traffic"]
    assert traffic == [75, 25]


def test_versions_and_traffic_stand_in_the_annotations_of_the_seldondeployment_itself_and_of_nothing_that_pods_are_made_of(
    started, render
):
    def said():
        (sdep,) = (found for found in render(started / APP) if found["kind"] == "SeldonDeployment")
        inner = {key for path in leaves(sdep["spec"]) for key in path if str(key).startswith("rollout/")}
        words = sdep["metadata"]["annotations"].items()
        return {name: text for name, text in words if name.startswith("rollout/")}, inner

    old = yaml.safe_load((started / APP / "release/stable.yaml").read_text())["spec"]["version"]
    assert said() == ({"rollout/stable": f"{old} at 100 %", "rollout/canary": "8 at 0 %"}, set())
    write(started, "traffic", stable=75, canary=25)
    assert said() == ({"rollout/stable": f"{old} at 75 %", "rollout/canary": "8 at 25 %"}, set())
    write(started, "stable", version="8", modelUri="s3://models/credit/8", sha256="8" * 64)
    assert said() == ({"rollout/stable": "8 at 75 %", "rollout/canary": "8 at 25 %"}, set())
    path = started / APP / "release/kustomization.yaml"
    path.write_text(path.read_text().replace("in-rollout", "at-rest"))
    assert said() == ({"rollout/stable": "8 at 100 %"}, set())


def test_completing_rolls_stable_alone_and_closing_leaves_it_untouched(started, predictors):
    write(started, "traffic", stable=75, canary=25)
    before = predictors(started)
    write(started, "stable", version="8", modelUri="s3://models/credit/8", sha256="8" * 64)
    handing_over = predictors(started)
    assert handing_over["canary"] == before["canary"]
    assert differences(handing_over["stable"], before["stable"]) == PER_VERSION - {("name",), ("traffic",)}
    write(started, "traffic", stable=100, canary=0)
    at_zero = predictors(started)
    path = started / APP / "release/kustomization.yaml"
    path.write_text(path.read_text().replace("in-rollout", "at-rest"))
    assert predictors(started) == {"stable": at_zero["stable"]}


def test_each_predictor_has_its_own_disruption_budget(started, render):
    budgets = [one for one in render(started / APP) if one["kind"] == "PodDisruptionBudget"]
    pods = {one["metadata"]["name"]: one["spec"]["selector"]["matchLabels"] for one in budgets}
    assert pods == {"stable": {"seldon-app": "credit-stable"}, "canary": {"seldon-app": "credit-canary"}}


def test_the_release_files_stay_out_in_rollout_and_nothing_is_left_to_fill_in(started, render):
    objects = render(started / APP)
    assert not {found["kind"] for found in objects} & {"ModelVersion", "TrafficSplit"}
    assert [leaf for leaf in leaves(objects).values() if "placeholder" in str(leaf)] == []


def test_an_image_of_its_own_reaches_only_the_version_that_names_it(started, predictors):
    write(started, "model", version="8-r2", image=OWN)
    found = predictors(started)
    assert differences(found["stable"], found["canary"]) == {*PER_VERSION, IMAGE}
    assert leaves(found["canary"])[IMAGE] == OWN


def test_an_image_of_its_own_stays_with_the_version_when_it_becomes_stable(started, predictors):
    images = []
    write(started, "stable", image=OWN)
    images.append({name: leaves(one)[IMAGE] for name, one in predictors(started).items()})
    write(started, "model", image=OWN)
    path = started / APP / "release/kustomization.yaml"
    path.write_text(path.read_text().replace("in-rollout", "at-rest"))
    images.append({name: leaves(one)[IMAGE] for name, one in predictors(started).items()})
    assert images[0]["stable"] == OWN
    assert images[0]["canary"] != OWN
    assert images[1] == {"stable": OWN}


def test_a_persons_switches_change_nothing_that_runs(started, render):
    before = render(started / APP)
    write(started, "model", hold=True, attempt=2)
    assert render(started / APP) == before


def test_a_patch_in_common_reaches_both_predictors(started, predictors):
    path = started / "overlays/prod/common/kustomization.yaml"
    path.write_text(path.read_text() + "      - {op: add, path: /spec/predictors/0/labels, value: {team: risk}}\n")
    found = predictors(started)
    assert found["stable"]["labels"] == found["canary"]["labels"] == {"team": "risk"}
    assert differences(found["stable"], found["canary"]) == PER_VERSION


@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [
        *((name, "ModelVersion", key) for name in ("model", "stable") for key in ("version", "modelUri", "sha256")),
        *(("traffic", "TrafficSplit", key) for key in ("stable", "canary")),
    ],
)
def test_a_missing_key_fails_the_build_by_name(started, render, name, kind, key):
    write(started, name, **{key: None})
    with pytest.raises(subprocess.CalledProcessError, match="exit status 1") as error:
        render(started / APP)
    assert f"fieldPath `spec.{key}` is missing for replacement source {kind}" in error.value.stderr
    assert f"/{name}." in error.value.stderr
