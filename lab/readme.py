"""`python -m lab.readme [FOLDER]`: writes the README's walk, picture and figures from a demo, by default out/demo, its
table of costs from out/bench, and the times on a real control plane from out/e2e.

| block, up to `<!-- end -->` | is replaced by                                                      |
|-----------------------------|---------------------------------------------------------------------|
| `<!-- demo: NAME -->`       | what NAME makes of the demo's report.json and repo.git              |
| `<!-- bench: table -->`     | table.md, as `make bench` left it                                   |
| `<!-- e2e: times -->`       | times.json, as `make e2e` left it                                   |

Blocks whose command was not run stay as they are.
"""

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DEMO = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "demo"
PICTURE = ROOT / "docs" / "demo-credit.svg"
TABLE = ROOT / "out" / "bench" / "table.md"
TIMES = ROOT / "out" / "e2e" / "times.json"


def walk(report: dict[str, Any]) -> str:
    """Every commit of credit's releases, with its sentence."""
    lines = []
    for commit in report["releases"]["credit"]:
        lines.append(f"{commit['sha'][:8]} {commit['subject']}")
        if commit["author"] == "rollout":
            lines += textwrap.wrap(commit["sentence"], 110, initial_indent="         ", subsequent_indent="         ")
    return "\n".join(["```", *lines, "```"])


def diffs(report: dict[str, Any]) -> str:
    """The start, one step, and the completion's first commit, as git shows them."""
    commits = report["releases"]["credit"]
    wanted = [commits[0], *(next(c for c in commits if c["subject"].endswith(end)) for end in ("at 5 %", "1 -> 2"))]
    blocks = []
    for commit in wanted:
        words = ["git", "-C", str(DEMO / "repo.git"), "show", "--format=", "-U1", commit["sha"]]
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
        kept = [line for line in shown if not line.startswith(("diff ", "index ", "--- "))]
        blocks.append("\n".join([f"`{commit['subject']}`", "```diff", *(line.removeprefix("+++ b/") for line in kept), "```"]))
    return "\n\n".join(blocks)


def figures(report: dict[str, Any]) -> str:
    """What the clients counted."""
    rows = ["| app | requests sent | failed by a model | lost while routes changed |", "|---|---|---|---|"]
    for app, counts in report["requests"].items():
        if isinstance(counts, dict):
            failed, lost = (sum(counts[name].values()) for name in ("failed", "lost"))
            rows.append(f"| {app} | {counts['sent']} | {failed} | {lost} |")
    agreed = json.loads(report["audit"]["output"])
    told = f"`rollout audit`: {agreed['agree']} decisions follow from their commits, {agreed['disagree']} do not."
    return "\n".join([*rows, "", told])


def delivery(report: dict[str, Any]) -> str:
    """The DORA figures of the demo's commits, and how the pipeline's runs ended."""
    said = (
        "The four DORA figures of these commits, by `rollout dora`, and how training ended, by `python -m pipelines runs`\n"
        "(the demo aborts one version of `credit` and rolls back the other on purpose):"
    )
    return f"{said}\n\n{report['delivery']}"


def times(seconds: dict[str, float]) -> str:
    """What the stories on a real control plane measured."""
    return "\n".join(["| | seconds |", "|---|---:|", *(f"| {what} | {took:.1f} |" for what, took in sorted(seconds.items()))])


BLOCKS: dict[str, Callable[[dict[str, Any]], str]] = {"walk": walk, "diffs": diffs, "figures": figures, "delivery": delivery}


def filled(text: str, block: str, content: str) -> str:
    """Return the text with a block's content replaced."""
    whole = f"<!-- {block} -->\n{content}\n<!-- end -->"
    return re.sub(rf"<!-- {block} -->.*?<!-- end -->", lambda _: whole, text, flags=re.DOTALL)


def main() -> None:
    """Rewrite the README and the picture."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    if (DEMO / "report.json").exists():
        report = json.loads((DEMO / "report.json").read_text())
        for name, make in BLOCKS.items():
            text = filled(text, f"demo: {name}", make(report))
        page = (DEMO / "report.html").read_text()
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(page[page.index("<svg") : page.index("</svg>") + len("</svg>")] + "\n")
    if TABLE.exists():
        text = filled(text, "bench: table", TABLE.read_text().strip())
    if TIMES.exists():
        text = filled(text, "e2e: times", times(json.loads(TIMES.read_text())))
    readme.write_text(text)


if __name__ == "__main__":
    main()
