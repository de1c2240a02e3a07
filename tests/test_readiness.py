"""`/readyz` tells the truth, in time; `/healthz` only that the process lives."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import sqlalchemy as sa

from app.application import Application
from app.authorization_server.keys import SigningKeys
from app.resource_server.revocations import RevocationsUnknown
from app.routers.readiness import Readiness
from tests.support.process import running_server, settings_on
from tests.support.world import World, running_world

MakeWorld = Callable[..., Any]
IN_TIME = 2.5  # what asks waits three seconds mostly


async def ask(world: World, path: str = "/readyz") -> tuple[int, str]:
    """Status code and state."""
    began = time.monotonic()
    answer = await world.http.get(path)
    assert time.monotonic() - began < IN_TIME
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["status"]


async def test_a_server_that_can_serve_says_so(world: World) -> None:
    assert await ask(world) == (200, "ok")
    world.clock.advance(hours=1)
    assert await ask(world) == (200, "ok")


async def test_a_pool_without_a_free_connection_is_told_in_time(make_world: MakeWorld) -> None:
    world: World = await make_world(database_pool_size=1)
    async with world.database.reading():
        assert await ask(world) == (503, "database slow")
        assert await ask(world, "/healthz") == (200, "ok")
    # The question that waited is answered now; the next one asks anew.
    states = [await ask(world), await ask(world)]
    assert states[-1] == (200, "ok")


async def test_many_who_ask_wait_for_one_answer(make_world: MakeWorld) -> None:
    world: World = await make_world(database_pool_size=2)
    async with world.database.reading(), world.database.reading():
        answers = await asyncio.gather(*(ask(world) for _ in range(20)))
        assert set(answers) == {(503, "database slow")}
    assert [await ask(world), await ask(world)][-1] == (200, "ok")


@pytest.mark.postgresql
async def test_a_database_that_hangs_is_told_in_time(postgres_url: str) -> None:
    async with running_world(postgres_url) as world, world.database.transaction() as tx:
        await tx.execute(sa.text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
        assert await ask(world) == (503, "database slow")
        assert await ask(world, "/healthz") == (200, "ok")


async def test_a_database_without_a_schema_is_told(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.execute(sa.text("ALTER TABLE alembic_version RENAME TO moved"))
    assert await ask(world) == (503, "no schema")


async def test_missing_keys_are_told(world: World) -> None:
    without = replace(world.services, signing_keys=SigningKeys([], []))
    readiness = Readiness(without, world.app.state.revocations, cast("Application", world.app))
    assert await readiness.state() == "no signing keys"


async def test_revocations_that_cannot_be_read_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise RevocationsUnknown

    monkeypatch.setattr(world.app.state.revocations, "poll", away)
    assert await ask(world) == (200, "ok")
    world.clock.advance(seconds=6)
    assert await ask(world) == (503, "revocations unknown")


async def test_a_process_that_ends_wants_no_more(world: World) -> None:
    cast("Application", world.app).stopping = True
    assert await ask(world) == (503, "stopping")
    assert await ask(world, "/healthz") == (200, "ok")
    # What comes all the same is served.
    assert (await world.http.get("/.well-known/jwks.json")).status_code == 200


async def test_health_asks_no_database(make_world: MakeWorld) -> None:
    world: World = await make_world(database_pool_size=1)
    async with world.database.reading():
        assert await ask(world, "/healthz") == (200, "ok")


@pytest.mark.postgresql
async def test_a_connection_that_stays_open_hears_that_the_process_ends(
    postgres_url: str, tmp_path: Path
) -> None:
    with running_server(tmp_path, settings_on(postgres_url)) as server:
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=IN_TIME) as probe:
            assert (await probe.get("/readyz")).json() == {"status": "ok"}
            server.send(signal.SIGTERM)
            await asyncio.to_thread(_wait_until_closed, server.port)
            answer = await probe.get("/readyz")
            assert (answer.status_code, answer.json()["status"]) == (503, "stopping")
            assert answer.headers["connection"] == "close"
        assert await asyncio.to_thread(server.wait) == -signal.SIGTERM


def _wait_until_closed(port: int) -> None:
    """Return as soon as nobody is let in any more; connections that stand are told a second later."""
    with suppress(ConnectionRefusedError, ConnectionResetError):
        while True:
            socket.create_connection(("127.0.0.1", port), 5).close()
