"""The Kubeflow DAG: current, locked, and the same as `train`."""

import pytest
import yaml

from model.signature import Signer, make_keys
from model.table import BadInput
from pipelines import dag, steps

from .conftest import registered

COMPILED = yaml.safe_load(dag.COMPILED.read_text())
EXECUTORS = COMPILED["deploymentSpec"]["executors"]
TASKS = COMPILED["root"]["dag"]["tasks"]


def test_the_compiled_pipeline_is_current(tmp_path):
    dag.compile_to(tmp_path / "train.yaml")
    assert (tmp_path / "train.yaml").read_text() == dag.COMPILED.read_text()


def test_no_step_installs_anything_and_all_run_in_the_pinned_image():
    assert {name.removeprefix("exec-") for name in EXECUTORS} == {
        "ingest",
        "validate",
        "features",
        "train",
        "train-2",
        "evaluate",
        "register",
    }
    for one in EXECUTORS.values():
        assert one["container"]["image"] == dag.IMAGE
        assert "pip install" not in str(one["container"])


def test_every_step_says_what_it_needs():
    for name, one in EXECUTORS.items():
        assert set(one["container"]["resources"]) >= {"resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit"}, name


def test_both_learners_train_side_by_side_and_what_may_say_no_is_not_tried_again():
    assert {name: task.get("dependentTasks", []) for name, task in TASKS.items()} == {
        "ingest": [],
        "validate": ["ingest"],
        "features": ["validate"],
        "train": ["features"],
        "train-2": ["features"],
        "evaluate": ["features", "train", "train-2"],
        "register": ["evaluate", "features"],
    }
    assert {name for name, task in TASKS.items() if "retryPolicy" not in task} == {"validate", "evaluate"}
    assert {name for name, task in TASKS.items() if not task.get("cachingOptions", {}).get("enableCache")} == {
        "ingest",
        "validate",
        "register",
    }


def test_artifacts_and_metrics_are_typed():
    made = {
        name.removeprefix("comp-"): {
            key: one["artifactType"]["schemaTitle"] for key, one in component["outputDefinitions"]["artifacts"].items()
        }
        for name, component in COMPILED["components"].items()
        if "artifacts" in component.get("outputDefinitions", {})
    }
    assert made["validate"] == {
        "rows": "system.Dataset",
        "report": "system.HTML",
        "checks": "system.Artifact",
        "counts": "system.Metrics",
    }
    assert made["train"] == made["train-2"] == {"version": "system.Model"}
    assert made["evaluate"] == {
        "champion": "system.Model",
        "evaluation": "system.Artifact",
        "card": "system.Markdown",
        "page": "system.HTML",
        "figures": "system.Metrics",
        "curves": "system.ClassificationMetrics",
    }


def test_kubeflows_local_runner_publishes_and_registers_the_same_bytes_as_train(trained, desk):
    done = desk.run("local", "credit", "--version", "2")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "s3://models/credit/2")
    assert (desk.path / "out/store/credit/2.sha256").read_text().strip() == trained.report()["sha256"]
    assert registered(desk) == registered(trained)


WRONG = {
    "a version that is a path": (
        ["local", "credit", "--version", "../other/9"],
        "version '../other/9': letters, digits, '.', '_' and '-', at most 63, would be right",
    ),
    "a version of nothing": (["local", "credit", "--version", ""], "version '': "),
    "an app that is none": (["local", "../x", "--version", "9"], "app '../x' is unknown; must be one of credit, savings"),
    "an environment that is a path": (
        ["local", "credit", "--version", "9", "--env", "../x"],
        "release: is '../x/credit'; ENV/APP such as prod/credit would be right",
    ),
    "a seed below 0": (["local", "credit", "--version", "9", "--seed=-1"], "--seed = -1: must be from 0 to 2147483647"),
    "a host that is no address": (
        ["submit", "credit", "--version", "9", "--host", "kubeflow"],
        "--host = kubeflow: must be the URL of Kubeflow Pipelines' API, http://... or https://...",
    ),
    "a store that the cluster cannot reach": (
        ["submit", "credit", "--version", "9", "--host", "http://kubeflow"],
        "MODEL_STORE = '': must name what the cluster can reach, s3://... or http://...",
    ),
}


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG)
def test_bad_parameters_exit_with_2_and_leave_nothing(desk, words, message):
    done = desk.run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert (desk.published(), (desk.path / "out").exists()) == ([], False)


def test_a_version_that_is_a_path_never_reaches_the_store_when_the_dag_is_started_by_other_means(tmp_path):
    store, none = tmp_path / "store", tmp_path / "none"
    signer = Signer.of(make_keys(tmp_path / "keys").with_name("signing.key"))
    with pytest.raises(BadInput, match=r"^version '\.\./savings/9': letters, digits"):
        steps.register("credit", "../savings/9", f"file://{store}", none, none, {}, tmp_path / "registry", signer)
    assert not store.exists()
