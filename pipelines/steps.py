"""The steps of a training run, each from files to files, so that a process here and a pod in a cluster do the same.

| step     | reads                                   | leaves                                                     |
|----------|-----------------------------------------|------------------------------------------------------------|
| ingest   | what <APP>_DATA says                    | rows.json: the sound rows; quarantine.json: the others     |
| train    | rows.json                               | the folder of a version, by one learner                    |
| judge    | rows.json, both versions, the stable's  | report.json: figures, verdicts, champion                   |
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from model import artifact, gates, judge, store
from model.app import Data, find, train
from model.judge import Candidate, Stable
from model.quarantine import sift
from model.table import BadInput, take


def write_rows(data: Data, path: Path) -> None:
    """Write rows as one file, the same bytes for the same rows."""
    plain = {"table": {name: list(values) for name, values in data.table.items()}, "target": data.target.tolist()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(artifact.as_json({**plain, "origin": data.origin}))


def read_rows(path: Path) -> Data:
    """Read what `write_rows` wrote."""
    plain = json.loads(path.read_bytes())
    return Data(plain["table"], np.array(plain["target"], dtype=np.float64), plain["origin"])


def ingest(app: str, setting: str | None, out: Path) -> tuple[Data, dict[str, int]]:
    """Take the app's rows in; return the sound ones, and how many were put aside for which reason."""
    of = find(app)
    table, where, origin = of.read(setting)
    found = sift(table, (*of.columns, of.target), of.target.name, where, "ID")
    target = np.array([table[of.target.name][row] for row in found.sound], dtype=np.float64)
    data = Data(take(table, found.sound, of.columns), target, origin)
    write_rows(data, out)
    aside = [{"row": row + 1, "reason": reason} for row, reason in sorted(found.aside.items())]
    out.with_name("quarantine.json").write_bytes(artifact.as_json(aside))
    return data, found.reasons


def learn(app: str, learner: str, rows: Path, seed: int, out: Path) -> None:
    """Train one version by one learner."""
    artifact.write(out, train(find(app), read_rows(rows), seed, learner=learner, early=True).files)


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


def judge_files(
    app: str, rows: Path, folders: Mapping[str, Path], stable: tuple[str, str, str], limits: Mapping[str, float], out: Path
) -> dict[str, Any]:
    """Judge as a step of its own; the champion's files go to `out`. stable: store, version and sha256, empty where there is none.

    Raises BadInput with what failed when there is no champion.
    """
    data, of = read_rows(rows), find(app)
    with tempfile.TemporaryDirectory() as folder:
        there = fetched(*stable, app, Path(folder))
        found, best = judge_all(app, data, folders, judge.stable_of(f"stable {stable[1]}", there, of, data), limits)
    if best is None:
        raise BadInput(no_champion(found))
    artifact.write(out, {path.name: path.read_bytes() for path in sorted(best.folder.iterdir())})
    return {"champion": best.name, "sha256": best.sha256, "candidates": [plain(one) for one in found]}


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
