"""`rollout status`: of what is checked out, or of the remote's branch as it moves."""

import json
import subprocess

from tests.release.repository import ENV, ROLLOUT


def state(answer):
    (told,) = json.loads(answer.out)
    return told["state"], told["stable"]["version"], told["stable"]["traffic"]


def test_it_reads_what_is_checked_out_and_with_a_branch_what_the_remote_has(watched):
    remote, clone = watched("stepped")
    remote.settle()
    words = ("status", "prod/credit", "--json")
    assert state(clone.rollout(*words)) == ("step", "7", 95)
    assert state(clone.rollout(*words, "--branch", "main")) == ("rest", "8", 100)
    assert state(clone.rollout(*words)) == ("step", "7", 95)


def test_a_remote_that_does_not_answer_is_said_with_exit_code_2(watched, tmp_path):
    remote, clone = watched("stepped")
    remote.path.rename(tmp_path / "elsewhere")
    answer = clone.rollout("status", "--branch", "main")
    assert (answer.code, answer.out) == (2, "")
    assert "does not appear to be a git repository" in answer.err


def test_it_goes_on_watching_when_a_remote_was_away(watched, tmp_path):
    remote, clone = watched("stepped")
    command = [ROLLOUT, "status", "prod/credit", "--branch", "main", "--watch"]
    process = subprocess.Popen(command, cwd=clone.path, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    try:
        first = process.stdout.readline()
        remote.path.rename(tmp_path / "elsewhere")
        assert "does not appear to be a git repository" in process.stderr.readline()
        (tmp_path / "elsewhere").rename(remote.path)
        assert first.startswith("prod/credit        step ")
        assert first in (process.stdout.readline() for _ in range(20))
    finally:
        process.kill()
        process.communicate()
