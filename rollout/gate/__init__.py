"""The gate: when is a canary harmful, and when is it safe. A fold over batches; no clock, no input or output, no
randomness.

    state = begin(gates, history)
    for batch in batches:
        state = observe(state, batch, gates)
        evidence = judge(state, gates)          # verdict, reason, e-values, counts

| file          | what it knows                                                              |
|---------------|----------------------------------------------------------------------------|
| values.py     | Arm, Batch, Verdict, Evidence                                              |
| rules.py      | every number that is not the plan's, with its reason; how alpha is split   |
| fold.py       | the order of things: windows, drops, missing data                          |
| judge.py      | the verdict: which of them wins                                            |
| harm.py       | the two-arm test, for errors and for slow requests                         |
| ceiling.py    | the one-sample test against the ceiling; stable's own outage               |
| share.py      | fit, above, below: does the canary get what was committed                  |
| safety.py     | the test that lets traffic rise                                            |
| wealth.py     | bets, their start times, how wealth grows                                  |
| dispersion.py | errors come in clumps: by how much                                         |
| sentence.py   | verdicts in words and numbers                                              |
| power.py      | what a step can show at a service's traffic; decides nothing               |

Model gates, in the same frame; no controller asks them yet:

| file           | what it knows                                                             |
|----------------|---------------------------------------------------------------------------|
| watch.py       | one wealth against 1/alpha, and the bet on outcomes of two arms           |
| predictions.py | the distribution of predictions, canary against stable                    |
| mirrored.py    | disagreement on mirrored requests                                         |
| labels.py      | labels that come later, joined by request id                              |
"""

from __future__ import annotations

from rollout.gate.fold import State, begin, observe
from rollout.gate.judge import judge
from rollout.gate.rules import RULES, Rules, Thresholds, thresholds
from rollout.gate.values import Arm, Batch, Evidence, Verdict, from_dict

__all__ = [
    "RULES",
    "Arm",
    "Batch",
    "Evidence",
    "Rules",
    "State",
    "Thresholds",
    "Verdict",
    "begin",
    "from_dict",
    "judge",
    "observe",
    "thresholds",
]
