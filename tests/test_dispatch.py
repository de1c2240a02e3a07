"""Letters on their way: so many wait and no more, and the end of the server waits for them, but not for ever."""

import asyncio
import functools
import logging

import pytest

from app import dispatch as module
from app.audit import Origin
from app.dispatch import Dispatch
from app.mail import Letter, NotSent
from tests.mail_server import MailBox
from tests.support.world import World

pytest_plugins = ["tests.letters_fixtures"]
LETTER = Letter("alice@example.com", "Hello", "Hello")


def dispatch_of(world: World) -> Dispatch:
    """The running server's own."""
    assert world.services.dispatch is not None
    return world.services.dispatch


async def test_too_much_at_once_is_turned_away(writing: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 2)
    dispatch, done, go_on = dispatch_of(writing), [], asyncio.Event()

    async def work(number: int) -> None:
        await go_on.wait()
        done.append(number)

    assert [dispatch.begin(functools.partial(work, number)) for number in range(3)] == [True, True, False]
    go_on.set()
    await dispatch.settled()
    assert sorted(done) == [0, 1]
    assert dispatch.begin(lambda: work(3))
    await dispatch.settled()


async def test_few_are_written_at_once(writing: World) -> None:
    dispatch, busy, most = dispatch_of(writing), 0, 0

    async def work() -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1

    for _ in range(30):
        dispatch.begin(work)
    await dispatch.settled()
    assert (busy, most) == (0, 4)


async def test_what_goes_wrong_beside_an_answer_is_in_the_log(
    writing: World, box: MailBox, caplog: pytest.LogCaptureFixture
) -> None:
    dispatch = dispatch_of(writing)
    box.takes_letters = False

    async def break_down() -> None:
        raise RuntimeError("the reason")

    dispatch.begin(break_down)
    dispatch.begin(lambda: dispatch.deliver(LETTER, "user_1", Origin(writing.clock.now(), "test")))
    await dispatch.settled()
    levels = [record.levelno for record in caplog.records if record.name == "app.dispatch"]
    assert sorted(levels) == [logging.WARNING, logging.ERROR]
    assert "alice@example.com" not in caplog.text


async def test_the_end_waits_for_letters_but_not_for_ever(
    writing: World, box: MailBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatch, origin = dispatch_of(writing), Origin(writing.clock.now(), "test")
    dispatch.begin(lambda: dispatch.deliver(LETTER, "user_1", origin))
    await dispatch.close()
    assert len(box.letters) == 1
    await dispatch.close()

    monkeypatch.setattr(module, "_LAST_SECONDS", 0.05)
    never = asyncio.Event()
    for _ in range(6):
        dispatch.begin(lambda: _wait(never))
    await dispatch.close()
    await dispatch.settled()


async def test_a_letter_that_is_not_sent_is_on_record_and_told(writing: World, box: MailBox) -> None:
    box.refused.add(LETTER.to)
    with pytest.raises(NotSent):
        await dispatch_of(writing).deliver(LETTER, "user_1", Origin(writing.clock.now(), "test"))
    rows = await writing.rows(
        "SELECT event, outcome, reason, user_id FROM audit_events WHERE user_id = 'user_1'"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("mail.refused", "not_sent", "address_refused", "user_1")
    ]


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
