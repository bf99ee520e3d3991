"""Read a SeldonDeployment: what its webhook refuses, and what pods its predictors ask for."""

import hashlib
import json
from typing import Any

from lab.cluster import Denied, Object
from lab.pods import PodSpec

WEBHOOK = 'admission webhook "v1.vseldondeployment.kb.io" denied the request'
RESTARTS_NOTHING = ("traffic", "replicas")


def admit(manifest: Object) -> None:
    """The webhook's rules on traffic (a negative part slips through the real one; not here)."""
    if manifest["kind"] != "SeldonDeployment":
        return
    name = manifest["metadata"]["name"]
    predictors = manifest.get("spec", {}).get("predictors") or []
    names = [predictor.get("name") for predictor in predictors]
    if not predictors or len(set(names)) != len(names) or None in names:
        raise Denied(f"{WEBHOOK}: {name}: predictors must have different names, found {names}")
    traffic = [predictor.get("traffic") or 0 for predictor in predictors if not predictor.get("shadow")]
    if any(not isinstance(part, int) or part < 0 for part in traffic):
        raise Denied(f"{WEBHOOK}: {name}: Traffic must be whole numbers >= 0, found {traffic}")
    if len(traffic) == 1 and traffic[0] not in (0, 100):
        raise Denied(f"{WEBHOOK}: {name}: Traffic must be 100 for a single predictor when set, found {traffic[0]}")
    if len(traffic) > 1 and sum(traffic) != 100:
        raise Denied(f"{WEBHOOK}: {name}: Traffic must sum to 100 for multiple predictors, found {sum(traffic)}")


def weights(manifest: Object) -> dict[str, int]:
    """The committed traffic by predictor; a single one gets everything."""
    predictors = manifest["spec"]["predictors"]
    if len(predictors) == 1:
        return {predictors[0]["name"]: 100}
    return {predictor["name"]: predictor.get("traffic") or 0 for predictor in predictors}


def deadline(predictor: Object) -> float:
    """progressDeadlineSeconds, Kubernetes' default 600."""
    return float(predictor.get("progressDeadlineSeconds") or 600)


def pod_spec(manifest: Object, namespace: str, predictor: Object) -> PodSpec:
    """What the pods of one predictor are made from."""
    graph = predictor.get("graph") or {}
    container = _container(predictor, graph.get("name"))
    env = {item["name"]: str(item["value"]) for item in container.get("env") or [] if "value" in item}
    probe = (container.get("readinessProbe") or {}).get("httpGet") or {}
    model = env.get("MLSERVER_MODEL_NAME") or graph.get("name") or "model"
    return PodSpec(
        namespace=namespace,
        deployment=manifest["metadata"]["name"],
        predictor=predictor["name"],
        version=str((predictor.get("annotations") or {}).get("version", "")),
        model_name=model,
        model_uri=graph.get("modelUri", ""),
        image=container.get("image", ""),
        env=tuple(sorted(env.items())),
        probe_path=probe.get("path") or f"/v2/models/{model}/ready",
        digest=_digest(manifest, predictor),
    )


def _container(predictor: Object, name: str | None) -> dict[str, Any]:
    found = [
        container
        for component in predictor.get("componentSpecs") or []
        for container in (component.get("spec") or {}).get("containers") or []
    ]
    return next((container for container in found if container.get("name") == name), found[0] if found else {})


def _digest(manifest: Object, predictor: Object) -> str:
    template = {name: value for name, value in predictor.items() if name not in RESTARTS_NOTHING}
    whole = [template, manifest["spec"].get("annotations")]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:10]
