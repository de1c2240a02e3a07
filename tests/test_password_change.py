"""Whoever knows the present password chooses another one. LGN-11."""

import asyncio

import httpx2
import pytest

from tests.front_channel import assert_html
from tests.support.world import PASSWORD, World
from tests.working_pages import form_to

PAGE = "/account/security"
PATH = "/account/security/password"
NEW = "another long enough password"


async def change(
    browser: httpx2.AsyncClient,
    current: str = PASSWORD,
    new: str = NEW,
    again: str | None = None,
    **ticked: str,
) -> httpx2.Response:
    """Fill in the form and send it; `sign_out="1"`, `disconnect="1"` tick the boxes."""
    form = form_to((await browser.get(PAGE)).text, PATH)
    fields = {name: value for name, value in form.fields.items() if name not in {"sign_out", "disconnect"}}
    typed = {"current": current, "new": new, "again": new if again is None else again}
    return await browser.post(PATH, data={**fields, **typed, **ticked})


async def events(world: World) -> list[str]:
    rows = await world.rows("SELECT event FROM audit_events WHERE event LIKE 'user.password%' ORDER BY id")
    return [row["event"] for row in rows]


async def test_lgn_11_the_new_password_signs_in_and_the_old_one_no_longer(world: World) -> None:
    browser = await world.signed_in_browser()
    answer = await change(browser)
    assert answer.headers["location"] == f"{PAGE}?done=password-changed"
    assert "Your password was changed." in (await browser.get(answer.headers["location"])).text
    assert (await world.sign_in(world.browser())).status_code == 401
    assert (await world.sign_in(world.browser(), password=NEW)).status_code == 303
    assert await events(world) == ["user.password_changed"]


@pytest.mark.parametrize(
    ("typed", "status", "says"),
    [
        pytest.param(
            {"current": "wrong horse battery"}, 401, "present password is not right", id="LGN-11 wrong"
        ),
        pytest.param({"current": ""}, 401, "present password is not right", id="none"),
        pytest.param(
            {"again": "something else entirely"}, 422, "not the same twice", id="not the same twice"
        ),
        pytest.param({"new": "short"}, 422, "A password has ", id="too short"),
        pytest.param({"new": "x" * 5000}, 422, "A password has ", id="too long"),
    ],
)
async def test_lgn_11_what_is_not_right_changes_nothing(
    world: World, typed: dict[str, str], status: int, says: str
) -> None:
    browser, other = await world.signed_in_browser(), await world.signed_in_browser()
    before = await world.rows("SELECT password_hash FROM users")
    answer = await change(browser, **typed, sign_out="1", disconnect="1")
    assert_html(answer, status)
    assert says in answer.text
    assert await world.rows("SELECT password_hash FROM users") == before
    assert (await other.get(PAGE)).status_code == 200


@pytest.mark.parametrize("ticked", [True, False])
async def test_lgn_11_other_browsers_are_signed_out_where_that_is_wished(world: World, ticked: bool) -> None:
    browser, other = await world.signed_in_browser(), await world.signed_in_browser()
    await change(browser, **({"sign_out": "1"} if ticked else {}))
    assert (await browser.get(PAGE)).status_code == 200
    assert (await other.get(PAGE)).status_code == (303 if ticked else 200)


@pytest.mark.parametrize("ticked", [True, False])
async def test_lgn_11_apps_are_disconnected_where_that_is_wished(world: World, ticked: bool) -> None:
    tokens = await world.tokens(client := await world.register())
    await change(await world.signed_in_browser(), **({"disconnect": "1"} if ticked else {}))
    assert (await world.call(tokens["access_token"])).status_code == (401 if ticked else 200)
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == (400 if ticked else 200)


async def test_the_page_proposes_to_sign_out_elsewhere(world: World) -> None:
    page = (await (await world.signed_in_browser()).get(PAGE)).text
    box = page.partition('name="sign_out"')[2].partition("/>")[0]
    assert "checked" in box
    assert "checked" not in page.partition('name="disconnect"')[2].partition("/>")[0]


async def test_lgn_2_guesses_of_the_present_password_are_limited(world: World) -> None:
    browser = await world.signed_in_browser()
    statuses = [
        (await change(browser, current=f"guess number {number:02}")).status_code for number in range(30)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert "retry-after" in (await change(browser)).headers


async def test_of_two_changes_at_once_one_counts(world: World) -> None:
    browsers = [await world.signed_in_browser() for _ in range(5)]
    answers = await asyncio.gather(
        *(change(browser, new=f"{NEW} {number}") for number, browser in enumerate(browsers))
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 303
    # The others find another password: before they checked theirs, or after.
    assert set(statuses[1:]) <= {401, 409}
    assert (await events(world)).count("user.password_changed") == 1


async def test_who_has_no_password_gets_no_form(world: World) -> None:
    browser = await world.signed_in_browser()
    form = form_to((await browser.get(PAGE)).text, PATH)
    async with world.database.transaction() as tx:
        await tx.connection.exec_driver_sql("UPDATE users SET password_hash = NULL")
    assert PATH not in (await browser.get(PAGE)).text
    typed = {"current": "", "new": NEW, "again": NEW}
    assert_html(await browser.post(PATH, data={**form.fields, **typed}), 401)
