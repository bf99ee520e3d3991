"""`rollout promote`: what one environment has completed is walked in the next."""

from tests.release.repository import version

STAGING = "overlays/staging/credit/release"
WORDS = ("promote", "credit", "--from", "prod", "--to", "staging")


def test_what_completed_is_started_in_the_next_environment_with_the_same_bytes(at):
    desk = at("completed")
    answer = desk.rollout(*WORDS)
    assert (answer.code, answer.err) == (0, "")
    assert set(desk.git("diff", "--name-only").split()) == {f"{STAGING}/model.yaml", f"{STAGING}/kustomization.yaml"}
    model = version("8")
    for line in (f'version: "{model.version}"', f"modelUri: {model.model_uri}", f"sha256: {model.sha256}"):
        assert f"+  {line}\n" in answer.out
    desk.commit("credit(staging): start 8")
    assert desk.rollout("diff").out.startswith("credit in staging: canary 8 starts at 0 %, beside stable 1\n")
    assert desk.rollout("check", "--base", "HEAD^").code == 0


def refused(desk, *words: str) -> str:
    answer = desk.rollout(*(words or WORDS))
    assert (answer.code, answer.out, desk.git("status", "--porcelain")) == (2, "", "")
    return answer.err


def test_what_is_still_in_rollout_is_refused(at):
    assert refused(at("stepped")) == "rollout: prod/credit is in rollout to 8; only what has completed is promoted\n"


def test_what_no_rollout_brought_is_refused(at):
    assert refused(at("before")) == (
        "rollout: prod/credit runs 7, which no rollout brought there: nothing that was tried could be promoted\n"
    )


def test_what_is_vetoed_in_any_environment_is_refused(at):
    desk = at("completed")
    desk.rollout(*WORDS)
    start = desk.commit("credit(staging): start 8")
    revert = desk.revert(start)
    assert refused(desk).startswith(f"rollout: prod/credit: 8 is vetoed in staging since {revert[:10]}: ")
    assert refused(desk, "promote", "credit", "--from", "prod", "--to", "dev").startswith(
        f"rollout: prod/credit: 8 is vetoed in staging since {revert[:10]}: "
    )


def test_what_the_target_runs_already_is_refused(at):
    assert refused(at("completed"), "promote", "credit", "--from", "prod", "--to", "prod") == (
        "rollout: prod/credit runs 8 already\n"
    )


def test_an_environment_that_is_not_there_is_named(at):
    assert "rollout: release: moon/credit is not in the repository; known: " in refused(
        at("completed"), "promote", "credit", "--from", "moon", "--to", "staging"
    )
