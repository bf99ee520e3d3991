"""Rows as text, Markdown, JSON or a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rollout.picture import save
from rollout.simulate.policies import POLICIES
from rollout.simulate.study import Figure, Row

HEAD = ("scenario", "policy", "abort", "complete", "hold", "bad requests", "minutes", "efficiency")


def line(row: Row) -> str:
    """One row for a terminal, as it is done."""
    first = f"{row.scenario:<46} {row.policy:<20}"
    return first + " ".join(f"{cell:>{width}}" for cell, width in zip(_cells(row), (20, 20, 20, 22, 18, 6), strict=True))


def head() -> str:
    """The line above."""
    widths = (20, 20, 20, 22, 18, 6)
    return f"{HEAD[0]:<46} {HEAD[1]:<20}" + " ".join(f"{word:>{n}}" for word, n in zip((*HEAD[2:7], "eff."), widths, strict=True))


def markdown(rows: Sequence[Row]) -> str:
    """All rows, with intervals."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|" + "---:|" * 6]
    lines += ["| " + " | ".join((row.scenario, row.policy, *_cells(row))) + " |" for row in rows]
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> str:
    """All rows, for machines."""
    return json.dumps([plain(row) for row in rows], indent=1)


def plain(row: Row) -> dict[str, Any]:
    """A row as a plain value."""
    return asdict(row)


def _cells(row: Row) -> tuple[str, ...]:
    minutes = interval(row.minutes, 1) if row.minutes else "-"
    efficiency = f"{row.efficiency:.2f}" if row.efficiency is not None else "-"
    shares = [interval(Figure(100 * f.value, 100 * f.low, 100 * f.high), 2, " %") for f in (row.abort, row.complete, row.hold)]
    return (*shares, interval(row.bad, 1), minutes, efficiency)


def interval(figure: Figure, digits: int, unit: str = "") -> str:
    """12.3 (11.9-12.7)."""
    return f"{figure.value:.{digits}f}{unit} ({figure.low:.{digits}f}..{figure.high:.{digits}f})"


def side_by_side(rows: Sequence[Row], truths: Sequence[str]) -> str:
    """One line per scenario, one column per policy: P(abort), and for harmful canaries bad requests and minutes too."""
    policies = [name for name in POLICIES if any(row.policy == name for row in rows)]
    found = {(row.scenario, row.policy): row for row in rows if row.truth in truths}
    scenarios = list(dict.fromkeys(name for name, _ in found))
    lines = ["| scenario | " + " | ".join(policies) + " |", "|---|" + "---:|" * len(policies)]
    for name in scenarios:
        cells = [_short(found[name, policy]) if (name, policy) in found else "" for policy in policies]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _short(row: Row) -> str:
    if row.truth != "worse":
        return percent(row.abort.value)
    found = f"{percent(row.abort.value)}, {count(row.bad.value)}"
    return f"{found}, {row.minutes.value:.0f} min" if row.minutes else found


def percent(x: float) -> str:
    """0.0012 -> 0.12 %, 0.734 -> 73 %."""
    if x >= 0.0995:
        return f"{100 * x:.0f} %"
    return f"{100 * x:.2f} %" if x else "0"


def count(x: float) -> str:
    """12345.6 -> 12 300, 16.2 -> 16."""
    if abs(x) < 10:
        return f"{x:.1f}"
    digits = max(0, len(str(int(abs(x)))) - 3)
    return f"{int(round(x, -digits)):,}".replace(",", " ")


def plot(rows: Sequence[Row], path: Path) -> None:
    """Two panels: false aborts where the canary is as good as stable, bad requests where it is not."""
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415  # only this needs it

    good = [row for row in rows if row.truth != "worse"]
    bad = [row for row in rows if row.truth == "worse"]
    policies = [name for name in POLICIES if any(row.policy == name for row in rows)]
    panels = [(part, title) for part, title in ((good, "aborted, though healthy"), (bad, "bad requests served")) if part]
    tall = max(len({row.scenario for row in part}) for part, _ in panels)
    canvas = Canvas(figsize=(9 * len(panels), 2.2 + 0.26 * tall), layout="constrained")
    for place, (part, title) in enumerate(panels, 1):
        axes = canvas.add_subplot(1, len(panels), place)
        scenarios = list(dict.fromkeys(row.scenario for row in part))
        for k, name in enumerate(policies):
            mine = [row for row in part if row.policy == name]
            figures = [row.abort if part is good else row.bad for row in mine]
            floor = 1e-4 if part is good else 0.5
            x = [max(figure.value, floor) for figure in figures]
            y = [len(scenarios) - 1 - scenarios.index(row.scenario) for row in mine]
            ours = name.startswith("ours")
            size, shape = (46, "D") if ours else (22, "o")
            axes.scatter(x, y, s=size, marker=shape, color=f"C{k}", label=name, zorder=3 if ours else 2, alpha=0.85)
        axes.set_xscale("log")
        axes.set_yticks(range(len(scenarios)), labels=scenarios[::-1], fontsize=8)
        axes.set_title(title)
        axes.grid(axis="both", alpha=0.25)
        if part is good:
            axes.axvline(0.01, color="black", lw=1, ls="--")
            axes.set_xlabel("part of rollouts (log; the dashed line is 1 %, what stands leftmost is none)")
        else:
            axes.set_xlabel("beyond what stable would have served, within two hours (log)")
    canvas.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(policies), fontsize=9)
    save(canvas, path)
