"""Which metadata documents are read when, how many at once, and how long one serves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
import sqlalchemy as sa

from app.audit import Origin
from tests.support.internet import HOST, PUBLIC, URL, Internet, answer, ask, document, drip, is_page, reasons
from tests.support.world import REDIRECT_URI, World

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def world(make_world: MakeWorld, internet: Internet) -> World:
    made = await make_world(egress=internet.egress())
    await made.create_user("alice")
    return made


async def test_cim_19_fifty_at_once_are_one_fetch(world: World, internet: Internet) -> None:
    answers = await asyncio.gather(*(ask(world, source=f"203.0.113.{n}") for n in range(50)))

    assert {response.status_code for response in answers} == {303}
    assert internet.connections == [PUBLIC]


async def test_cim_20_failures_of_one_source_are_limited_and_nobody_else_is(
    world: World, internet: Internet
) -> None:
    internet.pages.clear()
    urls = [f"https://h{number}.example/c.json" for number in range(40)]

    statuses = [(await ask(world, url)).status_code for url in urls]

    assert statuses == [400] * 30 + [429] * 10
    assert len(internet.connections) == 30
    internet.pages["/client.json"] = answer(document())
    assert (await ask(world, source="198.51.100.9")).status_code == 303


@pytest.mark.parametrize("path", ["/oauth/par", "/oauth/device_authorization"])
async def test_cim_20_documents_that_one_source_has_read_are_limited_also_where_no_browser_asks(
    world: World, internet: Internet, path: str
) -> None:
    """Each leaves a row, and asks somebody's host."""
    urls = [f"https://{HOST}/{number}.json" for number in range(103)]
    internet.pages = {f"/{number}.json": answer(document(url)) for number, url in enumerate(urls)}
    form = world.authorization({"client_id": URL, "redirect_uris": [REDIRECT_URI]})
    async with world.machine("198.51.100.77") as machine:
        answers = [await machine.post(path, data={**form, "client_id": url}) for url in urls]

        assert {answered.status_code for answered in answers[100:]} == {429}
        assert all("retry-after" in answered.headers for answered in answers[100:])
        assert len(internet.connections) == 100
        # What was read already may go on.
        known = await machine.post("/oauth/par", data={**form, "client_id": urls[0]})
    assert known.status_code == 201
    assert len(await world.rows("SELECT client_id FROM clients")) == 100


async def test_cim_20_few_are_fetched_at_once_and_the_rest_is_told_so(
    world: World, internet: Internet
) -> None:
    internet.gate = asyncio.Event()
    urls = [f"https://h{number}.example/c.json" for number in range(40)]
    asking = [asyncio.create_task(ask(world, url, f"203.0.113.{n % 10}")) for n, url in enumerate(urls)]
    done, waiting = set[asyncio.Task[httpx2.Response]](), set(asking)
    while len(waiting) > 32:
        finished, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done |= finished

    assert {task.result().status_code for task in done} == {503}
    assert all("retry-after" in task.result().headers for task in done)
    internet.gate.set()
    await asyncio.gather(*asking)
    assert len(internet.connections) == 32


async def test_cim_20_one_source_cannot_take_every_place(world: World, internet: Internet) -> None:
    internet.gate = asyncio.Event()
    urls = [f"https://h{number}.example/c.json" for number in range(10)]
    waiting = {asyncio.create_task(ask(world, url)) for url in urls}
    asking = list(waiting)
    while len(waiting) > 4:
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    assert (await ask(world, "https://h20.example/c.json")).status_code == 503
    other = asyncio.create_task(ask(world, source="198.51.100.9"))
    internet.gate.set()
    assert (await other).status_code == 303
    await asyncio.gather(*asking)


async def test_cim_11_a_slow_host_holds_no_database_connection(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(egress=internet.egress(0.5), database_pool_size=1)
    internet.pages["/client.json"] = drip(b"HTTP/1.1 200 OK\r\n")
    slow = asyncio.create_task(ask(world))

    assert (await world.register())["client_id"]

    assert not slow.done()
    assert is_page(await slow)
    assert await reasons(world) == ["document_timeout"]


async def test_a_document_is_read_again_only_when_it_is_no_longer_fresh(
    world: World, internet: Internet
) -> None:
    internet.pages["/client.json"] = answer(document(), cache_control="max-age=600")
    await ask(world)
    world.clock.advance(minutes=9)
    await ask(world)
    assert len(internet.connections) == 1

    world.clock.advance(minutes=2)
    internet.pages["/client.json"] = answer(document(client_name="New Name"))
    await ask(world)

    assert len(internet.connections) == 2
    (stored,) = await world.rows("SELECT client_name FROM clients")
    assert stored["client_name"] == "New Name"


@pytest.mark.parametrize(
    "change",
    [{"client_name": "Other"}, {"redirect_uris": [REDIRECT_URI, "https://evil.example/cb"]}],
    ids=["name", "redirect URIs"],
)
async def test_cim_21_a_question_about_an_older_document_can_no_longer_be_approved(
    world: World, internet: Internet, change: dict[str, Any]
) -> None:
    internet.pages["/client.json"] = answer(document(), cache_control="max-age=60")
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, document())
    internet.pages["/client.json"] = answer(document(**change))
    world.clock.advance(minutes=2)
    await ask(world)

    assert is_page(await world.decide(browser, parked.headers["location"]))

    assert (await world.counts())["grants"] == 0
    again = await world.authorize(browser, document())
    assert "code=" in (await world.decide(browser, again.headers["location"])).headers["location"]


async def test_cim_23_a_stale_document_serves_what_was_allowed_for_a_week(
    world: World, internet: Internet
) -> None:
    tokens = await world.tokens(document())
    internet.names[HOST] = [[]]
    world.clock.advance(days=6)

    assert is_page(await ask(world)), "no new authorization from a stale document"
    refreshed = await world.refresh(document(), tokens["refresh_token"])
    assert refreshed.status_code == 200
    world.clock.advance(days=2)
    refused = await world.refresh(document(), refreshed.json()["refresh_token"])

    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert set(internet.lookups) == {HOST}
    internet.names[HOST] = [[PUBLIC]]
    assert (await ask(world)).status_code == 303
    assert (await world.refresh(document(), refreshed.json()["refresh_token"])).status_code == 200


@pytest.mark.parametrize("status", [404, 410])
async def test_cim_23_a_document_that_is_gone_is_withdrawn(
    world: World, internet: Internet, status: int
) -> None:
    tokens = await world.tokens(document())
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, document())
    internet.pages["/client.json"] = answer(status=status)
    world.clock.advance(minutes=9)
    async with world.database.transaction() as tx:
        await tx.execute(sa.text("UPDATE clients SET document_fresh_until = document_fetched_at"))

    assert is_page(await ask(world))

    assert is_page(await world.decide(browser, parked.headers["location"]))
    assert (await world.refresh(document(), tokens["refresh_token"])).status_code == 200
    internet.pages["/client.json"] = answer(document())
    assert (await ask(world)).status_code == 303


async def test_cim_24_a_client_that_was_registered_by_other_means_wins(
    world: World, internet: Internet
) -> None:
    registered = await world.register()
    async with world.database.transaction() as tx:
        await tx.execute(
            sa.text("UPDATE clients SET client_id = :url, registration = 'manual'"), {"url": URL}
        )
    internet.pages["/client.json"] = answer(document(client_name="Taken over"))

    assert registered["client_id"] != URL
    assert (await ask(world)).status_code == 303
    assert internet.lookups == []
    (stored,) = await world.rows("SELECT client_name, registration FROM clients")
    assert dict(stored) == {"client_name": "Test App", "registration": "manual"}


async def test_cim_25_the_token_endpoint_never_fetches(world: World, internet: Internet) -> None:
    answered = await world.redeem(document(), "code")

    assert (answered.status_code, answered.json()["error"]) == (401, "invalid_client")
    assert internet.lookups == []


async def test_a_client_that_only_refreshes_is_read_again_and_not_cut_off(
    world: World, internet: Internet
) -> None:
    tokens = await world.tokens(document())
    for _ in range(3):
        world.clock.advance(days=5)
        answer = await world.refresh(document(), tokens["refresh_token"])
        assert answer.status_code == 200
        tokens = answer.json()
        fetched = "SELECT document_fetched_at AS at FROM clients"
        with anyio.fail_after(5):
            while str(world.clock.now().date()) not in str((await world.rows(fetched))[0]["at"]):
                await anyio.lowlevel.checkpoint()


async def test_cim_19_whoever_comes_late_finds_what_was_read(world: World, internet: Internet) -> None:
    """Both found that the document has to be read, one after the other got to it."""
    documents, origin = world.services.client_documents, Origin(world.clock.now(), "203.0.113.7")
    await documents.fetch(URL, origin)
    await documents.fetch(URL, origin)
    assert internet.connections == [PUBLIC]
