"""A new sign-in (`prompt=login`, `max_age`: OpenID Connect Core §3.1.2.1): no old session passes for a new one."""

from datetime import timedelta

import pytest

from app.authorization_server.authentication import PROMPTS
from tests.front_channel import assert_html, assert_page, change, good_consent_token, is_consent, no_effect
from tests.support.world import World, answer_of, forms_of
from tests.test_access_tokens import segments
from tests.test_openid_requests import OPENID, fields_of

SCOPE = "mcp profile email offline_access"

LATER = [
    pytest.param({"prompt": "login"}, id="prompt login"),
    pytest.param({"prompt": "login consent"}, id="prompt login consent"),
    pytest.param({"prompt": "login select_account"}, id="prompt login select_account"),
    pytest.param({"max_age": "0"}, id="max_age 0"),
    pytest.param({"max_age": "00000000000"}, id="max_age many zeros"),
    pytest.param({"max_age": "59"}, id="max_age over"),
    pytest.param({"max_age": "600", "prompt": "login"}, id="max_age kept, prompt login"),
]


@pytest.mark.parametrize("changes", LATER)
async def test_a_person_who_is_signed_in_signs_in_again(world: World, changes: dict[str, str]) -> None:
    client, browser = await world.register(), await world.signed_in_browser()
    world.clock.advance(seconds=60)
    asked = await world.authorize(browser, client, scope=OPENID, nonce="n", **changes)
    assert asked.headers["location"].startswith("/login?request=")

    page = await browser.get(asked.headers["location"])
    assert_html(page, 200)
    assert "sign in again" in page.text
    assert fields_of(page)["username"] == "alice"
    world.clock.advance(seconds=5)
    signed_in = await world.sign_in(browser, at=asked.headers["location"])
    assert is_consent(signed_in)
    answer = await world.decide(browser, signed_in.headers["location"])
    tokens = (await world.redeem(client, answer_of(answer.headers["location"])["code"])).json()
    assert segments(tokens["id_token"])[1]["auth_time"] == int(world.clock.now().timestamp())
    # Whoever was signed in before is so no longer.
    assert len(await world.rows("SELECT * FROM sessions")) == 1


@pytest.mark.parametrize("changes", LATER)
async def test_the_old_session_reaches_no_question(world: World, changes: dict[str, str]) -> None:
    """Not by its address, not through the sign-in page, and not in another tab."""
    client, browser = await world.register(), await world.signed_in_browser()
    world.clock.advance(seconds=60)
    asked = await world.authorize(browser, client, scope=OPENID, **changes)
    request_id = asked.headers["location"].partition("request=")[2].partition("&")[0]
    for _ in range(2):
        turned_away = await browser.get(f"/consent/{request_id}")
        assert turned_away.headers["location"] == f"/login?request={request_id}"
        for flags in ("", "&switch=true", "&switch=false"):
            page = await browser.get(f"/login?request={request_id}{flags}")
            assert_html(page, 200)
            assert f"/consent/{request_id}" not in page.text
        world.clock.advance(seconds=60)


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_the_old_session_answers_nothing_without_the_form_of_the_page(
    world: World, decision: str
) -> None:
    """The attack: the form of a question that the same tab was shown, sent to the request that demands more."""
    client, browser = await world.register(), await world.signed_in_browser()
    plain = (await world.authorize(browser, client)).headers["location"]
    form = forms_of((await browser.get(plain)).text)[0]
    world.clock.advance(seconds=60)
    asked = await world.authorize(browser, client, prompt="login")
    request_id = asked.headers["location"].partition("request=")[2]
    async with no_effect(world):
        answer = await browser.post(f"/consent/{request_id}", data={**form.fields, "decision": decision})
    assert_page(answer, status=403)


async def test_the_old_session_approves_nothing_even_with_a_good_form(world: World) -> None:
    """The last door: the rule itself, should a page ever hand out the form too early."""
    client, browser = await world.register(), await world.signed_in_browser()
    world.clock.advance(seconds=60)
    asked = await world.authorize(browser, client, prompt="login")
    request_id = asked.headers["location"].partition("request=")[2]
    session = (await world.rows("SELECT id_hash FROM sessions"))[0]["id_hash"]
    token = await good_consent_token(world, session, request_id, client["client_id"], SCOPE)
    async with no_effect(world):
        answer = await browser.post(
            f"/consent/{request_id}", data={"csrf_token": token, "decision": "approve"}
        )
    assert_page(answer)
    # The request still waits for a sign-in that is enough.
    signed_in = await world.sign_in(browser, at=asked.headers["location"])
    assert "code" in answer_of(
        (await world.decide(browser, signed_in.headers["location"])).headers["location"]
    )


@pytest.mark.parametrize("changes", [{"prompt": "login"}, {"max_age": "0"}])
@pytest.mark.parametrize("ahead", [-30, 0, 30])
async def test_rac_11_clocks_of_replicas_that_differ_let_no_old_session_pass_and_stop_nobody(
    world: World, changes: dict[str, str], ahead: int
) -> None:
    """The sign-in reached a replica whose clock is ahead or behind, and so does the next."""
    client, browser = await world.register(), await world.signed_in_browser()
    await change(
        world, "UPDATE sessions SET created_at = :at", at=world.clock.now() + timedelta(seconds=ahead)
    )
    asked = await world.authorize(browser, client, scope=OPENID, **changes)
    assert asked.headers["location"].startswith("/login?request=")
    world.clock.advance(seconds=-5)
    signed_in = await world.sign_in(browser, at=asked.headers["location"])
    answer = await world.decide(browser, signed_in.headers["location"])
    assert "code" in answer_of(answer.headers["location"])


async def test_max_age_that_is_kept_asks_for_nothing(world: World) -> None:
    client, browser = await world.register(), await world.signed_in_browser()
    world.clock.advance(seconds=60)
    parked = await world.authorize(browser, client, scope=OPENID, max_age="60")
    assert is_consent(parked)
    # What was young enough when the app asked does not grow too old while the person reads.
    world.clock.advance(minutes=5)
    answer = await world.decide(browser, parked.headers["location"])
    tokens = (await world.redeem(client, answer_of(answer.headers["location"])["code"])).json()
    assert segments(tokens["id_token"])[1]["auth_time"] == int(world.clock.now().timestamp()) - 360


async def test_someone_who_is_not_signed_in_signs_in_once(world: World) -> None:
    client, browser = await world.register(), world.browser()
    parked = await world.authorize(browser, client, scope=OPENID, prompt="login", max_age="0")
    world.clock.advance(seconds=30)
    signed_in = await world.sign_in(browser, at=parked.headers["location"])
    answer = await world.decide(browser, signed_in.headers["location"])
    assert "code" in answer_of(answer.headers["location"])


async def test_lgn_13_a_second_tab_goes_on_after_the_new_sign_in(world: World) -> None:
    """Two requests that demand a new sign-in, one that does not: one sign-in serves all, each to its own question."""
    client, browser = await world.register(), await world.signed_in_browser()
    plain = (await world.authorize(browser, client)).headers["location"]
    world.clock.advance(seconds=60)
    asked = [
        (await world.authorize(browser, client, scope=OPENID, prompt="login", nonce=f"n{n}")).headers[
            "location"
        ]
        for n in range(2)
    ]
    world.clock.advance(seconds=5)
    signed_in = await world.sign_in(browser, at=asked[1])
    assert signed_in.headers["location"] == "/consent/" + asked[1].partition("request=")[2]
    onward = await browser.get(asked[0])
    assert onward.headers["location"] == "/consent/" + asked[0].partition("request=")[2]
    for number, address in ((1, signed_in.headers["location"]), (0, onward.headers["location"])):
        code = answer_of((await world.decide(browser, address)).headers["location"])["code"]
        told = segments((await world.redeem(client, code)).json()["id_token"])[1]
        assert told["nonce"] == f"n{number}"
    assert "code" in answer_of((await world.decide(browser, plain)).headers["location"])


async def test_a_new_sign_in_for_one_request_is_too_old_for_a_later_one(world: World) -> None:
    client, browser = await world.register(), world.browser()
    first = await world.authorize(browser, client, prompt="login")
    await world.sign_in(browser, at=first.headers["location"])
    world.clock.advance(seconds=1)
    second = await world.authorize(browser, client, prompt="login")
    assert second.headers["location"].startswith("/login?request=")


async def test_the_demand_does_not_reach_other_requests(world: World) -> None:
    client, browser = await world.register(), await world.signed_in_browser()
    world.clock.advance(seconds=60)
    await world.authorize(browser, client, prompt="login")
    assert is_consent(await world.authorize(browser, client))


@pytest.mark.parametrize("prompt", [*(p for p in PROMPTS if p != "none"), "login consent select_account"])
async def test_without_openid_the_prompts_mean_the_same(world: World, prompt: str) -> None:
    """MCP clients send `prompt=consent` with `offline_access`."""
    client, browser = await world.register(), await world.signed_in_browser()
    world.clock.advance(seconds=60)
    answer = await world.authorize(browser, client, prompt=prompt)
    assert answer.headers["location"].startswith("/consent/" if prompt == "consent" else "/login?request=")
