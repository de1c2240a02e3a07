"""PostgreSQL's LISTEN on a connection of its own: wakes this process when another one commits news."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import sqlalchemy as sa

log = logging.getLogger(__name__)
_RECONNECT_AFTER = 1.0


async def listen(url: str, wakers: Mapping[str, Callable[[], None]]) -> None:
    """Wake who waits at a channel, at every notification and after every new connection: some may have been missed.

    Runs until it is cancelled; whoever depends on the news polls as well.
    """
    options = _connect_options(sa.make_url(url))
    while True:
        closed = asyncio.Event()
        try:
            connection = await asyncpg.connect(**options, timeout=5)
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("No connection to listen for news: %s", type(error).__name__)
            await asyncio.sleep(_RECONNECT_AFTER)
            continue
        try:
            connection.add_termination_listener(lambda _connection, closed=closed: closed.set())
            for channel, wake in wakers.items():
                await connection.add_listener(channel, lambda *_, wake=wake: wake())
                wake()
            await closed.wait()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("The connection that listens for news broke: %s", type(error).__name__)
        finally:
            connection.terminate()


def _connect_options(url: sa.URL) -> dict[str, Any]:
    """What SQLAlchemy would hand to asyncpg for this URL, so that both connections are made alike."""
    _, options = url.get_dialect()().create_connect_args(url)
    return {name: value for name, value in options.items() if not name.startswith(("prepared_", "async_"))}
