"""The figures as a Markdown table: one column per size, between them by how much each grew, last what it should be.

| target, at the largest size                     | limit              |
|-------------------------------------------------|--------------------|
| p95 of a steady tick                            | 5 s                |
| peak memory                                     | 256 MiB            |
| queries, steady and after a restart             | the same for all   |
| decisions after a restart, digest of them all   | the same           |
| start                                           | 0.5 s              |
| installed                                       | 40 MB              |
| backtest                                        | 5 000 lines/s      |
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from bench.footprint import Footprint
from bench.ticks import Size


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be, and whether it is."""

    figure: str
    limit: str
    met: bool

    def __str__(self) -> str:
        return f"{self.limit}: {'met' if self.met else 'MISSED'}"


def targets(sizes: Sequence[Size], cost: Footprint) -> list[Target]:
    """Return every target."""
    largest = max(sizes, key=lambda size: size.releases)
    return [
        Target("p95_s", "5 s", largest.p95_s < 5),
        Target("rss_mib", "256 MiB", largest.rss_mib < 256),
        Target("queries", "constant", len({size.queries for size in sizes}) == 1),
        Target("restart_queries", "constant", len({size.restart_queries for size in sizes}) == 1),
        Target("digest", "the same", all(size.agrees for size in sizes)),
        Target("start_s", "0.5 s", cost.start_s < 0.5),
        Target("installed_mb", "40 MB", cost.installed_mb < 40),
        Target("lines_per_s", "5 000 lines/s", cost.lines_per_s >= 5000),
    ]


def whole(number: float) -> str:
    """Return a number without decimals, in groups of three."""
    return f"{number:,.0f}".replace(",", " ")


def _short(number: float, digits: int) -> str:
    """Return a number with so many digits; a longer one without decimals, in groups of three."""
    text = f"{number:.{digits}g}"
    return whole(number) if "e+" in text else text


def _seconds(number: float) -> str:
    return f"{_short(number, 3)} s"


def _mebibytes(number: float) -> str:
    return f"{number:.0f} MiB"


def _megabytes(number: float) -> str:
    return f"{_short(number / 1e6, 3)} MB"


ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("in rollout", "in_flight", whole),
    ("commits in its one push", "commits", whole),
    ("steady tick, p50", "p50_s", _seconds),
    ("steady tick, p95", "p95_s", _seconds),
    ("steady tick, processor time", "cpu_s", _seconds),
    ("first tick after a restart", "restart_s", _seconds),
    ("the same, processor time", "restart_cpu_s", _seconds),
    ("first tick of all, with the clone", "first_s", _seconds),
    ("peak memory", "rss_mib", _mebibytes),
    ("Prometheus: queries a tick", "queries", whole),
    ("Prometheus: read a tick", "bytes", _megabytes),
    ("Prometheus: queries after a restart", "restart_queries", whole),
    ("Argo CD: pages a tick", "argocd_pages", whole),
    ("Argo CD: read a tick", "argocd_bytes", _megabytes),
)


def table(sizes: Sequence[Size], cost: Footprint) -> str:
    """Return both tables, of the ticks and of the rest."""
    wanted = {target.figure: str(target) for target in targets(sizes, cost)}
    heads = _between([whole(size.releases) for size in sizes], [size.releases for size in sizes])
    rows = [["releases", *heads, "target"], ["---", *["---:"] * len(heads), "---"]]
    for name, figure, form in ROWS:
        values = [float(getattr(size, figure)) for size in sizes]
        rows.append([name, *_between([form(value) for value in values], values), wanted.get(figure, "")])
    same = ["yes" if size.agrees else "NO" for size in sizes]
    rows.append(["decisions after a restart: the same", *_between(same, []), wanted["digest"]])
    rest = [
        ["the controller", "", "target"],
        ["---", "---:", "---"],
        ["start, all imports", f"{cost.start_s:.2g} s", wanted["start_s"]],
        ["installed, with its dependencies", f"{cost.installed_mb:.1f} MB", wanted["installed_mb"]],
        [f"backtest, {whole(cost.lines)} lines", f"{whole(cost.lines_per_s)} lines/s", wanted["lines_per_s"]],
    ]
    return "\n\n".join([_drawn(rows), _drawn(rest), f"On {machine()}."])


def machine() -> str:
    """Return what the figures depend on."""
    load = f"load average {os.getloadavg()[1]:.1f}"
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}; {load}"


def _between(texts: list[str], values: Sequence[float]) -> list[str]:
    """Put how much each value is of the one before between the texts."""
    ratios = [f"x {_short(after / before, 2)}" if before else "" for before, after in pairwise(values)] or [""] * (len(texts) - 1)
    return [cell for pair in zip_longest(texts, ratios, fillvalue="") for cell in pair][:-1]


def _drawn(rows: Sequence[Sequence[str]]) -> str:
    """Draw a table that reads well before it is rendered, too."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = [cell.endswith(":") for cell in rows[1]]

    def cell(text: str, column: int) -> str:
        if text.startswith("---"):
            return "-" * (widths[column] - right[column]) + ":" * right[column]
        return text.rjust(widths[column]) if right[column] else text.ljust(widths[column])

    return "\n".join("| " + " | ".join(cell(text, column) for column, text in enumerate(row)) + " |" for row in rows)
