"""The backtest: a plan tried on a history, by the controller's own gate and decision. JSON lines in, JSON lines out.

A line in: {"run": "a", "t": 15.0, "stable": {"requests": 950, "errors": 2}, "canary": {"requests": 50, "errors": 0}}
- counts of the batch that ends `t` seconds after the canary reached the plan's first step; `slow` may stand beside `errors`;
- an arm that is missing or null = no data of it; "up": false = the metrics backend was down; "share": false = no share test;
- "history": {"batches": [[requests, errors], ...]} on a run's first line = stable before the start.
A line out: run, t, traffic (canary percent in force after the decision), decision, verdict, evidence, reason.
With --prometheus the lines in are made from recorded counters: stable's half hour before --from is the history, the split is
as it was and is not tested, and the decisions are what this plan's gate would have said of the same requests.
--plot draws what was seen and decided (picture.py).
After complete (traffic 100) or abort (traffic 0) later lines of that run are answered the same. Runs may interleave.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import msgspec

from rollout import gate
from rollout import plan as plans
from rollout.decide import Action, judge_step, span
from rollout.document import load, utf8
from rollout.errors import BadInput
from rollout.follow import HISTORY
from rollout.gate import Batch, Evidence
from rollout.picture import Album, Moment
from rollout.plan import Plan
from rollout.prometheus import Prometheus
from rollout.release import Key
from rollout.samples import LOOKBACK, WIDTH, Counted, Counter, Series
from rollout.web import Unavailable


class _Arm(msgspec.Struct, forbid_unknown_fields=True):
    requests: int
    errors: int = 0
    slow: int = 0


class _History(msgspec.Struct, forbid_unknown_fields=True):
    batches: list[tuple[int, int]] = []


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One line in."""

    run: str
    t: float
    stable: _Arm | None = None
    canary: _Arm | None = None
    up: bool = True
    share: bool = True
    history: _History | None = None


@dataclass(slots=True)
class Run:
    """One rollout under test. step: index in the plan; began: when it began, in seconds; width: of the last batch."""

    plan: Plan
    state: gate.State
    step: int = 0
    began: float = 0.0
    last: float = 0.0
    width: float = math.inf
    ended: dict[str, Any] | None = None

    @property
    def traffic(self) -> int:
        """The canary percent in force."""
        return self.plan.steps[self.step].canary

    def answer(self, line: Line) -> dict[str, Any]:
        """Take in one line; return the answer to it. Raise ValueError naming the field that cannot be."""
        if line.t <= self.last:
            raise ValueError(f"t: is {line.t}; more than the run's last, {self.last}, would be right")
        if self.ended is not None:
            self.last = line.t
            return {**self.ended, "t": line.t}
        batch = self._batch(line)
        self.state = gate.observe(self.state, batch, self.plan.gates)
        self.last = line.t
        evidence = gate.judge(self.state, self.plan.gates)
        action, reason = self._judged(evidence)
        return self._acted(line, action, reason, evidence)

    def _batch(self, line: Line) -> Batch:
        seconds = line.t - self.last
        if seconds > 3 * self.width:  # lines are missing: what is not there is not credited
            seconds = self.width
        self.width = seconds
        return Batch(
            end=line.t,
            seconds=seconds,
            traffic=self.traffic,
            step=self.step,
            stable=_arm(line.stable, "stable"),
            canary=_arm(line.canary, "canary"),
            up=line.up,
            share=line.share,
        )

    def _judged(self, evidence: Evidence) -> tuple[Action, str]:
        waited = self.last - self.began
        if self.plan.evidence or evidence.verdict is gate.Verdict.HARMFUL:
            return judge_step(self.plan, self.traffic, evidence, waited)[:2]
        dwell = self.plan.steps[self.step].dwell
        if waited < dwell:
            return Action.HOLD, f"{span(waited)} of {span(dwell)} at {self.traffic} %; no traffic evidence asked"
        onward = Action.COMPLETE if self.plan.next(self.traffic) == 100 else Action.ADVANCE
        return onward, f"{span(dwell)} at {self.traffic} % are over; no traffic evidence asked"

    def _acted(self, line: Line, action: Action, reason: str, evidence: Evidence) -> dict[str, Any]:
        if action in (Action.ADVANCE, Action.COMPLETE):
            self.step, self.began = self.step + 1, line.t
        told = {
            "run": line.run,
            "t": line.t,
            "traffic": 0 if action is Action.ABORT else self.traffic,
            "decision": str(action),
            "verdict": str(evidence.verdict),
            "evidence": _numbers(evidence),
            "reason": reason,
        }
        if action in (Action.COMPLETE, Action.ABORT):
            self.ended = told
        return told


def _arm(arm: _Arm | None, name: str) -> gate.Arm | None:
    if arm is None:
        return None
    for field, value in (("errors", arm.errors), ("slow", arm.slow)):
        if not 0 <= value <= arm.requests:
            raise ValueError(f"{name}.{field}: is {value}; from 0 to {name}.requests, {arm.requests}, would be right")
    return gate.Arm(arm.requests, arm.errors, arm.slow)


def _numbers(evidence: Evidence) -> dict[str, Any]:
    stable, canary = evidence.window_stable, evidence.window_canary
    return {
        "harm": evidence.harm,
        "harm_threshold": evidence.harm_threshold,
        "ceiling": evidence.ceiling,
        "ceiling_threshold": evidence.ceiling_threshold,
        "latency": evidence.latency,
        "latency_threshold": evidence.latency_threshold,
        "share": evidence.share,
        "share_threshold": evidence.share_threshold,
        "safe": evidence.safe,
        "safe_threshold": evidence.safe_threshold,
        "phi": evidence.phi,
        "cause": evidence.cause,
        "window_seconds": evidence.window_seconds,
        "stable": {"requests": stable.requests, "errors": stable.errors},
        "canary": {"requests": canary.requests, "errors": canary.errors},
        "dropped": evidence.dropped,
    }


def read_plan(path: Path) -> Plan:
    """Read a plan from any file; its name says which app it is for."""
    try:
        text = utf8(path.read_bytes(), str(path))
    except OSError as error:
        raise BadInput("--plan", "", f"{path} cannot be read: {error.strerror}") from None
    metadata = load(text, str(path)).get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return plans.parse(str(name), text, where=str(path))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What to read of a release: the two versions, and from when until when, in Unix seconds."""

    key: Key
    stable: str
    canary: str
    begin: float
    end: float


def replay(path: Path, prometheus: Prometheus, what: Recorded, out: TextIO, album: Album | None = None) -> int:
    """Answer for every batch that Prometheus recorded; raise BadInput when it holds no request of the canary."""
    plan = read_plan(path)
    begin, end = (at // WIDTH * WIDTH for at in (what.begin, what.end))
    if begin >= end:
        raise BadInput("--to", "", f"is not after --from by {WIDTH:g} s; a later time would be right")
    budgets = {} if plan.gates.latency_budget is None else {what.key: plan.gates.latency_budget}
    readings = prometheus.read([what.key], budgets, begin - HISTORY - LOOKBACK, end, WIDTH)
    try:
        batches = recorded(((one.after, one.until, one.found) for one in readings), what, begin)
    except Unavailable as error:
        raise BadInput("--prometheus", "", str(error)) from None
    if not any(batch.canary and batch.canary.requests for batch in batches if batch.end > begin):
        told = f"{what.key} has no request of canary {what.canary} there; the time of a rollout of it would be right"
        raise BadInput("--from", "", told)
    for line, answer in answers(plan, batches, begin, str(what.key)):
        _kept(album, line, answer)
        out.write(msgspec.json.encode(answer).decode() + "\n")
    if album:
        album.write(plan.steps[0].canary)
    return 0


def _kept(album: Album | None, line: Line, answer: dict[str, Any]) -> None:
    if album:
        stable, canary = ((one.requests, one.errors) if one else None for one in (line.stable, line.canary))
        album.add(line.run, Moment(stable, canary, answer))


def recorded(pieces: Iterable[tuple[float, float, Mapping[Key, list[Series]]]], what: Recorded, begin: float) -> list[Counted]:
    """The batches of consecutive pieces of time, and of half an hour before `begin`."""
    counter, batches = Counter(WIDTH, begin - HISTORY, what.stable, what.canary), list[Counted]()
    for after, until, found in pieces:
        batches += counter.count(found.get(what.key, []), after, until)
    return batches


def answers(plan: Plan, batches: Sequence[Counted], begin: float, name: str) -> Iterator[tuple[Line, dict[str, Any]]]:
    """Fold recorded batches as lines, from the canary's first request on; each with its answer."""
    past = [(one.stable.requests, one.stable.errors) for one in batches if one.end <= begin and one.stable]
    one_run, started = Run(plan, gate.begin(plan.gates, past)), None
    for batch in batches:
        if batch.end <= begin or (started is None and not (batch.canary and batch.canary.requests)):
            continue
        started = batch.end - WIDTH if started is None else started
        up = batch.stable is not None or batch.canary is not None
        stable, canary = (_Arm(one.requests, one.errors, one.slow) if one else None for one in (batch.stable, batch.canary))
        line = Line(name, batch.end - started, stable, canary, up=up, share=False)
        yield line, {**one_run.answer(line), "time": batch.end}


def run(path: Path, lines: BinaryIO, out: TextIO, album: Album | None = None) -> int:
    """Answer every line as it comes; raise BadInput naming the line and the field that cannot be."""
    plan, runs = read_plan(path), dict[str, Run]()
    decode, encode = msgspec.json.Decoder(Line).decode, msgspec.json.Encoder().encode
    if plan.steps[0].canary == 100:
        raise BadInput(str(path), "spec.steps", "has no step below 100: there is nothing to test")
    for place, raw in enumerate(lines, 1):
        text = utf8(raw, "standard input", f"line {place}")
        if not text.strip():
            continue
        try:
            line = decode(text)
            one = runs.get(line.run)
            if one is None:
                past = line.history.batches if line.history else ()
                one = runs[line.run] = Run(plan, gate.begin(plan.gates, past))
            answer = one.answer(line)
            _kept(album, line, answer)
        except (msgspec.DecodeError, ValueError) as error:
            raise BadInput("standard input", f"line {place}", str(error)) from None
        out.write(encode(answer).decode() + "\n")
        out.flush()
    if album:
        album.write(plan.steps[0].canary)
    return 0
