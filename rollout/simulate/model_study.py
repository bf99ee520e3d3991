"""The model gates, by simulation: how often each alarms when nothing is wrong, and how much it must see when something is.

1. A walk is the default plan's: 5 %, then 25 % of the requests, batch by batch, into the production code of
   rollout.gate; it ends with the first alarm. Each gate's alarm is at 1/alpha of its part, all three and the default
   plan's harm tests sharing 1 %.
2. What it uses are predictions of the canary, mirrored requests, or labels of the canary, counted from the moment from
   which something is wrong; `to the alarm` is their mean over the walks that alarmed.
3. Each of them brings KL(canary || tolerated) nats. A test that alarms with probability at most alpha when nothing is
   wrong, and P here, needs d(P, alpha) nats on average (Wald 1945, with stable's distribution known): `bound` is how
   many that are, and efficiency = d(P, alpha) / the nats used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

import numpy as np

from rollout.gate import labels, mirrored, predictions
from rollout.gate.labels import Arrived, Label, Prediction
from rollout.gate.mirrored import Compared
from rollout.gate.predictions import Predicted
from rollout.gate.rules import slices
from rollout.plan import Gates
from rollout.simulate.model_scenario import Labels, Mirrored, ModelScenario, Predictions
from rollout.simulate.study import Figure, divergence, mean, wilson
from rollout.simulate.twin import Floats
from rollout.simulate.world import kl

HISTORY = 30  # batches of stable's past
NEED = slices(Gates(), ("predictions", "mirrored", "labels"))
Walk = Callable[[ModelScenario, np.random.Generator], "Ended"]


class Ended(NamedTuple):
    """One walk: whether it alarmed, at which second, what it used since something was wrong, and the nats of it."""

    alarmed: bool
    at: float
    used: int
    nats: float


class Batch(NamedTuple):
    """A batch's place in a walk: number, begin in seconds, plan index, canary's share, part of the walk, whether it is worse."""

    place: int
    begin: float
    step: int
    share: float
    part: float
    worse: bool


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One scenario. used, minutes: to the alarm, since something was wrong; None when there was none, as bound and efficiency."""

    scenario: str
    gate: str
    truth: str
    runs: int
    alarm: Figure
    used: Figure | None
    minutes: Figure | None
    bound: float | None
    efficiency: float | None


def _batches(scenario: ModelScenario) -> list[Batch]:
    count = round(scenario.lasts / scenario.batch)
    half = count / 2
    return [
        Batch(i, i * scenario.batch, int(i >= half), 0.05 if i < half else 0.25, i / count, i * scenario.batch >= scenario.after)
        for i in range(count)
    ]


def _arms(scenario: ModelScenario, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """Sessions of stable and of the canary in one batch."""
    sessions = scenario.rate * scenario.batch / scenario.session
    return int(rng.poisson(sessions * (1 - share))), int(rng.poisson(sessions * share))


def _predictions(scenario: ModelScenario, rng: np.random.Generator) -> Ended:
    what, k = scenario.what, scenario.session
    assert isinstance(what, Predictions)
    start, end = np.array(what.bins), np.array(what.becomes or what.bins)

    def drawn(sessions: int, p: Floats) -> tuple[int, ...]:
        return tuple((k * rng.multinomial(sessions, p)).tolist())

    past = [drawn(sum(_arms(scenario, 0.0, rng)), start) for _ in range(HISTORY)]
    state, used, nats = predictions.begin(len(what.bins), past), 0, 0.0
    for batch in _batches(scenario):
        moved = batch.part if what.jump is None else float(batch.begin >= what.jump)
        p_s = (1 - moved) * start + moved * end
        p_c = np.array(what.canary) if what.canary and batch.worse else p_s
        n_s, n_c = _arms(scenario, batch.share, rng)
        state = predictions.observe(
            state, Predicted(scenario.batch, batch.step, drawn(n_s, p_s), drawn(n_c, p_c)), what.tolerated
        )
        used += batch.worse * n_c * k
        nats += batch.worse * n_c * k * nearest(p_c, p_s, what.tolerated)
        if state.value >= NEED["predictions"]:
            return Ended(True, batch.begin + scenario.batch, used, nats)
    return Ended(False, scenario.lasts, used, nats)


def _mirrored(scenario: ModelScenario, rng: np.random.Generator) -> Ended:
    what, k = scenario.what, scenario.session
    assert isinstance(what, Mirrored)
    state, used, nats = mirrored.begin(), 0, 0.0
    for batch in _batches(scenario):
        sessions = int(rng.poisson(scenario.rate * scenario.batch * (1 - batch.share) * what.part / k))
        rate = what.disagree if batch.worse else min(what.disagree, what.tolerated)
        told = Compared(scenario.batch, batch.step, k * sessions, k * int(rng.binomial(sessions, rate)))
        state = mirrored.observe(state, told, what.tolerated)
        used += batch.worse * k * sessions
        nats += batch.worse * k * sessions * coins(rate, what.tolerated)
        if state.value >= NEED["mirrored"]:
            return Ended(True, batch.begin + scenario.batch, used, nats)
    return Ended(False, scenario.lasts, used, nats)


def _labels(scenario: ModelScenario, rng: np.random.Generator) -> Ended:
    what = scenario.what
    assert isinstance(what, Labels)
    state, used, nats = labels.begin(), 0, 0.0
    coming: dict[int, list[tuple[Label, float | None]]] = {}  # per batch; with the nats of a canary's that is worse
    for batch in _batches(scenario):
        p_s = what.wrong + (what.becomes - what.wrong) * batch.part
        p_c = what.canary if what.canary is not None and batch.worse else p_s
        brings = coins(p_c, min(1.0, what.tolerated * p_s))
        made: list[Prediction] = []
        for canary, sessions, p in zip((False, True), _arms(scenario, batch.share, rng), (p_s, p_c), strict=True):
            size = sessions * scenario.session
            wrong = np.repeat(rng.random(sessions) < p, scenario.session)
            delay = rng.exponential(1.0, size) * what.delay * np.where(wrong, what.bad, 1.0)
            arrives = ((batch.begin + rng.random(size) * scenario.batch + delay) // scenario.batch).astype(int).tolist()
            told = (rng.random(size) < what.part).tolist()
            twice = (rng.random(size) < what.again).tolist()
            for i, (bad, when, labelled, again) in enumerate(zip(wrong.tolist(), arrives, told, twice, strict=True)):
                name = f"{batch.place}-{canary:d}-{i}"
                made.append(Prediction(name, canary, 0))
                if labelled:
                    label = Label(name, int(bad))
                    coming.setdefault(when, []).append((label, brings if canary and batch.worse else None))
                    if again:
                        coming.setdefault(when + 1, []).append((label, None))
        now = coming.pop(batch.place, [])
        order = rng.permutation(len(now)).tolist()
        state = labels.observe(
            state, Arrived(scenario.batch, batch.step, tuple(made), tuple(now[i][0] for i in order)), what.tolerated
        )
        known = [brought for _, brought in now if brought is not None]
        used, nats = used + len(known), nats + sum(known)
        if state.value >= NEED["labels"]:
            return Ended(True, batch.begin + scenario.batch, used, nats)
    return Ended(False, scenario.lasts, used, nats)


WALKS: dict[str, Walk] = {"predictions": _predictions, "mirrored": _mirrored, "labels": _labels}


def coins(p: float, q: float) -> float:
    """KL of a coin p above the tolerated q from it, in nats; 0 below."""
    return float(kl(np.array(p), np.array(q))) if p > q else 0.0


def nearest(p_c: Floats, p_s: Floats, tolerated: float) -> float:
    """KL(p_c || q) in nats for the nearest q that is tolerated: min(r0 p_s, c p_c), for the c at which it sums to 1."""
    if (p_c <= tolerated * p_s).all():
        return 0.0
    there = p_c > 0
    p, most = p_c[there], np.maximum(tolerated * p_s[there], 1e-12)
    q = most
    if tolerated > 1:
        low, high = 1.0, 1e9
        while high > low * (1 + 1e-9):
            c = (low * high) ** 0.5
            low, high = (c, high) if np.minimum(most, c * p).sum() < 1 else (low, c)
        q = np.minimum(most, high * p)
    return max(0.0, float((p * np.log(p / q)).sum()))


def walks(scenario: ModelScenario, runs: int, seed: Sequence[int]) -> list[Ended]:
    """Walk it `runs` times."""
    rng = np.random.default_rng(list(seed))
    return [WALKS[scenario.gate](scenario, rng) for _ in range(runs)]


def row(scenario: ModelScenario, ended: Sequence[Ended]) -> ModelRow:
    """What became of the walks, in figures."""
    alarm = wilson(sum(each.alarmed for each in ended), len(ended))
    found = [each for each in ended if each.alarmed]
    nats, used = sum(each.nats for each in ended), sum(each.used for each in ended)
    bound = efficiency = None
    alpha = 1 / NEED[scenario.gate]
    if scenario.truth == "worse" and alarm.value > alpha and nats > 0:
        least = divergence(alarm.value, alpha)
        bound, efficiency = least * used / nats, least * len(ended) / nats
    since = scenario.after if scenario.truth == "worse" else 0.0
    return ModelRow(
        scenario=scenario.name,
        gate=scenario.gate,
        truth=scenario.truth,
        runs=len(ended),
        alarm=alarm,
        used=mean(np.array([float(each.used) for each in found])) if found else None,
        minutes=mean(np.array([(each.at - since) / 60 for each in found])) if found else None,
        bound=bound,
        efficiency=efficiency,
    )


class Work(NamedTuple):
    """A chunk of one row."""

    scenario: ModelScenario
    runs: int
    seed: tuple[int, ...]


def _worked(work: Work) -> list[Ended]:
    return walks(*work)


def table(scenarios: Sequence[ModelScenario], runs: int, seed: int, told: Callable[[ModelRow], None]) -> list[ModelRow]:
    """All scenarios, on all cores; `told` hears of every row as it is done. A seed gives the same table on any machine."""
    chunk = 100
    rows = []
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        parts = [
            pool.map(
                _worked,
                [
                    Work(each, min(chunk, runs - begin), (seed, crc32(each.name.encode()), begin))
                    for begin in range(0, runs, chunk)
                ],
            )
            for each in scenarios
        ]
        for each, part in zip(scenarios, parts, strict=True):
            rows.append(row(each, [ended for some in part for ended in some]))
            told(rows[-1])
    return rows
