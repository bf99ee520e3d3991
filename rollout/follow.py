"""The evidence of one walk: batches, folded into the gate in the order of time, whenever they come.

- Stable's batches in the half hour before the start are the gate's history.
- A batch belongs to the step whose commit came before it began; batches before the first step are not evidence.
- Each batch is judged by the plan that was in force when it ended.
- Whether the split should be there already (`routed`) is known once the step's window is open; until then Argo CD says so,
  which finds a canary that never answers. When the window opens, what Argo CD said is forgotten: nobody can ask it again.
- What a commit records are the batches since the last commit of the walk that recorded any: all together hold all of them.

The outcome is a function of git's times and Prometheus' samples. A controller that starts anew reads everything again, and
arrives at the same state to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from rollout import gate
from rollout.gate import Batch, Evidence
from rollout.plan import Plan
from rollout.samples import Counted, Counter, Series, complete_until
from rollout.state import Walk

HISTORY = 1800.0  # seconds of stable's past that the dispersion is estimated from


@dataclass(slots=True)
class Follower:
    """Follows one walk.

    width: seconds per batch; lag: seconds until a batch is complete; read: how far it has read. ground: what git said of the time
    read so far; when git says something else of it later, all must be read again. entered: the gate before the present step.
    """

    start: str
    width: float
    lag: float
    counter: Counter
    read: float
    history: list[tuple[int, int]] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    state: gate.State | None = None
    entered: gate.State | None = None
    ground: tuple[object, ...] = ()

    @classmethod
    def of(cls, walk: Walk, width: float, lag: float, lookback: float) -> Follower:
        """Begin to follow a walk; reading starts `lookback` seconds before its history."""
        release, begin = walk.start.release, walk.start.time - HISTORY
        counter = Counter(width, begin, release.stable.version, release.model.version)
        return cls(walk.start.commit, width, lag, counter, (begin - lookback) // width * width)

    def fold(
        self,
        series: Iterable[Series],
        until: float,
        walk: Walk,
        plan_at: Callable[[float], Plan],
        routed_since: float | None,
    ) -> None:
        """Take in all samples up to `until` (a batch's end). routed_since: when Argo CD saw the present split arrive."""
        for counted in self.counter.count(series, self.read, until):
            self._take(counted, walk, plan_at, routed_since)
        self.read = until

    def _take(self, counted: Counted, walk: Walk, plan_at: Callable[[float], Plan], routed_since: float | None) -> None:
        begin = counted.end - self.width
        if counted.end <= walk.start.time and counted.stable is not None:
            self.history.append((counted.stable.requests, counted.stable.errors))
        splits = [split for split in walk.splits if split.time <= begin]
        if not splits or not 0 < splits[-1].release.canary < 100:
            return
        plan = plan_at(counted.end)
        if self.state is None:
            self.state = gate.begin(plan.gates, self.history)
        step, traffic = plan.index(splits[-1].release.canary), splits[-1].release.canary
        if (self.state.place.step, self.state.place.traffic) != (step, traffic):
            self.entered = self.state
        opened = self.entered is not self.state and self.state.place.opened is not None
        last = splits[-1] is walk.splits[-1]
        batch = Batch(
            end=counted.end,
            seconds=self.width,
            traffic=traffic,
            step=step,
            stable=counted.stable,
            canary=counted.canary,
            up=counted.stable is not None or counted.canary is not None,
            routed=opened or (last and routed_since is not None and begin >= routed_since),
        )
        self.batches.append(batch)
        self.state = gate.observe(self.state, batch, plan.gates)
        if not opened and self.state.place.opened is not None:
            self._open(plan_at)

    def _open(self, plan_at: Callable[[float], Plan]) -> None:
        """The step's window has just opened: fold its batches again without what Argo CD said meanwhile."""
        here = (self.batches[-1].step, self.batches[-1].traffic)
        early = [replace(batch, routed=False) for batch in self.batches if (batch.step, batch.traffic) == here]
        self.batches[-len(early) :] = early
        self.state = self.entered
        for batch in early:
            assert self.state is not None
            self.state = gate.observe(self.state, batch, plan_at(batch.end).gates)

    def evidence(self, plan: Plan, walk: Walk) -> Evidence | None:
        """Return what the gate makes of it; None until the present step has a batch."""
        current = self.batches and self.batches[-1].traffic == walk.splits[-1].release.canary
        return gate.judge(self.state, plan.gates) if self.state is not None and current else None

    def unrecorded(self, walk: Walk, since: int | None = None) -> list[Batch]:
        """Return the batches since those that were recorded by the commit of `since`, the walk's last one by default."""
        recorded = complete_until(walk.splits[-1].time if since is None else since, self.width, self.lag)
        return [batch for batch in self.batches if batch.end > recorded]
