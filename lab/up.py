"""The lab, left running to play with: the same parts as the demo's, version 1 serving, and a sheet of things to try."""

import asyncio
import contextlib
import itertools
import time
from pathlib import Path

from lab.control import Control, Rate, Start
from lab.demo import first_versions
from lab.models import questions
from lab.narrate import Narrator, say
from lab.processes import LabError
from lab.setting import APPS, RATE, Demo
from lab.world import BRANCH, World

SHEET = """
The lab is up: credit and savings serve version 1, {rate:g} requests per second each. Every commit is told here as it lands.
In another terminal, in this folder:

  promote a good version       {lab} start credit 2
  start a bad one              {lab} start credit 3
  look                         .venv/bin/rollout status --watch --batch 1s --repo {remote} \\
                                 --prometheus {prometheus} --argocd {argocd}
                               git -C {remote} log --first-parent {branch}
  press Revert                 cd {person} && git pull -q && git log --oneline --first-parent -8
                               git revert COMMIT && git push
  hold a rollout               cd {person} && git pull -q, put `hold: true` under spec in
                               overlays/prod/credit/release/model.yaml, commit, push
  kill the controller          kill -9 $(cat {out}/controller.pid)   (as in a cluster, it is started again)
  unplug Prometheus            {lab} unplug prometheus   and then: plug prometheus
  Argo CD answers 403          {lab} forbid argocd       and then: plug argocd
  break the canary             {lab} break credit canary
  patch live traffic           {lab} patch credit 50     (while a canary runs; it is put back)
  what else                    {lab}                     where things listen: {lab} where

Ctrl-C stops everything.
"""


async def play(out: Path) -> int:
    """Start, print the sheet, stay."""
    async with World(out) as world:
        demo = Demo(world, Narrator(world, apps=APPS), time.time())
        demo.narrator.told = demo.base = (await world.people.fresh()).strip()
        narrating = asyncio.create_task(demo.narrator.run())
        await first_versions(demo)
        control = Control(world, _starter(demo), _rater(world))
        await control.listen()
        print(sheet(world))
        keeping = asyncio.create_task(_keep_controller(world))
        try:
            await _watch(world, narrating, keeping)
        finally:
            for task in (narrating, keeping):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
    return 0


def sheet(world: World) -> str:
    """What to try, with this lab's own paths and addresses."""
    out = _short(world.folder)
    return SHEET.format(
        lab=f".venv/bin/python -m lab do{'' if out == 'out/lab' else f' --out {out}'}",
        remote=_short(world.remote),
        person=_short(world.people.folder),
        out=out,
        branch=BRANCH,
        rate=RATE,
        prometheus=world.prometheus.url,
        argocd=world.api.url,
    )


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _starter(demo: Demo) -> Start:
    numbers = itertools.count(1)

    async def start(app: str, version: str) -> str:
        if (app, version) not in demo.trained:
            there = ", ".join(f"{known} {number}" for known, number in demo.trained)
            raise LabError(f"trained versions are {there}")
        return await demo.start(app, version, next(numbers))

    return start


def _rater(world: World) -> Rate:
    async def rate(app: str, value: float) -> None:
        await world.processes.stop(world.loads[app])
        world.start_load(app, f"{app}-prod", app, await questions(app), value)

    return rate


async def _keep_controller(world: World) -> None:
    """As a Deployment does: start the controller again when it ended."""
    while True:
        controller = world.controller
        if controller is not None and not controller.running:
            say(f"the controller ended with {controller.popen.returncode}; it is started again")
            world.processes.children.remove(controller)
            with contextlib.suppress(LabError):
                await world.start_controller()
        if world.controller is not None:
            (world.folder / "controller.pid").write_text(f"{world.controller.pid}\n")
        await asyncio.sleep(1)


async def _watch(world: World, *tasks: asyncio.Task[None]) -> None:
    while True:
        world.check()
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.5)
