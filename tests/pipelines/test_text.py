"""The pull request's text: on a whole example, and what it says of time."""

from pathlib import Path

import pytest

from pipelines import text
from rollout.gate.power import Traffic
from rollout.plan import parse

ROOT = Path(__file__).parents[2]
APP = (ROOT / "apps/credit/rollout.yaml").read_text()


def plan(env: str = ""):
    override = ROOT / f"overlays/{env}/common/rollout.yaml"
    return parse("credit", APP, env, override.read_text() if override.is_file() else None)


STEPS = """\
- canary at 0 %, warm for 0 s
- canary at 5 % for 30 min, and until about 194 canary requests went well (3,880 in all)
- canary at 25 % for 30 min, and until about 968 canary requests went well (3,872 in all)
- 100 %: it becomes stable; 60 min after the start at the earliest

"""
WALKS = {
    "nobody says how many requests there are": (
        plan(),
        None,
        STEPS + "If nothing fails, the whole takes, at 1 requests/s: 2.2 h; 10 requests/s: 60 min; 100 requests/s: 60 min.",
    ),
    "at the traffic there is": (
        plan(),
        Traffic(12.34, 0.002),
        STEPS + "At the 12.3 requests/s of the last half hour, of which stable failed 0.20 %, the whole takes 60 min with 90 % "
        "probability, if the canary is as good as stable.\n"
        "Within its dwell (times stable's errors, and the chance): 5 % finds 2 x 1 %, 5 x 60 %, 20 x 100 %; "
        "25 % finds 2 x 10 %, 5 x 100 %, 20 x 100 %.\n"
        "**Note:** at 12.34 requests/s, 5 % for 30 min shows a doubling of errors with probability 1 %; "
        "to see it in 90 % take 8.8 h.\n"
        "**Note:** at 12.34 requests/s, 25 % for 30 min shows a doubling of errors with probability 10 %; "
        "to see it in 90 % take 2.3 h.",
    ),
    "no evidence is asked": (
        plan("dev"),
        None,
        (
            "- canary at 0 %, warm for 2 min\n- 100 %: it becomes stable; 2 min after the start at the earliest\n\n"
            "No requests are asked as evidence here: healthy for that long is enough."
        ),
    ),
}


@pytest.mark.parametrize(("walked", "traffic", "said"), WALKS.values(), ids=WALKS)
def test_how_long_it_takes(walked, traffic, said):
    assert text.walk(walked, traffic) == said


def test_a_whole_text_has_everything_that_a_reviewer_asks_for_in_order(trained):
    said = (trained.path / "out/train/pull-request.md").read_text()
    report = trained.report()
    run = next(line for line in said.splitlines() if line.startswith("Where it was made: "))
    assert run.startswith("Where it was made: run `")
    assert run.endswith("` of the registry, its card is card.html beside it.")
    pieces = [
        "**credit in dev: 1 -> 2.** On merge, canary 2 starts at 0 %; stable 1 keeps serving until 2 has shown itself.\n",
        "| now | 1 | `s3://models/credit/1` | `1ee30c15ccc86f9a` |\n",
        f"| wanted | 2 | `s3://models/credit/2` | `{report['sha256'][:16]}` |\n",
        "### Gates\n",
        f"| auc | passed | {report['gates'][0]['sentence']} |\n",
        "### Old against new, on 1,199 held-out rows, with 95 % intervals\n",
        f"Learned by {report['champion']} from 5,999 real rows of April to September 2005, `{report['data']['sha256']}`.\n",
        "Beside it: ",
        run,
        "### What will happen\n\n- canary at 0 %, warm for 2 min\n",
        "In quarantine (vetoed), of this app's versions: none.\n",
        "### Going back\n\nPress Revert on this pull request, at any moment, or `rollout rollback dev/credit`: 2 is then vetoed",
        "### The change\n\n- credit in dev: canary 2 starts at 0 %, beside stable 1\n",
        "<details><summary>dev/credit: manifests</summary>\n\n```diff\n",
        "+      modelUri: s3://models/credit/2\n",
        "<details><summary>The release's files</summary>\n\n```diff\n",
        '+  version: "2"\n',
        "<details><summary>Groups</summary>\n",
    ]
    places = [said.find(piece) for piece in pieces]
    assert -1 not in places, pieces[places.index(-1)]
    assert places == sorted(places)
