"""Keys are worked on as a controller works: one at a time, again when they changed meanwhile, again when they failed."""

import asyncio
import contextlib
import logging

import pytest

from lab.controlplane.workqueue import WorkQueue
from lab.processes import LabError

KEY, OTHER = ("ns", "a"), ("ns", "b")


@contextlib.asynccontextmanager
async def working(work):
    queue = WorkQueue(work, logging.getLogger("test"), again=0.01)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_a_key_is_in_one_workers_hands_and_is_worked_on_again_when_it_was_added_meanwhile():
    async def story():
        go, began, ended = asyncio.Event(), [], []

        async def work(key):
            began.append(key)
            await go.wait()
            ended.append(key)

        async with working(work) as queue:
            queue.add(KEY)
            queue.add(OTHER)
            await asyncio.sleep(0.05)
            for _ in range(3):
                queue.add(KEY)
            await asyncio.sleep(0.05)
            assert began == [KEY, OTHER]
            go.set()
            await asyncio.sleep(0.05)
        assert ended == [KEY, OTHER, KEY]

    asyncio.run(story())


def test_what_failed_is_tried_again_and_harms_no_other_key(caplog):
    async def story():
        done = []

        async def work(key):
            if key == KEY and done.count("refused") < 2:
                done.append("refused")
                raise LabError("the API server does not answer")
            done.append(key)

        async with working(work) as queue:
            queue.add(KEY)
            queue.add(OTHER)
            await asyncio.sleep(0.3)
        return done

    assert asyncio.run(story()) == ["refused", OTHER, "refused", KEY]
    assert caplog.text.count("ns/a: the API server does not answer") == 2


def test_a_mistake_of_our_own_ends_the_queue():
    async def work(key):
        raise KeyError(key)

    async def story():
        queue = WorkQueue(work, logging.getLogger("test"))
        queue.add(KEY)
        await queue.run()

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(story())
    assert raised.group_contains(KeyError)
