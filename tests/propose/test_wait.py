"""`rollout wait`: a clone follows a real remote while people and the controller commit there."""

import json
import os
import signal
import subprocess

import pytest

from rollout.gate import Verdict
from tests.release.repository import ENV, ROLLOUT, Desk

SAID = "prod/credit: 8 "


def wait(desk: Desk, *words: str, limit: str = "0s"):
    return desk.rollout("wait", *words, "--limit", limit, "--interval", "0.1s")


def begun(desk: Desk, *words: str) -> subprocess.Popen[str]:
    command = [ROLLOUT, "wait", "prod/credit", *words, "--limit", "2m", "--interval", "0.1s"]
    process = subprocess.Popen(command, cwd=desk.path, env=ENV, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline().startswith(SAID)  # it has looked; what comes now it has to follow
    return process


def test_it_follows_a_walk_until_it_has_completed(watched):
    remote, clone = watched("started")
    process = begun(clone)
    remote.settle()
    told, _ = process.communicate(timeout=60)
    assert (process.returncode, told.splitlines()[-1]) == (0, f"{SAID}has completed")


def test_what_the_controller_takes_out_is_told_in_the_sentence_of_its_commit(watched):
    remote, clone = watched("stepped")
    process = begun(clone)
    decision = remote.act(Verdict.HARMFUL)
    told, _ = process.communicate(timeout=60)
    subject = remote.git("log", "-1", "--format=%s").strip()
    assert process.returncode == 1
    assert told.splitlines()[-1] == f"{SAID}was taken out by {remote.id()[:10]}: {subject}: {decision.reason}"


def test_it_is_the_falls_sentence_after_the_close_as_well(watched):
    remote, clone = watched("stepped")
    remote.act(Verdict.HARMFUL)
    fall = remote.id()[:10]
    remote.settle()
    answer = wait(clone, "prod/credit", "--version", "8")
    assert (answer.code, answer.out.startswith(f"{SAID}was taken out by {fall}: credit(prod): canary 8 at 0 %: ")) == (1, True)


def test_what_a_person_reverts_is_told_with_their_commit(watched):
    remote, clone = watched("stepped")
    start = remote.id("started")
    revert = remote.revert(start)
    assert wait(clone, "prod/credit", "--version", "8") == (
        1,
        f'{SAID}was taken out by {revert[:10]}: Revert "credit(prod): start 8": This reverts commit {start}.\n',
        "",
    )


def test_what_completed_and_is_rolled_back_was_taken_out(watched):
    remote, clone = watched("completed")
    assert wait(clone, "prod/credit", "--version", "8") == (0, f"{SAID}has completed\n", "")
    revert = remote.revert(remote.id("started"))
    answer = wait(clone, "prod/credit", "--version", "8")
    assert (answer.code, answer.out.startswith(f"{SAID}was taken out by {revert[:10]}: ")) == (1, True)


def test_what_completed_and_was_followed_by_a_newer_version_has_completed(watched):
    remote, clone = watched("completed")
    remote.start("9")
    assert wait(clone, "prod/credit", "--version", "8") == (0, f"{SAID}has completed\n", "")


def test_the_limit_has_a_code_of_its_own(watched):
    _, clone = watched("stepped")
    assert wait(clone, "prod/credit") == (3, f"{SAID}is step, canary at 5 %\nthe limit of 0 s is over\n", "")


def test_a_version_that_nobody_merged_yet_is_waited_for(watched):
    remote, clone = watched("before")
    assert wait(clone, "prod/credit", "--version", "8") == (3, f"{SAID}is not started yet\nthe limit of 0 s is over\n", "")
    process = begun(clone, "--version", "8")
    remote.start("8")
    remote.settle()
    told, _ = process.communicate(timeout=60)
    assert (process.returncode, told.splitlines()[-1]) == (0, f"{SAID}has completed")


def test_of_a_push_what_began_in_it_is_followed(watched):
    remote, clone = watched("started")
    ends = f"{remote.id('before')}..{remote.id('started')}"
    remote.settle()
    assert wait(clone, "--started", ends) == (0, f"{SAID}has completed\n", "")
    nothing = f"{remote.id('started')}..{remote.id()}"
    clone.git("fetch", "--quiet")
    assert wait(clone, "--started", nothing) == (0, f"no rollout began in {nothing}\n", "")


def test_a_machine_reads_it(watched):
    remote, clone = watched("stepped")
    remote.act(Verdict.HARMFUL)
    lines = wait(clone, "prod/credit", "--version", "8", "--json").out.splitlines()
    told = json.loads("\n".join(lines[1:]))["prod/credit"]
    assert (told["version"], told["outcome"], told["commit"]) == ("8", "taken out", remote.id())


def test_a_remote_that_is_away_for_a_while_is_waited_for(watched, tmp_path):
    remote, clone = watched("started")
    process = begun(clone)
    assert process.stdout
    remote.path.rename(tmp_path / "away")
    assert process.stdout.readline().startswith("git: ")
    (tmp_path / "away").rename(remote.path)
    remote.settle()
    told, _ = process.communicate(timeout=60)
    assert (process.returncode, told.splitlines()[-1]) == (0, f"{SAID}has completed")


def test_a_branch_that_went_backwards_is_refused(watched):
    remote, clone = watched("stepped")
    process = begun(clone)
    remote.git("reset", "--quiet", "--hard", "before")
    process.communicate(timeout=60)
    assert process.returncode == 2


REFUSED = {
    "a release that is not there": (["moon/credit"], "rollout: release: moon/credit is not on main; known: "),
    "a span that is none": (
        ["--started", "HEAD"],
        "rollout: --started: is 'HEAD'; BASE..HEAD, such as origin/main..HEAD, would be right\n",
    ),
    "a commit that is not there": (["--started", "0000000..HEAD"], "names no commit of this repository\n"),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused(watched, words, message):
    answer = wait(watched("before")[1], *words)
    assert (answer.code, message in answer.err) == (2, True)


def test_promote_waits_for_its_source_and_takes_the_commit_in(watched):
    remote, clone = watched("stepped")
    words = ["promote", "credit", "--from", "prod", "--to", "staging", "--wait", "--limit", "2m", "--interval", "0.1s"]
    process = subprocess.Popen([ROLLOUT, *words], cwd=clone.path, env=ENV, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == f"{SAID}is step, canary at 5 %\n"
    remote.settle()
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert '+  version: "8"' in told
    assert clone.id() == remote.id()
    assert clone.git("status", "--porcelain").split()[1::2] == [
        "overlays/staging/credit/release/kustomization.yaml",
        "overlays/staging/credit/release/model.yaml",
    ]


def test_promote_changes_nothing_where_its_source_is_taken_out(watched):
    remote, clone = watched("stepped")
    before = clone.id()
    remote.act(Verdict.HARMFUL)
    words = ["promote", "credit", "--from", "prod", "--to", "staging", "--wait", "--limit", "2m"]
    assert clone.rollout(*words).code == 1
    assert (clone.id(), clone.git("status", "--porcelain")) == (before, "")


WATCHING = {
    "wait": ("wait", "prod/credit"),
    "promote --wait": ("promote", "credit", "--from", "prod", "--to", "staging", "--wait"),
    "status --watch": ("status", "--watch"),
}


@pytest.mark.parametrize("words", WATCHING.values(), ids=WATCHING)
def test_ctrl_c_ends_what_watches_with_130_and_no_word(watched, words):
    _, clone = watched("stepped")
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [ROLLOUT, *words],
        cwd=clone.path,
        env=ENV,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,  # as in a terminal, whose Ctrl-C reaches git as well
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # who runs the tests may ignore it
    )
    assert process.stdout
    assert process.stdout.readline()  # it has looked
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (130, "")
