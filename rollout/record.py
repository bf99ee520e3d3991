"""A decision as a commit message, and back: subject, the sentence, and trailers with everything it was decided on.

| trailer           | holds                                                                                      |
|-------------------|--------------------------------------------------------------------------------------------|
| Rollout-Decision  | advance, complete, abort or tidy                                                           |
| Rollout-Release   | env/app                                                                                    |
| Rollout-Version   | the version walked                                                                         |
| Rollout-Canary    | the percent before -> after                                                                |
| Rollout-Plan      | the digest of the plan                                                                     |
| Rollout-Verdict   | the verdict, and each e-value with its threshold                                           |
| Rollout-Counts    | one per step: both arms' requests and errors                                               |
| Rollout-Window    | since when, and for how long, the step's share fits                                        |
| Rollout-Argo      | what Argo CD said, as JSON                                                                 |
| Rollout-Batches   | the batches since the walk's last record, and stable's history at first: JSON, zlib, base64 |

The state is never read from here. `rollout audit` reads it to decide everything again.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rollout.change import subject
from rollout.decide import Application, Decision, Observation
from rollout.gate import Arm, Batch, Evidence

MARK = "\nRollout-Decision: "
BATCHES = "\nRollout-Batches: "
Counts = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Record:
    """What the trailers of one commit hold, besides what git knows."""

    decision: str
    release: str
    plan: str
    app: Application | None
    silence: str
    reached: bool
    applied: bool
    settle: float
    history: list[tuple[int, int]]
    batches: list[Batch]


def message(seen: Observation, decision: Decision, history: Counts, batches: Sequence[Batch]) -> str:
    """Return the commit message of a decision. batches: those since the walk's last record; history: with the first."""
    release = seen.state.release
    after = decision.canary if decision.change == "canary" else 0 if decision.change in ("take back", "tidy") else release.canary
    trailers = [
        ("Decision", decision.kind),
        ("Release", str(release.key)),
        ("Version", release.model.version),
        ("Canary", f"{release.canary} -> {after}"),
        ("Plan", seen.plan.digest),
        *(_evidence(seen.evidence) if seen.evidence else ()),
        ("Argo", _argo(seen)),
    ]
    if batches:
        trailers.append(("Batches", pack(history, batches)))
    body = "\n".join(f"Rollout-{name}: {value}" for name, value in trailers)
    return f"{subject(decision, release)}\n\n{decision.reason}\n\n{body}\n"


def _evidence(evidence: Evidence) -> list[tuple[str, str]]:
    values = [
        ("harm", evidence.harm, evidence.harm_threshold),
        ("ceiling", evidence.ceiling, evidence.ceiling_threshold),
        ("latency", evidence.latency, evidence.latency_threshold),
        ("share", evidence.share, evidence.share_threshold),
        ("safe", evidence.safe, evidence.safe_threshold),
    ]
    told = ", ".join(f"{name} {value:.4g} of {need:.4g}" for name, value, need in values if value is not None)
    counts = [
        f"{traffic} %: stable {stable.errors} of {stable.requests}, canary {canary.errors} of {canary.requests}"
        for traffic, stable, canary in evidence.steps
    ]
    window = "not open" if evidence.window_start is None else f"{evidence.window_start:.0f} +{evidence.window_seconds:.0f} s"
    return [("Verdict", f"{evidence.verdict}, {told}"), *(("Counts", count) for count in counts), ("Window", window)]


def _argo(seen: Observation) -> str:
    app = None if seen.app is None else asdict(seen.app)
    facts = {"app": app, "silence": seen.silence, "reached": seen.reached, "applied": seen.applied, "settle": seen.settle}
    return json.dumps(facts, separators=(",", ":"))


def pack(history: Counts, batches: Sequence[Batch]) -> str:
    """Return history and batches as one line of text."""
    rows = [
        [batch.end, batch.seconds, batch.traffic, batch.step, _plain(batch.stable), _plain(batch.canary), batch.up, batch.routed]
        for batch in batches
    ]
    plain = json.dumps({"history": [list(pair) for pair in history], "batches": rows}, separators=(",", ":"))
    return base64.b64encode(zlib.compress(plain.encode(), 9)).decode()


def _plain(arm: Arm | None) -> list[int] | None:
    return None if arm is None else [arm.requests, arm.errors, arm.slow]


def unpack(line: str) -> tuple[list[tuple[int, int]], list[Batch]]:
    """Return what `pack` was given; raise ValueError when the line is not whole."""
    try:
        plain = json.loads(zlib.decompress(base64.b64decode(line, validate=True)))
        batches = [_batch(row) for row in plain["batches"]]
        return [(requests, errors) for requests, errors in plain["history"]], batches
    except (binascii.Error, zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"batches that cannot be read: {error}") from None


def _batch(row: list[Any]) -> Batch:
    end, seconds, traffic, step, stable, canary, up, routed = row
    arms = [None if arm is None else Arm(*arm) for arm in (stable, canary)]
    return Batch(end=end, seconds=seconds, traffic=traffic, step=step, stable=arms[0], canary=arms[1], up=up, routed=routed)


def read(text: str) -> Record:
    """Return the record in a commit message that has MARK; raise ValueError when it is broken."""
    found = {
        name: value
        for name, separator, value in (line.partition(": ") for line in text.splitlines())
        if separator and name.startswith("Rollout-")
    }
    try:
        facts = json.loads(found["Rollout-Argo"])
        app = None if facts["app"] is None else Application(**facts["app"])
        history, batches = unpack(found["Rollout-Batches"]) if "Rollout-Batches" in found else ([], [])
        return Record(
            decision=found["Rollout-Decision"],
            release=found["Rollout-Release"],
            plan=found["Rollout-Plan"],
            app=app,
            silence=facts["silence"],
            reached=facts["reached"],
            applied=facts["applied"],
            settle=facts["settle"],
            history=history,
            batches=batches,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a trailer is missing or not whole: {error}") from None
