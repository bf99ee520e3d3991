"""`python -m pipelines train`: from rows to a branch, and every way not to."""

import json
import re
import shutil
import socket

from .conftest import registered, registry, write_csv

FOLDER = "overlays/dev/credit/release"


def test_a_run_judges_publishes_registers_and_proposes(trained):
    report = trained.report()
    assert (report["app"], report["release"], report["version"], report["uri"]) == (
        "credit",
        "dev/credit",
        "2",
        "s3://models/credit/2",
    )
    assert {one["learner"] for one in report["candidates"]} == {"lightgbm", "xgboost"}
    assert report["champion"] in ("lightgbm", "xgboost")
    assert report["auc"]["low"] < report["auc"]["value"] < report["auc"]["high"]
    assert {one["gate"]: one["outcome"] for one in report["gates"]} == {
        "auc": "passed",
        "stable": "not compared",
        "calibration": "passed",
        "groups": "passed",
        "latency": "passed",
        "size": "passed",
        "schema": "not compared",
    }
    assert (report["status"], report["data"]["quarantined"]) == ("proposed", {"ID: is there twice": 1})
    assert list(report["seconds"]) == ["all", "evaluate", "features", "ingest", "processor", "register", "training", "validate"]
    assert set(report["megabytes"]) == {"pipeline", "lightgbm", "xgboost"}
    assert min(report["megabytes"].values()) > 50
    assert report["data"]["rows"] == 5999
    assert (trained.path / "out/store/credit/2.sha256").read_text().strip() == report["sha256"]
    assert registered(trained) == [("s3://models/credit/2", report["sha256"])]


def test_the_branch_is_one_commit_on_the_base_and_touches_the_release_alone(trained):
    assert set(trained.branches()) == {"main", "train/dev-credit-2"}
    assert trained.git("diff", "--name-only", "main", "train/dev-credit-2").split() == [
        f"{FOLDER}/kustomization.yaml",
        f"{FOLDER}/model.yaml",
    ]
    assert trained.git("log", "--format=%s", "main..train/dev-credit-2") == "credit(dev): start 2\n"
    assert trained.git("status", "--porcelain") == ""
    assert f"sha256: {trained.report()['sha256']}" in trained.git("show", f"train/dev-credit-2:{FOLDER}/model.yaml")


def test_the_text_says_what_changes_what_was_judged_what_will_happen_and_how_to_go_back(trained):
    text = (trained.path / "out/train/pull-request.md").read_text()
    assert text.startswith("**credit in dev: 1 -> 2.** On merge, canary 2 starts at 0 %;")
    for piece in (
        "### Gates",
        "| auc | passed | AUC ",
        "### Old against new",
        "### What will happen",
        "### Going back",
        "+  version: ",
    ):
        assert piece in text
    page = (trained.path / "out/train/card.html").read_text()
    assert page.count("<svg") == 3
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://creativecommons.org", "").replace(
        "http://purl.org", ""
    )


def test_a_second_run_changes_nothing(trained):
    before = (trained.branches(), trained.published(), registered(trained))
    assert trained.run("train", "credit").returncode == 0
    assert (trained.branches(), trained.published(), registered(trained)) == before


def test_rows_are_compared_with_those_that_the_stable_version_learned_from(trained, tmp_path):
    trained.git("merge", "--quiet", "--ff-only", "train/dev-credit-2")
    of_stable = trained.report()["data"]["sha256"]
    path = write_csv(tmp_path / "worse.csv", **{"default.payment.next.month": dict.fromkeys(range(1000), 1)})
    done = trained.run("train", "credit", CREDIT_DATA=str(path))
    assert done.returncode == 2
    assert re.search(
        r"month is 0\.3\d+ on average, in the reference 0\.22\d*; within 20% of it would be right$", done.stderr.strip()
    )
    assert json.loads((trained.path / "out/train/validation.json").read_text())["reference"] == of_stable


def test_a_version_published_whose_branch_was_never_made_is_proposed_by_a_second_run(trained):
    commit = trained.branches()["train/dev-credit-2"]
    trained.git("branch", "-D", "train/dev-credit-2")
    assert trained.run("train", "credit").returncode == 0
    assert trained.git("rev-parse", "train/dev-credit-2^{tree}") == trained.git("rev-parse", f"{commit}^{{tree}}")
    assert trained.report()["version"] == "2"


def test_a_branch_on_a_base_that_moved_is_made_anew_on_it(trained):
    trained.gate("size: {below: 10000000}", "size: {below: 9000000}")
    trained.commit("a smaller size")
    assert trained.run("train", "credit").returncode == 0
    assert trained.git("rev-parse", "train/dev-credit-2^") == trained.git("rev-parse", "main")


def test_what_runs_already_is_not_proposed(trained):
    trained.git("merge", "--quiet", "--ff-only", "train/dev-credit-2")
    release = trained.path / FOLDER
    shape = release / "kustomization.yaml"
    shape.write_text(shape.read_text().replace("in-rollout", "at-rest"))
    stable = release / "stable.yaml"
    stable.write_text((release / "model.yaml").read_text().split("  #")[0].replace("name: model", "name: stable"))
    trained.commit("credit(dev): close canary 2")
    trained.git("branch", "-D", "train/dev-credit-2")
    done = trained.run("train", "credit")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "dev/credit runs these very bytes as 2: nothing to propose"
    assert set(trained.branches()) == {"main"}
    assert {one["outcome"] for one in trained.report()["gates"]} == {"passed"}


def test_the_release_in_rollout_is_left_alone(trained):
    trained.git("merge", "--quiet", "--ff-only", "train/dev-credit-2")
    trained.git("branch", "-D", "train/dev-credit-2")
    trained.gate("size: {below: 10000000}", "size: {below: 9000000}")
    trained.commit("another gate")
    done = trained.run("train", "credit", "--seed", "2")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: dev/credit is in rollout to 2; one at a time: let it end, or revert its pull request"
    )


def test_no_champion_exits_with_1_says_by_how_much_and_leaves_nothing(desk):
    desk.gate("auc: {above: 0.7}", "auc: {above: 0.99}")
    desk.commit("too much")
    done = desk.run("train", "credit")
    assert done.returncode == 1
    assert "no champion, nothing is registered: lightgbm: AUC 0.7" in done.stdout.splitlines()[-1]
    assert " is not above 0.99, by 0.2" in done.stdout.splitlines()[-1]
    assert (desk.report()["champion"], desk.published(), set(desk.branches())) == (None, [], {"main"})
    assert desk.report()["status"] == "no champion"
    assert registered(desk) == []
    assert desk.run("runs", "credit").stdout == "credit: 1 runs: 1 no champion; pipeline success rate 100%\n"


def test_a_registry_that_is_down_stops_before_the_branch_and_a_second_run_finishes(trained):
    shutil.rmtree(trained.path / "out/registry")
    trained.git("branch", "-D", "train/dev-credit-2")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done = trained.run("train", "credit", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: registry: credit 2 is not registered: ")
    assert set(trained.branches()) == {"main"}
    assert trained.run("train", "credit").returncode == 0
    assert set(trained.branches()) == {"main", "train/dev-credit-2"}
    assert len(registered(trained)) == 1


def test_the_registry_follows_git(trained):
    trained.git("merge", "--quiet", "--ff-only", "train/dev-credit-2")
    assert trained.run("aliases", "credit").stdout.splitlines()[0].startswith("stable-prod: ")
    shape = trained.path / FOLDER / "kustomization.yaml"
    shape.write_text(shape.read_text().replace("in-rollout", "at-rest"))
    trained.commit("credit(dev): close canary 2")
    assert trained.run("aliases", "credit").stdout.splitlines()[0] == "stable-dev: credit 2"
    assert registry(trained).get_model_version_by_alias("credit", "stable-dev").tags["sha256"] == trained.report()["sha256"]


def test_bad_rows_exit_with_2_say_so_in_the_report_and_leave_nothing(desk, tmp_path):
    path = write_csv(tmp_path / "bad.csv", 200, AGE=dict.fromkeys(range(80), ""))
    done = desk.run("train", "credit", CREDIT_DATA=str(path))
    message = f"{path}: 80 of 200 rows (40.0%) cannot be used; at most 5% would be right: AGE: is missing (80 rows)"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"error: {message}")
    assert (desk.report()["status"], desk.report()["outcome"], desk.report()["branch"]) == ("rows refused", message, "")
    assert json.loads((desk.path / "out/train/validation.json").read_text())["outcome"] == "refused"
    assert "AGE" in (desk.path / "out/train/validation.html").read_text()
    assert (desk.published(), set(desk.branches())) == ([], {"main"})


def test_an_empty_file_is_named(desk, tmp_path):
    path = tmp_path / "empty.csv"
    path.touch()
    done = desk.run("train", "credit", CREDIT_DATA=str(path))
    message = f"error: {path}: is empty; must be a CSV file with a header and the columns of the data set"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, message)


def test_gates_that_are_missing_are_named(desk):
    (desk.path / "apps/credit/gates.yaml").unlink()
    done = desk.run("train", "credit")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "error: apps/credit/gates.yaml: cannot be read (No such file or directory); every app that is trained has gates",
    )


def test_a_new_store_is_seeded_and_a_version_that_few_rows_cannot_show_to_be_as_good_is_not_proposed(desk):
    said = desk.run("seed", "credit").stdout
    assert said.startswith("s3://models/credit/1 published, sha256 ")
    assert desk.run("seed", "credit").stdout == "credit 1 is published already\n"
    done = desk.run("train", "credit")
    assert done.returncode == 1
    assert re.search(
        r"lightgbm: .* than stable 1 on the same rows, and may be 0\.0\d+ worse; less than 0\.005 ", done.stdout.splitlines()[-1]
    )
    assert (desk.published()[-1], set(desk.branches())) == ("credit/1/selftest.json", {"main"})
