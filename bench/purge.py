"""`python -m bench.purge`: 1,000,000 rows that are over go while clients refresh and call, who notice little."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
from rich.console import Console
from rich.table import Table

from tests.processes import flow
from tests.support.postgres import running_postgres
from tests.support.process import ServerProcess, running_server, settings_on

# Identifiers that were used, and sessions that are over: what comes by itself in a busy year.
_ROWS = {
    "used_identifiers": """
INSERT INTO used_identifiers (kind, identifier_hash, expires_at)
SELECT 'bench', md5(i::text) || md5((i + 1)::text), now() - interval '2 days' FROM generate_series(1, $1) AS i
""",
    "sessions": """
INSERT INTO sessions (id_hash, user_id, created_at, last_seen_at, expires_at)
SELECT md5(i::text) || md5((i + 1)::text), (SELECT min(id) FROM users), now() - interval '40 days',
       now() - interval '35 days', now() - interval '10 days'
FROM generate_series(1, $1) AS i
""",
}
_BEGINS_AFTER = 20  # seconds from the start: until then it is measured how it is without
_MOST = 1800.0


class Clients:
    """Some that refresh and some that call, without pause; how long each answer took."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self.taken: dict[str, list[tuple[float, float]]] = {"call": [], "refresh": []}
        self.over = asyncio.Event()

    async def run(self, number: int) -> None:
        """So many of each."""
        server = self._server
        async with flow.new_browser() as browser, asyncio.TaskGroup() as group:
            assert (await flow.sign_in(browser, server)).status_code == 303
            for _ in range(number):
                http = flow.connections()
                client = await flow.register(http, server)
                tokens = dict(await flow.tokens_of(http, browser, server, client))
                group.create_task(self._refresh(http, client, tokens))
                token = tokens["access_token"]
                group.create_task(self._call(flow.connections(), token))

    async def _refresh(self, http: httpx2.AsyncClient, client: flow.Client, tokens: dict[str, str]) -> None:
        async def once() -> httpx2.Response:
            answer = await flow.refresh(http, self._server, client, tokens["refresh_token"])
            tokens.update(answer.json())
            return answer

        await self._again("refresh", once)

    async def _call(self, http: httpx2.AsyncClient, token: str) -> None:
        await self._again("call", lambda: flow.call(http, self._server, token))

    async def _again(self, what: str, ask: Callable[[], Awaitable[httpx2.Response]]) -> None:
        while not self.over.is_set():
            began = time.monotonic()
            answer = await ask()
            if answer.status_code != 200:
                raise RuntimeError(f"{what}: {answer.status_code} {answer.text[:200]}")
            self.taken[what].append((began, (time.monotonic() - began) * 1000))

    def percentile(self, what: str, percent: float, since: float, until: float) -> float:
        """In milliseconds, of what was asked in this time."""
        taken = sorted(took for at, took in self.taken[what] if since <= at < until)
        return taken[min(len(taken) - 1, int(len(taken) * percent / 100))]


async def _left(database_url: str) -> int:
    async with flow.sql(database_url) as database:
        counts = [
            await database.fetchval(f"SELECT count(*) FROM {table} WHERE expires_at < now()")  # noqa: S608
            for table in _ROWS
        ]
    return sum(counts)


async def measure(server: ServerProcess, database_url: str, rows: int) -> None:
    """Fill, wait for the purge, and tell what the clients noticed."""
    async with flow.sql(database_url) as database:
        for statement in _ROWS.values():
            await database.execute(statement, rows // len(_ROWS), timeout=600)
        size = await database.fetchval("SELECT pg_database_size(current_database())")
    print(f"{await _left(database_url)} rows that are over, {size / 1e6:.0f} MB")
    clients = Clients(server)
    running = asyncio.create_task(clients.run(2))
    began = time.monotonic()
    all_rows = await _left(database_url)
    while await _left(database_url) == all_rows:  # noqa: ASYNC110 - another process begins
        await asyncio.sleep(0.2)
    purging = time.monotonic()
    while (left := await _left(database_url)) and time.monotonic() < purging + _MOST:  # noqa: ASYNC110
        await asyncio.sleep(1)
    done = time.monotonic()
    await asyncio.sleep(5)
    clients.over.set()
    await running
    print(
        f"{all_rows - left} rows went in {done - purging:.1f} s, {(all_rows - left) / (done - purging):.0f} a second"
    )
    table = Table("", "p50 ms before", "p50 during", "p99 ms before", "p99 during", "p99 ratio", box=None)
    for what in clients.taken:
        before = [clients.percentile(what, percent, began + 2, purging) for percent in (50, 99)]
        during = [clients.percentile(what, percent, purging, done) for percent in (50, 99)]
        figures = (before[0], during[0], before[1], during[1], during[1] / before[1])
        table.add_row(what, *(f"{figure:.1f}" for figure in figures))
    Console(width=100).print(table)
    if left:
        raise SystemExit(f"{left} rows are left after {_MOST:.0f} seconds")


def main() -> None:
    """Start everything and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    with running_postgres(durable=True) as postgres, tempfile.TemporaryDirectory() as folder:
        postgres.create_database("bench_purge")
        url = postgres.url("bench_purge")
        # The schema and the person first, then the rows, then the server that is measured.
        with running_server(Path(folder), settings_on(url)):
            pass
        settings = {**settings_on(url), "PURGE_SECONDS": str(_BEGINS_AFTER + options.rows // 50_000)}
        with running_server(Path(folder), settings) as server:
            asyncio.run(measure(server, url, options.rows))
    sys.exit(0)


if __name__ == "__main__":
    main()
