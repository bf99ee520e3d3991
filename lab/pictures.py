"""The report's pictures: one column of four per app, as SVG text, with every commit marked."""

import io
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from lab.readings import Series
from lab.story import Commit, Seconds

INK = {"stable": "#3b6ea5", "canary": "#d1662c", "committed": "#222222", "bad": "#b3261e", "quiet": "#8a8a8a"}


@dataclass(frozen=True)
class Material:
    """What one app's pictures are made of."""

    app: str
    began: float
    commits: list[Commit]
    series: dict[str, Series]
    client: Seconds


def draw(material: Material) -> str:
    """The pictures of one app."""
    mpl.rcParams.update({"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(11, 11), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True, height_ratios=[3, 2, 2, 2])
    _traffic(axes[0], material)
    _errors(axes[1], material)
    _evidence(axes[2], material)
    _requests(axes[3], material)
    axes[3].set_xlabel("seconds since the demo began")
    for axis in axes:
        axis.grid(axis="y", alpha=0.25)
        for commit in material.commits:
            axis.axvline(commit.time - material.began, color=INK["quiet"], linewidth=0.6, linestyle=":")
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _plot(axis: Any, material: Material, name: str, **style: Any) -> bool:
    points = material.series.get(name, [])
    axis.plot([t - material.began for t, _ in points], [v for _, v in points], **style)
    return bool(points)


def _traffic(axis: Any, material: Material) -> None:
    """Committed and measured share of the canary; the commits by name."""
    end = max((row["t"] for row in material.client.rows), default=material.began)
    times = [commit.time - material.began for commit in material.commits] + [end - material.began]
    shares = [commit.canary if commit.in_rollout else 0 for commit in material.commits]
    axis.step(times, [*shares, shares[-1] if shares else 0], where="post", color=INK["committed"], label="committed")
    _plot(axis, material, "canary_share", color=INK["canary"], linewidth=1, label="answered by the canary (5 s)")
    axis.set_ylim(-2, 75)
    axis.set_ylabel("canary, % of traffic")
    axis.set_title(f"{material.app}: traffic, committed and measured", loc="left")
    for place, commit in enumerate(material.commits):
        axis.annotate(
            commit.subject.split(": ", 1)[-1][:44],
            (commit.time - material.began, 32),
            rotation=90,
            fontsize=7,
            va="bottom",
            ha="right" if place % 2 else "left",
            color=INK["quiet"],
        )
    axis.legend(loc="upper left", frameon=False, fontsize=8)


def _errors(axis: Any, material: Material) -> None:
    for arm in ("stable", "canary"):
        points = [(t, 100 * v) for t, v in material.series.get(f"errors_{arm}", []) if v == v]  # noqa: PLR0124  # not NaN
        axis.plot([t - material.began for t, _ in points], [v for _, v in points], ".", color=INK[arm], ms=3, label=arm)
    axis.set_ylabel("errors, %")
    axis.set_title("error rate of both arms (5 s)", loc="left")
    axis.legend(loc="upper left", frameon=False, fontsize=8)


def _evidence(axis: Any, material: Material) -> None:
    drawn = _plot(axis, material, "e_value", color=INK["bad"], linewidth=1.2, label="e-value of harm")
    _plot(axis, material, "threshold", color=INK["committed"], linewidth=0.8, linestyle="--", label="abort at")
    if drawn:
        axis.set_yscale("log")
        axis.set_ylim(bottom=0.05)
        axis.legend(loc="upper left", frameon=False, fontsize=8)
    else:
        axis.text(0.5, 0.5, "no reading", transform=axis.transAxes, ha="center", color=INK["quiet"])
    axis.set_title("evidence of harm against its threshold, as the controller saw it", loc="left")


def _requests(axis: Any, material: Material) -> None:
    rows = material.client.rows
    times = [row["t"] - material.began for row in rows]
    axis.plot(times, [row["sent"] for row in rows], color=INK["stable"], linewidth=1, label="sent")
    failed = [sum(row["failed"].values()) for row in rows]
    lost = [sum(row["lost"].values()) for row in rows]
    axis.plot(times, failed, color=INK["canary"], linewidth=1, label=f"failed by the model (in all {sum(failed)})")
    axis.plot(times, lost, color=INK["bad"], linewidth=1.5, label=f"lost (in all {sum(lost)})")
    axis.set_ylim(bottom=-3)
    axis.set_ylabel("requests per second")
    axis.set_title("the clients' side", loc="left")
    axis.legend(loc="center left", frameon=False, fontsize=8)
