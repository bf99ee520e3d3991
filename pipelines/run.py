"""A training run from rows to a branch, on one machine: the steps in order, both learners side by side.

Run again, it goes on where it was left: bytes that are published keep their version, a branch that stands is left as it is,
and bytes that the release runs already are not proposed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model import artifact, card, store
from model.app import App, Data, find, train
from model.judge import Candidate, Stable, stable_of
from model.signature import Signer
from model.store import Files
from model.table import BadInput
from pipelines import registry, steps, text
from pipelines.propose import manifests, propose, tree_at
from rollout.gate.power import Traffic
from rollout.git import open_here
from rollout.prometheus import Prometheus
from rollout.release import Key, ModelVersion
from rollout.services import traffic_of
from rollout.web import Service, Unavailable

REPORT = "report.json"
LEFT = (REPORT, "pull-request.md", "card.md", "card.html", "validation.html", "validation.json")  # of the run before


@dataclass(frozen=True)
class Settings:
    """What a run is told. store: URL of the model store; base: the commit to propose on; out: where reports go.

    prometheus: URL of the one that counts the release's requests, for the text; empty where nobody need say.
    """

    root: Path
    key: Key
    store: str
    signer: Signer
    base: str = "HEAD"
    out: Path = Path("out/train")
    seed: int = 1
    prometheus: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a run came to. version and branch are empty where nothing was published or proposed."""

    champion: Candidate | None
    candidates: Sequence[Candidate]
    version: str
    uri: str
    branch: str
    said: str

    @property
    def status(self) -> str:
        """How the run ended, in a word or three."""
        return "no champion" if self.champion is None else "proposed" if self.branch else "nothing to propose"


def run(settings: Settings, setting: str | None) -> Outcome:
    """Train, judge, publish and propose; leave report.json, Evidently's report, the card and the pull request's text."""
    clock = Clock()
    app, out = find(settings.key.app), settings.out
    limits, shop = steps.limits_of(app.name, settings.root), store.opened(settings.store)
    now = release(settings.root, settings.key, settings.base)
    work = out / "work"
    _empty(work)
    for name in LEFT:
        (out / name).unlink(missing_ok=True)
    steps.ingest(app.name, setting, work / "raw.json")
    clock.lap("ingest")
    try:
        data, aside = _validated(settings, app, now, work)
    except BadInput as error:
        refused = {"status": "rows refused", "outcome": str(error), "branch": "", "commit": commit_of(settings.root)}
        (out / REPORT).write_bytes(artifact.as_json({"app": app.name, "release": str(settings.key), **refused}))
        raise
    clock.lap("validate")
    steps.features(app.name, work / "rows.json", work / registry.FEATURES)
    clock.lap("features")
    folders, clock.megabytes = train_all(app, work, settings.seed)
    clock.lap("training")
    stable = stable_of(f"stable {now.version}", steps.fetched(settings.store, now.version, now.sha256, app.name, work), app, data)
    found, champion = steps.judge_all(app.name, data, folders, stable, limits)
    clock.lap("evaluate")
    outcome = _published(settings, app, data, shop, found, champion, stable, now)
    clock.lap("register")
    (out / REPORT).write_bytes(artifact.as_json(_report(app, data, aside, outcome, settings, clock)))
    return outcome


def _validated(settings: Settings, app: App, now: ModelVersion, work: Path) -> tuple[Data, dict[str, int]]:
    reference = registry.reference(settings.root / registry.FOLDER, app.name, now.version, now.sha256, work / "reference")
    page, checks = (settings.out / f"validation.{kind}" for kind in ("html", "json"))
    return steps.validate(app.name, work / "raw.json", reference, work / "rows.json", page, checks)


class Clock:
    """Seconds since the last lap and since the start; and the most memory of each learner's process."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.megabytes: dict[str, int] = {}
        self._began = self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """The step of that name is done."""
        now = time.monotonic()
        self.seconds |= {name: round(now - self._last, 1), "all": round(now - self._began, 1)}
        self._last = now


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


def train_all(app: App, work: Path, seed: int) -> tuple[dict[str, Path], dict[str, int]]:
    """Train a version by each learner, side by side, each in a process of its own; return folders, and megabytes of each."""
    folders = {name: work / name for name in app.learners}
    commands = {
        name: [
            sys.executable,
            "-m",
            "pipelines",
            "learn",
            app.name,
            name,
            str(work / registry.FEATURES),
            str(folder),
            "--seed",
            str(seed),
        ]
        for name, folder in folders.items()
    }
    running = {
        name: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name, command in commands.items()
    }
    most = {}
    for name, process in running.items():
        told, said = process.communicate()
        if process.returncode:
            raise BadInput(f"{app.name}: {name} ended with {process.returncode}: {said.strip()}")
        most[name] = int(told)
    return folders, most


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
    made = steps.Wanted(version, settings.store, commit_of(settings.root), settings.seed)
    files = {name: settings.out / name for name in ("card.md", "card.html")}
    steps.cards(app, data, champion, stable, card.Identity(version, uri, data.sha256, made.commit, steps.libraries()), files)
    kept = (*files.values(), settings.out / "work" / registry.FEATURES)
    folder = settings.root / registry.FOLDER
    to = registry.client(folder)
    run_id = registry.register(to, replace(steps.entry(app, data, champion, uri, made), files=kept), folder)
    wanted = ModelVersion(version, uri, champion.sha256)
    others = [one for one in found if one is not champion]
    branch, proposal = propose(settings.root, settings.base, settings.key, wanted, text.judged(data, champion, stable))
    proposal = replace(
        proposal,
        manifests=manifests(settings.root, settings.base, branch),
        traffic=_traffic(settings, now.version),
        made=registry.links(to, run_id),
    )
    (settings.out / "pull-request.md").write_text(text.body(app, data, champion, others, stable, proposal))
    return Outcome(champion, found, version, uri, branch, f"{branch} starts {version} in {settings.key}")


def _traffic(settings: Settings, version: str) -> Traffic | None:
    """What the release's stable version did in the last half hour; a pull request does not fail on who cannot say."""
    if not settings.prometheus:
        return None
    try:
        prometheus = Prometheus(Service("prometheus", settings.prometheus))
        return traffic_of(prometheus, {settings.key: version}).get(settings.key)
    except Unavailable as error:
        print(f"warning: the text says nothing of present traffic: {error}", file=sys.stderr)
        return None


def _named(root: Path, app: str) -> set[str]:
    """The versions that any release of the app names in the work tree: their numbers are taken."""
    files = root.glob(f"overlays/*/{app}/release/model.yaml")
    return {line.partition('"')[2].rstrip('"') for file in files for line in file.read_text().splitlines() if "version: " in line}


def commit_of(root: Path) -> str:
    """The commit that a run is made from, and whether its code was changed since."""
    repo = open_here(root)
    changed = repo.run("status", "--porcelain", "--", "model", "pipelines", "requirements").strip()
    return repo.resolve("HEAD") + (" with changes that are not committed" if changed else "")


def _report(app: App, data: Data, aside: dict[str, int], outcome: Outcome, settings: Settings, clock: Clock) -> dict[str, Any]:
    best = outcome.champion
    score = best and best.figures[app.metric]
    return {
        "app": app.name,
        "release": str(settings.key),
        "status": outcome.status,
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
        "seconds": {**clock.seconds, "processor": round(sum(os.times()[:4]), 1)},
        "megabytes": {"pipeline": megabytes(), **clock.megabytes},
        "commit": commit_of(settings.root),
    }


def megabytes() -> int:
    """The most memory (resident set) that this process has had, by Linux's own count; 0 where it has none."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return round(next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0) * 1024 / 1e6)


def show(outcome: Outcome, app: App, out: Path) -> str:
    """What a person reads at the end of a run."""
    report = json.loads((out / REPORT).read_bytes())
    lines = [
        f"took {', '.join(f'{name} {seconds:g} s' for name, seconds in report['seconds'].items())}",
        f"memory at the most: {', '.join(f'{name} {count:,} MB' for name, count in report['megabytes'].items())}",
    ]
    for one in outcome.candidates:
        lines.append(f"{one.name}: {app.metric} {one.figures[app.metric]}")
        lines += [f"  {verdict.outcome:12} {verdict.gate:12} {verdict.sentence}" for verdict in one.verdicts]
    if outcome.champion:
        lines.append(f"champion: {outcome.champion.name}, sha256 {outcome.champion.sha256}")
    lines.append(outcome.said)
    if outcome.branch:
        lines.append(f"text: {out / 'pull-request.md'}; card: {out / 'card.html'}; report: {out / REPORT}")
    return "\n".join(lines)


def environment(app: str) -> str | None:
    """Where the app's rows come from, as for `python -m model`."""
    return os.environ.get(f"{app.upper()}_DATA") or None
