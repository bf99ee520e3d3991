"""Do something to the lab that is up: `python -m lab do ...` asks the running lab over a loopback port.

| words                          | what happens                                                              |
|--------------------------------|---------------------------------------------------------------------------|
| start APP VERSION              | a pull request with `rollout start`, merged (versions that were trained)  |
| crash APP PREDICTOR            | the predictor's process is killed; the kubelet's stand-in starts it again |
| break APP PREDICTOR            | its model folder vanishes and it is killed: it crash-loops from now on    |
| patch APP PERCENT              | somebody patches the live canary traffic, past git                        |
| unplug prometheus / argocd     | it stops answering                                                        |
| plug prometheus / argocd       | it answers again                                                          |
| forbid argocd                  | it answers 403 (plug argocd: as before)                                   |
| rate APP REQUESTS_PER_SECOND   | the clients ask faster or slower                                          |
| where                          | addresses and process ids                                                 |
"""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.processes import LabError, free_port
from lab.world import World

Start = Callable[[str, str], Awaitable[str]]
Rate = Callable[[str, float], Awaitable[None]]


class Control:
    """The running lab's side."""

    def __init__(self, world: World, start: Start, rate: Rate) -> None:
        self.world, self.start, self.rate = world, start, rate
        self.port = free_port()

    async def listen(self) -> None:
        """Serve until the lab ends; write down where."""
        app = web.Application()
        app.router.add_post("/do", self._do)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        (self.world.folder / "control").write_text(f"http://127.0.0.1:{self.port}/do\n")

    async def _do(self, request: web.Request) -> web.Response:
        words = await request.json()
        try:
            return web.json_response({"said": await self.do(words)})
        except (LabError, KeyError, ValueError, TypeError) as error:
            return web.json_response({"error": f"{' '.join(words)}: {error}"}, status=400)

    async def do(self, words: list[str]) -> str:
        """One line of the table."""
        match words:
            case ["start", app, version]:
                return f"merged as {await self.start(app, version)}"
            case ["crash" | "break", app, predictor]:
                pod = self.world.seldon.pod(f"{app}-prod", app, predictor)
                if pod is None:
                    raise LabError("there is no such predictor")
                if words[0] == "break":
                    self.world.nodes.broken.add(pod.name)
                pod.crash()
                return f"killed the process of {pod.name}"
            case ["patch", app, percent]:
                traffic = {"stable": 100 - int(percent), "canary": int(percent)}
                change = {"spec": {"predictors": [{"name": name, "traffic": part} for name, part in traffic.items()]}}
                self.world.cluster.patch(("SeldonDeployment", f"{app}-prod", app), change)
                return f"live traffic is {traffic} until it is put back"
            case ["unplug" | "plug" | "forbid", what]:
                return await self._plug(words[0], what)
            case ["rate", app, rate]:
                await self.rate(app, float(rate))
                return f"{app}: {rate} requests per second"
            case ["where"]:
                return json.dumps(self.where(), indent=1)
        raise LabError(f"not understood; what there is:\n{__doc__}")

    async def _plug(self, verb: str, what: str) -> str:
        match verb, what:
            case "unplug", "prometheus":
                await self.world.prometheus.stop()
            case "plug", "prometheus":
                await self.world.prometheus.start()
            case "unplug", "argocd":
                await self.world.api.down()
            case "plug" | "forbid", "argocd":
                self.world.api.forbidden = verb == "forbid"
                await self.world.api.up()
            case _:
                raise LabError("not understood")
        return f"{verb}: {what}"

    def where(self) -> dict[str, Any]:
        """Addresses and processes."""
        world = self.world
        return {
            "models": f"{world.envoy.url}/seldon/<app>-prod/<app>/v2/models/model/infer",
            "prometheus": world.prometheus.url,
            "argocd (stand-in)": f"{world.api.url}/apis/argoproj.io/v1alpha1/applications",
            "controller": f"http://127.0.0.1:{world.controller_port}/metrics",
            "repository": str(world.remote),
            "processes": {process.name: process.pid for process in world.processes.children},
        }


def ask(folder: Path, words: list[str]) -> int:
    """The other side: say words to the lab that is up."""
    address = folder / "control"
    if not words:
        print(__doc__)
        return 2
    if not address.exists():
        print(f"no lab is up in {folder}: `python -m lab up` first", file=sys.stderr)
        return 1
    request = urllib.request.Request(address.read_text().strip(), json.dumps(words).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            print(json.load(answer)["said"])
            return 0
    except urllib.error.HTTPError as refused:
        print(json.load(refused)["error"], file=sys.stderr)
    except OSError as gone:
        print(f"the lab in {folder} does not answer ({gone}): `python -m lab up` first", file=sys.stderr)
    return 1
