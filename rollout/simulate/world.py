"""The world of one scenario, for many rollouts at once: who asked whom, and what failed, batch by batch.

- A batch lasts as long as the scrape interval, 15 s. Requests arrive by a Poisson process and are routed at random by the
  split in force; a split that changes within a batch counts for its part of it, which is exact for such a process.
- Rates that depend on time use the batch's middle.
- Errors in clumps of k: k times a Poisson of mean n p / k, at most n. Spells: a two-state Markov chain, the rate outside
  lowered so that the mean over time is the scenario's.
- `excess` is the expected number of bad requests beyond what stable would have served: n_c (p_c - p_s).
- `known` is the information of the batch, n_c KL(p_c || p_s) in nats: what a test that knew stable's rate could gain at most.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rollout.simulate.scenario import Scenario

WIDTH = 15.0  # seconds per batch, where a policy says nothing else
HISTORY = 1800.0  # seconds of stable's past
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Seen(NamedTuple):
    """One batch of every rollout, as it was counted, and what nobody sees: excess and known."""

    end: float
    stable: tuple[Ints, Ints, Ints]  # requests, errors, slow
    canary: tuple[Ints, Ints, Ints]
    data: Flags  # False: no sample of either arm
    up: bool
    excess: Floats
    known: Floats


def kl(p: Floats, q: Floats) -> Floats:
    """Kullback-Leibler divergence of Bernoulli p from Bernoulli q, in nats."""
    p, q = np.clip(p, 1e-12, 1 - 1e-12), np.clip(q, 1e-12, 1 - 1e-12)
    found: Floats = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return found


class World:
    """The world of `size` rollouts. It is asked for batch after batch with the shares in force."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator, size: int, width: float = WIDTH) -> None:
        self.scenario, self.rng, self.size, self.width = scenario, rng, size, width
        self._ill: Flags = rng.random(size) < (scenario.spells.part if scenario.spells else 0.0)
        self._held = np.zeros((3, size), np.int64)
        self._phase = rng.random(size)
        self._highest, self._rose = np.zeros(size), np.full(size, -np.inf)

    def keep(self, kept: Flags) -> None:
        """Forget the rollouts that are over."""
        self._ill, self._held, self._phase = self._ill[kept], self._held[:, kept], self._phase[kept]
        self._highest, self._rose = self._highest[kept], self._rose[kept]
        self.size = len(self._ill)

    def past(self) -> tuple[Ints, Ints]:
        """Stable's requests and errors per batch before the start, oldest first: (batches, rollouts)."""
        requests, errors = [], []
        for place in range(-round(HISTORY / self.width), 0):
            n, load = self._requests(place * self.width, np.ones(self.size))
            p, _ = self._rates(place * self.width, np.zeros(self.size), load)
            requests.append(n)
            errors.append(self._failed(n, p, "stable"))
        return np.array(requests), np.array(errors)

    def batch(self, begin: float, share: Floats) -> Seen:
        """The batch that begins `begin` seconds after the start, the canary having `share` (0..1) of the traffic."""
        its = np.minimum(share * self.scenario.off, 1.0)
        n_c, load = self._requests(begin, its)
        n_s = self._arrived(self.scenario.rate * self.width * load * (1 - its))
        p_s, p_c = self._rates(begin, share, load)
        e_s, e_c = self._failed(n_s, p_s, "stable"), self._failed(n_c, p_c, "canary")
        slow = self.scenario.slow or (0.0, 0.0)
        s_s, s_c = self.rng.binomial(n_s, slow[0]), self.rng.binomial(n_c, slow[1])
        excess, known = n_c * (p_c - p_s), n_c * kl(p_c, p_s)
        if self.scenario.slow:
            known = known + n_c * kl(np.full(1, slow[1]), np.full(1, slow[0]))
            excess = excess + n_c * (slow[1] - slow[0])
        counted, data, up = self._scraped(begin, np.array((n_c, e_c, s_c)))
        return Seen(begin + self.width, (n_s, e_s, s_s), (counted[0], counted[1], counted[2]), data, up, excess, known)

    def _base(self, when: float) -> float:
        scenario = self.scenario
        grown = 1 + (scenario.drift - 1) * min(1.0, max(0.0, when / 3600))
        rate = scenario.errors * grown
        outage = scenario.outage
        if outage and outage.at <= when < outage.at + outage.lasts:
            rate = max(rate, outage.errors)
        return min(1.0, rate)

    def _requests(self, begin: float, share: Floats) -> tuple[Ints, Floats]:
        """Requests for an arm with `share`, and the load, a multiple of its mean."""
        scenario = self.scenario
        load = np.ones(self.size)
        if scenario.wave:
            load += scenario.wave * np.sin(2 * np.pi * (begin / scenario.period + self._phase))
        if scenario.burst:
            shape = scenario.burst**-2
            load *= self.rng.gamma(shape, 1 / shape, self.size)
        return self._arrived(scenario.rate * self.width * load * share), load

    def _arrived(self, mean: Floats) -> Ints:
        k = self.scenario.session
        found: Ints = k * self.rng.poisson(mean / k)
        return found

    def _rates(self, begin: float, share: Floats, load: Floats) -> tuple[Floats, Floats]:
        """Error rates of stable and canary in the batch."""
        scenario, spells = self.scenario, self.scenario.spells
        p_s = np.full(self.size, self._base(begin + self.width / 2))
        there = (begin >= scenario.after) & (100 * share >= scenario.at - 1e-9) & (share > 0)
        if scenario.over:
            there = there & (load > scenario.over)
        p_c = np.where(there, p_s * scenario.ratio if scenario.canary is None else scenario.canary, p_s)
        if spells:
            change = self.rng.random(self.size)
            self._ill = np.where(self._ill, change >= self.width / spells.lasts, change < self.width / spells.every)
            factor = np.where(self._ill, spells.factor, 1.0) / (1 + (spells.factor - 1) * spells.part)
            if spells.arms in ("shared", "stable"):
                p_s = p_s * factor
            if spells.arms in ("shared", "canary"):
                p_c = p_c * factor
        cold = scenario.cold
        if cold:
            rose = (share > self._highest + 1e-9) & (begin - self._rose > 1.5 * self.width)  # a rise may take two batches
            self._rose = np.where(rose, begin, self._rose)
            self._highest = np.maximum(self._highest, share)
            part = np.clip((self._rose + cold.lasts - begin) / self.width, 0, 1)
            p_c = p_c + part * np.maximum(0.0, cold.errors - p_c)
        return np.minimum(p_s, 1.0), np.minimum(p_c, 1.0)

    def _failed(self, requests: Ints, rate: Floats, arm: str) -> Ints:
        k = self.scenario.clump if self.scenario.clump_arms in ("both", arm) else 1
        if k == 1:
            found: Ints = self.rng.binomial(requests, rate)
        else:
            found = np.minimum(requests, k * self.rng.poisson(requests * rate / k))
        return found

    def _scraped(self, begin: float, canary: Ints) -> tuple[Ints, Flags, bool]:
        """The canary's counts as they were scraped, whether there were any samples, whether the backend was up."""
        scenario = self.scenario
        if scenario.restart:
            canary = np.where(self.rng.random(self.size) < scenario.restart, 0, canary)
        if scenario.late:
            late = self.rng.random(self.size) < scenario.late
            canary, self._held = canary * ~late + self._held, canary * late
        data = np.ones(self.size, bool)
        if scenario.scrape:
            data = self.rng.random(self.size) >= scenario.scrape
        down = scenario.down
        return canary, data, not (down and down.at <= begin < down.at + down.lasts)
