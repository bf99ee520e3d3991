"""The command line of the pipelines: from rows to a pull request's branch.

Exit codes: 0 done; 1 an honest "no" (no version passed its gates); 2 bad input, or refused by the rules of releases.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model.app import NAMES, find
from model.table import BadInput
from pipelines import run, steps
from rollout import errors
from rollout.git import GitError
from rollout.release import parse_key

EPILOG = """\
environment:
  CREDIT_DATA   path of UCI_Credit_Card.csv, or "generated"; unset: download it (checked), else generate, with a warning
  MODEL_STORE   where versions are published, file:///PATH or s3://BUCKET; unset: out/store, standing in for s3://models
"""


def parser() -> argparse.ArgumentParser:
    """The options of every command."""
    top = argparse.ArgumentParser(
        prog="python -m pipelines", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train, judge, publish, and leave the branch of a pull request")
    train.add_argument("app", help=f"one of {', '.join(NAMES)}")
    train.add_argument("--env", default="dev", help="the environment that is proposed to first (default dev)")
    train.add_argument("--base", default="HEAD", metavar="REF", help="the commit that is proposed on (default HEAD)")
    train.add_argument("--out", type=Path, default=Path("out/train"), metavar="DIR", help="for reports (default out/train)")
    train.add_argument("--seed", type=int, default=1, help="of the learners (default 1)")
    seed = commands.add_parser(
        "seed", help="publish what the releases run and the store lacks, trained again from generated rows"
    )
    seed.add_argument("app", help=f"one of {', '.join(NAMES)}")
    seed.add_argument("--env", default="dev", help="default dev")
    learn = commands.add_parser("learn", help="one step: train one version by one learner")
    for name in ("app", "learner"):
        learn.add_argument(name)
    for name in ("rows", "out"):
        learn.add_argument(name, type=Path)
    learn.add_argument("--seed", type=int, default=1)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = parser().parse_args(arguments)
    try:
        return {"train": _train, "seed": _seed, "learn": _learn}[options.command](options)
    except (BadInput, errors.BadInput, errors.Refused) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except GitError as error:
        print(f"error: git: {error}", file=sys.stderr)
        return 1


def _train(options: argparse.Namespace) -> int:
    app = find(options.app)
    key = parse_key(f"{options.env}/{app.name}")
    settings = run.Settings(Path.cwd(), key, _store(), options.base, options.out, options.seed)
    outcome = run.run(settings, run.environment(app.name))
    print(run.show(outcome, app, options.out))
    return 0 if outcome.champion else 1


def _store() -> str:
    return os.environ.get("MODEL_STORE") or f"file://{Path.cwd() / 'out' / 'store'}"


def _seed(options: argparse.Namespace) -> int:
    app = find(options.app)
    print(run.seed(Path.cwd(), parse_key(f"{options.env}/{app.name}"), _store()))
    return 0


def _learn(options: argparse.Namespace) -> int:
    steps.learn(options.app, options.learner, options.rows, options.seed, options.out)
    return 0
