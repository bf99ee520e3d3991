"""The demo's setting, in one place: apps, pace, versions; and what its chapters share."""

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.models import Trained, Wanted
from lab.narrate import Narrator, say
from lab.pipeline import Proposed
from lab.processes import LabError, until
from lab.story import Commit, Seconds, now, release_log
from lab.world import BRANCH, World

APPS = ("credit", "savings")
RATE = 150.0  # requests per second and app: at 5 % the canary gets 7.5 of them

# prod's plan, its half hours made seconds. With RATE requests per second a canary without errors is shown safe after
# about 25 s at 5 % (first-step floor 2 %) and 12 s at 25 % (floor 1 %); 9 % errors are shown harmful after about 35 s.
GATES = ("latency: {below: 50}", "latency: {below: 500}")  # of apps/<app>/gates.yaml: training shares this machine
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
)
LATER = (  # version 2 of both comes from the pipeline, as a pull request of its bot (lab/pipeline.py)
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
    proposed: dict[tuple[str, str], Proposed] = field(default_factory=dict)  # of the trained, those that a bot proposes
    chapters: dict[str, bool] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    base: str = ""  # the commit before the story
    starts: dict[str, str] = field(default_factory=dict)  # "credit 2" -> its pull request's commit
    seen: dict[str, Any] = field(default_factory=dict)
    delivery: str = ""  # what `rollout dora` and `python -m pipelines runs` print
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
        """A pull request, merged by squash: the bot's, where it made one, else a person's with `rollout start`."""
        found, bots = self.trained[app, version], self.proposed.get((app, version))
        title = f"{app}(prod): start {version}"
        if bots:
            say(f"a person merges pull request #{number}, the bot's: {bots.branch}")
            commit = await self.world.people.merge(bots.branch, title, number, bots.text)
            self.starts[f"{app} {version}"] = commit
            return commit
        rollout = str(Path(sys.executable).parent / "rollout")
        edit = [rollout, "start", f"prod/{app}", "--version", version, "--model-uri", found.wanted.uri]
        say(f"a person merges pull request #{number}: rollout start prod/{app} --version {version} ...")
        commit = await self.world.people.pull_request(title, number, [*edit, "--sha256", found.sha256])
        self.starts[f"{app} {version}"] = commit
        return commit

    async def commits(self, app: str, since: str) -> list[Commit]:
        """The release's commits after one of them."""
        return await release_log(self.world.remote, BRANCH, app, since)
