"""The report's pictures: one column of four per app, as SVG text, with every commit marked."""

import io
import math
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from lab.readings import Series
from lab.story import Commit, Seconds

INK = {"stable": "#3b6ea5", "canary": "#d1662c", "committed": "#222222", "bad": "#b3261e", "good": "#2e7d32", "quiet": "#8a8a8a"}
VERSIONS = ("#a9c4de", "#f0b592", "#3b6ea5", "#d1662c", "#7a9e7e", "#9b59b6")
GAP = 3.0  # seconds without a reading, from which on a line is broken


@dataclass(frozen=True)
class Material:
    """What one app's pictures are made of."""

    app: str
    began: float
    commits: list[Commit]
    series: dict[str, Series]
    client: Seconds


def draw(material: Material) -> str:
    """The pictures of one app, as SVG."""
    out = io.StringIO()
    figure(material).savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def figure(material: Material) -> Figure:
    """The four pictures of one app above each other."""
    mpl.rcParams.update({"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    drawn = Figure(figsize=(11, 11), layout="constrained")
    axes = drawn.subplots(4, 1, sharex=True, height_ratios=[3, 2, 2.5, 2.5])
    _traffic(axes[0], material)
    _errors(axes[1], material)
    _evidence(axes[2], material)
    _requests(axes[3], material)
    axes[3].set_xlabel("seconds since the demo began")
    for axis in axes:
        axis.grid(axis="y", alpha=0.25)
        for commit in material.commits:
            axis.axvline(commit.time - material.began, color=INK["quiet"], linewidth=0.6, linestyle=":")
    return drawn


def _plot(axis: Any, material: Material, name: str, **style: Any) -> bool:
    """One line, broken where nothing was read for a while."""
    times, values, before = [], [], None
    for t, value in material.series.get(name, []):
        if before is not None and t - before > GAP:
            times.append(before - material.began)
            values.append(float("nan"))
        times.append(t - material.began)
        values.append(value)
        before = t
    axis.plot(times, values, **style)
    return bool(times)


def _traffic(axis: Any, material: Material) -> None:
    """Committed and measured share of the canary; the commits by name."""
    end = max((row["t"] for row in material.client.rows), default=material.began) - material.began
    times = [commit.time - material.began for commit in material.commits] + [end]
    shares = [commit.canary if commit.in_rollout else 0 for commit in material.commits]
    axis.step(times, [*shares, shares[-1] if shares else 0], where="post", color=INK["committed"], label="committed")
    _plot(axis, material, "canary_share", color=INK["canary"], linewidth=1, label="answered by the canary (over 5 s)")
    axis.set_ylim(-2, 75)
    axis.set_ylabel("canary, % of traffic")
    axis.set_title(f"{material.app}: traffic, committed and measured", loc="left")
    place = float("-inf")
    for commit in material.commits:
        place = max(commit.time - material.began, place + end / 70)  # labels side by side, not over each other
        label = {"rotation": 90, "fontsize": 7, "va": "bottom", "ha": "center", "color": INK["committed"]}
        axis.annotate(short(commit.subject), (place, 32), **label)
    axis.legend(loc="upper left", frameon=False, fontsize=8)


def short(subject: str) -> str:
    """A commit's subject without the release's name and without the reason."""
    head, _, rest = subject.partition(": ")
    if subject.startswith("Revert"):
        return "Revert " + rest.strip('"')
    return (rest or head).split(": ")[0]


def _errors(axis: Any, material: Material) -> None:
    for arm in ("stable", "canary"):
        points = [(t, 100 * v) for t, v in material.series.get(f"errors_{arm}", []) if not math.isnan(v)]
        axis.plot([t - material.began for t, _ in points], [v for _, v in points], ".", color=INK[arm], ms=3, label=arm)
    axis.set_ylabel("errors, %")
    axis.set_title("error rate of both arms (over 5 s)", loc="left")
    axis.legend(loc="upper left", frameon=False, fontsize=8)


def _evidence(axis: Any, material: Material) -> None:
    """Both tests, each against its threshold."""
    drawn = _plot(axis, material, "harm", color=INK["bad"], linewidth=1.2, label="e-value of harm")
    _plot(axis, material, "harm_threshold", color=INK["bad"], linewidth=0.8, linestyle="--", label="abort from here")
    _plot(axis, material, "safe", color=INK["good"], linewidth=1.2, label="e-value of safety, this step")
    _plot(axis, material, "safe_threshold", color=INK["good"], linewidth=0.8, linestyle="--", label="safe from here")
    if drawn:
        axis.set_yscale("log")
        axis.set_ylim(bottom=0.05)
        axis.legend(loc="upper left", frameon=False, fontsize=8, ncols=2)
    else:
        axis.text(0.5, 0.5, "no reading", transform=axis.transAxes, ha="center", color=INK["quiet"])
    axis.set_title("the evidence, as the controller saw it", loc="left")


def _requests(axis: Any, material: Material) -> None:
    """Who answered the clients, second by second, and what went wrong."""
    rows = material.client.rows
    times = [row["t"] - material.began for row in rows]
    names = sorted(material.client.parts("served"), key=lambda name: (name.split("/")[1], name))
    shades = [VERSIONS[place % len(VERSIONS)] for place in range(len(names))]
    parts = [[row["served"].get(name, 0) for row in rows] for name in names]
    if names:
        axis.stackplot(times, parts, labels=names, colors=shades, alpha=0.65, linewidth=0)
    failed = [sum(row["failed"].values()) for row in rows]
    lost = [sum(row["lost"].values()) for row in rows]
    axis.plot(times, failed, color=INK["committed"], linewidth=1, label=f"failed by the model: {sum(failed)}")
    axis.plot(times, lost, color=INK["bad"], linewidth=1.5, label=f"lost: {sum(lost)}")
    axis.set_ylim(bottom=-3)
    axis.set_ylabel("requests per second")
    axis.set_title("who answered, as the clients counted (predictor/version)", loc="left")
    axis.legend(loc="center left", fontsize=8, ncols=2, framealpha=0.8)
