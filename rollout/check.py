"""The check: is every release, plan and rendered manifest of a tree sound, and is a change one that the laws allow?

Of the tree:
- every folder overlays/<env>/<app> has its app and its release; every app has its plan, alone and under each environment;
- every release renders, as it is and with the toggle the other way, so that the next rollout cannot fail on it;
- a render has no `placeholder`, one SeldonDeployment named like the app, its objects in the release's namespace, images pinned;
  its predictors run what the release files say, and the canary differs from stable in nothing but its version;
- where Prometheus is asked: every release's counters match a series, and a latency budget is the bound of a bucket;
- no two releases render the same object; nothing in argocd/ ignores differences of traffic.

Of a change, per release (before -> after):

| before                   | after                                    | is                                              |
|--------------------------|------------------------------------------|-------------------------------------------------|
| none                     | any                                      | allowed: the release is new                     |
| at rest                  | at rest, a version that ran here before  | allowed: a rollback                             |
| at rest                  | at rest, another version                 | refused: it would go straight to 100 %          |
| at rest                  | in rollout, 0 %, stable = the one before | allowed: a start, unless the version is vetoed  |
| at rest                  | in rollout, the version that runs there  | refused: it would take back its close           |
| at rest                  | in rollout, anything else                | refused: it would begin with traffic            |
| in rollout               | in rollout, another version              | refused: one rollout at a time                  |
| in rollout               | in rollout, more traffic                 | refused: the controller raises traffic          |
| in rollout               | in rollout, stable not as it was before  | refused: the controller hands over              |
| in rollout               | in rollout, less traffic, or stable back | allowed: a veto                                 |
| in rollout               | at rest, a version that ran here before  | allowed: a rollback                             |
| in rollout               | at rest, another version                 | refused: it would go straight to 100 %          |
| controller's files only  | changed otherwise                        | refused: the controller writes them             |

A change starts one release at most: Revert takes back all that a pull request did, so it did one thing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from rollout import plan as plans
from rollout import release as releases
from rollout.errors import BadInput
from rollout.plan import Plan
from rollout.release import Key, ModelVersion, Release, Toggle
from rollout.state import State

PLACEHOLDER = "placeholder"


@dataclass(frozen=True, slots=True)
class Tree:
    """A work tree as values. texts: path -> text, of overlays/, apps/ and argocd/; renders: what kustomize made of a release
    under a toggle, either its output or, as an exception, its complaint.
    """

    texts: Mapping[str, str]
    renders: Mapping[tuple[Key, Toggle], str | Exception] = field(default_factory=dict)

    def release_keys(self) -> list[Key]:
        """Return every release folder's name, sorted."""
        parts = [path.split("/") for path in self.texts if path.startswith("overlays/")]
        return sorted({Key(part[1], part[2]) for part in parts if len(part) > 3 and part[2] != "common"})

    def release_texts(self, key: Key) -> dict[str, str]:
        """Return the texts of a release's folder by file name."""
        return {name: self.texts[path] for name in releases.FILES if (path := f"{key.folder}/{name}") in self.texts}


def problems(tree: Tree) -> list[BadInput]:
    """Return everything that is wrong with a tree, in the order of its releases."""
    keys = tree.release_keys()
    if not keys:
        return [BadInput("overlays", "", "holds no release; overlays/<env>/<app>/release would be right")]
    found = [*_apps(tree)]
    seen: dict[tuple[str, ...], Key] = {}
    for key in keys:
        found += _release(tree, key, seen)
    found += _argocd(tree)
    return list({str(one): one for one in found}.values())  # what both toggles render is told once


def _apps(tree: Tree) -> Iterator[BadInput]:
    for app in sorted({path.split("/")[1] for path in tree.texts if path.startswith("apps/")}):
        if f"apps/{app}/rollout.yaml" not in tree.texts:
            yield BadInput(f"apps/{app}/rollout.yaml", "", "is missing; every app has a plan")


def _release(tree: Tree, key: Key, seen: dict[tuple[str, ...], Key]) -> Iterator[BadInput]:
    overlay = f"overlays/{key.env}/{key.app}"
    if not any(path.startswith(f"apps/{key.app}/") for path in tree.texts):
        yield BadInput(overlay, "", f"has no app; a folder apps/{key.app} would be right")
        return
    try:
        releases.parse_key(str(key))
        plan_of(tree, key)
        release = releases.parse(key, tree.release_texts(key))
    except BadInput as error:
        yield error
        return
    for toggle in (release.toggle, *(other for other in Toggle if other is not release.toggle)):
        render = tree.renders.get((key, toggle))
        if isinstance(render, Exception):
            yield BadInput(overlay, toggle, f"does not render: {render}")
        elif render is not None:
            yield from _render(render, release, toggle, seen if toggle is release.toggle else {})


def plan_of(tree: Tree, key: Key) -> Plan | None:
    """Return a release's plan, None when its app has none, which is told once per app."""
    path = f"apps/{key.app}/rollout.yaml"
    if path not in tree.texts:
        return None
    return plans.parse(key.app, tree.texts[path], key.env, tree.texts.get(common(key.env)))


def _render(text: str, release: Release, toggle: Toggle, seen: dict[tuple[str, ...], Key]) -> Iterator[BadInput]:
    key = release.key
    where = f"overlays/{key.env}/{key.app}"
    objects = [one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one]
    deployments = [one for one in objects if one["kind"] == "SeldonDeployment"]
    for one in objects:
        name = f"{one['kind']}/{one['metadata'].get('name')}"
        for path, value in _leaves(one):
            if PLACEHOLDER in str(value):
                yield BadInput(where, f"{name} {path}", f"is {value!r} in the render ({toggle}); no replacement fills it in")
        namespace = one["metadata"].get("namespace", key.namespace)
        if namespace != key.namespace:
            yield BadInput(where, f"{name} metadata.namespace", f"is {namespace!r}; {key.namespace} would be right")
        identity = (namespace, one["kind"], str(one["metadata"].get("name")))
        if seen.setdefault(identity, key) != key:
            yield BadInput(where, name, f"is rendered by {seen[identity]} too")
    if [one["metadata"]["name"] for one in deployments] != [key.app]:
        names = ", ".join(one["metadata"]["name"] for one in deployments) or "none"
        yield BadInput(where, "SeldonDeployment", f"rendered: {names}; exactly one, named {key.app}, would be right")
        return
    yield from _predictors(where, deployments[0]["spec"]["predictors"], release, toggle)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{place}]")
    else:
        yield path, value


def _predictors(where: str, predictors: list[dict[str, Any]], release: Release, toggle: Toggle) -> Iterator[BadInput]:
    wanted = {"stable": (release.model, 100)}
    if toggle is Toggle.IN_ROLLOUT:
        wanted = {"stable": (release.stable, 100 - release.canary), "canary": (release.model, release.canary)}
    names = [predictor.get("name") for predictor in predictors]
    if names != list(wanted):
        yield BadInput(where, "predictors", f"rendered {toggle}: {names}; {list(wanted)} would be right")
        return
    for predictor, (model, traffic) in zip(predictors, wanted.values(), strict=True):
        yield from _runs(where, predictor, model, traffic)
    if len(predictors) == 2:
        yield from _alike(where, predictors[0], predictors[1])


def _runs(where: str, predictor: dict[str, Any], model: ModelVersion, traffic: int) -> Iterator[BadInput]:
    container = _container(predictor)
    shown = {
        "annotations.version": (predictor.get("annotations", {}).get("version"), model.version),
        "graph.modelUri": (predictor.get("graph", {}).get("modelUri"), model.model_uri),
        "env MODEL_SHA256": (_sha256(container), model.sha256),
        "traffic": (predictor.get("traffic", 100), traffic),
    }
    if model.image is not None:
        shown["image"] = (container.get("image"), model.image)
    for name, (got, right) in shown.items():
        if got != right:
            yield BadInput(where, f"predictor {predictor['name']} {name}", f"is {got!r} in the render; {right!r} would be right")
    try:
        releases.image_text(container.get("image"))
    except ValueError as error:
        yield BadInput(where, f"predictor {predictor['name']} image", f"is {container.get('image')!r}; {error}")


def _container(predictor: dict[str, Any]) -> dict[str, Any]:
    containers = predictor["componentSpecs"][0]["spec"]["containers"]
    return next((one for one in containers if one.get("name") == "model"), {})


def _sha256(container: dict[str, Any]) -> str | None:
    return next((one.get("value") for one in container.get("env", ()) if one.get("name") == "MODEL_SHA256"), None)


def _alike(where: str, stable: dict[str, Any], canary: dict[str, Any]) -> Iterator[BadInput]:
    own = ("name", "traffic", "annotations.version", "graph.modelUri")
    left, right = dict(_leaves(stable)), dict(_leaves(canary))
    for path in sorted(left.keys() | right.keys()):
        if left.get(path) == right.get(path) or path in own or path.endswith(".image"):
            continue
        if left.get(path) == _sha256(_container(stable)) and right.get(path) == _sha256(_container(canary)):
            continue
        problem = f"is {right.get(path)!r}, stable's is {left.get(path)!r}; a patch that reaches both would be right"
        yield BadInput(where, f"predictor canary {path}", problem)


def _argocd(tree: Tree) -> Iterator[BadInput]:
    for path, text in tree.texts.items():
        if path.startswith("argocd/") and "ignoreDifferences" in text and "traffic" in text.partition("ignoreDifferences")[2]:
            yield BadInput(path, "ignoreDifferences", "names traffic; none would be right: git alone says the traffic")


def unwatched(tree: Tree, watched: Mapping[Key, Collection[float]]) -> Iterator[BadInput]:
    """Yield what no gate could ever see. watched: releases with request counters, each with its latency buckets' bounds."""
    for key in tree.release_keys():
        path = f"apps/{key.app}/rollout.yaml"
        series = f'service="predictions",namespace="{key.namespace}",deployment_name="{key.app}"'
        if key not in watched:
            problem = f"match no series: {{{series}}}; the executor's request counters, scraped, would be right"
            yield BadInput(path, "spec.gates", f"{problem} ({key})")
            continue
        try:
            budget = plans.parse(key.app, tree.texts[path], key.env, tree.texts.get(common(key.env))).gates.latency_budget
        except (BadInput, KeyError):
            continue  # told by the check of the tree
        if budget is not None and budget not in watched[key]:
            bounds = ", ".join(f"{bound:g}s" for bound in sorted(watched[key])) or "none"
            problem = f"is {budget:g}s, the bound of no bucket of {{{series}}}; one of {bounds} would be right"
            yield BadInput(path, "spec.gates.latency.budget", problem)


def common(env: str) -> str:
    """Return where an environment's single fields of every plan are."""
    return f"overlays/{env}/common/rollout.yaml"


def changes(before: Mapping[Key, Release], after: Mapping[Key, Release], states: Mapping[Key, State]) -> Iterable[BadInput]:
    """Yield what the laws refuse in a change. states: of the base's history, for what ran and what is vetoed."""
    started = list[Key]()
    for key, now in after.items():
        was, state = before.get(key), states.get(key)
        if was is None or state is None or was == now:
            continue
        problem = _refused(was, now, state)
        if problem:
            yield BadInput(f"{key.folder}/{problem[0]}", problem[1], problem[2])
        elif was.toggle is not now.toggle and now.toggle is Toggle.IN_ROLLOUT:
            started.append(key)
    for key in started[1:]:
        beside = f"starts {after[key].model.version} beside {started[0]}; one release per pull request would be right"
        yield BadInput(f"{key.folder}/kustomization.yaml", "components", beside)


def _refused(was: Release, now: Release, state: State) -> tuple[str, str, str] | None:
    same = now.model.runs_like(was.model)
    if now.toggle is Toggle.AT_REST:
        if same and was.toggle is Toggle.AT_REST:
            return _by_controller(was, now)
        if any(now.model.runs_like(model) for model in state.ran) and not (same and was.toggle is Toggle.IN_ROLLOUT):
            return None
        straight = f"is {now.model.version!r} without in-rollout: it would go straight to 100 %; `rollout start` would be right"
        return "model.yaml", "spec.version", straight
    if was.toggle is Toggle.AT_REST:
        return _start_refused(was, now, state)
    if not same:
        return "model.yaml", "spec.version", f"is {now.model.version!r} while {was.model.version} is in rollout; one at a time"
    if now.canary > was.canary:
        return "traffic.yaml", "spec.canary", f"is {now.canary}, was {was.canary}; the controller raises traffic, on evidence"
    went_back = any(now.stable.runs_like(model) for model in state.ran) and not now.stable.runs_like(now.model)
    if not now.stable.runs_like(was.stable) and not went_back:
        handed = f"is {now.stable.version!r}, was {was.stable.version!r}; the controller hands over, on evidence"
        return "stable.yaml", "spec.version", handed
    return None


def _start_refused(was: Release, now: Release, state: State) -> tuple[str, str, str] | None:
    veto = state.veto_on(now.model)
    if veto:
        vetoed = f"is {now.model.version!r}, vetoed since {veto.commit[:10]}: {veto.reason}"
        return "model.yaml", "spec.version", f"{vetoed}; a person's `attempt: {veto.attempt + 1}` reopens it"
    if state.walk is None and now.model.runs_like(state.release.model):
        runs = f"in-rollout, but {now.model.version} runs already; at-rest would be right, or a revert of its pull request"
        return "kustomization.yaml", "components", runs
    if now.canary:
        return "traffic.yaml", "spec.canary", f"is {now.canary} at the start; 0 would be right"
    if not now.stable.runs_like(was.model):
        return "stable.yaml", "spec.version", f"is {now.stable.version!r} at the start; {was.model.version!r} would be right"
    return None


def _by_controller(was: Release, now: Release) -> tuple[str, str, str] | None:
    tidied = now.stable.runs_like(now.model) and now.canary == 0
    if now.stable.runs_like(was.stable) and now.canary == was.canary:
        return None
    return None if tidied else ("stable.yaml", "spec", "changed at rest; the controller writes it")
