"""The fleet that is measured: which releases there are, which are in rollout, and when each is due.

- Release i is app-<i> in prod. Every tenth is in rollout, in one of ten cohorts; a cohort is due per tick, again and again.
- Clock: ticks come every WIDTH seconds, at BEGIN + k WIDTH. Cohort c took its first step a dwell of half an hour before tick c,
  so a restart reads about an hour of samples; every later step lasts ten ticks.
- The plan has more steps than a run has ticks, so the number in rollout stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

ENV = "prod"
WIDTH = 15
BEGIN = 1_767_225_600 + 4  # a batch's end, and a little more than the seconds until it is complete
COHORTS = 10
FIRST, LATER = 1800, 9 * WIDTH  # dwells: half an hour; what ten ticks leave of ten batches, as the commit falls within one
WARM = 60  # seconds between a start and its first step
OLD, NEW = "1", "2"


@dataclass(frozen=True, slots=True)
class Member:
    """One release of the fleet. cohort: None at rest."""

    app: str
    cohort: int | None

    @property
    def namespace(self) -> str:
        """The namespace, which is also the Application's name."""
        return f"{self.app}-{ENV}"

    @property
    def stepped(self) -> int:
        """When its canary got its first 5 %, Unix seconds."""
        return BEGIN + WIDTH * ((self.cohort or 0) - 1) - FIRST


def fleet(size: int) -> Iterator[Member]:
    """Yield `size` releases."""
    for place in range(size):
        yield Member(f"app-{place:05d}", place // 10 % COHORTS if place % 10 == 0 else None)


def plan(app: str) -> str:
    """Return the app's plan: 5 % for half an hour, then 5 % more every ten ticks."""
    steps = [f"    - {{canary: {percent}, dwell: {FIRST if percent == 5 else LATER}s}}\n" for percent in range(5, 100, 5)]
    return (
        f"apiVersion: rollout/v1\nkind: Plan\nmetadata: {{name: {app}}}\nspec:\n  steps:\n{''.join(steps)}    - {{canary: 100}}\n"
    )
