"""A lab with this repository's manifests and tiny model servers, played by a coroutine."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lab.pods import PodSpec, mlserver
from lab.processes import until
from lab.world import World

HERE = Path(__file__).resolve().parent
RELEASE = "overlays/prod/credit/release"
SHA = "0" * 64


def tiny(spec: PodSpec, model: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """The tiny server instead of MLServer, with the same environment."""
    return [sys.executable, str(HERE / "tiny_model.py")], mlserver(spec, model, port)[1]


@dataclass
class Stage:
    """A World and the words the tests tell their stories in; the release is credit in prod."""

    world: World
    serving: bool = False  # from the first release on

    def model(self, version: str, **behaviour: Any) -> None:
        """Put a version into the model store."""
        folder = self.world.store / "credit" / version
        folder.mkdir(parents=True)
        (folder / "behaviour.json").write_text(json.dumps(behaviour))

    async def release(self, model: str, stable: str | None = None, canary: int = 0, files: dict[str, str] | None = None) -> str:
        """Commit the release: at rest, or with `stable` in rollout."""
        toggle = "at-rest" if stable is None else "in-rollout"
        texts = {
            f"{RELEASE}/model.yaml": _version("model", model),
            f"{RELEASE}/stable.yaml": _version("stable", stable or model),
            f"{RELEASE}/traffic.yaml": "apiVersion: rollout/v1\nkind: TrafficSplit\nmetadata: {name: traffic}\n"
            f"spec:\n  stable: {100 - canary}\n  canary: {canary}\n",
            f"{RELEASE}/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
            "resources: [model.yaml, stable.yaml, traffic.yaml]\n"
            f"components:\n  - ../../../../base/{toggle}\n",
        }
        commit = await self.world.people.commit(f"credit {model} {stable} {canary}", texts | (files or {}))
        if not self.serving:
            self.serving = True
            self.world.serve()
        return commit

    async def healthy(self, within: float = 20) -> None:
        await self.world.healthy("credit-prod", within=within)

    def application(self, name: str = "credit-prod") -> dict[str, Any]:
        return self.world.api.item(self.world.argocd.applications[name])

    def split(self) -> dict[str, int]:
        """What Envoy was told: predictor/version -> percent."""
        routed = self.world.envoy.routes.get(("credit-prod", "credit"), ())
        return {f"{backend.predictor}/{backend.version}": weight for backend, weight in routed if weight}

    async def wait_split(self, split: dict[str, int], within: float = 20) -> None:
        async def probe() -> bool:
            self.world.check()
            return self.split() == split

        await until(f"the split {split} (it is {self.split()})", probe, within)

    def load(self, rate: float = 100) -> None:
        self.world.start_load("credit", "credit-prod", "credit", ['{"inputs": []}'], rate)

    def seconds(self) -> list[dict[str, Any]]:
        """What the client counted, per second."""
        return [json.loads(line) for line in (self.world.logs / "load-credit.jsonl").read_text().splitlines()]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask Prometheus."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.world.prometheus.url}/api/v1/query", params={"query": expression}) as answer,
        ):
            found: list[dict[str, Any]] = (await answer.json())["data"]["result"]
            return found


def _version(name: str, version: str) -> str:
    return (
        f"apiVersion: rollout/v1\nkind: ModelVersion\nmetadata: {{name: {name}}}\nspec:\n"
        f'  version: "{version}"\n  modelUri: s3://models/credit/{version}\n  sha256: "{SHA}"\n'
    )


def total(seconds: Iterable[dict[str, Any]], name: str) -> int:
    """The sum of a count over all seconds."""
    return sum(second[name] if isinstance(second[name], int) else sum(second[name].values()) for second in seconds)


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Stage], Awaitable[None]]], Stage]:
    """Run a story in a fresh lab without a controller; everything is stopped after it."""

    def run(story: Callable[[Stage], Awaitable[None]], heal_after: float = 1.0) -> Stage:
        async def whole() -> Stage:
            world = World(tmp_path / "lab", command=tiny, with_controller=False, heal_after=heal_after)
            async with world:
                stage = Stage(world)
                await story(stage)
            return stage

        return asyncio.run(whole())

    return run
