"""Who gets in where someone works: ADM-1, ADM-2, ADM-4; and sessions, the first such page."""

import httpx2
import pytest

from tests.front_channel import Standing, assert_html
from tests.support.world import World, forms_of
from tests.working_pages import form_to, person, press, working_routes

pytest_plugins = ["tests.standing"]
AREAS = ("/account", "/admin")


async def test_adm_1_nobody_sees_a_page_of_these_without_signing_in(standing: Standing) -> None:
    routes = list(working_routes(standing.world, *AREAS))
    assert ("GET", "/account/sessions") in routes
    for method, address in routes:
        answer = await standing.world.browser().request(method, address)
        if method == "POST" and answer.status_code == 403:
            continue  # a form that is none of ours is refused before anyone asks who sent it
        assert answer.status_code == 303, f"{method} {address}"
        assert answer.headers["location"].startswith("/login"), f"{method} {address}"
        assert not answer.text


async def test_adm_2_who_is_no_operator_gets_nothing_of_the_operators_pages(standing: Standing) -> None:
    for method, address in working_routes(standing.world, "/admin"):
        assert_html(await standing.signed_in.request(method, address), 403)


async def test_adm_4_nothing_changes_without_the_forms_own_token(standing: Standing) -> None:
    admin = await person(standing.world, "carol", is_admin=True)
    before = await standing.world.counts()
    routes = list(working_routes(standing.world, *AREAS))
    for method, address in routes:
        if method == "POST":
            for data in ({}, {"csrf_token": ""}, {"csrf_token": "x" * 43}):
                assert_html(await admin.post(address, data=data), 403)
            looked_at = await admin.get(address)
            assert looked_at.status_code in {404, 405} or ("GET", address) in routes, address
    assert await standing.world.counts() == before


async def test_a_form_of_one_page_works_on_no_other(standing: Standing) -> None:
    page = await standing.signed_in.get("/account/sessions")
    token = form_to(page.text, "/account/sessions/end").fields["csrf_token"]
    answer = await standing.signed_in.post("/account/sessions/end-others", data={"csrf_token": token})
    assert_html(answer, 403)


async def test_a_form_of_another_session_works_not(standing: Standing) -> None:
    page = await standing.signed_in.get("/account/sessions")
    form = form_to(page.text, "/account/sessions/end")
    other = await standing.world.signed_in_browser()
    assert_html(await other.post(form.action, data=form.fields), 403)


async def test_another_site_can_not_send_a_form(standing: Standing) -> None:
    page = await standing.signed_in.get("/account/sessions")
    form = form_to(page.text, "/account/sessions/end")
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert_html(await standing.signed_in.post(form.action, data=form.fields, headers=headers), 403)


async def test_signing_in_leads_back_to_the_page(standing: Standing) -> None:
    browser = standing.world.browser()
    sent = await browser.get("/account/sessions")
    assert sent.headers["location"] == "/login?next=/account/sessions"
    answer = await standing.world.sign_in(browser, at=sent.headers["location"])
    assert answer.headers["location"] == "/account/sessions"


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example/account",
        "https://evil.example/account",
        "/account/../../evil",
        "/account//evil.example",
        "/account\\evil",
        "/accountant",
        "/authorize?client_id=x",
        "/account?next=https://evil.example",
        "/account\r\nlocation: x",
    ],
)
async def test_signing_in_leads_nowhere_else(standing: Standing, address: str) -> None:
    browser = standing.world.browser()
    page = await browser.get("/login", params={"next": address})
    form = next(form for form in forms_of(page.text) if "password" in form.fields)
    assert "next" not in form.fields
    # Nor does a form that someone made himself.
    data = {**form.fields, "username": "alice", "password": "a long enough password", "next": address}
    answer = await browser.post("/login", data=data)
    assert answer.headers.get("location", "/") == "/"


def _sessions(page: httpx2.Response) -> int:
    return sum(form.action == "/account/sessions/end" for form in forms_of(page.text))


async def test_a_browser_elsewhere_is_signed_out_from_here(world: World) -> None:
    here, there = await world.signed_in_browser(), await world.signed_in_browser()
    page = await here.get("/account/sessions")
    assert _sessions(page) == 2
    hashes = {row["id_hash"] for row in await world.rows("SELECT id_hash FROM sessions")}
    own = form_to(page.text, "/account/sessions/end").fields["session"]  # this browser comes first
    (other,) = hashes - {own}

    answer = await press(here, "/account/sessions", "/account/sessions/end", session=other)

    assert answer.headers["location"] == "/account/sessions"
    assert (await there.get("/account/sessions")).status_code == 303
    assert _sessions(await here.get("/account/sessions")) == 1


async def test_every_other_browser_is_signed_out_at_once(world: World) -> None:
    here, *others = [await world.signed_in_browser() for _ in range(3)]

    await press(here, "/account/sessions", "/account/sessions/end-others")

    assert [(await other.get("/account/sessions")).status_code for other in others] == [303, 303]
    assert (await here.get("/account/sessions")).status_code == 200
    events = [row["event"] for row in await world.rows("SELECT event FROM audit_events ORDER BY id")]
    assert events[-1] == "user.signed_out_elsewhere"


async def test_nobody_ends_the_session_of_someone_else(world: World) -> None:
    alice, mallory = await world.signed_in_browser(), await person(world, "mallory")
    page = await alice.get("/account/sessions")
    own = form_to(page.text, "/account/sessions/end").fields["session"]

    page = await mallory.get("/account/sessions")
    form = form_to(page.text, "/account/sessions/end")
    await mallory.post(form.action, data={**form.fields, "session": own})

    assert (await alice.get("/account/sessions")).status_code == 200


async def test_ending_the_session_of_this_browser_signs_out(world: World) -> None:
    browser = await world.signed_in_browser()
    await press(browser, "/account/sessions", "/account/sessions/end")
    assert (await browser.get("/account/sessions")).headers["location"].startswith("/login")
    assert await world.rows("SELECT * FROM sessions") == []


async def test_a_session_that_ended_by_time_is_not_listed(world: World) -> None:
    await world.signed_in_browser()
    world.clock.advance(hours=13)
    assert _sessions(await (await world.signed_in_browser()).get("/account/sessions")) == 1
