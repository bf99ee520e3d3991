"""Where Argo CD's letters to people go: a small HTTP receiver, in the place of a chat's incoming webhook. It keeps them."""

import hmac
import json
import secrets
import time
from dataclasses import dataclass, field

from aiohttp import web

from lab.processes import free_port, listening


@dataclass
class Letters:
    """The receiver. told: when, and the words of each letter; refused: how many came without the token."""

    port: int = field(default_factory=free_port)
    token: str = field(default_factory=lambda: secrets.token_hex(20))
    told: list[tuple[float, str]] = field(default_factory=list)
    refused: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where letters are posted."""
        return f"http://127.0.0.1:{self.port}/letters"

    async def up(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/letters", self._take)
        self._runner = await listening(app, self.port)

    async def down(self) -> None:
        """Refuse connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get("Authorization", ""), f"Bearer {self.token}"):
            self.refused += 1
            return web.Response(status=401)
        self.told.append((time.time(), str(json.loads(await request.text())["text"])))
        return web.Response(text="ok")
