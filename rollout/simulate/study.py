"""The closed loop: many rollouts of one scenario under one policy, and what became of them.

1. A rollout begins with the commit, or the call, of its first split. The split in force follows the policy's decisions after
   the policy's delay; requests follow the split in force.
2. It ends when an abort or the completion is in force, or is held at the horizon, two hours after the start.
3. Bad requests are the expected ones beyond what stable would have served, until the horizon: a version that was let
   through keeps costing until then.
4. Information: the sum of n_c KL(p_c || p_s) over the canary's requests until the decision, in nats. Any test that aborts a
   canary like stable with probability at most alpha, and this one with probability P, needs d(P, alpha) on average, d being
   the divergence of two coins (Wald 1945, with stable's rate known). efficiency = d(P, alpha) / what was used.
5. Seeds: one stream per scenario, policy and chunk, so a table does not depend on how many processes made it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import log, sqrt
from typing import NamedTuple
from zlib import crc32

import numpy as np

from rollout.simulate.policies import ABORT, COMPLETE, NOTHING, STEPS, Policy, Start
from rollout.simulate.scenario import Scenario
from rollout.simulate.twin import Flags, Floats, Ints
from rollout.simulate.world import WIDTH, World

HORIZON = 7200.0  # seconds
CHUNK = 2500
ALPHA = 0.01
IN_TIME = 1.2 * sum(step.dwell for step in STEPS) / 60  # minutes
Make = Callable[[Start], Policy]


class Ended(NamedTuple):
    """Per rollout: ABORT, COMPLETE or NOTHING (held); minutes until that was in force; bad requests; nats; canary requests."""

    outcome: Ints
    minutes: Floats
    bad: Floats
    nats: Floats
    requests: Floats


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario under one policy. minutes: to the verdict, of those that have one; efficiency: None when there is no harm.

    in_time: part of all runs that was complete within 1.2 times ours' dwells.
    """

    scenario: str
    policy: str
    truth: str
    runs: int
    abort: Figure
    complete: Figure
    hold: Figure
    bad: Figure
    minutes: Figure | None
    in_time: float
    requests: float
    efficiency: float | None


@dataclass(slots=True)
class _Split:
    """The split in force, in percent, and the one that is on its way, for the rollouts that are left."""

    now: Floats
    coming: Floats
    at: Floats
    width: float

    def share(self, begin: float) -> Floats:
        """The mean share over the batch that begins now, 0..1; afterwards `now` is what is in force at its end."""
        part = np.clip((begin + self.width - self.at) / self.width, 0, 1)
        share: Floats = (self.now * (1 - part) + self.coming * part) / 100
        self.now = np.where(self.at <= begin + self.width, self.coming, self.now)
        return share

    def ask(self, who: Flags, percent: Ints, when: Floats) -> None:
        """Another split, from `when` on; one that is still on its way then is overtaken, and this one arrives with it."""
        self.coming = np.where(who, percent, self.coming)
        self.at = np.where(who, when, self.at)

    def keep(self, kept: Flags) -> None:
        """Forget the rollouts that are over."""
        self.now, self.coming, self.at = self.now[kept], self.coming[kept], self.at[kept]


def run(scenario: Scenario, make: Make, size: int, seed: Sequence[int], horizon: float = HORIZON) -> Ended:
    """Walk `size` rollouts to their ends."""
    rng = np.random.default_rng(list(seed))
    width = float(getattr(make, "width", WIDTH))
    world = World(scenario, rng, size, width)
    policy = make(Start(scenario, *world.past(), rng))
    batches = round(horizon / width)
    tail = _tail(World(scenario, np.random.default_rng([*seed, 1]), 200, width), batches)
    split = _Split(np.zeros(size), np.full(size, float(policy.first)), policy.begins(), width)
    left = np.arange(size)
    outcome, minutes = np.full(size, NOTHING), np.full(size, np.nan)
    bad, nats, requests = np.zeros(size), np.zeros(size), np.zeros(size)
    for k in range(batches):
        begin = k * width
        seen = world.batch(begin, split.share(begin))
        bad[left] += seen.excess
        open_ = outcome[left] == NOTHING
        nats[left] += open_ * seen.known
        requests[left] += open_ * seen.canary[0]
        asked = policy.look(begin, seen)
        asks = open_ & (asked != NOTHING)
        when = policy.arrives(seen.end)
        split.ask(asks, asked, when)
        ends = asks & ((asked == ABORT) | (asked == COMPLETE))
        outcome[left[ends]] = asked[ends]
        minutes[left[ends]] = when[ends] / 60
        over = (outcome[left] != NOTHING) & (split.at <= seen.end)
        if over.any() and (k % 10 == 9 or over.all()):
            gone = left[over & (outcome[left] == COMPLETE)]
            bad[gone] += tail[k + 1]
            kept = ~over
            left = left[kept]
            world.keep(kept)
            split.keep(kept)
            policy.keep(kept)
        if not len(left):
            break
    return Ended(outcome, minutes, bad, nats, requests)


def _tail(world: World, batches: int) -> Floats:
    """The expected excess from each batch to the horizon, all traffic being on the new version: the mean of the worlds'."""
    all_of_it = np.ones(world.size)
    each = np.array([float(world.batch(k * world.width, all_of_it).excess.mean()) for k in range(batches)] + [0.0])
    return each[::-1].cumsum()[::-1]


def row(scenario: Scenario, name: str, ended: Ended) -> Row:
    """What became of the rollouts, in figures."""
    outcome, minutes = ended.outcome, ended.minutes
    runs = len(outcome)
    abort = wilson(int((outcome == ABORT).sum()), runs)
    told = minutes[~np.isnan(minutes)]
    used = float(ended.nats.mean())
    harmful = scenario.truth == "worse" and abort.value > ALPHA and used > 0
    done = minutes[outcome == COMPLETE]
    return Row(
        scenario=scenario.name,
        policy=name,
        truth=scenario.truth,
        runs=runs,
        abort=abort,
        complete=wilson(int((outcome == COMPLETE).sum()), runs),
        hold=wilson(int((outcome == NOTHING).sum()), runs),
        bad=mean(ended.bad),
        minutes=mean(told) if len(told) else None,
        in_time=float((done <= IN_TIME).mean()) * len(done) / runs if len(done) else 0.0,
        requests=float(ended.requests.mean()),
        efficiency=divergence(abort.value, ALPHA) / used if harmful else None,
    )


def wilson(hits: int, of: int) -> Figure:
    """A proportion with Wilson's 95 % interval (Wilson 1927)."""
    z, p = 1.96, hits / of
    middle, half = (p + z * z / 2 / of), z * sqrt(p * (1 - p) / of + z * z / 4 / of / of)
    whole = 1 + z * z / of
    return Figure(p, max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole))


def mean(values: Floats) -> Figure:
    """A mean with its 95 % interval by the normal."""
    middle = float(values.mean())
    half = 1.96 * float(values.std()) / sqrt(len(values))
    return Figure(middle, middle - half, middle + half)


def divergence(p: float, q: float) -> float:
    """d(p, q) of two coins, in nats."""
    p = min(max(p, 1e-12), 1 - 1e-12)
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))


class Work(NamedTuple):
    """One row to make. stream: rows of one stream and scenario see the same draws as long as they decide the same."""

    scenario: Scenario
    policy: str
    make: Make
    runs: int
    seed: int
    stream: str


def table(
    scenarios: Sequence[Scenario],
    policies: Mapping[str, Make],
    runs: int,
    seed: int,
    told: Callable[[Row], None],
    stream: str = "",
) -> list[Row]:
    """All scenarios under all policies, on all cores; `told` hears of every row as it is done. stream: one for all policies."""
    work = [Work(scenario, name, make, runs, seed, stream or name) for scenario in scenarios for name, make in policies.items()]
    rows = []
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for made in pool.map(made_row, work):
            told(made)
            rows.append(made)
    return rows


def made_row(work: Work) -> Row:
    """Make one row, in chunks that fit the processor's cache."""
    name = work.scenario.name
    seed = (work.seed, crc32(name.encode()), crc32(work.stream.encode()))
    sizes = [min(CHUNK, work.runs - begin) for begin in range(0, work.runs, CHUNK)]
    parts = [run(work.scenario, work.make, size, (*seed, chunk)) for chunk, size in enumerate(sizes)]
    return row(work.scenario, work.policy, Ended(*(np.concatenate(columns) for columns in zip(*parts, strict=True))))
