"""SELDON_OPERATOR, SELDON_CRD and KUBECONFIG: what they take, and what is said of what they do not; PodMonitors as targets."""

import os
import subprocess
import sys

import pytest
import yaml

from lab.controlplane.api import Api
from lab.controlplane.kubernetes import kubeconfig
from lab.controlplane.monitors import targets
from lab.controlplane.seldon import CRD, Seldon
from lab.processes import LabError


def test_without_settings_the_stand_ins_serve():
    assert Seldon.read({"SELDON_OPERATOR": "", "PATH": "/bin"}) == Seldon(None, CRD)


def test_a_program_and_a_definition_of_ones_own(tmp_path):
    own = tmp_path / "crd.yaml"
    own.write_text(f"kind: Namespace\n---\n{CRD.read_text()}")
    found = Seldon.read({"SELDON_OPERATOR": sys.executable, "SELDON_CRD": str(own)})
    assert found.operator is not None
    assert os.access(found.operator, os.X_OK)
    assert found.definitions() == [yaml.safe_load(CRD.read_text())]


@pytest.mark.parametrize(
    ("settings", "content", "words"),
    [
        ({"SELDON_OPERATOR": "/nowhere/manager"}, "", "SELDON_OPERATOR=/nowhere/manager: not a program"),
        ({"SELDON_OPERATOR": "{file}"}, "text", "SELDON_OPERATOR={file}: not a program"),
        ({"SELDON_CRD": "/nowhere/crd.yaml"}, "", "SELDON_CRD=/nowhere/crd.yaml: no such file"),
        ({"SELDON_CRD": "{file}"}, "a: [", "SELDON_CRD={file}: not YAML"),
        ({"SELDON_CRD": "{file}"}, "kind: Namespace", "SELDON_CRD={file}: no CustomResourceDefinition seldondeployments."),
    ],
    ids=["no such program", "not executable", "no such definition", "not YAML", "another kind's"],
)
def test_a_wrong_setting_is_named_and_nothing_is_started(tmp_path, settings, content, words):
    file = tmp_path / "file"
    file.write_text(content)
    settings = {name: value.format(file=file) for name, value in settings.items()}
    with pytest.raises(LabError) as error:
        Seldon.read(settings)
    assert str(error.value).startswith(words.format(file=file))
    said = subprocess.run(
        [sys.executable, "-m", "tests.e2e"], env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert said.returncode == 2
    assert words.format(file=file) in said.stderr


def test_a_kubeconfig_of_this_lab_is_read(tmp_path):
    path = kubeconfig(tmp_path / "config", "https://127.0.0.1:1", tmp_path / "ca.crt", tmp_path / "token")
    found = Api.of(path, "somebody")
    assert (found.url, found.ca, found.token) == ("https://127.0.0.1:1", tmp_path / "ca.crt", tmp_path / "token")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "KUBECONFIG={file}: No such file or directory; a kubeconfig's path would be right"),
        ("a: [", "KUBECONFIG={file}: not a kubeconfig: "),
        ("text", "KUBECONFIG={file}: not a kubeconfig: "),
        ("current-context: x\ncontexts: []", "KUBECONFIG={file}: 'context x' is missing"),
    ],
    ids=["not there", "not YAML", "no mapping", "a context that is not there"],
)
def test_the_operator_as_a_program_ends_with_2_at_a_kubeconfig_that_is_none(tmp_path, content, words):
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    said = subprocess.run(
        [sys.executable, "-m", "lab.controlplane", "operator"],
        env={**os.environ, "KUBECONFIG": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 2
    assert said.stderr.startswith("controlplane: " + words.format(file=file))


def monitor(namespace="rollout", **endpoint):
    spec = {"selector": {"matchLabels": {"app": "controller"}}, "podMetricsEndpoints": [{"port": "http", **endpoint}]}
    return {"metadata": {"namespace": namespace, "name": "watch"}, "spec": spec}


POD = {"metadata": {"namespace": "rollout", "name": "c-1", "labels": {"app": "controller", "more": "x"}}}
LABELS = {"job": "rollout/watch", "namespace": "rollout", "pod": "c-1", "endpoint": "http"}


@pytest.mark.parametrize(
    ("one", "ports", "expected"),
    [
        (monitor(), {"http": 7}, {"__metrics_path__": "/metrics"}),
        (monitor(path="/p", interval="9s"), {"http": 7}, {"__metrics_path__": "/p", "__scrape_interval__": "9s"}),
        (monitor(namespace="other"), {"http": 7}, None),
        (monitor(port="grpc"), {"http": 7}, None),
    ],
    ids=["a pod of its own", "path and interval", "another namespace", "no such port"],
)
def test_a_podmonitor_makes_targets_of_the_pods_that_it_selects(one, ports, expected):
    wanted = [] if expected is None else [{"targets": ["127.0.0.1:7"], "labels": LABELS | expected}]
    assert targets([one], [(POD, ports)]) == wanted
    assert targets([one], [({"metadata": {**POD["metadata"], "labels": {"app": "model"}}}, ports)]) == []
