"""`rollout diff`: what a change does to each release."""

from dataclasses import replace

import pytest

from rollout.diff import touched, words
from rollout.release import Key, Release, Toggle
from tests.release.repository import version

REST = Release(Key("prod", "credit"), version("7"), version("7"), 0, Toggle.AT_REST)
STARTED = replace(REST, model=version("8"), toggle=Toggle.IN_ROLLOUT)
STEP = replace(STARTED, canary=25)
HANDED = replace(STEP, stable=version("8"))
DONE = Release(REST.key, version("8"), version("8"), 0, Toggle.AT_REST)

CASES = {
    "a new release": (None, REST, "is new and runs 7"),
    "a release that is gone": (REST, None, "is gone; it ran 7"),
    "files that cannot be read": (None, None, "cannot be read"),
    "a start": (REST, STARTED, "canary 8 starts at 0 %, beside stable 7"),
    "a step": (STARTED, STEP, "canary 8: 0 % -> 25 % of traffic"),
    "a hand-over": (STEP, HANDED, "stable 7 -> 8 while canary 8 keeps 25 %"),
    "a close": (replace(HANDED, canary=0), DONE, "stable is 8, canary closed"),
    "an abort's close": (STARTED, REST, "canary 8 is taken out, 7 stays"),
    "a rollback": (DONE, replace(DONE, model=version("7")), "goes from 8 to 7 at once"),
    "a tidy": (
        replace(DONE, model=version("7")),
        REST,
        "the controller's files are tidied; nothing that runs changes",
    ),
    "a pause": (STEP, replace(STEP, model=replace(version("8"), hold=True)), "is paused"),
    "its end": (replace(STEP, model=replace(version("8"), hold=True)), STEP, "goes on"),
    "something around it": (REST, REST, "manifests change, its versions do not"),
}


@pytest.mark.parametrize(("before", "after", "said"), CASES.values(), ids=CASES)
def test_in_words(before, after, said):
    assert words(before, after) == said


KEYS = [Key(env, app) for env in ("dev", "prod") for app in ("credit", "savings")]
TOUCHED = {
    "its own folder": ("overlays/prod/credit/release/model.yaml", ["prod/credit"]),
    "its environment's common part": ("overlays/dev/common/kustomization.yaml", ["dev/credit", "dev/savings"]),
    "its app": ("apps/savings/kustomization.yaml", ["dev/savings", "prod/savings"]),
    "the base": ("base/model-server/seldondeployment.yaml", ["dev/credit", "dev/savings", "prod/credit", "prod/savings"]),
    "anything else": ("README.md", []),
    "another app of the same beginning": ("apps/credit-old/kustomization.yaml", []),
}


@pytest.mark.parametrize(("path", "found"), TOUCHED.values(), ids=TOUCHED)
def test_touched_by(path, found):
    assert [str(key) for key in touched([path], KEYS)] == found


def test_a_step_is_its_traffic_in_the_render_and_one_sentence(at):
    answer = at("stepped").rollout("diff")
    assert answer.code == 0
    head, *lines = answer.out.splitlines()
    assert head == "credit in prod: canary 8: 0 % -> 5 % of traffic"
    assert [line for line in lines if line[0] in "+-"] == [
        "-    rollout/canary: 8 at 0 %",
        "-    rollout/stable: 7 at 100 %",
        "+    rollout/canary: 8 at 5 %",
        "+    rollout/stable: 7 at 95 %",
        "-    traffic: 100",
        "+    traffic: 95",
        "-    traffic: 0",
        "+    traffic: 5",
    ]


def test_markdown_has_the_sentences_first_and_the_manifests_folded(at):
    shown = at("stepped").rollout("diff", "before..HEAD", "--markdown").out
    assert shown.startswith(
        "- credit in prod: canary 8 starts at 5 %, beside stable 7\n\n<details><summary>prod/credit: manifests"
    )
    assert shown.count("```") == 2


def test_nothing_touched_is_said(at):
    assert at("stepped").rollout("diff", "HEAD..HEAD").out == "no release changes\n"


def test_a_tree_that_does_not_render_is_shown_as_such(at):
    desk = at("before")
    desk.commit("broken", {"overlays/prod/credit/release/model.yaml": lambda text: text.replace('  version: "7"\n', "")})
    head, *lines = desk.rollout("diff").out.splitlines()
    assert head == "credit in prod: is gone; it ran 7"
    assert any(line.startswith("+does not render: ") for line in lines)


@pytest.mark.parametrize("span", ["HEAD", "..HEAD", "a...b"])
def test_a_range_that_is_none_is_refused(at, span):
    answer = at("before").rollout("diff", span)
    assert (answer.code, answer.err) == (
        2,
        f"rollout: range: is {span!r}; BASE..HEAD, such as origin/main..HEAD, would be right\n",
    )


def test_a_commit_that_is_not_there_is_named(at):
    answer = at("before").rollout("diff", "nowhere..HEAD")
    assert answer.code == 2
    assert "nowhere: names no commit of this repository" in answer.err
