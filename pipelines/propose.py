"""A pull request's branch, made beside the work tree and not in it: `rollout start` on the commit that is proposed on.

Run again with the same version, it finds its branch as it left it and changes nothing; where the base has moved, the branch is
made anew on it. Nobody's files are touched.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.text import Proposal, subject
from rollout import diff
from rollout.errors import BadInput
from rollout.git import Repo, open_here
from rollout.people import Desk, start
from rollout.release import Key, ModelVersion


@contextmanager
def tree_at(repo: Repo, commit: str) -> Iterator[Desk]:
    """A work tree of its own at a commit, gone afterwards; branches made in it stay."""
    with tempfile.TemporaryDirectory(prefix="propose-") as folder:
        path = Path(folder) / "tree"
        repo.run("worktree", "add", "--quiet", "--detach", str(path), commit)
        try:
            yield Desk.at(Repo(path, repo.branch, repo.env))
        finally:
            repo.run("worktree", "remove", "--force", str(path), check=False)
            repo.run("worktree", "prune", check=False)


def branch_of(key: Key, version: str) -> str:
    """The branch that proposes a version: one open pull request per release."""
    return f"train/{key.env}-{key.app}-{version}"


def propose(root: Path, base: str, key: Key, model: ModelVersion, body: str = "") -> tuple[str, Proposal]:
    """Leave a branch that starts `model` on `base`; return its name and what it proposes."""
    repo = open_here(root)
    with tree_at(repo, base) as desk:
        state = desk.state(key)
        old, plan = state.release.model, desk.history.plan(key)
        change = start(desk, key, model, reopen=False)
        branch = branch_of(key, model.version)
        message = f"{subject(key, model.version)}\n\n{body}"
        committed(desk.repo, branch, base, message, (key.folder,))
    return branch, Proposal(key, old, model, plan, change, _vetoes(desk, key.app))


def committed(tree: Repo, branch: str, base: str, message: str, paths: Sequence[str]) -> None:
    """Leave a branch with one commit of these paths on `base`; one that is there already is left as it is."""
    tree.run("add", "--", *paths)
    if _same(tree, branch, base):
        return
    known = tree.run("config", "user.email", check=False).strip()
    who = [] if known else ["-c", "user.name=train", "-c", "user.email=train@localhost"]  # a runner has no name of its own
    tree.run(*who, "commit", "--quiet", "-m", message)
    tree.run("branch", "--force", branch, "HEAD")


def _same(tree: Repo, branch: str, base: str) -> bool:
    """Whether the branch is there, on this base, with these files."""
    there = tree.run("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^", check=False).strip()
    if there != tree.resolve(base):
        return False
    return tree.run("rev-parse", f"refs/heads/{branch}^{{tree}}").strip() == tree.run("write-tree").strip()


def _vetoes(desk: Desk, app: str) -> list[str]:
    """What was vetoed of an app, in every environment: a version is promoted nowhere once one of them has had enough of it."""
    keys = sorted(key for key in desk.history.releases if key.app == app)
    return [f"{veto.model.version} in {key.env} ({veto.reason})" for key in keys for veto in desk.state(key).vetoes]


def manifests(root: Path, base: str, branch: str) -> str:
    """What the branch does to every release, rendered, as markdown; why not, where nothing can render it."""
    try:
        return diff.text(diff.compare(open_here(root), f"{base}..{branch}"), markdown=True)
    except BadInput as error:
        return f"Not rendered here: {error}."
