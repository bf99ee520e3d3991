"""Render folders of a git revision with the real kustomize, again only when what they can read has changed."""

import asyncio
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab import tools
from lab.processes import LabError

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # pragma: no cover
    from yaml import SafeLoader as Loader  # type: ignore[assignment]


class RenderError(Exception):
    """Kustomize refused; the message is its own."""


async def command(*argv: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run a program; its exit code, output and error output."""
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


async def git(*arguments: str, cwd: Path | None = None) -> str:
    """Run git, which must succeed."""
    code, out, error = await command("git", *arguments, cwd=cwd)
    if code != 0:
        raise LabError(f"git {' '.join(arguments)}: {error.strip()}")
    return out


@dataclass
class Checkout:
    """A clone of the remote that belongs to the syncer."""

    remote: str
    branch: str
    folder: Path
    rendered: dict[str, tuple[str, list[dict[str, Any]] | str]] = field(default_factory=dict)
    trees: dict[str, str] = field(default_factory=dict)

    async def head(self) -> str:
        """The remote branch's commit."""
        out = await git("ls-remote", self.remote, f"refs/heads/{self.branch}")
        if not out:
            raise LabError(f"{self.remote} has no branch {self.branch}")
        return out.split()[0]

    async def take(self, revision: str) -> None:
        """Check a revision out."""
        if not (self.folder / ".git").exists():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            await git("clone", "-q", "--no-checkout", self.remote, str(self.folder))
        else:
            await git("fetch", "-q", "origin", self.branch, cwd=self.folder)
        await git("checkout", "-q", "--force", "--detach", revision, cwd=self.folder)
        await git("clean", "-qfdx", cwd=self.folder)
        listing = await git("ls-tree", "-r", "-d", "-t", revision, cwd=self.folder)
        entries = [line.split(None, 3) for line in listing.splitlines()]
        top = await git("ls-tree", revision, cwd=self.folder)
        entries += [line.split(None, 3) for line in top.splitlines()]
        self.trees = {path: sha for _, _, sha, path in entries}

    def directories(self) -> list[str]:
        """Every folder of the revision."""
        return sorted(path for path in self.trees if (self.folder / path).is_dir())

    def read(self, path: str) -> str:
        """A file of the revision."""
        return (self.folder / path).read_text()

    async def render(self, folder: str) -> list[dict[str, Any]]:
        """The folder's objects."""
        key = self._inputs(folder)
        before = self.rendered.get(folder)
        if before is None or before[0] != key:
            before = self.rendered[folder] = (key, await self._kustomize(folder))
        if isinstance(before[1], str):
            raise RenderError(before[1])
        return before[1]

    def _inputs(self, folder: str) -> str:
        """A digest of all that the folder may read: the whole tree without the other releases and environments."""
        parent, top = folder.rpartition("/")[0], folder.partition("/")[0]
        chosen = {path: sha for path, sha in self.trees.items() if "/" not in path and path != top}
        chosen |= {path: self.trees[path] for path in (folder, f"{parent}/common") if path in self.trees}
        return hashlib.sha256(repr(sorted(chosen.items())).encode()).hexdigest()

    async def _kustomize(self, folder: str) -> list[dict[str, Any]] | str:
        code, out, error = await command(tools.kubectl(), "kustomize", folder, cwd=self.folder)
        if code != 0:
            return f"`kustomize build {os.path.join('.', folder)}` failed exit status {code}: {error.strip()}"
        return [item for item in yaml.load_all(out, Loader=Loader) if item]
