"""`python -m bench.admin`: what the operator's pages cost on a server that has been used for years.

One process, PostgreSQL, 100,000 clients and 1,000,000 events unless told otherwise; each page is asked for one after
another, and the time is the server's: from the request to the last byte, without a network between.
"""

import argparse
import asyncio
import logging
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx2
from rich.console import Console
from rich.table import Table

from app.migrations import migrate
from bench.seed import Amounts, seed
from tests.support.postgres import running_postgres
from tests.support.world import World, running_world

YESTERDAY = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"  # noqa: DTZ - of the rows that the database made
PAGES = {
    "signing keys, for comparison": "/admin/keys",
    "clients": "/admin/clients",
    "clients, second page": "/admin/clients?older",
    "clients by last use": "/admin/clients?sort=-used",
    "clients by name": "/admin/clients?sort=name",
    "clients, a word that many have": "/admin/clients?q=claude",
    "clients, a word that nobody has": "/admin/clients?q=nothinglikeit",
    "clients, a host": "/admin/clients?q=host77.example",
    "clients that are connected": "/admin/clients?state=live",
    "clients that nobody used": "/admin/clients?state=never",
    "clients that are documents": "/admin/clients?came=document",
    "one client with a long history": "/admin/clients/client?id=client_c4ca4238a0b923820dcc509a6f75849b",
    "grants": "/admin/grants",
    "grants of a person": "/admin/grants?person=person7",
    "grants that hold": "/admin/grants?state=live",
    "people": "/admin/users",
    "people, a word": "/admin/users?q=person77",
    "overview of a day": "/admin",
    "overview of a week": "/admin?range=week",
    "overview of a month": "/admin?range=month",
    "audit": "/admin/audit",
    "audit, second page": "/admin/audit?older",
    "audit, what was refused": "/admin/audit?outcome=refused",
    "audit, one kind of event": "/admin/audit?event=token.issued",
    "audit of a person": "/admin/audit?person=person7",
    "audit of a client": "/admin/audit?client=client_c4ca4238a0b923820dcc509a6f75849b",
    "audit of an address": "/admin/audit?source=203.0.113.7",
    "audit, refused of an address": "/admin/audit?source=203.0.113.7&outcome=refused",
    "audit of a day": f"/admin/audit?since={YESTERDAY}&until={YESTERDAY}",
    "audit, a reference that nobody has": "/admin/audit?reference=0000-0000",
    "60,000 alike": "/admin/clients?alike=38c66b824d5769e42c3866005296525b",
}
_LIMIT = 0.2


async def measure(browser: httpx2.AsyncClient, path: str, times: int) -> list[float]:
    """Seconds of each request."""
    if path.endswith("?older"):
        page = (await browser.get(path.removesuffix("?older"))).text
        path = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        answer = await browser.get(path)
        taken.append(time.perf_counter() - began)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code}")
    return taken


async def run(database_url: str, options: argparse.Namespace) -> bool:
    """Measure every page and print the table; False when one is too slow."""
    await seed(database_url, Amounts(options.clients, options.users, options.events))
    async with running_world(database_url) as world:
        # The rows are of the database's time.
        world.clock.advance(seconds=(datetime.now(UTC) - world.clock.now()).total_seconds())
        browser = await _admin(world)
        table = Table("page", "p50 ms", "p99 ms", "most ms", box=None)
        fast = True
        for name, path in PAGES.items():
            await measure(browser, path, 3)
            taken = sorted(await measure(browser, path, options.times))
            p99 = taken[min(len(taken) - 1, int(len(taken) * 0.99))]
            fast = fast and p99 < _LIMIT
            figures = (statistics.median(taken), p99, taken[-1])
            table.add_row(name, *(f"{figure * 1000:.1f}" for figure in figures))
        Console(width=100).print(table)
    return fast


async def _admin(world: World) -> httpx2.AsyncClient:
    await world.create_user("carol", is_admin=True)
    return await world.signed_in_browser("carol")


def main() -> None:
    """Start PostgreSQL, fill it, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=200)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with running_postgres(durable=True) as postgres:
        postgres.create_database("bench_admin")
        url = postgres.url("bench_admin")
        migrate(url)
        fast = asyncio.run(run(url, options))
    sys.exit(0 if fast else 1)


if __name__ == "__main__":
    main()
