"""The control plane's command line: `build` gets and builds what is not there; `operator` stands in for Seldon's, by itself."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from lab.controlplane import build
from lab.controlplane.api import Api
from lab.controlplane.operator import Operator
from lab.processes import LabError


def main() -> int:
    """The command line; 2 for a kubeconfig that is none."""
    parser = argparse.ArgumentParser(prog="python -m lab.controlplane", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build what is not there yet, into .cache/controlplane")
    said = "reconcile SeldonDeployments of the cluster that KUBECONFIG names, until TERM or Ctrl-C (docs/stand-in.md)"
    commands.add_parser("operator", help=said, description=said)
    if parser.parse_args().command == "operator":
        return _operator(os.environ.get("KUBECONFIG", ""))
    try:
        taken = build.build()
    except LabError as error:
        print(f"controlplane: {error}", file=sys.stderr)
        return 1
    print(f"controlplane: built in {sum(taken.values()):.0f} s" if taken else "controlplane: everything is there")
    return 0


def _operator(kubeconfig: str) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        if not kubeconfig:
            raise LabError("KUBECONFIG is not set; a kubeconfig's path would be right")
        api = Api.of(Path(kubeconfig), "seldon-operator")
    except LabError as error:
        print(f"controlplane: {error}", file=sys.stderr)
        return 2
    asyncio.run(_reconcile(api))
    return 0


async def _reconcile(api: Api) -> None:
    async with api:
        work = asyncio.create_task(Operator(api).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        await asyncio.wait([work])
        if not work.cancelled():
            work.result()


if __name__ == "__main__":
    sys.exit(main())
