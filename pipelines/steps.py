"""The steps of a training run, each from files to files, so that a process here and a pod in a cluster do the same.

| step     | reads                                     | leaves                                                          |
|----------|-------------------------------------------|-----------------------------------------------------------------|
| ingest   | what <APP>_DATA says                      | raw.json: the rows as they came                                 |
| validate | raw.json, the stable version's features   | rows.json: the sound rows; Evidently's report, html and json    |
| features | rows.json                                 | features.parquet: one table for every learner                   |
| train    | features.parquet                          | the folder of a version, by one learner                         |
| evaluate | features.parquet, all versions            | figures, verdicts, the champion and its card                    |
| register | the champion, its card, features.parquet  | a published version, and its run in the registry                |
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from model import artifact, card, curve, gates, judge, parquet, store, v2
from model.app import App, Data, featured, find, held_out, open_model, split
from model.app import learn as learned
from model.drift import Drift
from model.judge import Candidate, Stable
from model.quarantine import sift
from model.signature import Signer
from model.table import BadInput, Table
from pipelines import registry
from rollout.release import version_text

LIBRARIES = ("lightgbm", "xgboost-cpu", "numpy")
IDENTITY = "ID"  # the column that names a row's client, where there is one


def write_rows(data: Data, path: Path) -> None:
    """Write rows as one file, the same bytes for the same rows."""
    plain = {"table": {name: list(values) for name, values in data.table.items()}, "target": data.target.tolist()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(artifact.as_json({**plain, "origin": data.origin}))


def read_rows(path: Path) -> Data:
    """Read what `write_rows` wrote."""
    plain = json.loads(path.read_bytes())
    return Data(plain["table"], np.array(plain["target"], dtype=np.float64), plain["origin"])


def ingest(app: str, setting: str | None, out: Path) -> None:
    """Take the app's rows in as they came: of the columns that the schema knows, and of the ID."""
    of = find(app)
    table, where, origin = of.read(setting)
    known = {IDENTITY, of.target.name, *(column.name for column in of.columns)}
    mine = {name: list(values) for name, values in table.items() if name in known}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"table": mine, "where": where, "origin": origin}, allow_nan=False))


def validate(
    app: str, raw: Path, reference: tuple[Path | None, str], out: Path, page: Path, checks: Path
) -> tuple[Data, dict[str, int]]:
    """Check the rows, put bad ones aside; return the sound ones and how many were put aside for which reason.

    reference: the features file of the stable version, or None and why there is none. page, checks: Evidently's report, written
    whatever it says; then BadInput is raised where the rows must not be learned from.
    """
    from model.validate import validate as checked  # noqa: PLC0415  # Evidently takes seconds to import

    of, plain = find(app), json.loads(raw.read_bytes())
    table, where = plain["table"], plain["where"]
    before = parquet.read(reference[0], of).data if reference[0] else None
    found = checked(of, table, before, reference[1])
    report: dict[str, Any] = {
        "app": app,
        "by": f"evidently {installed('evidently')}",
        "rows": max(map(len, table.values()), default=0),
        "reference": before.sha256 if before else reference[1],
        "checks": [asdict(one) for one in found.checks],
    }
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(found.page)
    try:
        sound, aside = _sound(app, table, where)
        if found.failed:
            raise BadInput(f"{where}: {'; '.join(found.failed)}")
    except BadInput as error:
        checks.write_bytes(artifact.as_json({**report, "outcome": "refused", "because": str(error)}))
        raise
    reasons = {reason: list(aside.values()).count(reason) for reason in dict.fromkeys(aside.values())}
    rows = [{"row": row + 1, "reason": reason} for row, reason in sorted(aside.items())]
    checks.write_bytes(artifact.as_json({**report, "outcome": "passed", "quarantined": reasons, "quarantine": rows}))
    data = Data(sound, np.array(sound.pop(of.target.name), dtype=np.float64), plain["origin"])
    write_rows(data, out)
    return data, reasons


def _sound(app: str, table: Table, where: str) -> tuple[dict[str, Any], Mapping[int, str]]:
    """The sound rows, in their columns' types, with their outcomes; and why the others are not."""
    of = find(app)
    columns = (*of.columns, of.target)
    found = sift(table, columns, of.target.name, where, IDENTITY)
    return {c.name: [c.plain(table[c.name][row]) for row in found.sound] for c in columns}, found.aside


def drift(app: str, asked: Path, reference: Path, page: Path) -> Drift:
    """Compare requests, one per line, with the rows of a features file; leave Evidently's report."""
    from model.drift import drift as compared  # noqa: PLC0415  # Evidently takes seconds to import

    of = find(app)
    try:
        text = asked.read_text()
    except (OSError, ValueError) as error:
        raise BadInput(f"{asked}: cannot be read ({error}); must be requests, one per line") from error
    found = compared(of, v2.table_of(text, of, str(asked)), parquet.read(reference, of).data, str(asked))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(found.page)
    return found


def features(app: str, rows: Path, out: Path) -> dict[str, Any]:
    """Compute the features of all rows, once; return what the file says of itself."""
    parquet.write(out, find(app), featured(find(app), read_rows(rows)))
    return parquet.named(out)


def learn(app: str, learner: str, table: Path, seed: int, out: Path) -> None:
    """Train one version by one learner."""
    of = find(app)
    artifact.write(out, learned(of, parquet.read(table, of), seed, learner=learner, early=True).files)


def limits_of(app: str, root: Path) -> dict[str, float]:
    """The gates of an app, as its folder says."""
    where = f"apps/{app}/gates.yaml"
    try:
        return gates.read(yaml.safe_load((root / where).read_text()), where)
    except OSError as error:
        raise BadInput(f"{where}: cannot be read ({error.strerror}); every app that is trained has gates") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{where}: is no YAML: {' '.join(str(error).split())}") from error


def judge_all(
    app: str, data: Data, folders: Mapping[str, Path], stable: Stable, limits: Mapping[str, float]
) -> tuple[list[Candidate], Candidate | None]:
    """Judge every version on the same rows; return all, and the champion if there is one."""
    of = find(app)
    found = [judge.judged(name, folder, of, data, stable, limits) for name, folder in folders.items()]
    scores = {one.name: one.figures[of.metric].value for one in found}
    verdicts = {one.name: one.verdicts for one in found}
    best = gates.champion(scores, verdicts, higher=of.probability)
    return found, next((one for one in found if one.name == best), None)


@dataclass(frozen=True)
class Wanted:
    """What a champion would be published as, and where from: the number, the store's URL, the commit, the learners' seed."""

    version: str
    store: str
    commit: str
    seed: int


def evaluate(
    app: str,
    table: Path,
    folders: Mapping[str, Path],
    stable: tuple[str, str],
    limits: Mapping[str, float],
    wanted: Wanted,
    out: Mapping[str, Path],
) -> dict[str, Any]:
    """Judge as a step of its own. stable: version and sha256, empty where there is none; out: where `champion` (a folder),
    `evaluation`, `card.md` and `card.html` go. Return what `evaluation` holds.

    Raises BadInput with what failed when there is no champion.
    """
    of = find(app)
    data = parquet.read(table, of).data
    with tempfile.TemporaryDirectory() as folder:
        there = fetched(wanted.store, *stable, app, Path(folder))
        old = judge.stable_of(f"stable {stable[0]}", there, of, data)
        found, best = judge_all(app, data, folders, old, limits)
    if best is None:
        raise BadInput(no_champion(found))
    uri = f"{store.opened(wanted.store).address}/{app}/{wanted.version}"
    artifact.write(out["champion"], {path.name: path.read_bytes() for path in sorted(best.folder.iterdir())})
    identity = card.Identity(wanted.version, uri, data.sha256, wanted.commit, libraries())
    cards(of, data, best, old, identity, out)
    made = {
        "champion": best.name,
        "sha256": best.sha256,
        "candidates": [plain(one) for one in found],
        "entry": asdict(entry(of, data, best, uri, wanted)),
        "curves": curves(of, data, best),
    }
    out["evaluation"].write_bytes(artifact.as_json(made))
    return made


def cards(app: App, data: Data, best: Candidate, stable: Stable, identity: card.Identity, out: Mapping[str, Path]) -> None:
    """Write the champion's card, as text and as a page."""
    said = card.markdown(app, best, stable, data, identity)
    out["card.md"].write_text(said)
    out["card.html"].write_text(card.page(app, said, card.plots(app, open_model(best.folder), data)))


def entry(app: App, data: Data, best: Candidate, uri: str, wanted: Wanted) -> registry.Entry:
    """What the registry is told of a champion; the files are the caller's."""
    intervals = {f"{name}_{end}": getattr(one, end) for name, one in best.figures.items() for end in ("low", "high")}
    return registry.Entry(
        app=app.name,
        version=wanted.version,
        uri=uri,
        sha256=best.sha256,
        parameters={"learner": best.name, "seed": wanted.seed, **app.learners[best.name]},
        figures={name: one.value for name, one in best.figures.items()} | intervals,
        tags={
            "rows": str(len(data.target)),
            "rows.sha256": data.sha256,
            "rows.origin": data.origin,
            "commit": wanted.commit,
            **{f"gate.{one.gate}": f"{one.outcome}: {one.sentence}" for one in best.verdicts},
        },
        files=(),
    )


def curves(app: App, data: Data, best: Candidate) -> dict[str, Any]:
    """For probabilities, the ROC curve and the confusion matrix on the held-out rows; nothing for amounts."""
    if not app.probability or best.threshold is None:
        return {}
    predicted = open_model(best.folder).predict(held_out(app, data), "held-out rows")
    target = data.target[split(len(data.target))[1]]
    alarms, found, thresholds = curve.roc(target, predicted)
    return {
        "roc": [alarms.tolist(), found.tolist(), thresholds.tolist()],
        "confusion": curve.confusion(target, predicted, best.threshold),
    }


def register(
    app: str,
    version: str,
    url: str,
    champion: Path,
    evaluation: Path,
    files: Mapping[str, Path],
    folder: Path,
    signer: Signer,
) -> str:
    """Sign and publish the champion and register it, once each; return its address. files: what its run keeps, by name."""
    check_version(version)
    plain = json.loads(evaluation.read_bytes())["entry"]
    uri = store.publish(store.opened(url), champion, find(app).name, version, signer)
    if (plain["uri"], plain["sha256"]) != (uri, artifact.digest(champion)):
        raise BadInput(f"{evaluation}: is of {plain['uri']}, sha256 {plain['sha256']}; must be of {uri}, the champion")
    with tempfile.TemporaryDirectory() as kept:
        copies = tuple(Path(shutil.copyfile(path, Path(kept) / name)) for name, path in files.items())
        registry.register(registry.client(folder), registry.Entry(**{**plain, "files": copies}), folder)
    return uri


def check_version(version: str) -> None:
    """Raise BadInput for what no release could name: a version becomes a path in the store."""
    try:
        version_text(version)
    except ValueError as error:
        raise BadInput(f"version {version!r}: {error}") from error


def libraries() -> dict[str, str]:
    """What an artifact's bytes depend on."""
    return {name: installed(name) for name in LIBRARIES}


def fetched(url: str, version: str, sha256: str, app: str, into: Path) -> Path | None:
    """The folder of the stable version out of the store, where it is published there and is what the release names."""
    if not sha256 or store.versions(store.opened(url), app).get(version) != sha256:
        return None
    store.fetch(store.opened(url), app, version, into / "stable")
    return into / "stable"


def no_champion(found: Sequence[Candidate]) -> str:
    """Say which gates failed, and by how much."""
    failed = [f"{one.name}: {verdict.sentence}" for one in found for verdict in one.verdicts if verdict.outcome == "failed"]
    return f"no champion, nothing is registered: {'; '.join(failed)}"


def plain(candidate: Candidate) -> dict[str, Any]:
    """What a report says of one version."""
    return {
        "learner": candidate.name,
        "sha256": candidate.sha256,
        "figures": {name: asdict(figure) for name, figure in candidate.figures.items()},
        "threshold": candidate.threshold,
        "gates": [asdict(verdict) for verdict in candidate.verdicts],
        "gaps": {name: asdict(figure) for name, figure in candidate.served.gaps.items()},
        "milliseconds": round(candidate.milliseconds, 3),
        "bytes": candidate.size,
    }
