"""The control plane's pure parts, and its builder, without processes."""

import pytest

from lab.controlplane import build
from lab.controlplane.gateway import Group, split
from lab.controlplane.kubelet import expanded, rewritten
from lab.controlplane.operator import children, predictor_of, ready, routes, state
from lab.envoy import Backend
from lab.processes import LabError


def predictor(name, traffic, version, replicas=3):
    containers = [{"name": "model", "image": "i", "ports": [{"name": "http", "containerPort": 9000}]}]
    graph = {"name": "model", "type": "MODEL", "modelUri": f"s3://models/credit/{version}"}
    return {
        "name": name,
        "traffic": traffic,
        "replicas": replicas,
        "annotations": {"version": version},
        "graph": graph,
        "componentSpecs": [{"spec": {"containers": containers}}],
    }


def sdep(*predictors):
    metadata = {"name": "credit", "namespace": "credit-prod", "uid": "u"}
    spec = {"predictors": list(predictors)}
    return {"apiVersion": "machinelearning.seldon.io/v1", "kind": "SeldonDeployment", "metadata": metadata, "spec": spec}


BOTH = sdep(predictor("stable", 100, "1"), predictor("canary", 0, "2"))


def test_children_have_the_real_operators_names_and_an_owner():
    names = {(item["kind"], item["metadata"]["name"]) for item in children(BOTH)}
    each = {
        (kind, f"credit-{arm}{end}")
        for arm in ("stable", "canary")
        for kind, end in (("Deployment", "-0-model"), ("Service", ""), ("Service", "-model"), ("DestinationRule", ""))
    }
    assert names == each
    assert {item["metadata"]["ownerReferences"][0]["uid"] for item in children(BOTH)} == {"u"}


def test_traffic_and_replicas_change_no_pod_template_and_a_version_does():
    def template(one):
        return children(sdep(one))[0]["spec"]["template"]

    assert template(predictor("stable", 5, "1", 7)) == template(predictor("stable", 100, "1"))
    assert template(predictor("stable", 100, "2")) != template(predictor("stable", 100, "1"))
    said = sdep(predictor("stable", 5, "1"))
    said["metadata"]["annotations"] = {"rollout/stable": "1 at 5 %"}
    assert children(said)[0]["spec"]["template"] == template(predictor("stable", 5, "1"))
    assert predictor_of({"spec": template(predictor("stable", 100, "1"))["spec"]})["annotations"] == {"version": "1"}


def test_a_canary_at_0_has_no_weight_field_in_its_route():
    (http,) = routes(BOTH)["spec"]["http"]
    assert [(one["destination"]["subset"], one.get("weight")) for one in http["route"]] == [("stable", 100), ("canary", None)]
    assert http["match"] == [{"uri": {"prefix": "/seldon/credit-prod/credit/"}}]


@pytest.mark.parametrize(
    ("status", "expected"),
    [({"readyReplicas": 3}, True), ({"readyReplicas": 3, "unavailableReplicas": 1}, False), ({}, False)],
)
def test_a_predictor_is_ready_when_replicas_are_and_none_is_unavailable(status, expected):
    assert ready({"status": status}) == expected
    assert not ready(None)


LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}


@pytest.mark.parametrize(
    ("canary", "expected"),
    [
        ({"status": {"readyReplicas": 3, "availableReplicas": 3}}, "Available"),
        (None, "Creating"),
        ({"status": {"conditions": [LATE, {"type": "Available", "status": "False"}]}}, "Failed"),
        ({"status": {"conditions": [LATE, {"type": "Available", "status": "True"}]}}, "Creating"),
    ],
    ids=["all are ready", "not there yet", "past its deadline", "past its deadline, and its old Pods serve"],
)
def test_the_state_is_available_failed_or_creating(canary, expected):
    said = state(BOTH, {"stable": {"status": {"readyReplicas": 3, "availableReplicas": 3}}, "canary": canary})
    assert said["state"] == expected
    assert said["deploymentStatus"]["credit-stable-0-model"] == {"replicas": 3, "availableReplicas": 3}


def group(arm, version, ready):
    labels = tuple(sorted({"seldon-app": f"credit-{arm}", "version": arm}.items()))
    return Group(Backend("credit-prod", "credit", arm, version, f"{arm}-{version}", 1), labels, ready)


@pytest.mark.parametrize(
    ("weights", "groups", "expected"),
    [
        ((95, 5), [("stable", "1", 3), ("canary", "2", 3)], {"stable-1": 19, "canary-2": 1}),
        ((95, 5), [("stable", "1", 2), ("stable", "2", 1), ("canary", "2", 3)], {"stable-1": 38, "stable-2": 19, "canary-2": 3}),
        ((75, 25), [("stable", "1", 3), ("canary", "2", 0)], {"stable-1": 3, "canary-2": 1}),
        ((100, 0), [("stable", "1", 3), ("canary", "2", 3)], {"stable-1": 1, "canary-2": 0}),
    ],
    ids=["as committed", "by ready pods while stable rolls", "to a subset without a ready pod too", "nothing at 0"],
)
def test_the_gateway_splits(weights, groups, expected):
    service = routes(sdep(predictor("stable", weights[0], "1"), predictor("canary", weights[1], "2")))
    found = split(service, [group(*one) for one in groups])
    assert {backend.pod: weight for backend, weight in found} == expected


def test_paths_addresses_and_names_are_rewritten_whole_and_once():
    table = {"/tmp": "/tmp/pods/x", "0.0.0.0:8080": "127.0.0.1:9", "http://prom.svc:9090": "http://127.0.0.1:1"}
    words = "--cache=/tmp/a --listen=0.0.0.0:8080 --prometheus=http://prom.svc:9090 /var/tmp /tmpfs"
    assert rewritten(words, table) == (
        "--cache=/tmp/pods/x/a --listen=127.0.0.1:9 --prometheus=http://127.0.0.1:1 /var/tmp /tmpfs"
    )
    assert expanded("$(A)/$(B)", {"A": "x"}) == "x/$(B)"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "CACHE", tmp_path)
    monkeypatch.setattr(build, "BIN", tmp_path / "bin")
    (tmp_path / "bin").mkdir()
    return tmp_path


def test_a_half_built_program_is_not_taken_for_a_program(cache):
    (cache / "bin" / "argocd").write_text("half")
    with pytest.raises(LabError, match="argocd is not built"):
        build.program("argocd")
    build._stamp("argocd").write_text("of other versions")
    with pytest.raises(LabError, match="argocd is not built"):
        build.program("argocd")
    build._stamp("argocd").write_text(build._key())
    assert build.program("argocd") == str(cache / "bin" / "argocd")


def test_a_build_that_fails_shows_its_last_lines_and_leaves_no_stamp(cache, tmp_path):
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\nseq 1 40 >&2; echo 'tools.go: undefined: x' >&2; exit 2\n")
    go.chmod(0o755)
    with pytest.raises(LabError, match=r"ended with 2; its last lines:\n27\n(.*\n)*tools.go: undefined: x"):
        build._compile(str(go), "argocd")
    assert not build._stamped("argocd")


def test_the_wrapper_module_names_every_program():
    tools = (build.HERE / "tools.go").read_text()
    for package in build.PROGRAMS.values():
        assert f'_ "{package}"' in tools
