"""Every workflow's commands, read from the YAML and run in order in a fresh clone, against a local remote and a local forge.

What is not run here is in two lists, REPLACED and ACTIONS, each with its reason; what an expression means is in the cases.
Anything else in a workflow fails the test: a new step has to be put somewhere.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from model import signature
from pipelines.promotion import Promotion, due
from rollout import errors
from rollout.git import Repo
from rollout.release import ModelVersion, Toggle, write_toggle, write_traffic, write_version

from .conftest import ENV, ROOT, write_csv

# Commands that are not run, each with the reason: (what it begins with, why, what stands in for it).
REPLACED = [
    ("make check", "it is this repository's own gate; `make test` runs it", ""),
    ("make test", "this test is one of its", ""),
    ("make e2e", "minutes of a control plane; a gate of its own", "mkdir -p out/e2e"),
    ("make setup", "this environment is made already", ""),
    ("./setup.sh pipelines", "this environment is made already", ""),
    ("pip install --require-hashes -r requirements/core.txt", "the same, and tests/images installs that lock", ""),
    ("docker buildx create", "there is no container runtime here", ""),
    ("docker buildx build", "there is none; tests/images runs the Containerfiles' steps", 'touch "$RUNNER_TEMP/image.tar"'),
    ("docker login", "there is no registry", ""),
    ("skopeo copy", "there is no registry", 'printf "sha256:%064d" 7 > "$RUNNER_TEMP/digest"'),
    ("go install", "minutes of compiling; Go checks the module's bytes", ""),
    ('"$RUNNER_TEMP/syft"', "not compiled", 'touch "$RUNNER_TEMP/sbom.json"'),
    ('"$RUNNER_TEMP/grype"', "not compiled, and it wants a data base of holes", ""),
    ('"$RUNNER_TEMP/cosign"', "not compiled, and it wants an identity of the forge's", ""),
]
# Actions, each with what happens here instead.
ACTIONS = {
    "actions/checkout": "the clone, made by the case",
    "actions/setup-python": "this Python",
    "actions/cache": "nothing is kept",
    "actions/upload-artifact": "nothing is kept",
    "actions/download-artifact": "the same runner's folder",
    "actions/create-github-app-token": "the output `token`",
    "aws-actions/configure-aws-credentials": "no cloud: the store is a folder",
}
DIGEST = "sha256:" + "0" * 63 + "7"
# What the gates ask of few rows, as in conftest; and no time, on a machine that is busy.
LESS = {"above: 0.75": "above: 0.7", "below: 0.03": "below: 0.06", "below: 0.15": "below: 0.5", "below: 50}": "below: 5000}"}


class Forge:
    """Stands in for the forge's API: remembers pull requests and comments, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.tokens: set[str | None] = set()
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        forge = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
                path = self.path.removeprefix("/repos/ada/models")
                forge.asked.append((self.command, path, content))
                forge.tokens.add(self.headers.get("Authorization"))
                status, body = forge.answer(self.command, path, content)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, method: str, path: str, content: Any) -> tuple[int, Any]:
        number = path.rpartition("/")[2]
        if method == "GET" and path.startswith("/pulls?state=open&head=ada:"):
            return 200, [one for one in self.pulls if one["head"] == path.partition("ada:")[2]]
        if (method, path) == ("POST", "/pulls"):
            self.pulls.append({**content, "number": len(self.pulls) + 1, "html_url": f"http://forge/pull/{len(self.pulls) + 1}"})
            return 201, self.pulls[-1]
        if method == "PATCH" and path.startswith("/pulls/"):
            self.pulls[int(number) - 1].update(content)
            return 200, self.pulls[int(number) - 1]
        if method == "GET" and path == "/issues/7/comments?per_page=100&page=1":
            return 200, self.comments
        if (method, path) == ("POST", "/issues/7/comments"):
            mine = {"id": len(self.comments) + 1, "user": {"login": "github-actions[bot]"}, "html_url": "http://forge/comment"}
            self.comments.append({**content, **mine})
            return 201, self.comments[-1]
        if method == "PATCH" and path.startswith("/issues/comments/"):
            self.comments[int(number) - 1].update(content)
            return 200, self.comments[int(number) - 1]
        return 404, {"message": f"{method} {path} is not known here"}

    def told(self) -> list[tuple[str, str]]:
        """What was asked since the last time, without what was only looked up."""
        asked = [(method, path) for method, path, _ in self.asked if method != "GET"]
        self.asked.clear()
        return asked


@dataclass
class House:
    """The files of this repository as a bare remote, the forge beside it, and fresh clones of the remote."""

    folder: Path
    forge: Forge = field(default_factory=Forge)
    clones: int = 0

    @classmethod
    def planted(cls, folder: Path) -> House:
        house = cls(folder)
        first = folder / "first"
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in listed.stdout.split("\n"):
            if name and (ROOT / name).is_file() and not name.startswith(("tests/", "lab/controlplane/", "docs/")):
                (first / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, first / name)
        gates = first / "apps/credit/gates.yaml"
        for old, new in LESS.items():
            gates.write_text(gates.read_text().replace(old, new))
        house.git(first, "init", "--quiet", "--initial-branch=main")
        house.commit(first, "the house")
        (folder / "ada").mkdir()
        house.git(first, "clone", "--quiet", "--bare", ".", str(folder / "ada/models"))
        return house

    def git(self, where: Path, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=where, env=ENV, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, where: Path, message: str) -> str:
        self.git(where, "add", "--all")
        self.git(where, "commit", "--quiet", "-m", message)
        return self.git(where, "rev-parse", "HEAD")

    def clone(self, ref: str = "main") -> Path:
        """A fresh clone with this machine's environments in it."""
        self.clones += 1
        path = self.folder / f"clone-{self.clones}"
        self.git(self.folder, "clone", "--quiet", str(self.folder / "ada/models"), str(path))
        self.git(path, "switch", "--quiet", *(["--detach"] if ref != "main" else []), ref)
        (path / ".git/info/exclude").write_text(".venv\n.venv-pipelines\nout\n")
        here = Path(sys.executable).parent.parent
        for name in (".venv", ".venv-pipelines"):
            (path / name).symlink_to(here)
        return path

    def edited(self, message: str, *edits: Mapping[str, Any]) -> list[str]:
        """Push commits to main; each edit: path -> what becomes of its text. Return their ids, with the one before first."""
        work = self.folder / "work"
        if not work.exists():
            self.git(self.folder, "clone", "--quiet", str(self.folder / "ada/models"), str(work))
        self.git(work, "pull", "--quiet", "--ff-only")
        ids = [self.git(work, "rev-parse", "HEAD")]
        for edit in edits:
            for name, change in edit.items():
                path = work / name
                path.write_text(change(path.read_text() if path.exists() else ""))
            ids.append(self.commit(work, message))
        self.git(work, "push", "--quiet", "origin", "HEAD:main")
        return ids

    def branch(self, name: str) -> str:
        return self.git(self.folder / "ada/models", "rev-parse", name)

    def run(self, workflow: str, job: str, clone: Path, meant: Mapping[str, str], **env: str) -> list[str]:
        """Run a job's steps in order in a clone; return the commands that were run. Stops at the first that fails, by raising."""
        content = yaml.safe_load((clone / f".github/workflows/{workflow}.yaml").read_text())["jobs"][job]
        runner = clone.parent / f"{clone.name}-runner"
        runner.mkdir(exist_ok=True)
        meant = {"runner.temp": str(runner), **meant}
        told = {
            **ENV,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(runner),
            "GITHUB_STEP_SUMMARY": str(runner / "summary.md"),
            "GITHUB_OUTPUT": str(runner / "output"),
            "GITHUB_API_URL": f"http://127.0.0.1:{self.forge.server.server_port}",
            "GITHUB_SERVER_URL": self.folder.as_uri(),
            "GITHUB_REPOSITORY": "ada/models",
            "GITHUB_SHA": self.git(clone, "rev-parse", "HEAD"),
            **env,
            **_meant(content.get("env", {}), meant),
        }
        done = []
        for step in content["steps"]:
            if "if" in step and not _holds(str(step["if"]), meant):
                continue
            if "uses" in step:
                assert step["uses"].partition("@")[0] in ACTIONS
                continue
            command = _command(step["run"].strip(), done)
            words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]
            step_env = {**told, **_meant(step.get("env", {}), meant)}
            ended = subprocess.run(words, cwd=clone, env=step_env, capture_output=True, text=True, check=False)
            if ended.returncode:
                raise Failed(step["run"].strip(), ended.returncode, ended.stdout + ended.stderr)
        return done


class Failed(Exception):
    """A step that ended otherwise than with 0."""

    def __init__(self, command: str, code: int, said: str) -> None:
        self.command, self.code, self.said = command, code, said
        super().__init__(f"{command}: {code}: {said}")


def _command(command: str, done: list[str]) -> str:
    for begin, _, instead in REPLACED:
        if command.startswith(begin):
            return instead or "true"
    done.append(command)
    return command


def _meant(env: Mapping[str, Any], meant: Mapping[str, str]) -> dict[str, str]:
    """An `env` with its expressions replaced by what they mean in this case; an unknown one is an error."""
    return {name: re.sub(r"\$\{\{ (.*?) \}\}", lambda found: meant[found[1]], str(value)) for name, value in env.items()}


def _holds(condition: str, meant: Mapping[str, str]) -> bool:
    return {"yes": True, "no": False}[meant[" ".join(condition.split())]]


EVENT = "github.event_name == '{}'"
BOT = {"steps.token.outputs.token": "of-the-app", "github.token": "of-the-job"}
ROLE = "vars.TRAINING_ROLE != ''"
REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"
FROM_OURS = f"{REPOSITORY} && github.event.pull_request.user.login != 'dependabot[bot]'"


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("rows") / "clients.csv")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House.planted(tmp_path)
    yield house
    house.forge.server.shutdown()


RELEASE = "overlays/{}/credit/release/{}.yaml"


def version(name: str) -> ModelVersion:
    return ModelVersion(name, f"s3://models/credit/{name}", f"a{name}" * 32)


def start(env: str, name: str) -> dict[str, Any]:
    """The edits of a pull request that starts a version."""
    return {
        RELEASE.format(env, "model"): lambda text: write_version(text, version(name), person=True),
        RELEASE.format(env, "kustomization"): lambda text: write_toggle(text, Toggle.IN_ROLLOUT),
    }


def walk(env: str, name: str) -> list[dict[str, Any]]:
    """The controller's edits from the first step to the close."""
    stable, traffic, shape = (RELEASE.format(env, one) for one in ("stable", "traffic", "kustomization"))
    return [
        {traffic: lambda text: write_traffic(text, 5)},
        {stable: lambda text: write_version(text, version(name), person=False)},
        {traffic: lambda text: write_traffic(text, 0)},
        {shape: lambda text: write_toggle(text, Toggle.AT_REST)},
    ]


@pytest.mark.timeout(1800)  # two whole runs of training, on a machine that may be busy
def test_train_opens_its_pull_request_once_and_brings_it_up_to_date_the_second_time(house, rows):
    app = "inputs.app || github.event.client_payload.app || 'credit'"
    store = (house.folder / "store").as_uri()
    keys = signature.make_keys(house.folder / "keys")
    secret = {"secrets.MODEL_SIGNING_KEY": keys.with_name(signature.PRIVATE).read_text().strip()}
    meant = {**BOT, **secret, app: "credit", "vars.MODEL_STORE": store, "vars.MLFLOW_TRACKING_URI": ""} | {
        "vars.TRAINING_ROLE != ''": "no"
    }
    for told in (("POST", "/pulls"), ("PATCH", "/pulls/1")):
        clone = house.clone()
        done = house.run("train", "train", clone, meant, CREDIT_DATA=str(rows))
        python = ".venv-pipelines/bin/python"
        assert [command.split(" ")[0] for command in done] == ["install", python, "cat", python]
        assert house.forge.told() == [told]
        text = (clone / "out/train/pull-request.md").read_text()
        assert house.forge.pulls[0]["body"] == text == (clone.parent / f"{clone.name}-runner/summary.md").read_text()
    (pull,) = house.forge.pulls
    assert (pull["title"], pull["head"], pull["base"]) == ("credit(dev): start 2", "train/dev-credit-2", "main")
    assert house.forge.tokens == {"Bearer of-the-app"}
    judged = house.git(house.folder / "ada/models", "log", "-1", "--format=%b", "train/dev-credit-2")
    assert judged.startswith("### Gates\n")
    assert judged.split("\n\n### Old against new")[0] in pull["body"]  # and so the check can say it, too


def test_the_review_comments_once_and_replaces_it_the_second_time(house):
    meant = {**BOT, "github.event.pull_request.number": "7", FROM_OURS: "yes"}
    mark = "<!-- rollout: review -->\n"
    house.forge.comments.append({"id": 1, "user": {"login": "mallory"}, "body": f"{mark}all is well"})
    for name, told in (("2", ("POST", "/issues/7/comments")), ("3", ("PATCH", "/issues/comments/2"))):
        clone = house.clone()
        house.git(clone, "switch", "--quiet", "--create", "work")
        for path, change in start("dev", name).items():
            (clone / path).write_text(change((clone / path).read_text()))
        house.commit(clone, f"credit(dev): start {name}\n\n### Gates\n\nauc {name}")
        house.git(clone, "switch", "--quiet", "--detach", "origin/main")
        house.git(clone, "merge", "--quiet", "--no-ff", "--no-edit", "work")
        house.run("check", "review", clone, meant)
        assert house.forge.told() == [told]
        body = house.forge.comments[1]["body"]
        assert body.startswith(
            f"{mark}## What this does to releases\n\n- credit in dev: canary {name} starts at 0 %, beside stable 1"
        )
        assert body.endswith(f"## How the new version was judged\n\n### Gates\n\nauc {name}\n")
        assert mark + (clone.parent / f"{clone.name}-runner/summary.md").read_text() == body
    assert house.forge.comments[0]["body"] == f"{mark}all is well"  # somebody else's words are left alone
    assert house.forge.tokens == {"Bearer of-the-job"}


def test_the_review_of_a_fork_is_in_the_summary_alone(house):
    clone = house.clone()
    house.git(clone, "commit", "--quiet", "--allow-empty", "-m", "nothing")
    house.run("check", "review", clone, {**BOT, "github.event.pull_request.number": "7", FROM_OURS: "no"})
    assert house.forge.asked == []
    assert "no release changes" in (clone.parent / f"{clone.name}-runner/summary.md").read_text()


def checked(house: House, clone: Path) -> list[str]:
    meant = {EVENT.format("pull_request"): "yes", "github.event.pull_request.base.sha": house.branch("main")}
    return house.run("check", "check", clone, meant)


def test_check_refuses_two_starts_in_one_pull_request(house):
    clone = house.clone()
    for path, change in (start("dev", "2") | start("staging", "2")).items():
        (clone / path).write_text(change((clone / path).read_text()))
    house.commit(clone, "two")
    with pytest.raises(Failed, match="one release per pull request would be right") as failed:
        checked(house, clone)
    assert failed.value.code == 2


def test_check_allows_one_start(house):
    clone = house.clone()
    for path, change in start("dev", "2").items():
        (clone / path).write_text(change((clone / path).read_text()))
    house.commit(clone, "one")
    assert checked(house, clone) == ['.venv/bin/rollout check --base "$BASE"']


def pushed(ids: list[str]) -> dict[str, str]:
    return {
        **BOT,
        "github.event.before": ids[0],
        "github.sha": ids[-1],
        EVENT.format("push"): "yes",
        EVENT.format("workflow_dispatch"): "no",
    }


def test_what_completes_in_dev_is_proposed_to_staging_once_and_brought_up_to_date(house):
    started = house.edited("credit(dev): start 2", start("dev", "2"))
    steps = walk("dev", "2")
    handed = house.edited("credit(dev): stable 1 -> 2", *steps[:2])  # the push that writes stable.yaml
    clone = house.clone()
    house.run("promote", "due", clone, pushed(handed))
    (output,) = (clone.parent / f"{clone.name}-runner/output").read_text().splitlines()
    assert output.startswith("due=")
    matrix = json.loads(output.removeprefix("due="))
    assert matrix == [{"app": "credit", "from": "dev", "to": "staging"}]
    meant = BOT | {f"matrix.{name}": value for name, value in matrix[0].items()}
    for told in (("POST", "/pulls"), ("PATCH", "/pulls/1")):
        clone = house.clone()
        if told[0] == "POST":  # the controller closes it while promote waits
            threading.Timer(1.0, lambda: house.edited("credit(dev): close canary 2", *steps[2:])).start()
        house.run("promote", "promote", clone, meant)
        assert house.forge.told() == [told]
    (pull,) = house.forge.pulls
    assert (pull["title"], pull["head"]) == ("promote credit from dev to staging", "promote/staging-credit")
    assert "credit in staging: canary 2 starts at 0 %, beside stable 1" in pull["body"]
    assert house.git(house.folder / "ada/models", "rev-parse", "promote/staging-credit^") == house.branch("main")
    assert house.branch("main") != started[-1]


def test_nothing_is_due_for_what_the_next_environment_has_or_anyone_refuses(house):
    begin = house.edited("credit(dev): start 2", start("dev", "2"))[0]
    house.edited("the walk", *walk("dev", "2"))

    def found() -> list[Promotion]:
        return due(Repo(house.clone()), f"{begin}..HEAD")

    assert found() == [Promotion("credit", "dev", "staging")]
    house.edited("credit(staging): start 2", start("staging", "2"))
    assert found() == []  # it walks there
    names = [RELEASE.format("staging", one) for one in ("model", "kustomization")]
    before = {name: house.git(house.clone(), "show", f"{begin}:{name}") + "\n" for name in names}
    house.edited("Revert", {name: lambda _, name=name: before[name] for name in names})
    assert found() == []  # it is vetoed there
    with pytest.raises(errors.BadInput, match=r"^range: is 'HEAD'; BASE..HEAD"):
        due(Repo(house.clone()), "HEAD")


def test_what_a_person_asks_to_be_promoted_is_the_matrix(house):
    clone = house.clone()
    meant = {**pushed(["", ""]), "inputs.app": "credit", "inputs.from": "staging", "inputs.to": "prod"}
    meant |= {EVENT.format("push"): "no", EVENT.format("workflow_dispatch"): "yes"}
    house.run("promote", "due", clone, meant)
    output = (clone.parent / f"{clone.name}-runner/output").read_text()
    assert output == 'due=[{"app": "credit", "from": "staging", "to": "prod"}]\n'


def test_verify_succeeds_when_what_was_merged_has_completed(house):
    ids = house.edited("credit(dev): start 2", start("dev", "2"))
    house.edited("the walk", *walk("dev", "2"))
    assert house.run("verify", "outcome", house.clone(), pushed(ids))[0].startswith("python -m rollout.cli wait --started ")


def test_verify_fails_with_the_sentence_when_it_was_taken_out(house):
    ids = house.edited("credit(dev): start 2", start("dev", "2"))
    first, traffic = walk("dev", "2")[0], RELEASE.format("dev", "traffic")
    house.edited("credit(dev): canary 2 at 5 %", first)
    sentence = "credit(dev): canary 2 at 0 %: canary 9 of 90 requests failed"
    house.edited(sentence, {traffic: lambda text: write_traffic(text, 0)})
    with pytest.raises(Failed) as failed:
        house.run("verify", "outcome", house.clone(), pushed(ids))
    assert failed.value.code == 1
    assert f"dev/credit: 2 was taken out by {house.branch('main')[:10]}: {sentence}" in failed.value.said


def test_the_alarm_rings_for_what_the_controller_has_no_business_with(house):
    ids = house.edited("mine", start("dev", "2"))
    assert house.run("alarm", "outside", house.clone(), pushed(ids)) == ['python -m rollout.cli alarm "$PUSHED"']
    ids = house.edited("not mine", {"apps/credit/rollout.yaml": lambda text: text + "# more\n"})
    with pytest.raises(Failed, match=f"{ids[-1][:10]} changes apps/credit/rollout.yaml"):
        house.run("alarm", "outside", house.clone(), pushed(ids))


def test_rollback_reverts_the_start_and_pushes_it(house):
    started = house.edited("credit(dev): start 2 (#1)", start("dev", "2"))[-1]
    house.edited("the walk", *walk("dev", "2"))
    meant = {**BOT, "inputs.env": "dev", "inputs.app": "credit", "github.actor": "ada"}
    house.run("rollback", "rollback", house.clone(), meant)
    said = house.git(house.folder / "ada/models", "log", "-1", "--format=%s%n%n%b", "main")
    assert said == f'Revert "credit(dev): start 2 (#1)"\n\nThis reverts commit {started}.'


IMAGES = {
    "controller": ["base/rollout-controller/deployment.yaml"],
    "trainer": ["pipelines/image.yaml", "pipelines/train.yaml"],
    "model-server": ["overlays/dev/credit/release/kustomization.yaml", "overlays/dev/credit/release/model.yaml"],
}


@pytest.mark.parametrize(("image", "paths"), IMAGES.items(), ids=IMAGES)
def test_an_image_is_proposed_by_its_digest_once_and_brought_up_to_date(house, image, paths):
    files = {"controller": "rollout/Containerfile", "model-server": "model/Containerfile", "trainer": "pipelines/Containerfile"}
    meant = {**BOT, "matrix.image": image, "matrix.file": files[image], "github.repository": "ada/models"}
    meant |= {"github.actor": "ada", "github.event_name != 'pull_request'": "yes"}
    for method in ("POST", "PATCH"):
        clone = house.clone()
        assert house.run("images", "image", clone, meant) == []
        house.run("images", "publish", clone, meant)
        assert {asked for asked, _ in house.forge.told()} == {method}
    name = f"ghcr.io/ada/models/{image}@{DIGEST}"
    pull = house.forge.pulls[0]
    changed = house.git(house.folder / "ada/models", "diff", "--name-only", "main", pull["head"]).split()
    assert changed == paths
    assert name in house.git(house.folder / "ada/models", "show", f"{pull['head']}:{paths[-1]}")
    assert f"| wanted | `{name}` |" in pull["body"]
    assert len(house.forge.pulls) == (2 if image == "model-server" else 1)  # a model server is walked, app by app


def test_e2e_runs_its_stories(house):
    assert house.run("e2e", "e2e", house.clone(), {"failure()": "no"}) == []


def test_check_runs_every_test(house):
    assert house.run("check", "test", house.clone(), {}) == []


def test_every_job_of_every_workflow_is_run_here():
    jobs = {
        (path.stem, name)
        for path in (ROOT / ".github/workflows").glob("*.yaml")
        for name in yaml.safe_load(path.read_text())["jobs"]
    }
    run = set(re.findall(r'house\.run\(\s*"([a-z0-9]+)", "([a-z0-9]+)"', Path(__file__).read_text()))
    assert run == jobs
