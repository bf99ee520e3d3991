"""Lines for `rollout backtest`: rollouts as they might have been, each made by walking the plan with the controller's own gate.

- A run sends 5 to 500 requests/s, of which 0.02 to 1 % fail; the canary of every fifth fails five times as often.
- Every batch is drawn anew; in one of two hundred an arm was not scraped.
- A run's lines end where it does, or after three hours, so that no line is answered without a thought. Runs interleave.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from random import Random

import msgspec

from rollout import gate
from rollout.backtest import Line, Run, read_plan
from rollout.plan import Plan

WIDTH, HISTORY, LONGEST = 15, 120, 3 * 3600  # seconds of a batch; batches before the start; seconds of a run


def lines(plan: Path, runs: int) -> Iterator[str]:
    """Yield the lines of `runs` rollouts."""
    parsed = read_plan(plan)
    for together in zip_longest(*(_run(parsed, number) for number in range(runs))):
        yield from (line for line in together if line is not None)


def _run(plan: Plan, number: int) -> Iterator[str]:
    chance = Random(number)
    rate = math.exp(chance.uniform(math.log(5), math.log(500))) * WIDTH
    failing = math.exp(chance.uniform(math.log(0.0002), math.log(0.01)))
    worse = 5 * failing if number % 5 == 4 else failing
    past = [_drawn(chance, rate, failing) for _ in range(HISTORY)]
    run = Run(plan, gate.begin(plan.gates, past))
    for place in range(1, LONGEST // WIDTH + 1):
        share = run.traffic / 100
        arms = {"stable": _drawn(chance, rate * (1 - share), failing), "canary": _drawn(chance, rate * share, worse)}
        told = {name: None if chance.random() < 0.005 else {"requests": n, "errors": e} for name, (n, e) in arms.items()}
        before = {"history": {"batches": past}} if place == 1 else {}
        line = json.dumps({"run": f"run-{number}", "t": place * WIDTH, **told, **before})
        yield line
        run.answer(msgspec.json.decode(line, type=Line))
        if run.ended is not None:
            return


def _drawn(chance: Random, mean: float, failing: float) -> tuple[int, int]:
    requests = _poisson(chance, mean)
    return requests, min(_poisson(chance, requests * failing), requests)


def _poisson(chance: Random, mean: float) -> int:
    if mean > 50:
        return max(round(chance.gauss(mean, math.sqrt(mean))), 0)
    count, product, limit = 0, chance.random(), math.exp(-mean)
    while product > limit:
        count, product = count + 1, product * chance.random()
    return count
