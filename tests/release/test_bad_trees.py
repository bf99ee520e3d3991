"""What a person may get wrong in a repository, and the exact words each is answered with: by the command line, exit code 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest

from .conftest import At
from .repository import FOLDER, KEY, KNOWN, MODEL, SHAPE, STABLE, TRAFFIC, Answer, Desk, Edit, wanted

OVERLAY = f"overlays/{KEY}"
PLAN, APP, WIRING = "apps/credit/rollout.yaml", "apps/credit/kustomization.yaml", f"{OVERLAY}/kustomization.yaml"
SERVER, BUDGET = "base/model-server/seldondeployment.yaml", "base/model-server/poddisruptionbudget-stable.yaml"


def swap(old: str, new: str) -> Edit:
    """Put one text in the place of another, which must be there."""

    def swap(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return swap


def below(text: str) -> Edit:
    """Add text below everything else."""
    return lambda whole: whole + text


LINE = "one line, ../../../../base/at-rest or ../../../../base/in-rollout, would be right"
ENDLESS = "[{'canary': 5, 'dwell': '30m'}, {'canary': 25, 'dwell': '30m'}]"
STEPS = "[{'canary': 25, 'dwell': '30m'}, {'canary': 25, 'dwell': '30m'}, {'canary': 100}]"
FILES: dict[str, tuple[str, Edit, str]] = {
    "broken YAML": (MODEL, swap('"7"', '"7'), "line 10, column 1: not valid YAML: found unexpected end of stream"),
    "a tab": (
        TRAFFIC,
        swap("  canary", "\tcanary"),
        "line 7, column 1: not valid YAML: found a tab character that violates indentation",
    ),
    "two documents": (STABLE, below("---\n{}\n"), "line 9, column 1: not valid YAML: but found another document"),
    "a key twice": (TRAFFIC, below("  canary: 0\n"), "line 8, column 3: not valid YAML: key 'canary' stands twice"),
    "a merge that was not finished": (
        SHAPE,
        swap("components:", "<<<<<<< HEAD\ncomponents:"),
        "line 8, column 1: not valid YAML: could not find expected ':'",
    ),
    "an empty file": (TRAFFIC, lambda _: "", "holds nothing; a mapping with apiVersion and kind would be right"),
    "an unknown key": (
        MODEL,
        below("  colour: red\n"),
        "spec.colour: is not a known key; known here: version, modelUri, sha256, image, attempt, hold",
    ),
    "a switch in stable.yaml": (
        STABLE,
        below("  hold: true\n"),
        "spec.hold: is not a known key; known here: version, modelUri, sha256, image",
    ),
    "a wrong type": (
        MODEL,
        swap('"7"', "7"),
        'spec.version: is 7; a whole number; a quoted version such as "8" would be right',
    ),
    "traffic that is not 100": (
        TRAFFIC,
        swap("canary: 0", "canary: 5"),
        "spec: stable 100 + canary 5 is 105; 100 would be right",
    ),
    "a toggle that names neither component": (
        SHAPE,
        swap("at-rest", "paused"),
        f"components: is ['../../../../base/paused']; {LINE}",
    ),
    "another app's model": (
        MODEL,
        swap("credit/7", "savings/7"),
        "spec.modelUri: is 's3://models/savings/7'; s3://models/credit/7 would be right (s3, gs, https are known)",
    ),
    "no sha256": (MODEL, swap(f"  sha256: {'a7' * 32}\n", ""), "spec.sha256: is missing"),
    "plan steps that do not rise": (
        PLAN,
        swap("canary: 5,", "canary: 25,"),
        f"spec.steps: is {STEPS}; canary percents [25, 25, 100]: percents that rise and end with 100 would be right",
    ),
    "plan steps that do not end with 100": (
        PLAN,
        swap("    - {canary: 100}\n", ""),
        f"spec.steps: is {ENDLESS}; canary percents [5, 25]: percents that rise and end with 100 would be right",
    ),
}


@pytest.mark.parametrize(("path", "edit", "message"), FILES.values(), ids=FILES)
def test_a_file(at: At, path: str, edit: Edit, message: str) -> None:
    desk = at("before").alone()
    desk.write({path: edit})
    assert desk.rollout("check") == (2, f"{path}: {message}\n1 release, 1 problem\n", "")


def told(*messages: str) -> str:
    """What a check of one release prints."""
    count = "1 problem" if len(messages) == 1 else f"{len(messages)} problems"
    return "".join(f"{OVERLAY}: {one}\n" for one in messages) + f"1 release, {count}\n"


UNFILLED = "no replacement fills it in"
PIN = "an image by digest (name@sha256:...) or version, never latest, would be right"
CONTAINER = "componentSpecs[0].spec.containers[0].image"
LABEL = "spec.selector.matchLabels.seldon-app"
BOTH = ("the render (at-rest)", "the render (in-rollout)")
OBJECTS = (
    "ServiceAccount/model-server",
    "PodDisruptionBudget/stable",
    "SeldonDeployment/credit",
    "PodMonitor/predictors",
    "PodDisruptionBudget/canary",
)
RENDERS: dict[str, tuple[str, Edit, str]] = {
    "a placeholder where a target was renamed": (
        BUDGET,
        swap("name: stable", "name: steady"),
        told(*(f"PodDisruptionBudget/steady {LABEL}: is 'placeholder-stable' in {render}; {UNFILLED}" for render in BOTH)),
    ),
    "a placeholder that only the next rollout would meet": (
        "base/in-rollout/poddisruptionbudget-canary.yaml",
        swap("name: canary", "name: bird"),
        told(f"PodDisruptionBudget/bird {LABEL}: is 'placeholder-canary' in {BOTH[1]}; {UNFILLED}"),
    ),
    "a placeholder for an image": (
        APP,
        swap("- name: placeholder", "- name: other"),
        told(
            f"SeldonDeployment/credit spec.predictors[0].{CONTAINER}: is 'placeholder' in the render (at-rest); {UNFILLED}",
            f"predictor stable image: is 'placeholder'; {PIN}",
            f"SeldonDeployment/credit spec.predictors[0].{CONTAINER}: is 'placeholder' in the render (in-rollout); {UNFILLED}",
            f"SeldonDeployment/credit spec.predictors[1].{CONTAINER}: is 'placeholder' in the render (in-rollout); {UNFILLED}",
            f"predictor canary image: is 'placeholder'; {PIN}",
        ),
    ),
    "a SeldonDeployment of another name": (
        APP,
        swap("value: credit", "value: loans"),
        told("SeldonDeployment: rendered: loans; exactly one, named credit, would be right"),
    ),
    "another namespace": (
        WIRING,
        swap("credit-prod", "credit"),
        told(*(f"{one} metadata.namespace: is 'credit'; credit-prod would be right" for one in OBJECTS)),
    ),
    "a patch that reaches one predictor of two": (
        WIRING,
        below(
            "patches:\n  - target: {kind: SeldonDeployment}\n    patch: |-\n"
            "      - {op: replace, path: /spec/predictors/0/replicas, value: 5}\n"
        ),
        told("predictor canary replicas: is 3, stable's is 5; a patch that reaches both would be right"),
    ),
    "an unknown key of kustomize": (
        WIRING,
        below("patchess: []\n"),
        told(
            'at-rest: does not render: invalid Kustomization: json: unknown field "patchess"',
            'in-rollout: does not render: invalid Kustomization: json: unknown field "patchess"',
        ),
    ),
}


@pytest.mark.parametrize(("path", "edit", "out"), RENDERS.values(), ids=RENDERS)
def test_a_render(at: At, path: str, edit: Edit, out: str) -> None:
    desk = at("before").alone()
    desk.write({path: edit})
    assert desk.rollout("check") == (2, out, "")


def remove(*paths: str) -> Callable[[Desk], None]:
    """Remove files and folders."""

    def remove(desk: Desk) -> None:
        for path in (desk.path / one for one in paths):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def copy(desk: Desk, old: str, new: str) -> None:
    """Copy a folder."""
    shutil.copytree(desk.path / old, desk.path / new)


def twins(desk: Desk) -> None:
    """Two releases whose names join to the same namespace, a-b-c."""
    for env, app in (("c", "a-b"), ("b-c", "a")):
        copy(desk, "overlays/prod/common", f"overlays/{env}/common")
        copy(desk, OVERLAY, f"overlays/{env}/{app}")
        copy(desk, "apps/credit", f"apps/{app}")
        for path in (*(desk.path / f"overlays/{env}/{app}").rglob("*.yaml"), *(desk.path / f"apps/{app}").rglob("*.yaml")):
            path.write_text(path.read_text().replace("credit", app).replace(f"{app}-prod", "a-b-c"))
    shutil.rmtree(desk.path / OVERLAY)


def capitals(desk: Desk) -> None:
    """A release and its app whose name no namespace can have."""
    copy(desk, OVERLAY, "overlays/prod/Credit")
    copy(desk, "apps/credit", "apps/Credit")


def binary(desk: Desk) -> None:
    """A file that is no text."""
    (desk.path / TRAFFIC).write_bytes(b"\xff\xfe\x00")


ROOT_IS = "is no folder; the root of a deployment repository would be right"
WHOLE = "is missing; a release has model.yaml, stable.yaml, traffic.yaml, kustomization.yaml"
NO_TEXT = (
    f"{TRAFFIC}: not valid YAML: unacceptable character #x0000: control characters are not allowed "
    'in "<unicode string>", position 6\n1 release, 1 problem\n'
)
SAME = ("ServiceAccount/model-server", "PodDisruptionBudget/stable", "PodMonitor/predictors")
TREES: dict[str, tuple[Callable[[Desk], None], Answer]] = {
    "no overlays": (remove("overlays"), Answer(2, "", f"rollout: overlays: {ROOT_IS}\n")),
    "no apps": (remove("apps"), Answer(2, "", f"rollout: apps: {ROOT_IS}\n")),
    "no base": (remove("base"), Answer(2, "", f"rollout: base: {ROOT_IS}\n")),
    "no release": (
        remove(OVERLAY),
        Answer(2, "overlays: holds no release; overlays/<env>/<app>/release would be right\nno releases, 1 problem\n", ""),
    ),
    "an overlay without an app": (
        remove("apps/credit"),
        Answer(2, told("has no app; a folder apps/credit would be right"), ""),
    ),
    "an app without a plan": (
        remove(PLAN),
        Answer(2, f"{PLAN}: is missing; every app has a plan\n1 release, 1 problem\n", ""),
    ),
    "an overlay without a release": (
        remove(FOLDER),
        Answer(2, f"{MODEL}: {WHOLE}\n1 release, 1 problem\n", ""),
    ),
    "a release without a file": (remove(STABLE), Answer(2, f"{STABLE}: {WHOLE}\n1 release, 1 problem\n", "")),
    "a file that is no text": (binary, Answer(2, NO_TEXT, "")),
    "a name in capitals": (
        capitals,
        Answer(2, "release: is 'prod/Credit'; ENV/APP such as prod/credit would be right\n2 releases, 1 problem\n", ""),
    ),
    "duplicate names": (
        twins,
        Answer(2, "".join(f"overlays/c/a-b: {one}: is rendered by b-c/a too\n" for one in SAME) + "2 releases, 3 problems\n", ""),
    ),
}


@pytest.mark.parametrize(("spoil", "answer"), TREES.values(), ids=TREES)
def test_a_tree(at: At, spoil: Callable[[Desk], None], answer: Answer) -> None:
    desk = at("before").alone()
    spoil(desk)
    assert desk.rollout("check") == answer


def test_what_is_no_file_is_not_read(at: At) -> None:
    desk = at("before").alone()
    (desk.path / OVERLAY / "folder.yaml").mkdir()
    (desk.path / OVERLAY / "link.yaml").symlink_to("nowhere")
    assert desk.rollout("check") == (0, "1 release, no problems\n", "")


def test_for_machines(at: At) -> None:
    desk = at("before").alone()
    desk.write({TRAFFIC: ""})
    code, out, _ = desk.rollout("check", "--json")
    problem = "holds nothing; a mapping with apiVersion and kind would be right"
    problems = [{"file": TRAFFIC, "field": "", "problem": problem}]
    assert (code, json.loads(out)) == (2, {"releases": [str(KEY)], "problems": problems, "warnings": []})


NINE_LOANS = ("--version", "9", "--model-uri", "s3://models/loans/9", "--sha256", "a9" * 32)
STARTS: dict[str, tuple[tuple[str, ...], str]] = {
    "no such release": (("prod/loans", *NINE_LOANS), f"release: prod/loans is not in the repository; known: {KNOWN}"),
    "no release at all": (("credit", *wanted("8")), "release: is 'credit'; ENV/APP such as prod/credit would be right"),
    "a version that is no word": (
        (str(KEY), "--version", "a/b", *wanted("8")[2:]),
        "--version: is 'a/b'; letters, digits, '.', '_' and '-', at most 63, would be right",
    ),
    "another app's model": (
        (str(KEY), "--version", "8", "--model-uri", "s3://models/savings/8", "--sha256", "a8" * 32),
        "--model-uri: is 's3://models/savings/8'; s3://models/credit/8 would be right (s3, gs, https are known)",
    ),
    "a short sha256": (
        (str(KEY), *wanted("8")[:4], "--sha256", "a8"),
        "--sha256: is 'a8'; 64 lower-case hex digits would be right",
    ),
    "the latest image": ((str(KEY), *wanted("8"), "--image", "r/i:latest"), f"--image: is 'r/i:latest'; {PIN}"),
    "the version that runs": ((str(KEY), *wanted("7")), "prod/credit runs 7 already"),
}


@pytest.mark.parametrize(("words", "message"), STARTS.values(), ids=STARTS)
def test_a_start(at: At, words: tuple[str, ...], message: str) -> None:
    desk = at("before")
    assert desk.rollout("start", *words) == (2, "", f"rollout: {message}\n")
    assert desk.git("status", "--porcelain") == ""


def test_a_start_of_a_release_that_cannot_be_read_writes_nothing(at: At) -> None:
    desk = at("before")
    binary(desk)
    words = ("start", str(KEY), *wanted("8"))
    assert desk.rollout(*words) == (2, "", f"rollout: {NO_TEXT.partition(chr(10))[0]}\n")
    assert desk.git("status", "--porcelain") == f" M {TRAFFIC}\n"


def test_from_a_folder_below_the_root_it_is_the_same_repository(at: At) -> None:
    desk, below = at("before"), at("before")
    words = ("start", str(KEY), *wanted("8"))
    assert below.rollout(*words, "--repo", FOLDER) == desk.rollout(*words)
    assert below.git("diff") == desk.git("diff") != ""
