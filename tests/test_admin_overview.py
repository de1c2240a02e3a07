"""The operator's first page: what happened, over time, and what was refused and why."""

import re

import httpx2
import pytest

from app import __version__
from app.local_verifier import DatabaseRevocations
from app.migrations import newest_revision
from app.resource_server.revocations import Revocations
from tests.front_channel import assert_html, change
from tests.support.world import World
from tests.working_pages import person


@pytest.fixture
async def operator(world: World) -> httpx2.AsyncClient:
    """A browser in which an admin is signed in."""
    return await person(world, "carol", is_admin=True)


def text_of(page: str) -> str:
    """What one reads, without the tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


async def test_the_page_tells_how_often_and_why(world: World, operator: httpx2.AsyncClient) -> None:
    client = await world.register(client_name="<b>Hostile</b>")
    counts = world.services.tallies
    counts.count("refusal", "/oauth/token: <i>code_expired")
    world.clock.advance(hours=30)
    # The operator's session is over by then.
    operator = await world.signed_in_browser("carol")
    await world.tokens(client)
    for _ in range(2):
        counts.count("refusal", "/oauth/token: <i>code_expired")
    for number in range(4):
        counts.count("refusal", f"/login: reason-{number}")
    await counts.write()
    page = await operator.get("/admin")
    assert_html(page, 200)
    assert "<b>Hostile" not in page.text
    assert "<i>code_expired" not in page.text
    assert "/oauth/token: &lt;i&gt;code_expired" in page.text
    assert "everything else" in page.text
    figures = dict(re.findall(r"<p>([a-z ]+)</p>\s*<b>([0-9,]+)</b>", page.text))
    assert figures == {"calls": "0", "tokens": "1", "registrations": "0", "refusals": "6"}
    assert "1 in the 24 hours before" in page.text


async def test_the_page_tells_how_the_server_is(world: World, operator: httpx2.AsyncClient) -> None:
    world.clock.advance(hours=3)
    page = text_of((await operator.get("/admin")).text)
    kind = "SQLite 3" if world.database.is_sqlite else "PostgreSQL 1"
    for fact in (f"Version {__version__}", f"Database {kind}", f"Schema {newest_revision()}"):
        assert fact in page
    assert "Signing key signs for 3 hours" in page
    assert re.search(r"Connections of this process [1-9] of 10 in use", page)
    assert re.search(r"Revocations read [0-9a-z ]+ ago", page)


async def test_what_is_wrong_with_the_server_is_said(world: World, operator: httpx2.AsyncClient) -> None:
    await change(world, "UPDATE alembic_version SET version_num = '0001'")
    await change(world, "DELETE FROM signing_keys")
    source = DatabaseRevocations(world.database, world.clock)
    world.app.state.revocations = Revocations(source, world.clock)
    page = text_of((await operator.get("/admin")).text)
    assert "run ostiary migrate" in page
    assert "No key signs" in page
    assert "Revocations not read yet They can’t be read" in page


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


async def test_a_mistake_of_ours_has_one_reference(
    world: World, operator: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await change(world, "ALTER TABLE grants RENAME TO gone")
    page = await operator.get("/admin/grants")
    assert page.status_code == 500
    [reference] = set(re.findall(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b", page.text))
    assert reference in caplog.text
    await change(world, "ALTER TABLE gone RENAME TO grants")
