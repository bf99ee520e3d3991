"""A deployment repository in which version 8 of credit has completed in prod, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.release.repository import Desk


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Tags: `before`, `started`, `stepped`, `completed`."""
    desk = Desk.planted(tmp_path_factory.mktemp("walked") / "desk")
    desk.git("tag", "before")
    desk.start("8")
    desk.git("tag", "started")
    desk.act()
    desk.git("tag", "stepped")
    desk.settle()
    desk.git("tag", "completed")
    return desk


@pytest.fixture
def at(walked: Desk, tmp_path: Path):
    """Makes clones of it at a tag."""

    def at(tag: str) -> Desk:
        desk = Desk(tmp_path / tag)
        walked.git("clone", "--quiet", "--shared", ".", str(desk.path))
        desk.git("switch", "--quiet", "--force-create", "main", tag)
        return desk

    return at


@pytest.fixture
def watched(at, tmp_path):
    """The remote at a tag, and a clone of it."""

    def watched(tag: str) -> tuple[Desk, Desk]:
        remote = at(tag)
        remote.git("clone", "--quiet", ".", str(tmp_path / "clone"))
        return remote, Desk(tmp_path / "clone")

    return watched
