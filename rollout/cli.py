"""The command line: words in, words out; what each command does is elsewhere.

Exit codes: 0 done; 1 an honest "no" (audit disagrees, a tick could not look, what was waited for was taken out); 2 bad input or
refused by the rules; 3 the limit of a wait is over; 130 ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from rollout import plan as plans
from rollout import release as releases
from rollout.errors import BadInput, Refused
from rollout.git import GitError, clone, open_here
from rollout.release import ModelVersion, parse_key
from rollout.samples import WIDTH

if TYPE_CHECKING:
    from rollout.wait import Watch

T = TypeVar("T")
Command = Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser]
_ABOUT = """\
Walks new model versions from 0 % to 100 % of traffic, or back out, by commits.

Merge the pull request that `rollout start` prepares, and watch; to go back, press Revert on it."""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = _parser()
    chosen = parser.parse_args(words)
    try:
        return int(chosen.run(chosen) or 0)
    except (BadInput, Refused) as error:
        print(f"rollout: {error}", file=sys.stderr)
        return 2
    except GitError as error:
        print(f"rollout: git: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollout", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    def command(name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(run=run)
        return sub

    check = command("check", _check, "check every release, plan and rendered manifest, and what changed")
    check.add_argument("--base", metavar="REF", help="also check the change since this commit, as in a pull request")
    check.add_argument("--prometheus", metavar="URL", help="also ask whether the gates match any series there")
    _tree(check)
    _json(check)

    start = command("start", _start, "edit the tree so that a new version is walked: commit it as a pull request")
    _release(start)
    start.add_argument("--version", required=True, metavar="V", help="the new version, such as 8, or 8-r2 for 8 on a new image")
    start.add_argument("--model-uri", required=True, metavar="URI", help="where its files are, such as s3://models/credit/8")
    start.add_argument("--sha256", required=True, metavar="H", help="SHA-256 over its files, see `python -m model digest`")
    start.add_argument("--image", metavar="I", help="an image of its own, by digest; otherwise the app's")
    start.add_argument("--attempt", action="store_true", help="a person's word: try a vetoed version again")
    _tree(start)

    _carry(command("promote", _promote, "edit the tree so that what one environment has completed is walked in the next"))
    _span(command("diff", _diff, "what a change does to each release, in words and in rendered manifests"))

    _after_the_merge(command)

    rollback = command("rollback", _rollback, "revert the pull request that brought the present version")
    _release(rollback)
    _tree(rollback)

    abort = command("abort", _abort, "commit what the controller would to take the canary out")
    _release(abort)
    _why(abort)

    _view(command("status", _status, "what runs, state, evidence, verdict, and when the next decision can fall"))

    run = command("run", _run, "the controller: observe, decide, commit, push, again and again")
    run.add_argument("--repo", required=True, metavar="URL", help="the deployment repository's remote")
    run.add_argument("--branch", default="main", help="the branch Argo CD tracks (default: main)")
    run.add_argument("--env", action="append", default=[], help="only this environment; may be given again")
    _services(run, required=True)
    run.add_argument("--interval", type=_positive, default=15.0, metavar="T", help="time between ticks (default: 15s)")
    run.add_argument("--once", action="store_true", help="one tick, for cron and tests; exit code 1 when it could not look")
    run.add_argument("--cache", type=Path, default=Path(".cache/rollout.git"), metavar="DIR", help="a bare clone; only a cache")
    run.add_argument("--listen", metavar="HOST:PORT", help="serve /metrics, /healthz and /readyz here")
    run.add_argument("--author", type=_author, default="rollout <rollout@localhost>", help="who the commits are by")
    run.add_argument("--signing-key", type=_file_or_none, metavar="FILE", help="sign with this SSH key; empty: do not sign")
    run.add_argument("--log", choices=("text", "json"), default="text", help="form of the log lines")

    audit = command("audit", _audit, "decide every decision again from the commits, offline; exit code 1 if one does not follow")
    _branch(audit)

    _history(command("backtest", _backtest, "try a plan on a history: JSON lines in, JSON lines out"))
    _proposal(command("plan", _plan, "propose steps for a service's traffic, or say what a plan's steps can show at it"))
    _study(command("simulate", _simulate, "what the gate and others do to good and bad canaries, by simulation"))
    return parser


def _view(status: argparse.ArgumentParser) -> None:
    status.add_argument("release", nargs="?", metavar="ENV/APP", help="one release; all otherwise")
    status.add_argument("--watch", action="store_true", help="show it again every two seconds, until Ctrl-C")
    status.add_argument("--branch", metavar="B", help="the remote's branch, fetched at each look (default: what is checked out)")
    _services(status, required=False)
    _tree(status)
    _json(status)


def _why(abort: argparse.ArgumentParser) -> None:
    abort.add_argument("--reason", required=True, metavar="R", help="why, for the commit")
    _tree(abort)


def _carry(promote: argparse.ArgumentParser) -> None:
    promote.add_argument("app", metavar="APP", help="such as credit")
    promote.add_argument("--from", dest="source", required=True, metavar="ENV", help="where it has completed, such as dev")
    promote.add_argument("--to", dest="target", required=True, metavar="ENV", help="where it is to start, such as staging")
    promote.add_argument("--wait", action="store_true", help="first wait until it has completed there, and take that commit in")
    _patience(promote)


def _after_the_merge(command: Command) -> None:
    wait = command("wait", _wait, "watch a rollout in git until it has completed (exit code 0), is out (1), or time is up (3)")
    what = wait.add_mutually_exclusive_group(required=True)
    what.add_argument("release", nargs="?", metavar="ENV/APP", help="such as prod/credit")
    what.add_argument("--started", metavar="BASE..HEAD", help="or whatever began in these commits, such as those of a push")
    wait.add_argument("--version", metavar="V", help="of the release (default: the one it wants now)")
    _patience(wait)
    _json(wait)
    alarm = command("alarm", _alarm, "what a push touched outside overlays/*/*/release/; exit code 1 if something")
    alarm.add_argument("range", metavar="BASE..HEAD", help="the ends of the push")
    _tree(alarm)
    _json(alarm)
    _delivery(command("dora", _dora, "the four DORA figures of every release, from git alone"))


def _patience(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--branch", default="main", help="the remote's branch (default: main)")
    parser.add_argument("--limit", type=_seconds, default=5 * 3600.0, metavar="T", help="how long to wait (default: 5h)")
    parser.add_argument("--interval", type=_positive, default=15.0, metavar="T", help="time between looks (default: 15s)")
    _tree(parser)


def _span(diff: argparse.ArgumentParser) -> None:
    diff.add_argument("range", nargs="?", default="HEAD^..HEAD", metavar="BASE..HEAD", help="two commits (default: the last one)")
    diff.add_argument("--markdown", action="store_true", help="for a pull request's comment")
    _tree(diff)


def _delivery(dora: argparse.ArgumentParser) -> None:
    dora.add_argument("--days", type=_count_of_days, metavar="N", help="only rollouts begun in the last N days (default: all)")
    _branch(dora)


def _branch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", type=Path, default=Path(), metavar="PATH", help="a clone, bare or not (default: here)")
    parser.add_argument("--branch", default="HEAD", help="the branch to read (default: what is checked out)")
    _json(parser)


def _history(backtest: argparse.ArgumentParser) -> None:
    backtest.add_argument("--plan", required=True, type=Path, metavar="FILE", help="a plan, such as apps/credit/rollout.yaml")
    backtest.add_argument("--follow", action="store_true", help="answer every line as it comes")
    backtest.add_argument("--plot", type=Path, metavar="FILE", help="also a picture of it, such as backtest.svg or .png")
    recorded = backtest.add_argument_group("instead of lines, what Prometheus recorded; all of these together")
    recorded.add_argument("--prometheus", metavar="URL", help="such as http://prometheus:9090")
    recorded.add_argument("--release", metavar="ENV/APP", help="such as prod/credit")
    recorded.add_argument("--stable", metavar="V", help="the version that was stable")
    recorded.add_argument("--canary", metavar="V", help="the version that was the canary")
    for name in ("from", "to"):
        recorded.add_argument(f"--{name}", dest=f"{name}_", type=_moment, metavar="T", help="such as 2026-11-21T15:00:00Z")


def _proposal(plan: argparse.ArgumentParser) -> None:
    plan.add_argument("--traffic", required=True, type=float, metavar="RPS", help="requests per second")
    plan.add_argument(
        "--baseline", required=True, type=float, metavar="P", help="the part of them that stable fails, such as 0.002"
    )
    plan.add_argument("--plan", type=Path, metavar="FILE", help="say what this plan's steps can show, instead of proposing some")


def _study(simulate: argparse.ArgumentParser) -> None:
    simulate.add_argument("--scenarios", type=Path, metavar="FILE", help="scenarios (default: the published ones)")
    simulate.add_argument("--model", action="store_true", help="the model gates instead: predictions, mirrored requests, labels")
    simulate.add_argument("--policies", metavar="A,B", help="only these, such as ours,flagger (default: all)")
    simulate.add_argument("--runs", type=int, default=1000, metavar="N", help="rollouts per scenario and policy (default: 1000)")
    simulate.add_argument("--seed", type=int, default=1, metavar="S", help="another seed, other draws (default: 1)")
    form = simulate.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for machines")
    form.add_argument("--markdown", action="store_true", help="for a document")
    simulate.add_argument("--plot", type=Path, metavar="FILE", help="also a picture, such as gate.svg")


def _release(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", metavar="ENV/APP", help="such as prod/credit")


def _tree(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", type=Path, default=Path(), metavar="PATH", help="the clone to work in (default: here)")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for machines")


def _services(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--prometheus", required=required, metavar="URL", help="such as http://prometheus:9090")
    parser.add_argument("--argocd", required=required, metavar="URL", help="the Kubernetes API that holds the Applications")
    parser.add_argument("--argocd-namespace", default="argocd", metavar="NAME", help="where they live (default: argocd)")
    parser.add_argument("--argocd-token-file", type=Path, metavar="FILE", help="a bearer token that may read them")
    parser.add_argument("--argocd-ca-file", type=Path, metavar="FILE", help="the API's certificate authority")
    parser.add_argument("--batch", type=_positive, default=WIDTH, metavar="T", help="width of a batch: the scrape interval (15s)")
    parser.add_argument("--settle", type=_seconds, default=10.0, metavar="T", help="how long Healthy must stay to count (10s)")


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a time such as 2026-11-21T15:00:00Z would be right") from None


def _seconds(text: str) -> float:
    try:
        return plans.seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def _positive(text: str) -> float:
    if not (found := _seconds(text)):
        raise argparse.ArgumentTypeError(f"{text!r}: a duration above 0 would be right")
    return found


def _count_of_days(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r}: a number above 0 would be right")
    return float(text)


def _author(text: str) -> str:
    if not re.fullmatch(r"[^<>\n]*[^<>\s] <[^<>\n]*>", text):
        raise argparse.ArgumentTypeError(f"{text!r}: such as 'rollout <rollout@localhost>' would be right")
    return text


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text!r}: no such file")
    return Path(text).resolve()


def _file_or_none(text: str) -> Path | None:
    return _file(text) if text else None


def _start(chosen: argparse.Namespace) -> None:
    from rollout.people import Desk, start  # noqa: PLC0415  # each command imports what it needs

    key = parse_key(chosen.release)
    model = ModelVersion(
        version=_taken(chosen, "version", releases.version_text),
        model_uri=_taken(chosen, "model_uri", releases.model_uri_of(key.app, chosen.version)),
        sha256=_taken(chosen, "sha256", releases.sha256_text),
        image=None if chosen.image is None else _taken(chosen, "image", releases.image_text),
    )
    print(start(Desk.at(open_here(chosen.repo)), key, model, reopen=chosen.attempt), end="")


def _taken(chosen: argparse.Namespace, name: str, convert: Callable[[object], T]) -> T:
    value = getattr(chosen, name)
    try:
        return convert(value)
    except ValueError as error:
        raise BadInput(f"--{name.replace('_', '-')}", "", f"is {value!r}; {error}") from None


def _promote(chosen: argparse.Namespace) -> int:
    from rollout.people import Desk, promote  # noqa: PLC0415

    source, _ = (parse_key(f"{env}/{chosen.app}") for env in (chosen.source, chosen.target))
    repo = open_here(chosen.repo)
    if chosen.wait:
        from rollout import wait  # noqa: PLC0415

        watch = _watch(chosen)
        if code := wait.run(watch, source, None, None, as_json=False):
            return code
        repo.run("merge", "--quiet", "--ff-only", watch.tip)
    print(promote(Desk.at(repo), chosen.app, chosen.source, chosen.target), end="")
    return 0


def _watch(chosen: argparse.Namespace) -> Watch:
    from rollout.wait import Watch  # noqa: PLC0415

    return Watch(open_here(chosen.repo, chosen.branch), chosen.limit, chosen.interval)


def _wait(chosen: argparse.Namespace) -> int:
    from rollout import wait  # noqa: PLC0415

    key = parse_key(chosen.release) if chosen.release else None
    return wait.run(_watch(chosen), key, chosen.version, chosen.started, as_json=chosen.json)


def _alarm(chosen: argparse.Namespace) -> int:
    from rollout import alarm  # noqa: PLC0415

    return alarm.run(open_here(chosen.repo), chosen.range, as_json=chosen.json)


def _diff(chosen: argparse.Namespace) -> None:
    from rollout.diff import run  # noqa: PLC0415

    run(open_here(chosen.repo), chosen.range, markdown=chosen.markdown)


def _dora(chosen: argparse.Namespace) -> None:
    from rollout.dora import run  # noqa: PLC0415

    run(open_here(chosen.repo, chosen.branch), chosen.days, as_json=chosen.json)


def _rollback(chosen: argparse.Namespace) -> None:
    from rollout.people import Desk, rollback  # noqa: PLC0415

    commit, outlook = rollback(Desk.at(open_here(chosen.repo)), parse_key(chosen.release))
    print(f"{commit[:10]} {outlook}")


def _abort(chosen: argparse.Namespace) -> None:
    from rollout.people import Desk, abort  # noqa: PLC0415

    commit, subject = abort(Desk.at(open_here(chosen.repo)), parse_key(chosen.release), chosen.reason)
    print(f"{commit[:10]} {subject}")


def _check(chosen: argparse.Namespace) -> int:
    from rollout.checkout import run  # noqa: PLC0415
    from rollout.services import prometheus_of  # noqa: PLC0415

    return run(chosen.repo, chosen.base, prometheus_of(chosen), as_json=chosen.json)


def _status(chosen: argparse.Namespace) -> int:
    from rollout.status import run  # noqa: PLC0415

    return run(chosen)


def _audit(chosen: argparse.Namespace) -> int:
    from rollout.audit import run  # noqa: PLC0415

    return run(open_here(chosen.repo, chosen.branch), as_json=chosen.json)


def _backtest(chosen: argparse.Namespace) -> int:
    from rollout.backtest import Recorded, replay, run  # noqa: PLC0415
    from rollout.picture import Album  # noqa: PLC0415
    from rollout.services import prometheus_of  # noqa: PLC0415

    album = Album(chosen.plot) if chosen.plot else None
    wanted = ("prometheus", "release", "stable", "canary", "from_", "to_")
    missing = [f"--{name.strip('_')}" for name in wanted if getattr(chosen, name) is None]
    if len(missing) == len(wanted):
        return run(chosen.plan, sys.stdin.buffer, sys.stdout, album)
    if missing:
        raise BadInput(missing[0], "", "is missing; --prometheus, --release, --stable, --canary, --from and --to go together")
    prometheus = prometheus_of(chosen)
    assert prometheus is not None, "its URL was given"
    what = Recorded(parse_key(chosen.release), chosen.stable, chosen.canary, chosen.from_, chosen.to_)
    return replay(chosen.plan, prometheus, what, sys.stdout, album)


def _plan(chosen: argparse.Namespace) -> None:
    from rollout import propose  # noqa: PLC0415
    from rollout.backtest import read_plan  # noqa: PLC0415
    from rollout.gate.power import Traffic  # noqa: PLC0415

    for name, high in (("traffic", 1e6), ("baseline", 1.0)):
        if not 0 < getattr(chosen, name) < high:
            raise BadInput(f"--{name}", "", f"is {getattr(chosen, name):g}; a number above 0 and below {high:g} would be right")
    traffic = Traffic(chosen.traffic, chosen.baseline)
    if chosen.plan is None:
        print(propose.proposed(plans.Gates(), traffic), end="")
        return
    plan = read_plan(chosen.plan)
    for step in plan.steps[:-1]:
        print(f"{step.canary} %: {propose.told(plan.gates, traffic, step.canary, step.dwell)}")
    for warning in propose.warnings(plan, traffic):
        print(f"warning: {warning}")


def _simulate(chosen: argparse.Namespace) -> int:
    try:
        from rollout.simulate.command import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise BadInput("simulate", "", "needs numpy, which the controller does not: pip install 'rollout[simulate]'") from None
    return run(chosen)


def _run(chosen: argparse.Namespace) -> int:
    from rollout.loop import Controller, Settings  # noqa: PLC0415
    from rollout.server import Health, Log, Metrics, serve  # noqa: PLC0415
    from rollout.services import argocd_of, prometheus_of  # noqa: PLC0415

    settings = Settings(
        envs=frozenset(chosen.env), width=chosen.batch, settle=chosen.settle, author=chosen.author, signing_key=chosen.signing_key
    )
    prometheus, argocd = prometheus_of(chosen), argocd_of(chosen)
    repo = clone(chosen.repo, chosen.cache, chosen.branch, {})
    controller = Controller(repo, prometheus, argocd, settings)
    log, metrics, health = Log(chosen.log), Metrics(), Health(patience=3 * chosen.interval + 60)
    stop = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        log.tell("info", f"{signal.Signals(number).name}: this tick is the last")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    server = serve(chosen.listen, metrics, health) if chosen.listen else None
    while True:
        began = time.monotonic()
        tick = controller.tick()
        metrics.show(tick, time.monotonic() - began)
        log.show(tick)
        health.show(tick)
        if chosen.once or stop.wait(max(chosen.interval - (time.monotonic() - began), 0)):
            break
    if server:
        server.shutdown()
    repo.close()
    return 1 if chosen.once and tick.hold_all else 0


if __name__ == "__main__":
    sys.exit(main())
