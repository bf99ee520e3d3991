"""The workflows: sound by the forge's schema, by zizmor, and by the rules of the house."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yaml"))
BIN = Path(sys.executable).parent
JOBS = [
    pytest.param(job, id=f"{path.stem}/{name}")
    for path in FILES
    for name, job in yaml.safe_load(path.read_text())["jobs"].items()
]


def test_the_schema_is_kept():
    words = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *map(str, FILES)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_zizmor_finds_nothing():
    words = [str(BIN / "zizmor"), "--offline", "--no-progress", *map(str, FILES)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_permitted_unless_a_job_says_so_and_every_action_is_pinned(path):
    content = yaml.safe_load(path.read_text())
    assert content["permissions"] == {}
    assert content["concurrency"]["group"].startswith(f"{path.stem}-")
    for line in re.findall(r"uses: (.*)", path.read_text()):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


@pytest.mark.parametrize("job", JOBS)
def test_a_job_has_an_end_its_own_permissions_and_steps_of_one_command(job):
    assert job["timeout-minutes"] <= 60
    assert set(job["permissions"].values()) == {"read"}
    for step in job["steps"]:
        assert "${{" not in step.get("run", "")  # nothing from outside in a script
        assert len(step.get("run", "").splitlines()) <= 1
