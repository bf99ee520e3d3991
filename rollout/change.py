"""What a decision changes in the release files: each change is the fewest lines that say it.

| change    | file               | lines                                        |
|-----------|--------------------|----------------------------------------------|
| canary    | traffic.yaml       | both percents                                |
| stable    | stable.yaml        | the version's lines, as model.yaml has them  |
| close     | kustomization.yaml | the toggle                                   |
| tidy      | stable.yaml        | the version's lines, as model.yaml has them  |
|           | traffic.yaml       | both percents, back to 100 and 0             |
| take back | the whole folder   | as it was before the start, byte for byte    |

A start is the one change that is not the controller's: a person's or a bot's pull request makes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from rollout.decide import Change, Decision
from rollout.release import ModelVersion, Release, Toggle, write_toggle, write_traffic, write_version


def apply(decision: Decision, release: Release, texts: Mapping[str, str]) -> dict[str, str]:
    """Return the files, by name, that a decision changes; `texts` are the release's present ones.

    Not for Change.TAKE_BACK, which puts a whole folder back.
    """
    if decision.change is Change.CANARY:
        changed = {"traffic.yaml": write_traffic(texts["traffic.yaml"], decision.canary)}
    elif decision.change is Change.CLOSE:
        changed = {"kustomization.yaml": write_toggle(texts["kustomization.yaml"], Toggle.AT_REST)}
    else:
        changed = {"stable.yaml": write_version(texts["stable.yaml"], release.model, person=False)}
        if decision.change is Change.TIDY:
            changed["traffic.yaml"] = write_traffic(texts["traffic.yaml"], 0)
    return {name: text for name, text in changed.items() if text != texts[name]}


def start(release: Release, texts: Mapping[str, str], model: ModelVersion) -> dict[str, str]:
    """Return the files, by name, that start a canary: the version's lines, the toggle, and what was stale."""
    changed = {
        "model.yaml": write_version(texts["model.yaml"], model, person=True),
        "kustomization.yaml": write_toggle(texts["kustomization.yaml"], Toggle.IN_ROLLOUT),
        "stable.yaml": write_version(texts["stable.yaml"], replace(release.model, attempt=1), person=False),
        "traffic.yaml": write_traffic(texts["traffic.yaml"], 0),
    }
    return {name: text for name, text in changed.items() if text != texts[name]}


def _short(reason: str) -> str:
    """Return as much of a sentence as a subject has room for, up to the end of a clause or, with none in sight, of a word."""
    if len(reason) <= 60:
        return reason
    clause = re.match(r".{20,58}(?=[,;:] )", reason)
    return (clause[0] if clause else reason[:59].rsplit(" ", 1)[0]) + " ..."


def subject(decision: Decision, release: Release) -> str:
    """Return the first line of a decision's commit."""
    key, version = release.key, release.model.version
    head = f"{key.app}({key.env})"
    aborts = f": {_short(decision.reason)}" if decision.kind == "abort" else ""
    if decision.change is Change.CANARY:
        return f"{head}: canary {version} at {decision.canary} %{aborts}"
    if decision.change is Change.STABLE:
        return f"{head}: stable {release.stable.version} -> {version}"
    if decision.change is Change.TIDY:
        lag = [f"stable {release.stable.version} -> {version}"] if not release.stable.runs_like(release.model) else []
        lag += [f"canary {release.canary} -> 0 %"] if release.canary else []
        return f"{head}: tidy {', '.join(lag)}"
    return f"{head}: close canary {version}{aborts}"
