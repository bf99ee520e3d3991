"""`python -m bench`: measures, prints a table, and leaves the figures in out/bench. Progress goes to standard error.

| file       | holds                                                                                             |
|------------|---------------------------------------------------------------------------------------------------|
| tick.json  | per size: releases, in_flight, p50_s, p95_s, rss_mib, queries, bytes (see ticks.py)               |
| bench.json | all figures of every size, of the controller apart from its ticks, and every target: met or not   |
| table.md   | the table, as printed                                                                             |

A target that is missed is said in the table; the exit code is 0 all the same, as a measurement that was made has not failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from bench import footprint, ticks
from bench.footprint import ROOT, Footprint
from bench.table import machine, table, targets, whole
from bench.ticks import Size

SHORT = ("releases", "in_flight", "p50_s", "p95_s", "rss_mib", "queries", "bytes")


def main() -> None:
    """Measure what the command line asks for."""
    chosen = _parser().parse_args()
    began = time.monotonic()

    def say(*words: str) -> None:
        text = ": ".join(words)
        print(f"bench: {time.monotonic() - began:3.0f} s: {text}", file=sys.stderr, flush=True)

    say("start, size on disk, backtest")
    cost = footprint.measure(chosen.runs)
    sizes = []
    for size in chosen.sizes:
        tell = partial(say, f"{whole(size)} releases")
        tell("building the fleet")
        sizes.append(ticks.measure(size, chosen.ticks, chosen.restarts, tell))
    told = _written(chosen.out, sizes, cost)
    print(json.dumps(told, indent=1) if chosen.json else f"\n{table(sizes, cost)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What the controller costs.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000], metavar="N", help="releases, per size")
    parser.add_argument("--ticks", type=int, default=20, metavar="N", help="steady ticks per size, 2 to 180")
    parser.add_argument("--restarts", type=int, default=2, metavar="N", help="fresh processes per size")
    parser.add_argument("--runs", type=int, default=100, metavar="N", help="rollouts in the backtest's stream")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bench", metavar="DIR", help="where the figures go")
    parser.add_argument("--json", action="store_true", help="print bench.json instead of the table")
    return parser


def _written(out: Path, sizes: list[Size], cost: Footprint) -> dict[str, Any]:
    whole_story = {
        "machine": machine(),
        "sizes": [asdict(size) for size in sizes],
        "controller": asdict(cost),
        "targets": [asdict(target) for target in targets(sizes, cost)],
    }
    short = [{name: getattr(size, name) for name in SHORT} for size in sizes]
    out.mkdir(parents=True, exist_ok=True)
    (out / "tick.json").write_text(json.dumps(short, indent=1) + "\n")
    (out / "bench.json").write_text(json.dumps(whole_story, indent=1) + "\n")
    (out / "table.md").write_text(table(sizes, cost) + "\n")
    return whole_story


if __name__ == "__main__":
    main()
