"""Version 2 as a bot makes it: `python -m pipelines train` in a clone of the remote, in the pipelines' own environment.

What it leaves is what it leaves anywhere: a judged version, signed and published, registered, and a branch with its pull
request's text. What a forge does is played by hand: the branch is pushed, and merged by squash with its text.
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.models import ROOT, Trained, Wanted
from lab.processes import LabError, Processes
from lab.render import git
from lab.s3 import PYTHON
from lab.world import BRANCH, World
from model.signature import KEY, PRIVATE


@dataclass(frozen=True)
class Proposed:
    """A version that the pipeline proposes, and the pull request that it leaves."""

    trained: Trained
    branch: str
    text: str


@dataclass(frozen=True)
class Bot:
    """Who runs the pipeline, and with what."""

    processes: Processes
    remote: str  # what it clones
    folder: Path
    store: Mapping[str, str]  # MODEL_STORE, and what that needs
    key: Path  # what it signs with

    @classmethod
    def of(cls, world: World) -> Self:
        """The lab's: its store is a folder."""
        store = {"MODEL_STORE": world.store.as_uri()}
        return cls(world.processes, str(world.remote), world.folder, store, world.keys / PRIVATE)

    def home(self, app: str) -> Path:
        """Its clone, with its registry."""
        return self.folder / "work" / f"bot-{app}"


async def propose(bot: Bot, app: str, env: str, metric: str) -> Proposed:
    """Train, judge, publish and propose a version of an app, as the remote is now; its branch is on the remote."""
    if not PYTHON.exists():
        raise LabError(f"{PYTHON}: is not there; `./setup.sh pipelines` makes it")
    began, home, out = time.monotonic(), bot.home(app), bot.folder / "train" / app
    await git("clone", "-q", "--branch", BRANCH, bot.remote, str(home))
    words = ["-m", "pipelines", "train", app, "--env", env, "--out", str(out)]
    await _run(bot, f"train-{app}", words, home)
    said = json.loads((out / "report.json").read_text())
    await git("push", "-q", "origin", said["branch"], cwd=home)
    made, data = Wanted(app, said["version"], ("python -m pipelines train",)), said["data"]
    seconds = time.monotonic() - began
    trained = Trained(made, said["sha256"], metric, said[metric]["value"], data["rows"], data["origin"], False, seconds)
    return Proposed(trained, said["branch"], (out / "pull-request.md").read_text())


async def runs(bot: Bot, app: str) -> str:
    """How the pipeline's runs ended, as `python -m pipelines runs` says it."""
    return await _run(bot, f"runs-{app}", ["-m", "pipelines", "runs", app], bot.home(app))


async def _run(bot: Bot, name: str, words: list[str], home: Path) -> str:
    """Run Python in the pipelines' environment; return the last line it said."""
    process = bot.processes.start(name, [str(PYTHON), *words], env=_environment(bot), cwd=home)
    while process.running:
        await asyncio.sleep(0.1)
    if process.popen.returncode:
        raise LabError(f"`python {' '.join(words)}` ended with {process.popen.returncode}\n{process.tail(30)}")
    return process.tail(1).strip()


def _environment(bot: Bot) -> Mapping[str, str]:
    """Its store and key, a registry of its own, and this folder's code rather than its clone's."""
    path = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")])
    outside = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return {**outside, **bot.store, KEY: str(bot.key), "PYTHONSAFEPATH": "1", "PATH": path, "OMP_NUM_THREADS": "1"}


async def propose_all(bot: Bot, env: str, metrics: Mapping[str, str]) -> dict[str, Proposed]:
    """Several apps side by side; metrics: what each app's versions are told by."""
    found = await asyncio.gather(*(propose(bot, app, env, metric) for app, metric in metrics.items()))
    return dict(zip(metrics, found, strict=True))
