"""The lab's command line.

`python -m lab demo`: the whole story, about three minutes. `python -m lab up`: the lab to play with, until Ctrl-C.
`python -m lab do ...`: something to do to the lab that is up.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from lab import tools
from lab.processes import LabError


async def _stoppable(story: Coroutine[Any, Any, int]) -> int:
    """The first SIGTERM or SIGINT cancels the story, whose clean-up then stops every process."""
    task = asyncio.ensure_future(story)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None if task.cancelling() else task.cancel())
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    print("stopped; every process has ended", flush=True)
    return 130


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="play the story").add_argument("--out", type=Path, default=Path("out/demo"))
    commands.add_parser("up", help="leave the lab running").add_argument("--out", type=Path, default=Path("out/lab"))
    do = commands.add_parser("do", help="do something to the lab that is up; without words: what there is")
    do.add_argument("--out", type=Path, default=Path("out/lab"))
    do.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    try:
        if arguments.command == "do":
            from lab import control  # noqa: PLC0415  # each command imports only what it needs

            return control.ask(arguments.out, arguments.words)
        tools.ensure()
        if arguments.command == "demo":
            from lab import demo  # noqa: PLC0415

            return asyncio.run(_stoppable(demo.play(arguments.out)))
        from lab import up  # noqa: PLC0415

        return asyncio.run(_stoppable(up.play(arguments.out)))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
