"""The model card: one version for people, as markdown and as one html page with its plots inside.

Figures come from judge.py; nothing is measured here but the curves that are drawn. Plots are SVG without dates or random
names, so that the same version gives the same card.
"""

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.app import App, Data, Model, held_out, split
from model.curve import roc
from model.evaluate import TENTHS
from model.features import Vector
from model.judge import Candidate, Stable
from model.table import take

SHOWN = 12  # features in the plot of importance
EXPLAINED = 2000  # rows that importance is taken over


@dataclass(frozen=True)
class Identity:
    """What a version was made from: rows, commit, libraries."""

    version: str
    uri: str
    data_sha256: str
    commit: str
    libraries: Mapping[str, str]


def markdown(app: App, candidate: Candidate, stable: Stable, data: Data, identity: Identity) -> str:
    """The card's text."""
    title = f"# {app.name} {identity.version}: {app.target.meaning}"
    parts = [
        title,
        _lead(candidate, data),
        "## Gates\n\n" + verdicts(candidate),
        "## Figures\n\n" + figures(candidate, stable),
        "## Groups\n\n" + groups(candidate),
        "## Features\n\n" + fields(app),
        "## Identity\n\n" + _identity(candidate, identity),
        "## Limits\n\n" + _limits(app, data),
    ]
    return "\n\n".join(parts) + "\n"


def _lead(candidate: Candidate, data: Data) -> str:
    rows = f"{len(data.target):,} rows ({data.origin} data)"
    return f"Learned by {candidate.name} from {rows}; a fifth was held out, and every figure is of those, with its 95 % interval."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def verdicts(candidate: Candidate) -> str:
    """One line per gate."""
    return table(("gate", "outcome", "because"), [(v.gate, v.outcome, v.sentence) for v in candidate.verdicts])


def figures(candidate: Candidate, stable: Stable) -> str:
    """New beside old, each with its interval."""
    old = stable.figures or {}
    rows = [(name, str(new), str(old.get(name, ""))) for name, new in candidate.figures.items()]
    flagged = (
        f"\n\nFlagged from a predicted {candidate.threshold:g} on." if candidate.served and "recall" in candidate.figures else ""
    )
    return table(("figure", "new", stable.name), rows) + flagged


def groups(candidate: Candidate) -> str:
    """How each group is served."""
    rows = [
        (g.kind, g.name, f"{g.rows:,}", f"{g.seen:,.3f}", f"{g.predicted:,.3f}", str(g.score)) for g in candidate.served.groups
    ]
    gaps = ", ".join(f"{kind} {gap}" for kind, gap in candidate.served.gaps.items()) or "none compared"
    score = "recall" if "recall" in candidate.figures else "error / the whole's"
    return table(("kind", "group", "rows", "seen", "predicted", score), rows) + f"\n\nGreatest differences: {gaps}."


def fields(app: App) -> str:
    """The schema: raw and derived, with what each may be."""
    meaning = {column.name: column.meaning for column in app.columns}
    rows = [
        (one["name"], one["kind"], one.get("unit", one["type"]), one.get("formula") or meaning[one["name"]], _may_be(one))
        for one in app.fields
    ]
    return f"Schema {app.schema}.\n\n" + table(("name", "kind", "type or unit", "meaning or formula", "may be"), rows)


def _may_be(one: Mapping[str, Any]) -> str:
    if "categories" in one:
        return ", ".join(map(str, one["categories"]))
    low, high = one.get("low"), one.get("high")
    return "any" if low is None or high is None else f"{low:,} to {high:,}"


def _identity(candidate: Candidate, identity: Identity) -> str:
    facts = {
        "address": identity.uri,
        "sha256": candidate.sha256,
        "rows (sha256)": identity.data_sha256,
        "commit": identity.commit,
        **identity.libraries,
        "size": f"{candidate.size:,} bytes",
        "99 of 100 predictions": f"within {candidate.milliseconds:.2f} ms",
    }
    return table(("what", "is"), list(facts.items()))


def _limits(app: App, data: Data) -> str:
    made = "The rows are generated: no figure here says anything about real cases. " if data.origin == "generated" else ""
    return f"{made}{app.limits}"


def page(app: App, text: str, plots: Mapping[str, str]) -> str:
    """The card as one html page: the markdown's tables and paragraphs, and the plots; it asks for nothing from elsewhere."""
    body = "\n".join(_block(block) for block in text.strip().split("\n\n"))
    drawn = "\n".join(f"<figure>{svg}<figcaption>{html.escape(name)}</figcaption></figure>" for name, svg in plots.items())
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}"
        "td,th{border:1px solid #ccc;padding:.2rem .5rem;text-align:left;vertical-align:top}"
        "figure{display:inline-block;margin:0 1rem 1rem 0}"
    )
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{app.name}</title><style>{style}</style>'
    return f"{head}\n<body>\n{body}\n<h2>Plots</h2>\n{drawn}\n</body></html>\n"


def _block(block: str) -> str:
    if block.startswith("#"):
        level = len(block) - len(block.lstrip("#"))
        return f"<h{level}>{html.escape(block.lstrip('# '))}</h{level}>"
    if not block.startswith("|"):
        return f"<p>{html.escape(block)}</p>"
    head, _, *rows = [[html.escape(cell) for cell in line[2:-2].split(" | ")] for line in block.splitlines()]
    lines = [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
    return f"<table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>{''.join(lines)}</table>"


def plots(app: App, model: Model, data: Data) -> dict[str, str]:
    """The plots, each as SVG: what the predictions are worth, and what moves them."""
    table, target = held_out(app, data), data.target[split(len(data.target))[1]]
    predicted = model.predict(table, "held-out rows")
    drawn = {"Importance: mean absolute SHAP value (TreeSHAP), held-out rows": _importance(app, model, data)}
    if app.probability:
        return {"ROC": _roc(target, predicted), "Calibration, tenths of the rows": _tenths(target, predicted), **drawn}
    return {"Predicted and seen, tenths of the rows": _tenths(target, predicted), **drawn}


def _roc(target: Vector, predicted: Vector) -> str:
    alarms, found, _ = roc(target, predicted)
    return _svg(lambda axes: (axes.plot(alarms, found), axes.plot([0, 1], [0, 1], ":")), "false alarms", "found")


def _tenths(target: Vector, predicted: Vector) -> str:
    parts = np.array_split(np.argsort(predicted, kind="stable"), TENTHS)
    said, seen = ([float(of[part].mean()) for part in parts] for of in (predicted, target))
    ends = [min(said[0], seen[0]), max(said[-1], seen[-1])]
    return _svg(lambda axes: (axes.plot(said, seen, "o-"), axes.plot(ends, ends, ":")), "predicted", "seen")


def _importance(app: App, model: Model, data: Data) -> str:
    rows = split(len(data.target))[1][:EXPLAINED]
    worth = np.abs(model.learner.shap(model.content, model.matrix(take(data.table, rows, app.columns)))).mean(axis=0)
    top = np.argsort(worth, kind="stable")[-SHOWN:]
    names = [one["name"] for one in app.fields]
    return _svg(lambda axes: axes.barh([names[i] for i in top], worth[top]), "mean absolute SHAP value", "")


def _svg(draw: Callable[[Any], object], across: str, up: str) -> str:
    import matplotlib as mpl  # noqa: PLC0415  # only a card needs it
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({"svg.hashsalt": "card", "font.size": 8}):
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set(xlabel=across, ylabel=up)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return re.sub(r"(?s)^.*?<svg", "<svg", drawn.getvalue())
