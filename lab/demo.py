"""The story, for real: a good version walks to 100 %, a bad one is aborted, the good one's pull request is reverted.

Every chapter ends with what must have happened, read from git and from what clients were really served. Exit code 0
means that all of it did. What is left in out/demo/: report.html, report.json, repo.git, logs/.
"""

import asyncio
import contextlib
import itertools
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import models, report
from lab.models import Trained, Wanted
from lab.narrate import Narrator, say
from lab.people import AUTHOR
from lab.processes import LabError, until
from lab.render import command, git
from lab.story import Commit, Seconds, folder, need, now, release_log, walk
from lab.world import BRANCH, World

APPS = ("credit", "savings")
RATE = 150.0  # requests per second and app: at 5 % the canary gets 7.5 of them

# prod's plan, its half hours made seconds. With RATE requests per second a canary without errors is shown safe after
# about 25 s at 5 % (first-step floor 2 %) and 12 s at 25 % (floor 1 %); 9 % errors are shown harmful after about 35 s.
PLAN = """\
# The demo's pace, for a demo's traffic: prod's steps with dwells of seconds.
apiVersion: rollout/v1
kind: Plan
metadata: {name: prod}
spec:
  steps:
    - {canary: 5, dwell: 20s}
    - {canary: 25, dwell: 20s}
    - {canary: 100}
  gates:
    safety: {floor: 0.01}
  deadlines: {ready: 90s, verdict: 5m}
  drain: 20s
"""

VERSIONS = (
    Wanted("credit", "1"),
    Wanted("savings", "1"),
    Wanted("credit", "2", ("--seed", "2")),
    Wanted("savings", "2", ("--seed", "2")),
    # Bad, and offline metrics cannot see it: its training never saw a category that 9 % of production's rows have.
    Wanted("credit", "3", ("--seed", "3", "--keep", "PAY_0 != -2")),
)


@dataclass
class Demo:
    """The state of the story."""

    world: World
    narrator: Narrator
    began: float
    trained: dict[tuple[str, str], Trained] = field(default_factory=dict)
    chapters: dict[str, bool] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    base: str = ""  # the commit before the story
    starts: dict[str, str] = field(default_factory=dict)  # "credit 2" -> its pull request's commit
    seen: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)

    def client(self, app: str) -> Seconds:
        """What the app's clients counted so far."""
        return Seconds.read(self.world.logs / f"load-{app}.jsonl")

    @contextlib.asynccontextmanager
    async def chapter(self, name: str, title: str) -> AsyncIterator[None]:
        """One chapter: it happened, or the demo ends here."""
        began = time.monotonic()
        self.chapters[name] = False
        say("")
        say(f"== {title}")
        yield
        self.chapters[name] = True
        self.timings[name] = round(time.monotonic() - began, 1)
        say(f"   done in {self.timings[name]:.0f} s")

    async def wait(self, what: str, probe: Callable[[], Awaitable[bool]], within: float) -> None:
        """Wait, with progress lines; the controller and the stand-ins must live."""

        async def checked() -> bool:
            self.world.check()
            controller = self.world.controller
            if controller is not None and not controller.running:
                raise LabError(f"the controller ended with {controller.popen.returncode}\n{controller.tail()}")
            return await probe()

        self.narrator.waiting_for = f"waiting for {what}"
        await until(what, checked, within)
        self.narrator.waiting_for = ""
        await self.narrator.tell()

    async def at_rest(self, app: str, version: str, within: float) -> None:
        """Wait until a release rests on a version in git, and every client gets that version."""

        async def in_git() -> bool:
            state = await now(self.world.remote, BRANCH, app)
            return not state.in_rollout and state.model == version

        async def served() -> bool:
            answers = self.client(app).last(3).parts("served")
            return set(answers) == {f"stable/{version}"}

        await self.wait(f"{app} at rest on {version} in git", in_git, within)
        await self.world.healthy(f"{app}-prod", within=60)
        await self.wait(f"{app} {version} in every answer", served, 30)

    async def start(self, app: str, version: str, number: int) -> str:
        """A pull request with `rollout start`, merged by squash."""
        found = self.trained[app, version]
        rollout = str(Path(sys.executable).parent / "rollout")
        edit = [rollout, "start", f"prod/{app}", "--version", version, "--model-uri", found.wanted.uri]
        say(f"a person merges pull request #{number}: rollout start prod/{app} --version {version} ...")
        title = f"{app}(prod): start {version}"
        commit = await self.world.people.pull_request(title, number, [*edit, "--sha256", found.sha256])
        self.starts[f"{app} {version}"] = commit
        return commit

    async def commits(self, app: str, since: str) -> list[Commit]:
        """The release's commits after one of them."""
        return await release_log(self.world.remote, BRANCH, app, since)


async def first_versions(demo: Demo) -> None:
    """Train, commit version 1 and the plan, serve."""
    world = demo.world
    train = asyncio.create_task(models.train_all(VERSIONS, world.store))
    questions = {app: await models.questions(app) for app in APPS}
    for found in await train:
        demo.trained[found.wanted.app, found.wanted.version] = found
        how = "kept from an earlier run" if found.cached else f"trained in {found.seconds:.0f} s"
        what = f"{found.metric} {found.value:.4f}, {found.rows} rows ({found.data} data), sha256 {found.sha256[:12]}"
        say(f"   {found.wanted.app} {found.wanted.version}: {how}; {what}")
    demo.base = await world.people.commit(
        "The demo's pace: prod's dwells in seconds", {"overlays/prod/common/rollout.yaml": PLAN}
    )
    files = {}
    for app in APPS:
        for name in ("model", "stable"):
            path = f"{folder(app)}/{name}.yaml"
            files[path] = _named(world.people.folder / path, demo.trained[app, "1"])
    demo.base = await world.people.commit("The models that were trained here: version 1 of every app", files)
    world.serve()
    await world.healthy(*(f"{app}-prod" for app in APPS), within=90)
    await world.prometheus.scraping()
    for app in APPS:
        world.start_load(app, f"{app}-prod", app, questions[app], RATE)
    await world.start_controller()
    for app in APPS:
        await demo.at_rest(app, "1", 30)


def _named(path: Path, found: Trained) -> str:
    """A release file that names a trained version; only the three lines change."""
    values = {"version": f'"{found.wanted.version}"', "modelUri": found.wanted.uri, "sha256": found.sha256}
    text = path.read_text()
    for key, value in values.items():
        text = re.sub(rf"(?m)^(  {key}:).*$", rf"\1 {value}", text)
    return text


async def good_versions(demo: Demo) -> None:
    """Version 2 of both apps, side by side."""
    merged = {app: await demo.start(app, "2", number) for number, app in enumerate(APPS, start=1)}
    await asyncio.gather(*(demo.at_rest(app, "2", 240) for app in APPS))
    spans = []
    for app in APPS:
        commits = await demo.commits(app, demo.base)
        steps = walk(commits)
        wanted = [("2", "1", 0), ("2", "1", 5), ("2", "1", 25), ("2", "2", 25), ("2", "2", 0), ("2", "", 0)]
        need(steps[: len(wanted)] == wanted, f"{app} 2 should have walked {wanted}; git says {steps}")
        for commit in commits:
            if commit.sha != merged[app]:
                own = all(path.startswith(f"{folder(app)}/") for path in commit.paths)
                need(own, f"{commit.sha[:8]} {commit.subject} touches {commit.paths}, more than one release")
        spans.append((commits[0].time, commits[-1].time))
        demo.seen[app] = shares = measured(demo.client(app), commits)
        for percent, got in shares.items():
            need(abs(got - percent) < 3 + percent * 0.2, f"{app}: canary got {got:.1f} % of requests at {percent} %")
            say(f"   {app}: at {percent} % the canary answered {got:.1f} % of the clients' requests")
    need(max(start for start, _ in spans) < min(end for _, end in spans), "the two rollouts should have overlapped")


def measured(client: Seconds, commits: list[Commit]) -> dict[int, float]:
    """The canary's share of the clients' answers in each step, by the commits' times."""
    shares = {}
    for commit, following in itertools.pairwise(commits):
        if commit.in_rollout and commit.canary and commit.canary not in shares:
            served = client.between(commit.time + 3, following.time).parts("served")
            canary = sum(count for by, count in served.items() if by.startswith("canary/"))
            shares[commit.canary] = 100 * canary / max(1, sum(served.values()))
    return shares


async def bad_version(demo: Demo) -> None:
    """Version 3 of credit: starts, fails, is aborted."""
    before = await now(demo.world.remote, BRANCH, "credit")
    began = time.time()
    merged = await demo.start("credit", "3", 3)

    async def taken_back() -> bool:
        state = await now(demo.world.remote, BRANCH, "credit")
        return state.sha != merged and not state.in_rollout

    await demo.wait("credit 3 to fail and be taken back", taken_back, 180)
    await demo.at_rest("credit", "2", 60)
    commits = await demo.commits("credit", merged)
    after = await now(demo.world.remote, BRANCH, "credit")
    need(after.tree == before.tree, "after the abort the release's folder should be what it was, byte for byte")
    steps = walk(commits)
    need(("3", "2", 5) in steps and steps[-1] == ("2", "", 0), f"credit 3 should have gone to 5 % and out; git says {steps}")
    client = demo.client("credit").between(began, time.time())
    served, failed = client.parts("served"), client.total("failed")
    need(served.get("canary/3", 0) > 0 and failed > 0, f"version 3 should have answered and failed; clients got {served}")
    demo.seen["bad"] = {"answered": served["canary/3"], "failed": failed, "of": sum(served.values())}
    say(f"   version 3 answered {served['canary/3']} of {sum(served.values())} requests, {failed} of them with an error")


async def taken_back_by_a_person(demo: Demo) -> None:
    """Plain `git revert` of version 2's pull request."""
    commit = demo.starts["credit 2"]
    say(f"a person runs: git revert {commit[:8]} && git push")
    await demo.world.people.revert(commit)
    await demo.at_rest("credit", "1", 60)
    state = await now(demo.world.remote, BRANCH, "savings")
    need(state.model == "2" and not state.in_rollout, "savings should still rest on version 2")


async def audited(demo: Demo) -> None:
    """`rollout audit` on the bare repository, offline."""
    rollout = str(Path(sys.executable).parent / "rollout")
    code, out, error = await command(rollout, "audit", "--repo", str(demo.world.remote), "--json")
    demo.audit = {"exit": code, "output": out[-20000:], "error": error[-2000:]}
    need(code == 0, f"`rollout audit` ended with {code}\n{out[-3000:]}{error[-1000:]}")
    _, words, _ = await command(rollout, "audit", "--repo", str(demo.world.remote))
    for line in words.strip().splitlines()[-3:]:
        say(f"   {line}")


async def nothing_lost(demo: Demo) -> None:
    """No client's request was lost while routes changed."""
    await demo.world.stop_loads()
    for app in APPS:
        client = demo.client(app)
        lost, sent = client.parts("lost"), client.total("sent")
        need(not lost, f"{app}: of {sent} requests these got no model's answer: {lost}")
        answered = client.total("ok") + client.total("failed")
        need(sent == answered, f"{app}: {sent} sent, {answered} answered")
        say(f"   {app}: {sent} requests sent, {client.total('failed')} failed by the model, 0 lost")


CHAPTERS = (
    ("v1_serves", "Version 1 of credit and savings is stable", first_versions),
    ("v2_walked_5_25_100", "Version 2 of both walks 5 %, 25 %, 100 %, side by side", good_versions),
    ("v3_aborted", "Version 3 of credit is bad: it starts, fails, and is taken out", bad_version),
    ("v2_reverted_v1_serves", "A person reverts version 2's pull request of credit", taken_back_by_a_person),
    ("audit_agrees", "rollout audit recomputes every decision from the repository alone", audited),
    ("no_request_lost", "What the clients saw", nothing_lost),
)


async def play(out: Path) -> int:
    """Play the story; 0 only if all of it happened."""
    failure, began = "", time.time()
    async with World(out) as world:
        demo = Demo(world, Narrator(world, apps=APPS), began)
        demo.narrator.told = (await git(*AUTHOR, "rev-parse", BRANCH, cwd=world.remote)).strip()
        narrating = asyncio.create_task(demo.narrator.run())
        demo.timings["processes"] = round(time.time() - demo.began, 1)
        try:
            for name, title, happen in CHAPTERS:
                async with demo.chapter(name, title):
                    await happen(demo)
        except LabError as error:
            failure = str(error)
            say(failure)
        finally:
            narrating.cancel()
        await world.stop_loads()
        demo.timings["whole"] = round(time.time() - demo.began, 1)
        await report.write(demo, failure)
    if not failure:
        shutil.rmtree(out / "work")  # what is left: the reports, the repository, the models, the logs
    say("")
    say(f"{'the story happened' if not failure else 'THE STORY DID NOT HAPPEN'}: {out / 'report.html'}")
    return 1 if failure else 0
