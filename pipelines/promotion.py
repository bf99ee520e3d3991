"""Which promotion is due: an environment has handed over to a version, and the next one does not have it.

| order   | next     |
|---------|----------|
| dev     | staging  |
| staging | prod     |

Due is what changed stable.yaml in a span of commits, runs a version that a rollout brought there or is just bringing, and may
be started in the next environment as far as git knows: there is a release of the app, it neither runs nor walks that version,
and no environment has vetoed it. Everything else is `rollout promote`'s to refuse.
"""

from dataclasses import dataclass

from rollout.git import Repo
from rollout.people import Desk
from rollout.release import Key
from rollout.state import Kind, State

ORDER = ("dev", "staging", "prod")


@dataclass(frozen=True)
class Promotion:
    """An app's version, from where it has completed to where it is to start."""

    app: str
    source: str
    target: str

    def plain(self) -> dict[str, str]:
        """As a workflow's matrix has it."""
        return {"app": self.app, "from": self.source, "to": self.target}


def due(repo: Repo, span: str) -> list[Promotion]:
    """The promotions that BASE..HEAD make due."""
    ends = repo.ends(span)
    desk = Desk.at(repo)
    pattern = ":(glob)overlays/*/*/release/stable.yaml"
    paths = repo.run("diff", "--name-only", "--no-renames", *ends, "--", pattern).splitlines()
    keys = sorted(Key(path.split("/")[1], path.split("/")[2]) for path in paths)
    found = [_next(desk, key) for key in keys if key in desk.history.releases and key.env in ORDER[:-1]]
    return [one for one in found if one]


def _next(desk: Desk, key: Key) -> Promotion | None:
    there = Key(ORDER[ORDER.index(key.env) + 1], key.app)
    if there not in desk.history.releases or not _arrived(desk.state(key)):
        return None
    model = desk.state(key).release.model
    mine = [desk.state(one) for one in desk.history.releases if one.app == key.app]
    if desk.state(there).release.model.runs_like(model) or any(state.veto_on(model) for state in mine):
        return None
    return Promotion(key.app, key.env, there.env)


def _arrived(state: State) -> bool:
    handed = state.kind in (Kind.HANDING_OVER, Kind.HANDED_OVER)
    return handed or (state.kind is Kind.REST and state.brought_by is not None)
