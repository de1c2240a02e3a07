"""The operator's list of clients: found, sorted, filtered, folded, and deaf to hostile addresses (ADM-9)."""

import base64
import json
import re
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.front_channel import Standing, assert_html
from tests.support.world import World
from tests.working_pages import person

pytest_plugins = ["tests.standing"]
CLIENTS = "/admin/clients"
HOSTILE = "Claude <script>alert(1)</script> \"'><img src=x onerror=alert(1)>"


def rows_of(page: httpx2.Response) -> list[str]:
    """The rows of the table, as text without tags."""
    assert page.status_code == 200, page.text
    body = page.text.partition("<tbody")[2].partition("</tbody>")[0]
    return [" ".join(re.sub(r"<[^>]+>", " ", f"<tr{row}").split()) for row in body.split("<tr")[1:]]


def link_to(page: httpx2.Response, words: str) -> str:
    """Where a link with these words leads."""
    found = re.search(rf'<a[^>]*href="([^"]*)"[^>]*>\s*{re.escape(words)}', page.text)
    assert found is not None, words
    return found[1].replace("&amp;", "&")


async def admin_of(world: World) -> httpx2.AsyncClient:
    """A browser of an admin."""
    return await person(world, "carol", is_admin=True)


# ------------------------------------------------------------------------------------------ what is found
@pytest.fixture
async def people(world: World) -> httpx2.AsyncClient:
    """A server with clients of every kind, and its admin's browser."""
    for name in ("Zebra", "apple", "Mango"):
        world.clock.advance(minutes=1)
        await world.register(client_name=name, redirect_uris=[f"https://{name.lower()}.example/callback"])
    world.clock.advance(minutes=1)
    used = await world.register(client_name="Used", redirect_uris=["cursor://anysphere.used/callback"])
    await world.tokens(used)
    world.clock.advance(minutes=1)
    return await admin_of(world)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Used", "Mango", "apple", "Zebra"]),
        ("sort=registered", ["Zebra", "apple", "Mango", "Used"]),
        ("sort=name", ["apple", "Mango", "Used", "Zebra"]),
        ("sort=-name", ["Zebra", "Used", "Mango", "apple"]),
        ("sort=-used", ["Used"]),
        ("q=MANGO", ["Mango"]),
        ("q=apple.example", ["apple"]),
        ("q=cursor://anysphere", ["Used"]),
        ("q=100%25", []),
        ("q=_", ["Used", "Mango", "apple", "Zebra"]),  # every id has one; it stands for itself
        ("q=m_ngo", []),
        ("state=used", ["Used"]),
        ("state=never", ["Mango", "apple", "Zebra"]),
        ("state=live", ["Used"]),
        ("state=disabled", []),
        ("state=approved", []),
        ("came=dynamic&q=zeb", ["Zebra"]),
        ("came=manual", []),
        ("came=&state=&q=&sort=", ["Used", "Mango", "apple", "Zebra"]),
    ],
)
async def test_clients_are_searched_sorted_and_filtered(
    people: httpx2.AsyncClient, query: str, found: list[str]
) -> None:
    page = await people.get(f"{CLIENTS}?{query}")
    if found:
        assert [row.split()[0] for row in rows_of(page)][: len(found)] == found
    else:
        assert page.status_code == 200
        assert "No client here" in page.text


async def test_registrations_that_say_the_same_are_one_row_that_opens(world: World) -> None:
    for _ in range(3):
        world.clock.advance(minutes=1)
        newest = await world.register(client_name="Again")
    await world.register(client_name="Once")
    admin = await admin_of(world)

    page = await admin.get(f"{CLIENTS}?sort=name")

    assert len(rows_of(page)) == 2
    assert "3 registrations that say the same" in rows_of(page)[0]
    alike = await admin.get(link_to(page, "<bdi>Again"))
    assert len(rows_of(alike)) == 3
    assert newest["client_id"] in rows_of(alike)[0]
    assert link_to(page, "<bdi>Once").startswith("/admin/clients/client?id=client_")


@pytest.mark.parametrize("sort", ["registered", "-registered", "name", "-name", "used", "-used"])
async def test_every_page_follows_the_one_before_and_leads_back(
    world: World, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.routers.pages.admin.clients.PAGE", 3)
    for number in range(8):
        # Some at the same instant, with the same name: the id decides.
        world.clock.advance(minutes=number % 2)
        await world.register(client_name=f"App {number // 3}", client_uri=f"https://{number}.example/")
    admin = await admin_of(world)
    page = await admin.get(f"{CLIENTS}?sort={sort}&state=never")
    assert "Newer" not in page.text
    shown = [rows_of(page)]
    for _ in range(2):
        page = await admin.get(link_to(page, "Older"))
        shown.append(rows_of(page))
    assert "Older" not in page.text
    assert [len(rows) for rows in shown] == [3, 3, 2]
    assert len({row for rows in shown for row in rows}) == 8
    first = await admin.get(link_to(page, "Newer"))
    assert rows_of(first) == shown[0]


# ------------------------------------------------------------------------------------------ hostile addresses
def place(*values: Any) -> str:
    """A place in the list that somebody made up."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "query",
    [
        "sort=client_name",
        "sort=registered%3B%20DROP%20TABLE%20clients",
        "sort=--registered",
        "sort=name&sort=name",
        "came=foreign",
        "came=dynamic%27%20OR%201=1",
        "state=%00",
        "q=%00",
        f"q={'x' * 601}",
        "alike=%00",
        "after=x",
        "after=%00",
        "after=é",
        "after=" + "A" * 601,
        "after=!!!",
        f"after={place('2026-11-22', 'x')}",
        f"after={place(-1, 'x')}",
        f"after={place(10**30, 'x')}",
        f"after={place(1.5, 'x')}",
        f"after={place(True, 'x')}",
        f"after={place(1, 2)}",
        f"after={place(1, chr(0))}",
        f"after={place(1)}",
        f"after={place(1, 'x', 2)}",
        f"after={place(None, None)}",
        f"after={place([1], {'x': 1})}",
        f"after={base64.urlsafe_b64encode(b'[' * 400).decode()}",
        f"sort=name&after={place(1, 'x')}",
        f"sort=name&after={place(chr(0), 'x')}",
        f"sort=name&after={place(chr(0xD800), 'x')}",
        f"sort=name&after={place('x', chr(0xDFFF))}",
    ],
)
async def test_adm_9_an_address_that_no_link_has_is_refused(standing: Standing, query: str) -> None:
    admin = await _standing_admin(standing)
    assert_html(await admin.get(f"{CLIENTS}?{query}"), 400)


@pytest.mark.parametrize(
    "words", ["' OR 1=1 --", "%", "\\", "_", "\u202e", "😀" * 20, "a" * 600, "<script>", "\ud7ff", "\n"]
)
async def test_adm_9_words_are_only_words(standing: Standing, words: str) -> None:
    admin = await _standing_admin(standing)
    page = await admin.get(f"{CLIENTS}?q={quote(words)}")
    assert_html(page, 200)
    assert "<script>" not in page.text


async def test_a_hostile_name_is_shown_and_does_nothing(standing: Standing) -> None:
    await standing.world.register(client_name=HOSTILE, redirect_uris=["https://evil.example/callback"])
    admin = await _standing_admin(standing)
    page = await admin.get(f"{CLIENTS}?q=evil.example")
    assert_html(page, 200)
    assert "Claude &lt;script&gt;" in page.text
    assert "<script>alert" not in page.text
    assert "<img" not in page.text


async def _standing_admin(standing: Standing) -> httpx2.AsyncClient:
    if not await standing.world.rows("SELECT id FROM users WHERE username = 'carol'"):
        await standing.world.create_user("carol", is_admin=True)
    return await standing.world.signed_in_browser("carol")


async def test_a_page_ends_early_where_most_was_shown_already(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.authorization_server.client_search._AT_ONCE", 3)
    monkeypatch.setattr("app.authorization_server.client_search._MOST_WALKED", 6)
    for name in ("Oldest", *["Again"] * 20, "Newest"):
        world.clock.advance(minutes=1)
        await world.register(client_name=name)
    admin = await admin_of(world)
    page, told = await admin.get(CLIENTS), []
    for _ in range(9):
        told += [row.split()[0] for row in rows_of(page)]
        if 'rel="next"' not in page.text:
            break
        page = await admin.get(link_to(page, "Older"))
    assert told == ["Newest", "Again", "Oldest"]
    # By name they stand together, and are passed over at once.
    by_name = await admin.get(f"{CLIENTS}?sort=name")
    assert [row.split()[0] for row in rows_of(by_name)] == ["Again", "Newest", "Oldest"]


async def test_a_name_that_clients_without_one_have_is_their_id(world: World) -> None:
    client = await world.register(client_name=None)
    await world.tokens(client)
    admin = await admin_of(world)
    assert client["client_id"] in rows_of(await admin.get(f"{CLIENTS}?sort=name"))[0]
    assert client["client_id"] in rows_of(await admin.get(f"/admin/grants?client={client['client_id']}"))[0]


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 2), ("person=alice", 1), ("person=nobody", 0), ("state=live", 1), ("client=x", 0)],
)
async def test_grants_are_filtered(world: World, query: str, count: int) -> None:
    admin = await admin_of(world)
    client = await world.register()
    tokens = await world.tokens(client)
    await world.tokens(client, "carol")
    await world.revoke(client, tokens["refresh_token"])
    page = await admin.get(f"/admin/grants?{query}")
    assert page.text.count("<tr") - 1 == count if count else "No grant here" in page.text


async def test_grants_go_on_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.routers.pages.admin.grants.PAGE", 2)
    client = await world.register()
    for _ in range(3):
        await world.tokens(client)
    admin = await admin_of(world)
    page = await admin.get("/admin/grants")
    rest = await admin.get(link_to(page, "Older"))
    assert [len(rows_of(one)) for one in (page, rest)] == [2, 1]
    assert len({row.split("grant_")[1][:20] for one in (page, rest) for row in rows_of(one)}) == 3
    for query in ("state=dead", "after=x", "person=%00", "client=a&client=b"):
        assert_html(await admin.get(f"/admin/grants?{query}"), 400)
