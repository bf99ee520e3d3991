"""What each decision changes: the fewest lines of the release's texts, and nothing of model.yaml."""

from __future__ import annotations

import pytest

from rollout import change, release
from rollout.decide import Action, Change, Decision
from rollout.release import Toggle, write_toggle, write_traffic, write_version
from tests.core.conftest import KEY, at_rest, model, rolling
from tests.core.test_bad_input import MODEL, SHA, TOGGLE, TRAFFIC

STABLE = MODEL.replace("name: model", "name: stable").replace("  # a person's switches\n", "")
SEVEN = STABLE.replace('"8"', '"7"').replace("credit/8", "credit/7").replace(SHA, "a7" * 32)
IN_ROLLOUT = TOGGLE.replace("at-rest", "in-rollout")
TEXTS = {"model.yaml": MODEL, "stable.yaml": SEVEN, "traffic.yaml": TRAFFIC, "kustomization.yaml": IN_ROLLOUT}


def decided(what: Change, canary: int = 0) -> Decision:
    return Decision(Action.ADVANCE, "why", what, canary)


APPLIED = {
    "a step: both percents": (
        decided(Change.CANARY, 25),
        {"traffic.yaml": TRAFFIC.replace("stable: 95", "stable: 75").replace("canary: 5", "canary: 25")},
    ),
    "a step to where it is: nothing": (decided(Change.CANARY, 5), {}),
    "stable's new version: the version's lines": (decided(Change.STABLE), {"stable.yaml": STABLE}),
    "close: the toggle": (decided(Change.CLOSE), {"kustomization.yaml": TOGGLE}),
    "tidy: stable's version and both percents": (
        decided(Change.TIDY),
        {"stable.yaml": STABLE, "traffic.yaml": write_traffic(TRAFFIC, 0)},
    ),
}


@pytest.mark.parametrize(("decision", "changed"), APPLIED.values(), ids=APPLIED)
def test_apply(decision, changed):
    assert change.apply(decision, release.parse(KEY, TEXTS), TEXTS) == changed


def test_stable_takes_the_image_over_and_none_of_the_switches():
    wanted = MODEL.replace("  #", "  image: r/i:2\n  attempt: 2\n  hold: true\n  #")
    texts = {**TEXTS, "model.yaml": wanted}
    changed = change.apply(decided(Change.STABLE), release.parse(KEY, texts), texts)
    assert changed == {"stable.yaml": STABLE + "  image: r/i:2\n"}


def test_stable_drops_the_image_of_the_version_before():
    texts = {**TEXTS, "stable.yaml": SEVEN + "  image: r/i:1\n"}
    assert change.apply(decided(Change.STABLE), release.parse(KEY, texts), texts) == {"stable.yaml": STABLE}


AT_REST = {
    **TEXTS,
    "model.yaml": MODEL,
    "stable.yaml": STABLE,
    "traffic.yaml": write_traffic(TRAFFIC, 0),
    "kustomization.yaml": TOGGLE,
}
NINE = MODEL.replace('"8"', '"9"').replace("credit/8", "credit/9").replace(SHA, "a9" * 32)
STARTS = {
    "tidy files: the version's lines and the toggle": (
        AT_REST,
        model("9"),
        {"model.yaml": NINE, "kustomization.yaml": IN_ROLLOUT},
    ),
    "stale files: these too": (
        {**AT_REST, "stable.yaml": SEVEN, "traffic.yaml": TRAFFIC},
        model("9"),
        {
            "model.yaml": NINE,
            "kustomization.yaml": IN_ROLLOUT,
            "stable.yaml": STABLE,
            "traffic.yaml": write_traffic(TRAFFIC, 0),
        },
    ),
    "another image and another attempt": (
        AT_REST,
        model("9", image="r/i:2", attempt=2),
        {"model.yaml": NINE.replace("  #", "  image: r/i:2\n  attempt: 2\n  #"), "kustomization.yaml": IN_ROLLOUT},
    ),
    "after a second attempt of the version before": (
        {**AT_REST, "model.yaml": MODEL.replace("  #", "  attempt: 2\n  hold: true\n  #")},
        model("9"),
        {"model.yaml": NINE.replace("  #", "  hold: true\n  #"), "kustomization.yaml": IN_ROLLOUT},
    ),
}


@pytest.mark.parametrize(("texts", "wanted", "changed"), STARTS.values(), ids=STARTS)
def test_start(texts, wanted, changed):
    assert change.start(release.parse(KEY, texts), texts, wanted) == changed


LONG = "canary 120 of 1 000 requests failed (12.00 %), stable 2 of 1 900 (0.11 %): harm e-value 4 100 >= 129"
SUBJECTS = {
    "a step": (decided(Change.CANARY, 25), rolling(5), "credit(prod): canary 8 at 25 %"),
    "stable's new version": (decided(Change.STABLE), rolling(25), "credit(prod): stable 7 -> 8"),
    "close": (decided(Change.CLOSE), rolling(0), "credit(prod): close canary 8"),
    "tidy": (
        decided(Change.TIDY),
        at_rest("7", stable="8", canary=5),
        "credit(prod): tidy stable 8 -> 7, canary 5 -> 0 %",
    ),
    "an abort says why": (
        Decision(Action.ABORT, "8 was taken out for 7", Change.CANARY, 0),
        rolling(5),
        "credit(prod): canary 8 at 0 %: 8 was taken out for 7",
    ),
    "an abort says why at most so long": (
        Decision(Action.ABORT, LONG, Change.TAKE_BACK),
        rolling(5),
        "credit(prod): close canary 8: canary 120 of 1 000 requests failed (12.00 %) ...",
    ),
    "a clause that ends late is cut at a word": (
        Decision(Action.ABORT, "a word " * 20 + ", end", Change.TAKE_BACK),
        rolling(5),
        f"credit(prod): close canary 8: {'a word ' * 8}a ...",
    ),
}


@pytest.mark.parametrize(("decision", "files", "subject"), SUBJECTS.values(), ids=SUBJECTS)
def test_subject(decision, files, subject):
    assert change.subject(decision, files) == subject


def test_the_toggle_in_a_comment_is_not_the_toggle():
    text = TOGGLE.replace("components:", "# from base/at-rest to base/in-rollout and back\ncomponents:")
    assert write_toggle(text, Toggle.IN_ROLLOUT) == text.replace("../base/at-rest", "../base/in-rollout")


def test_a_person_may_write_a_mapping_in_one_line():
    text = MODEL[: MODEL.index("spec:")] + f'spec: {{version: "8", modelUri: s3://models/credit/8, sha256: {SHA}}}\n'
    written = write_version(text, model("9", image="r/i:2"), person=True)
    assert release.parse_version(written, KEY, "model") == model("9", image="r/i:2")
