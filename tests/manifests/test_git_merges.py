"""The layout of model.yaml lets git merge what a person, a pull request and the controller each change in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

COMMITTED = (Path(__file__).parents[2] / "overlays/prod/credit/release/model.yaml").read_text()
STARTED = COMMITTED.replace('version: "1"', 'version: "8"').replace("/credit/1", "/credit/8")
STARTED_R2 = STARTED.replace("  # a", "  image: registry.example.com/models/model-server:2.0\n  # a")
SWITCH = "  hold: true\n"
EDITS = {"start": STARTED, "start with an image": STARTED_R2}


class Repository:
    """One file under git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self("init", "-q", "-b", "main")
        self.commit(COMMITTED)

    def __call__(self, *words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        git = ["git", "-C", str(self.folder), *identity, *words]
        return subprocess.run(git, check=True, capture_output=True, text=True).stdout

    @property
    def text(self) -> str:
        return (self.folder / "model.yaml").read_text()

    def commit(self, text: str) -> str:
        (self.folder / "model.yaml").write_text(text)
        self("add", ".")
        self("commit", "-qm", "change")
        return self("rev-parse", "HEAD").strip()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


@pytest.mark.parametrize("edit", EDITS)
def test_a_start_is_reverted_cleanly_though_somebody_held_it_meanwhile(repository, edit):
    start = repository.commit(EDITS[edit])
    repository.commit(EDITS[edit] + SWITCH)
    repository("revert", "--no-edit", start)
    assert repository.text == COMMITTED + SWITCH


@pytest.mark.parametrize("edit", EDITS)
def test_a_hold_is_reverted_cleanly_though_the_version_changed_meanwhile(repository, edit):
    hold = repository.commit(COMMITTED + SWITCH)
    repository.commit(EDITS[edit] + SWITCH)
    repository("revert", "--no-edit", hold)
    assert repository.text == EDITS[edit]


@pytest.mark.parametrize("edit", EDITS)
def test_a_pull_request_that_holds_merges_though_the_controller_took_the_version_back(repository, edit):
    repository.commit(EDITS[edit])
    repository("switch", "-qc", "hold")
    repository.commit(EDITS[edit] + SWITCH)
    repository("switch", "-q", "main")
    repository.commit(COMMITTED)
    repository("merge", "--no-edit", "hold")
    assert repository.text == COMMITTED + SWITCH


def test_two_open_starts_conflict_so_the_second_waits_for_the_first(repository):
    repository("switch", "-qc", "second")
    repository.commit(STARTED.replace("8", "9"))
    repository("switch", "-q", "main")
    repository.commit(STARTED)
    with pytest.raises(subprocess.CalledProcessError):
        repository("merge", "--no-edit", "second")
