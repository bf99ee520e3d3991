"""One control plane for all stories of a run; they begin together, on releases of their own, and each test awaits its own.
Some begin earlier: what root.yaml made is seen before it changes, what a merge takes is measured, and a version trained, before
the others load the machine.

What is left in out/e2e/: logs, the remote, times.json; when a story failed, also dump/ with what cluster and git said.
"""

import asyncio
import inspect
import json
import os
import time

import pytest

from lab.controlplane.seldon import Seldon
from lab.controlplane.world import ROOT, ControlPlane

from .stage import Stage

OUT = ROOT / "out" / "e2e"
PATIENCE = 900  # seconds that a story may take


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "first: begins at once; the others when each such story has let them (stage.let_go) or ended"
    )
    config.addinivalue_line("markers", "app(name): a release of the story's own, at rest on version 1 when it begins")


def pytest_collection_modifyitems(items):
    for item in _stories(items):
        item.add_marker(pytest.mark.timeout(PATIENCE + 300))
        item.add_marker(pytest.mark.scenario)


def _stories(items):
    return [item for item in items if "stage" in item.fixturenames and inspect.iscoroutinefunction(item.obj)]


@pytest.fixture(scope="session")
def stage(request):
    mine = _stories(request.session.items)
    start, told = time.monotonic(), {}
    with asyncio.Runner() as runner:
        apps = tuple(sorted({mark.args[0] for item in mine for mark in item.iter_markers("app")}))
        one = Stage(ControlPlane(OUT, seldon=Seldon.read(os.environ)), apps)

        async def story(item):
            async with asyncio.timeout(PATIENCE):
                if item.name not in one.ahead:
                    await one.up()
                    await one.others.wait()
                began = time.monotonic()
                try:
                    await item.obj(one)
                finally:
                    one.let_go()
                    told[item.name] = (began - start, time.monotonic() - start)

        async def begin():
            await one.world.__aenter__()
            return {item.nodeid: asyncio.create_task(story(item), name=item.name) for item in mine}

        one.ahead = {item.name for item in mine if item.get_closest_marker("first")}
        if not one.ahead:
            one.others.set()
        tasks = {}
        tasks |= runner.run(begin())
        one.awaited = lambda item: runner.run(_result(tasks[item.nodeid]))
        try:
            yield one
        finally:
            for task in tasks.values():
                task.cancel()
            runner.run(_gathered(tasks.values()))
            (OUT / "times.json").write_text(json.dumps(one.times, indent=1))
            for what, seconds in one.times.items():
                print(f"e2e: {what}: {seconds:.1f} s")
            for name, (began, ended) in sorted(told.items(), key=lambda one: one[1]):
                print(f"e2e: from {began:3.0f} s to {ended:3.0f} s: {name}")
            if request.session.testsfailed:
                runner.run(one.world.dump(OUT / "dump"))
            runner.run(one.world.stop())


async def _result(task):
    await asyncio.shield(task)


async def _gathered(tasks):
    await asyncio.gather(*tasks, return_exceptions=True)


def pytest_pyfunc_call(pyfuncitem):
    """A story's test is a coroutine function: it has begun with all others, and is awaited here."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    pyfuncitem.funcargs["stage"].awaited(pyfuncitem)
    return True
