"""A work tree at the edge: its texts read, its releases rendered, its changes since a commit; for `rollout check`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rollout import check, propose
from rollout import release as releases
from rollout.check import Tree
from rollout.errors import BadInput
from rollout.git import Repo, open_here
from rollout.history import History
from rollout.prometheus import Prometheus
from rollout.release import Key, Release, Toggle
from rollout.render import kustomize, render
from rollout.services import traffic_of

_RENDERED = ("overlays", "apps", "base")
_READ = ("overlays", "apps", "argocd")


def run(root: Path, base: str | None, prometheus: Prometheus | None, *, as_json: bool) -> int:
    """Check the work tree at `root`; print every problem; return 2 if there is one. prometheus: ask for series too."""
    for name in _RENDERED:
        if not (root / name).is_dir():
            raise BadInput(str(root / name), "", "is no folder; the root of a deployment repository would be right")
    texts = _texts(root)
    tree = Tree(texts, _renders(root, Tree(texts)))
    found = check.problems(tree)
    if base is not None:
        found += _changes(open_here(root), tree, base)
    keys, warnings = tree.release_keys(), list[str]()
    if prometheus is not None:
        found += check.unwatched(tree, prometheus.watched(keys))
        warnings = _quiet(tree, prometheus)
    if as_json:
        plain = [{"file": one.where, "field": one.field, "problem": one.problem} for one in found]
        print(json.dumps({"releases": [str(key) for key in keys], "problems": plain, "warnings": warnings}, indent=2))
    else:
        for problem in found:
            print(problem)
        for warning in warnings:
            print(f"warning: {warning}")
        print(f"{_number(len(keys), 'release')}, {_number(len(found), 'problem')}")
    return 2 if found else 0


def _quiet(tree: Tree, prometheus: Prometheus) -> list[str]:
    """What plans cannot show at the traffic of the last half hour."""
    versions = {}
    for key, release in _readable((key, tree.release_texts(key)) for key in tree.release_keys()).items():
        versions[key] = (release.model if release.toggle is Toggle.AT_REST else release.stable).version
    found = []
    for key, traffic in traffic_of(prometheus, versions).items():
        plan = check.plan_of(tree, key)
        found += [f"{key}: {text}" for text in propose.warnings(plan, traffic)] if plan else []
    return found


def _number(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"


def _texts(root: Path) -> dict[str, str]:
    files = (path for folder in _READ for path in sorted((root / folder).rglob("*.yaml")) if path.is_file())
    return {str(path.relative_to(root)): path.read_text(errors="replace") for path in files}


def _renders(root: Path, tree: Tree) -> dict[tuple[Key, Toggle], str | Exception]:
    """Render every readable release as it is, and in a copy of the tree with its toggle the other way."""
    with tempfile.TemporaryDirectory(prefix="rollout-check-") as folder:
        copy, jobs = Path(folder), []
        for name in _RENDERED:
            shutil.copytree(root / name, copy / name, ignore_dangling_symlinks=True)
        for key in tree.release_keys():
            path = Path(key.folder) / "kustomization.yaml"
            try:
                toggle = releases.parse(key, tree.release_texts(key)).toggle
            except BadInput:
                continue
            other = next(one for one in Toggle if one is not toggle)
            (copy / path).write_text(releases.write_toggle(tree.texts[str(path)], other))
            jobs += [((key, toggle), root), ((key, other), copy)]
        return _rendered(jobs)


def _rendered(jobs: list[tuple[tuple[Key, Toggle], Path]]) -> dict[tuple[Key, Toggle], str | Exception]:
    command = kustomize()

    def one(job: tuple[tuple[Key, Toggle], Path]) -> str | Exception:
        (key, _), root = job
        return render(command, root, f"overlays/{key}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip((name for name, _ in jobs), pool.map(one, jobs), strict=True))


def _changes(repo: Repo, tree: Tree, base: str) -> list[BadInput]:
    tip = repo.resolve(base)
    history = History(repo.text)
    history.extend(repo.commits(tip))
    fork = repo.run("merge-base", tip, "HEAD").strip()
    states = {key: tracked.state for key, tracked in history.releases.items() if tracked.state}
    before = _readable((key, _at(repo, fork, key)) for key in tree.release_keys())
    after = _readable((key, tree.release_texts(key)) for key in tree.release_keys())
    return list(check.changes(before, after, states))


def _at(repo: Repo, commit: str, key: Key) -> dict[str, str]:
    found = {name: repo.run("show", f"{commit}:{key.folder}/{name}", check=False) for name in releases.FILES}
    return {name: text for name, text in found.items() if text}


def _readable(releases_texts: Iterable[tuple[Key, dict[str, str]]]) -> dict[Key, Release]:
    found = {}
    for key, texts in releases_texts:
        try:
            found[key] = releases.parse(key, texts)
        except BadInput:
            continue  # told by the check of the tree, or the release is new
    return found
