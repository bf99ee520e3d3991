"""`rollout simulate`: scenarios and policies in, a table out."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rollout.errors import BadInput
from rollout.picture import refused_early
from rollout.simulate import report, scenario, study
from rollout.simulate.policies import POLICIES
from rollout.simulate.scenario import Scenario

PUBLISHED = Path(__file__).with_name("scenarios.yaml")


def read(path: Path | None) -> tuple[Scenario, ...]:
    """Read a file of scenarios; the published ones when there is no path."""
    try:
        text = (path or PUBLISHED).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("--scenarios", "", f"{path} cannot be read: {error}") from None
    return scenario.parse(text, str(path or PUBLISHED.name))


def named(words: str | None) -> tuple[str, ...]:
    """The policies in a list such as `ours,flagger`; all when there is none."""
    if words is None:
        return tuple(POLICIES)
    names = tuple(dict.fromkeys(word.strip() for word in words.split(",")))
    for name in names:
        if name not in POLICIES:
            raise BadInput("--policies", "", f"{name!r} is not a known policy; known: {', '.join(POLICIES)}")
    return names


def run(chosen: Namespace) -> int:
    """Do what the command line asks for; everything is read before anything is printed."""
    scenarios, policies = read(chosen.scenarios), named(chosen.policies)
    for name, least in (("runs", 1), ("seed", 0)):
        value = getattr(chosen, name)
        if value < least:
            raise BadInput(f"--{name}", "", f"is {value}; a whole number of at least {least} would be right")
    if chosen.plot:
        refused_early(chosen.plot)
    quiet = chosen.json or chosen.markdown
    if not quiet:
        print(report.head())
    rows = _made(scenarios, policies, chosen, quiet=quiet)
    if quiet:
        print(report.as_json(rows) if chosen.json else report.markdown(rows))
    if chosen.plot:
        report.plot(rows, chosen.plot)
    return 0


def _made(scenarios: Sequence[Scenario], policies: Sequence[str], chosen: Namespace, *, quiet: bool) -> list[study.Row]:
    def told(row: study.Row) -> None:
        if not quiet:
            print(report.line(row), flush=True)

    return study.table(scenarios, {name: POLICIES[name] for name in policies}, chosen.runs, chosen.seed, told)
