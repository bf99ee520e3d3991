"""The control plane's command line: `build` gets and builds what is not there."""

import argparse
import sys

from lab.controlplane import build
from lab.processes import LabError


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.controlplane", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build what is not there yet, into .cache/controlplane")
    parser.parse_args()
    try:
        taken = build.build()
    except LabError as error:
        print(f"controlplane: {error}", file=sys.stderr)
        return 1
    print(f"controlplane: built in {sum(taken.values()):.0f} s" if taken else "controlplane: everything is there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
