"""The gate's words: what goes in (Arm, Batch) and what comes out (Verdict, Evidence)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What the evidence says. Only HARMFUL and SAFE move traffic."""

    HARMFUL = "harmful"
    SAFE = "safe"
    UNDECIDED = "undecided"
    NO_DATA = "no data"
    METRICS_DOWN = "metrics down"


@dataclass(frozen=True, slots=True)
class Arm:
    """Counts of one arm in one batch. `slow` = requests over the latency budget. 0 <= errors, slow <= requests."""

    requests: int
    errors: int
    slow: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What both arms did in one interval.

    end: seconds (Unix time in the controller; since the first step in a backtest).
    seconds: how long the batch covers; what it adds to the dwell.
    traffic: canary percent committed during it, 0 < traffic < 100; step: index of that step in the plan, 0 = the first.
    stable, canary: None = no data of that arm, which says nothing; Arm(0, 0) = data, and no request.
    up: False = the metrics backend did not answer.
    share: False = neither the share test nor the share fit looks at this batch.
    routed: the data plane should carry this split; only such batches count for "does not answer".
    """

    end: float
    seconds: float
    traffic: int
    step: int
    stable: Arm | None
    canary: Arm | None
    up: bool = True
    share: bool = True
    routed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the gate knows after a batch; all e-values are finite.

    verdict, cause: cause is None, 'errors', 'ceiling', 'latency', 'share' or 'outage'.
    step, traffic: of the last batch; -1 and 0 before the first.
    harm, ceiling, latency, share: e-values of the harm tests; None = switched off by the plan. Each has its `_threshold`: 1
        over its part of alpha. Once an abort is due, its cause's e-value stays as it was.
    two_arm, floor: the two tests of errors, against stable and against a rate that nobody minds; harm is the smaller.
    safe, safe_threshold: e-value against "not safe"; `safe_limit`: the rate that is called safe, as (ratio, floor).
    phi: dispersion the next batch's errors will be divided by, >= 1.
    window_start, window_seconds: of the current step, in seconds; None and 0 until the share fits.
    window_stable, window_canary: counts within that window. steps: (traffic, stable, canary) per step, dropped batches left out.
    dropped: batches dropped for a share above the committed one.
    share_got, share_of: canary's requests and all requests since the share last looked right.
    stable_rate: stable's error rate of the last minute or so, 0..1.
    """

    verdict: Verdict
    cause: str | None
    step: int
    traffic: int
    harm: float
    harm_threshold: float
    two_arm: float
    floor: float
    ceiling: float | None
    ceiling_threshold: float
    ceiling_rate: float | None
    latency: float | None
    latency_threshold: float
    share: float
    share_threshold: float
    share_got: int
    share_of: int
    safe: float
    safe_threshold: float
    safe_limit: tuple[float, float]
    phi: float
    window_start: float | None
    window_seconds: float
    window_stable: Arm
    window_canary: Arm
    steps: tuple[tuple[int, Arm, Arm], ...]
    dropped: int
    stale: str | None
    stable_rate: float

    @property
    def reason(self) -> str:
        """One sentence with numbers, for the log, the commit and the test."""
        from rollout.gate.sentence import sentence  # noqa: PLC0415  # sentence reads Evidence: the import would be a circle

        return sentence(self)

    def as_dict(self) -> dict[str, Any]:
        """A plain value for JSON; `from_dict` takes it back."""
        return {**asdict(self), "reason": self.reason}


def from_dict(plain: dict[str, Any]) -> Evidence:
    """The Evidence that `as_dict` wrote, also after a walk through JSON. Raises KeyError or TypeError when fields are missing."""
    known = {key: value for key, value in plain.items() if key != "reason"}
    known["verdict"] = Verdict(known["verdict"])
    known["safe_limit"] = tuple(known["safe_limit"])
    known["steps"] = tuple((traffic, Arm(**stable), Arm(**canary)) for traffic, stable, canary in known["steps"])
    for name in ("window_stable", "window_canary"):
        known[name] = Arm(**known[name])
    return Evidence(**known)
