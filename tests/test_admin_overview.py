"""The operator's first page: what happened, over time, and what was refused and why."""

import re
from datetime import timedelta

import httpx2
import pytest

from app.audit import Origin, count_over_time, record
from tests.front_channel import assert_html
from tests.support.world import World
from tests.working_pages import person


@pytest.fixture
async def operator(world: World) -> httpx2.AsyncClient:
    """A browser in which an admin is signed in."""
    return await person(world, "carol", is_admin=True)


async def happened(world: World, event: str, ago: timedelta, **more: str) -> None:
    """Write an event of some time ago."""
    async with world.database.transaction() as tx:
        await record(tx, event, Origin(world.clock.now() - ago, "198.51.100.9"), **more)


async def test_events_are_counted_in_the_step_in_which_they_happened(world: World) -> None:
    since = world.clock.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    for minutes, outcome in (
        (0, "ok"),
        (59.999, "ok"),
        (60, "ok"),
        (150, "invalid_grant"),
        (180, "ok"),
        (-1, "ok"),
    ):
        at = since + timedelta(minutes=minutes)
        async with world.database.transaction() as tx:
            await record(tx, "token.issued", Origin(at, "test"), outcome=outcome)
    async with world.database.reading() as tx:
        counts = await count_over_time(tx, ["token.issued", "refused"], since, timedelta(hours=1), 3)
    assert counts == {"token.issued": [2, 1, 1], "refused": [0, 0, 1]}


async def test_the_page_tells_how_often_and_why(world: World, operator: httpx2.AsyncClient) -> None:
    client = await world.register(client_name="<b>Hostile</b>")
    await world.tokens(client)
    for hours in (1, 2, 30):
        await happened(
            world,
            "refused /oauth/token",
            timedelta(hours=hours),
            outcome="invalid_grant",
            reason="<i>code_expired",
        )
    page = await operator.get("/admin")
    assert_html(page, 200)
    assert "<b>Hostile" not in page.text
    assert "<i>code_expired" not in page.text
    assert "refused /oauth/token: &lt;i&gt;code_expired" in page.text
    figures = dict(re.findall(r"<p>([a-z ]+)</p>\s*<b>([0-9,]+)</b>", page.text))
    assert figures == {"apps let in": "1", "first tokens": "1", "registrations": "1", "refusals": "2"}
    assert "1 in the 24 hours before" in page.text


@pytest.mark.parametrize("span", ["day", "week", "month"])
async def test_each_range_has_its_page(operator: httpx2.AsyncClient, span: str) -> None:
    assert_html(await operator.get(f"/admin?range={span}"), 200)


@pytest.mark.parametrize("query", ["range=year", "range=day&range=week", "range=%00"])
async def test_adm_9_a_range_that_there_is_not_is_refused(operator: httpx2.AsyncClient, query: str) -> None:
    assert_html(await operator.get(f"/admin?{query}"), 400)


async def test_an_empty_server_has_an_overview(world: World) -> None:
    auditor = await person(world, "dora", is_auditor=True)
    page = await auditor.get("/admin")
    assert_html(page, 200)
    assert "Nothing was refused" in page.text
    assert "No client yet" in page.text
