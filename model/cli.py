"""The command line of the models: train a version, name it by its digest, and send its held-out rows."""

import argparse
import itertools
import json
import os
import signal
import sys
import threading
import time
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from model import artifact, signature, v2
from model.app import NAMES, find, held_out, train
from model.keep import kept
from model.replay import replay
from model.table import BadInput

EPILOG = """\
example:
  python -m model train credit --out out/credit/1     train, print AUC and sha256
  python -m model train credit --out out/credit/bad --keep "PAY_0 != -2"
                                                      a version that offline metrics find good and production does not
  python -m model rows credit --n 3                   three requests, as a client would send them

environment:
  CREDIT_DATA        path of UCI_Credit_Card.csv, or "generated"; unset: download it (checked), else generate, with a warning
  MODEL_SIGNING_KEY  path of the private key that `sign` signs with
"""


def parser() -> argparse.ArgumentParser:
    """The options of every command."""
    top = argparse.ArgumentParser(
        prog="python -m model", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True)
    _train_options(commands.add_parser("train", help="train a version, evaluate it and write its folder"))
    digest = commands.add_parser("digest", help="print the sha256 that names a version's folder")
    digest.add_argument("folder", type=Path)
    digest.add_argument("--expect", metavar="SHA256", help="exit 2 unless it is this")
    keys = commands.add_parser("keys", help="make a key pair to sign versions with, signing.key and signing.pub")
    keys.add_argument("folder", type=Path, metavar="DIR")
    sign = commands.add_parser("sign", help="sign a version's folder with the key in the file MODEL_SIGNING_KEY: model.sig")
    sign.add_argument("folder", type=Path)
    sign.add_argument("--name", required=True, metavar="APP/VERSION", help="what a release calls it, such as credit/8")
    verify = commands.add_parser("verify", help="exit 2 unless one of these keys signed the very files of a version's folder")
    verify.add_argument("folder", type=Path)
    verify.add_argument("--keys", type=Path, required=True, metavar="FILE", help="public keys, PEM, one after another")
    rows = commands.add_parser("rows", help="print held-out rows as V2 inference requests, one per line")
    rows.add_argument("app", help=_APPS)
    rows.add_argument("--n", type=int, default=1000, help="how many (default 1000)")
    schema = commands.add_parser(
        "schema", help="print an app's columns and features as JSON: what may be asked, and what is derived"
    )
    schema.add_argument("app", help=_APPS)
    study = commands.add_parser("study", help="print the figures that features and class weights were chosen by")
    study.add_argument("app", help="credit")
    tune = commands.add_parser("tune", help="search for better parameters, within a budget (needs Optuna)")
    tune.add_argument("app", help=_APPS)
    tune.add_argument("--learner", required=True, metavar="NAME", help="lightgbm or xgboost")
    tune.add_argument("--trials", type=int, default=16, metavar="N", help="the budget (default 16)")
    _replay_options(commands.add_parser("replay", help="send held-out rows to a model at a steady rate"))
    return top


_APPS = f"one of {', '.join(NAMES)}"


def _train_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("app", help=_APPS)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the version")
    command.add_argument("--seed", type=int, default=1, help="of the learner (default 1); the split never changes")
    command.add_argument("--learner", default="", metavar="NAME", help="lightgbm or xgboost (default: the app's own)")
    rounds = command.add_mutually_exclusive_group()
    rounds.add_argument("--rounds", type=int, help="of boosting (default 200)")
    rounds.add_argument("--early", action="store_true", help="as many rounds as folds of the training rows find best; calibrated")
    command.add_argument("--keep", metavar="EXPR", help='train on a slice only, such as "PAY_0 != -2 and AGE < 60"')
    command.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")


def _replay_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--app", required=True, help=_APPS)
    command.add_argument("--url", required=True, help="of the model, http://HOST:PORT/v2/models/NAME/infer")
    command.add_argument("--rate", type=float, required=True, metavar="R", help="requests per second, at most 1000")
    command.add_argument("--seconds", type=float, default=60, metavar="N", help="default 60; 0 = until told to stop")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when done, 1 when nothing answered a replay, 2 for bad input, with a message on stderr."""
    options = parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _train(options: argparse.Namespace) -> int:
    started = time.monotonic()
    if options.rounds is not None and options.rounds < 1:
        raise BadInput(f"--rounds = {options.rounds}: must be at least 1")
    if not 0 <= options.seed < 2**31:
        raise BadInput(f"--seed = {options.seed}: must be from 0 to {2**31 - 1}")
    app = find(options.app)
    data = app.load(_setting(app.name))
    keep = kept(options.keep, data.table, app.columns) if options.keep else None
    trained = train(app, data, options.seed, options.rounds, keep, options.learner, early=options.early)
    artifact.write(options.out, trained.files)
    done = {
        "app": app.name,
        "rows": trained.rows,
        "metric": app.metric,
        "value": trained.value,
        "baseline": trained.baseline,
        "sha256": artifact.digest(options.out),
        "seconds": round(time.monotonic() - started, 3),
        "data": data.origin,
    }
    if options.json:
        print(json.dumps(done))
    else:
        print(
            f"{app.name}: trained on {trained.rows} rows ({data.origin} data), {app.metric} {trained.value:.4f} on "
            f"{trained.held_out} held out (knowing nothing: {trained.baseline:.4f}), {done['seconds']} s\n"
            f"{options.out}: sha256 {done['sha256']}"
        )
    return 0


def _digest(options: argparse.Namespace) -> int:
    if options.expect:
        artifact.verify(options.folder, options.expect)
    print(artifact.digest(options.folder))
    return 0


def _keys(options: argparse.Namespace) -> int:
    print(signature.make_keys(options.folder))
    return 0


def _sign(options: argparse.Namespace) -> int:
    (options.folder / artifact.SIGNATURE).write_bytes(signature.signer(os.environ).sign(options.folder, options.name))
    return 0


def _verify(options: argparse.Namespace) -> int:
    try:
        keys = options.keys.read_text()
    except (OSError, ValueError) as error:
        raise BadInput(f"--keys = {options.keys}: cannot be read; must be public keys, PEM") from error
    signature.verify(options.folder, keys)
    print(f"{options.folder}: signed by an accepted key")
    return 0


def _rows(options: argparse.Namespace) -> int:
    app = find(options.app)
    table = held_out(app, app.load(_setting(app.name)))
    there = len(table[app.columns[0].name])
    if not 1 <= options.n <= there:
        raise BadInput(f"--n = {options.n}: must be from 1 to {there}, the rows held out")
    try:
        for line in v2.lines(app, table, range(options.n)):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` perhaps, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _replay(options: argparse.Namespace) -> int:
    _check_replay(options)
    app = find(options.app)
    table = held_out(app, app.load(_setting(app.name)))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    bodies = itertools.cycle(list(v2.lines(app, table, range(len(table[app.columns[0].name])))))
    counts = replay(bodies, url=options.url, rate=options.rate, seconds=options.seconds, stop=stop)
    print(json.dumps({"sent": counts.total(), "answers": dict(sorted(counts.items()))}))
    return 1 if counts and set(counts) == {"no answer"} else 0


def _schema(options: argparse.Namespace) -> int:
    app = find(options.app)
    print(json.dumps({"app": app.name, "schema": app.schema, "target": app.target.name, "fields": app.fields}, indent=1))
    return 0


def _study(options: argparse.Namespace) -> int:
    if options.app != "credit":
        raise BadInput(f"app {options.app!r}: has nothing to study; must be credit")
    app = find(options.app)
    from model.study import study  # noqa: PLC0415  # credit's own

    study(app, app.load(_setting(app.name)), lambda line: print(line, flush=True))
    return 0


def _tune(options: argparse.Namespace) -> int:
    from model.tune import SPACE, tune  # noqa: PLC0415

    app = find(options.app)
    if options.learner not in app.learners or options.trials < 1:
        raise BadInput(
            f"--learner = {options.learner}, --trials = {options.trials}: must be {' or '.join(SPACE)}, and at least 1"
        )
    data = app.load(_setting(app.name))
    print(json.dumps(tune(app, data, options.learner, options.trials, 1, lambda line: print(line, flush=True))))
    return 0


def _check_replay(options: argparse.Namespace) -> None:
    url = urllib.parse.urlsplit(options.url)
    if url.scheme not in ("http", "https") or not url.hostname or not url.path.endswith("/infer"):
        raise BadInput(f"--url = {options.url}: must be like http://HOST:PORT/v2/models/NAME/infer")
    if not 0 < options.rate <= 1000:
        raise BadInput(f"--rate = {options.rate:g}: must be above 0 and at most 1000 requests per second")
    if not options.seconds >= 0:
        raise BadInput(f"--seconds = {options.seconds:g}: must be 0 (until told to stop) or more")


COMMANDS = {
    "train": _train,
    "digest": _digest,
    "keys": _keys,
    "sign": _sign,
    "verify": _verify,
    "rows": _rows,
    "schema": _schema,
    "study": _study,
    "tune": _tune,
    "replay": _replay,
}


def _setting(app: str) -> str | None:
    """Where the app's rows come from: the environment variable <APP>_DATA, unset or empty = the app's own order."""
    return os.environ.get(f"{app.upper()}_DATA") or None
