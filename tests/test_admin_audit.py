"""The record of what happened: nobody changes it, operators search it and take it along. ADM-6, 9, 11, STO-1."""

import csv
import html
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app.audit import AuditEvent, Origin, Wanted, record, search_events
from app.purge import purge
from app.routers.pages.admin import event_files
from tests.front_channel import assert_html
from tests.support.world import World
from tests.working_pages import person

PATH = "/admin/audit"
HOSTILE = '=HYPERLINK("https://evil.example")<script>alert(1)</script>\u202e'


REPLACED = (
    "INSERT INTO audit_events (id, at, event, outcome) SELECT id, at, 'x', 'ok' FROM audit_events WHERE true "
    "ON CONFLICT (id) DO UPDATE SET event = 'x'"
)


async def happened(world: World, event: str = "client.registered", **more: Any) -> None:
    """Write an event."""
    at = more.pop("at", world.clock.now())
    async with world.database.transaction() as tx:
        await record(
            tx, event, Origin(at, more.pop("source", "198.51.100.9"), more.pop("actor", None)), **more
        )


@pytest.fixture
async def operator(world: World) -> httpx2.AsyncClient:
    """A browser in which an admin is signed in."""
    return await person(world, "carol", is_admin=True)


async def events(world: World, wanted: Wanted, **more: Any) -> list[AuditEvent]:
    """What is found."""
    async with world.database.reading() as tx:
        return list(await search_events(tx, wanted, more.pop("limit", 100), **more))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET reason = 'x'",
        "UPDATE audit_events SET at = at",
        "DELETE FROM audit_events",
        REPLACED,
    ],
)
async def test_adm_11_nobody_changes_or_removes_what_happened(world: World, statement: str) -> None:
    await happened(world, at=datetime.now(UTC))
    with pytest.raises(DBAPIError, match="audit events"):
        async with world.database.transaction() as tx:
            await tx.execute(sa.text(statement))
    assert len(await events(world, Wanted(event="client.registered"))) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_adm_11_nobody_puts_something_else_in_the_place_of_an_event(world: World) -> None:
    await happened(world, at=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(DBAPIError, match="audit events"):
        async with world.database.transaction() as tx:
            await tx.execute(
                sa.text(
                    "INSERT OR REPLACE INTO audit_events (id, at, event, outcome) "
                    "SELECT id, at, 'x', 'ok' FROM audit_events"
                )
            )


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
async def test_adm_11_nobody_empties_the_record(world: World) -> None:
    await happened(world, at=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(DBAPIError, match="audit events"):
        async with world.database.transaction() as tx:
            await tx.execute(sa.text("TRUNCATE audit_events"))


async def test_what_is_too_old_goes_and_the_rest_stays(world: World) -> None:
    now = world.clock.now()
    for days in (400, 366, 364, 1):
        await happened(world, at=now - timedelta(days=days), reason=str(days))
    removed = await purge(world.database, world.services.policy, Origin(now, "test"))
    assert removed["audit_events"] == 2
    assert [event.reason for event in await events(world, Wanted(event="client.registered"))] == ["1", "364"]


async def test_what_is_kept_for_ever_stays(make_world: Any) -> None:
    world = await make_world(audit_days=0)
    await happened(world, at=world.clock.now() - timedelta(days=4000))
    assert "audit_events" not in await purge(
        world.database, world.services.policy, Origin(world.clock.now(), "test")
    )
    assert len(await events(world, Wanted())) == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), ["c", "b", "a"]),
        (Wanted(refused=True), ["b"]),
        (Wanted(refused=False), ["c", "a"]),
        (Wanted(event="grant.approved"), ["a"]),
        (Wanted(person="user_1"), ["c", "a"]),
        (Wanted(client_id="client_1"), ["b"]),
        (Wanted(grant_id="grant_1"), ["a"]),
        (Wanted(source="192.0.2.1"), ["c"]),
        (Wanted(reference="AAAA-BBBB"), ["b"]),
        (Wanted(since=datetime(2026, 1, 2, tzinfo=UTC)), ["c", "b"]),
        (Wanted(until=datetime(2026, 1, 2, tzinfo=UTC)), ["a"]),
        (Wanted(event="grant.approved", person="user_2"), []),
    ],
)
async def test_events_are_found_by_what_they_say(world: World, wanted: Wanted, expected: list[str]) -> None:
    async with world.database.transaction() as tx:
        days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
        one, two, three = (Origin(at, "198.51.100.9") for at in days)
        await record(tx, "grant.approved", one, reason="a", user_id="user_1", grant_id="grant_1")
        await record(
            tx,
            "refused /oauth/token",
            two,
            outcome="invalid_grant",
            reason="b",
            client_id="client_1",
            reference="AAAA-BBBB",
        )
        acting = Origin(three.now, "192.0.2.1", "user_1")
        await record(tx, "user.disabled", acting, reason="c", user_id="user_9")
    assert [event.reason for event in await events(world, wanted) if event.reason] == expected


async def test_pages_follow_one_another_without_a_gap_also_where_times_are_equal(
    world: World, operator: httpx2.AsyncClient
) -> None:
    for number in range(120):
        await happened(world, "client.registered", reason=f"number-{number:03}")
    address, found = f"{PATH}?event=client.registered", []
    for _ in range(3):
        page = (await operator.get(address)).text
        found += [f"number-{number:03}" for number in range(120) if f"number-{number:03}" in page]
        address = html.unescape(page.partition('rel="next" href="')[2].partition('"')[0])
    assert address == ""
    assert sorted(found) == [f"number-{number:03}" for number in range(120)]


async def test_a_person_is_found_by_name_and_the_operator_is_told(
    world: World, operator: httpx2.AsyncClient
) -> None:
    (carol,) = await world.rows("SELECT id FROM users WHERE username = 'carol'")
    (alice,) = await world.rows("SELECT id FROM users WHERE username = 'alice'")
    await happened(world, "user.disabled", user_id=alice["id"], actor=carol["id"])
    page = await operator.get(PATH, params={"person": "alice", "event": "user.disabled"})
    assert "by <bdi>carol</bdi>" in page.text
    assert "<bdi>alice</bdi>" in page.text


async def test_names_of_strangers_stay_text(world: World, operator: httpx2.AsyncClient) -> None:
    client = await world.register(client_name="<script>alert(1)</script>")
    await happened(world, HOSTILE, client_id=client["client_id"], reason=HOSTILE, source=HOSTILE)
    page = await operator.get(PATH)
    assert_html(page, 200)
    assert "<script>alert" not in page.text
    assert "\u202e" not in page.text


@pytest.mark.parametrize(
    "query",
    [
        "outcome=maybe",
        "event=a%00b",
        "event=a&event=b",
        "since=yesterday",
        "until=2026-02-30",
        "since=2026-13-01",
        "after=x",
        "after=WzEsICJ4Il0",
        "after=WyJ4IiwgIjEiXQ",
        "reference=" + "x" * 700,
        "format=exe",
        "person=%ED%A0%80%00",
    ],
)
@pytest.mark.parametrize("path", [PATH, f"{PATH}/file"])
async def test_adm_9_an_address_that_no_link_has_is_a_page(
    operator: httpx2.AsyncClient, path: str, query: str
) -> None:
    assert_html(await operator.get(f"{path}?{query}"), 400)


async def test_the_last_day_of_the_calendar_is_one(operator: httpx2.AsyncClient) -> None:
    assert_html(await operator.get(f"{PATH}?since=0001-01-01&until=9999-12-31"), 200)


@pytest.mark.parametrize("text", ["' OR 1=1 --", "%", "_", "\\", "nobody"])
async def test_adm_9_whatever_is_looked_for_is_only_looked_for(
    operator: httpx2.AsyncClient, text: str
) -> None:
    for name in ("event", "person", "client", "grant", "source", "reference"):
        page = await operator.get(PATH, params={name: text})
        assert_html(page, 200)
        assert "Nothing of the kind" in page.text


async def test_auditors_look_and_nobody_else(world: World) -> None:
    assert_html(await (await person(world, "dora", is_auditor=True)).get(PATH), 200)
    alice = await world.signed_in_browser()
    for path in (PATH, f"{PATH}/file"):
        assert_html(await alice.get(path), 403)


async def test_the_record_is_taken_as_a_table_that_runs_nothing(
    world: World, operator: httpx2.AsyncClient
) -> None:
    await happened(world, "client.registered", reason=HOSTILE, client_id="-2+3", source="@cmd")
    answer = await operator.get(f"{PATH}/file", params={"event": "client.registered", "format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="ostiary-audit-')
    assert answer.headers["cache-control"] == "no-store"
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["reason"], row["client_id"], row["source"]) == (f"'{HOSTILE}", "'-2+3", "'@cmd")
    assert row["at"].endswith("Z")


@pytest.mark.parametrize("between", [";", "\t", "\r\n", "; "])
async def test_no_formula_hides_where_other_signs_part_cells(
    world: World, operator: httpx2.AsyncClient, between: str
) -> None:
    await happened(world, "client.registered", reason=f"x{between}=HYPERLINK(1)")
    answer = await operator.get(f"{PATH}/file", params={"event": "client.registered", "format": "csv"})
    assert f"x{between}'=HYPERLINK(1)" in answer.text


async def test_the_record_is_taken_as_lines_of_json(world: World, operator: httpx2.AsyncClient) -> None:
    for number in range(5):
        await happened(world, "client.registered", reason=f"{HOSTILE}\n{number}")
    answer = await operator.get(f"{PATH}/file", params={"event": "client.registered", "format": "jsonl"})
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["reason"].partition("\n")[2] for row in rows] == ["4", "3", "2", "1", "0"]
    assert rows[0]["user_id"] is None


async def test_a_long_record_is_taken_whole_in_pieces(
    world: World, operator: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "_AT_ONCE", 7)
    for number in range(21):
        await happened(world, "client.registered", reason=str(number))
    answer = await operator.get(f"{PATH}/file", params={"event": "client.registered", "format": "csv"})
    rows = csv.DictReader(io.StringIO(answer.text))
    assert [row["reason"] for row in rows] == [str(number) for number in reversed(range(21))]


async def test_adm_11_whoever_takes_it_along_is_on_record(world: World, operator: httpx2.AsyncClient) -> None:
    await operator.get(f"{PATH}/file")
    (carol,) = await world.rows("SELECT id FROM users WHERE username = 'carol'")
    (event,) = await events(world, Wanted(event="audit.exported"))
    assert (event.user_id, event.reason) == (carol["id"], "csv")


async def test_who_asks_for_the_headers_alone_took_nothing_along(
    world: World, operator: httpx2.AsyncClient
) -> None:
    told, taken = await operator.head(f"{PATH}/file"), await operator.get(f"{PATH}/file")
    assert told.status_code == 200
    assert told.text == ""
    for name in ("content-type", "content-disposition", "content-security-policy", "cache-control"):
        assert told.headers[name] == taken.headers[name]
    assert len(await events(world, Wanted(event="audit.exported"))) == 1


async def test_adm_6_no_secret_of_a_flow_is_in_it(world: World, operator: httpx2.AsyncClient) -> None:
    tokens = await world.tokens(await world.register())
    answer = await operator.get(f"{PATH}/file", params={"format": "jsonl"})
    assert "grant.approved" in answer.text
    for secret in (tokens["access_token"], tokens["refresh_token"]):
        assert secret not in answer.text
        assert secret not in (await operator.get(PATH)).text
