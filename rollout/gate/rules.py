"""Every number of the gate that is not the plan's, in one place, each with its reason.

A plan says what is tolerated (`Gates`); these rules say how the evidence is weighed. They are carried by the state,
so that a study can switch one off (`replace(RULES, cap=math.inf)`) and see what it buys; the controller and the
backtest use `RULES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rollout.plan import Gates

GRID = tuple(1.8 * 1.6**j for j in range(9))  # alternatives, as multiples of the tolerated ratio: 1.8 to 77
FLOOR_GRID = (2.0, 6.0, 20.0, 60.0, 199.0)  # alternatives of the floor test, as multiples of the floor
CEILING_GRID = (1.5, 2.5, 5.0, 10.0)  # alternatives of the ceiling test, as multiples of the ceiling
SHARE_GRID = (0.02, 0.2, 0.5)  # dead, nearly dead, half of the least share that is tolerated
SAFETY_GRID = (0.03, 0.1, 0.2, 0.35, 0.5, 0.7)  # canary's rate, as multiples of the rate that would not be safe
MIRRORED_GRID = (1.3, 2.0, 4.0, 10.0)  # alternatives of disagreement, as multiples of what is tolerated
LABELS_GRID = (1.2, 1.5, 2.0, 3.0, 6.0)  # alternatives of wrong predictions, as multiples of the tolerated ratio
WIDTHS = (0, 2, 4)  # dispersion is looked at over 2**level batches: 1, 4 and 16 (16 matters when batches last a second)
BIG = 1e30  # wealth stops growing here, so that no infinity leaves the gate (lowers only)
STEEP = 60.0  # no log gain above this enters exp() (lowers only)

# How alpha is split over the harm tests (Bonferroni). A test that the plan switches off gives its part back, in proportion.
WEIGHT_ERRORS = 0.7  # the lion's share: errors are what canaries fail by
WEIGHT_CEILING = 0.1
WEIGHT_LATENCY = 0.1
WEIGHT_SHARE = 0.1
WEIGHTS_MODEL = {"predictions": 0.1, "mirrored": 0.1, "labels": 0.1}  # each judges one way in which models go wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the evidence is weighed. All rates are fractions, all times seconds, all shares of the mass sum to 1."""

    mass_start: float = 0.7  # bet from the first canary request on
    mass_steps: float = 0.1  # held back for the next steps, half of what is left at each
    mass_later: float = 0.2  # held back for late harm, let out at a constant rate
    later: float = 3600.0  # mean of that waiting time: 240 batches of 15 s
    total_mass: float = 0.02  # of each bet, on total failure
    total_stake: float = 0.9  # of the wealth, in the total-failure bet
    total_rate: float = 10.0  # its least null rate, in floors (0.5 % for errors)
    total_ratio: float = 3.0  # its null rate, as a multiple of stable's observed rate
    floor_errors: float = 0.0005  # a canary below 0.05 % errors is not aborted, whatever stable does
    floor_slow: float = 0.005  # nor one below 0.5 % slow requests
    cap: float = 12.0  # the most that one batch with two errors or more may multiply by: a burst is one event
    winsor: float = 2.0  # standard deviations above a ratio's own prediction up to which a batch's errors count for it
    young: float = 30.0  # seconds from the start of a step, and from its window's, in which pods may be cold
    young_gain: float = 3.0  # the most that all evidence gathered in that time may multiply by
    recent: float = 120.0  # seconds, time constant of stable's recent rate
    outage: float = 60.0  # seconds, time constant of the rate by which stable itself is over the ceiling
    share_prior: float = 100.0  # requests of the step's share that a batch's own share is shrunk by
    step_prior: float = 400.0  # requests of the committed share that the step's share is shrunk by
    phi_max: float = 12.0  # dispersion beyond this is not tolerated: an outage in the history must not blind the gate
    phi_sure: float = 3.0  # standard deviations above 1 from which on dispersion is believed
    phi_prior: float = 2.0  # variance units at dispersion 1 that the estimate is shrunk by
    share_floor: float = 0.5  # of the committed share: a canary that gets less does not answer
    share_temper: float = 3.0  # the share test always divides by at least this: sessions stick
    share_cap: float = 4.0  # the most that the share test may multiply by in one batch: a late scrape is one event
    share_slack: float = 0.25  # off the committed share by this much is nobody's fault
    share_sigma: float = 4.0  # binomial standard deviations above its share from which on a batch is dropped
    share_few: float = 3.0  # requests above its share that are never significant
    share_pool: int = 4  # batches pooled before a share is called too high: a scrape may be late by one batch
    fit_sigma: float = 2.0  # binomial standard deviations within which a batch fits the committed share
    first_floor: float = 0.02  # the least floor of "safe" at the first step, where requests are few
    safety_cap: float = 20.0  # safety wealth is kept up to this multiple of its threshold: safe long ago is not safe now
    calm: float = 2.0  # no canary is safe while a harm e-value is at or above this
    silent: float = 10.0  # canary requests expected since its last one, from which on "safe" is stale (after `blind` seconds)
    model_cap: float = 4.0  # the most that a model gate may multiply by in one batch: a client that asks again is one event
    bin_prior: float = 20.0  # predictions per bin that learned ratios of frequencies are shrunk to 1 by
    lately: float = 600.0  # seconds, time constant of the ratios seen lately
    blind: float = 60.0  # seconds without both arms' data, or without a canary request, from which on "safe" is stale


RULES = Rules()


class Thresholds(NamedTuple):
    """What each e-value must reach."""

    errors: float
    ceiling: float
    latency: float
    share: float
    safety: float


def thresholds(gates: Gates) -> Thresholds:
    """1/alpha of each test, alpha being split over the harm tests that the plan switches on.

    With all four on: errors 0.7, ceiling 0.1, latency 0.1, share 0.1 of `gates.alpha`; the active weights are scaled to sum to 1.
    """
    active = WEIGHT_ERRORS + WEIGHT_SHARE
    if gates.ceiling is not None:
        active += WEIGHT_CEILING
    if gates.latency_budget is not None:
        active += WEIGHT_LATENCY
    unit = active / gates.alpha
    return Thresholds(
        unit / WEIGHT_ERRORS, unit / WEIGHT_CEILING, unit / WEIGHT_LATENCY, unit / WEIGHT_SHARE, 1 / gates.safety_alpha
    )


def slices(gates: Gates, model: Iterable[str]) -> dict[str, float]:
    """1/alpha of each model gate named in `model` and of every harm test that is on, alpha being split over all of them.

    Raises ValueError for a name that is none of predictions, mirrored, labels.
    """
    names = list(dict.fromkeys(model))
    for name in names:
        if name not in WEIGHTS_MODEL:
            raise ValueError(f"{name!r} is no model gate; {', '.join(WEIGHTS_MODEL)} would be right")
    weights = {"errors": WEIGHT_ERRORS, "share": WEIGHT_SHARE}
    if gates.ceiling is not None:
        weights["ceiling"] = WEIGHT_CEILING
    if gates.latency_budget is not None:
        weights["latency"] = WEIGHT_LATENCY
    weights |= {name: WEIGHTS_MODEL[name] for name in names}
    unit = sum(weights.values()) / gates.alpha
    return {name: unit / weight for name, weight in weights.items()}
