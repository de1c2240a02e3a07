"""A process dies by `kill -9`: what it promised holds, and the others go on."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from tests.processes import flow
from tests.support.process import ServerProcess, running_pair, running_server

ROUNDS = 3
SECONDS = 30.0
# The lock that a transaction of the server waits for when it is about to commit.
LOCK = 4_711
HOLD_COMMITS = f"""
CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock({LOCK}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER hold_commit AFTER UPDATE ON refresh_tokens
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_commit();
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted"
SPENT = (
    "SELECT count(*) FROM refresh_tokens JOIN grants ON grants.id = refresh_tokens.grant_id"
    " WHERE client_id = $1 AND spent_at IS NOT NULL"
)


async def test_rac_9_a_flow_walks_over_both_processes_and_goes_on_when_one_is_killed(
    empty_database: str, folder: Path, http: httpx2.AsyncClient
) -> None:
    with running_pair(folder, empty_database) as (first, second):
        async with flow.new_browser() as browser:
            client = await flow.register(http, second)
            parked = await flow.authorize(browser, first, client)
            signed_in = await flow.sign_in(browser, second, parked.headers["location"])
            code = await flow.approve(browser, second, signed_in.headers["location"])
            tokens = (await flow.redeem(http, first, client, code)).json()
            assert await flow.works(http, second, tokens["access_token"])

            first.kill()

            assert await flow.works(http, second, tokens["access_token"])
            renewed = await flow.refresh(http, second, client, tokens["refresh_token"])
            assert renewed.status_code == 200, renewed.text
            again = await flow.tokens_of(http, browser, second, client)
            assert await flow.works(http, second, again["access_token"])
            assert (await flow.revoke(http, second, client, again["refresh_token"])).status_code == 200
            assert not await flow.works(http, second, again["access_token"])


async def test_ref_15_a_refresh_that_was_committed_but_never_answered_is_retried_elsewhere(
    pair: tuple[ServerProcess, ServerProcess],
    browser: httpx2.AsyncClient,
    http: httpx2.AsyncClient,
    empty_database: str,
    tmp_path: Path,
) -> None:
    settings = {**pair[0].settings}
    async with flow.sql(empty_database) as database:
        await database.execute(HOLD_COMMITS)
        for number in range(ROUNDS):
            folder = tmp_path / str(number)
            folder.mkdir()
            client = await flow.register(http, pair[0])
            tokens = await flow.tokens_of(http, browser, pair[0], client)
            with running_server(folder, settings) as doomed:
                answered = await _kill_between_commit_and_answer(
                    doomed, flow.refresh_form(client, tokens["refresh_token"]), database
                )
            assert answered == b""
            assert await database.fetchval(SPENT, client["client_id"]) == 1

            retried = [
                await flow.refresh(http, server, client, tokens["refresh_token"]) for server in (*pair, *pair)
            ]

            assert [answer.status_code for answer in retried] == [200] * 4
            successors = {answer.json()["refresh_token"] for answer in retried}
            assert len(successors) == 1
            for answer in retried:
                assert await flow.works(http, pair[0], answer.json()["access_token"])
            used = await flow.refresh(http, pair[1], client, successors.pop())
            assert used.status_code == 200, used.text


async def _kill_between_commit_and_answer(
    doomed: ServerProcess, form: dict[str, str], database: Any
) -> bytes:
    """Send a refresh and kill the server once the database committed it, before it learns that; what it answered.

    A lock holds the commit; while it waits, the process is stopped in its tracks, and then the commit goes through.
    """
    async with _connection(doomed) as (reader, writer):
        await database.execute(f"SELECT pg_advisory_lock({LOCK})")
        body = urlencode(form)
        writer.write(
            f"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()
        )
        await _until(database, WAITING, LOCK)
        doomed.send(signal.SIGSTOP)
        await database.execute(f"SELECT pg_advisory_unlock({LOCK})")
        await _until(database, SPENT, form["client_id"])
        doomed.kill()
        try:
            return await asyncio.wait_for(reader.read(), SECONDS)
        except ConnectionResetError:
            return b""


@asynccontextmanager
async def _connection(
    server: ServerProcess,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _until(database: Any, count: str, parameter: object) -> None:
    """Ask the database until it counts one."""
    deadline = time.monotonic() + SECONDS
    while await database.fetchval(count, parameter) != 1:
        if time.monotonic() > deadline:
            pytest.fail(f"never one: {count}")
