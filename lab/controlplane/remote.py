"""The git remote: a bare repository behind `git http-backend`, over HTTP on loopback, with users who may read or push.

Whoever has no password gets 401; whoever may only read gets 403 on a push. After a push that moved the branch it sends the
webhook that GitHub would, signed with the shared secret, to whoever is to be told. It can be taken down and come back.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from lab.processes import free_port, listening
from lab.render import git


@dataclass(frozen=True)
class User:
    """Who may do what."""

    name: str
    password: str
    push: bool


@dataclass
class Remote:
    """The repository and its server."""

    repository: Path
    branch: str
    port: int = field(default_factory=free_port)
    users: dict[str, User] = field(default_factory=dict)
    hooks: list[str] = field(default_factory=list)  # URLs that get the webhook
    hook_secret: str = field(default_factory=lambda: secrets.token_hex(20))
    pushes: list[tuple[str, str, float]] = field(default_factory=list)  # who, commit, when
    _runner: web.AppRunner | None = None
    _sending: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Without a user's name: what stands in the repository itself."""
        return f"http://127.0.0.1:{self.port}/{self.repository.name}"

    def user(self, name: str, *, push: bool) -> User:
        """Make a user."""
        self.users[name] = User(name, secrets.token_hex(16), push)
        return self.users[name]

    async def up(self) -> None:
        """Listen."""
        if self._runner is None:
            await git("config", "http.receivepack", "true", cwd=self.repository)
            app = web.Application(client_max_size=1 << 30)
            app.router.add_route("*", "/{path:.*}", self._answer)
            self._runner = await listening(app, self.port)

    async def down(self) -> None:
        """Refuse connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def head(self) -> str:
        """The branch's commit; read as git writes it at a push, or asked of git where that was packed."""
        with contextlib.suppress(FileNotFoundError):
            return (self.repository / "refs" / "heads" / self.branch).read_text().strip()
        return (await git("rev-parse", f"refs/heads/{self.branch}", cwd=self.repository)).strip()

    def _who(self, request: web.Request) -> User | None:
        kind, _, word = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None
        name, _, password = base64.b64decode(word).decode().partition(":")
        found = self.users.get(name)
        return found if found and hmac.compare_digest(found.password, password) else None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        user = self._who(request)
        if user is None:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'}, text="who are you?\n")
        pushing = "git-receive-pack" in request.path_qs
        if pushing and not user.push:
            return web.Response(status=403, text=f"{user.name} may read, and not push\n")
        if not (pushing and request.method == "POST"):
            return await self._backend(request, user)
        before = await self.head()
        answer = await self._backend(request, user)
        if (after := await self.head()) != before:
            self.pushes.append((user.name, after, time.time()))
            task = asyncio.create_task(self._tell(before, after))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return answer

    async def _backend(self, request: web.Request, user: User) -> web.Response:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.repository.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{request.match_info['path']}",
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_USER": user.name,
            "REMOTE_ADDR": "127.0.0.1",
        }
        body = await request.read()  # unpacked, should git have sent it packed
        environment["CONTENT_LENGTH"] = str(len(body))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, env=environment
        )
        out, _ = await process.communicate(body)
        head, _, rest = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        headers.pop("Content-Length", None)
        return web.Response(status=status, headers=headers, body=rest)

    async def _tell(self, before: str, after: str) -> None:
        names = await git("diff", "--name-only", before, after, cwd=self.repository)
        page = self.url.removesuffix(".git")
        event = {
            "ref": f"refs/heads/{self.branch}",
            "before": before,
            "after": after,
            "repository": {"html_url": page, "clone_url": self.url, "default_branch": self.branch},
            "commits": [{"id": after, "added": [], "removed": [], "modified": names.split()}],
        }
        body = json.dumps(event).encode()
        signature = hmac.new(self.hook_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={signature}"}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            for url in self.hooks:
                try:
                    async with session.post(url, data=body, headers=headers) as answer:
                        await answer.read()
                except (aiohttp.ClientError, TimeoutError, OSError):
                    continue  # as GitHub: it tries once; Argo CD's polling is the net below
