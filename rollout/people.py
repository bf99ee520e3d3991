"""What a person, or a bot in a person's place, does to the repository: start, promote, rollback,
abort. All of it in a work tree.

`start` and `promote` edit files and leave the commit, and the pull request, to whoever runs it. `rollback` and `abort` commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rollout import change
from rollout import release as releases
from rollout.decide import Action, Change, Decision
from rollout.errors import BadInput, Refused
from rollout.git import GitError, Repo
from rollout.history import History
from rollout.release import FILES, Key, ModelVersion
from rollout.state import State, Walk


@dataclass(slots=True)
class Desk:
    """A work tree, and what its history says."""

    repo: Repo
    history: History

    @classmethod
    def at(cls, repo: Repo) -> Desk:
        """Read the history of the checked-out commit; raise BadInput where it is cut off."""
        if repo.shallow():
            raise BadInput("--repo", "", f"{repo.path} is a shallow clone; `git fetch --unshallow` would be right")
        history = History(repo.text)
        history.extend(repo.commits(repo.resolve("HEAD")))
        root = Path(repo.run("rev-parse", "--show-toplevel").strip())
        return cls(Repo(root, repo.branch, repo.env), history)

    def state(self, key: Key) -> State:
        """Return a release's state; raise BadInput when there is none."""
        tracked = self.history.releases.get(key)
        if tracked is None:
            known = ", ".join(str(one) for one in sorted(self.history.releases)) or "none"
            raise BadInput("release", "", f"{key} is not in the repository; known: {known}")
        if tracked.error or tracked.state is None:
            raise tracked.error or BadInput(key.folder, "", "was never whole")
        return tracked.state

    def texts(self, key: Key) -> dict[str, str]:
        """Return a release's files as they lie in the work tree."""
        folder = self.repo.path / key.folder
        return {name: (folder / name).read_text(errors="replace") for name in FILES if (folder / name).is_file()}

    def save(self, key: Key, files: dict[str, str]) -> None:
        """Write files of a release."""
        for name, text in files.items():
            (self.repo.path / key.folder / name).write_text(text)

    def ready(self, key: Key, walk: Walk) -> None:
        """Raise Refused where a walk cannot be taken back: a work tree with changes, or nothing to go back to."""
        dirty = self.repo.run("status", "--porcelain", "--untracked-files=no").splitlines()
        if dirty:
            raise Refused(f"{key}: {dirty[0][3:]} has changes that are not committed; commit or stash them first")
        if not walk.before or self.repo.tree(walk.before, key.folder) is None:
            raise Refused(f"{key}: nothing is known from before its start; model.yaml and the toggle are set by hand")

    def commit(self, key: Key, message: str) -> str:
        """Commit a release's folder, and nothing else."""
        self.repo.run("commit", "--quiet", "-m", message, "--", key.folder)
        return self.repo.resolve("HEAD")


def start(desk: Desk, key: Key, model: ModelVersion, *, reopen: bool) -> str:
    """Edit the tree so that `model` is walked; return the diff. Raise Refused where the rules forbid it."""
    state, texts = desk.state(key), desk.texts(key)
    release = releases.parse(key, texts)
    if state.walk is not None or release.toggle is releases.Toggle.IN_ROLLOUT:
        raise Refused(f"{key} is in rollout to {release.model.version}; one at a time: let it end, or revert its pull request")
    if release.model.version == model.version or release.model.runs_like(model):
        raise Refused(f"{key} runs {release.model.version} already")
    veto = state.veto_on(model)
    if veto and not reopen:
        raise Refused(
            f"{key}: {model.version} is vetoed since {veto.commit[:10]}: {veto.reason}; "
            "a person may try it again with --attempt, a machine may not"
        )
    attempt = veto.attempt + 1 if veto else 1
    wanted = ModelVersion(model.version, model.model_uri, model.sha256, model.image, attempt)
    desk.save(key, change.start(release, texts, wanted))
    return desk.repo.run("diff", "--", key.folder)


def promote(desk: Desk, app: str, source: str, target: str) -> str:
    """Edit the tree so that what `source` has completed is walked in `target`; return the diff. The same version and bytes.

    Refused: what is still in rollout there, what no rollout brought there, and what is vetoed in any environment.
    """
    here, there = Key(source, app), Key(target, app)
    state = desk.state(here)
    model = state.release.model
    if state.walk is not None:
        raise Refused(f"{here} is in rollout to {model.version}; only what has completed is promoted")
    if state.brought_by is None:
        raise Refused(f"{here} runs {model.version}, which no rollout brought there: nothing that was tried could be promoted")
    for key in sorted(desk.history.releases):
        veto = desk.state(key).veto_on(model) if key.app == app else None
        if veto:
            raise Refused(f"{here}: {model.version} is vetoed in {key.env} since {veto.commit[:10]}: {veto.reason}")
    return start(desk, there, ModelVersion(model.version, model.model_uri, model.sha256, model.image), reopen=False)


def rollback(desk: Desk, key: Key) -> tuple[str, str]:
    """Revert the pull request that brought the present version; return the new commit and what will happen."""
    state = desk.state(key)
    walk = state.brought_by
    if walk is None:
        raise Refused(f"{key}: no rollout brought {state.release.model.version}, so there is no pull request to revert")
    desk.ready(key, walk)
    commit = walk.start.commit
    merge = len(desk.repo.run("rev-list", "--parents", "-n1", commit).split()) > 2
    try:
        desk.repo.run("revert", "--no-edit", *(["-m", "1"] if merge else []), commit)
    except GitError as error:
        torn = ", ".join(desk.repo.run("diff", "--name-only", "--diff-filter=U").split())
        desk.repo.run("revert", "--abort", check=False)
        why = f"conflict in {torn}" if torn else str(error)
        raise Refused(f"{key}: {commit[:10]} does not revert cleanly: {why}; newer changes are reverted first") from None
    return desk.repo.resolve("HEAD"), _after_revert(key, state, walk)


def _after_revert(key: Key, state: State, walk: Walk) -> str:
    before, release = walk.start.release.stable.version, state.release
    version = release.model.version
    going = [f"canary {version} leaves at once"] if state.walk else []
    if state.walk is None or release.stable.runs_like(release.model):
        going.append(f"stable {version} is replaced pod by pod")
    return (
        f"reverted {walk.start.commit[:10]}: {key} goes back to {before}, {', '.join(going)}; {version} is vetoed until a person "
        "raises its attempt; push it, and Argo CD does the rest"
    )


def abort(desk: Desk, key: Key, reason: str) -> tuple[str, str]:
    """Commit what the controller would: canary at 0 %, or closed when it has no traffic; return the commit and its subject.

    Where stable.yaml names the version already, 0 % would only go on with the completion: it is closed at once as well.
    """
    state, texts = desk.state(key), desk.texts(key)
    walk, release = state.walk, state.release
    if walk is None:
        raise Refused(f"{key} is at rest on {release.model.version}: nothing to abort; `rollout rollback` goes back")
    desk.ready(key, walk)
    if release.canary and not release.stable.runs_like(release.model):
        decision = Decision(Action.ABORT, reason, Change.CANARY, 0)
        desk.save(key, change.apply(decision, release, texts))
    else:
        decision = Decision(Action.ABORT, reason, Change.TAKE_BACK)
        desk.repo.run("checkout", "--no-overlay", walk.before, "--", key.folder)
    subject = change.subject(decision, release)
    return desk.commit(key, f"{subject}\n\n{reason}\n"), subject
