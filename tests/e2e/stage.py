"""What the stories are told in: releases of their own on one control plane, people's and bots' git, and what was seen when."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import models
from lab.controlplane import api as kube
from lab.controlplane import argocd
from lab.controlplane.kubernetes import private
from lab.controlplane.world import BRANCH, ControlPlane
from lab.models import Wanted
from lab.people import People
from lab.processes import Process, until
from lab.render import command, git
from lab.setting import GATES
from lab.story import Commit, Seconds, folder, now, release_log, walk

ROLLOUT = str(Path(sys.executable).parent / "rollout")
SHA = "ab" * 32  # the tiny server checks none
REAL = ("credit", "savings")
ENVIRONMENTS = ("dev", "staging", "prod")
RATE = 60.0  # requests per second and release: at 5 % the canary gets 3 of them
# What a walk from 1 to 2 goes through: model, stable, canary percent.
WALK = [("2", "1", 0), ("2", "1", 5), ("2", "1", 25), ("2", "2", 25), ("2", "2", 0), ("2", "", 0)]
PLANS = Path(__file__).parent / "plans"  # the environments', in seconds
VERSIONS = (
    Wanted("credit", "1"),
    Wanted("savings", "1"),
    Wanted("credit", "2", ("--seed", "2")),
)


class Merging(People):
    """A person whose pull requests are merged one after another, as in a merge queue; reverts do not wait, nor the controller."""

    queue = asyncio.Lock()

    async def merge(self, branch: str, title: str, number: int, text: str = "") -> str:
        async with self.queue:
            return await super().merge(branch, title, number, text)


@dataclass
class Stage:
    """One control plane for all stories."""

    world: ControlPlane
    apps: tuple[str, ...] = ()  # the stories' own, whose models are behaviours
    trained: dict[tuple[str, str], models.Trained] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))  # of pull requests
    planted: asyncio.Event = field(default_factory=asyncio.Event)  # set when git says what the releases run
    ahead: set[str] = field(default_factory=set)  # the stories that the others wait for
    others: asyncio.Event = field(default_factory=asyncio.Event)  # set when they may begin
    awaited: Callable[[Any], None] = print  # awaits the story of a test; set by conftest.py
    known: dict[tuple[str, str, str], Commit] = field(default_factory=dict)  # (head, app, env): asking git costs six processes
    _up: asyncio.Task[None] | None = None

    # -- setting

    async def up(self) -> None:
        """root.yaml is applied, once; everything is Synced and Healthy."""
        if self._up is None:
            self._up = asyncio.ensure_future(self._begin())
        await asyncio.shield(self._up)

    async def _begin(self) -> None:
        world = self.world
        began = time.monotonic()
        for found in await world.train(*VERSIONS):
            self.trained[found.wanted.app, found.wanted.version] = found
        self.times["models trained, or kept"] = time.monotonic() - began
        files = {f"overlays/{env}/common/rollout.yaml": (PLANS / f"{env}.yaml").read_text() for env in ENVIRONMENTS}
        files |= models.signing_keys(world.people.folder, world.keys, ENVIRONMENTS)
        for app in REAL:
            for env in ENVIRONMENTS:
                for name in ("model", "stable"):
                    path = f"{folder(app, env)}/{name}.yaml"
                    files[path] = models.named((world.people.folder / path).read_text(), self.trained[app, "1"])
        gates = "apps/credit/gates.yaml"
        files[gates] = (world.people.folder / gates).read_text().replace(*GATES)
        for app in self.apps:
            world.behave(app, "1")
            files |= self.new_app(app)
        await world.people.commit("The models that were trained here, and the stories' own apps", files)
        self.planted.set()
        began = time.monotonic()
        await world.apply_root()
        names = [f"{app}-{env}" for app in REAL for env in ENVIRONMENTS] + [f"{app}-prod" for app in self.apps]
        await self.settled(*names, "rollout-controller", "root", within=300)
        self.times["root applied -> everything Synced and Healthy"] = time.monotonic() - began
        await world.prometheus.scraping()

    def new_app(self, app: str, *environments: str) -> dict[str, str]:
        """A new app: one folder in apps/ and one per environment, made like credit's; version 1."""
        home, files = self.world.people.folder, {}
        sources = [home / "apps/credit/kustomization.yaml", home / "apps/credit/rollout.yaml"]
        for env in environments or ("prod",):
            sources += [path for path in sorted((home / "overlays" / env / "credit").rglob("*")) if path.is_file()]
        for source in sources:
            path = str(source.relative_to(home)).replace("/credit/", f"/{app}/")
            text = re.sub(r"\bcredit\b", app, source.read_text())
            files[path] = re.sub(r"(sha256: )\S+", rf"\g<1>{SHA}", text)
        for path in [path for path in files if path.startswith("apps/") and path.endswith("kustomization.yaml")]:
            digest = re.search(r"digest: sha256:\w+", (home / "apps/credit/kustomization.yaml").read_text())
            assert digest
            files[path] = re.sub(r"digest: sha256:\w+", digest[0], files[path])
        return files

    def let_go(self) -> None:
        """The others need not wait for this story any more."""
        task = asyncio.current_task()
        self.ahead -= {task.get_name()} if task else set()
        if not self.ahead:
            self.others.set()

    # -- git

    async def person(self, story: str, *, queues: bool = True) -> People:
        """A person's own clone. queues: pull requests wait for each other; otherwise the fastest push wins."""
        people = (Merging if queues else People)(self.world.people.remote, self.world.work / f"person-{story}", BRANCH)
        await people.clone()
        return people

    async def start(self, people: People, app: str, version: str, *more: str, uri: str = "") -> Commit:
        """A pull request made by `rollout start`, merged by squash."""
        trained = self.trained.get((app, version))
        digest = trained.sha256 if trained else SHA
        edit = [ROLLOUT, "start", f"prod/{app}", "--version", version, "--sha256", digest, *more]
        title = f"{app}(prod): start {version}"
        sha = await people.pull_request(title, next(self.numbers), [*edit, "--model-uri", uri or f"s3://models/{app}/{version}"])
        return next(commit for commit in await self.commits(app, "") if commit.sha == sha)

    async def asked_and_started(self, app: str) -> tuple[People, Commit]:
        """Clients of a story's own release, and the merged start of its version 2, which is as good; the person who merged it."""
        people = await self.person(app)
        self.world.behave(app, "2")
        self.load(app)
        return people, await self.start(people, app, "2")

    async def commits(self, app: str, since: str, env: str = "prod") -> list[Commit]:
        """The release's commits after one of them."""
        return await release_log(self.world.remote.repository, BRANCH, app, since, env)

    async def walked(self, app: str, since: str, env: str = "prod") -> list[tuple[str, str, int]]:
        """What the release went through after a commit."""
        return walk(await self.commits(app, since, env))

    async def signed(self, app: str, since: str) -> set[tuple[str, str]]:
        """Of a release's commits after one of them: author, and whose good signature it carries, if any."""
        world, key = self.world, Path(f"{self.world.variables['SIGNING']}.pub")
        signers = world.work / "allowed-signers"
        signers.write_text(f"rollout@example.com {key.read_text()}")
        words = ("-c", f"gpg.ssh.allowedSignersFile={signers}", "log", "--format=%an|%G?|%GS", f"{since}..{BRANCH}")
        said = await git(*words, "--", folder(app), cwd=world.remote.repository)
        found = [line.split("|") for line in said.splitlines()]
        return {(author, signer if good == "G" else "") for author, good, signer in found}

    async def now(self, app: str, env: str = "prod") -> Commit:
        """The release as the branch's head has it."""
        seen = (await self.world.remote.head(), app, env)
        if seen not in self.known:
            self.known[seen] = await now(self.world.remote.repository, BRANCH, app, env)
        return self.known[seen]

    async def rests(self, app: str, version: str, within: float = 240, env: str = "prod") -> Commit:
        """Wait until git, cluster and traffic agree on one version."""

        async def in_git() -> bool:
            state = await self.now(app, env)
            return not state.in_rollout and state.model == version

        await self.wait(f"{app} at rest on {version} in {env} in git", in_git, within)
        await self.split(app, {f"stable/{version}": 100}, within=90, env=env)
        await self.reached(app, env=env)
        await self.settled(f"{app}-{env}", within=90)

        async def alone() -> bool:  # a sync that was under way may put the canary back for a moment, which heals
            live = (await self.seldon(app, env))["spec"]["predictors"]
            return [(one["name"], one["annotations"]["version"]) for one in live] == [("stable", version)]

        await self.wait(f"{app}'s stable {version} alone in {env}", alone, 90)
        return await self.now(app, env)

    async def reached(self, app: str, within: float = 180, env: str = "prod") -> None:
        """Wait until Argo CD has compared the release's last commit, or a later one.

        Of two pushes in one second it may miss the second one's webhook; then it comes with timeout.reconciliation, a minute.
        """
        last = (await self.commits(app, "", env))[-1].sha

        async def probe() -> bool:
            revision = (await self.application(f"{app}-{env}")).get("sync", {}).get("revision", "")
            words = ("git", "merge-base", "--is-ancestor", last, revision)
            return bool(revision) and (await command(*words, cwd=self.world.remote.repository))[0] == 0

        await self.wait(f"Argo CD at {last[:10]}, {app}'s last commit", probe, within)

    # -- cluster

    async def wait(self, what: str, probe: Callable[[], Awaitable[bool]], within: float) -> float:
        """Wait while the stand-ins live; the seconds it took."""
        began = time.monotonic()

        async def checked() -> bool:
            self.world.check()
            return await probe()

        await until(what, checked, within, every=0.3)
        return time.monotonic() - began

    async def settled(self, *names: str, within: float = 120) -> dict[str, Any]:
        """Synced, Healthy, nothing under way."""
        return await self.world.argocd.settled(*names, within=within)

    async def application(self, name: str) -> dict[str, Any]:
        """An Application's status."""
        found = await self.world.admin.get(kube.APPLICATIONS, argocd.NAMESPACE, name)
        return (found or {}).get("status") or {}

    async def split(self, app: str, wanted: dict[str, int], within: float = 60, env: str = "prod") -> float:
        """Wait until Envoy splits so; the seconds it took."""

        async def probe() -> bool:
            return self.world.weights(f"{app}-{env}", app) == wanted

        return await self.wait(f"{app} split {wanted} in {env}", probe, within)

    async def seldon(self, app: str, env: str = "prod") -> dict[str, Any]:
        """The live SeldonDeployment."""
        found = await self.world.admin.get(kube.SELDON_DEPLOYMENTS, f"{app}-{env}", app)
        assert found is not None
        return found

    async def stop_load(self, app: str) -> Seconds:
        """Let the clients finish what is under way, however slow the machine; what they counted."""
        await self.world.processes.stop(self.world.loads.pop(app), grace=60)
        return self.client(app)

    async def canary(self, app: str, percent: int, within: float = 120, env: str = "prod") -> Commit:
        """Wait until git says so much for the canary."""

        async def probe() -> bool:
            state = await self.now(app, env)
            return state.in_rollout and state.canary == percent

        await self.wait(f"{app}'s canary at {percent} % in {env} in git", probe, within)
        return (await self.commits(app, "", env))[-1]

    def load(self, app: str, bodies: list[str] | None = None, rate: float = RATE) -> None:
        """Clients of a release, at a steady rate."""
        self.world.load(app, f"{app}-prod", app, bodies or ['{"inputs": []}'], rate)

    def client(self, app: str) -> Seconds:
        """What they counted."""
        return Seconds.read(self.world.logs / f"load-{app}.jsonl")

    async def second_controller(self) -> Process:
        """Another `rollout run`, with the same rights and a cache of its own; it looks at prod only."""
        world, home = self.world, self.world.work / "second"
        token = private(home / "token", await world.admin.token_of("rollout", "rollout-controller"))
        user = world.remote.users["rollout"]
        line = f"http://{user.name}:{user.password}@127.0.0.1:{world.remote.port}\n"
        passwords = private(home / "passwords", line)
        config = home / "gitconfig"
        config.write_text(f"[credential]\n\thelper = store --file={passwords}\n")
        words = ["run", "--repo", world.remote.url, "--env", "prod", "--prometheus", world.prometheus.url]
        words += [
            "--argocd",
            world.kubernetes.url,
            "--argocd-token-file",
            str(token),
            "--argocd-ca-file",
            str(world.kubernetes.ca),
        ]
        words += ["--interval", "1s", "--batch", "1s", "--cache", str(home / "cache.git"), "--log", "json"]
        words += ["--signing-key", world.variables["SIGNING"]]
        env = {**os.environ, "GIT_CONFIG_GLOBAL": str(config)}
        return world.processes.start("rollout.rollout-controller-second", [ROLLOUT, *words], env=env)

    def told(self, app: str) -> list[str]:
        """The controller's words about a release."""
        return [line["message"] for line in self._lines() if line.get("release") == f"prod/{app}"]

    def told_of_all(self) -> list[str]:
        """All of the controller's words."""
        return [line["message"] for line in self._lines()]

    def _lines(self) -> list[dict[str, Any]]:
        paths = self.world.logs.glob("rollout.rollout-controller-*.log")
        return [json.loads(line) for path in paths for line in path.read_text().splitlines() if line.startswith("{")]
