"""`rollout simulate`: scenarios and policies in, a table out."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rollout.errors import BadInput
from rollout.picture import refused_early
from rollout.simulate import model_report, model_scenario, model_study, report, scenario, study
from rollout.simulate.model_scenario import ModelScenario
from rollout.simulate.policies import POLICIES
from rollout.simulate.scenario import Scenario

PUBLISHED = Path(__file__).with_name("scenarios.yaml")
PUBLISHED_MODEL = Path(__file__).with_name("model_scenarios.yaml")


def read(path: Path | None) -> tuple[Scenario, ...]:
    """Read a file of scenarios; the published ones when there is no path."""
    return scenario.parse(*_text(path or PUBLISHED, path))


def read_model(path: Path | None) -> tuple[ModelScenario, ...]:
    """Read a file of the model gates' scenarios; the published ones when there is no path."""
    return model_scenario.parse(*_text(path or PUBLISHED_MODEL, path))


def _text(path: Path, asked: Path | None) -> tuple[str, str]:
    """What stands in the file, and what it is called in an error."""
    try:
        return path.read_text(), str(asked or path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("--scenarios", "", f"{path} cannot be read: {error}") from None


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
    for name, least in (("runs", 1), ("seed", 0)):
        value = getattr(chosen, name)
        if value < least:
            raise BadInput(f"--{name}", "", f"is {value}; a whole number of at least {least} would be right")
    if chosen.model:
        return _run_model(chosen)
    scenarios, policies = read(chosen.scenarios), named(chosen.policies)
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


def _run_model(chosen: Namespace) -> int:
    for name in ("policies", "plot"):
        if getattr(chosen, name) is not None:
            raise BadInput(f"--{name}", "", "stands beside --model; one of them would be right")
    scenarios = read_model(chosen.scenarios)
    quiet = chosen.json or chosen.markdown
    if not quiet:
        print(model_report.head())

    def told(row: model_study.ModelRow) -> None:
        if not quiet:
            print(model_report.line(row), flush=True)

    rows = model_study.table(scenarios, chosen.runs, chosen.seed, told)
    if quiet:
        print(model_report.as_json(rows) if chosen.json else model_report.markdown(rows))
    return 0


def _made(scenarios: Sequence[Scenario], policies: Sequence[str], chosen: Namespace, *, quiet: bool) -> list[study.Row]:
    def told(row: study.Row) -> None:
        if not quiet:
            print(report.line(row), flush=True)

    return study.table(scenarios, {name: POLICIES[name] for name in policies}, chosen.runs, chosen.seed, told)
