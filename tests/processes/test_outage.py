"""PostgreSQL goes away, comes back, or is slow: 503 and nothing worse, and no restart is needed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.processes import flow
from tests.processes.test_dpop import bound_tokens, call, resource_proof
from tests.support.dpop import Prover
from tests.support.postgres import PostgresServer
from tests.support.process import ServerProcess, running_pair, running_server, settings_on

# How long a process may go by the revocations that it knows (`FRESH_FOR`), and what a busy machine adds.
REVOCATION_LIMIT = 5.0
SLACK = 5.0
RECOVERED_WITHIN = 10.0
# A request waits for a connection, then for its statement; both are bounded.
LONGEST_WAIT = 30.0
Pair = tuple[ServerProcess, ServerProcess]


@pytest.fixture
def stoppable(own_postgres: PostgresServer, folder: Path) -> Iterator[Pair]:
    """Two replicas on it."""
    own_postgres.create_database("ostiary")
    with running_pair(folder, own_postgres.url("ostiary")) as servers:
        yield servers
    # A test that failed may have left it stopped.
    own_postgres.stop()
    own_postgres.start()
    own_postgres.drop_database("ostiary")


@asynccontextmanager
async def signed_in_at(server: ServerProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser of someone who is signed in."""
    async with flow.new_browser() as browser:
        assert (await flow.sign_in(browser, server)).status_code == 303
        yield browser


async def test_ref_16_without_its_database_the_server_says_503_and_goes_on_where_it_was(
    stoppable: Pair, own_postgres: PostgresServer, http: httpx2.AsyncClient
) -> None:
    server = stoppable[0]
    async with signed_in_at(server) as browser:
        client = await flow.register(http, server)
        tokens = await flow.tokens_of(http, browser, server, client)
        code = await flow.code_of(browser, server, client)
        assert await flow.works(http, server, tokens["access_token"])

        own_postgres.stop()

        await _assert_503_for_machines(http, server, client, code, tokens)
        await _assert_503_for_people(browser, server, client)
        assert (await http.get(f"{server.url}/healthz")).status_code == 200
        assert (await http.get(f"{server.url}/readyz")).status_code == 503

        own_postgres.start()
        await _until_ready(http, server)

        renewed = await flow.refresh(http, server, client, tokens["refresh_token"])
        assert renewed.status_code == 200, renewed.text
        for token in (tokens["access_token"], renewed.json()["access_token"]):
            assert await flow.works(http, server, token)
        assert (await flow.redeem(http, server, client, code)).status_code == 200
        again = await flow.tokens_of(http, browser, server, await flow.register(http, server))
        assert await flow.works(http, server, again["access_token"])
    # An outage is a line for the operator, not the server's own mistake.
    assert "Traceback" not in server.err


async def _assert_503_for_machines(
    http: httpx2.AsyncClient, server: ServerProcess, client: flow.Client, code: str, tokens: flow.Tokens
) -> None:
    flow.assert_unavailable(await flow.refresh(http, server, client, tokens["refresh_token"]))
    flow.assert_unavailable(await flow.redeem(http, server, client, code))
    flow.assert_unavailable(await flow.revoke(http, server, client, tokens["refresh_token"]))
    flow.assert_unavailable(await flow.authorize(http, server, client))
    metadata = {"redirect_uris": client["redirect_uris"], "token_endpoint_auth_method": "none"}
    flow.assert_unavailable(await http.post(f"{server.url}/oauth/register", json=metadata))


async def _assert_503_for_people(
    browser: httpx2.AsyncClient, server: ServerProcess, client: flow.Client
) -> None:
    pages = [await flow.authorize(browser, server, client)]
    pages += [await browser.get(f"{server.url}{path}") for path in ("/login", "/logout", "/consent/any")]
    for page in pages:
        assert page.status_code == 503, (page.url, page.status_code)
        assert page.headers["content-type"].startswith("text/html")
        assert "Traceback" not in page.text
        assert int(page.headers["retry-after"]) > 0
        assert "location" not in page.headers


async def test_rac_12_a_known_token_is_served_as_long_as_revocations_are_known_and_then_gets_503(
    stoppable: Pair, own_postgres: PostgresServer, http: httpx2.AsyncClient
) -> None:
    server = stoppable[0]
    async with signed_in_at(server) as browser:
        client = await flow.register(http, server)
        tokens = await flow.tokens_of(http, browser, server, client)
    assert await flow.works(http, server, tokens["access_token"])

    own_postgres.stop()
    stopped = time.monotonic()

    while (answer := await flow.call(http, server, tokens["access_token"])).status_code == 200:
        assert time.monotonic() < stopped + REVOCATION_LIMIT + SLACK, (
            "200 although nobody knows what is revoked"
        )
    flow.assert_unavailable(answer)
    forged = tokens["access_token"][:-8] + "AAAAAAAA"
    assert (await flow.call(http, server, forged)).status_code == 401

    own_postgres.start()
    started = time.monotonic()
    while (answer := await flow.call(http, server, tokens["access_token"])).status_code != 200:
        flow.assert_unavailable(answer)
        assert time.monotonic() < started + RECOVERED_WITHIN, "still 503 although the database is back"


async def test_opt_5_without_its_database_nobody_can_tell_a_used_proof_so_none_is_taken(
    stoppable: Pair, own_postgres: PostgresServer, http: httpx2.AsyncClient
) -> None:
    server, prover = stoppable[0], Prover()
    async with signed_in_at(server) as browser:
        client = await flow.register(http, server)
        bound = (await bound_tokens(http, browser, server, client, prover))["access_token"]
    proofs = [resource_proof(server, prover, bound) for _ in range(2)]
    assert (await call(http, server, bound, proofs[0])).status_code == 200

    own_postgres.stop()

    for proof in proofs:
        flow.assert_unavailable(await call(http, server, bound, proof))

    own_postgres.start()
    await _until_ready(http, server)
    assert (await call(http, server, bound, proofs[0])).status_code == 401
    assert (await call(http, server, bound, resource_proof(server, prover, bound))).status_code == 200


@dataclass
class Load:
    """A client that refreshes and calls without pause; every answer must be right, or 503 with advice."""

    client: flow.Client
    tokens: flow.Tokens
    answered: list[tuple[float, int]] = field(default_factory=list)

    async def run(self, http: httpx2.AsyncClient, servers: Pair, number: int, stop: asyncio.Event) -> None:
        """Until told to stop; a refresh that was not answered is sent again, as clients do."""
        while not stop.is_set():
            number += 1
            server = servers[number % 2]
            self._note(await flow.call(http, server, self.tokens["access_token"]))
            answer = await flow.refresh(http, server, self.client, self.tokens["refresh_token"])
            self._note(answer)
            if answer.status_code == 200:
                self.tokens = answer.json()

    def _note(self, answer: httpx2.Response) -> None:
        if answer.status_code != 200:
            flow.assert_unavailable(answer)
        self.answered.append((time.monotonic(), answer.status_code))

    def last(self, status: int) -> float:
        """When it last got this answer; before time began if never."""
        return max((at for at, got in self.answered if got == status), default=0.0)


async def test_rac_12_a_restart_under_load_shows_as_503_during_the_gap_and_as_nothing_else(
    stoppable: Pair, own_postgres: PostgresServer, http: httpx2.AsyncClient
) -> None:
    async with signed_in_at(stoppable[0]) as browser:
        loads = []
        for _ in range(6):
            client = await flow.register(http, stoppable[0])
            loads.append(Load(client, await flow.tokens_of(http, browser, stoppable[0], client)))
    stop = asyncio.Event()
    running = [
        asyncio.create_task(load.run(http, stoppable, number, stop)) for number, load in enumerate(loads)
    ]
    try:
        await _until(running, partial(_all_got, loads, 200, 0.0))
        for _ in range(2):
            began = time.monotonic()
            await asyncio.to_thread(own_postgres.stop)
            await _until(running, partial(_all_got, loads, 503, began))
            await asyncio.to_thread(own_postgres.start)
            back = time.monotonic()
            await _until(running, partial(_all_good_again, loads, back))
            assert time.monotonic() < back + RECOVERED_WITHIN
    finally:
        stop.set()
        await asyncio.gather(*running)
    for load in loads:
        assert (await flow.refresh(http, stoppable[0], load.client, load.tokens["refresh_token"])).is_success


def _all_got(loads: Sequence[Load], status: int, since: float) -> bool:
    return all(load.last(status) > since for load in loads)


def _all_good_again(loads: Sequence[Load], since: float) -> bool:
    """Whether everyone's last four answers, to calls and refreshes on both processes, are good and new."""
    return all(at > since and status == 200 for load in loads for at, status in load.answered[-4:])


async def _until(running: list[asyncio.Task[None]], condition: Callable[[], bool]) -> None:
    """Let the load run until the condition holds; its failures are ours."""
    deadline = time.monotonic() + LONGEST_WAIT
    while not condition():
        for task in running:
            if task.done():
                task.result()
        assert time.monotonic() < deadline, "the load never got there"
        await asyncio.sleep(0.02)


async def _until_ready(http: httpx2.AsyncClient, server: ServerProcess) -> None:
    deadline = time.monotonic() + RECOVERED_WITHIN
    while (await http.get(f"{server.url}/readyz")).status_code != 200:
        assert time.monotonic() < deadline, "the database is back, and /readyz does not see it"


async def test_rac_13_with_every_connection_busy_requests_wait_a_bounded_time_and_then_get_503(
    empty_database: str, folder: Path, http: httpx2.AsyncClient
) -> None:
    settings = {**settings_on(empty_database), "DATABASE_POOL_SIZE": "1"}
    with running_server(folder, settings) as server:
        async with signed_in_at(server) as browser:
            client = await flow.register(http, server)
            tokens = await flow.tokens_of(http, browser, server, client)
        async with flow.sql(empty_database) as database, database.transaction():
            await database.fetch("SELECT id FROM grants WHERE client_id = $1 FOR UPDATE", client["client_id"])
            began = time.monotonic()

            answers, health, ready, call = await asyncio.gather(
                asyncio.gather(
                    *(
                        flow.refresh(http, server, client, tokens["refresh_token"])
                        for _ in range(flow.AT_ONCE)
                    )
                ),
                _timed(http.get(f"{server.url}/healthz")),
                http.get(f"{server.url}/readyz"),
                flow.call(http, server, tokens["access_token"]),
            )

            assert time.monotonic() - began < LONGEST_WAIT
            for answer in answers:
                flow.assert_unavailable(answer)
            assert (health[0].status_code, ready.status_code) == (200, 503)
            assert health[1] < 2
            assert call.status_code in {200, 503}
        await _until_ready(http, server)
        renewed = await flow.refresh(http, server, client, tokens["refresh_token"])
        assert renewed.status_code == 200, renewed.text
        assert await flow.works(http, server, renewed.json()["access_token"])


async def _timed(request: Awaitable[httpx2.Response]) -> tuple[httpx2.Response, float]:
    began = time.monotonic()
    return await request, time.monotonic() - began
