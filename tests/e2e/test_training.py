"""From rows to staging: the pipeline's version, in a real bucket, merged as its bot proposed it, walked, and promoted."""

import asyncio
import os
import secrets
import time

import pytest
import yaml

from lab import s3
from lab.controlplane.kubernetes import private
from lab.controlplane.world import BRANCH
from lab.pipeline import Bot, propose
from lab.processes import free_port, until
from lab.render import git
from lab.story import folder
from model.signature import PRIVATE

from .stage import ROLLOUT

APP = "credit"


async def bucket(stage):
    """An S3 server that holds what the releases run; what the model initializer is told of it."""
    world, port = stage.world, free_port()
    words = [str(s3.PYTHON), "-m", "lab.s3", "serve", str(port), str(world.store)]
    server = world.processes.start("s3", words, env={**os.environ, "PYTHONPATH": str(world.source)})

    async def serving():
        return "serving" in server.log.read_text().splitlines()

    await until("the bucket", serving, 60, server)
    return s3.rclone(port, "models", secrets.token_hex(16))


async def of_git(stage, env):
    """What a release runs, as git says it."""
    text = await git("show", f"{BRANCH}:{folder(APP, env)}/stable.yaml", cwd=stage.world.remote.repository)
    return yaml.safe_load(text)["spec"]


@pytest.mark.first
async def test_a_trained_version_is_merged_walks_in_dev_is_promoted_and_walks_in_staging(stage):
    world, cluster = stage.world, asyncio.ensure_future(stage.up())
    await stage.planted.wait()
    people = await stage.person("training")
    told = await bucket(stage)
    bot = Bot(
        world.processes, people.remote, world.work / "bot", {"MODEL_STORE": "s3://models"} | s3.aws(told), world.keys / PRIVATE
    )
    began = time.time()
    proposed = await propose(bot, APP, "dev", "auc")
    stage.times["training -> pull request"] = time.time() - began
    version = proposed.trained.wanted.version
    assert version == "3"  # the bucket holds 1 and 2
    made = {"version": version, "modelUri": f"s3://models/{APP}/{version}", "sha256": proposed.trained.sha256}

    stage.let_go()
    await cluster
    await stage.others.wait()
    world.variables["STORE"] = str(private(world.work / "store", "".join(f"{name}={value}\n" for name, value in told.items())))
    for env in ("dev", "staging"):
        world.variables["NAMESPACE"] = f"{APP}-{env}"
        await world.step("store")
    began, before = time.time(), (await stage.now(APP, "dev")).sha
    await people.merge(proposed.branch, f"{APP}(dev): start {version}", next(stage.numbers), proposed.text)
    await stage.rests(APP, version, env="dev")
    assert (await stage.walked(APP, before, "dev"))[0] == (version, "1", 0)
    assert await of_git(stage, "dev") == made

    before = (await stage.now(APP, "staging")).sha
    promote = [ROLLOUT, "promote", APP, "--from", "dev", "--to", "staging"]
    await people.pull_request(f"{APP}(staging): start {version}", next(stage.numbers), promote)
    step = await stage.canary(APP, 25, env="staging")
    await stage.split(APP, {"stable/1": 75, f"canary/{version}": 25}, env="staging")
    stage.times["step commit -> weights applied, in staging"] = time.time() - step.time
    await stage.rests(APP, version, env="staging")
    stage.times["that merged in dev -> promoted, and at rest in staging"] = time.time() - began
    walked = await stage.walked(APP, before, "staging")
    assert [canary for _, _, canary in walked] == [0, 25, 25, 0, 0]
    assert await of_git(stage, "staging") == made
    for env in ("dev", "staging"):  # their Pods fetched it from the bucket, and their servers verified it before they served
        assert list(world.logs.glob(f"{APP}-{env}.*-initializer.log"))
