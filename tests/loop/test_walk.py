"""An undisturbed walk, the measure of all disturbed ones."""

from __future__ import annotations

from .world import World


def test_a_healthy_canary_walks_to_100_percent(world: World) -> None:
    before = world.repository.tree("overlays/prod/savings")
    world.start("credit", "2")
    world.run(1200)
    assert world.repository.written() == [
        "credit(prod): canary 2 at 5 %",
        "credit(prod): canary 2 at 25 %",
        "credit(prod): stable 1 -> 2",
        "credit(prod): canary 2 at 0 %",
        "credit(prod): close canary 2",
    ]
    assert world.repository.tree("overlays/prod/savings") == before
