"""Predictions, mirrored requests, labels: every outcome of a few small batches, cases worked by hand, and what is refused."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import permutations, product
from math import comb, factorial, isclose, isfinite, log, prod
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.gate import RULES, labels, mirrored, predictions, sentence, watch
from rollout.gate.dispersion import CALM, spread
from rollout.gate.labels import Arrived, Label, Prediction
from rollout.gate.mirrored import Compared
from rollout.gate.predictions import Predicted
from rollout.gate.rules import slices
from rollout.plan import Gates

TIGHT = replace(RULES, model_cap=1.5, bin_prior=0.5, lately=30.0)  # so eager that a few predictions move the bets, and so tight
EAGER = replace(TIGHT, model_cap=1e9)
CLUMPS = [(50, 0, 0), (0, 50, 0)] * 60


def counts(n, bins):
    """Every way in which n predictions fall into bins."""
    if bins == 1:
        yield (n,)
        return
    for first in range(n + 1):
        for rest in counts(n - first, bins - 1):
            yield (first, *rest)


def chance(each, p):
    """The multinomial probability of counts."""
    return factorial(sum(each)) * prod(q**k / factorial(k) for k, q in zip(each, p, strict=True))


def tree(state, batches):
    """E[wealth] over every outcome; each of `batches` maps a state to (probability, next state)."""
    leaves = [(1.0, state)]
    for batch in batches:
        leaves = [(weight * p, after) for weight, before in leaves for p, after in batch(before)]
    assert isclose(sum(weight for weight, _ in leaves), 1)
    return sum(weight * after.watch.bets.value for weight, after in leaves)


def drawn(n_c, n_s, p_c, p_s, *, step=0, tolerated=1.0):
    """A batch of predictions, drawn in each arm."""

    def outcomes(state):
        for canary, stable in product(counts(n_c, len(p_c)), counts(n_s, len(p_s))):
            p = chance(canary, p_c) * chance(stable, p_s)
            if p:
                yield p, predictions.observe(state, Predicted(15.0, step, stable, canary), tolerated)

    return outcomes


SHAPES = [(0.5, 0.3, 0.2), (0.98, 0.01, 0.01), (0.6, 0.4, 0.0), (1 / 3, 1 / 3, 1 / 3)]


@pytest.mark.parametrize("rules", [RULES, TIGHT, EAGER], ids=["as shipped", "tight", "eager"])
@pytest.mark.parametrize("p", SHAPES)
def test_the_same_distribution_in_both_arms_wins_nothing(p, rules):
    later = p[::-1]  # both arms drift
    batches = [drawn(1, 2, p, p), drawn(2, 2, later, later), drawn(1, 2, p, p, step=1)]
    assert tree(predictions.begin(3, (), rules), batches) <= 1 + 1e-9


def test_nor_with_dispersion_of_a_history():
    state = predictions.begin(3, CLUMPS, EAGER)
    assert state.phi > 5
    p = (0.5, 0.3, 0.2)
    assert tree(state, [drawn(2, 3, p, p), drawn(2, 3, p, p)]) <= 1 + 1e-9


@pytest.mark.parametrize("rules", [TIGHT, EAGER], ids=["tight", "eager"])
@pytest.mark.parametrize(("p_c", "p_s"), [((0.6, 0.2, 0.2), (0.4, 0.3, 0.3)), ((0.3, 0.3, 0.4), (0.2, 0.2, 0.6))])
def test_bins_at_the_tolerated_ratio_win_nothing(p_c, p_s, rules):
    batches = [drawn(2, 2, p_c, p_s, tolerated=1.5)] * 2
    assert tree(predictions.begin(3, (), rules), batches) <= 1 + 1e-9


def test_a_shift_does_win():
    """The tests above can fail: what they enumerate grows where the null is false."""
    batches = [drawn(2, 3, (0.0, 0.0, 1.0), (0.9, 0.1, 0.0))] * 3
    assert tree(predictions.begin(3, (), EAGER), batches) > 1.5


@pytest.mark.parametrize("d", [0.02, 0.3])
@pytest.mark.parametrize("part", [1.0, 0.5])
def test_disagreement_within_what_is_tolerated_wins_nothing(d, part):
    def batch(state):
        for k in range(6):
            p = comb(5, k) * (part * d) ** k * (1 - part * d) ** (5 - k)
            yield p, mirrored.observe(state, Compared(15.0, 0, 5, k), d)

    for rules in (RULES, EAGER):
        assert tree(mirrored.begin(rules), [batch] * 3) <= 1 + 1e-9


def test_disagreement_above_it_wins():
    def batch(state):
        for k in range(6):
            yield comb(5, k) * 0.5**5, mirrored.observe(state, Compared(15.0, 0, 5, k), 0.02)

    assert tree(mirrored.begin(EAGER), [batch] * 2) > 10


def routed(wrong_c, wrong_s, now_wrong, now_right, *, share=0.4, tolerated=1.0, steps=1):
    """Two batches: three requests, then one; each is routed at random, wrong by chance, and labelled at once or a batch later."""
    each = [
        ((share if canary else 1 - share) * (p if wrong else 1 - p) * (now if at_once else 1 - now), canary, wrong, at_once)
        for canary, p in ((True, wrong_c), (False, wrong_s))
        for wrong, now in ((True, now_wrong), (False, now_right))
        for at_once in (True, False)
    ]

    def batch(names, step):
        def outcomes(state):
            for ways in product(each, repeat=len(names)):
                made = tuple(Prediction(name, way[1], "a") for name, way in zip(names, ways, strict=True))
                told = [Label(name, "b" if way[2] else "a") for name, way in zip(names, ways, strict=True)]
                now = [label for label, way in zip(told, ways, strict=True) if way[3]]
                after = labels.observe(state.state, Arrived(15.0, step, made, (*state.late, *now)), tolerated)
                left = tuple(label for label, way in zip(told, ways, strict=True) if not way[3])
                yield prod(way[0] for way in ways), Late(after, left)

        return outcomes

    return [batch(("x", "y", "z"), 0), batch(("u",), steps - 1)]


class Late:
    """A state, and the labels that are on their way."""

    def __init__(self, state, late=()):
        self.state, self.late = state, late

    @property
    def watch(self):
        return self.state.watch


@pytest.mark.parametrize(
    ("now_wrong", "now_right"), [(0.5, 0.5), (0.9, 0.1), (0.1, 0.9)], ids=["alike", "bad first", "good first"]
)
@pytest.mark.parametrize("p", [0.05, 0.4, 0.9])
def test_a_canary_as_often_wrong_wins_nothing_however_labels_are_late(p, now_wrong, now_right):
    batches = routed(p, p, now_wrong, now_right)
    assert tree(Late(labels.begin(EAGER)), batches) <= 1 + 1e-9
    assert tree(Late(labels.begin(EAGER)), routed(p / 2, p, now_wrong, now_right, steps=2)) <= 1 + 1e-9


def test_a_canary_that_is_always_wrong_wins():
    assert tree(Late(labels.begin(EAGER)), routed(1.0, 0.0, 0.9, 0.9)) > 1.05


def test_wrong_at_the_tolerated_ratio_wins_nothing():
    assert tree(Late(labels.begin(EAGER)), routed(0.6, 0.3, 0.5, 0.5, tolerated=2.0)) <= 1 + 1e-9


def test_the_bet_by_hand():
    """Canary 2 of 4 in the first bin, stable 1 of 4, W = 1/2; at r = (2, 1/2): 2/(1.5) each canary there, 1/1.5 each stable."""
    by_hand = log((2 / 1.5) ** 2 * (1 / 1.5) * (0.5 / 0.75) ** 2 * (1 / 0.75) ** 3)
    assert isclose(watch.gain((2, 2), (1, 3), (2.0, 0.5), 1.0), by_hand)


def test_the_bet_at_a_tolerated_ratio_by_hand():
    """r0 = 1.5, r = 3: q = 3/4, q0 = 3/5; the second bin, at less than r0, is left out."""
    assert isclose(watch.gain((2, 2), (1, 3), (3.0, 0.5), 1.5), 2 * log(0.75 / 0.6) + log(0.25 / 0.4))


def test_an_arm_without_outcomes_says_nothing():
    assert watch.gain((0, 0), (5, 5), (2.0, 0.5), 1.0) == 0
    assert watch.gain((5, 5), (0, 0), (2.0, 0.5), 1.0) == 0
    state = predictions.begin(2)
    assert predictions.observe(state, Predicted(15.0, 0, (5, 5), (0, 0))).value == 1


def test_the_first_batch_never_says_anything_of_predictions_as_the_bets_were_chosen_before_it():
    assert predictions.observe(predictions.begin(2), Predicted(15.0, 0, (900, 0), (0, 50))).watch.bets.value == 1


def test_mirrored_by_hand():
    """One batch, tolerated 10 %, 3 of 4 disagree: the mean over p1 = 0.13, 0.2, 0.4 and 0.55, 0.7 of the mass being out."""
    each = [(p / 0.1) ** 3 * ((1 - p) / 0.9) for p in (0.13, 0.2, 0.4, 0.55)]
    capped = sum(min(4.0, x) for x in each) / 4
    out = 0.7 + 0.2 * 15 / 3600
    state = mirrored.observe(mirrored.begin(), Compared(15.0, 0, 4, 3), 0.1)
    assert isclose(state.value, out * capped + 1 - out)


def walked(shift, *, batches=40, session=1, seed=1, tolerated=1.0):
    """Batches of a minute, 30 predictions of the canary and 570 of stable, over three bins."""
    rng = random.Random(seed)

    def arm(n, p):
        drawn = rng.choices(range(3), p, k=n // session)
        return tuple(session * drawn.count(b) for b in range(3))

    p = (0.6, 0.3, 0.1)
    state = predictions.begin(3, [arm(600, p) for _ in range(30)])
    for _ in range(batches):
        state = predictions.observe(state, Predicted(60.0, 0, arm(570, p), arm(30, shift or p)), tolerated)
    return state


def test_a_shift_of_predictions_is_found_and_its_bin_named():
    state = walked((0.4, 0.3, 0.3))
    assert state.value >= 1200
    c, s = state.canary[2], state.stable[2]
    said = sentence.predictions(state, 1200.0)
    assert said.startswith(f"canary {c} of 1 200 predictions in bin 3 ({c / 12:.1f} %), stable {sentence.count(s)} of 22 800 (")
    assert said.endswith(" >= 1 200")
    assert sentence.predictions(state._replace(watch=state.watch._replace(highest=5.0)), 1200.0).endswith(
        ": prediction e-value 5 < 1 200"
    )


def test_what_is_tolerated_is_not_found():
    assert walked((0.5, 0.37, 0.13), tolerated=2.0).value < 2
    assert walked((0.1, 0.1, 0.8), tolerated=2.0).value >= 1200


def test_clients_that_ask_five_times_are_measured_and_divided_out():
    assert all(walked(None, session=5, seed=seed).value < 100 for seed in range(4))
    assert walked(None, session=5).phi > 3
    assert walked((0.2, 0.3, 0.5), session=5).value >= 1200


def test_one_batch_of_predictions_is_one_event():
    state = predictions.observe(predictions.begin(2), Predicted(15.0, 0, (900, 0), (0, 50)))
    assert predictions.observe(state, Predicted(15.0, 0, (900, 0), (0, 50))).value <= RULES.model_cap


def test_an_alarm_that_was_due_stays_due():
    state = mirrored.begin()
    for k in (40,) * 6 + (0,) * 60:
        state = mirrored.observe(state, Compared(60.0, 0, 40, k), 0.02)
    assert state.watch.bets.value < 100 <= state.value


def test_a_batch_without_mirrored_requests_says_nothing():
    state = mirrored.observe(mirrored.begin(), Compared(60.0, 0, 40, 4), 0.02)
    after = mirrored.observe(state, Compared(60.0, 0, 0, 0), 0.02)
    assert (after.requests, after.disagreed, after.seen) == (40, 4, state.seen)
    assert isclose(after.watch.bets.value, state.watch.bets.value)


def test_mirrored_retries_are_measured():
    state = mirrored.begin()
    for i in range(200):
        state = mirrored.observe(state, Compared(60.0, 0, 100, 20 if i % 10 == 0 else 0), 0.02)
    assert state.phi > 5
    assert state.value < 1200


def made(*answers):
    """Predictions of a batch, from words such as c1 (canary, request 1), each 'yes'."""
    return tuple(Prediction(word[1:], word[0] == "c", "yes") for word in answers)


def test_labels_are_joined_late_out_of_order_and_once():
    state = labels.observe(labels.begin(), Arrived(60.0, 0, made("c1", "s2", "s3"), (Label("3", "no"),)))
    assert (state.canary, state.stable, state.waiting, state.again) == ((0, 0), (1, 0), 2, 0)
    state = labels.observe(state, Arrived(60.0, 0, made("s4"), (Label("4", "yes"), Label("3", "yes"), Label("1", "no"))))
    assert (state.canary, state.stable, state.waiting, state.again) == ((1, 0), (1, 1), 1, 1)
    state = labels.observe(state, Arrived(60.0, 0, (), (Label("1", "no"), Label("2", "yes"))))
    assert (state.canary, state.stable, state.waiting, state.again) == ((1, 0), (1, 2), 0, 2)


def test_labels_are_compared_within_the_step_of_their_requests():
    state = labels.observe(labels.begin(), Arrived(60.0, 0, made("s1", "s2"), ()))
    across = labels.observe(state, Arrived(60.0, 1, made("c3"), (Label("3", "no"), Label("1", "yes"))))
    assert (across.canary, across.stable, across.value) == ((1, 0), (0, 1), 1.0)
    within = labels.observe(state, Arrived(60.0, 0, made("c3"), (Label("3", "no"), Label("1", "yes"))))
    assert within.value > 1.0


def test_the_order_of_labels_within_a_batch_changes_nothing():
    batch = made("c1", "s2", "c3", "s4")
    told = (Label("1", "no"), Label("2", "no"), Label("3", "yes"))
    found = [labels.observe(labels.begin(), Arrived(60.0, 0, batch, order)) for order in permutations(told)]
    assert all(state == found[0] for state in found)


def test_more_wrong_predictions_are_found():
    state, rng = labels.begin(), random.Random(3)
    for i in range(60):
        arms = [(f"{'c' if j % 4 == 0 else 's'}{i}-{j}") for j in range(100)]
        told = [Label(word[1:], "no" if rng.random() < (0.25 if word[0] == "c" else 0.1) else "yes") for word in arms]
        state = labels.observe(state, Arrived(60.0, 0, made(*arms), tuple(told)))
    assert state.value >= 1200
    wrong, stable = state.canary[0], state.stable[0]
    said = sentence.labels(state, 1200.0)
    assert said.startswith(
        f"canary wrong in {wrong} of 1 500 labelled predictions ({wrong / 15:.1f} %), stable in {stable} of 4 500"
    )
    assert said.endswith(" >= 1 200; without a label so far: 0")


def test_sentences_before_there_is_anything():
    assert sentence.predictions(predictions.begin(2), 1200.0) == "no prediction of stable yet"
    seen = predictions.observe(predictions.begin(2), Predicted(15.0, 0, (9, 1), (0, 0)))
    assert sentence.predictions(seen, 1200.0) == "no prediction of the canary yet"
    assert sentence.mirrored(mirrored.begin(), 0.02, 1200.0) == "no mirrored request yet"
    asked = labels.observe(labels.begin(), Arrived(60.0, 0, made("c1", "s2"), ()))
    assert sentence.labels(asked, 1200.0) == "no label of stable yet; without one so far: 2"
    asked = labels.observe(asked, Arrived(60.0, 0, (), (Label("2", "yes"),)))
    assert sentence.labels(asked, 1200.0) == "no label of the canary yet; without one so far: 1"


def test_the_sentence_of_mirrored_requests():
    state = mirrored.observe(mirrored.begin(), Compared(60.0, 0, 1000, 20), 0.02)
    said = sentence.mirrored(state, 0.02, 1200.0)
    counts = "canary disagreed with stable on 20 of 1 000 mirrored requests (2.00 %)"
    assert said == f"{counts}, tolerated 2.00 %: disagreement e-value 1 < 1 200"


def test_the_page_shows_the_sentences_as_they_are():
    told = predictions.begin(3)
    told = told._replace(stable=(13680, 6801, 2319), canary=(480, 346, 374), watch=told.watch._replace(highest=1401.0))
    late = labels.begin()
    late = late._replace(stable=(600, 5400), canary=(60, 240), watch=late.watch._replace(highest=1333.0))
    late = late._replace(known={str(i): (0, Prediction(str(i), False, 0)) for i in range(12)})
    compared = mirrored.observe(mirrored.begin(), Compared(60.0, 0, 1000, 20), 0.02)
    page = (Path(__file__).parents[2] / "docs" / "gate.md").read_text()
    for said in (
        sentence.predictions(told, 1200.0),
        sentence.mirrored(compared, 0.02, 1200.0),
        sentence.labels(late, 1200.0),
    ):
        assert f"\n    {said}\n" in page


def test_alpha_is_split_over_all_that_is_on():
    every = slices(Gates(latency_budget=1.0), ("predictions", "mirrored", "labels"))
    assert set(every) == {"errors", "share", "ceiling", "latency", "predictions", "mirrored", "labels"}
    assert isclose(sum(1 / need for need in every.values()), 0.01)
    few = slices(Gates(ceiling=None, alpha=0.05), ("labels",))
    assert {name: round(need) for name, need in few.items()} == {"errors": 26, "share": 180, "labels": 180}
    with pytest.raises(ValueError, match=r"^'drift' is no model gate; predictions, mirrored, labels would be right$"):
        slices(Gates(), ("drift",))


@given(st.lists(st.tuples(*[st.lists(st.integers(0, 40), min_size=4, max_size=4)] * 2), max_size=12), st.sampled_from([1.0, 1.5]))
@settings(max_examples=100, deadline=None)
def test_for_any_predictions_wealth_is_finite_and_the_order_of_bins_changes_nothing(batches, tolerated):
    state, mirror = predictions.begin(4), predictions.begin(4)
    for stable, canary in batches:
        state = predictions.observe(state, Predicted(15.0, 0, tuple(stable), tuple(canary)), tolerated)
        mirror = predictions.observe(mirror, Predicted(15.0, 0, tuple(stable[::-1]), tuple(canary[::-1])), tolerated)
        assert isfinite(state.value)
        assert state.value >= 1
        assert state.phi >= 1
    assert mirror.value == pytest.approx(state.value)


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1)), max_size=20), st.floats(0.001, 0.9))
@settings(max_examples=100, deadline=None)
def test_for_any_mirrored_requests_more_disagreement_is_never_less_evidence(batches, tolerated):
    less = more = mirrored.begin(replace(RULES, phi_max=1.0))
    for n, part in batches:
        k = int(n * part)
        less = mirrored.observe(less, Compared(15.0, 0, n, k // 2), tolerated)
        more = mirrored.observe(more, Compared(15.0, 0, n, k), tolerated)
        assert 1 <= less.value <= more.value * (1 + 1e-9)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), max_size=40))
@settings(max_examples=100, deadline=None)
def test_every_label_counts_once_whenever_it_comes(requests):
    state = labels.begin()
    late = {}
    for i, (canary, wrong, delay) in enumerate(requests):
        late.setdefault(i + delay, []).append(Label(str(i), "no" if wrong else "yes"))
        state = labels.observe(state, Arrived(15.0, 0, made(f"{'c' if canary else 's'}{i}"), tuple(late.pop(i, ()))))
    left = tuple(label for each in late.values() for label in each)
    state = labels.observe(state, Arrived(15.0, 0, (), left + left))
    assert (state.waiting, state.again) == (0, len(left))
    outcomes = [(canary, wrong) for canary, wrong, _ in requests]
    assert state.canary == (outcomes.count((True, True)), outcomes.count((True, False)))
    assert state.stable == (outcomes.count((False, True)), outcomes.count((False, False)))


def test_pearson_of_neighbouring_batches():
    known = spread(CALM, (0, 0), RULES)
    assert known == CALM
    known = spread(spread(known, (5, 0), RULES), (7, 0), RULES)
    assert (known.phi, known.waiting, known.sums.pairs) == (1.0, None, 0)  # one bin alone cannot vary
    known = spread(spread(known, (6, 4), RULES), (4, 6), RULES)
    # Pearson of (6, 4) and (4, 6): 4 x 1/5 = 0.8; times 19/20
    assert (known.sums.d, known.sums.v) == (pytest.approx(0.76), 1.0)


HALF = (1, 1)
PREDICTED = {
    "stable: 3 bins; 2 as before would be right": Predicted(15.0, 0, (1, 2, 3), HALF),
    "canary[1]: -1 is negative": Predicted(15.0, 0, HALF, (1, -1)),
    "stable[0]: nan is not a whole number": Predicted(15.0, 0, (float("nan"), 1), HALF),
    "canary[0]: True is not a whole number": Predicted(15.0, 0, HALF, (True, 1)),
    "step: -1 is negative": Predicted(15.0, -1, HALF, HALF),
    "seconds: 0.0 is not a positive number": Predicted(0.0, 0, HALF, HALF),
    "seconds: nan is not a positive number": Predicted(float("nan"), 0, HALF, HALF),
}


@pytest.mark.parametrize(("message", "batch"), PREDICTED.items(), ids=PREDICTED)
def test_predictions_that_cannot_be_are_refused_by_name(message, batch):
    with pytest.raises(ValueError) as error:  # noqa: PT011  # its whole text is compared
        predictions.observe(predictions.begin(2), batch)
    assert str(error.value) == message


def test_what_cannot_be_tolerated_and_a_history_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"^tolerated: is 0\.5; a number from 1 to below 1000 would be right$"):
        predictions.observe(predictions.begin(2), Predicted(15.0, 0, HALF, HALF), 0.5)
    with pytest.raises(ValueError, match=r"^tolerated: is nan; "):
        labels.observe(labels.begin(), Arrived(15.0, 0, (), ()), float("nan"))
    with pytest.raises(ValueError, match=r"^bins: 1; 2 or more would be right$"):
        predictions.begin(1)
    with pytest.raises(ValueError, match=r"^history: 3 bins; 2 as before would be right$"):
        predictions.begin(2, [(1, 2, 3)])
    with pytest.raises(ValueError, match=r"^history\[0\]: -1 is negative$"):
        predictions.begin(2, [(-1, 2)])


@pytest.mark.parametrize(
    ("batch", "tolerated", "message"),
    [
        (Compared(15.0, 0, 5, 6), 0.1, "disagreed: 6 of 5 mirrored requests"),
        (Compared(15.0, 0, -5, 0), 0.1, "requests[0]: -5 is negative"),
        (Compared(15.0, 0, 5, 1), 0.0, "tolerated: is 0.0; a number from 1e-06 to below 1 would be right"),
        (Compared(15.0, 0, 5, 1), float("nan"), "tolerated: is nan; a number from 1e-06 to below 1 would be right"),
    ],
)
def test_mirrored_requests_that_cannot_be_are_refused_by_name(batch, tolerated, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011  # its whole text is compared
        mirrored.observe(mirrored.begin(), batch, tolerated)
    assert str(error.value) == message


NAN = float("nan")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (Arrived(15.0, 0, made("c1", "s1"), ()), "predictions[1].request: '1' stands already"),
        (Arrived(15.0, 0, made("c1"), (Label("1", "no"), Label("2", "no"))), "labels[1].request: no prediction for '2'"),
        (
            Arrived(15.0, 0, (Prediction("1", True, NAN),), ()),
            "predictions[0].predicted: nan; a class or a number would be right",
        ),
        (Arrived(15.0, 0, made("c1"), (Label("1", NAN),)), "labels[0].truth: nan; a class or a number would be right"),
    ],
)
def test_labels_that_cannot_be_are_refused_by_name(batch, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011  # its whole text is compared
        labels.observe(labels.begin(), batch)
    assert str(error.value) == message
