"""The story, for real: a good version walks to 100 %, a bad one is aborted, the good one's pull request is reverted.

Every chapter ends with what must have happened, read from git and from what clients were really served. Exit code 0
means that all of it did. What is left in out/demo/: report.html, report.json, repo.git, models/, logs/, and train/ with the
pull requests' texts and cards.
"""

import asyncio
import itertools
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from lab import models, pipeline, report
from lab.narrate import Narrator, say
from lab.people import AUTHOR
from lab.processes import LabError
from lab.render import command, git
from lab.setting import APPS, GATES, LATER, PLAN, RATE, VERSIONS, Demo
from lab.story import Commit, Seconds, folder, need, now, walk
from lab.world import BRANCH, World


async def first_versions(demo: Demo) -> None:
    """Train and commit version 1, have the pipeline propose version 2, serve."""
    world = demo.world
    train = asyncio.create_task(models.train_all(VERSIONS, world.store, world.keys))
    questions = {app: await models.questions(app) for app in APPS}
    told(demo, await train)
    gates = {
        path: (world.people.folder / path).read_text().replace(*GATES) for path in (f"apps/{app}/gates.yaml" for app in APPS)
    }
    pace = {"overlays/prod/common/rollout.yaml": PLAN, **gates}
    demo.base = await world.people.commit("The demo's pace: prod's dwells in seconds, a gate for a busy machine", pace)
    files = models.signing_keys(world.people.folder, world.keys, ("prod",))
    for app in APPS:
        for name in ("model", "stable"):
            path = f"{folder(app)}/{name}.yaml"
            files[path] = models.named((world.people.folder / path).read_text(), demo.trained[app, "1"])
    demo.base = await world.people.commit("The models that were trained here: version 1 of every app", files)
    say("   python -m pipelines train: both learners, judged, signed, published, registered, proposed; for each app")
    for app, bots in (
        await pipeline.propose_all(pipeline.Bot.of(world), "prod", {app: demo.trained[app, "1"].metric for app in APPS})
    ).items():
        demo.proposed[app, bots.trained.wanted.version] = bots
        told(demo, [bots.trained])
    told(demo, await models.train_all(LATER, world.store, world.keys))
    world.serve()
    await world.healthy(*(f"{app}-prod" for app in APPS), within=90)
    await world.prometheus.scraping()
    for app in APPS:
        world.start_load(app, f"{app}-prod", app, questions[app], RATE)
    await world.start_controller()
    for app in APPS:
        await demo.at_rest(app, "1", 30)


def told(demo: Demo, trained: Iterable[models.Trained]) -> None:
    """Say what was trained, and remember it."""
    for found in trained:
        demo.trained[found.wanted.app, found.wanted.version] = found
        how = "kept from an earlier run" if found.cached else f"trained in {found.seconds:.0f} s"
        what = f"{found.metric} {found.value:.4f}, {found.rows} rows ({found.data} data), sha256 {found.sha256[:12]}"
        say(f"   {found.wanted.app} {found.wanted.version}: {how}; {what}")


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
    _, delivery, _ = await command(rollout, "dora", "--repo", str(demo.world.remote))
    bot = pipeline.Bot.of(demo.world)
    ended = await asyncio.gather(*(pipeline.runs(bot, app) for app in APPS))
    demo.delivery = "\n".join([delivery.strip(), "", *(f"{said}." for said in ended)])
    say(f"   rollout dora:\n{delivery.rstrip()}")


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
