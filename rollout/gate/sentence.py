"""The sentence of a verdict: what was seen, in numbers, against what was asked.

| verdict      | sentence                                                                                                     |
|--------------|--------------------------------------------------------------------------------------------------------------|
| harmful      | canary 31 of 1 204 requests failed (2.57 %), stable 12 of 22 981 (0.05 %): harm e-value 4 100 >= 129         |
| safe         | ... safety e-value 31 >= 20: below 2.5 x stable's rate + 2 %                                                 |
| metrics down | the metrics backend does not answer: hold ...                                                                |

| model gate   | sentence                                                                                                     |
|--------------|--------------------------------------------------------------------------------------------------------------|
| predictions  | canary 60 of 99 predictions in bin 3 (60.6 %), stable 180 of 900 (20.0 %): prediction e-value 1 400 >= 1 200 |
| mirrored     | canary disagreed with stable on 60 of 900 mirrored requests (6.67 %), tolerated 2.00 %: disagreement ...     |
| labels       | canary wrong in 60 of 300 labelled predictions (20.0 %), stable in 600 of 6 000 (10.0 %): label e-value ...  |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rollout.gate.values import Arm, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rollout.gate.labels import Labels
    from rollout.gate.mirrored import Mirrored
    from rollout.gate.predictions import Predictions
    from rollout.gate.values import Evidence

STALE = {
    "unopened": "no batch yet fits the committed {traffic} %",
    "canary": "no request of the canary at {traffic} %",
    "stable": "no request of stable at {traffic} %",
    "silent": "the canary has fallen silent at {traffic} %",
    "blind": "the data of an arm has been missing for a minute or more at {traffic} %",
}
_THOUSANDS = re.compile(r"(?<![\w.])(\d(\.\d)?e\+0[345]|1000)(?![\w.])")


def sentence(e: Evidence) -> str:
    """One human sentence with numbers for an Evidence."""
    return {
        Verdict.HARMFUL: _harmful,
        Verdict.METRICS_DOWN: _metrics_down,
        Verdict.NO_DATA: _no_data,
        Verdict.SAFE: _safe,
        Verdict.UNDECIDED: _undecided,
    }[e.verdict](e)


def _metrics_down(e: Evidence) -> str:
    return f"the metrics backend does not answer: hold at {e.traffic} %; so far {_arms(e)}"


def _no_data(e: Evidence) -> str:
    if e.step < 0:
        return "no batch yet"
    return f"{STALE[e.stale or 'unopened'].format(traffic=e.traffic)}: hold; so far {_arms(e)}"


def _safe(e: Evidence) -> str:
    return f"{_arms(e, window=True)}: safety e-value {number(e.safe)} >= {number(e.safe_threshold)}: {_limit(e)}"


def _undecided(e: Evidence) -> str:
    if e.cause == "share":
        return f"canary is above its share of {e.traffic} %: hold, {e.dropped} batches dropped; so far {_arms(e)}"
    if e.cause == "outage":
        rate, most = percent(e.stable_rate), percent(e.ceiling_rate or 0.0)
        return f"stable itself fails {rate} of its requests, ceiling {most}: hold and page; so far {_arms(e)}"
    return (
        f"{_arms(e, window=True)}: harm e-value {number(e.harm)} < {number(e.harm_threshold)}, "
        f"safety {number(e.safe)} of {number(e.safe_threshold)} for {_limit(e)}"
    )


def _harmful(e: Evidence) -> str:
    """The sentence of an abort."""
    if e.cause == "share":
        return (
            f"does not answer: canary got {count(e.share_got)} of {count(e.share_of)} requests at a committed {e.traffic} %: "
            f"share e-value {number(e.share)} >= {number(e.share_threshold)}"
        )
    if e.cause == "latency":
        return f"{_arms(e, slow=True)}: latency e-value {number(e.latency or 0.0)} >= {number(e.latency_threshold)}"
    if e.cause == "ceiling":
        over = f"above the ceiling of {percent(e.ceiling_rate or 0.0)}"
        return f"{_arms(e)}, {over}: ceiling e-value {number(e.ceiling or 0.0)} >= {number(e.ceiling_threshold)}"
    return f"{_arms(e)}: harm e-value {number(e.harm)} >= {number(e.harm_threshold)}"


def _arms(e: Evidence, *, window: bool = False, slow: bool = False) -> str:
    """Both arms' counts and rates: of the current window, or of all steps."""
    if window:
        canary, stable = e.window_canary, e.window_stable
    else:
        canary, stable = _sum(c for _, _, c in e.steps), _sum(s for _, s, _ in e.steps)
    word = "requests were slow" if slow else "requests failed"
    ours, theirs = (canary.slow, stable.slow) if slow else (canary.errors, stable.errors)
    return (
        f"canary {count(ours)} of {count(canary.requests)} {word}{rate(ours, canary.requests)}, "
        f"stable {count(theirs)} of {count(stable.requests)}{rate(theirs, stable.requests)}"
        f"{f' at {e.traffic} %' if window else ''}"
    )


def _sum(arms: Iterable[Arm]) -> Arm:
    total = [(a.requests, a.errors, a.slow) for a in arms]
    return Arm(*(sum(column) for column in zip((0, 0, 0), *total, strict=True)))


def _limit(e: Evidence) -> str:
    ratio, floor = e.safe_limit
    return f"below {number(ratio)} x stable's rate + {percent(floor)}"


def predictions(state: Predictions, need: float) -> str:
    """The sentence of the predictions' distribution; `need` is 1/alpha of its part. Names the bin that differs most."""
    canary, stable = sum(state.canary), sum(state.stable)
    if not canary or not stable:
        return f"no prediction of {'the canary' if stable else 'stable'} yet"
    apart = [abs(c / canary - s / stable) for c, s in zip(state.canary, state.stable, strict=True)]
    bin_ = apart.index(max(apart))
    return (
        f"canary {count(state.canary[bin_])} of {count(canary)} predictions in bin {bin_ + 1}"
        f"{rate(state.canary[bin_], canary)}, stable {count(state.stable[bin_])} of {count(stable)}"
        f"{rate(state.stable[bin_], stable)}: {_against('prediction', state.value, need)}"
    )


def mirrored(state: Mirrored, tolerated: float, need: float) -> str:
    """The sentence of the mirrored requests; `tolerated` is a rate, `need` 1/alpha of its part."""
    if not state.requests:
        return "no mirrored request yet"
    return (
        f"canary disagreed with stable on {count(state.disagreed)} of {count(state.requests)} mirrored requests"
        f"{rate(state.disagreed, state.requests)}, tolerated {percent(tolerated)}: "
        f"{_against('disagreement', state.value, need)}"
    )


def labels(state: Labels, need: float) -> str:
    """The sentence of the labels that came; `need` is 1/alpha of its part."""
    canary, stable = sum(state.canary), sum(state.stable)
    waiting = count(state.waiting)
    if not canary or not stable:
        return f"no label of {'the canary' if stable else 'stable'} yet; without one so far: {waiting}"
    return (
        f"canary wrong in {count(state.canary[0])} of {count(canary)} labelled predictions{rate(state.canary[0], canary)}, "
        f"stable in {count(state.stable[0])} of {count(stable)}{rate(state.stable[0], stable)}: "
        f"{_against('label', state.value, need)}; without a label so far: {waiting}"
    )


def _against(name: str, value: float, need: float) -> str:
    return f"{name} e-value {number(value)} {'>=' if value >= need else '<'} {number(need)}"


def count(n: int) -> str:
    """12345 -> '12 345'."""
    return f"{n:,}".replace(",", " ")


def rate(part: int, whole: int) -> str:
    """' (2.57 %)', or nothing when there is no whole."""
    return f" ({percent(part / whole)})" if whole else ""


def percent(x: float) -> str:
    """0.0257 -> '2.57 %', 0.1 -> '10.0 %'."""
    return f"{100 * x:.1f} %" if x >= 0.0995 else f"{100 * x:.2f} %"


def number(x: float) -> str:
    """4123.0 -> '4 100', 142.86 -> '143', 0.5 -> '0.5', 4.1e6 -> '4.1e+06'."""
    return spelled(f"{x:.2g}" if x >= 1000 or x < 10 else f"{x:.0f}")


def spelled(text: str) -> str:
    """Write out every 4.1e+03 below a million, and 1000: as older commits say what is 4 100 and 1 000 now."""
    return _THOUSANDS.sub(lambda found: count(int(float(found[0]))), text)
