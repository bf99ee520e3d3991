"""Credit card clients that never were: a seeded generator with the schema and the temper of the real data.

Made to be like them where the project leans on it: 22 % default, 9 % have PAY_0 = -2, repayment status moves from month
to month as it does there, bills follow each other and payments follow bills, and a model ranks clients about as well.
Not a substitute for the data: no figure measured on these rows says anything about real clients.
"""

from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from model.features import Vector
from model.table import Value

States: TypeAlias = NDArray[np.int64]

SEED = 350  # the data set's number at its source
ROWS = 30_000
DEFAULTED = 0.2212

# Repayment status one month later (columns) given this month's (rows), shares as in the real data.
STATUS = np.array([-2, -1, 0, 1, 2, 3])
APRIL = [0.153, 0.191, 0.553, 0.0, 0.092, 0.011]
LATER = np.cumsum([
    [0.825, 0.090, 0.070, 0.000, 0.015, 0.000],
    [0.075, 0.755, 0.130, 0.000, 0.040, 0.000],
    [0.000, 0.053, 0.885, 0.000, 0.062, 0.000],
    [0.000, 0.000, 0.000, 1.000, 0.000, 0.000],
    [0.000, 0.070, 0.230, 0.000, 0.640, 0.060],
    [0.000, 0.040, 0.100, 0.000, 0.360, 0.500],
], axis=1)  # fmt: skip
SEPTEMBER = np.cumsum([
    [0.620, 0.000, 0.000, 0.380, 0.000, 0.000],
    [0.032, 0.767, 0.079, 0.101, 0.021, 0.000],
    [0.000, 0.038, 0.906, 0.000, 0.056, 0.000],
    [0.000, 0.000, 0.000, 1.000, 0.000, 0.000],
    [0.000, 0.099, 0.000, 0.426, 0.405, 0.070],
    [0.000, 0.110, 0.000, 0.330, 0.200, 0.360],
], axis=1)  # fmt: skip
# How much a month of each status adds to the log-odds of a default, September's and the earlier ones'.
HARM_NOW = np.array([-0.15, 0.0, -0.25, 0.75, 2.0, 2.3])
HARM_THEN = np.array([0.0, 0.0, 0.0, 0.1, 0.3, 0.4])


def table(rows: int = ROWS, seed: int = SEED) -> dict[str, list[Value]]:
    """`rows` clients as a table with the target: the same rows for the same seed."""
    random = np.random.default_rng(seed)
    risk = random.normal(size=rows)
    limit = _limits(random, risk)
    states = _states(random, risk)  # April first
    columns: dict[str, NDArray[np.int64]] = {"LIMIT_BAL": limit, **_people(random, rows)}
    bills, paid = _amounts(random, limit, states)
    for month, name in enumerate(("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")):
        columns[name] = _delays(random, states[5 - month])
    columns |= {f"BILL_AMT{month + 1}": bills[5 - month] for month in range(6)}
    columns |= {f"PAY_AMT{month + 1}": paid[5 - month] for month in range(6)}
    columns["default.payment.next.month"] = _defaults(random, risk, limit, states)
    return {name: values.tolist() for name, values in columns.items()}


def _limits(random: Generator, risk: Vector) -> States:
    """Credit limits, NT$ in tens of thousands; the riskier the lower."""
    tens = np.exp(2.5 - 0.35 * risk + 0.85 * random.normal(size=len(risk)))
    return np.clip(tens.round(), 1, 100).astype(np.int64) * 10_000


def _people(random: Generator, rows: int) -> dict[str, States]:
    return {
        "SEX": random.choice([1, 2], rows, p=[0.396, 0.604]),
        "EDUCATION": random.choice(7, rows, p=[0.0005, 0.3528, 0.4676, 0.1639, 0.0041, 0.0094, 0.0017]),
        "MARRIAGE": random.choice(4, rows, p=[0.0018, 0.4553, 0.5321, 0.0108]),
        "AGE": np.clip(21 + random.gamma(2.2, 6.6, rows), 21, 79).astype(np.int64),
    }


def _states(random: Generator, risk: Vector) -> list[States]:
    """Repayment status as a row number of the tables above, April to September; high risk means high draws."""
    state = np.searchsorted(np.cumsum(APRIL)[:-1], _draws(random, risk))
    months = [state]
    for step in (LATER, LATER, LATER, LATER, SEPTEMBER):
        state = (_draws(random, risk)[:, None] >= step[state][:, :-1]).sum(axis=1)
        months.append(state)
    return months


def _draws(random: Generator, risk: Vector) -> Vector:
    """Uniform draws, one per client, that lean with the client's risk: ranks are uniform whatever leans."""
    lean = 0.25 * risk + random.normal(size=len(risk))
    return (lean.argsort().argsort() + 0.5) / len(risk)


def _delays(random: Generator, state: States) -> States:
    """The status itself; the table's last row stands for three months and more."""
    more = np.minimum(random.geometric(0.65, len(state)) - 1, 5)
    return STATUS[state] + np.where(state == 5, more, 0)


def _amounts(random: Generator, limit: States, states: list[States]) -> tuple[list[States], list[States]]:
    """Bills and payments, NT$, April to September: a revolver's bill stays, one paid in full comes anew."""
    rows = len(limit)
    habit = random.beta(0.9, 1.1, rows)  # share of the limit in use
    bill, bills, paid = limit * habit, [], []
    for state in states:
        light = state <= 1
        fresh = limit * 0.25 * random.beta(0.4, 4.0, rows)
        bill = np.where(light, fresh - 300 * (random.random(rows) < 0.06), bill * random.normal(1.0, 0.07, rows))
        share = np.where(light, 1.0, np.where(state == 2, 0.03 + random.gamma(0.6, 0.07, rows), 0.0))
        gift = np.where(random.random(rows) < 0.15, 0.0, share)
        pays = np.clip(bill, 0, None) * np.where((state > 2) & (random.random(rows) < 0.5), 0.05, gift)
        bills.append(bill.round().astype(np.int64))
        paid.append(pays.round().astype(np.int64))
        bill = np.where(light, limit * habit, np.maximum(bill - pays * 0.5, 0))
    return bills, paid


def _defaults(random: Generator, risk: Vector, limit: States, states: list[States]) -> States:
    """Who defaults: the log-odds add up from status, limit and unseen risk, and are moved until 22 % do."""
    odds = HARM_NOW[states[5]] + sum(HARM_THEN[state] for state in states[:5]) + 0.35 * risk
    odds = odds - 0.2 * np.log(limit / 140_000) - np.log(1 / random.random(len(risk)) - 1)
    return (odds > np.quantile(odds, 1 - DEFAULTED)).astype(np.int64)
