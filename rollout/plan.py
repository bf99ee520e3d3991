"""The plan: how a new version is walked to 100 %. Stub of the values; the parser follows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What the evidence is judged by.

    alpha: probability, over a whole rollout, of aborting a canary that is not worse (split over the harm tests).
    ratio: canary errors tolerated, as a multiple of stable's error rate (r0).
    ceiling: canary error rate never tolerated, 0..1; None switches the ceiling off.
    latency_budget: seconds; a request that takes longer counts as slow; None switches the latency test off.
    latency_ratio: slow requests tolerated, as a multiple of stable's.
    safety_ratio, safety_floor: safe means "canary error rate < safety_ratio * stable's + safety_floor" (floor 0..1).
    safety_alpha: probability of calling a canary safe that is not.
    """

    alpha: float = 0.01
    ratio: float = 1.0
    ceiling: float | None = 0.05
    latency_budget: float | None = None
    latency_ratio: float = 1.0
    safety_ratio: float = 2.5
    safety_floor: float = 0.004
    safety_alpha: float = 0.05
