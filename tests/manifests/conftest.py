"""Renders overlays with the real kustomize."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    Object = dict[str, Any]
    Render = Callable[[Path], list[Object]]

ROOT = Path(__file__).parents[2]
OVERLAYS = sorted(
    path.parent.relative_to(ROOT).as_posix()
    for path in ROOT.glob("overlays/*/*/kustomization.yaml")
    if path.parent.name != "common"
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "overlay" in metafunc.fixturenames:
        metafunc.parametrize("overlay", OVERLAYS, ids=lambda path: path.removeprefix("overlays/"))


@pytest.fixture(scope="session")
def render() -> Render:
    """Build a folder; a failed build raises CalledProcessError with kustomize's words in stderr."""

    def render(folder: Path) -> list[Object]:
        run = subprocess.run(["kubectl", "kustomize", folder], check=True, capture_output=True, text=True)
        return list(yaml.load_all(run.stdout, yaml.CSafeLoader))

    return render


@pytest.fixture(scope="session")
def rendered(render: Render) -> dict[str, list[Object]]:
    """The objects of every overlay as committed, built once."""
    return {overlay: render(ROOT / overlay) for overlay in OVERLAYS}


@pytest.fixture
def objects(rendered: dict[str, list[Object]], overlay: str) -> list[Object]:
    """The objects of the overlay under test."""
    return rendered[overlay]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the manifests, to change."""
    for folder in ("base", "apps", "overlays"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path
