"""Values to build cases from: a release's files, its history, and what a tick sees. No clock, no files, no processes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import settings

from rollout.decide import Application, Observation
from rollout.gate import Arm, Evidence, Verdict
from rollout.plan import Plan, Step
from rollout.release import Key, ModelVersion, Release, Toggle
from rollout.state import Snapshot, State, derive

settings.register_profile("core", deadline=None, derandomize=True)
settings.load_profile("core")

KEY = Key("prod", "credit")
IN, REST = Toggle.IN_ROLLOUT, Toggle.AT_REST
NOW = 1_000_000.0
PLAN = Plan(steps=(Step(5, 1800.0), Step(25, 1800.0), Step(100, 0.0)), digest="feed")


def model(version: str, **others: Any) -> ModelVersion:
    """A version; its bytes are named after it."""
    base = version.partition("-")[0]
    return ModelVersion(version, f"s3://models/credit/{base}", f"a{base[:1]}" * 32, **others)


def at_rest(version: str = "7", stable: str = "", canary: int = 0, **switches: Any) -> Release:
    """A release at rest; stable.yaml names the same version unless it is told otherwise."""
    return Release(KEY, model(version, **switches), model(stable or version), canary, REST)


def rolling(canary: int, version: str = "8", stable: str = "7", **switches: Any) -> Release:
    """A release in rollout."""
    return Release(KEY, model(version, **switches), model(stable), canary, IN)


def snapshots(*releases: Release, spacing: int = 1000) -> list[Snapshot]:
    """A history: one commit for each of the releases, c0, c1, ..., a thousand seconds apart."""
    return [
        Snapshot(f"c{place}", f"c{place - 1}" if place else "", spacing * place, release)
        for place, release in enumerate(releases)
    ]


def state_after(*releases: Release) -> State:
    """The state that a history leads to."""
    return derive(snapshots(*releases))


def evidence(verdict: Verdict, *, window: float = 1800.0, cause: str | None = None, **others: Any) -> Evidence:
    """What the gate says at 5 %; one test's numbers in every field."""
    arms = {"stable": Arm(1900, 2), "canary": Arm(100, 1)}
    told = Evidence(
        verdict=verdict, cause=cause, step=0, traffic=5, harm=0.4, harm_threshold=128.6, two_arm=0.4, floor=1.0,
        ceiling=0.1, ceiling_threshold=900.0, ceiling_rate=0.05, latency=None, latency_threshold=900.0, share=0.2,
        share_threshold=900.0, share_got=0, share_of=0, safe=31.0, safe_threshold=20.0, safe_limit=(2.5, 0.02), phi=1.0,
        window_start=NOW - window, window_seconds=window, window_stable=arms["stable"], window_canary=arms["canary"],
        steps=((5, arms["stable"], arms["canary"]),), dropped=0, stale=None, stable_rate=0.001,
    )  # fmt: skip
    return replace(told, **others)


HEALTHY = Application("c9", "Synced", "Healthy", settled=NOW - 1000, applied="c9")
ROLLING = Application("c9", "Synced", "Progressing", settled=NOW - 20, applied="c9")
BROKEN = Application("c9", "Synced", "Degraded", settled=NOW - 20, applied="c9", message="ImagePullBackOff")


def seen(state: State, **others: Any) -> Observation:
    """A tick's view at NOW: everything is real and healthy unless a case says otherwise."""
    usual: Mapping[str, Any] = {"now": NOW, "state": state, "plan": PLAN, "app": HEALTHY, "reached": True, "applied": True}
    return Observation(**{**usual, **others})


def started(*steps: int, ago: float = 2000.0) -> State:
    """At rest on 7, then a start of 8, then the canary at each of `steps`; the last commit lies `ago` seconds before NOW."""
    releases = [at_rest(), rolling(0), *(rolling(step) for step in steps)]
    return later(snapshots(*releases), ago)


def later(history: list[Snapshot], ago: float) -> State:
    """The state of a history whose last commit lies `ago` seconds before NOW, and the others a thousand seconds before each."""
    last = NOW - ago
    times = itertools.count(int(last) - 1000 * (len(history) - 1), 1000)
    return derive([replace(snapshot, time=time) for snapshot, time in zip(history, times, strict=False)])
