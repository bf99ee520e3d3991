"""What a file of scenarios may say, and what is said of one that may not."""

from __future__ import annotations

import json

import pytest

from rollout.cli import main
from rollout.errors import BadInput
from rollout.simulate.command import named, read
from rollout.simulate.scenario import Scenario, Span, Spells, parse

HEAD = "apiVersion: rollout/v1\nkind: Scenarios\nscenarios:\n"


def one(text):
    return parse(f"{HEAD}  - {{name: a, truth: same, rate: 10, {text}}}\n", "s.yaml")[0]


def test_every_key_has_its_meaning():
    assert one("errors: 0.01") == Scenario(name="a", truth="same", rate=10, errors=0.01)
    found = one(
        "errors: 0.01, canary: {ratio: 3, after: 20m, at: 25, load: 1.5}, load: {wave: 0.5, period: 2h, burst: 0.3}, "
        "outage: {at: 1m, lasts: 5m, errors: 0.1}, clumps: {size: 5, arms: canary}, cold: {errors: 0.2, lasts: 30s}, "
        "spells: {factor: 5, lasts: 60s, every: 10m, arms: canary}, slow: {stable: 0.01, canary: 0.02}, session: 20, "
        "share: 1.1, drift: 2, gaps: {scrape: 0.1, late: 0.2, restart: 0.3, down: {at: 3m, lasts: 3m}}"
    )
    assert found == Scenario(
        name="a", truth="same", rate=10, errors=0.01, ratio=3, after=1200, at=25, over=1.5, wave=0.5, period=7200, burst=0.3,
        outage=Span(60, 300, 0.1), clump=5, clump_arms="canary", cold=Span(0, 30, 0.2), spells=Spells(5, 60, 600, "canary"),
        slow=(0.01, 0.02), session=20, off=1.1, drift=2, scrape=0.1, late=0.2, restart=0.3, down=Span(180, 180),
    )  # fmt: skip


def test_the_published_scenarios_are_read_and_cover_what_they_must():
    found = read(None)
    assert {scenario.truth for scenario in found} == {"same", "tolerated", "worse"}
    assert min(scenario.rate for scenario in found) == 0.05
    assert max(scenario.rate for scenario in found) == 1000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("errors: -0.1", "scenarios[0].errors: is -0.1; a number from 0 to 1 would be right"),
        ("errors: .nan", "scenarios[0].errors: is nan; a number from 0 to 1 would be right"),
        ("errors: 0.1, canary: {ratio: 2, errors: 0.1}", (
            "scenarios[0].canary.errors: stands beside ratio; one of them would be right"
        )),
        ("errors: 0.1, truht: same", (
            "scenarios[0].truht: is not a known key; known here: name, load, canary, gaps, truth, rate, errors, drift, outage, "
            "spells, cold, slow, session, share, clumps"
        )),
        ("errors: 0.1, clumps: {size: 0}", "scenarios[0].clumps.size: is 0; a number from 1 to 1000 would be right"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_field(text, problem):
    with pytest.raises(BadInput) as error:
        one(text)
    assert str(error.value) == f"s.yaml: {problem}"


def test_two_of_one_name_are_refused():
    line = "  - {name: a, truth: same, rate: 10, errors: 0}\n"
    with pytest.raises(BadInput, match=r"scenarios\[1\].name: is 'a', which stands twice"):
        parse(HEAD + line + line, "s.yaml")


def test_an_unknown_policy_is_refused():
    with pytest.raises(BadInput, match="--policies: 'us' is not a known policy; known: ours, "):
        named("ours,us")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--runs", "0"], "--runs: is 0; a whole number of at least 1 would be right"),
        (["--seed", "-1"], "--seed: is -1; a whole number of at least 0 would be right"),
        (["--scenarios", "no.yaml"], "--scenarios: no.yaml cannot be read: [Errno 2] No such file or directory: 'no.yaml'"),
    ],
)
def test_bad_words_print_one_line_and_nothing_half(words, problem, capsys):
    assert main(["simulate", *words]) == 2
    assert capsys.readouterr() == ("", f"rollout: {problem}\n")


def test_a_seed_gives_the_same_table_whatever_the_form(tmp_path, capsys):
    path, picture = tmp_path / "s.yaml", tmp_path / "p.svg"
    path.write_text(f"{HEAD}  - {{name: all fail, truth: worse, rate: 60, errors: 0.01, canary: {{errors: 1}}}}\n")
    words = ["simulate", "--scenarios", str(path), "--policies", "ours,flagger", "--runs", "20"]
    assert main([*words, "--json", "--plot", str(picture)]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [(row["policy"], row["abort"]["value"]) for row in first] == [("ours", 1.0), ("flagger", 1.0)]
    assert first[0]["bad"]["value"] < first[1]["bad"]["value"] / 5
    assert picture.read_text().startswith("<?xml")
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert main([*words, "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("| scenario | policy | abort |")
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("all fail")
