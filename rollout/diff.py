"""`rollout diff BASE..HEAD`: what a change does to every release it touches, in words first and then in rendered manifests.

| of the release's files, before -> after     | in words                                                    |
|---------------------------------------------|-------------------------------------------------------------|
| none -> any                                 | is new and runs 7                                           |
| any -> none                                 | is gone; it ran 7                                           |
| at rest -> in rollout                       | canary 8 starts at 0 %, beside stable 7                     |
| in rollout -> at rest, on the version       | stable is 8, canary closed                                  |
| in rollout -> at rest, on another           | canary 8 is taken out, 7 stays                              |
| at rest on 8 -> at rest on 7                | goes from 8 to 7 at once                                    |
| canary's percent                            | canary 8: 5 % -> 25 % of traffic                            |
| stable.yaml in rollout                      | stable 7 -> 8 while canary 8 keeps 25 %                     |
| stable.yaml, traffic.yaml at rest           | the controller's files are tidied; nothing that runs changes |
| hold                                        | is paused; goes on                                          |
| nothing of these                            | manifests change, its versions do not                       |

A change of base/, of an app or of an environment's common/ touches every release that is built on it.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from rollout import release as releases
from rollout.errors import BadInput
from rollout.git import Repo
from rollout.release import FILES, Key, Release, Toggle
from rollout.render import kustomize, render

_TREES = ("base", "apps", "overlays")


@dataclass(frozen=True, slots=True)
class Touched:
    """One release that a change touches: what it does, in words, and the difference of its manifests."""

    key: Key
    words: str
    lines: tuple[str, ...]


def words(before: Release | None, after: Release | None) -> str:
    """Say what happens to a release."""
    if before is None or after is None:
        there = before or after
        return f"is {'new and runs' if after else 'gone; it ran'} {there.model.version}" if there else "cannot be read"
    old, new = before.model.version, after.model.version
    if before.toggle is not after.toggle:
        if after.toggle is Toggle.IN_ROLLOUT:
            return f"canary {new} starts at {after.canary} %, beside stable {after.stable.version}"
        same = after.model.runs_like(before.model)
        return f"stable is {new}, canary closed" if same else f"canary {old} is taken out, {new} stays"
    if not after.model.runs_like(before.model):
        return f"goes from {old} to {new} at once"
    return "; ".join(_same(before, after)) or "manifests change, its versions do not"


def _same(before: Release, after: Release) -> Iterator[str]:
    version, rolling = after.model.version, after.toggle is Toggle.IN_ROLLOUT
    if not rolling and (before.stable, before.canary) != (after.stable, after.canary):
        yield "the controller's files are tidied; nothing that runs changes"
    if rolling and not after.stable.runs_like(before.stable):
        yield f"stable {before.stable.version} -> {after.stable.version} while canary {version} keeps {after.canary} %"
    if rolling and before.canary != after.canary:
        yield f"canary {version}: {before.canary} % -> {after.canary} % of traffic"
    if before.model.hold != after.model.hold:
        yield "is paused" if after.model.hold else "goes on"


def touched(paths: Iterable[str], keys: Iterable[Key]) -> list[Key]:
    """Return the releases that a change of these paths can touch."""
    changed = tuple(paths)

    def reaches(key: Key) -> bool:
        built_on = ("base/", f"apps/{key.app}/", f"overlays/{key.env}/common/", f"overlays/{key.env}/{key.app}/")
        return any(path.startswith(built_on) for path in changed)

    return sorted(key for key in keys if reaches(key))


def compare(repo: Repo, span: str) -> list[Touched]:
    """Render every touched release at both ends of BASE..HEAD and return those that differ, or whose files do."""
    ends = repo.ends(span)
    changed = repo.run("-c", "core.quotePath=false", "diff", "--no-renames", "--name-only", *ends, "--", ":/").splitlines()
    with tempfile.TemporaryDirectory(prefix="rollout-diff-") as folder:
        roots = [_tree(repo, end, Path(folder) / name) for end, name in zip(ends, ("before", "after"), strict=True)]
        found = touched(changed, {key for root in roots for key in _keys(root)})
        command = kustomize()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return [one for one in pool.map(lambda key: _compared(command, roots, key), found) if one]


def _tree(repo: Repo, commit: str, into: Path) -> Path:
    into.mkdir()
    there = [name for name in _TREES if repo.tree(commit, name)]
    top = repo.run("rev-parse", "--show-toplevel").strip()
    done = subprocess.run(["git", "-C", top, "archive", commit, "--", *there], capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
    return into


def _keys(root: Path) -> Iterator[Key]:
    for path in root.glob("overlays/*/*/release"):
        yield Key(path.parts[-3], path.parts[-2])


def _compared(command: list[str], roots: list[Path], key: Key) -> Touched | None:
    before, after = (_release(root, key) for root in roots)
    old, new = (_lines(command, root, key) for root in roots)
    if before == after and old == new:
        return None
    lines = difflib.unified_diff(old, new, "before", "after", lineterm="", n=2)
    return Touched(key, words(before, after), tuple(lines)[2:])


def _release(root: Path, key: Key) -> Release | None:
    folder = root / key.folder
    texts = {name: (folder / name).read_text(errors="replace") for name in FILES if (folder / name).is_file()}
    try:
        return releases.parse(key, texts)
    except BadInput:
        return None


def _lines(command: list[str], root: Path, key: Key) -> list[str]:
    if not (root / key.folder).is_dir():
        return []
    made = render(command, root, f"overlays/{key}")
    return [f"does not render: {made}"] if isinstance(made, Exception) else made.splitlines()


def text(found: list[Touched], *, markdown: bool) -> str:
    """Every touched release, words first; as text or as markdown with the manifests folded away."""
    if not found:
        return "no release changes\n"
    blocks = [_block(one, markdown=markdown) for one in found]
    if markdown:
        return "\n".join(f"- {_head(one)}" for one in found) + "\n\n" + "\n".join(blocks)
    return "\n".join(blocks)


def _head(one: Touched) -> str:
    return f"{one.key.app} in {one.key.env}: {one.words}"


def _block(one: Touched, *, markdown: bool) -> str:
    lines = "\n".join(one.lines)
    if not markdown:
        return f"{_head(one)}\n{lines}\n" if lines else f"{_head(one)}\n"
    if not lines:
        return ""
    return f"<details><summary>{one.key}: manifests</summary>\n\n```diff\n{lines}\n```\n\n</details>\n"


def run(repo: Repo, span: str, *, markdown: bool) -> None:
    """Print what a change does."""
    print(text(compare(repo, span), markdown=markdown), end="")
