"""The stand-ins' rules without processes: the webhook, the ApplicationSet, what a walk is, what a load counts."""

import pytest

from lab import applicationset
from lab.cluster import Cluster, Denied, merge
from lab.manifests import admit, pod_spec, weights
from lab.pictures import short
from lab.processes import LabError
from lab.story import Commit, Seconds, walk


def deployment(*predictors):
    return {"kind": "SeldonDeployment", "metadata": {"name": "credit"}, "spec": {"predictors": list(predictors)}}


def predictor(name, traffic=None, **more):
    return {"name": name, **({} if traffic is None else {"traffic": traffic}), **more}


@pytest.mark.parametrize(
    "predictors",
    [
        pytest.param([predictor("stable")], id="one predictor, traffic unset"),
        pytest.param([predictor("stable", 0)], id="one predictor, 0"),
        pytest.param([predictor("stable", 100)], id="one predictor, 100"),
        pytest.param([predictor("stable", 100), predictor("canary", 0)], id="two that sum to 100"),
        pytest.param([predictor("stable", 100), predictor("probe", 20, shadow=True)], id="a shadow does not count"),
    ],
)
def test_the_webhook_admits(predictors):
    admit(deployment(*predictors))


@pytest.mark.parametrize(
    ("predictors", "words"),
    [
        pytest.param([predictor("stable", 50)], "must be 100 for a single predictor", id="one predictor, 50"),
        pytest.param([predictor("stable", 90), predictor("canary", 5)], "must sum to 100", id="two that sum to 95"),
        pytest.param([predictor("stable", 105), predictor("canary", -5)], "whole numbers >= 0", id="a negative part"),
        pytest.param([predictor("stable", 100), predictor("stable", 0)], "different names", id="one name twice"),
        pytest.param([], "different names", id="no predictor"),
    ],
)
def test_the_webhook_refuses_and_the_live_object_stays(predictors, words):
    cluster, key = Cluster(admission=[admit]), ("SeldonDeployment", "credit-prod", "credit")
    good = deployment(predictor("stable", 100))
    cluster.apply(key, good)
    with pytest.raises(Denied, match=words):
        cluster.apply(key, deployment(*predictors))
    assert cluster.objects[key] == good


def test_only_traffic_and_replicas_leave_the_pods_alone():
    base = deployment(predictor("stable", 100, replicas=2, annotations={"version": "1"}, graph={"modelUri": "s3://m/c/1"}))

    def digest(**change):
        changed = deployment({**base["spec"]["predictors"][0], **change})
        return pod_spec(changed, "credit-prod", changed["spec"]["predictors"][0]).digest

    before = digest()
    assert digest(traffic=5, replicas=9) == before
    assert before not in {
        digest(annotations={"version": "2"}),
        digest(graph={"modelUri": "s3://m/c/2"}),
        digest(labels={"a": "b"}),
        digest(svcOrchSpec={"replicas": 1}),
    }


def test_a_single_predictor_gets_everything():
    assert weights(deployment(predictor("stable"))) == {"stable": 100}
    assert weights(deployment(predictor("stable", 75), predictor("canary", 25))) == {"stable": 75, "canary": 25}


def test_a_merge_patch_knows_predictors_by_name():
    old = {"predictors": [{"name": "a", "traffic": 95, "graph": {"x": 1}}, {"name": "b", "traffic": 5}], "note": "x"}
    patched = merge(old, {"predictors": [{"name": "a", "traffic": 50}], "note": None})
    assert patched == {"predictors": [{"name": "a", "traffic": 50, "graph": {"x": 1}}, {"name": "b", "traffic": 5}]}


SET = """
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: models}
spec:
  generators:
    - git:
        directories: [{path: overlays/*/*}, {path: overlays/*/common, exclude: true}]
  template:
    metadata: {name: 'NAME'}
    spec: {source: {path: '{{.path.path}}'}}
"""


@pytest.mark.parametrize("name", ["{{index .path.segments 2}}-{{ index .path.segments 1 }}", "{{path[2]}}-{{path[1]}}"])
def test_the_application_set_names_folders_and_leaves_common_out(name):
    read = applicationset.read(SET.replace("NAME", name))
    folders = [
        "base",
        "overlays",
        "overlays/prod",
        "overlays/prod/common",
        "overlays/prod/credit",
        "overlays/prod/credit/release",
    ]
    assert read.folders(folders) == ["overlays/prod/credit"]
    application = read.application("overlays/prod/credit")
    assert (application["metadata"]["name"], application["spec"]["source"]["path"]) == ("credit-prod", "overlays/prod/credit")


def test_an_expression_that_is_not_understood_is_an_error_not_a_guess():
    with pytest.raises(LabError, match=r"toLower \.path\.basename.* is not understood"):
        applicationset.read(SET.replace("NAME", "{{toLower .path.basename}}")).application("overlays/prod/credit")


def test_a_walk_is_what_the_files_said_commit_after_commit():
    def commit(model, stable, canary, in_rollout):
        return Commit("", 0, "", "", "", (), model, stable, canary, in_rollout)

    commits = [commit("2", "1", 0, True), commit("2", "1", 5, True), commit("2", "1", 5, True), commit("1", "1", 0, False)]
    assert walk(commits) == [("2", "1", 0), ("2", "1", 5), ("1", "", 0)]


def test_a_half_written_last_second_is_left_for_later(tmp_path):
    path = tmp_path / "load.jsonl"
    path.write_text('{"t": 1, "sent": 3, "failed": {"500": 2}}\n{"t": 2, "sent": 4, "failed": {}}\n{"t": 3, "se')
    counted = Seconds.read(path)
    assert (counted.total("sent"), counted.total("failed"), counted.parts("failed")) == (7, 2, {"500": 2})
    assert counted.between(2, 3).total("sent") == 4


@pytest.mark.parametrize(
    ("subject", "label"),
    [
        ("credit(prod): canary 2 at 5 %", "canary 2 at 5 %"),
        ("credit(prod): canary 3 at 0 %: 26 of 233 requests failed", "canary 3 at 0 %"),
        ('Revert "credit(prod): start 2 (#1)"', "Revert start 2 (#1)"),
    ],
)
def test_pictures_name_commits_shortly(subject, label):
    assert short(subject) == label
