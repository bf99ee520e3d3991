"""What a controller works through: keys, each in one worker's hands at a time.

A key added while it is being worked on is worked on again afterwards; one that failed is tried again a little later, so that an
API server that was away for a while costs nothing but time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from lab.processes import LabError

Key = tuple[str, str]
AGAIN = 1.0  # seconds until a key that failed is tried again


class WorkQueue:
    """Keys waiting, and the work on one of them."""

    def __init__(self, work: Callable[[Key], Awaitable[None]], log: logging.Logger, again: float = AGAIN) -> None:
        self.work, self.log, self.again = work, log, again
        self._waiting: dict[Key, None] = {}
        self._busy: set[Key] = set()
        self._wake = asyncio.Event()

    def add(self, key: Key) -> None:
        """Have a key worked on, soon."""
        self._waiting[key] = None
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; anything but a LabError ends it."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for key in [key for key in self._waiting if key not in self._busy]:
                    del self._waiting[key]
                    self._busy.add(key)
                    tasks.create_task(self._one(key))

    async def _one(self, key: Key) -> None:
        try:
            await self.work(key)
        except LabError as error:
            self.log.warning("%s: %s", "/".join(key), error)
            asyncio.get_running_loop().call_later(self.again, self.add, key)
        finally:
            self._busy.discard(key)
            self._wake.set()
