"""One client's page: what it says, holds and went through, and what an operator does to it (ADM-6, ADM-7, ADM-11)."""

import re
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from app.audit import Origin
from app.authorization_server.housekeeping import remove_unused_clients
from tests.front_channel import Standing, assert_html, change
from tests.support.world import World, answer_of
from tests.test_admin_clients import HOSTILE, rows_of
from tests.working_pages import form_to, person, press

pytest_plugins = ["tests.standing"]
ONE = "/admin/clients/client"


def page_of(client: Mapping[str, Any]) -> str:
    """The address of its page."""
    return f"{ONE}?id={client['client_id']}"


def steps_of(page: httpx2.Response) -> list[str]:
    """The steps of the timeline as text, the latest first."""
    assert page.status_code == 200, page.text
    body = page.text.partition('<ol class="steps">')[2].partition("</ol>")[0]
    return [" ".join(re.sub(r"<[^>]+>", " ", f"<li{step}").split()) for step in body.split("<li")[1:]]


async def act(admin: httpx2.AsyncClient, client: Mapping[str, Any], action: str) -> httpx2.Response:
    """Press one of the page's buttons twice."""
    path = f"/admin/clients/{action}"
    return await press(admin, page_of(client), path, client_id=client["client_id"])


async def events_of(world: World, client: Mapping[str, Any]) -> list[str]:
    """What stands on record."""
    rows = await world.rows(
        "SELECT event FROM audit_events WHERE client_id = :id ORDER BY id", id=client["client_id"]
    )
    return [row["event"] for row in rows]


# ------------------------------------------------------------------------------------------ the timeline
async def test_the_timeline_tells_every_step_and_every_refusal_with_its_reference(world: World) -> None:
    client = await world.register(client_name="Traced")
    admin = await person(world, "carol", is_admin=True)
    code = await world.code(client)
    refused = (await world.redeem(client, code, code_verifier="w" * 43)).json()
    issued = (await world.redeem(client, code)).json()
    await world.refresh(client, issued["refresh_token"])
    browser = await world.signed_in_browser()
    asked = await world.authorize(browser, client)
    denied = await world.decide(browser, asked.headers["location"], "deny")
    assert answer_of(denied.headers["location"])["error"] == "access_denied"

    page = await admin.get(page_of(client))

    told = steps_of(page)[::-1]
    expected = [
        "Registered",
        "Authorization asked",
        "Consent given",
        "Refused at /oauth/token refused invalid_grant (pkce_mismatch)",
        "First token issued",
        "Authorization asked",
        "Consent denied refused access_denied",
    ]
    assert len(told) == len(expected), told
    for step, words in zip(told, expected, strict=True):
        assert step.startswith(words), (step, words)
    assert refused["error_reference"] in told[3]
    assert "from 203.0.113.7" in told[3]
    assert "Person: alice" in told[2]


@pytest.mark.parametrize(
    "spell",
    [str, str.lower, lambda text: text.replace("-", " "), lambda text: f" {text} "],
    ids=["as it is", "small", "with a blank", "between blanks"],
)
async def test_a_reference_of_a_json_error_leads_to_the_timeline(standing: Standing, spell: Any) -> None:
    world = standing.world
    client = await world.register(client_name="Lost")
    answer = await world.redeem(client, "code_unknown")
    reference = answer.json()["error_reference"]
    admin = await _admin(world)

    found = await admin.get("/admin/clients", params={"q": spell(reference)})

    assert found.status_code == 303
    page = await admin.get(found.headers["location"])
    (step,) = [step for step in steps_of(page) if "what you looked for" in step]
    assert reference in step
    assert "unknown_code" in step


async def test_the_reference_of_a_consent_page_leads_to_the_timeline(standing: Standing) -> None:
    world = standing.world
    client = await standing.client()
    asked = await world.authorize(standing.signed_in, client)
    page = await standing.signed_in.get(asked.headers["location"])
    (reference,) = re.findall(r"\b[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}\b", page.text)
    admin = await _admin(world)
    found = await admin.get("/admin/clients", params={"q": reference})
    assert found.headers["location"].startswith(f"{ONE}?id={client['client_id']}")


async def test_a_reference_that_nobody_was_given_is_searched_as_words(standing: Standing) -> None:
    admin = await _admin(standing.world)
    assert "No client here" in (await admin.get("/admin/clients?q=ZZZZ-ZZZZ")).text


async def test_a_long_timeline_is_read_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.routers.pages.admin.client.EVENTS_SHOWN", 3)
    client = await world.register()
    for number in range(6):
        world.clock.advance(seconds=number % 2)
        await world.redeem(client, f"code_{number}")
    admin = await person(world, "carol", is_admin=True)
    page, told = await admin.get(page_of(client)), []
    while True:
        told += steps_of(page)
        older = re.search(r'rel="next" href="([^"]*)"', page.text)
        if older is None:
            break
        page = await admin.get(older[1].replace("&amp;", "&"))
    assert len(told) == len(set(told)) == 7
    assert told[-1].startswith("Registered")
    assert 'rel="prev"' in page.text


# ------------------------------------------------------------------------------------------ what it shows
async def test_adm_6_no_secret_is_shown(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    tokens = await world.tokens(client)
    admin = await person(world, "carol", is_admin=True)
    page = (await admin.get(page_of(client))).text
    (row,) = await world.rows("SELECT secret_hash, registration_token_hash FROM clients")
    assert all(row.values())
    secrets = [client["client_secret"], client["registration_access_token"], *row.values()]
    secrets += [tokens["access_token"], tokens["refresh_token"]]
    for secret in secrets:
        assert secret not in page
    assert client["client_id"] in page


async def test_the_page_tells_how_grants_and_tokens_stand(world: World) -> None:
    client = await world.register()
    await world.tokens(client)
    revoked = await world.tokens(client)
    await world.revoke(client, revoked["refresh_token"])
    admin = await person(world, "carol", is_admin=True)
    page = await admin.get(page_of(client))
    text = " ".join(re.sub(r"<[^>]+>", " ", page.text).split())
    assert "Live grants 1" in text
    assert "Refresh tokens that work 1" in text
    assert "Revoked grants 1" in text
    stand = sorted(("revoked: client" in row, "live" in row) for row in rows_of(page))
    assert stand == [(False, True), (True, False)]


async def test_a_hostile_client_is_shown_and_does_nothing(standing: Standing) -> None:
    world = standing.world
    client = await world.register(client_name=HOSTILE, contacts=["</pre><script>alert(1)</script>"])
    page = await (await _admin(world)).get(page_of(client))
    assert_html(page, 200)
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
    assert "</pre><script>" not in page.text


@pytest.mark.parametrize(
    "query",
    ["", "?id=", "?id=client_x", "?id=%00&reference=x", "?id=x&id=y", f"?id={'x' * 700}", "?id=%F0%9F%98%80"],
)
async def test_adm_9_an_id_that_names_nothing_finds_nothing(standing: Standing, query: str) -> None:
    answer = await (await _admin(standing.world)).get(f"{ONE}{query}")
    assert answer.status_code in {400, 404}
    assert_html(answer, answer.status_code)


async def test_adm_9_a_place_of_no_event_is_refused(standing: Standing) -> None:
    client = await standing.client()
    admin = await _admin(standing.world)
    for after in (
        "WzEsIngiXQ",
        "WzEsIjk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5Il0",
    ):  # [1,"x"], [1,"99999999999999999999999"]
        assert (await admin.get(f"{page_of(client)}&after={after}")).status_code == 400


# ------------------------------------------------------------------------------------------ what is done to it
async def test_adm_7_a_disabled_client_gets_nothing_more(world: World) -> None:
    client = await world.register()
    tokens, admin = await world.tokens(client), await person(world, "carol", is_admin=True)
    assert (await world.call(tokens["access_token"])).status_code == 200

    answer = await act(admin, client, "disable")

    assert answer.headers["location"] == page_of(client)
    assert (await world.call(tokens["access_token"])).status_code == 401
    refused = await world.refresh(client, tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert_html(await world.authorize(await world.signed_in_browser(), client), 400)

    await act(admin, client, "enable")
    assert (await world.call(tokens["access_token"])).status_code == 401
    again = await world.tokens(client)
    assert (await world.call(again["access_token"])).status_code == 200


async def test_a_deleted_client_is_gone_and_its_history_stays(world: World) -> None:
    client = await world.register()
    tokens, admin = await world.tokens(client), await person(world, "carol", is_admin=True)
    answer = await act(admin, client, "delete")
    assert answer.headers["location"] == "/admin/clients"
    assert await world.rows("SELECT * FROM clients") == []
    assert (await world.call(tokens["access_token"])).status_code == 401
    told = steps_of(await admin.get(page_of(client)))
    assert any(step.startswith("Deleted") for step in told)
    assert told[-1].startswith("Registered")


async def test_every_grant_of_a_client_is_revoked_at_once(world: World) -> None:
    client, admin = await world.register(), await person(world, "carol", is_admin=True)
    tokens = [await world.tokens(client), await world.tokens(client, "carol")]
    await act(admin, client, "revoke-grants")
    for one in tokens:
        assert (await world.call(one["access_token"])).status_code == 401
    assert (await world.tokens(client))["access_token"]


async def test_one_grant_is_revoked_and_the_others_stay(world: World) -> None:
    client, admin = await world.register(), await person(world, "carol", is_admin=True)
    first = await world.tokens(client)
    world.clock.advance(seconds=1)
    second = await world.tokens(client)
    answer = await press(
        admin, page_of(client), "/admin/grants/revoke", back="client"
    )  # the newest is on top
    assert answer.headers["location"] == page_of(client)
    assert (await world.call(second["access_token"])).status_code == 401
    assert (await world.call(first["access_token"])).status_code == 200


async def test_an_approved_client_is_vouched_for_until_it_says_something_new(world: World) -> None:
    client, admin = await world.register(client_name="Good"), await person(world, "carol", is_admin=True)
    await act(admin, client, "approve")
    assert await _approved(world)
    asked = await world.authorize(admin, client)
    page = await admin.get(asked.headers["location"])
    # People are told, and asked all the same.
    assert "known to this server" in page.text
    await act(admin, client, "withdraw-approval")
    assert not await _approved(world)
    assert "known to this server" not in (await admin.get(asked.headers["location"])).text
    await act(admin, client, "approve")
    body = {name: client[name] for name in ("client_id", "redirect_uris", "token_endpoint_auth_method")}
    changed = await world.http.put(
        client["registration_client_uri"],
        json={**body, "client_name": "Evil"},
        headers={"authorization": f"Bearer {client['registration_access_token']}"},
    )
    assert changed.status_code == 200, changed.text
    assert not await _approved(world)
    assert (await events_of(world, client))[1:] == [
        "client.approved",
        "authorization.requested",
        "client.approval_withdrawn",
        "client.approved",
        "client.updated",
        "client.approval_withdrawn",
    ]


async def test_an_approved_client_never_goes_by_itself(world: World) -> None:
    good, _other = await world.register(client_name="Good"), await world.register(client_name="Other")
    admin = await person(world, "carol", is_admin=True)
    form = form_to((await admin.get(page_of(good))).text, "/admin/clients/approve")
    for _ in range(2):  # pressed twice
        data = {**form.fields, "client_id": good["client_id"]}
        assert (await admin.post(form.action, data=data)).status_code == 303
    assert (await events_of(world, good)).count("client.approved") == 1
    world.clock.advance(days=400)
    async with world.database.transaction() as tx:
        await remove_unused_clients(tx, world.services.policy, Origin(world.clock.now(), "test"))
    assert [row["client_name"] for row in await world.rows("SELECT client_name FROM clients")] == ["Good"]


async def test_adm_11_every_change_names_who_did_it_from_where(world: World) -> None:
    client, admin = await world.register(), await person(world, "carol", is_admin=True)
    await world.tokens(client)
    (carol,) = await world.rows("SELECT id FROM users WHERE username = 'carol'")
    for action in ("approve", "withdraw-approval", "revoke-grants", "disable", "enable", "delete"):
        await act(admin, client, action)
    rows = await world.rows(
        "SELECT event, actor_id, source FROM audit_events WHERE actor_id IS NOT NULL ORDER BY id"
    )
    assert [row["event"] for row in rows] == [
        "client.approved",
        "client.approval_withdrawn",
        "grant.revoked",
        "client.disabled",
        "client.enabled",
        "client.deleted",
    ]
    assert {(row["actor_id"], row["source"]) for row in rows} == {(carol["id"], "203.0.113.7")}


async def test_an_auditor_looks_and_changes_nothing(world: World) -> None:
    client = await world.register()
    await world.tokens(client)
    auditor, admin = await person(world, "dave", is_auditor=True), await person(world, "carol", is_admin=True)
    for address in (page_of(client), "/admin/grants"):
        page = await auditor.get(address)
        assert_html(page, 200)
        assert 'method="post"' not in page.text.replace('action="/logout"', "").split("<main")[1]
    # Nor with a form that an admin's page made.
    data = {"csrf_token": "x" * 43, "client_id": client["client_id"]}
    assert_html(await auditor.post("/admin/clients/disable", data=data), 403)
    assert (await admin.get(page_of(client))).status_code == 200


async def test_what_is_gone_meanwhile_is_told(world: World) -> None:
    client, admin = await world.register(), await person(world, "carol", is_admin=True)
    page = (await admin.get(page_of(client))).text
    await change(world, "DELETE FROM clients")
    token = re.findall(r'name="csrf_token"\s+value="([^"]+)"', page)[-1]
    data = {"csrf_token": token, "client_id": client["client_id"]}
    assert_html(await admin.post("/admin/clients/delete", data=data), 404)


async def _approved(world: World) -> bool:
    (row,) = await world.rows("SELECT approved_at FROM clients")
    return row["approved_at"] is not None


async def _admin(world: World) -> httpx2.AsyncClient:
    if not await world.rows("SELECT id FROM users WHERE username = 'carol'"):
        await world.create_user("carol", is_admin=True)
    return await world.signed_in_browser("carol")
