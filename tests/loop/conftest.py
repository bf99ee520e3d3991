"""A world per test; git without the configuration of whoever runs the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .world import Load, World, beginning


@pytest.fixture(autouse=True)
def _plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Make worlds that are stopped after the test."""
    made: list[World] = []

    def make(begin: int = 0, **more: Any) -> World:
        home = tmp_path / f"world-{len(made)}"
        home.mkdir()
        made.append(World.make(home, begin or beginning(), **more))
        return made[-1]

    yield make
    for world in made:
        world.stop()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A world in which credit has had requests for half an hour."""
    world = make_world()
    world.cluster.loads["credit"] = Load()
    world.pass_time(1800)
    return world
