"""A training run from rows to a branch, on one machine: the steps in order, both learners side by side.

Run again, it goes on where it was left: bytes that are published keep their version, a branch that stands is left as it is,
and bytes that the release runs already are not proposed.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from model import artifact, card, store
from model.app import App, Data, find, open_model, train
from model.judge import Candidate, Stable, stable_of
from model.signature import Signer
from model.store import Files
from model.table import BadInput
from pipelines import registry, steps, text
from pipelines.propose import propose, tree_at
from rollout.git import open_here
from rollout.release import Key, ModelVersion

REGISTRY = Path("out/registry")
LIBRARIES = ("lightgbm", "xgboost-cpu", "numpy")


@dataclass(frozen=True)
class Settings:
    """What a run is told. store: URL of the model store; base: the commit to propose on; out: where reports go."""

    root: Path
    key: Key
    store: str
    signer: Signer
    base: str = "HEAD"
    out: Path = Path("out/train")
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """What a run came to. version and branch are empty where nothing was published or proposed."""

    champion: Candidate | None
    candidates: Sequence[Candidate]
    version: str
    uri: str
    branch: str
    said: str


def run(settings: Settings, setting: str | None) -> Outcome:
    """Train, judge, publish and propose; leave report.json, the card and the pull request's text in `out`."""
    began = time.monotonic()
    app, out = find(settings.key.app), settings.out
    limits, shop = steps.limits_of(app.name, settings.root), store.opened(settings.store)
    now = release(settings.root, settings.key, settings.base)
    work = out / "work"
    _empty(work)
    data, aside = steps.ingest(app.name, setting, work / "rows.json")
    folders = train_all(app, work, settings.seed)
    trained = time.monotonic() - began
    stable = stable_of(f"stable {now.version}", steps.fetched(settings.store, now.version, now.sha256, app.name, work), app, data)
    found, champion = steps.judge_all(app.name, data, folders, stable, limits)
    outcome = _published(settings, app, data, shop, found, champion, stable, now)
    seconds = {"training": round(trained, 1), "all": round(time.monotonic() - began, 1)}
    (out / "report.json").write_bytes(artifact.as_json(_report(app, data, aside, outcome, settings, seconds)))
    return outcome


def at_rest(root: Path, keys: Sequence[Key]) -> dict[str, str]:
    """The digest that each environment's release runs, of those at rest."""
    with tree_at(open_here(root), "HEAD") as desk:
        states = {key: desk.state(key) for key in keys}
    return {key.env: state.release.model.sha256 for key, state in states.items() if state.walk is None}


def seed(root: Path, key: Key, url: str, signer: Signer) -> str:
    """Publish the version that a release runs, trained again from generated rows, where that gives the bytes it names.

    For a store that is new: the house begins with versions that `python -m model train` made from generated rows.
    """
    shop, app = store.opened(url), find(key.app)
    now = release(root, key, "HEAD")
    if now.version in store.versions(shop, app.name):
        return f"{app.name} {now.version} is published already"
    with tempfile.TemporaryDirectory() as folder:
        artifact.write(Path(folder), train(app, app.load("generated")).files)
        found = artifact.digest(Path(folder))
        if found != now.sha256:
            return f"{key} runs {now.version}, sha256 {now.sha256}, which generated rows do not give ({found}): not published"
        return f"{store.publish(shop, Path(folder), app.name, now.version, signer)} published, sha256 {found}"


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.mkdir(parents=True, exist_ok=True)


def release(root: Path, key: Key, base: str) -> ModelVersion:
    """What a release wants at a commit."""
    with tree_at(open_here(root), base) as desk:
        return desk.state(key).release.model


def train_all(app: App, work: Path, seed: int) -> dict[str, Path]:
    """Train a version by each learner, side by side, each in a process of its own."""
    folders = {name: work / name for name in app.learners}
    commands = {
        name: [
            sys.executable,
            "-m",
            "pipelines",
            "learn",
            app.name,
            name,
            str(work / "rows.json"),
            str(folder),
            "--seed",
            str(seed),
        ]
        for name, folder in folders.items()
    }
    running = {name: subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for name, command in commands.items()}
    for name, process in running.items():
        said = process.communicate()[1]
        if process.returncode:
            raise BadInput(f"{app.name}: {name} ended with {process.returncode}: {said.strip()}")
    return folders


def _published(
    settings: Settings,
    app: App,
    data: Data,
    shop: Files,
    found: Sequence[Candidate],
    champion: Candidate | None,
    stable: Stable,
    now: ModelVersion,
) -> Outcome:
    if champion is None:
        return Outcome(None, found, "", "", "", steps.no_champion(found))
    if champion.sha256 == now.sha256:
        said = f"{settings.key} runs these very bytes as {now.version}: nothing to propose"
        return Outcome(champion, found, now.version, now.model_uri, "", said)
    published = store.versions(shop, app.name)
    version = next((one for one, sha256 in published.items() if sha256 == champion.sha256), "")
    version = version or store.next_version({*published, *_named(settings.root, app.name)})
    uri = store.publish(shop, champion.folder, app.name, version, settings.signer)
    _cards(settings, app, data, champion, stable, card.Identity(version, uri, data.sha256, _commit(settings.root), _libraries()))
    record(settings, app, data, champion, version, uri)
    wanted = ModelVersion(version, uri, champion.sha256)
    others = [one for one in found if one is not champion]
    branch, proposal = propose(settings.root, settings.base, settings.key, wanted)
    (settings.out / "pull-request.md").write_text(text.body(app, data, champion, others, stable, proposal))
    return Outcome(champion, found, version, uri, branch, f"{branch} starts {version} in {settings.key}")


def record(settings: Settings, app: App, data: Data, champion: Candidate, version: str, uri: str) -> None:
    """Register the published version with everything that it was made from."""
    intervals = {f"{name}_{end}": getattr(one, end) for name, one in champion.figures.items() for end in ("low", "high")}
    entry = registry.Entry(
        app=app.name,
        version=version,
        uri=uri,
        sha256=champion.sha256,
        parameters={"learner": champion.name, "seed": settings.seed, **app.learners[champion.name]},
        figures={name: one.value for name, one in champion.figures.items()} | intervals,
        tags={
            "rows": str(len(data.target)),
            "rows.sha256": data.sha256,
            "rows.origin": data.origin,
            "commit": _commit(settings.root),
            **{f"gate.{one.gate}": f"{one.outcome}: {one.sentence}" for one in champion.verdicts},
        },
        files=(settings.out / "card.md", settings.out / "card.html"),
    )
    folder = settings.root / REGISTRY
    registry.register(registry.client(folder), entry, folder)


def _named(root: Path, app: str) -> set[str]:
    """The versions that any release of the app names in the work tree: their numbers are taken."""
    files = root.glob(f"overlays/*/{app}/release/model.yaml")
    return {line.partition('"')[2].rstrip('"') for file in files for line in file.read_text().splitlines() if "version: " in line}


def _cards(settings: Settings, app: App, data: Data, champion: Candidate, stable: Stable, identity: card.Identity) -> None:
    said = card.markdown(app, champion, stable, data, identity)
    (settings.out / "card.md").write_text(said)
    (settings.out / "card.html").write_text(card.page(app, said, card.plots(app, open_model(champion.folder), data)))


def _commit(root: Path) -> str:
    repo = open_here(root)
    changed = repo.run("status", "--porcelain", "--", "model", "pipelines", "requirements").strip()
    return repo.resolve("HEAD") + (" with changes that are not committed" if changed else "")


def _libraries() -> dict[str, str]:
    return {name: installed(name) for name in LIBRARIES}


def _report(
    app: App, data: Data, aside: dict[str, int], outcome: Outcome, settings: Settings, seconds: dict[str, float]
) -> dict[str, Any]:
    best = outcome.champion
    score = best and best.figures[app.metric]
    return {
        "app": app.name,
        "release": str(settings.key),
        "data": {"origin": data.origin, "rows": len(data.target), "sha256": data.sha256, "quarantined": aside},
        "champion": best and best.name,
        app.metric: score and {"value": score.value, "low": score.low, "high": score.high},
        "gates": [{"gate": one.gate, "outcome": one.outcome, "sentence": one.sentence} for one in best.verdicts] if best else [],
        "candidates": [steps.plain(one) for one in outcome.candidates],
        "version": outcome.version,
        "uri": outcome.uri,
        "sha256": best and best.sha256,
        "branch": outcome.branch,
        "outcome": outcome.said,
        "seconds": seconds,
        "commit": _commit(settings.root),
    }


def show(outcome: Outcome, app: App, out: Path) -> str:
    """What a person reads at the end of a run."""
    lines = []
    for one in outcome.candidates:
        lines.append(f"{one.name}: {app.metric} {one.figures[app.metric]}")
        lines += [f"  {verdict.outcome:12} {verdict.gate:12} {verdict.sentence}" for verdict in one.verdicts]
    if outcome.champion:
        lines.append(f"champion: {outcome.champion.name}, sha256 {outcome.champion.sha256}")
    lines.append(outcome.said)
    if outcome.branch:
        lines.append(f"text: {out / 'pull-request.md'}; card: {out / 'card.html'}; report: {out / 'report.json'}")
    return "\n".join(lines)


def environment(app: str) -> str | None:
    """Where the app's rows come from, as for `python -m model`."""
    return os.environ.get(f"{app.upper()}_DATA") or None
