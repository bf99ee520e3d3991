"""The gate's e-values against an independent library's, savvi, on the same counts. Runs in .venv-oracle (./setup.sh oracle).

savvi's `Multinomial` (Lindon, Malek 2022) mixes likelihood ratios over a Dirichlet prior on the shares; its `odds` are the
e-value against the null shares theta_0. With the prior's mass in one point it is one likelihood ratio, so each bet of ours is
one of savvi's, and our mixture their mean:

| ours                          | one trial is    | theta_0 of the canary         | the bet's point       |
|-------------------------------|-----------------|-------------------------------|-----------------------|
| harm, errors and slow ones    | an event        | W r0/(W r0 + 1 - W)           | the same of r0 g      |
| share                         | a request       | half of the committed share   | that times g          |
| ceiling                       | canary request  | the ceiling                   | that times g          |
| safety, with a floor of 0     | an error        | W r1/(W r1 + 1 - W)           | that times A          |

Harm at r0 = 1 is the model of savvi's "canary software release test", InhomogeneousPoissonProcess, whose theta_0 is the split.
Compared is the production fold, batch by batch, with the rules off that savvi has nothing like: start times, shrunk shares,
cap, winsor, young pods, dispersion, total failure, a minimum divisor. Not compared: the floor tests (one-sample Poisson bounds)
and a safety floor above 0, for which savvi has no object. `confseq`, the other library, needs Boost to build: not installed.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf, log

import numpy as np
import pytest
from savvi.multinomial import InhomogeneousPoissonProcess, Multinomial
from scipy.stats import beta

from rollout.gate import RULES, Arm, Batch, begin, observe, thresholds
from rollout.gate.rules import CEILING_GRID, GRID, SAFETY_GRID, SHARE_GRID
from rollout.gate.wealth import Bets, Clock, Moment, grow
from rollout.plan import Gates

BARE = replace(
    RULES, mass_start=1.0, mass_steps=0.0, mass_later=0.0, total_mass=0.0, cap=inf, winsor=inf, young=0.0, phi_max=1.0,
    step_prior=1e12, share_prior=1e9, share_temper=1.0, share_cap=inf, first_floor=0.0, safety_cap=inf,
)  # fmt: skip
GATES = Gates(latency_budget=0.5, ceiling=0.02, safety_floor=0.0)
POINT = 1e9  # a Dirichlet prior of this concentration is a point
CLOSE = 1e-3  # relative


def rollout(seed, p_c, p_s, *, traffic, got, batches=40):
    """Batches of 15 s of some 300 requests; the canary gets the part `got` of them.

    The first has no event: its share is taken another way (fold.py, rule 8).
    """
    rng = np.random.default_rng(seed)
    made = []
    for k in range(batches):
        n_c, n_s = (int(n) for n in rng.poisson((300 * got, 300 * (1 - got))))
        rates = ((n_s, p_s * (k > 0)), (n_c, p_c * (k > 0)))
        arms = [Arm(n, int(rng.binomial(n, p)), int(rng.binomial(n, 2 * p))) for n, p in rates]
        made.append(Batch(end=15.0 * (k + 1), seconds=15.0, traffic=traffic, step=1, stable=arms[0], canary=arms[1]))
    return made


ROLLOUTS = [
    pytest.param(rollout(1, 0.02, 0.02, traffic=5, got=0.05), id="as good as stable"),
    pytest.param(rollout(2, 0.05, 0.02, traffic=25, got=0.25), id="worse"),
    pytest.param(rollout(3, 0.005, 0.03, traffic=50, got=0.5), id="better"),
    pytest.param(rollout(4, 0.02, 0.02, traffic=25, got=0.08), id="below its share"),
]


def folded(batches, gates=GATES, rules=BARE):
    """The production state after every batch."""
    state, states = begin(gates, (), rules), []
    for batch in batches:
        state = observe(state, batch, gates)
        states.append(state)
    return states


def point(null, at):
    """Two shares tested by savvi, with all mass of its prior in one point."""
    test = Multinomial(alpha=0.01, theta_0=np.array([null, 1 - null]))
    test.alpha_0 = POINT * np.array([at, 1 - at])
    return test


def odds(test, counts):
    """The test's e-value after each pair of counts."""
    found = []
    for pair in counts:
        with np.errstate(divide="ignore"):  # odds that have become 0 stay there
            test.update(np.array(pair))
        found.append(float(test.odds))
    return found


def means(null, points, counts):
    """The e-value by savvi of the mixture with equal weights over the points, after each pair of counts."""
    return np.mean([odds(point(null, at), counts) for at in points], axis=0)


def share_of(w, ratio):
    """The canary's share of the events when its rate is `ratio` times stable's."""
    return w * ratio / (w * ratio + 1 - w)


def counted(batches, kind):
    """(canary, stable) events of each batch."""
    return [(getattr(b.canary, kind), getattr(b.stable, kind)) for b in batches]


@pytest.mark.parametrize("ratio", [1.0, 1.5])
@pytest.mark.parametrize("batches", ROLLOUTS)
def test_harm_is_the_mixture_of_the_same_likelihood_ratios(batches, ratio):
    w, gates = batches[0].traffic / 100, replace(GATES, ratio=ratio, latency_ratio=ratio)
    points = [share_of(w, ratio * g) for g in GRID]
    states = folded(batches, gates)
    errors = means(share_of(w, ratio), points, counted(batches, "errors"))
    assert [s.errors.value for s in states] == pytest.approx(list(errors), rel=CLOSE)
    slow = means(share_of(w, ratio), points, counted(batches, "slow"))
    assert [s.slow.value for s in states] == pytest.approx(list(slow), rel=CLOSE)


@pytest.mark.parametrize("batches", ROLLOUTS)
def test_harm_at_ratio_1_is_the_librarys_own_canary_test(batches):
    w = batches[0].traffic / 100
    each = []
    for g in GRID:
        test = InhomogeneousPoissonProcess(alpha=0.01, rho=np.array([w, 1 - w]), weights=np.array([[1, -1]]))
        q = share_of(w, g)
        test.alpha_0 = POINT * np.array([q, 1 - q])
        each.append(odds(test, counted(batches, "errors")))
    assert [s.errors.value for s in folded(batches)] == pytest.approx(list(np.mean(each, axis=0)), rel=CLOSE)


@pytest.mark.parametrize("batches", ROLLOUTS)
def test_share_is_the_sample_ratio_test_against_half_the_committed_share(batches):
    null = BARE.share_floor * batches[0].traffic / 100
    expected = means(null, [null * g for g in SHARE_GRID], counted(batches, "requests"))
    assert [s.share.bets.value for s in folded(batches)] == pytest.approx(list(expected), rel=CLOSE, abs=1e-12)


@pytest.mark.parametrize("batches", ROLLOUTS)
def test_ceiling_is_the_test_of_one_arm_against_the_ceiling(batches):
    gates = replace(GATES, ceiling=0.06)  # stable stays below it in every batch: rule 2 of ceiling.py leaves nothing out
    assert all(b.stable.errors <= 0.06 * b.stable.requests for b in batches)
    counts = [(b.canary.errors, b.canary.requests - b.canary.errors) for b in batches]
    expected = means(0.06, [0.06 * g for g in CEILING_GRID], counts)
    assert [s.ceiling.value for s in folded(batches, gates)] == pytest.approx(list(expected), rel=CLOSE, abs=1e-12)


@pytest.mark.parametrize("batches", ROLLOUTS[:3])
def test_safety_without_a_floor_is_the_test_of_a_smaller_share_of_the_errors(batches):
    states = folded(batches)
    assert states[0].place.opened == 0
    null = share_of(batches[0].traffic / 100, GATES.safety_ratio)
    expected = means(null, [null * a for a in SAFETY_GRID], counted(batches, "errors"))
    assert [s.safety.value for s in states] == pytest.approx(list(expected), rel=CLOSE)


def test_a_fine_grid_of_bets_is_the_librarys_dirichlet_mixture():
    """Bets at the quantiles of savvi's own prior, of concentration 100, grown batch by batch as every test's are."""
    counts = counted(rollout(5, 0.04, 0.02, traffic=25, got=0.25, batches=20), "errors")
    size, null = 4000, 0.25
    points = beta.ppf((np.arange(size) + 0.5) / size, 100 * null, 100 * (1 - null))
    bets, values = Bets((1.0,) * size, 1.0, 1.0), []
    for e_c, e_s in counts:
        gains = [e_c * log(q / null) + e_s * log((1 - q) / (1 - null)) for q in points]
        bets = grow(bets, gains, Moment(Clock(1.0, 0.0, 0.0, 0.0, 0), False, 15.0, BARE))
        values.append(bets.value)
    assert values == pytest.approx(odds(Multinomial(alpha=0.01, theta_0=np.array([null, 1 - null])), counts), rel=CLOSE)


def test_the_gate_aborts_in_the_batch_in_which_the_librarys_p_value_falls_below_its_part_of_alpha():
    batches = rollout(6, 0.05, 0.02, traffic=25, got=0.25)
    gates = Gates(ceiling=None)
    level = 1 / thresholds(gates).errors
    each = means(0.25, [share_of(0.25, g) for g in GRID], counted(batches, "errors"))
    due = next(k for k, e in enumerate(each) if 1 / e <= level)
    states = folded(batches, gates)
    assert 3 < due < 35
    assert [s.latched is not None for s in states] == [k >= due for k in range(len(states))]
    assert states[due].latched[0] == "errors"


@pytest.mark.parametrize("wrong", [0.99, 1.01])
def test_a_formula_that_is_one_percent_off_would_be_told(wrong):
    """The comparison's own power: the null share of savvi's test is changed by 1 %."""
    batches = rollout(2, 0.05, 0.02, traffic=25, got=0.25)
    points = [share_of(0.25, g) for g in GRID]
    right = [s.errors.value for s in folded(batches)]
    assert right != pytest.approx(list(means(0.25 * wrong, points, counted(batches, "errors"))), rel=CLOSE)
