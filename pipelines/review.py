"""What the check says under a pull request, as one comment: what the change does to releases, and how a new version was judged.

The words come first and always; rendered manifests are left out, the longest first, where the forge would not take the whole.
How a version was judged stands in the commit that proposes it: `python -m pipelines train` writes it there.
"""

from dataclasses import replace

from pipelines.text import JUDGED
from rollout.diff import compare, text
from rollout.git import Repo

LIMIT = 60_000  # characters; the forge takes 65 536


def review(repo: Repo, span: str) -> str:
    """The text for the commits BASE..HEAD."""
    found = compare(repo, span)
    judged = [body for body in _bodies(repo, span) if JUDGED in body]
    left = 0
    while found and len(told := _told(text(found, markdown=True), judged, left, span)) > LIMIT:
        longest = max(range(len(found)), key=lambda place: len("\n".join(found[place].lines)))
        if not found[longest].lines:
            return told[:LIMIT]
        found[longest], left = replace(found[longest], lines=()), left + 1
    return _told(text(found, markdown=True), judged, left, span)


def _told(words: str, judged: list[str], left: int, span: str) -> str:
    blocks = ["## What this does to releases", words.rstrip()]
    if left:
        blocks.append(f"Manifests of {left} more: `rollout diff {span}`.")
    if judged:
        blocks += ["## How the new version was judged", *judged]
    return "\n\n".join(blocks) + "\n"


def _bodies(repo: Repo, span: str) -> list[str]:
    return [body.strip() for body in repo.run("log", "-z", "--reverse", "--format=%b", span).split("\0")]
