"""The command line of the pipelines: from rows to a pull request's branch.

Exit codes: 0 done; 1 an honest "no" (no version passed its gates, a field has drifted); 2 bad input, or refused by the rules of
releases.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model import signature, store
from model.app import NAMES, find
from model.signature import Signer
from model.table import BadInput
from pipelines import bump as bumps
from pipelines import registry, run, steps
from pipelines import trace as tracing
from pipelines.forge import Forge
from pipelines.promotion import Promotion, due
from pipelines.review import review
from rollout import errors
from rollout.git import GitError, Repo, open_here
from rollout.release import parse_key

EPILOG = """\
environment:
  CREDIT_DATA   path of UCI_Credit_Card.csv, or "generated"; unset: download it (checked), else generate, with a warning
  MODEL_STORE   where versions are published, file:///PATH or s3://BUCKET; unset: out/store, standing in for s3://models
  MODEL_SIGNING_KEY    the private key's path (`python -m model keys DIR`); unset with out/store: one in out/keys, made once
  MLFLOW_TRACKING_URI  the registry, MLflow's; unset: out/registry, SQLite and a folder
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
    train.add_argument("--prometheus", default="", metavar="URL", help="which counts the release's requests, for the text")
    seed = commands.add_parser(
        "seed", help="publish what the releases run and the store lacks, trained again from generated rows"
    )
    seed.add_argument("app", help=f"one of {', '.join(NAMES)}")
    seed.add_argument("--env", default="dev", help="default dev")
    commands.add_parser("compile", help="write train.yaml, the DAG as a cluster gets it")
    for name, text in (
        ("local", "run the DAG here by Kubeflow's local runner, and publish"),
        ("submit", "run the DAG on a cluster"),
    ):
        dag = commands.add_parser(name, help=text)
        dag.add_argument("app", help=f"one of {', '.join(NAMES)}")
        dag.add_argument("--version", required=True, metavar="V", help="the number it is published under")
        dag.add_argument("--env", default="dev", help="whose stable version it is compared with (default dev)")
        dag.add_argument("--seed", type=int, default=1, help="of the learners (default 1)")
        if name == "submit":
            dag.add_argument("--host", required=True, metavar="URL", help="of Kubeflow Pipelines' API")
            dag.add_argument("--data", default="", metavar="PATH", help="where the app's rows are in the cluster")
    request = commands.add_parser("request", help="push a branch and open its pull request, or bring both up to date")
    request.add_argument("--report", type=Path, metavar="FILE", help="of `train`: its branch, if it left one")
    request.add_argument("--branch", metavar="B", help="or this branch")
    request.add_argument("--text", type=Path, required=True, metavar="FILE", help="the pull request's text")
    request.add_argument("--base", default="main", help="the branch it is for (default main)")
    _forge(commands)
    aliases = commands.add_parser("aliases", help="let the registry's stable-<env> follow what git says")
    aliases.add_argument("app", help=f"one of {', '.join(NAMES)}")
    runs = commands.add_parser("runs", help="how the runs of `train` ended, and the part of them that did their work")
    runs.add_argument("app", help=f"one of {', '.join(NAMES)}")
    runs.add_argument("--days", type=float, metavar="N", help="only those begun in the last N days (default: all)")
    runs.add_argument("--json", action="store_true", help="for machines")
    trace = commands.add_parser(
        "trace", help="which rows and commit a version was made from, and which versions were made of them"
    )
    trace.add_argument("app", help=f"one of {', '.join(NAMES)}")
    for name in tracing.ASKED:
        trace.add_argument(f"--{name}", metavar=name[0].upper(), help=f"only what has this {name}")
    trace.add_argument("--json", action="store_true", help="for machines")
    drift = commands.add_parser(
        "drift", help="compare what is asked with what a version learned from; 1 when a field has drifted"
    )
    drift.add_argument("app", help=f"one of {', '.join(NAMES)}")
    drift.add_argument("requests", type=Path, help="requests, one per line, as `python -m model rows` prints them")
    drift.add_argument("--env", default="dev", help="whose version (default dev)")
    drift.add_argument("--reference", type=Path, metavar="FILE", help="or this features.parquet")
    drift.add_argument("--out", type=Path, default=Path("out/drift.html"), metavar="FILE", help="Evidently's report")
    drift.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    learn = commands.add_parser("learn", help="one step: train one version by one learner; print the megabytes it took")
    for name in ("app", "learner"):
        learn.add_argument(name)
    for name in ("features", "out"):
        learn.add_argument(name, type=Path)
    learn.add_argument("--seed", type=int, default=1)
    return top


def _forge(commands: Any) -> None:
    comment = commands.add_parser("comment", help="comment under a pull request, or replace what was said there before")
    comment.add_argument("--pull-request", type=int, required=True, metavar="N", help="its number")
    comment.add_argument("--text", type=Path, required=True, metavar="FILE", help="the comment's text")
    comment.add_argument("--marker", default="review", help="which comment of ours; one pull request has one of each")
    comment.add_argument("--author", default="github-actions[bot]", metavar="LOGIN", help="as whom (default: a workflow's token)")
    review = commands.add_parser("review", help="what a change does to releases, and how a new version was judged, as markdown")
    review.add_argument("range", metavar="BASE..HEAD", help="two commits")
    due = commands.add_parser("due", help="which promotions a span of commits makes due, as a workflow's matrix")
    due.add_argument("range", metavar="BASE..HEAD", nargs="?", help="the ends of a push")
    due.add_argument("--promotion", nargs=3, metavar=("APP", "FROM", "TO"), help="or this one, as asked for by a person")
    ruleset = commands.add_parser("ruleset", help="print a ruleset for the forge, with the ids of those who may bypass it")
    ruleset.add_argument("file", type=Path, metavar="FILE", help="such as .github/rulesets/main.json")
    ruleset.add_argument("--bypass", action="append", default=[], type=_actor, metavar="TYPE=ID", help="such as Team=12")
    bump = commands.add_parser("bump", help="leave the branches that name a new image")
    bump.add_argument("name", choices=bumps.NAMES, help="which image")
    bump.add_argument("--image", required=True, metavar="I", help="its name and digest, <name>@sha256:<64 hex digits>")
    bump.add_argument("--base", default="main", help="the branch it is for (default main)")
    bump.add_argument("--request", action="store_true", help="and open their pull requests, or bring them up to date")


def _actor(text: str) -> dict[str, object]:
    found = re.fullmatch(r"(Team|Integration)=(\d+)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: Team=ID or Integration=ID would be right")
    return {"actor_type": found[1], "actor_id": int(found[2]), "bypass_mode": "always"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except (BadInput, errors.BadInput, errors.Refused) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except GitError as error:
        print(f"error: git: {error}", file=sys.stderr)
        return 1


def _train(options: argparse.Namespace) -> int:
    app = find(options.app)
    key = parse_key(f"{options.env}/{app.name}")
    own = (options.base, options.out, options.seed, options.prometheus)
    settings = run.Settings(Path.cwd(), key, _store(), Signer.of(_key()), *own)
    began = time.monotonic()
    try:
        outcome = run.run(settings, run.environment(app.name))
    except (BadInput, errors.BadInput, errors.Refused, GitError):
        _note(app.name, "failed", began)
        raise
    _note(app.name, outcome.status, began)
    print(run.show(outcome, app, options.out))
    return 0 if outcome.champion else 1


def _note(app: str, status: str, began: float) -> None:
    """Note how a run ended, where the registry takes it; a run does not fail on that."""
    folder = Path.cwd() / registry.FOLDER
    try:
        registry.note(registry.client(folder), app, status, time.monotonic() - began, folder)
    except BadInput as error:
        print(f"warning: {error}", file=sys.stderr)


def _runs(options: argparse.Namespace) -> int:
    app = find(options.app)
    said = registry.rate(registry.client(Path.cwd() / registry.FOLDER), app.name, options.days)
    if options.json:
        print(json.dumps(said))
        return 0
    ended = ", ".join(f"{count} {status}" for status, count in said["ended"].items()) or "none yet"
    rate = "" if said["success_rate"] is None else f"; pipeline success rate {said['success_rate']:.0%}"
    print(f"{app.name}: {said['runs']} runs: {ended}{rate}")
    return 0


def _store() -> str:
    return os.environ.get("MODEL_STORE") or f"file://{Path.cwd() / 'out' / 'store'}"


def _key() -> Path:
    """The publisher's private key; a store of one's own may have one of its own."""
    if os.environ.get(signature.KEY) or os.environ.get("MODEL_STORE"):
        return signature.key_of(os.environ)
    own = Path.cwd() / "out" / "keys"
    if not (own / signature.PRIVATE).exists():
        signature.make_keys(own)
    return own / signature.PRIVATE


def _seed(options: argparse.Namespace) -> int:
    app = find(options.app)
    print(run.seed(Path.cwd(), parse_key(f"{options.env}/{app.name}"), _store(), Signer.of(_key())))
    return 0


def _learn(options: argparse.Namespace) -> int:
    steps.learn(options.app, options.learner, options.features, options.seed, options.out)
    print(run.megabytes())
    return 0


def _drift(options: argparse.Namespace) -> int:
    app = find(options.app)
    with tempfile.TemporaryDirectory() as folder:
        there = (options.reference, "") if options.reference else _learned_from(options, app.name, Path(folder))
        if there[0] is None:
            raise BadInput(there[1])
        found = steps.drift(app.name, options.requests, there[0], options.out)
    far = [one for one in found.fields if one.drifted]
    if options.json:
        indices = {one.name: one.index for one in found.fields}
        print(json.dumps({"rows": found.rows, "refused": found.refused, "drifted": [one.name for one in far], "index": indices}))
    else:
        print(f"{found.rows:,} rows compared, {found.refused:,} that break the schema left out; report: {options.out}")
        print("\n".join(f"{one.name}: has drifted, index {one.index:.2f}" for one in far) or "no field has drifted")
    return 1 if far else 0


def _learned_from(options: argparse.Namespace, app: str, into: Path) -> tuple[Path | None, str]:
    now = run.release(Path.cwd(), parse_key(f"{options.env}/{app}"), "HEAD")
    return registry.reference(Path.cwd() / registry.FOLDER, app, now.version, now.sha256, into)


def _aliases(options: argparse.Namespace) -> int:
    app, root = find(options.app), Path.cwd()
    envs = sorted(path.parts[-3] for path in root.glob(f"overlays/*/{app.name}/release"))
    stable = run.at_rest(root, [parse_key(f"{env}/{app.name}") for env in envs])
    print("\n".join(registry.follow(registry.client(root / registry.FOLDER), app.name, stable)))
    return 0


def _trace(options: argparse.Namespace) -> int:
    app, root = find(options.app), Path.cwd()
    asked = {name: getattr(options, name) for name in tracing.ASKED if getattr(options, name)}
    found = tracing.trace(root, registry.client(root / registry.FOLDER), store.opened(_store()), app.name, asked)
    print(json.dumps([one.plain() for one in found], indent=1) if options.json else "\n".join(map(str, found)))
    return 0


def _request(options: argparse.Namespace) -> int:
    branch = options.branch or (options.report and json.loads(options.report.read_bytes())["branch"])
    if not branch:
        print("no branch was left: nothing to propose")
        return 0
    print(_requested(open_here(Path.cwd()), branch, options.base, options.text.read_text()))
    return 0


def _requested(repo: Repo, branch: str, base: str, text: str) -> str:
    title = repo.run("log", "-1", "--format=%s", branch).strip()
    forge = Forge.of(os.environ)
    forge.push(repo, branch)
    return forge.request(branch, base, title, text)


def _comment(options: argparse.Namespace) -> int:
    forge = Forge.of(os.environ)
    print(forge.comment(options.pull_request, options.marker, options.text.read_text(), options.author))
    return 0


def _review(options: argparse.Namespace) -> int:
    print(review(open_here(Path.cwd()), options.range), end="")
    return 0


def _due(options: argparse.Namespace) -> int:
    if bool(options.range) == bool(options.promotion):
        raise errors.BadInput("due", "", "takes either BASE..HEAD or --promotion APP FROM TO")
    asked = [Promotion(*options.promotion)] if options.promotion else due(open_here(Path.cwd()), options.range)
    print(f"due={json.dumps([one.plain() for one in asked])}")
    return 0


def _ruleset(options: argparse.Namespace) -> int:
    print(json.dumps({**json.loads(options.file.read_bytes()), "bypass_actors": options.bypass}, indent=2))
    return 0


def _bump(options: argparse.Namespace) -> int:
    repo = open_here(Path.cwd())
    made, not_now = bumps.bump(repo, options.name, options.image, options.base)
    for one in made:
        print(_requested(repo, one.branch, options.base, one.text) if options.request else one.branch)
    print("\n".join(not_now), end="\n" if not_now else "")
    return 0


def _compile(_: argparse.Namespace) -> int:
    from pipelines import dag  # noqa: PLC0415  # Kubeflow's library takes seconds to import

    dag.compile_to(dag.COMPILED)
    print(dag.COMPILED.relative_to(Path.cwd()) if dag.COMPILED.is_relative_to(Path.cwd()) else dag.COMPILED)
    return 0


def _arguments(options: argparse.Namespace, data: str | None) -> dict[str, object]:
    app = find(options.app)
    steps.check_version(options.version)
    if not 0 <= options.seed < 2**31:
        raise BadInput(f"--seed = {options.seed}: must be from 0 to {2**31 - 1}")
    now = run.release(Path.cwd(), parse_key(f"{options.env}/{app.name}"), "HEAD")
    return {
        "app": app.name,
        "data": data or "",
        "gates": steps.limits_of(app.name, Path.cwd()),
        "store": _store(),
        "version": options.version,
        "registry": os.environ.get("MLFLOW_TRACKING_URI", ""),
        "commit": run.commit_of(Path.cwd()),
        "stable": now.version,
        "stable_sha256": now.sha256,
        "seed": options.seed,
    }


def _local(options: argparse.Namespace) -> int:
    arguments = _arguments(options, run.environment(options.app))
    from pipelines import dag  # noqa: PLC0415

    os.environ[signature.KEY] = str(_key())  # the steps are processes of their own
    print(dag.run_here(arguments, Path("out/kfp")))
    return 0


def _submit(options: argparse.Namespace) -> int:
    arguments = _arguments(options, options.data)
    if not options.host.startswith(("http://", "https://")):
        raise BadInput(f"--host = {options.host}: must be the URL of Kubeflow Pipelines' API, http://... or https://...")
    for name in ("MODEL_STORE", "MLFLOW_TRACKING_URI"):
        if os.environ.get(name, "").partition("://")[0] not in ("s3", "http", "https"):
            raise BadInput(f"{name} = {os.environ.get(name, '')!r}: must name what the cluster can reach, s3://... or http://...")
    from pipelines import dag  # noqa: PLC0415

    print(dag.submit(options.host, arguments))
    return 0


COMMANDS = {
    "train": _train,
    "seed": _seed,
    "learn": _learn,
    "drift": _drift,
    "aliases": _aliases,
    "runs": _runs,
    "trace": _trace,
    "request": _request,
    "comment": _comment,
    "review": _review,
    "due": _due,
    "bump": _bump,
    "ruleset": _ruleset,
    "compile": _compile,
    "local": _local,
    "submit": _submit,
}
