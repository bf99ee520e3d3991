"""The workflows: sound by the forge's schema, by zizmor, by actionlint, and by the rules of the house."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lab import actionlint

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yaml"))
BIN = Path(sys.executable).parent
JOBS = {f"{path.stem}/{name}": job for path in FILES for name, job in yaml.safe_load(path.read_text())["jobs"].items()}
OTHERS = {".github/dependabot.yml": "vendor.dependabot", ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config"}
OTHERS |= {f".github/ISSUE_TEMPLATE/{name}.yml": "vendor.github-issue-forms" for name in ("rollout", "bug")}
SCHEMAS = [*((path, "vendor.github-workflows") for path in FILES), *((ROOT / name, schema) for name, schema in OTHERS.items())]
# Permissions that write, each with what needs it.
WRITES = {
    "check/review": {"pull-requests"},  # the comment
    "train/train": {"id-token"},  # the cloud's role
    "images/publish": {"id-token", "packages"},  # cosign's identity; the registry
}
LONG = {"verify/outcome", "e2e/e2e"}  # it waits for a rollout; it builds a control plane


def run(*words: str | Path) -> None:
    done = subprocess.run([str(word) for word in words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("path", "schema"), SCHEMAS, ids=[path.stem for path, _ in SCHEMAS])
def test_the_schema_is_kept(path, schema):
    run(BIN / "check-jsonschema", "--builtin-schema", schema, path)


def test_zizmor_finds_nothing():
    run(BIN / "zizmor", "--offline", "--no-progress", ROOT / ".github")


def test_actionlint_finds_nothing():
    run(actionlint.program(), "-shellcheck=", "-pyflakes=", *FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_permitted_unless_a_job_says_so_and_every_action_is_pinned(path):
    content = yaml.safe_load(path.read_text())
    assert content["permissions"] == {}
    assert content["concurrency"]["group"].startswith(f"{path.stem}-")
    for line in re.findall(r"uses: (.*)", path.read_text()):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


@pytest.mark.parametrize(("name", "job"), JOBS.items(), ids=JOBS)
def test_a_job_has_an_end_its_own_permissions_and_steps_of_one_command(name, job):
    assert job["timeout-minutes"] <= (355 if name in LONG else 60)
    assert {what for what, may in job["permissions"].items() if may != "read"} == WRITES.get(name, set())
    for step in job["steps"]:
        assert "${{" not in step.get("run", "")  # nothing from outside in a script
        assert len(step.get("run", "").strip().splitlines()) <= 1
