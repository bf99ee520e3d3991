"""Say what happens: every commit with its sentence as it lands, and what is being waited for meanwhile."""

import asyncio
import sys
import time
from dataclasses import dataclass, field

from lab import readings
from lab.story import Commit, Seconds, log
from lab.world import BRANCH, World

BOLD, DIM, PLAIN = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")


def say(text: str, style: str = "") -> None:
    """One line, with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {style}{text}{PLAIN if style else ''}", flush=True)


@dataclass
class Narrator:
    """Watches the remote's branch and tells every commit once."""

    world: World
    told: str = ""
    commits: list[Commit] = field(default_factory=list)
    waiting_for: str = ""
    apps: tuple[str, ...] = ()
    every: float = 5.0

    async def run(self) -> None:
        """Tell until cancelled."""
        quiet = time.monotonic()
        while True:
            if await self.tell():
                quiet = time.monotonic()
            elif self.waiting_for and time.monotonic() - quiet >= self.every:
                quiet = time.monotonic()
                await self.progress()
            await asyncio.sleep(0.4)

    async def tell(self) -> bool:
        """Tell what is new; True if something was."""
        new = await log(self.world.remote, BRANCH, self.told)
        for commit in new:
            self.told = commit.sha
            self.commits.append(commit)
            say(f"{commit.sha[:8]} {commit.subject}  ({commit.author})", BOLD)
            if commit.sentence:
                say(f"         {commit.sentence}")
        return bool(new)

    async def progress(self) -> None:
        """What it waits for, and what the clients and the controller see."""
        parts = [await self._one(app) for app in self.apps]
        say(f"... {self.waiting_for}. {'; '.join(part for part in parts if part)}", DIM)

    async def _one(self, app: str) -> str:
        last = Seconds.read(self.world.logs / f"load-{app}.jsonl").last(5)
        if not last.rows:
            return ""
        served = last.parts("served")
        canary = sum(count for by, count in served.items() if by.startswith("canary/"))
        everything = sum(served.values())
        text = f"{app}: canary answered {canary} of {everything} in 5 s, {last.total('failed')} failed"
        queries = readings.of_app(app)
        if not canary:
            return text
        harm, safe = [await readings.value(self.world.prometheus.url, queries[name]) for name in ("harm", "safe")]
        return text + (f", harm {harm:.3g}, safe {safe:.3g}" if harm is not None and safe is not None else "")
