"""The demo's story, played once by real processes: promoted, aborted, rolled back, by commits."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1200  # seconds: four minutes by itself, more beside other tests on two cores
pytestmark = pytest.mark.timeout(PATIENCE + 60)
STORY = ["v1_serves", "v2_walked_5_25_100", "v3_aborted", "v2_reverted_v1_serves", "audit_agrees", "no_request_lost"]
WALK = [" canary 2 at 5 %", " canary 2 at 25 %", " stable 1 -> 2", " canary 2 at 0 %", " close canary 2"]


class Played:
    """What one run of the demo left."""

    def __init__(self, out: Path) -> None:
        self.out = out
        command = [sys.executable, "-m", "lab", "demo", "--out", str(out)]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)
        except subprocess.TimeoutExpired as late:
            pytest.fail(f"the demo has not ended after {PATIENCE} s; it said\n{(late.stdout or b'').decode()[-4000:]}")
        self.code, self.told = done.returncode, done.stdout + done.stderr
        self.report: dict[str, Any] = json.loads((out / "report.json").read_text())

    def git(self, *words: str) -> str:
        """Ask the demo's bare repository."""
        command = ["git", "-C", str(self.out / "repo.git"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def commits(self, app: str) -> list[dict[str, str]]:
        """A release's commits, the start first."""
        found: list[dict[str, str]] = self.report["releases"][app]
        return found


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return Played(tmp_path_factory.mktemp("demo") / "out")


def test_the_story_happened(demo: Played) -> None:
    assert (demo.code, demo.report["ok"], demo.report["failure"]) == (0, True, ""), demo.told
    assert demo.report["story"] == dict.fromkeys(STORY, True)


@pytest.mark.parametrize("app", ["credit", "savings"])
def test_version_2_walked_by_the_controllers_commits(demo: Played, app: str) -> None:
    subjects = [commit["subject"] for commit in demo.commits(app) if commit["author"] == "rollout"]
    assert subjects[:5] == [f"{app}(prod):{step}" for step in WALK]


def test_the_bad_version_left_no_trace_in_the_release(demo: Played) -> None:
    start = demo.report["pull_requests"]["credit 3"]
    folder = "overlays/prod/credit/release"
    subjects = [commit["subject"] for commit in demo.commits("credit")]
    after = next(
        commit["sha"] for commit in demo.commits("credit") if commit["subject"].startswith("credit(prod): close canary 3")
    )
    assert [subject for subject in subjects if subject.startswith("credit(prod): canary 3 at 0 %: canary ")]
    assert demo.git("rev-parse", f"{after}:{folder}") == demo.git("rev-parse", f"{start}^:{folder}")


def test_the_reverted_pull_request_is_gits_own_revert(demo: Played) -> None:
    last = demo.commits("credit")[-1]
    start = demo.report["pull_requests"]["credit 2"]
    revert = next(c for c in demo.commits("credit") if c["subject"].startswith("Revert "))
    assert f"This reverts commit {start}" in demo.git("log", "-1", "--format=%B", revert["sha"])
    assert '"1"' in demo.git("show", f"{last['sha']}:overlays/prod/credit/release/model.yaml")


def test_only_the_bad_version_failed_requests(demo: Played) -> None:
    requests = demo.report["requests"]
    assert demo.report["lost_while_routes_changed"] == 0
    assert list(requests["credit"]["failed"]) == ["500"]
    assert requests["savings"]["failed"] == {}


def test_the_audit_agrees_with_the_bare_repository(demo: Played) -> None:
    words = [str(Path(sys.executable).parent / "rollout"), "audit", "--json", "--repo", str(demo.out / "repo.git")]
    audit = subprocess.run(words, capture_output=True, text=True, check=False)
    assert audit.returncode == 0, audit.stdout
    told = json.loads(audit.stdout)
    assert (told["agree"], told["disagree"]) == (14, 0)


def test_the_report_stands_alone(demo: Played) -> None:
    page = (demo.out / "report.html").read_text()
    assert "<svg" in page
    assert not [word for word in ('src="http', 'href="http', "@import", "<link") if word in page]


def test_every_process_has_ended(demo: Played) -> None:
    alive = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(demo.out) in words:
                alive.append(words)
    assert alive == []
