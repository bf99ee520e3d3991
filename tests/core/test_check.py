"""The check: every row of the table of changes, and everything that can be wrong with a tree, in its exact words."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from rollout.check import Tree, changes, problems, unwatched
from rollout.release import Key, Toggle, write_toggle, write_traffic
from rollout.state import derive
from tests.core.conftest import IN, KEY, REST, at_rest, rolling, snapshots
from tests.core.test_bad_input import MODEL, PLAN, SHA, TOGGLE, TRAFFIC

OLD, NEW, EQUAL = at_rest("7"), at_rest("8"), {"version": "8", "stable": "8"}
COMPLETED = [OLD, rolling(0), rolling(25), rolling(25, **EQUAL), rolling(0, **EQUAL), NEW]
ROLLED_BACK = [*COMPLETED, at_rest("7", stable="8"), OLD]
FOLDER = "overlays/prod/credit/release"
STRAIGHT = "without in-rollout: it would go straight to 100 %; `rollout start` would be right"
WRITES = "stable.yaml: spec: changed at rest; the controller writes it"

CHANGES = {
    "no change": ([OLD], OLD, ""),
    "a start": ([OLD], rolling(0), ""),
    "a start of a version that ran here before": (COMPLETED, rolling(0, "7", "8"), ""),
    "a start with a person's switches": ([OLD], rolling(0, hold=True), ""),
    "a start of a vetoed version": (
        ROLLED_BACK,
        rolling(0),
        "model.yaml: spec.version: is '8', vetoed since c6: 8 was rolled back to 7; a person's `attempt: 2` reopens it",
    ),
    "a person's next attempt": (ROLLED_BACK, rolling(0, attempt=2), ""),
    "a start with traffic": ([OLD], rolling(5), "traffic.yaml: spec.canary: is 5 at the start; 0 would be right"),
    "a start on another stable": (
        [OLD],
        rolling(0, stable="6"),
        "stable.yaml: spec.version: is '6' at the start; '7' would be right",
    ),
    "a start of the version that runs": (
        [OLD],
        rolling(0, "7"),
        "kustomization.yaml: components: in-rollout, but 7 runs already; at-rest would be right, or a revert of its pull request",
    ),
    "straight to another version": ([OLD], NEW, f"model.yaml: spec.version: is '8' {STRAIGHT}"),
    "back to a version that ran before": (COMPLETED, at_rest("7", stable="8"), ""),
    "a revert of the start, warming": ([OLD, rolling(0)], OLD, ""),
    "a revert of the start, at a step": ([OLD, rolling(0), rolling(5)], at_rest("7", canary=5), ""),
    "out of a rollout to the version walked": ([OLD, rolling(0)], NEW, f"model.yaml: spec.version: is '8' {STRAIGHT}"),
    "out of a rollout to a third version": ([OLD, rolling(0)], at_rest("9"), f"model.yaml: spec.version: is '9' {STRAIGHT}"),
    "another version in rollout": (
        [OLD, rolling(0)],
        rolling(0, "9"),
        "model.yaml: spec.version: is '9' while 8 is in rollout; one at a time",
    ),
    "more traffic": (
        [OLD, rolling(0), rolling(5)],
        rolling(25),
        "traffic.yaml: spec.canary: is 25, was 5; the controller raises traffic, on evidence",
    ),
    "less traffic: a person's veto": ([OLD, rolling(0), rolling(25)], rolling(5), ""),
    "a pause in rollout": ([OLD, rolling(0), rolling(25)], rolling(25, hold=True), ""),
    "stable handed over by hand": (
        [OLD, rolling(0), rolling(25)],
        rolling(25, **EQUAL),
        "stable.yaml: spec.version: is '8', was '7'; the controller hands over, on evidence",
    ),
    "stable to a third version": (
        [OLD, rolling(0), rolling(25)],
        rolling(25, stable="6"),
        "stable.yaml: spec.version: is '6', was '7'; the controller hands over, on evidence",
    ),
    "stable handed back: a person's veto": ([OLD, rolling(0), rolling(25), rolling(25, **EQUAL)], rolling(25), ""),
    "tidied by hand": ([at_rest("7", stable="8", canary=5)], OLD, ""),
    "stable.yaml at rest, otherwise": ([OLD], at_rest("7", stable="6"), WRITES),
    "a pause at rest": ([OLD], at_rest("7", hold=True), ""),
    "traffic.yaml at rest": ([OLD], at_rest("7", canary=5), WRITES),
}


@pytest.mark.parametrize(("history", "now", "problem"), CHANGES.values(), ids=CHANGES)
def test_change(history, now, problem):
    found = changes({KEY: history[-1]}, {KEY: now}, {KEY: derive(snapshots(*history))})
    assert [str(one) for one in found] == ([f"{FOLDER}/{problem}"] if problem else [])


def test_a_new_release_may_begin_as_it_likes():
    assert list(changes({}, {KEY: rolling(5)}, {})) == []


def test_a_release_that_was_never_whole_before_may_begin_as_it_likes():
    assert list(changes({KEY: OLD}, {KEY: NEW}, {})) == []


def test_a_change_starts_one_release_at_most():
    keys = [Key("dev", "credit"), Key("prod", "credit"), Key("staging", "credit")]
    before, states = dict.fromkeys(keys, OLD), dict.fromkeys(keys, derive(snapshots(OLD)))
    assert list(changes(before, {**before, keys[1]: rolling(0)}, states)) == []
    assert [str(one) for one in changes(before, dict.fromkeys(keys, rolling(0)), states)] == [
        f"overlays/{env}/credit/release/kustomization.yaml: components: starts 8 beside dev/credit; "
        "one release per pull request would be right"
        for env in ("prod", "staging")
    ]


STABLE = MODEL.replace("name: model", "name: stable").replace('"8"', '"7"').replace("credit/8", "credit/7")
OVERLAY = "overlays/prod/credit"


def texts(**others: str) -> dict[str, str]:
    """A tree with credit in prod, 8 at rest."""
    return {
        f"{OVERLAY}/kustomization.yaml": "",
        f"{FOLDER}/model.yaml": MODEL,
        f"{FOLDER}/stable.yaml": STABLE,
        f"{FOLDER}/traffic.yaml": write_traffic(TRAFFIC, 0),
        f"{FOLDER}/kustomization.yaml": TOGGLE,
        "overlays/prod/common/kustomization.yaml": "",
        "apps/credit/rollout.yaml": PLAN,
    } | others


def predictor(name: str, version: str, traffic: int) -> dict[str, Any]:
    container = {
        "name": "model",
        "image": f"r/i@sha256:{SHA}",
        "env": [{"name": "MODEL_SHA256", "value": SHA}, {"name": "THREADS", "value": "2"}],
    }
    return {
        "name": name,
        "traffic": traffic,
        "annotations": {"version": version},
        "graph": {"modelUri": f"s3://models/credit/{version}"},
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }


def deployment(*predictors: dict[str, Any], name: str = "credit", **metadata: str) -> dict[str, Any]:
    return {"kind": "SeldonDeployment", "metadata": {"name": name, **metadata}, "spec": {"predictors": [*predictors]}}


def rendered(*objects: dict[str, Any]) -> str:
    return yaml.safe_dump_all(objects)


RESTING, ROLLED = predictor("stable", "8", 100), [predictor("stable", "7", 100), predictor("canary", "8", 0)]
SOUND = {(KEY, REST): rendered(deployment(RESTING)), (KEY, IN): rendered(deployment(*ROLLED))}


def found(tree: Tree) -> list[str]:
    return [str(one) for one in problems(tree)]


def test_a_sound_tree_has_no_problems():
    assert found(Tree(texts(), SOUND)) == []


def test_a_release_in_rollout_is_sound_too():
    tree = texts()
    tree[f"{FOLDER}/kustomization.yaml"] = write_toggle(TOGGLE, IN)
    tree[f"{FOLDER}/traffic.yaml"] = TRAFFIC
    split = deployment(predictor("stable", "7", 95), predictor("canary", "8", 5))
    assert found(Tree(tree, {**SOUND, (KEY, IN): rendered(split)})) == []


def test_a_repository_without_overlays():
    assert found(Tree({})) == ["overlays: holds no release; overlays/<env>/<app>/release would be right"]


def without(*paths: str) -> dict[str, str]:
    return {path: text for path, text in texts().items() if path not in paths}


TREES = {
    "an overlay without an app": (
        without("apps/credit/rollout.yaml"),
        ["overlays/prod/credit: has no app; a folder apps/credit would be right"],
    ),
    "an app without a plan": (
        without("apps/credit/rollout.yaml") | {"apps/credit/kustomization.yaml": ""},
        ["apps/credit/rollout.yaml: is missing; every app has a plan"],
    ),
    "an overlay without a release": (
        without(*(f"{FOLDER}/{name}.yaml" for name in ("model", "stable", "traffic", "kustomization"))),
        [f"{FOLDER}/model.yaml: is missing; a release has model.yaml, stable.yaml, traffic.yaml, kustomization.yaml"],
    ),
    "an unknown key in a plan": (
        texts() | {"apps/credit/rollout.yaml": PLAN.replace("steps", "stages")},
        ["apps/credit/rollout.yaml: spec.steps: is missing"],
    ),
    "an environment's file that fits no plan": (
        texts() | {"overlays/prod/common/rollout.yaml": "spec: 1"},
        ["overlays/prod/common/rollout.yaml: apiVersion: is missing"],
    ),
    "an Application that ignores traffic": (
        texts() | {"argocd/a.yaml": "spec:\n  ignoreDifferences:\n    - jsonPointers: [/spec/predictors/0/traffic]\n"},
        ["argocd/a.yaml: ignoreDifferences: names traffic; none would be right: git alone says the traffic"],
    ),
    "an Application that ignores something else": (texts() | {"argocd/a.yaml": "traffic: 1\nignoreDifferences: [x]\n"}, []),
}


@pytest.mark.parametrize(("tree", "told"), TREES.values(), ids=TREES)
def test_tree(tree, told):
    assert found(Tree(tree)) == told


def changed(one: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {**one, **values}


def container(one: dict[str, Any], **values: Any) -> dict[str, Any]:
    (inner,) = one["componentSpecs"][0]["spec"]["containers"]
    return {**one, "componentSpecs": [{"spec": {"containers": [{**inner, **values}]}}]}


STABLE_7, CANARY_8 = ROLLED
OTHER_SHA = [{"name": "MODEL_SHA256", "value": "b8" * 32}]
RENDERS = {
    "a placeholder": (
        REST,
        [deployment(RESTING), {"kind": "PodMonitor", "metadata": {"name": "m"}, "spec": [{"port": "placeholder"}]}],
        "PodMonitor/m spec[0].port: is 'placeholder' in the render (at-rest); no replacement fills it in",
    ),
    "another namespace": (
        REST,
        [deployment(RESTING, namespace="savings-prod")],
        "SeldonDeployment/credit metadata.namespace: is 'savings-prod'; credit-prod would be right",
    ),
    "no SeldonDeployment": (
        REST,
        [{"kind": "Service", "metadata": {"name": "s"}}],
        "SeldonDeployment: rendered: none; exactly one, named credit, would be right",
    ),
    "two of them": (
        REST,
        [deployment(RESTING), deployment(RESTING, name="other")],
        "SeldonDeployment: rendered: credit, other; exactly one, named credit, would be right",
    ),
    "no canary in rollout": (
        IN,
        [deployment(STABLE_7)],
        "predictors: rendered in-rollout: ['stable']; ['stable', 'canary'] would be right",
    ),
    "another version": (
        REST,
        [deployment(changed(RESTING, annotations={"version": "7"}))],
        "predictor stable annotations.version: is '7' in the render; '8' would be right",
    ),
    "no version": (
        REST,
        [deployment(changed(RESTING, annotations={}))],
        "predictor stable annotations.version: is None in the render; '8' would be right",
    ),
    "another model URI": (
        REST,
        [deployment(changed(RESTING, graph={"modelUri": "s3://models/credit/7"}))],
        "predictor stable graph.modelUri: is 's3://models/credit/7' in the render; 's3://models/credit/8' would be right",
    ),
    "another checksum": (
        REST,
        [deployment(container(RESTING, env=OTHER_SHA))],
        f"predictor stable env MODEL_SHA256: is '{'b8' * 32}' in the render; '{SHA}' would be right",
    ),
    "other traffic": (
        REST,
        [deployment(changed(RESTING, traffic=99))],
        "predictor stable traffic: is 99 in the render; 100 would be right",
    ),
    "the latest image": (
        REST,
        [deployment(container(RESTING, image="r/i:latest"))],
        "predictor stable image: is 'r/i:latest'; an image by digest (name@sha256:...) or version, never latest, would be right",
    ),
    "a canary that differs in more than its version": (
        IN,
        [deployment(STABLE_7, changed(CANARY_8, replicas=1))],
        "predictor canary replicas: is 1, stable's is None; a patch that reaches both would be right",
    ),
    "a canary with another variable": (
        IN,
        [
            deployment(
                STABLE_7, container(CANARY_8, env=[{"name": "MODEL_SHA256", "value": SHA}, {"name": "THREADS", "value": "4"}])
            )
        ],
        (
            "predictor canary componentSpecs[0].spec.containers[0].env[1].value: is '4', stable's is '2'; "
            "a patch that reaches both would be right"
        ),
    ),
}


@pytest.mark.parametrize(("toggle", "objects", "told"), RENDERS.values(), ids=RENDERS)
def test_render(toggle, objects, told):
    tree = Tree(texts(), {**SOUND, (KEY, toggle): rendered(*objects)})
    assert found(tree) == [f"{OVERLAY}: {told}"]


def test_a_render_without_the_model_container_says_all_that_is_missing():
    bare = {**RESTING, "componentSpecs": [{"spec": {"containers": [{"name": "other"}]}}]}
    assert found(Tree(texts(), {**SOUND, (KEY, REST): rendered(deployment(bare))})) == [
        f"{OVERLAY}: predictor stable env MODEL_SHA256: is None in the render; '{SHA}' would be right",
        (
            f"{OVERLAY}: predictor stable image: is None; "
            "an image by digest (name@sha256:...) or version, never latest, would be right"
        ),
    ]


def test_an_image_of_its_own_must_arrive():
    own = {**texts(), f"{FOLDER}/model.yaml": MODEL.replace("  #", "  image: r/i:2\n  #")}
    assert found(Tree(own, {(KEY, REST): SOUND[KEY, REST]})) == [
        f"{OVERLAY}: predictor stable image: is 'r/i@sha256:{SHA}' in the render; 'r/i:2' would be right"
    ]


def test_versions_of_different_bytes_and_images_are_what_may_differ():
    files = {**texts(), f"{FOLDER}/stable.yaml": STABLE.replace(SHA, "b8" * 32)}
    bytes_of_7 = [{"name": "MODEL_SHA256", "value": "b8" * 32}, {"name": "THREADS", "value": "2"}]
    stable = container(STABLE_7, env=bytes_of_7, image="r/i:1")
    assert found(Tree(files, {**SOUND, (KEY, IN): rendered(deployment(stable, CANARY_8))})) == []


def test_a_release_that_does_not_render():
    tree = Tree(texts(), {(KEY, REST): SOUND[KEY, REST], (KEY, IN): RuntimeError("no such file")})
    assert found(tree) == [f"{OVERLAY}: in-rollout: does not render: no such file"]


def test_duplicate_names():
    """Environment and app may join to the same namespace; then the same object is rendered twice."""
    one, other = Key("c", "a-b"), Key("b-c", "a")
    files: dict[str, str] = {}
    for key in (one, other):
        files |= {
            path.replace("prod/credit", str(key)): text.replace("credit", key.app)
            for path, text in texts().items()
            if "prod/credit" in path
        }
        files[f"apps/{key.app}/rollout.yaml"] = PLAN.replace("credit", key.app)
    renders: dict[tuple[Key, Toggle], str | Exception] = {}
    for key in (one, other):
        own = {**RESTING, "graph": {"modelUri": f"s3://models/{key.app}/8"}}
        renders[key, REST] = rendered(deployment(own, name=key.app), {"kind": "Service", "metadata": {"name": "s"}})
    assert found(Tree(files, renders)) == ["overlays/c/a-b: Service/s: is rendered by b-c/a too"]


SERIES = '{service="predictions",namespace="credit-prod",deployment_name="credit"}'
GATES = "apps/credit/rollout.yaml: spec.gates"
LATENCY = PLAN + "  gates: {latency: {budget: 0.3s}}\n"
WATCHED = {
    "the counters are there": (PLAN, {KEY: ()}, []),
    "no series": (
        PLAN,
        {},
        [f"{GATES}: match no series: {SERIES}; the executor's request counters, scraped, would be right (prod/credit)"],
    ),
    "a budget that is a bucket's bound": (LATENCY, {KEY: (0.1, 0.3)}, []),
    "a budget between two bounds": (
        LATENCY,
        {KEY: (0.5, 0.1)},
        [f"{GATES}.latency.budget: is 0.3s, the bound of no bucket of {SERIES}; one of 0.1s, 0.5s would be right"],
    ),
    "a budget without buckets": (
        LATENCY,
        {KEY: ()},
        [f"{GATES}.latency.budget: is 0.3s, the bound of no bucket of {SERIES}; one of none would be right"],
    ),
    "a plan that cannot be read is told elsewhere": ("", {KEY: ()}, []),
}


@pytest.mark.parametrize(("plan", "watched", "told"), WATCHED.values(), ids=WATCHED)
def test_gates_that_could_never_see_anything(plan, watched, told):
    tree = Tree({**texts(), "apps/credit/rollout.yaml": plan})
    assert [str(one) for one in unwatched(tree, watched)] == told
