"""The memory of what is revoked: it stops when it is told to, and forgets nothing that matters."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from app.resource_server.revocations import Revocations
from tests.support.world import FakeClock


class NothingRevoked:
    """A source without news."""

    async def after(self, _number: int | None) -> Sequence[Any]:
        return ()

    async def any_revoked(self, _subjects: Collection[str]) -> bool:
        return False


@pytest.mark.parametrize("turns", range(6))
async def test_the_feed_stops_even_while_it_is_being_woken(turns: int) -> None:
    """Else a server that is stopped just when someone revokes would never end."""
    revocations = Revocations(NothingRevoked(), FakeClock())
    feed = asyncio.create_task(revocations.run())
    await asyncio.wait({feed}, timeout=0.3)  # it polled, and waits for its next turn

    revocations.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    feed.cancel()
    await asyncio.wait({feed}, timeout=2)

    stopped = feed.done()
    while not feed.done():
        feed.cancel()
        await asyncio.wait({feed}, timeout=1)
    assert stopped
