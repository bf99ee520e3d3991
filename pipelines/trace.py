"""From a version to the rows and the commit that it was made from, and back: the registry says which, git says where it runs.

| asked for          | found                                                       |
|--------------------|-------------------------------------------------------------|
| nothing            | every registered version of the app                         |
| a version          | that one                                                    |
| the sha256         | the version with these bytes                                |
| rows' sha256       | the versions that were made from these rows                 |
| a commit           | the versions that were made by this code                    |

A digest or a commit may be cut short, as people do. The bytes are asked of the store too: what it holds under the version is
what the registry names, or the trace says that it is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model import store
from model.table import BadInput
from pipelines import registry
from pipelines.propose import tree_at
from rollout.git import open_here

ASKED = ("version", "sha256", "rows", "commit")


@dataclass(frozen=True)
class Traced:
    """One version and all that it hangs on. published: whether the store holds these very bytes; runs: environments."""

    app: str
    version: str
    uri: str
    sha256: str
    published: bool
    rows: str
    origin: str
    count: int
    commit: str
    run: str
    aliases: Sequence[str]
    runs: Sequence[str]

    def __str__(self) -> str:
        """For people."""
        held = "published" if self.published else "NOT what the store holds"
        facts = {
            "bytes": f"{self.uri}, sha256 {self.sha256}, {held}",
            "rows": f"{self.count:,} {self.origin}, sha256 {self.rows}",
            "commit": self.commit,
            "run": self.run,
            "aliases": ", ".join(self.aliases) or "none",
            "runs in": ", ".join(self.runs) or "no environment",
        }
        return "\n".join([f"{self.app} {self.version}", *(f"  {name:8} {said}" for name, said in facts.items())])

    def plain(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def trace(root: Path, to: Any, shop: store.Files, app: str, asked: Mapping[str, str]) -> list[Traced]:
    """The registered versions that fit what is asked; raise BadInput where none does."""
    held, running = store.versions(shop, app), _running(root, app)
    found = [
        Traced(
            app=app,
            version=one.tags["version"],
            uri=one.source,
            sha256=one.tags["sha256"],
            published=held.get(one.tags["version"]) == one.tags["sha256"],
            rows=one.tags["rows.sha256"],
            origin=one.tags["rows.origin"],
            count=int(one.tags["rows"]),
            commit=one.tags["commit"],
            run=one.run_id,
            aliases=aliases,
            runs=running.get(one.tags["sha256"], ()),
        )
        for one, aliases in registry.versions(to, app)
    ]
    fitting = [one for one in found if all(_fits(getattr(one, name), value, name) for name, value in asked.items())]
    if not fitting:
        said = ", ".join(f"{name} {value}" for name, value in asked.items()) or "any version"
        known = ", ".join(one.version for one in found) or "none"
        raise BadInput(f"registry: {app}: nothing has {said}; registered are: {known}")
    return fitting


def _fits(has: str, wanted: str, name: str) -> bool:
    return has == wanted if name == "version" else has.startswith(wanted)


def _running(root: Path, app: str) -> dict[str, list[str]]:
    """The environments that run each digest, by HEAD: at rest the version wanted; in rollout stable and canary."""
    found: dict[str, list[str]] = {}
    with tree_at(open_here(root), "HEAD") as desk:
        for key in sorted(one for one in desk.history.releases if one.app == app):
            state = desk.state(key)
            release = state.release
            arms = {release.model.sha256: key.env}
            if state.walk is not None:
                arms = {release.model.sha256: f"{key.env} (canary, {release.canary} %)", release.stable.sha256: key.env}
            for sha256, where in arms.items():
                found.setdefault(sha256, []).append(where)
    return found
