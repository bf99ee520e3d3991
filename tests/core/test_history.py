"""Commits become releases and plans: which paths matter, what a broken file does, and plans as they were."""

from __future__ import annotations

import pytest

from rollout.errors import BadInput
from rollout.history import Commit, History
from rollout.release import Key, Toggle, write_toggle, write_traffic
from rollout.state import Kind
from tests.core.conftest import KEY
from tests.core.test_bad_input import MODEL, PLAN, TOGGLE, TRAFFIC

STABLE = MODEL.replace("name: model", "name: stable")
BLOBS = {
    "m8": MODEL,
    "m9": MODEL.replace('"8"', '"9"').replace("credit/8", "credit/9"),
    "broken": "spec: [",
    "s8": STABLE,
    "t0": write_traffic(TRAFFIC, 0),
    "t5": TRAFFIC,
    "rest": TOGGLE,
    "in": write_toggle(TOGGLE, Toggle.IN_ROLLOUT),
    "plan": PLAN,
    "slow": PLAN + "  warm: 1h\n",
    "dev": "apiVersion: rollout/v1\nkind: Plan\nmetadata: {name: prod}\nspec: {warm: 5m}\n",
    "a": "apiVersion: rollout/v1\nkind: Plan\nmetadata: {name: a}\nspec: {warm: 5m}\n",
}
FOLDER = "overlays/prod/credit/release"
WHOLE = {
    f"{FOLDER}/model.yaml": "m8",
    f"{FOLDER}/stable.yaml": "s8",
    f"{FOLDER}/traffic.yaml": "t0",
    f"{FOLDER}/kustomization.yaml": "rest",
}
STARTED = {f"{FOLDER}/model.yaml": "m9", f"{FOLDER}/kustomization.yaml": "in"}
APP, COMMON = "apps/credit/rollout.yaml", "overlays/prod/common/rollout.yaml"
GONE = dict.fromkeys(WHOLE)


def commits(*changes: dict[str, str | None]) -> list[Commit]:
    return [
        Commit(f"c{place}", f"c{place - 1}" if place else "", 1000 * place, tuple(change.items()))
        for place, change in enumerate(changes)
    ]


def read(*changes: dict[str, str | None], envs: frozenset[str] = frozenset()) -> History:
    history = History(BLOBS.__getitem__, envs)
    history.extend(commits(*changes))
    return history


def kind(history: History) -> Kind:
    state = history.releases[KEY].state
    assert state is not None
    return state.kind


def test_a_release_is_followed_through_its_commits():
    history = read(WHOLE, STARTED, {f"{FOLDER}/traffic.yaml": "t5"})
    state = history.releases[KEY].state
    assert state is not None
    assert (state.kind, state.head.commit, state.head.before, state.head.time) == (Kind.STEP, "c2", "c1", 2000)
    assert history.touched == {KEY}


def test_other_paths_are_nobodys():
    history = read(
        {"README.md": "m8", "overlays/prod/credit/kustomization.yaml": "m8", "overlays/prod/common/kustomization.yaml": "m8"}
    )
    assert (history.releases, history.touched) == ({}, set())


def test_history_in_parts_is_history_at_once():
    changes = [{APP: "plan"}, WHOLE, STARTED, {f"{FOLDER}/traffic.yaml": "t5"}, {COMMON: "dev"}, WHOLE, GONE, WHOLE]
    whole = read(*changes)
    for cut in range(len(changes)):
        parts = History(BLOBS.__getitem__)
        parts.extend(commits(*changes)[:cut])
        parts.extend(commits(*changes)[cut:])
        assert (parts.releases, parts.plan(KEY)) == (whole.releases, whole.plan(KEY))


def test_only_the_chosen_environments_are_followed():
    assert read(WHOLE, envs=frozenset({"dev"})).releases == {}
    assert list(read(WHOLE, envs=frozenset({"prod"})).releases) == [KEY]


def test_a_broken_file_keeps_its_error_and_the_history_goes_on_when_it_is_mended():
    broken = {f"{FOLDER}/model.yaml": "broken"}
    history = read(WHOLE, broken)
    assert str(history.releases[KEY].error) == (
        f"{FOLDER}/model.yaml: line 2, column 1: not valid YAML: did not find expected node content"
    )
    assert kind(history) is Kind.REST
    history = read(WHOLE, broken, STARTED)
    assert (history.releases[KEY].error, kind(history)) == (None, Kind.WARMING)


def test_one_broken_release_leaves_the_others_alone():
    other = {path.replace("prod", "dev"): blob for path, blob in WHOLE.items()}
    history = read(WHOLE | other, {f"{FOLDER}/model.yaml": "broken"})
    assert history.releases[KEY].error is not None
    assert history.releases[Key("dev", "credit")].error is None


def test_a_release_that_was_never_whole_has_no_state():
    history = read({f"{FOLDER}/model.yaml": "m8"})
    assert history.releases[KEY].state is None
    assert str(history.releases[KEY].error) == (
        f"{FOLDER}/stable.yaml: is missing; a release has model.yaml, stable.yaml, traffic.yaml, kustomization.yaml"
    )


def test_a_release_whose_folder_goes_is_gone():
    history = read(WHOLE, GONE)
    assert (history.releases, history.touched) == ({}, {KEY})


def test_a_file_that_goes_makes_the_release_unreadable():
    history = read(WHOLE, {f"{FOLDER}/traffic.yaml": None})
    assert str(history.releases[KEY].error).startswith(f"{FOLDER}/traffic.yaml: is missing")


def test_the_plan_is_the_apps_with_the_environments_fields():
    assert read({APP: "plan"}).plan(KEY).warm == 0
    assert read({APP: "plan"}, {COMMON: "dev"}).plan(KEY).warm == 300
    assert read({APP: "plan"}, {COMMON: "dev"}).plan(Key("dev", "credit")).warm == 0
    assert read({APP: "plan"}, {COMMON: "dev"}, {COMMON: None}).plan(KEY).warm == 0


def test_the_plan_as_it_was():
    history = read({APP: "plan"}, {APP: "slow"}, {APP: "plan"})
    assert [history.plan(KEY, at).warm for at in (0, 999, 1000, 1999, 2000)] == [0, 0, 3600, 3600, 0]
    assert history.plan_then(KEY, 1500).warm == 3600


def test_where_the_plan_of_then_cannot_be_used_the_present_one_is():
    assert read({}, {APP: "slow"}).plan_then(KEY, 500).warm == 3600
    assert read({APP: "broken"}, {APP: "slow"}).plan_then(KEY, 500).warm == 3600


def test_every_change_of_a_plan_up_to_a_time():
    history = read({APP: "plan"}, {COMMON: "dev"}, {APP: "slow"}, {COMMON: None})
    assert history.plans_until(KEY, 2500) == ((0, "plan"), (2000, "slow"), (1000, "dev"))


@pytest.mark.parametrize("changes", [[], [{APP: "plan"}, {APP: None}]], ids=["never there", "removed"])
def test_a_missing_plan_is_told(changes):
    with pytest.raises(BadInput, match=r"^apps/credit/rollout\.yaml: is missing; every app has a plan$"):
        read(*changes).plan(KEY)


def test_texts_that_releases_share_are_parsed_once():
    asked: list[str] = []

    def text(blob: str) -> str:
        asked.append(blob)
        return BLOBS[blob]

    history = History(text)
    keys = [path.replace("prod", env) for env in ("a", "b", "c") for path in WHOLE]
    history.extend(
        commits(
            {APP: "plan"},
            {"overlays/a/common/rollout.yaml": "a"},
            *({path: blob} for path, blob in zip(keys, [*WHOLE.values()] * 3, strict=True)),
        )
    )
    for env in ("a", "b", "c"):
        history.plan(Key(env, "credit"))
    assert [asked.count(blob) for blob in ("t0", "rest", "plan")] == [1, 1, 1]
