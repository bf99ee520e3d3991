"""The command line with its clock set, as faketime would: python at.py UNIX_TIME run --once ..."""

import sys
import time

moment = float(sys.argv.pop(1))
time.time = lambda: moment

if __name__ == "__main__":
    from rollout.cli import main

    sys.exit(main())
