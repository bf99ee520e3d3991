"""`rollout alarm`: what a push of the controller's touched that is not a release file."""

import json
from pathlib import Path

import pytest

from tests.release.repository import TRAFFIC, Desk


@pytest.fixture
def desk(at) -> Desk:
    return at("completed")


def alarm(desk: Desk, *words: str):
    return desk.rollout("alarm", "base..HEAD", *words)


def test_a_whole_walk_by_the_controller_is_its_own_work(desk):
    span = f"{desk.id('started')}..HEAD"
    assert desk.rollout("alarm", span) == (0, f"{span}: nothing outside overlays/*/*/release/\n", "")


@pytest.mark.parametrize(
    "path",
    [
        "apps/credit/rollout.yaml",
        "base/model-server/podmonitor.yaml",
        ".github/workflows/check.yaml",
        "overlays/prod/credit/kustomization.yaml",
        "overlays/prod/common/kustomization.yaml",
        "overlays/prod/credit/release/more.yaml",
        "overlays/prod/credit/release/deep/model.yaml",
        "overlays/prod/a credit/x",
    ],
)
def test_anything_else_is_named_with_its_commit(desk, path):
    desk.git("tag", "base")
    commit = desk.commit("not mine", {path: "changed: true\n"})
    desk.commit("mine", {TRAFFIC: lambda text: text + "\n"})
    assert alarm(desk) == (1, f"{commit[:10]} changes {path}\n", "")


def test_what_a_later_commit_puts_back_is_told_too(desk):
    desk.git("tag", "base")
    commit = desk.commit("not mine", {"README.md": "x\n"})
    back = desk.revert(commit)
    answer = alarm(desk, "--json")
    assert answer.code == 1
    assert json.loads(answer.out)["outside"] == [f"{commit[:10]} changes README.md", f"{back[:10]} changes README.md"]


def test_a_release_file_that_becomes_a_link_or_goes_is_told(desk):
    desk.git("tag", "base")
    path = Path(desk.path, TRAFFIC)
    path.unlink()
    path.symlink_to("stable.yaml")
    link = desk.commit("a link")
    path.unlink()
    gone = desk.commit("gone")
    assert alarm(desk).out == f"{link[:10]} makes mode 120000 of {TRAFFIC}\n{gone[:10]} removes {TRAFFIC}\n"


def test_history_that_was_replaced_is_told(desk):
    desk.git("tag", "base")
    desk.git("reset", "--quiet", "--hard", "started")
    answer = alarm(desk)
    forced = f"{desk.id()[:10]} does not go on from {desk.id('base')[:10]}: history was replaced by force\n"
    assert (answer.code, answer.out) == (1, forced)


def test_a_merge_tells_what_it_brought(desk):
    desk.git("tag", "base")
    desk.git("switch", "--quiet", "--create", "side")
    desk.commit("aside", {"apps/x.yaml": "x: 1\n"})
    desk.git("switch", "--quiet", "main")
    merge = desk.merge("side", "merge")
    assert alarm(desk).out == f"{merge[:10]} changes apps/x.yaml\n"


def test_a_range_that_is_none_is_refused(desk):
    assert desk.rollout("alarm", "HEAD") == (
        2,
        "",
        "rollout: range: is 'HEAD'; BASE..HEAD, such as origin/main..HEAD, would be right\n",
    )
