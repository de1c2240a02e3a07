"""A client that pushes its authorization requests (RFC 9126)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2

from tests.back_channel import records_of, rows_of
from tests.front_channel import assert_page
from tests.support.world import World

PAR = "/oauth/par"
URN = "urn:ietf:params:oauth:request_uri:"
FORM = {"content-type": "application/x-www-form-urlencoded"}
MakeWorld = Callable[..., Awaitable[World]]


async def push(
    world: World, client: Mapping[str, Any], headers: Any = None, **changes: str | None
) -> httpx2.Response:
    """Push a good authorization request, or one with these changes."""
    return await world.http.post(PAR, data=world.authorization(client, **changes), headers=headers)


async def pushed(world: World, client: Mapping[str, Any], **changes: str | None) -> dict[str, str]:
    """What a browser brings of a request that was pushed."""
    answer = await push(world, client, **changes)
    assert answer.status_code == 201, answer.text
    return {"client_id": client["client_id"], "request_uri": answer.json()["request_uri"]}


async def parked(world: World) -> int:
    """How many requests wait or waited for a person."""
    return int((await world.rows("SELECT count(*) AS n FROM authorization_requests"))[0]["n"])


async def assert_no_interaction(world: World, browser: httpx2.AsyncClient, query: Mapping[str, str]) -> None:
    """A page; nothing is parked, and the refusal is on record without the handle."""
    before, waiting, recorded = await rows_of(world), await parked(world), await records_of(world)
    answer = await browser.get("/authorize", params=dict(query))
    assert_page(answer)
    assert await rows_of(world) == before
    assert await parked(world) == waiting
    assert await records_of(world) > recorded
    assert query["request_uri"] not in answer.text
    assert query["request_uri"] not in str(await world.rows("SELECT * FROM audit_events"))
