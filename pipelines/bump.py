"""A new image, proposed: each place that names an image by digest, and the branch that names the new one there.

| image        | is named in                              | the pull request                                             |
|--------------|------------------------------------------|--------------------------------------------------------------|
| controller   | base/rollout-controller/deployment.yaml  | one; Argo CD replaces the Pod                                |
| trainer      | pipelines/image.yaml, train.yaml         | one; the next training run has it                            |
| model-server | model.yaml of a release                  | one per app: the bytes it runs start as `<version>-r<n>` on  |
|              |                                          | the new image in the first environment, and are walked       |

A model server's image can break a model as its bytes can: so it is a canary like any other, and goes on by promotion.
Branches are made beside the work tree; made again on the same base they are what they were.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.promotion import ORDER
from pipelines.propose import committed, tree_at
from rollout import release as releases
from rollout.diff import compare, text
from rollout.errors import BadInput, Refused
from rollout.git import Repo
from rollout.people import Desk, start
from rollout.release import Key, ModelVersion

_REFERENCE = r"(?<=[\s:])[a-z0-9.:/_-]+@sha256:[0-9a-f]{64}"
PLACES = {
    "controller": ("base/rollout-controller/deployment.yaml",),
    "trainer": ("pipelines/image.yaml", "pipelines/train.yaml"),
}
NAMES = (*PLACES, "model-server")


@dataclass(frozen=True)
class Bump:
    """A branch that names a new image, and its pull request's text."""

    branch: str
    text: str


def bump(repo: Repo, name: str, image: str, base: str) -> tuple[list[Bump], list[str]]:
    """Leave the branches that name a new image; return them, and in words what could not be proposed now."""
    try:
        releases.image_text(image)
    except ValueError as error:
        raise BadInput("--image", "", f"is {image!r}; {error}") from error
    if name == "model-server":
        return _apps(repo, image, base)
    with tree_at(repo, base) as desk:
        old = _replaced(desk.repo.path, PLACES[name], image)
        if old == {image}:
            return [], [f"{name}: {image} is there already"]
        branch = f"image/{name}"
        committed(desk.repo, branch, base, f"{name}: a new image", PLACES[name])
    return [Bump(branch, _text(name, ", ".join(sorted(old)), image, repo, f"{base}..{branch}"))], []


def _replaced(root: Path, places: tuple[str, ...], image: str) -> set[str]:
    old = set[str]()
    for place in places:
        before = (root / place).read_text()
        found = re.findall(_REFERENCE, before)
        if not found:
            raise BadInput(place, "image", "names none by digest; <name>@sha256:<64 hex digits> would be right")
        old.update(found)
        (root / place).write_text(re.sub(_REFERENCE, image, before))
    return old


def _apps(repo: Repo, image: str, base: str) -> tuple[list[Bump], list[str]]:
    bumps, not_now = [], []
    with tree_at(repo, base) as desk:
        keys = sorted(key for key in desk.history.releases if key.env == ORDER[0])
    for key in keys:
        with tree_at(repo, base) as desk:
            try:
                bumps.append(_app(desk, key, image, base))
            except Refused as refused:
                not_now.append(str(refused))
    return bumps, not_now


def _app(desk: Desk, key: Key, image: str, base: str) -> Bump:
    old = desk.state(key).release.model
    if old.image == image:
        raise Refused(f"{key}: {image} is there already")
    new = ModelVersion(_next(desk, key.app, old.version), old.model_uri, old.sha256, image)
    start(desk, key, new, reopen=False)
    branch = f"image/model-server-{key.env}-{key.app}"
    committed(desk.repo, branch, base, f"{key.app}({key.env}): start {new.version}", (key.folder,))
    return Bump(branch, _text(f"{key}", old.image or "the app's", image, desk.repo, f"{base}..{branch}"))


def _next(desk: Desk, app: str, version: str) -> str:
    """The version's next name on another image: one that no release of the app has had or refuses."""
    base = re.sub(r"-r\d+$", "", version)
    taken = {name for key in desk.history.releases if key.app == app for name in _named(desk, key)}
    numbers = [int(found[1]) for name in taken if (found := re.fullmatch(rf"{re.escape(base)}-r(\d+)", name))]
    return f"{base}-r{max(numbers, default=1) + 1}"


def _named(desk: Desk, key: Key) -> Iterator[str]:
    state = desk.state(key)
    yield from (model.version for model in (state.release.model, *state.ran, *(veto.model for veto in state.vetoes)))


def _text(what: str, old: str, new: str, repo: Repo, span: str) -> str:
    lines = [f"**{what}: a new image.**", f"| | image |\n|---|---|\n| now | `{old}` |\n| wanted | `{new}` |"]
    signed = "Built, listed (SBOM), scanned and signed by images.yaml; docs/images.md says how to verify it."
    return "\n\n".join([*lines, signed, text(compare(repo, span), markdown=True).rstrip()]) + "\n"
