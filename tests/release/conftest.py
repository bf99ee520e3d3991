"""Walks of version 8 of credit in prod, made once; tests work in clones of them at a point."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from .repository import IMAGE, KEY, POINTS, Desk

At = Callable[..., Desk]
FORMS = {"squash": (), "merge": (), "squash, an image of its own": ("--image", IMAGE)}


@pytest.fixture(scope="session")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Every walk of FORMS, with a tag `<form>/<point>` on the commit after which each point is reached, and `<form>/before`."""
    desk = Desk.planted(tmp_path_factory.mktemp("walks") / "desk")
    for form, more in FORMS.items():
        desk.git("switch", "--quiet", "--force-create", "pull", tag := "main")
        desk.start("8", *more)
        desk.git("switch", "--quiet", "--force-create", "walk", tag)
        desk.commit("dev: something else meanwhile", {"overlays/dev/common/kustomization.yaml": lambda text: f"# dev\n{text}"})
        mark(desk, form, "before")
        desk.merge("pull", form.partition(",")[0])
        mark(desk, form, "warming")
        for point in POINTS[1:]:
            assert desk.act().change
            mark(desk, form, point)
    return desk


def mark(desk: Desk, form: str, point: str) -> None:
    """Tag HEAD; a tag has no spaces."""
    desk.git("tag", name(form, point))


def name(form: str, point: str) -> str:
    """The tag of a point of a walk."""
    return f"{form}/{point}".replace(" ", "-").replace(",", "")


@pytest.fixture
def at(walks: Desk, tmp_path: Path) -> At:
    """Makes clones of a walk at a point."""

    def at(point: str, form: str = "squash") -> Desk:
        desk = Desk(tmp_path / f"desk-{len(list(tmp_path.iterdir()))}")
        walks.git("clone", "--quiet", "--shared", "--no-checkout", ".", str(desk.path))
        desk.git("switch", "--quiet", "--force-create", "main", name(form, point))
        return desk

    return at


class Renders:
    """What kustomize makes of credit in prod at a commit, once per content."""

    def __init__(self) -> None:
        self._known: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, desk: Desk) -> list[dict[str, Any]]:
        """Return the objects of the work tree, which must be committed."""
        folders = ("base", f"apps/{KEY.app}", f"overlays/{KEY.env}/common", f"overlays/{KEY}")
        tree = desk.git("rev-parse", *(f"HEAD:{folder}" for folder in folders))
        if tree not in self._known:
            folder = desk.path / "overlays" / str(KEY)
            done = subprocess.run(["kubectl", "kustomize", folder], check=True, capture_output=True, text=True)
            self._known[tree] = list(yaml.load_all(done.stdout, yaml.CSafeLoader))
        return self._known[tree]


@pytest.fixture(scope="session")
def render() -> Renders:
    """Render credit in prod."""
    return Renders()
