"""Health of a SeldonDeployment: the Lua of argocd/install itself, run with the libraries that Argo CD gives it."""

from pathlib import Path

import pytest
import yaml
from lupa.lua51 import LuaRuntime

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "argocd/install/seldondeployment-health.lua"


def health(obj):
    """What the script says of an object: (status, message)."""
    lua = LuaRuntime(unpack_returned_tuples=True)
    lua.execute("for name, value in pairs(string) do string[name] = nil end")  # ("x"):sub() is gone too
    for library in ("string", "math", "io", "debug", "package", "coroutine", "require", "python"):
        lua.globals()[library] = None
    lua.globals().obj = lua.table_from(obj, recursive=True)
    said = lua.execute(SCRIPT.read_text())
    return said["status"], said["message"]


def deployment(*predictors, committed=None, **status):
    """Predictors as (name, version, traffic); committed: their annotations; status as the operator writes it."""
    found = [
        {
            "name": name,
            "annotations": {"version": version},
            **({} if traffic is None else {"traffic": traffic}),
            "componentSpecs": [{"spec": {"containers": [{"name": "model"}]}}],
        }
        for name, version, traffic in predictors
    ]
    metadata = {"name": "credit"}
    if committed:
        metadata["annotations"] = {f"rollout/{name}": said for name, said in committed.items()}
    return {"metadata": metadata, "spec": {"predictors": found}, **({"status": status} if status else {})}


def counts(**ready):
    """deploymentStatus: predictor="1/2"."""
    pairs = {name: text.split("/") for name, text in ready.items()}
    return {f"credit-{name}-0-model": {"availableReplicas": int(a), "replicas": int(b)} for name, (a, b) in pairs.items()}


BOTH = (("stable", "7", 95), ("canary", "8", 5))


@pytest.mark.parametrize(
    ("obj", "status", "message"),
    [
        pytest.param(
            deployment(("stable", "7", 100), state="Available", deploymentStatus=counts(stable="2/2")),
            "Healthy",
            "stable 7 at 100 %",
            id="at rest",
        ),
        pytest.param(
            deployment(("stable", "7", None), state="Available"),
            "Healthy",
            "stable 7 at 100 %",
            id="one predictor has everything",
        ),
        pytest.param(
            deployment(*BOTH, state="Creating", deploymentStatus=counts(stable="2/2", canary="1/2")),
            "Progressing",
            "stable 7 at 95 %, canary 8 at 5 %: 1 of 2 replicas ready",
            id="a canary comes up",
        ),
        pytest.param(
            deployment(*BOTH, state="Failed", description="progress deadline exceeded", deploymentStatus=counts(canary="0/2")),
            "Degraded",
            "stable 7 at 95 %, canary 8 at 5 %: 0 of 2 replicas ready. progress deadline exceeded",
            id="a canary that never comes up",
        ),
        pytest.param(
            deployment(*BOTH, committed={"stable": "7 at 95 %", "canary": "8 at 5 %"}, state="Available"),
            "Healthy",
            "stable 7 at 95 %, canary 8 at 5 %",
            id="as git says",
        ),
        pytest.param(
            deployment(
                ("stable", "7", 50),
                ("canary", "8", 50),
                committed={"stable": "7 at 95 %", "canary": "8 at 5 %"},
                state="Available",
                deploymentStatus=counts(stable="2/2", canary="1/2"),
            ),
            "Healthy",
            "stable 7 at 95 % in git, 7 at 50 % live, canary 8 at 5 % in git, 8 at 50 % live: 1 of 2 replicas ready",
            id="somebody patched live traffic",
        ),
        pytest.param(
            deployment(*BOTH),
            "Progressing",
            "stable 7 at 95 %, canary 8 at 5 %. Not ready yet",
            id="new",
        ),
        pytest.param(
            deployment(*BOTH, state="Available", deploymentStatus=counts(stable="2/2")),
            "Progressing",
            "stable 7 at 95 %, canary 8 at 5 %. Not ready yet",
            id="available before the canary came",
        ),
        pytest.param(
            deployment(*BOTH, state="Available", deploymentStatus={"seldon-1f3a": {}, "seldon-77bc": {}}),
            "Healthy",
            "stable 7 at 95 %, canary 8 at 5 %",
            id="names too long for Seldon are hashes",
        ),
        pytest.param(deployment(*BOTH, state="Weird"), "Progressing", "stable 7 at 95 %, canary 8 at 5 %", id="another state"),
    ],
)
def test_health_and_a_message_for_a_person(obj, status, message):
    assert health(obj) == (status, message)


def test_the_script_is_what_argo_cds_settings_take():
    install = yaml.safe_load((ROOT / "argocd/install/kustomization.yaml").read_text())
    (settings,) = (one for one in install["configMapGenerator"] if one["name"] == "argocd-cm")
    key = "resource.customizations.health.machinelearning.seldon.io_SeldonDeployment"
    assert f"{key}={SCRIPT.name}" in settings["files"]
