"""`rollout status`: what runs, the state, the evidence and the sentence, from the repository and, where named, the services."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from rollout.decide import Observation, is_real, span
from rollout.errors import BadInput
from rollout.git import open_here
from rollout.loop import Controller, Outcome, Settings
from rollout.release import Key, parse_key
from rollout.services import argocd_of, prometheus_of
from rollout.state import Kind, State


def run(chosen: argparse.Namespace) -> int:
    """Show it, once or again and again."""
    wanted = parse_key(chosen.release) if chosen.release else None
    settings = Settings(width=chosen.batch, settle=chosen.settle)
    repo = open_here(chosen.repo, chosen.branch or "HEAD")
    controller = Controller(repo, prometheus_of(chosen), argocd_of(chosen), settings, fetch=bool(chosen.branch))
    while True:
        shown = _look(controller, wanted)
        if shown is not None:
            print(json.dumps(shown, indent=2) if chosen.json else _text(shown), flush=True)
        if not chosen.watch:
            return 0
        time.sleep(2)
        if sys.stdout.isatty():
            print("\033[2J\033[H", end="")


def _look(controller: Controller, wanted: Key | None) -> list[dict[str, Any]] | None:
    seen_before = bool(controller.history.releases)
    tick = controller.tick(act=False)
    if tick.hold_all:
        if not seen_before:
            raise BadInput("--repo", "", tick.hold_all)
        print(f"rollout: {tick.hold_all}", file=sys.stderr)  # the next look may be better
        return None
    for trouble in tick.troubles:
        print(f"rollout: {trouble}", file=sys.stderr)
    active = {outcome.key: outcome for outcome in tick.outcomes}
    keys = sorted(controller.history.releases)
    if wanted is not None and wanted not in keys:
        raise BadInput("release", "", f"{wanted} is not in the repository; known: {', '.join(map(str, keys)) or 'none'}")
    return [_shown(controller, key, active.get(key)) for key in keys if wanted in (None, key)]


def _shown(controller: Controller, key: Key, outcome: Outcome | None) -> dict[str, Any]:
    state = controller.history.releases[key].state
    if outcome is None or outcome.seen is None or state is None:
        reason = outcome.decision.reason if outcome else "at rest"
        version = state.release.model.version if state else ""
        kind = "unreadable" if outcome else str(Kind.REST)
        return {"release": str(key), "state": kind, "stable": {"version": version, "traffic": 100}, "reason": reason}
    seen, release = outcome.seen, state.release
    shown: dict[str, Any] = {
        "release": str(key),
        "state": str(state.kind),
        "stable": {"version": (release.stable if state.walk else release.model).version, "traffic": 100 - release.canary},
        "decision": str(outcome.decision.kind),
        "reason": outcome.decision.reason,
        "next": _next(seen, state),
    }
    if state.walk:
        shown["canary"] = {"version": release.model.version, "traffic": release.canary}
        shown["step"] = seen.plan.index(release.canary) if release.canary else None
        shown["real"] = is_real(seen)
    if seen.evidence:
        shown["verdict"] = str(seen.evidence.verdict)
        shown["evidence"] = seen.evidence.as_dict()
    return shown


def _next(seen: Observation, state: State) -> str:
    """When the next decision can fall."""
    plan, canary, head = seen.plan, state.release.canary, state.head.time
    if state.kind is Kind.STEP and seen.evidence:
        left = plan.steps[plan.index(canary)].dwell - seen.evidence.window_seconds
        return f"an abort at any tick; onward in {span(left)} at the earliest" if left > 0 else "at any tick, once safe"
    if state.kind is Kind.WARMING:
        left = head + plan.ready - seen.now
        return f"once it is real and warm; aborted in {span(left)} if it is not real by then" if left > 0 else "at the next tick"
    return "at the next tick" if state.kind in (Kind.VETO, Kind.REST) else "once the last commit is real"


def _text(shown: list[dict[str, Any]]) -> str:
    lines = []
    for one in shown:
        canary = f", canary {one['canary']['version']} at {one['canary']['traffic']} %" if "canary" in one else ""
        verdict = f" [{one['verdict']}]" if "verdict" in one else ""
        lines.append(f"{one['release']:<18} {one['state']:<12} stable {one['stable']['version']}{canary}{verdict}")
        if one["state"] != "rest":
            lines.append(f"    {one['reason']}")
        if "next" in one:
            lines.append(f"    next: {one['next']}")
    return "\n".join(lines)
