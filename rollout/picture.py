"""Pictures of a backtest: what was seen, what it was worth, and what was decided; a column per run.

| panel    | shows, over minutes since the canary reached the first step                                                |
|----------|------------------------------------------------------------------------------------------------------------|
| traffic  | the canary percent the plan has in force, and the share of the requests that the canary had                |
| errors   | both arms' error rates over the last minute, or the last twentieth of the whole where that is longer       |
| evidence | e-values on a log scale, each with its threshold; after the end nothing is judged. Tests that never reached |
|          | 2 are left out, harm by errors and safety are not                                                          |

Every decision but hold is a line through all panels, with its name; grey: no data, or metrics down. matplotlib draws; the
controller does not have it.
"""

from __future__ import annotations

import io
import math
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

from rollout.errors import BadInput

SUFFIXES = (".svg", ".png")
MOST = 6  # runs in one picture
MINUTE = 60.0
LEGEND: dict[str, Any] = {"loc": "upper left", "fontsize": 8, "ncols": 2, "edgecolor": "none", "framealpha": 0.9}
WIDE = 100  # letters of a headline's line
INK = {"stable": "#3b6ea5", "canary": "#d1662c", "plan": "#222222", "bad": "#b3261e", "good": "#2e7d32", "quiet": "#8a8a8a"}
TESTS = (  # e-value, its colour, what it is called, what its threshold means
    ("harm", INK["bad"], "harm by errors", "abort"),
    ("ceiling", "#9b59b6", "over the ceiling", "abort"),
    ("latency", "#b58900", "harm by slowness", "abort"),
    ("share", "#5f6a72", "does not answer", "abort"),
    ("safe", INK["good"], "safe, this step", "safe"),
)
ALWAYS = ("harm", "safe")
SHOWN = (0.05, 1e5)  # e-values outside are drawn at the edge


class Moment(NamedTuple):
    """One batch of a backtest: (requests, errors) of each arm, None without data, and the answer to it."""

    stable: tuple[int, int] | None
    canary: tuple[int, int] | None
    answer: dict[str, Any]


class Album:
    """The moments of each run, for one picture at `path`; refuses a picture that could not be made before any work is done."""

    def __init__(self, path: Path) -> None:
        refused_early(path)
        self.path, self.runs = path, dict[str, list[Moment]]()

    def add(self, run: str, moment: Moment) -> None:
        """Remember a batch. Raises ValueError for the first batch of one run too many."""
        if run not in self.runs and len(self.runs) == MOST:
            raise ValueError(f"run: is {run!r}, the {MOST + 1}th; with --plot {MOST} runs at most would be right")
        self.runs.setdefault(run, []).append(moment)

    def write(self, first: int) -> None:
        """Draw and save; `first` is the plan's first percent. Raises BadInput without a batch: there is nothing to draw."""
        if not self.runs:
            raise BadInput("--plot", "", "there is no batch to draw")
        save(drawn(self.runs, first), self.path)


def refused_early(path: Path) -> None:
    """Raise BadInput for a suffix that is no picture's, without matplotlib, and for a place that cannot be written."""
    if path.suffix not in SUFFIXES:
        raise BadInput("--plot", "", f"{path} does not end in {' or '.join(SUFFIXES)}, which would be right")
    try:
        import matplotlib  # noqa: F401, PLC0415  # only pictures need it
    except ImportError:
        raise BadInput("--plot", "", "needs matplotlib, which the controller does not: pip install 'rollout[simulate]'") from None
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise BadInput("--plot", "", f"{path} cannot be written: {error.strerror}") from None


def save(figure: Any, path: Path) -> None:
    """Write a matplotlib figure, the same bytes for the same figure; raise BadInput when it cannot be."""
    import matplotlib as mpl  # noqa: PLC0415  # see refused_early

    mpl.rcParams["svg.hashsalt"] = "rollout"
    whole = io.BytesIO()
    figure.savefig(whole, format=path.suffix[1:], metadata={"Date": None} if path.suffix == ".svg" else None, dpi=120)
    try:
        path.write_bytes(whole.getvalue())
    except OSError as error:
        raise BadInput("--plot", "", f"{path} cannot be written: {error.strerror}") from None


def drawn(runs: Mapping[str, Sequence[Moment]], first: int) -> Any:
    """The picture of all runs as a matplotlib figure; `first` is the plan's first percent."""
    import matplotlib as mpl  # noqa: PLC0415  # see refused_early
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams.update({"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(4 + 7 * len(runs), 9), layout="constrained")
    columns = figure.subplots(3, len(runs), sharex="col", squeeze=False, height_ratios=[2, 2, 3]).T
    for axes, (name, moments) in zip(columns, runs.items(), strict=True):
        times = [moment.answer["t"] / MINUTE for moment in moments]
        over = next((k for k, one in enumerate(moments) if one.answer["decision"] in ("complete", "abort")), len(moments) - 1)
        _traffic(axes[0], times, moments, [first, *(moment.answer["traffic"] for moment in moments[:over])])
        _errors(axes[1], times, moments)
        _evidence(axes[2], times[: over + 1], moments[: over + 1])
        axes[2].set_xlabel("minutes since the canary reached the first step")
        axes[0].set_title(_headline(name, moments[over].answer), loc="left", fontsize=9, pad=22)
        for axis in axes:
            axis.grid(axis="y", alpha=0.25)
            axis.set_xlim(0, 1.02 * max(times))
        _silences(axes, times, moments)
        _decisions(axes, times[: over + 1], moments[: over + 1])
    return figure


def _headline(name: str, last: dict[str, Any]) -> str:
    return "\n".join([f"{name}: {last['decision']} after {last['t'] / MINUTE:.1f} min", *wrap(last["reason"], WIDE)])


def _traffic(axis: Any, times: Sequence[float], moments: Sequence[Moment], percents: Sequence[int]) -> None:
    """`percents` were in force during each batch, until the last decision; afterwards nothing is said."""
    both = [(one.canary[0], one.canary[0] + one.stable[0]) if one.canary and one.stable else (0, 0) for one in moments]
    had = [_percent(*pair) for pair in both]
    axis.plot(times, had, ".", ms=3, color=INK["canary"], label="requests the canary had, batch by batch")
    axis.step(
        [0.0, *times[: len(percents)]], [percents[0], *percents], where="pre", color=INK["plan"], label="in force, by the plan"
    )
    _headroom(axis, [*percents, *had])
    axis.set_ylabel("canary, % of traffic")
    axis.legend(**LEGEND)


def _errors(axis: Any, times: Sequence[float], moments: Sequence[Moment]) -> None:
    lasts, drawn = max(1.0, round(times[-1] / 20)), list[float]()
    for arm in ("stable", "canary"):
        lately: deque[tuple[float, int, int]] = deque()
        rates = []
        for now, moment in zip(times, moments, strict=True):
            requests, errors = getattr(moment, arm) or (0, 0)
            lately.append((now, requests, errors))
            while lately[0][0] <= now - lasts:
                lately.popleft()
            rates.append(_percent(sum(e for _, _, e in lately), sum(n for _, n, _ in lately)))
        axis.plot(times, rates, color=INK[arm], linewidth=1.2, label=arm)
        drawn += rates
    _headroom(axis, drawn)
    axis.set_ylabel(f"errors over {lasts:.0f} min, %")
    axis.legend(**LEGEND)


def _headroom(axis: Any, values: Sequence[float]) -> None:
    """From 0 to somewhat above the highest, so that the legend hides nothing."""
    axis.set_ylim(0, 1.3 * max((value for value in values if not math.isnan(value)), default=1.0) or 1.0)


def _evidence(axis: Any, times: Sequence[float], moments: Sequence[Moment]) -> None:
    told = [moment.answer["evidence"] for moment in moments]
    for name, colour, words, meaning in TESTS:
        values = [min(max(one[name] or 0.0, SHOWN[0]), SHOWN[1]) for one in told]
        if name in ALWAYS or max(values) >= 2:
            need = told[-1][f"{name}_threshold"]
            axis.plot(times, values, color=colour, linewidth=1.3, label=f"{words} ({meaning} from {need:.0f} on, dashed)")
            axis.axhline(need, color=colour, linewidth=0.8, linestyle="--")
    axis.set_yscale("log")
    axis.set_ylim(*SHOWN)
    axis.set_ylabel("e-value")
    axis.legend(**LEGEND)


def _silences(axes: Sequence[Any], times: Sequence[float], moments: Sequence[Moment]) -> None:
    """Grey where the batch had no data to judge."""
    for begin, end, moment in zip([0.0, *times], times, moments, strict=False):
        if moment.answer["verdict"] in ("no data", "metrics down"):
            for axis in axes:
                axis.axvspan(begin, end, color=INK["quiet"], alpha=0.2, linewidth=0)


def _decisions(axes: Sequence[Any], times: Sequence[float], moments: Sequence[Moment]) -> None:
    for at, moment in zip(times, moments, strict=True):
        decision, percent = moment.answer["decision"], moment.answer["traffic"]
        if decision == "hold":
            continue
        colour = INK["bad"] if decision == "abort" else INK["good"]
        for axis in axes:
            axis.axvline(at, color=colour, linewidth=1)
        label = f"advance to {percent} %" if decision == "advance" else decision
        place = {"ha": "right" if at > 0.9 * axes[0].get_xlim()[1] else "center", "va": "bottom", "fontsize": 8, "color": colour}
        axes[0].annotate(label, (at, 1.02), xycoords=("data", "axes fraction"), **place)


def _percent(part: int, whole: int) -> float:
    """A part in percent, NaN of nothing, which leaves a gap."""
    return 100 * part / whole if whole else math.nan
