"""Does the canary predict differently from stable? The distribution of predictions over bins, arm against arm.

1. Null: in every batch no bin of predictions is more than r0 times as frequent in the canary as in stable. At r0 = 1
   that is "the same distribution in both arms", whatever it is, and it may change from batch to batch, for both.
   watch.py has the bet and its proof.
2. Two bets, chosen from the batches before: the ratios seen so far, and those seen lately, shrunk to 1 by some
   predictions per bin. They are ratios to what the batch's own margins lead to expect, so that a drift of both arms
   teaches nothing.
3. Dispersion: the same client asks again and gets the same prediction. Pearson's statistic of neighbouring batches of
   one arm says by how much (dispersion.py), the larger of the two arms' counts, and it is used from the next batch on.
4. The training reference is no input here. Inputs that drift from it do so in both arms, and never roll back a canary
   by themselves.

| bins low, middle, high; canary against stable   | shift |
|-------------------------------------------------|-------|
| 50, 30, 20 against 500, 300, 200                | no    |
| 20, 30, 50 against 200, 300, 500, an hour later | no    |
| 20, 30, 50 against 500, 300, 200                | yes   |
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate import dispersion
from rollout.gate.dispersion import Spread, spread
from rollout.gate.rules import RULES
from rollout.gate.watch import Watch, begun, checked, gain, grown, tolerable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollout.gate.rules import Rules

Sums = tuple[float, ...]


class Predicted(NamedTuple):
    """One batch: seconds, the plan's step (0 = the first), and how many predictions of each arm fell into each bin."""

    seconds: float
    step: int
    stable: tuple[int, ...]
    canary: tuple[int, ...]


class Memory(NamedTuple):
    """Per bin: the canary's predictions, what stable's distribution would have given it, and both for stable."""

    canary: Sums
    canary_expected: Sums
    stable: Sums
    stable_expected: Sums


class Predictions(NamedTuple):
    """What is known. canary, stable: counts per bin so far."""

    watch: Watch
    memories: tuple[Memory, ...]  # all, lately
    of_stable: Spread
    of_canary: Spread
    stable: tuple[int, ...]
    canary: tuple[int, ...]
    rules: Rules

    @property
    def value(self) -> float:
        """The e-value: the most that it was."""
        return self.watch.highest

    @property
    def phi(self) -> float:
        """Dispersion in force for the next batch, >= 1."""
        return max(self.of_stable.phi, self.of_canary.phi)


def begin(bins: int, history: Sequence[tuple[int, ...]] = (), rules: Rules = RULES) -> Predictions:
    """The state before the first batch, for 2 bins or more.

    history: stable's counts per bin in batches from before the start, oldest first; teaches its dispersion.
    """
    if bins < 2:
        raise ValueError(f"bins: {bins}; 2 or more would be right")
    seen = dispersion.CALM
    for counts in history:
        _binned("history", bins, counts)
        checked(0, 1.0, history=counts)
        seen = spread(seen, counts, rules)
    none = Memory(*((0.0,) * bins,) * 4)
    watch = begun(2, rules)
    return Predictions(watch, (none, none), seen._replace(waiting=None), dispersion.CALM, (0,) * bins, (0,) * bins, rules)


def observe(state: Predictions, batch: Predicted, tolerated: float = 1.0) -> Predictions:
    """The state after one more batch; `tolerated` is r0. Raises ValueError naming the field that cannot be."""
    bins, rules = len(state.stable), state.rules
    for name, counts in (("stable", batch.stable), ("canary", batch.canary)):
        _binned(name, bins, counts)
    checked(batch.step, batch.seconds, stable=batch.stable, canary=batch.canary)
    tolerable("tolerated", tolerated, 1, 1000)
    gains = None
    memories = state.memories
    if sum(batch.canary) and sum(batch.stable):
        phi = state.phi
        gains = [gain(batch.canary, batch.stable, ratios, tolerated) / phi for ratios in _bets(state)]
        fades = (1.0, exp(-batch.seconds / rules.lately))
        memories = tuple([_remembered(memory, batch, fade) for memory, fade in zip(memories, fades, strict=True)])
    return Predictions(
        grown(state.watch, gains, batch.step, batch.seconds, rules),
        memories,
        spread(state.of_stable, batch.stable, rules),
        spread(state.of_canary, batch.canary, rules),
        tuple([a + b for a, b in zip(state.stable, batch.stable, strict=True)]),
        tuple([a + b for a, b in zip(state.canary, batch.canary, strict=True)]),
        rules,
    )


def _bets(state: Predictions) -> list[list[float]]:
    """Rule 2: the ratios of each bet."""
    few = state.rules.bin_prior
    return [
        [(c + few) / (ec + few) * (es + few) / (s + few) for c, ec, s, es in zip(*memory, strict=True)]
        for memory in state.memories
    ]


def _remembered(memory: Memory, batch: Predicted, fade: float) -> Memory:
    share = sum(batch.canary) / (sum(batch.canary) + sum(batch.stable))
    both = [c + s for c, s in zip(batch.canary, batch.stable, strict=True)]
    new = (batch.canary, [share * t for t in both], batch.stable, [(1 - share) * t for t in both])
    return Memory(*(tuple([fade * o + n for o, n in zip(old, more, strict=True)]) for old, more in zip(memory, new, strict=True)))


def _binned(name: str, bins: int, counts: Sequence[int]) -> None:
    if len(counts) != bins:
        raise ValueError(f"{name}: {len(counts)} bins; {bins} as before would be right")
