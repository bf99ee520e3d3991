"""What a person may get wrong in a release file or a plan, and the exact words each is answered with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rollout import plan, release
from rollout.errors import BadInput, Refused
from rollout.release import Key, Toggle, parse_key, parse_toggle, parse_traffic, parse_version
from tests.core.conftest import KEY, model

SHA = "a8" * 32
MODEL = f"""\
apiVersion: rollout/v1
kind: ModelVersion
metadata:
  name: model
spec:
  version: "8"
  modelUri: s3://models/credit/8
  sha256: {SHA}
  # a person's switches
"""
TRAFFIC = "apiVersion: rollout/v1\nkind: TrafficSplit\nmetadata: {name: traffic}\nspec:\n  stable: 95\n  canary: 5\n"
TOGGLE = """\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources:
  - model.yaml
  - stable.yaml
  - traffic.yaml
components:
  - ../../../../base/at-rest
"""
URI = "s3://models/credit/8 would be right (s3, gs, https are known)"
IMAGE = "an image by digest (name@sha256:...) or version, never latest, would be right"
UNKNOWN = "is not a known key; known here:"
FOLDER = "overlays/prod/credit/release"


def told(parse, *words) -> str:
    """What a reader answers to words it cannot use."""
    with pytest.raises(BadInput) as error:
        parse(*words)
    return str(error.value)


VERSION = {
    "an unknown key": (("  #", "  colour: red\n  #"), f"spec.colour: {UNKNOWN} version, modelUri, sha256, image, attempt, hold"),
    "an unknown key at the top": (
        ("spec:", "extra: 1\nspec:"),
        "extra: is not a known key; known here: apiVersion, kind, metadata, spec",
    ),
    "an unknown key in metadata": (
        ("  name: model", "  name: model\n  labels: {}"),
        "metadata.labels: is not a known key; known here: name",
    ),
    "another apiVersion": (("rollout/v1", "rollout/v2"), "apiVersion: is 'rollout/v2'; rollout/v1 would be right"),
    "another kind": (("ModelVersion", "Plan"), "kind: is 'Plan'; ModelVersion would be right"),
    "another name": (("name: model", "name: stable"), "metadata.name: is 'stable'; model would be right"),
    "spec of the wrong type": ((MODEL[MODEL.index("spec:") :], "spec: 8\n"), "spec: is a whole number; a mapping would be right"),
    "no spec": ((MODEL[MODEL.index("spec:") :], ""), "spec.version: is missing"),
    "a version without quotes": (('"8"', "8"), 'spec.version: is 8; a whole number; a quoted version such as "8" would be right'),
    "a version with a slash": (
        ('"8"', "a/b"),
        "spec.version: is 'a/b'; letters, digits, '.', '_' and '-', at most 63, would be right",
    ),
    "another app's path": (("credit/8", "savings/8"), f"spec.modelUri: is 's3://models/savings/8'; {URI}"),
    "another version's path": (("credit/8", "credit/9"), f"spec.modelUri: is 's3://models/credit/9'; {URI}"),
    "another scheme": (("s3:", "ftp:"), f"spec.modelUri: is 'ftp://models/credit/8'; {URI}"),
    "no store": (("s3://models/credit/8", "s3:///8"), f"spec.modelUri: is 's3:///8'; {URI}"),
    "a missing sha256": ((f"  sha256: {SHA}\n", ""), "spec.sha256: is missing"),
    "a short sha256": ((SHA, "abc"), "spec.sha256: is 'abc'; 64 lower-case hex digits would be right"),
    "an image without a version": (("  #", "  image: r/i\n  #"), f"spec.image: is 'r/i'; {IMAGE}"),
    "the latest image": (("  #", "  image: r/i:latest\n  #"), f"spec.image: is 'r/i:latest'; {IMAGE}"),
    "attempt 0": (("  #", "  attempt: 0\n  #"), "spec.attempt: is 0; a whole number from 1 would be right"),
    "attempt in words": (("  #", "  attempt: true\n  #"), "spec.attempt: is True; a whole number from 1 would be right"),
    "hold in words": (("  #", "  hold: maybe\n  #"), "spec.hold: is 'maybe'; true or false would be right"),
    "broken YAML": (('"8"', '"8'), "line 10, column 1: not valid YAML: found unexpected end of stream"),
}


@pytest.mark.parametrize(("change", "message"), VERSION.values(), ids=VERSION)
def test_model_yaml(change, message):
    text = MODEL.replace(*change)
    assert told(parse_version, text, KEY, "model") == f"{FOLDER}/model.yaml: {message}"


def test_stable_yaml_has_no_switches_of_a_person():
    text = MODEL.replace("name: model", "name: stable").replace("  #", "  hold: true\n  #")
    assert told(parse_version, text, KEY, "stable") == (
        f"{FOLDER}/stable.yaml: spec.hold: is not a known key; known here: version, modelUri, sha256, image"
    )


SPLITS = {
    "not 100 in sum": (("95", "90"), "spec: stable 90 + canary 5 is 95; 100 would be right"),
    "a fraction": (("95", "94.5"), "spec.stable: is 94.5; a whole number from 0 to 100 would be right"),
    "below 0": (("canary: 5", "canary: -5"), "spec.canary: is -5; a whole number from 0 to 100 would be right"),
    "a truth value": (("canary: 5", "canary: yes"), "spec.canary: is True; a whole number from 0 to 100 would be right"),
    "a third predictor": (("  canary", "  shadow: 0\n  canary"), "spec.shadow: is not a known key; known here: stable, canary"),
    "none for the canary": (("  canary: 5\n", ""), "spec.canary: is missing"),
}


@pytest.mark.parametrize(("change", "message"), SPLITS.values(), ids=SPLITS)
def test_traffic_yaml(change, message):
    assert told(parse_traffic, TRAFFIC.replace(*change), "traffic.yaml") == f"traffic.yaml: {message}"


RIGHT = "one line, ../../../../base/at-rest or ../../../../base/in-rollout, would be right"
TOGGLES = {
    "neither component": (("at-rest", "paused"), f"components: is ['../../../../base/paused']; {RIGHT}"),
    "both components": (
        ("  - ../../../../base/at-rest", "  - ../../../../base/at-rest\n  - ../../../../base/in-rollout"),
        f"components: is ['../../../../base/at-rest', '../../../../base/in-rollout']; {RIGHT}",
    ),
    "no component": (("components:\n  - ../../../../base/at-rest\n", ""), "components: is missing"),
    "a resource less": (
        ("  - traffic.yaml\n", ""),
        "resources: is ['model.yaml', 'stable.yaml']; ['model.yaml', 'stable.yaml', 'traffic.yaml'] would be right",
    ),
    "an own patch": (
        ("components:", "patches: []\ncomponents:"),
        "patches: is not a known key; known here: apiVersion, kind, resources, components",
    ),
    "a Kustomization": (("kind: Component", "kind: Kustomization"), "kind: is 'Kustomization'; Component would be right"),
}


@pytest.mark.parametrize(("change", "message"), TOGGLES.values(), ids=TOGGLES)
def test_the_toggle(change, message):
    assert told(parse_toggle, TOGGLE.replace(*change), "kustomization.yaml") == f"kustomization.yaml: {message}"


def test_a_release_lacks_a_file():
    assert told(release.parse, KEY, {"model.yaml": MODEL}) == (
        f"{FOLDER}/stable.yaml: is missing; a release has model.yaml, stable.yaml, traffic.yaml, kustomization.yaml"
    )


@pytest.mark.parametrize("text", ["prod", "prod/", "/credit", "prod/credit/release", "Prod/credit", "prod/a_b", "", "../x"])
def test_a_release_is_named_otherwise(text):
    assert told(parse_key, text) == f"release: is {text!r}; ENV/APP such as prod/credit would be right"


def test_a_release_is_named_env_and_app():
    key = parse_key("prod/credit")
    assert (key, str(key), key.namespace) == (Key("prod", "credit"), "prod/credit", "credit-prod")


def test_what_is_right_is_read():
    files = {
        "model.yaml": MODEL.replace("  #", f"  image: r/i:2@sha256:{SHA}\n  attempt: 2\n  hold: true\n  #"),
        "stable.yaml": MODEL.replace("name: model", "name: stable"),
        "traffic.yaml": TRAFFIC,
        "kustomization.yaml": TOGGLE,
    }
    found = release.parse(KEY, files)
    assert found.model == model("8", image=f"r/i:2@sha256:{SHA}", attempt=2, hold=True)
    assert (found.stable, found.canary, found.toggle, found.stale) == (model("8"), 5, Toggle.AT_REST, True)


@pytest.mark.parametrize("uri", ["s3://models/credit/8", "gs://a/b/credit/8", "https://host:9000/models/credit/8-r2"])
def test_a_version_on_a_new_image_may_run_the_same_bytes(uri):
    text = MODEL.replace('"8"', '"8-r2"').replace("s3://models/credit/8", uri)
    assert parse_version(text, KEY, "model").model_uri == uri


def test_an_error_is_one_line_whatever_it_has_to_say():
    assert str(BadInput("", "", "is missing")) == "is missing"
    assert str(Refused("no")) == "no"


PLAN = """\
apiVersion: rollout/v1
kind: Plan
metadata: {name: credit}
spec:
  steps:
    - {canary: 5, dwell: 30m}
    - {canary: 25, dwell: 30m}
    - {canary: 100}
"""
DURATION = "a duration such as 30s, 15m, 4h or 1d would be right"
LIST = "a list such as [{canary: 5, dwell: 30m}, {canary: 100}] would be right"
CLOCK = 'a quoted time of day such as "08:00" would be right'
GATES = "known here: errors, safety, latency, alpha"
DAYS = "a list of mon, tue, wed, thu, fri, sat, sun would be right"


def rising(*percents: int) -> str:
    steps = [{"canary": percent} | ({} if percent == 100 else {"dwell": "1m"}) for percent in percents]
    return f"spec.steps: is {steps!r}; canary percents {list(percents)}: percents that rise and end with 100 would be right"


def steps_of(*percents: int) -> str:
    steps = "".join(f"    - {{canary: {one}{'' if one == 100 else ', dwell: 1m'}}}\n" for one in percents)
    return f"{PLAN[: PLAN.index('    -')]}{steps}"


PLANS = {
    "steps that do not end with 100": (steps_of(5, 25), rising(5, 25)),
    "steps that fall": (steps_of(25, 5, 100), rising(25, 5, 100)),
    "a step twice": (steps_of(5, 5, 100), rising(5, 5, 100)),
    "no steps": (PLAN[: PLAN.index("  steps")] + "  warm: 1m\n", "spec.steps: is missing"),
    "an empty list of steps": (PLAN[: PLAN.index("  steps")] + "  steps: []\n", f"spec.steps: is []; {LIST}"),
    "a step that is a number": (
        PLAN.replace("{canary: 5, dwell: 30m}", "5"),
        "spec.steps[0]: is a whole number; a mapping would be right",
    ),
    "a step of 0 %": (
        PLAN.replace("canary: 5,", "canary: 0,"),
        "spec.steps[0].canary: is 0; a whole number from 1 to 100 would be right",
    ),
    "a step without a dwell": (PLAN.replace("{canary: 5, dwell: 30m}", "{canary: 5}"), "spec.steps[0].dwell: is missing"),
    "a step with an unknown key": (
        PLAN.replace("dwell: 30m}", "dwell: 30m, pause: 1}", 1),
        "spec.steps[0].pause: is not a known key; known here: canary, dwell",
    ),
    "a dwell without a unit": (PLAN.replace("30m", "30", 1), f"spec.steps[0].dwell: is 30; {DURATION}"),
    "a dwell at 100 %": (
        PLAN.replace("{canary: 100}", "{canary: 100, dwell: 1m}"),
        "spec.steps[2].dwell: 100 completes at once and has no dwell",
    ),
    "an unknown key": (
        PLAN + "  speed: 1\n",
        "spec.speed: is not a known key; known here: steps, warm, evidence, gates, drain, deadlines",
    ),
    "another app's name": (PLAN.replace("name: credit", "name: savings"), "metadata.name: is 'savings'; credit would be right"),
    "a spec that is a list": (PLAN[: PLAN.index("spec:")] + "spec: []\n", "spec: is []; a list; a mapping would be right"),
    "evidence of another kind": (PLAN + "  evidence: some\n", "spec.evidence: is 'some'; traffic or none would be right"),
    "a gate that is nothing": (PLAN + "  gates:\n", "spec.gates: is nothing; a mapping would be right"),
    "an unknown gate": (
        PLAN + "  gates: {memory: 1}\n",
        f"spec.gates.memory: is not a known key; {GATES}".replace("latency, ", ""),
    ),
    "an alpha above 0.5": (
        PLAN + "  gates: {alpha: 0.6}\n",
        "spec.gates.alpha: is 0.6; a number between 0 and 0.5 would be right",
    ),
    "an alpha that is no number": (PLAN + "  gates: {alpha: .nan}\n", "spec.gates.alpha: is nan; a number would be right"),
    "an alpha in words": (PLAN + "  gates: {alpha: true}\n", "spec.gates.alpha: is True; a number would be right"),
    "a ratio below 1": (
        PLAN + "  gates: {errors: {ratio: 0.5}}\n",
        "spec.gates.errors.ratio: is 0.5; a number from 1 to 1000 would be right",
    ),
    "a ratio beyond all measure": (
        PLAN + "  gates: {errors: {ratio: 1" + "0" * 11 + "}}\n",
        "spec.gates.errors.ratio: is 100000000000; a number would be right",
    ),
    "an unknown key of errors": (
        PLAN + "  gates: {errors: {rate: 1}}\n",
        "spec.gates.errors.rate: is not a known key; known here: ratio, ceiling",
    ),
    "a ceiling of 1": (
        PLAN + "  gates: {errors: {ceiling: 1}}\n",
        "spec.gates.errors.ceiling: is 1; a number between 0 and 1 would be right",
    ),
    "latency without a budget": (PLAN + "  gates: {latency: {}}\n", "spec.gates.latency.budget: is missing"),
    "safe means more than what is harmful": (
        PLAN + "  gates: {errors: {ratio: 3}}\n",
        "spec.gates.safety.ratio: is 2.5; more than errors.ratio 3.0 would be right",
    ),
    "an unknown thing to do at the deadline": (
        PLAN + "  deadlines: {then: pray}\n",
        "spec.deadlines.then: is 'pray'; hold or advance or abort would be right",
    ),
    "an unknown deadline": (
        PLAN + "  deadlines: {late: 1h}\n",
        "spec.deadlines.late: is not a known key; known here: ready, verdict, then",
    ),
    "hours without an end": (PLAN + '  hours: {from: "08:00"}\n', "spec.hours.to: is missing"),
    "hours that end before they begin": (
        PLAN + '  hours: {from: "18:00", to: "08:00"}\n',
        "spec.hours.to: is 08:00; later than from 18:00 would be right",
    ),
    "an hour without quotes": (PLAN + "  hours: {from: 18:00, to: 19:00}\n", f"spec.hours.from: is 1080; {CLOCK}"),
    "an hour with an offset": (
        PLAN + '  hours: {from: "08:00+02:00", to: "19:00"}\n',
        f"spec.hours.from: is '08:00+02:00'; {CLOCK}",
    ),
    "an unknown day": (
        PLAN + '  hours: {days: [monday], from: "08:00", to: "19:00"}\n',
        f"spec.hours.days: is ['monday']; {DAYS}",
    ),
    "no days": (PLAN + '  hours: {days: [], from: "08:00", to: "19:00"}\n', f"spec.hours.days: is []; {DAYS}"),
    "an unknown time zone": (
        PLAN + '  hours: {from: "08:00", to: "19:00", timezone: Mars}\n',
        "spec.hours.timezone: is 'Mars'; an IANA time zone such as Europe/Berlin would be right",
    ),
    "an unknown key of hours": (
        PLAN + '  hours: {from: "08:00", to: "19:00", at: 1}\n',
        "spec.hours.at: is not a known key; known here: days, from, to, timezone",
    ),
}


@pytest.mark.parametrize(("text", "message"), PLANS.values(), ids=PLANS)
def test_a_plan(text, message):
    assert told(plan.parse, "credit", text) == f"apps/credit/rollout.yaml: {message}"


def test_an_environments_fields_name_the_environments_file():
    over = PLAN[: PLAN.index("spec:")].replace("credit", "dev") + "spec:\n  warm: soon\n"
    assert told(plan.parse, "credit", PLAN, "dev", over) == f"overlays/dev/common/rollout.yaml: spec.warm: is 'soon'; {DURATION}"


def test_an_environments_file_is_named_after_it():
    assert told(plan.parse, "credit", PLAN, "dev", PLAN) == (
        "overlays/dev/common/rollout.yaml: metadata.name: is 'credit'; dev would be right"
    )


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"], ids=["in a locale of UTF-8", "in the locale C"])
def test_a_plan_or_a_line_that_is_no_utf_8_is_told_with_its_line(tmp_path, errors):
    def backtest(plan: bytes, lines: bytes) -> tuple[int, int, str]:
        path = tmp_path / "rollout.yaml"
        path.write_bytes(plan)
        words = [sys.executable, "-m", "rollout.cli", "backtest", "--plan", "rollout.yaml"]
        env = {**os.environ, "PYTHONIOENCODING": f"utf-8:{errors}", "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(words, input=lines, cwd=tmp_path, env=env, capture_output=True, check=False)
        return done.returncode, done.stdout.count(b"\n"), done.stderr.decode()

    said = "byte 0xff is not UTF-8; UTF-8 text would be right\n"
    lines = b'{"run": "a", "t": 15}\n{"run": "\xff", "t": 15}\n'
    assert backtest(PLAN.encode(), lines) == (2, 1, f"rollout: standard input: line 2: {said}")
    assert backtest(b"# a\n# \xff\n" + PLAN.encode(), lines) == (2, 0, f"rollout: rollout.yaml: line 2: {said}")
