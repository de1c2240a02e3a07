"""How many clients are kept that came with a document and that nobody approved. CIM-20."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.front_channel import change
from tests.support.internet import HOST, Internet, answer, ask, document, is_page, reasons
from tests.support.world import REDIRECT_URI, World, running_world

MakeWorld = Callable[..., Awaitable[World]]
URLS = [f"https://{HOST}/{number}.json" for number in range(12)]


@pytest.fixture
def internet_of_many(internet: Internet) -> Internet:
    """Each address has a document."""
    internet.pages = {f"/{number}.json": answer(document(url)) for number, url in enumerate(URLS)}
    return internet


async def kept(world: World) -> set[str]:
    """The clients that are known."""
    return {row["client_id"] for row in await world.rows("SELECT client_id FROM clients")}


async def test_the_newest_takes_the_place_of_the_oldest(
    make_world: MakeWorld, internet_of_many: Internet
) -> None:
    world = await make_world(egress=internet_of_many.egress(), registration_cap=3)
    for url in URLS[:3]:
        assert (await ask(world, url)).status_code == 303
        world.clock.advance(minutes=1)
    world.clock.advance(minutes=20)
    assert (await ask(world, URLS[3])).status_code == 303
    assert await kept(world) == set(URLS[1:4])
    rows = await world.rows("SELECT client_id, reason FROM audit_events WHERE event = 'client.deleted'")
    assert [(row["client_id"], row["reason"]) for row in rows] == [(URLS[0], "cap_reached")]


async def test_a_flood_pushes_out_nobody_who_is_in_the_middle_of_connecting(
    make_world: MakeWorld, internet_of_many: Internet
) -> None:
    world = await make_world(egress=internet_of_many.egress(), registration_cap=2)
    for url in URLS[:2]:
        assert (await ask(world, url)).status_code == 303
    refused = await ask(world, URLS[2])
    assert is_page(refused, 503)
    assert refused.headers["retry-after"] == "60"
    assert await kept(world) == set(URLS[:2])
    assert await reasons(world) == ["documents_full"]
    # Those that are known go on, and read their documents again.
    world.clock.advance(days=2)
    await change(world, "UPDATE clients SET last_used_at = created_at")
    assert (await ask(world, URLS[0])).status_code == 303


@pytest.mark.parametrize("path", ["/oauth/par", "/oauth/device_authorization"])
async def test_machines_are_told_so_too(make_world: MakeWorld, internet_of_many: Internet, path: str) -> None:
    world = await make_world(egress=internet_of_many.egress(), registration_cap=1)
    await ask(world, URLS[0])
    form = world.authorization({"client_id": URLS[1], "redirect_uris": [REDIRECT_URI]})
    refused = await world.http.post(path, data=form)
    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    assert refused.headers["retry-after"] == "60"


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE clients SET last_used_at = created_at", id="used"),
        pytest.param("UPDATE clients SET approved_at = created_at", id="vouched for"),
        pytest.param("UPDATE clients SET disabled_at = created_at", id="kept out"),
    ],
)
async def test_who_was_approved_used_or_kept_out_does_not_go(
    make_world: MakeWorld, internet_of_many: Internet, statement: str
) -> None:
    world = await make_world(egress=internet_of_many.egress(), registration_cap=1)
    await ask(world, URLS[0])
    await change(world, statement)
    world.clock.advance(minutes=20)
    await ask(world, URLS[1])
    assert await kept(world) == set(URLS[:2])


async def test_registrations_have_places_of_their_own(
    make_world: MakeWorld, internet_of_many: Internet
) -> None:
    world = await make_world(egress=internet_of_many.egress(), registration_cap=1)
    registered = await world.register()
    await ask(world, URLS[0])
    assert await kept(world) == {registered["client_id"], URLS[0]}


@pytest.mark.postgresql
async def test_many_at_once_take_no_more_places_than_there_are(
    postgres_url: str, internet_of_many: Internet
) -> None:
    async with running_world(postgres_url, egress=internet_of_many.egress(), registration_cap=3) as world:
        answers = await asyncio.gather(
            *(ask(world, url, f"203.0.{number}.7") for number, url in enumerate(URLS))
        )
        assert sorted(answered.status_code for answered in answers) == [303] * 3 + [503] * 9
        assert len(await kept(world)) == 3
