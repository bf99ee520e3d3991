"""When people get a letter, and what it says: argocd/install/letters, read by Argo CD's own program."""

import json

import pytest
import yaml

from lab.controlplane.world import ROOT

INSTALL = ROOT / "argocd" / "install"
NOW = "2026-01-01T00:00:00Z"
COMMIT = "https://github.com/example/models/commit/abc"
REFUSED = [
    {"kind": "SeldonDeployment", "name": "credit", "status": "SyncFailed", "message": 'denied: no "canaries" on a Friday'},
    {"kind": "ServiceAccount", "name": "model-server", "status": "Synced", "message": "unchanged"},
]


def application(health="Healthy", resources=(), **operation):
    status = {"health": {"status": health}, "sync": {"revision": "abc"}, "resources": list(resources)}
    if operation:
        status["operationState"] = {"startedAt": NOW, "message": "one or more objects failed to apply"} | operation
    source = {"repoURL": "https://github.com/example/models.git"}
    metadata = {"name": "credit-prod", "namespace": "argocd"}
    kind = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application"}
    return {**kind, "metadata": metadata, "spec": {"source": source}, "status": status}


@pytest.fixture
def asked(argocd, tmp_path):
    """Have Argo CD's program look at an Application with our settings."""
    install = yaml.safe_load((INSTALL / "kustomization.yaml").read_text())
    (own,) = (one for one in install["configMapGenerator"] if one["name"] == "argocd-notifications-cm")
    data = {key: (INSTALL / path).read_text() for key, path in (one.split("=") for one in own["files"])}
    kind = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-notifications-cm"}}
    settings, file = tmp_path / "cm.yaml", tmp_path / "app.yaml"
    settings.write_text(yaml.safe_dump({**kind, "data": data}))

    def ask(*words, of):
        file.write_text(yaml.safe_dump(of))
        said, well = argocd("notifications", *words, str(file), "--config-map", str(settings), "--secret", ":empty")
        assert well, said
        return said

    return ask


@pytest.mark.parametrize(
    ("trigger", "of", "sent"),
    [
        pytest.param("sync-failed", application(), False, id="never synced"),
        pytest.param("sync-failed", application(phase="Running"), False, id="under way"),
        pytest.param("sync-failed", application(phase="Running", finishedAt=NOW), True, id="a try failed and the next will come"),
        pytest.param("sync-failed", application(phase="Failed", finishedAt=NOW), True, id="failed"),
        pytest.param("sync-failed", application(phase="Error", finishedAt=NOW), True, id="in error"),
        pytest.param("sync-failed", application(phase="Succeeded", finishedAt=NOW), False, id="succeeded"),
        pytest.param("degraded", application("Degraded"), True, id="degraded, and never synced"),
        pytest.param("degraded", application("Progressing", phase="Running"), False, id="on its way"),
    ],
)
def test_a_letter_is_due(asked, trigger, of, sent):
    told = asked("trigger", "run", trigger, of=of)
    assert told.split()[-1] == str(sent).lower()


@pytest.mark.parametrize(
    ("template", "of", "lines"),
    [
        pytest.param(
            "sync-failed",
            application(phase="Running", finishedAt=NOW, syncResult={"revision": "abc", "resources": REFUSED}),
            [
                "credit-prod: what git says cannot be applied. It is tried again until a commit repairs it.",
                'SeldonDeployment credit: denied: no "canaries" on a Friday',
                COMMIT,
            ],
            id="refused, in the words of whoever refused",
        ),
        pytest.param(
            "sync-failed",
            application(phase="Error", finishedAt=NOW),
            [
                "credit-prod: what git says cannot be applied. It is tried again until a commit repairs it.",
                "one or more objects failed to apply",
                "https://github.com/example/models/commits",
            ],
            id="nothing was tried",
        ),
        pytest.param(
            "degraded",
            application(
                "Degraded",
                [
                    {"kind": "PodMonitor", "name": "predictors"},
                    {
                        "kind": "SeldonDeployment",
                        "name": "credit",
                        "health": {"status": "Degraded", "message": "stable 7 at 95 %, canary 8 at 5 %: 0 of 2 replicas ready"},
                    },
                ],
            ),
            [
                "credit-prod is degraded.",
                "SeldonDeployment credit: stable 7 at 95 %, canary 8 at 5 %: 0 of 2 replicas ready",
                COMMIT,
            ],
            id="degraded, with what its health says",
        ),
    ],
)
def test_a_letter_says(asked, template, of, lines):
    sent = yaml.safe_load(asked("template", "notify", template, of=of))["webhook"]["people"]
    assert sent["method"] == "POST"
    assert json.loads(sent["body"]) == {"text": "\n".join(lines)}
