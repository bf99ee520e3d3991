"""The forge's settings: docs/forge.md's commands as they stand there, what they send, and which paths the controller may push."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT

# Stands in for the forge's own command line: looks ids up in a table, and writes down what it is given.
GH = """#!{python}
import json, sys
ids = {{"orgs/acme/teams/controller": 1, "orgs/acme/teams/people": 2, "apps/ours": 3, "apps/calls": 4}}
words = sys.argv[1:]
if "--jq" in words:
    print(ids[words[1]])
else:
    given = words[words.index("--input") + 1]
    content = json.load(sys.stdin if given == "-" else open(given))
    with open("{log}", "a") as log:
        log.write(json.dumps([words[2], words[3], content]) + "\\n")
"""


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list:
    """What the page's commands send."""
    folder = tmp_path_factory.mktemp("gh")
    (folder / "gh").write_text(GH.format(python=sys.executable, log=folder / "log"))
    (folder / "gh").chmod(0o755)
    found = re.search(r"<!-- step: settings -->\n```sh\n(.*?)```", (ROOT / "docs/forge.md").read_text(), re.DOTALL)
    assert found
    told = {"ORG": "acme", "REPO": "models", "BOT_APP": "ours", "ONCALL_APP": "calls"}
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-euo", "pipefail", "-c", found[1]], cwd=ROOT, env={**os.environ, **told, "PATH": path}, check=True)
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


def test_the_settings_and_three_rulesets_are_sent(sent):
    assert [(method, path) for method, path, _ in sent] == [
        ("PATCH", "repos/acme/models"),
        *[("POST", "repos/acme/models/rulesets")] * 3,
    ]
    assert [content.get("name") for _, _, content in sent] == [
        None,
        "no force",
        "main",
        "the controller writes releases alone",
    ]


def test_squash_is_the_only_merge_and_keeps_the_pull_requests_words(sent):
    _, _, settings = sent[0]
    allowed = {name for name, value in settings.items() if name.startswith("allow_") and value}
    assert allowed == {"allow_squash_merge"}
    assert (settings["squash_merge_commit_title"], settings["squash_merge_commit_message"]) == ("PR_TITLE", "PR_BODY")


def rules(content: dict) -> dict:
    return {rule["type"]: rule.get("parameters", {}) for rule in content["rules"]}


def test_nobody_may_force_push_and_a_person_needs_a_pull_request_up_to_date_or_not(sent):
    force, main = sent[1][2], sent[2][2]
    assert (rules(force), force["bypass_actors"], force["enforcement"]) == ({"non_fast_forward": {}}, [], "active")
    found = rules(main)
    assert set(found) == {"deletion", "required_linear_history", "pull_request", "required_status_checks"}
    assert found["pull_request"]["allowed_merge_methods"] == ["squash"]
    assert found["pull_request"]["require_code_owner_review"]
    assert found["pull_request"]["require_last_push_approval"]  # a second person
    checks = found["required_status_checks"]
    assert not checks["strict_required_status_checks_policy"]
    jobs = yaml.safe_load((ROOT / ".github/workflows/check.yaml").read_text())["jobs"]
    assert {one["context"] for one in checks["required_status_checks"]} <= set(jobs)


def test_the_controller_and_the_on_call_app_alone_commit_to_main_and_it_alone_is_bound_to_releases(sent):
    def bypass(content: dict) -> list[tuple[str, int]]:
        return [(actor["actor_type"], actor["actor_id"]) for actor in content["bypass_actors"]]

    assert bypass(sent[2][2]) == [("Team", 1), ("Integration", 4)]
    assert bypass(sent[3][2]) == [("Team", 2), ("Integration", 3), ("Integration", 4)]


def matches(pattern: str, path: str) -> bool:
    """As File.fnmatch with FNM_PATHNAME: `*` stays within a folder, `**/` is any folders."""
    pieces = re.split(r"(\*\*/|\*)", pattern)
    parts = {"**/": r"(?:[^/]+/)*", "*": r"[^/]*"}
    return bool(re.fullmatch("".join(parts.get(piece, re.escape(piece)) for piece in pieces), path))


def test_every_path_of_the_repository_but_a_releases_is_closed_to_the_controller(sent):
    patterns = rules(sent[3][2])["file_path_restriction"]["restricted_file_paths"]
    paths = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    opened = {path for path in paths if not any(matches(pattern, path) for pattern in patterns)}
    assert opened == {path for path in paths if re.fullmatch(r"overlays/[^/]+/[^/]+/release/[^/]+", path)}
    assert len(opened) == 4 * len(list(ROOT.glob("overlays/*/*/release")))
    for new in ("a.yaml", "overlays/prod/new/kustomization.yaml", "overlays/new/common/x.yaml", ".github/workflows/new.yaml"):
        assert any(matches(pattern, new) for pattern in patterns), new


def test_a_bypass_that_is_none_is_refused():
    words = [sys.executable, "-m", "pipelines", "ruleset", ".github/rulesets/main.json", "--bypass", "User=7"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'User=7': Team=ID or Integration=ID would be right" in done.stderr


def test_prod_is_owned_by_more_than_whoever_trains():
    owners = dict(line.split(maxsplit=1) for line in (ROOT / ".github/CODEOWNERS").read_text().splitlines() if line[0] in "*/")
    assert "@example/models" not in owners["/overlays/prod/"]
    assert "@example/models" in owners["/overlays/dev/"]
