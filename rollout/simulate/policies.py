"""Who decides: ours, and the gates people use today, side by side. Each says what to do after every batch of 15 s.

| policy          | plan                       | aborts when                                                               |
|-----------------|----------------------------|---------------------------------------------------------------------------|
| ours            | 5 % 30 min, 25 % 30 min    | the gate says harmful (rollout.gate by its twin, rollout.decide's rule)   |
| ours-polling    | the same                   | the same; Argo CD polls git instead of being told                         |
| flagger         | 10, 20 .. 50 %, 1 min each | 5 checks failed: success rate of the last minute below 99 %               |
| argo-inline     | 20 % 5 min                 | one look after that: success rate below 95 %                              |
| argo-background | 20, 40, 60, 80 %, 10 min   | 4 looks failed of one every 5 min from 40 % on: below 95 %                |
| kayenta         | as ours                    | Mann-Whitney at the end of a dwell says high                              |
| z-test          | as ours                    | two-proportion z test at the end of a dwell, one-sided 1 %                |
| z-test-peeking  | as ours                    | the same, looked at every minute                                          |

- Every policy pays its own delay from the end of the data to the split in force (`delay`). All scrape every 15 s, so data
  are 0 to 15 s old. Ours besides: 3 s until a batch is complete, a tick every 15 s, 1 s to decide and push, then Argo CD: 3 s
  with a webhook (assumed), up to 180 s when it polls (its default), and 0.25 s for the weights (measured). The
  others act on the cluster directly: 1 s.
- Where a user would have tuned them: the thresholds 99 % and 95 % to the service's own error rate, the looks to its traffic.
"""

from __future__ import annotations

from copy import deepcopy
from math import sqrt
from typing import NamedTuple

import numpy as np

from rollout.gate import RULES, Rules
from rollout.plan import Gates, Plan, Step
from rollout.simulate.scenario import Scenario
from rollout.simulate.twin import HARMFUL, SAFE, Flags, Floats, Gate, Ints, Kept
from rollout.simulate.world import WIDTH, Seen

NOTHING, ABORT, COMPLETE = -1, 0, 100  # what a look may ask for, besides another percent
STEPS = (Step(5, 1800.0), Step(25, 1800.0), Step(100, 0.0))
WEBHOOK, POLL, WEIGHTS, DIRECT = 3.0, 180.0, 0.25, 1.0  # seconds; see above


class Start(NamedTuple):
    """What a policy is made from: stable's past (batches, rollouts) of requests and errors."""

    scenario: Scenario
    requests: Ints
    errors: Ints
    rng: np.random.Generator


class Policy(Kept):
    """One policy for many rollouts. `first`: the canary's first percent. look: what to do, per rollout."""

    first = 5
    width = WIDTH

    def __init__(self, start: Start) -> None:
        self.size = start.requests.shape[1]
        self._rng = start.rng
        self.age = start.rng.random(self.size) * self.width

    def look(self, begin: float, seen: Seen) -> Ints:
        """Take in the batch that began at `begin`; return NOTHING, ABORT, COMPLETE or a percent for each rollout."""
        raise NotImplementedError

    def arrives(self, end: float) -> Floats:
        """When a split is in force that was asked for in the last look, at a batch that ended at `end`."""
        when: Floats = np.add(end, self.age + DIRECT)
        return when

    def begins(self) -> Floats:
        """When the first split is in force, in seconds after the start."""
        return self.arrives(0.0) - self.age

    def keep(self, kept: Flags) -> None:
        """Forget the rollouts that are over."""
        super().keep(kept)
        self.size = int(kept.sum())


class Ours(Policy):
    """The production gate's twin with judge_step's table; the verdict deadline lies beyond the horizon."""

    sync = WEBHOOK
    polls = 0.0

    def __init__(self, start: Start, plan: Plan | None = None, rules: Rules = RULES) -> None:
        super().__init__(start)
        budget = 0.5 if start.scenario.slow else None
        self.plan = plan or Plan(steps=STEPS, gates=Gates(latency_budget=budget))
        self.first = self.plan.steps[0].canary
        self.percents = [step.canary for step in self.plan.steps]
        self.dwells = [step.dwell for step in self.plan.steps]
        self.age = self.age + min(self.width / 2, 3.0) + start.rng.random(self.size) * self.width
        self.gate = Gate(self.plan.gates, start.requests, start.errors, rules)
        self.step, self.before = np.zeros(self.size, np.int64), np.zeros(self.size, np.int64)
        self.committed = np.zeros(self.size)
        self.real = np.zeros(self.size)
        self.rose = np.ones(self.size, bool)
        self.entry = deepcopy(self.gate.share)

    def look(self, begin: float, seen: Seen) -> Ints:
        """See Policy. A batch belongs to the step whose commit came before it began."""
        at = np.where(self.committed <= begin, self.step, self.before)
        enters = at != self.gate.step
        if enters.any():
            self.entry.take(self.gate.share, enters)
        counts = [tuple(np.where(seen.data, column, 0) for column in arm) for arm in (seen.stable, seen.canary)]
        shut = np.isinf(self.gate.opened) | enters
        routed = ~shut | (begin >= self.real)
        up = np.full(self.size, seen.up) & seen.data
        self.gate.observe(
            seen.end, self.width, (at, np.take(self.percents, at)), counts[0], counts[1], (seen.data, seen.data), up, routed
        )
        self._opened(shut & ~np.isinf(self.gate.opened))
        verdict = self.gate.verdict()
        onward = (at == self.step) & (verdict == SAFE) & (self.gate.dwelt >= np.take(self.dwells, self.step))
        found = np.where(onward, np.take(self.percents, self.step + 1, mode="clip"), NOTHING)
        found = np.where(verdict == HARMFUL, ABORT, found)
        self.rose = onward & (found > 0) & (found < 100)
        self.before = np.where(self.rose, self.step, self.before)
        self.step = np.where(self.rose, self.step + 1, self.step)
        self.committed = np.where(self.rose, seen.end + self.age + 1.0, self.committed)
        return found

    def arrives(self, end: float) -> Floats:
        """See Policy."""
        poll = self._rng.random(self.size) * self.polls if self.polls else 0.0
        when: Floats = np.add(end + 1.0 + self.sync + poll + WEIGHTS, self.age)
        self.real = np.where(self.rose, when + 10.0, self.real)  # settle
        return when

    def _opened(self, opening: Flags) -> None:
        """As follow.Follower._open: what Argo CD said of `routed` before a window opened is forgotten, and its evidence."""
        if not opening.any():
            return
        share = self.gate.share
        for mine, its in ((share.bets, self.entry.bets), (share.clock, self.entry.clock), (share.seen, self.entry.seen)):
            mine.take(its, opening)
        share.routed = np.where(opening, 0.0, share.routed)


class Polling(Ours):
    """Ours, where Argo CD is not told of a commit and polls: up to 180 s (timeout.reconciliation, Argo CD's default)."""

    polls = POLL


class Fast(Ours):
    """Ours, where Prometheus scrapes and the controller looks every 5 s (`rollout run --batch 5s --interval 5s`)."""

    width = 5.0


class Minutes(Policy):
    """What asks Prometheus every so often: sums of the last batches."""

    keeps = 4  # batches: one minute

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.recent = np.zeros((self.keeps, 4, self.size))  # requests, errors of canary, of stable
        self.slow = np.zeros((self.keeps, self.size))
        self.ever = np.zeros(self.size, bool)
        self.looks = 0

    def look(self, begin: float, seen: Seen) -> Ints:
        """See Policy."""
        now = np.array((*seen.canary[:2], *seen.stable[:2])) * seen.data
        self.recent = np.concatenate((self.recent[1:], now[None].astype(float)))
        self.slow = np.concatenate((self.slow[1:], (seen.canary[2] * seen.data)[None]))
        self.ever |= now[0] > 0
        self.looks += 1
        return self.decide(seen)

    def decide(self, seen: Seen) -> Ints:
        """What to do after this batch."""
        raise NotImplementedError


class Flagger(Minutes):
    """Flagger's canary example: interval 1m, threshold 5, maxWeight 50, stepWeight 10, request-success-rate min 99 over 1m.

    fluxcd/flagger docs/gitbook/tutorials/istio-progressive-delivery.md at 9a5328b (v1beta1); pkg/controller/scheduler.go at
    0016895: a failed check halts and adds one to failedChecks, which nothing takes back; the tick after it has reached the
    threshold rolls back; a passed check at maxWeight promotes. No series, or a query that fails, is a failed check; a canary
    without a request in the minute gives 0/0, NaN, and NaN < 99 is false: passed (pkg/metrics/providers/prometheus.go at
    0dc6f33). request-duration max 500 of the P99 fails when over 1 % of requests were over 500 ms.
    """

    first = 10

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.weight, self.failed = np.full(self.size, 10), np.zeros(self.size, np.int64)

    def decide(self, seen: Seen) -> Ints:
        """See Minutes."""
        found = np.full(self.size, NOTHING)
        if self.looks % 4:
            return found
        requests, errors = self.recent[:, 0].sum(0), self.recent[:, 1].sum(0)
        bad = (requests - errors < 0.99 * requests) | (self.slow.sum(0) > 0.01 * requests) | ~self.ever
        bad = bad | (not seen.up)
        rolls = self.failed >= 5
        good = ~rolls & ~bad
        found[rolls] = ABORT
        found[good & (self.weight >= 50)] = COMPLETE
        rises = good & (self.weight < 50)
        self.weight = self.weight + 10 * rises
        found[rises] = self.weight[rises]
        self.failed = self.failed + (~rolls & bad)
        return found


class ArgoInline(Minutes):
    """Argo Rollouts' example of analysis as a step: setWeight 20, pause 5m, one measurement, result >= 0.95, then 100 %.

    argoproj/argo-rollouts docs/features/analysis.md, "Analysis at a Predefined Step". The query is of irate, the last two
    samples: one batch. failureLimit 0: one failed measurement aborts. No request gives NaN, and NaN >= 0.95 is false: failed.
    An error is asked again every 10 s, here every batch; after more than 4 in a row the run is an error, which aborts
    (analysis/analysis.go).
    """

    first = 20
    keeps = 1

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.errors = np.zeros(self.size, np.int64)

    def measured(self, seen: Seen) -> tuple[Flags, Flags]:
        """Whether the measurement succeeds, and whether it is an error instead."""
        requests, errors = self.recent[-1, 0], self.recent[-1, 1]
        return (requests > 0) & (requests - errors >= 0.95 * requests), np.full(self.size, not seen.up)

    def decide(self, seen: Seen) -> Ints:
        """See Minutes."""
        if self.looks < 300 / WIDTH:
            return np.full(self.size, NOTHING)
        good, error = self.measured(seen)
        self.errors = self.errors + error
        asked_again = np.where(self.errors > 4, ABORT, NOTHING)
        return np.where(error, asked_again, np.where(good, COMPLETE, ABORT))


class ArgoBackground(ArgoInline):
    """Argo Rollouts' example of background analysis: 20, 40, 60, 80 % of 10m each, then 100 %; interval 5m, failureLimit 3.

    argoproj/argo-rollouts docs/features/analysis.md, "Background Analysis": startingStep 2, so from 40 % on. Its text says
    three failed measurements, its controller (analysis/analysis.go) fails a run at failed > failureLimit, so at the fourth;
    that is what runs.
    """

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.failed = np.zeros(self.size, np.int64)

    def decide(self, seen: Seen) -> Ints:
        """See Minutes."""
        found = np.full(self.size, NOTHING)
        minute = self.looks * WIDTH / 60
        if minute >= 10 and minute % 5 == 0:
            good, error = self.measured(seen)
            self.failed = self.failed + (~good & ~error)
            self.errors = np.where(error, self.errors + 1, 0)
        if minute % 10 == 0 and minute <= 40:
            found[:] = min(100, 20 + 2 * int(minute))
        found[(self.failed > 3) | (self.errors > 4)] = ABORT
        return found


class Dwells(Minutes):
    """Steps as ours, judged by what was counted within the step."""

    peeks = 120  # batches from look to look: the dwell

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.second = np.zeros(self.size, bool)
        self.inside = 0
        self.counts = np.zeros((4, self.size))
        self.minutes: list[Floats] = []

    def keep(self, kept: Flags) -> None:
        """Forget the rollouts that are over."""
        super().keep(kept)
        self.minutes = [minute[:, kept] for minute in self.minutes]

    def decide(self, seen: Seen) -> Ints:
        """See Minutes. All rollouts that are left are at the same step."""
        found = np.full(self.size, NOTHING)
        self.inside += 1
        self.counts = self.counts + self.recent[-1]
        if self.inside % 4 == 0:
            self.minutes.append(self.recent.sum(0))
        if self.inside % self.peeks and self.inside < 120:
            return found
        worse = self.worse()
        if self.inside == 120:
            found[:] = COMPLETE if self.second.all() else 25
            self.second[:] = True
            self.inside, self.minutes = 0, []
            self.counts = np.zeros((4, self.size))
        found[worse] = ABORT
        return found

    def worse(self) -> Flags:
        """Whether the canary is called worse now."""
        raise NotImplementedError


class ZTest(Dwells):
    """Two-proportion z test with the pooled variance, one-sided at 1 %, once, at the end of each dwell.

    Fleiss, Levin, Paik, Statistical Methods for Rates and Proportions, 3rd edition, chapter 3. No error or no request: not worse.
    """

    limit = 2.3263  # the normal's 99 % quantile

    def worse(self) -> Flags:
        """See Dwells."""
        return z_score(self.counts) > self.limit


class PeekingZTest(ZTest):
    """The same test, looked at every minute."""

    peeks = 4


def z_score(counts: Floats) -> Floats:
    """Return z of the canary's error rate over stable's; counts: requests and errors of canary, then of stable."""
    n_c, e_c, n_s, e_s = counts
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (e_c + e_s) / (n_c + n_s)
        z = (e_c / n_c - e_s / n_s) / np.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_s))
    found: Floats = np.nan_to_num(z, nan=0.0, posinf=0.0, neginf=0.0)
    return found


class Kayenta(Dwells):
    """Kayenta's NetflixACAJudge on the error rate per minute, direction increase, at the end of each dwell.

    spinnaker/kayenta NetflixACAJudge.scala at 8a754a1 (tolerance 0.25, confidence level 0.98), MannWhitneyClassifier.scala at
    5e8bc1a, MannWhitney.scala at 552aa62; spinnaker.io/docs/guides/user/canary/judge. With one metric the score is 100 or 0,
    so that any pair of score thresholds says the same. Minutes without a request are NaN and removed (the default); no
    minute left: no data, not passed. Its detector of outliers removes nothing from fewer than a hundred points.
    Kayenta would have a baseline of new pods, as many as the canary's; here it gets all of stable, which flatters it.
    """

    def worse(self) -> Flags:
        """See Dwells."""
        points = np.array(self.minutes)
        with np.errstate(divide="ignore", invalid="ignore"):
            canary, stable = points[:, 1] / points[:, 0], points[:, 3] / points[:, 2]
        return np.array([_high(canary[:, r], stable[:, r]) for r in range(self.size)], bool)


def _high(canary: Floats, stable: Floats) -> bool:
    canary, stable = canary[~np.isnan(canary)], stable[~np.isnan(stable)]
    if not len(canary) or not len(stable):
        return True
    if len(np.unique(np.concatenate((canary, stable)))) == 1 or np.array_equal(np.sort(canary), np.sort(stable)):
        return False
    lower, estimate = mann_whitney(canary, stable)
    return lower > 0.25 * abs(estimate)


def mann_whitney(x: Floats, y: Floats, z: float = 2.3263) -> tuple[float, float]:
    """Lower confidence limit (98 % two-sided) and Hodges-Lehmann estimate of x - y, as R's wilcox.test by the normal.

    Kayenta finds the shift at which the test's z crosses its quantile with a root search; z is a step function of the shift
    that falls at each difference x_i - y_j, so the root is one of them.
    """
    m, n = len(x), len(y)
    differences = np.sort(np.subtract.outer(x, y).ravel())
    ties = sum(float((count**3 - count).sum()) for count in (np.unique(v, return_counts=True)[1] for v in (x, y)))
    sd = sqrt(m * n / 12 * ((m + n + 1) - ties / ((m + n) * (m + n - 1))))
    above = m * n / 2 + 0.5 + z * sd  # this many differences must lie above the shift
    k = int(np.ceil(above))
    lower = float(differences[max(m * n - k, 0)])
    return lower, float(np.median(differences))


POLICIES: dict[str, type[Policy]] = {
    "ours": Ours,
    "ours-polling": Polling,
    "flagger": Flagger,
    "argo-inline": ArgoInline,
    "argo-background": ArgoBackground,
    "kayenta": Kayenta,
    "z-test": ZTest,
    "z-test-peeking": PeekingZTest,
}
