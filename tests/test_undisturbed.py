"""What background tasks began they finish, so that no connection breaks when they are cancelled."""

import asyncio
import gc

import pytest

from app.database import undisturbed


async def test_what_was_begun_is_finished_and_the_cancellation_comes_after_it() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    task = asyncio.create_task(undisturbed(work()))
    await begun.wait()
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_a_result_and_a_failure_come_through() -> None:
    async def works() -> int:
        return 7

    async def fails() -> int:
        raise ValueError("no")

    assert await undisturbed(works()) == 7
    with pytest.raises(ValueError, match="no"):
        await undisturbed(fails())


async def test_a_failure_after_the_cancellation_is_nobodys_business() -> None:
    begun, told = asyncio.Event(), list[str]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["message"]))

    async def fails() -> None:
        begun.set()
        await asyncio.sleep(0)
        raise ValueError("late")

    task = asyncio.create_task(undisturbed(fails()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    assert told == []
