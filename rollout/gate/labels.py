"""Is the canary wrong more often than stable, by the labels that come later? (Feedback, joined by request id.)

1. A prediction waits, under its request's id, for its label. Labels come late and in any order; the first one of a
   request counts and later ones do not. A label without a request is an error of whoever joined, not evidence.
2. Labels are compared among requests of the same step, so that both arms had the same shares: with the share of 5 %
   long ago and 25 % now, the canary's labels are younger, and what comes young may be other news. A batch with labels
   of one arm only says nothing: where labels are rare, take longer batches. (Nothing is held back for the next batch:
   what waits would be of one arm, and older.)
3. Null: of labelled predictions the canary's are wrong with at most r0 times the probability of stable's. The bet is
   watch.py's on the outcome "wrong", for a grid of ratios; W is the canary's share of the labels. Given who was
   labelled, and that requests were routed at random, at r0 = 1 the wrong ones fall on the arms as drawn without
   replacement, which lowers the expectation below that of independent draws, 1 (Hoeffding 1963): labels of any age may
   be weighed together.
4. Dispersion as in predictions.py: a client's labels come together.

What breaks it: labels that one version's decisions keep away (who is refused credit never pays back or fails), or that
come sooner for one version. Then the labelled requests of both arms are not alike, and no test of them can tell.

References: Turner, Ly, Gruenwald, JSPI 2024 (2x2 tables); Hoeffding, JASA 1963, section 6.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple

from rollout.gate import dispersion
from rollout.gate.dispersion import Spread, spread
from rollout.gate.rules import LABELS_GRID, RULES
from rollout.gate.watch import Watch, begun, checked, gain, grown, tolerable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rollout.gate.rules import Rules

Outcomes = tuple[int, int]  # wrong, right
NONE: Outcomes = (0, 0)


class Prediction(NamedTuple):
    """What one version answered to one request."""

    request: str
    canary: bool
    predicted: Hashable


class Label(NamedTuple):
    """What should have been answered."""

    request: str
    truth: Hashable


class Arrived(NamedTuple):
    """One batch: seconds, the plan's step (0 = the first), predictions made in it, and labels that came in it."""

    seconds: float
    step: int
    predictions: tuple[Prediction, ...]
    labels: tuple[Label, ...]


class Labels(NamedTuple):
    """What is known.

    known: per request its step and prediction, None once its label has counted. stable, canary: outcomes so far.
    again: labels that came again.
    """

    watch: Watch
    known: Mapping[str, tuple[int, Prediction] | None]
    of_stable: Spread
    of_canary: Spread
    stable: Outcomes
    canary: Outcomes
    again: int
    rules: Rules

    @property
    def value(self) -> float:
        """The e-value: the most that it was."""
        return self.watch.highest

    @property
    def phi(self) -> float:
        """Dispersion in force for the next batch, >= 1."""
        return max(self.of_stable.phi, self.of_canary.phi)

    @property
    def waiting(self) -> int:
        """Requests without a label."""
        return sum(each is not None for each in self.known.values())


def begin(rules: Rules = RULES) -> Labels:
    """The state before the first batch."""
    return Labels(begun(len(LABELS_GRID), rules), {}, dispersion.CALM, dispersion.CALM, NONE, NONE, 0, rules)


def observe(state: Labels, batch: Arrived, tolerated: float = 1.0) -> Labels:
    """The state after one more batch; `tolerated` is r0. Raises ValueError naming the field that cannot be."""
    checked(batch.step, batch.seconds)
    tolerable("tolerated", tolerated, 1, 1000)
    known = dict(state.known)
    for place, prediction in enumerate(batch.predictions):
        if prediction.request in known:
            raise ValueError(f"predictions[{place}].request: {prediction.request!r} stands already")
        _number(f"predictions[{place}].predicted", prediction.predicted)
        known[prediction.request] = batch.step, prediction
    again = state.again
    told: dict[int, tuple[Outcomes, Outcomes]] = {}  # per step, stable's and the canary's
    for place, label in enumerate(batch.labels):
        if label.request not in known:
            raise ValueError(f"labels[{place}].request: no prediction for {label.request!r}")
        _number(f"labels[{place}].truth", label.truth)
        waits, known[label.request] = known[label.request], None
        if waits is None:
            again += 1
        else:
            told[waits[0]] = _with(told.get(waits[0], (NONE, NONE)), waits[1], label)
    return _weighed(state._replace(known=known, again=again), batch, list(told.values()), tolerated)


def _weighed(state: Labels, batch: Arrived, told: Sequence[tuple[Outcomes, Outcomes]], tolerated: float) -> Labels:
    """Rules 3 and 4, for the outcomes of each step, of stable and of the canary."""
    gains = [
        sum(gain(canary, stable, (g * tolerated, tolerated), tolerated) for stable, canary in told) / state.phi
        for g in LABELS_GRID
    ]
    stable, canary = _sum(stable for stable, _ in told), _sum(canary for _, canary in told)
    return state._replace(
        watch=grown(state.watch, gains if told else None, batch.step, batch.seconds, state.rules),
        of_stable=spread(state.of_stable, stable, state.rules),
        of_canary=spread(state.of_canary, canary, state.rules),
        stable=_sum((state.stable, stable)),
        canary=_sum((state.canary, canary)),
    )


def _with(arms: tuple[Outcomes, Outcomes], prediction: Prediction, label: Label) -> tuple[Outcomes, Outcomes]:
    stable, canary = arms
    outcome = (1, 0) if prediction.predicted != label.truth else (0, 1)
    return (stable, _sum((canary, outcome))) if prediction.canary else (_sum((stable, outcome)), canary)


def _sum(outcomes: Iterable[Outcomes]) -> Outcomes:
    wrong = right = 0
    for w, r in outcomes:
        wrong, right = wrong + w, right + r
    return wrong, right


def _number(name: str, value: Hashable) -> None:
    if value != value:  # noqa: PLR0124  # only NaN is
        raise ValueError(f"{name}: nan; a class or a number would be right")
