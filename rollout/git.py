"""Git at the edge: a bare clone that is only a cache, its first-parent history, and commits made without a work tree.

The clone can be deleted at any time: nothing is remembered in it that the remote does not hold. Commits are written by
`git fast-import` on top of what was fetched, and pushed without force; a push that is refused changes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rollout.errors import BadInput
from rollout.history import Commit

_NEXT = "refs/rollout/next"  # only a name within one fast-import: whoever shares the cache never sees it
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_LOG = ("--first-parent", "--reverse", "--diff-merges=first-parent", "--raw", "--no-abbrev", "--no-renames", "--root")


class GitError(Exception):
    """A git command that failed; the message is git's own."""


class Rejected(Exception):
    """The remote has moved on, or refuses: fetch, and think again. transient: whether that can help."""

    def __init__(self, message: str, *, moved: bool) -> None:
        self.moved = moved
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Write:
    """A commit to be made. files: path -> text; trees: path -> tree id that replaces the folder."""

    message: str
    files: Mapping[str, str] = field(default_factory=dict)
    trees: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Repo:
    """A repository on disk. env: what git is told besides, such as an identity."""

    path: Path
    branch: str = "main"
    env: Mapping[str, str] = field(default_factory=dict)
    _blobs: subprocess.Popen[bytes] | None = None
    _held: BinaryIO | None = None

    def run(self, *words: str, given: bytes | None = None, check: bool = True) -> str:
        """Run git, return what it printed; raise GitError with its last words when it fails."""
        done = _git(["-C", str(self.path), *words], given, self.env)
        if check and done.returncode:
            raise GitError(_last_words(done.stderr) or f"git {words[0]} ended with {done.returncode}")
        return done.stdout.decode(errors="replace")

    def resolve(self, ref: str) -> str:
        """Return the commit id a name stands for; raise BadInput when there is none."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
        except GitError:
            raise BadInput(str(self.path), ref, "names no commit of this repository") from None

    def ends(self, span: str, field: str = "range") -> tuple[str, str]:
        """Return the two commit ids of BASE..HEAD, HEAD by default; raise BadInput naming the field where it is none."""
        base, dots, head = span.partition("..")
        if not dots or not base or base.endswith(".") or head.startswith("."):
            raise BadInput(field, "", f"is {span!r}; BASE..HEAD, such as origin/main..HEAD, would be right")
        return self.resolve(base), self.resolve(head or "HEAD")

    def shallow(self) -> bool:
        """Whether history is cut off."""
        return self.run("rev-parse", "--is-shallow-repository").strip() == "true"

    def chain(self, tip: str, after: str = "") -> list[str]:
        """Return the first-parent commits up to `tip`, oldest first, those after `after` only."""
        return self.run("rev-list", "--first-parent", "--reverse", tip, *([f"^{after}"] if after else [])).split()

    def commits(self, tip: str, after: str = "") -> Iterator[Commit]:
        """Yield the first-parent commits that changed a release or a plan, oldest first.

        Raise GitError at the end when git died on the way: what was yielded is not all.
        """
        span = [f"{after}..{tip}"] if after else [tip]
        words = ["-c", "core.quotePath=false", "log", *_LOG, "--format=commit %H %ct %P", *span, "--", ":/overlays", ":/apps"]
        with subprocess.Popen(_words(self.path, words), stdout=subprocess.PIPE, env=_environment(self.env)) as log:
            assert log.stdout is not None
            yield from _parsed(line.decode(errors="replace").rstrip("\n") for line in log.stdout)
        if log.returncode:
            raise GitError(f"git log ended with {log.returncode}: the history was told only in part")

    def text(self, blob: str) -> str:
        """Return the text of a blob; raise GitError when git has no such object, or died."""
        if self._blobs is None:
            self._blobs = subprocess.Popen(
                _words(self.path, ["cat-file", "--batch"]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(self.env),
            )
        assert self._blobs.stdin is not None
        assert self._blobs.stdout is not None
        try:
            self._blobs.stdin.write(f"{blob}\n".encode())
            self._blobs.stdin.flush()
            header = self._blobs.stdout.readline().split()
            body = self._blobs.stdout.read(int(header[2]) + 1) if len(header) == 3 else b""
        except OSError:
            header, body = [], b""
        if not header or (len(header) == 3 and len(body) <= int(header[2])):
            self._end()  # the next call begins another
            raise GitError("git cat-file ended before it answered")
        if len(header) != 3:
            raise GitError(f"no object {blob}")
        return body[:-1].decode(errors="replace")

    def tree(self, commit: str, folder: str) -> str | None:
        """Return the id of a folder's tree in a commit, None where it is not there."""
        found = self.run("rev-parse", "--verify", "--quiet", f"{commit}:{folder}", check=False).strip()
        return found or None

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `older` is `newer` or one of its ancestors."""
        return not _git(["-C", str(self.path), "merge-base", "--is-ancestor", older, newer], None, self.env).returncode

    def write(self, parent: str, writes: Sequence[Write], when: int, author: str) -> str:
        """Make commits on top of `parent`, one after another; return the last one's id. No work tree, no branch is touched."""
        stream = b"".join(_stream(parent, writes, when, author))
        return self.run("fast-import", "--quiet", "--date-format=raw", given=stream).strip()

    def sign(self, parent: str, tip: str, key: Path) -> str:
        """Make the commits after `parent` again, signed with an SSH key; return the last one's id."""
        signed = parent
        for commit in self.chain(tip, parent):
            message = self.run("log", "-1", "--format=%B", commit).encode()
            fields = self.run("log", "-1", "--format=%an%n%ae%n%ct", commit).split("\n")
            date = f"{fields[2]} +0000"
            who = {"NAME": fields[0], "EMAIL": fields[1], "DATE": date}
            env = {**self.env, **{f"GIT_{role}_{name}": v for role in ("AUTHOR", "COMMITTER") for name, v in who.items()}}
            words = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}", "commit-tree", f"{commit}^{{tree}}"]
            signed = Repo(self.path, self.branch, env).run(*words, "-p", signed, "-S", given=message).strip()
        return signed

    def push(self, commit: str) -> None:
        """Push to the branch, never by force; raise Rejected when the remote does not take it."""
        words = ["-C", str(self.path), "push", "--porcelain", "origin", f"{commit}:refs/heads/{self.branch}"]
        done = _git(words, None, self.env)
        if done.returncode:
            said = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
            moved = any(word in said for word in ("non-fast-forward", "fetch first", "cannot lock ref", "failed to update ref"))
            raise Rejected(_refusal(said), moved=moved)

    def fetch(self) -> str:
        """Fetch the branch; return its tip. Raise GitError when the remote does not answer or lacks the branch."""
        ref = f"refs/remotes/origin/{self.branch}"
        words = ("fetch", "--quiet", "--no-tags", "origin", f"+refs/heads/{self.branch}:{ref}")
        try:
            self.run(*words)
        except GitError as error:
            if "cannot lock ref" not in str(error):
                raise
            self.run(*words)  # another controller in the same cache fetched at this moment
        return self.resolve(ref)

    def close(self) -> None:
        """End the helper process."""
        self._end()
        if self._held is not None:
            self._held.close()
            self._held = None

    def _end(self) -> None:
        if self._blobs is not None and self._blobs.stdin is not None and self._blobs.stdout is not None:
            with contextlib.suppress(OSError):  # what was written to a dead process cannot be flushed
                self._blobs.stdin.close()
            self._blobs.stdout.close()
            self._blobs.wait()
            self._blobs = None


def clone(url: str, path: Path, branch: str, env: Mapping[str, str]) -> Repo:
    """Open the cache at `path` as a bare clone of `url`, made if it is not there; a cache of another remote is refused."""
    repo = Repo(path, branch, env)
    with _made(path) as making:
        fcntl.flock(making, fcntl.LOCK_EX)  # the system lets go of a lock when its process ends, however it ends
        repo._held = _entered(path)
        _checked(["init", "--quiet", "--bare", str(path)], env)
        known = repo.run("remote", "get-url", "origin", check=False).strip()
        if not known:
            repo.run("remote", "add", "origin", url)
    if known not in ("", url):
        repo.close()
        raise BadInput("--cache", "", f"{path} is a clone of {known}; an empty folder, or a clone of {url}, would be right")
    return repo


def _made(path: Path) -> BinaryIO:
    """Make the cache's folder; return the file in it that is locked while the clone is made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        return (path / "making").open("wb")
    except OSError as error:
        told = f"is {str(path)!r}: {error.strerror}; a folder, there already or to be made, would be right"
        raise BadInput("--cache", "", told) from None


def _entered(path: Path) -> BinaryIO:
    """Remove what a killed git left locked in a cache, unless another controller is at work in it; at work while open."""
    held = (path / "in-use").open("wb")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for locks in (path.glob("*.lock"), (path / "refs").rglob("*.lock"), (path / "objects" / "info").rglob("*.lock")):
            for lock in locks:
                lock.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def open_here(path: Path, branch: str = "HEAD") -> Repo:
    """Open the repository that `path` lies in; raise BadInput when it lies in none."""
    done = _git(["-C", str(path), "rev-parse", "--git-dir"], None, {})
    if done.returncode:
        raise BadInput("--repo", "", f"{path} is no git repository; a clone of the deployment repository would be right")
    return Repo(path, branch)


def _checked(words: list[str], env: Mapping[str, str]) -> None:
    done = _git(words, None, env)
    if done.returncode:
        raise GitError(_last_words(done.stderr))


def _git(words: list[str], given: bytes | None, env: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    stdin: dict[str, object] = {"input": given} if given is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run(["git", *words], capture_output=True, env=_environment(env), check=False, **stdin)  # type: ignore[call-overload,no-any-return]


def _words(path: Path, words: list[str]) -> list[str]:
    return ["git", "-C", str(path), *words]


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **_QUIET, **env}


def _last_words(stderr: bytes) -> str:
    """What git says is wrong, without its advice."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
    return "; ".join((telling or lines)[-2:])


def _refusal(said: str) -> str:
    lines = [line.strip() for line in said.splitlines()]
    telling = [line for line in lines if line.startswith(("!", "remote:", "fatal:", "error:"))]
    return " ".join(" ".join(telling or lines).split())[:300]


def _parsed(lines: Iterable[str]) -> Iterator[Commit]:
    head: tuple[str, int, str] | None = None
    changes: list[tuple[str, str | None]] = []
    for line in lines:
        if line.startswith("commit "):
            if head is not None:
                yield Commit(head[0], head[2], head[1], tuple(changes))
            words = line.split(" ")
            head, changes = (words[1], int(words[2]), words[3] if len(words) > 3 else ""), []
        elif line.startswith(":"):
            facts, _, path = line.partition("\t")
            blob, status = facts.split(" ")[3:5]
            changes.append((path, None if status == "D" else blob))
    if head is not None:
        yield Commit(head[0], head[2], head[1], tuple(changes))


def _stream(parent: str, writes: Sequence[Write], when: int, author: str) -> Iterator[bytes]:
    for place, write in enumerate(writes):
        message = write.message.encode()
        yield f"commit {_NEXT}\nmark :1\ncommitter {author} {when} +0000\ndata {len(message)}\n".encode() + message + b"\n"
        if place == 0:
            yield f"from {parent}\n".encode()
        for path, tree in write.trees.items():
            yield f"M 040000 {tree} {path}\n".encode()
        for path, text in write.files.items():
            body = text.encode()
            yield f"M 100644 inline {path}\ndata {len(body)}\n".encode() + body + b"\n"
    yield f"get-mark :1\nreset {_NEXT}\nfrom {'0' * 40}\n".encode()
