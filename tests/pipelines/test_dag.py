"""The Kubeflow DAG: current, locked, and the same as `train`."""

import yaml

from pipelines import dag


def test_the_compiled_pipeline_is_current(tmp_path):
    dag.compile_to(tmp_path / "train.yaml")
    assert (tmp_path / "train.yaml").read_text() == dag.COMPILED.read_text()


def test_no_step_installs_anything_and_all_run_in_the_pinned_image():
    executors = yaml.safe_load(dag.COMPILED.read_text())["deploymentSpec"]["executors"]
    assert set(executors) == {"exec-ingest", "exec-train", "exec-train-2", "exec-judge", "exec-publish"}
    for one in executors.values():
        assert one["container"]["image"] == dag.IMAGE
        assert "pip install" not in str(one["container"])


def test_both_learners_train_side_by_side_and_only_judging_is_not_tried_again():
    tasks = yaml.safe_load(dag.COMPILED.read_text())["root"]["dag"]["tasks"]
    assert {name: task.get("dependentTasks", []) for name, task in tasks.items()} == {
        "ingest": [],
        "train": ["ingest"],
        "train-2": ["ingest"],
        "judge": ["ingest", "train", "train-2"],
        "publish": ["judge"],
    }
    assert {name for name, task in tasks.items() if "retryPolicy" not in task} == {"judge"}
    assert {name for name, task in tasks.items() if not task.get("cachingOptions", {}).get("enableCache")} == {
        "ingest",
        "publish",
    }


def test_kubeflows_local_runner_publishes_the_same_bytes_as_train(trained, desk):
    done = desk.run("local", "credit", "--version", "2")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "s3://models/credit/2")
    assert (desk.path / "out/store/credit/2.sha256").read_text().strip() == trained.report()["sha256"]
