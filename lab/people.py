"""What people do in the story: a clone, a branch, a pull request merged by squash, a plain revert."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.processes import LabError
from lab.render import command, git

AUTHOR = ("-c", "user.name=A. Person", "-c", "user.email=person@example.com", "-c", "commit.gpgsign=false")


async def bare_remote(source: Path, remote: Path, branch: str) -> None:
    """A bare remote whose branch is the source repository's HEAD.

    A shallow source gives one commit with HEAD's tree: the controller refuses shallow histories, rightly.
    """
    remote.parent.mkdir(parents=True, exist_ok=True)
    await git("init", "-q", "--bare", f"--initial-branch={branch}", str(remote))
    if (await git("rev-parse", "--is-shallow-repository", cwd=source)).strip() == "true":
        await git("fetch", "-q", "--depth=1", str(source), "HEAD", cwd=remote)
        arguments = ("commit-tree", "FETCH_HEAD^{tree}", "-m", "The tree of a shallow clone")
        commit = (await git(*AUTHOR, *arguments, cwd=remote)).strip()
        (remote / "shallow").unlink(missing_ok=True)
    else:
        await git("fetch", "-q", str(source), "HEAD", cwd=remote)
        commit = (await git("rev-parse", "FETCH_HEAD", cwd=remote)).strip()
    await git("update-ref", f"refs/heads/{branch}", commit, cwd=remote)


@dataclass
class People:
    """A person's clone of the remote."""

    remote: Path | str
    folder: Path
    branch: str = "main"

    async def clone(self) -> None:
        """Clone the remote."""
        await git("clone", "-q", "--branch", self.branch, str(self.remote), str(self.folder))
        for setting in AUTHOR[1::2]:  # for who works in this clone by hand
            await git("config", *setting.split("=", 1), cwd=self.folder)

    async def fresh(self) -> str:
        """The branch as it is on the remote now."""
        await git("fetch", "-q", "origin", self.branch, cwd=self.folder)
        await git("checkout", "-q", "--force", "-B", self.branch, f"origin/{self.branch}", cwd=self.folder)
        await git("clean", "-qfd", cwd=self.folder)
        return (await git("rev-parse", "HEAD", cwd=self.folder)).strip()

    async def commit(self, message: str, files: Mapping[str, str]) -> str:
        """Write files and push them, if they change anything."""

        async def change() -> None:
            for path, text in files.items():
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / path).write_text(text)
            await git("add", "--all", cwd=self.folder)
            if await git("status", "--porcelain", cwd=self.folder):  # the files may say so already
                await git(*AUTHOR, "commit", "-q", "-m", message, cwd=self.folder)

        return await self._push(change)

    async def pull_request(self, title: str, number: int, edit: list[str]) -> str:
        """Run a command that edits the tree on a branch, then merge it by squash; the commit on the main branch."""
        name = f"pr-{number}"
        await self.fresh()
        await git("checkout", "-q", "-B", name, cwd=self.folder)
        code, out, error = await command(*edit, cwd=self.folder)
        if code != 0:
            raise LabError(f"`{' '.join(edit)}` ended with {code}\n{out}{error}")
        await git("add", "--all", cwd=self.folder)
        await git(*AUTHOR, "commit", "-q", "-m", title, cwd=self.folder)
        await git("push", "-q", "--force", "origin", name, cwd=self.folder)
        return await self.merge(name, title, number)

    async def merge(self, branch: str, title: str, number: int, text: str = "") -> str:
        """Merge a branch of the remote by squash, with the pull request's text as the commit's; the commit on the main branch."""

        async def change() -> None:
            await git("fetch", "-q", "origin", branch, cwd=self.folder)
            await git("merge", "-q", "--squash", "FETCH_HEAD", cwd=self.folder)
            await git(*AUTHOR, "commit", "-q", "-m", f"{title} (#{number})", *(("-m", text) if text else ()), cwd=self.folder)

        return await self._push(change)

    async def revert(self, commit: str) -> str:
        """Plain `git revert`, pushed."""

        async def change() -> None:
            await git(*AUTHOR, "revert", "--no-edit", commit, cwd=self.folder)

        return await self._push(change)

    async def _push(self, change: Callable[[], Awaitable[None]]) -> str:
        """Make a change on the newest commit and push it; again if somebody was faster."""
        for _ in range(20):
            await self.fresh()
            await change()
            code, _, error = await command("git", "push", "-q", "origin", self.branch, cwd=self.folder)
            if code == 0:
                return (await git("rev-parse", "HEAD", cwd=self.folder)).strip()
            await asyncio.sleep(0.1)
        raise LabError(f"push refused twenty times: {error.strip()}")
