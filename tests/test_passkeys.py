"""Passkeys (WebAuthn Level 3): made under /account/security, and good alone at the sign-in page."""

import html
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.factors import (
    NEW_PASSKEY,
    SECURITY,
    WITH_PASSKEY,
    add_passkey,
    events,
    options_of,
    recovery_codes_of,
    sign_in_with,
)
from tests.front_channel import Standing, assert_html, change, no_effect
from tests.support.authenticator import (
    BACKED_UP,
    MAY_BE_BACKED_UP,
    PRESENT,
    RECOGNISED,
    Authenticator,
    to_text,
)
from tests.support.world import World
from tests.working_pages import form_to, person

pytest_plugins = ["tests.standing"]
MakeWorld = Callable[..., Awaitable[World]]


async def owner(world: World, passkey: Authenticator, username: str = "alice") -> httpx2.AsyncClient:
    """The browser in which someone made this passkey."""
    browser = await world.signed_in_browser(username)
    assert (await add_passkey(browser, passkey)).status_code == 200
    return browser


async def new_owner(world: World, passkey: Authenticator) -> None:
    """Somebody new made this passkey."""
    name = f"owner-{passkey.credential_id.hex()[:16]}"
    await world.create_user(name)
    await owner(world, passkey, name)


def change_page(page: httpx2.Response) -> str:
    """Where the first passkey of a person's page is changed."""
    found = re.search(rf'href="({SECURITY}/passkeys/change[^"]*)"', page.text)
    assert found
    return html.unescape(found[1])


async def passkeys_of(world: World, username: str = "alice") -> list[str]:
    """The names of someone's passkeys."""
    statement = (
        "SELECT passkeys.name FROM passkeys JOIN users ON users.id = user_id WHERE username = :username"
    )
    return [row["name"] for row in await world.rows(statement, username=username)]


# ------------------------------------------------------------------------------------------ registering
async def test_a_passkey_is_made_for_its_owner_and_recognises_them(world: World) -> None:
    browser = await world.signed_in_browser()
    asked = options_of((await browser.get(NEW_PASSKEY)).text, NEW_PASSKEY)
    [user] = await world.rows("SELECT id FROM users")
    assert asked["rp"]["id"] == "localhost"
    assert asked["user"] == {"id": to_text(user["id"].encode()), "name": "alice", "displayName": "Alice"}
    assert asked["attestation"] == "none"
    selection = asked["authenticatorSelection"]
    assert (selection["residentKey"], selection["userVerification"]) == ("required", "required")

    passkey = Authenticator()
    added = await add_passkey(browser, passkey, "  Blue\tkey ")

    assert len(recovery_codes_of(added.text)) == 10
    [row] = await world.rows("SELECT * FROM passkeys")
    assert row["credential_id"] == to_text(passkey.credential_id)
    assert (row["name"], row["sign_count"], row["last_used_at"]) == ("Blue key", 0, None)
    assert await events(world, "passkey.added") == [("ok", None)]
    page = await browser.get(SECURITY)
    assert "Blue key" in page.text
    assert options_of((await browser.get(NEW_PASSKEY)).text, NEW_PASSKEY)["excludeCredentials"] == [
        {"id": row["credential_id"], "type": "public-key", "transports": ["internal", "hybrid"]}
    ]


async def test_a_second_passkey_leaves_the_recovery_codes(world: World) -> None:
    browser = await owner(world, Authenticator())
    answer = await add_passkey(browser, Authenticator())
    assert answer.headers["location"] == f"{SECURITY}?done=passkey-added"
    assert "The passkey was added." in (await browser.get(answer.headers["location"])).text


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        pytest.param({"origin": "https://evil.example"}, "not_verified", id="another origin"),
        pytest.param({"origin": "http://localhost:8001"}, "not_verified", id="another port"),
        pytest.param({"origin": "http://127.0.0.1:8000"}, "not_verified", id="another name"),
        pytest.param({"flags": PRESENT}, "not_verified", id="nobody recognised"),
        pytest.param({"flags": RECOGNISED}, "not_verified", id="nobody present"),
        pytest.param({"flags": PRESENT | RECOGNISED | BACKED_UP}, "not_verified", id="impossible flags"),
        pytest.param({"credential_id": b"x" * 1024}, "not_verified", id="long credential id"),
        pytest.param({"client_data": {"type": "webauthn.get"}}, "not_verified", id="another ceremony"),
        pytest.param({"client_data": {"crossOrigin": True}}, "malformed", id="inside another page"),
        pytest.param(
            {"client_data": {"challenge": to_text(b"x" * 32)}}, "malformed", id="no challenge of ours"
        ),
        pytest.param({"client_data": {"challenge": 7}}, "malformed", id="challenge of another type"),
        pytest.param(
            {"client_data": {"challenge": to_text(b"99999999999.x.y")}}, "challenge", id="forged challenge"
        ),
        pytest.param({"client_data": {"challenge": to_text(b"99999999999")}}, "challenge", id="no tag"),
    ],
)
async def test_a_passkey_that_was_made_wrongly_is_not_kept(
    standing: Standing, wrong: dict[str, Any], reason: str
) -> None:
    answer = await add_passkey(standing.signed_in, Authenticator(**wrong))
    assert_html(answer, 400)
    assert await passkeys_of(standing.world) == []
    assert (await events(standing.world, "passkey.refused"))[-1] == ("access_denied", reason)


@pytest.mark.parametrize(
    "attestation",
    [
        pytest.param(
            {"fmt": "fido-u2f", "attStmt": {"sig": b"x", "x5c": [b"y"]}}, id="vouched for by its maker"
        ),
        pytest.param(
            {"fmt": "packed", "attStmt": {"alg": -7, "sig": b"x", "x5c": [b"y"]}}, id="a certificate"
        ),
        pytest.param({"fmt": "packed", "attStmt": {"alg": -7, "sig": b"x"}}, id="a wrong signature"),
        pytest.param({"fmt": "none", "attStmt": {"sig": b"x"}}, id="none, with something"),
        pytest.param({"fmt": "unheard-of", "attStmt": {}}, id="unknown kind"),
        pytest.param({"authData": b""}, id="no data"),
        pytest.param({"authData": b"x" * 200}, id="other data"),
    ],
)
async def test_an_attestation_that_nobody_asked_for_is_not_taken(
    standing: Standing, attestation: dict[str, Any]
) -> None:
    browser = standing.signed_in
    page = await browser.get(NEW_PASSKEY)
    answer = Authenticator().create(options_of(page.text, NEW_PASSKEY), attestation=attestation)
    form = form_to(page.text, NEW_PASSKEY)
    assert_html(await browser.post(form.action, data={**form.fields, "credential": answer}), 400)
    assert await passkeys_of(standing.world) == []


MALFORMED = [
    pytest.param("", id="nothing"),
    pytest.param("{", id="no JSON"),
    pytest.param("[" * 20_000, id="deep"),
    pytest.param("[]", id="no object"),
    pytest.param("{}", id="empty object"),
    pytest.param('{"id": 1, "rawId": 1, "type": 1, "response": 1}', id="other types"),
    pytest.param('{"id": "a", "rawId": "a", "type": "public-key", "response": {}}', id="no response"),
    pytest.param(
        '{"id": "ż", "rawId": "ż", "type": "public-key", "response": {"clientDataJSON": "ż",'
        ' "attestationObject": "ż", "authenticatorData": "ż", "signature": "ż"}}',
        id="letters outside ASCII",
    ),
    pytest.param(
        '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "W10",'
        ' "attestationObject": "oA", "authenticatorData": "AA", "signature": "AA"}}',
        id="empty parts",
    ),
]


@pytest.mark.parametrize("credential", MALFORMED)
async def test_an_answer_that_is_none_makes_no_passkey(standing: Standing, credential: str) -> None:
    browser = standing.signed_in
    form = form_to((await browser.get(NEW_PASSKEY)).text, NEW_PASSKEY)
    assert_html(await browser.post(form.action, data={**form.fields, "credential": credential}), 400)
    assert (await events(standing.world, "passkey.refused"))[-1] == ("access_denied", "malformed")


async def test_an_answer_is_taken_once(world: World) -> None:
    browser = await world.signed_in_browser()
    page = await browser.get(NEW_PASSKEY)
    form, asked = form_to(page.text, NEW_PASSKEY), options_of(page.text, NEW_PASSKEY)
    sent = [{**form.fields, "credential": Authenticator().create(asked)} for _ in range(2)]
    assert (await browser.post(form.action, data=sent[0])).status_code == 200
    # The session has another id by now, to which its forms are bound.
    anew = form_to((await browser.get(NEW_PASSKEY)).text, NEW_PASSKEY).fields
    assert_html(await browser.post(form.action, data={**anew, "credential": sent[1]["credential"]}), 400)
    assert await events(world, "passkey.refused") == [("access_denied", "answered_before")]


async def test_a_page_that_lay_open_too_long_makes_no_passkey(world: World) -> None:
    browser = await world.signed_in_browser()
    page = await browser.get(NEW_PASSKEY)
    form = form_to(page.text, NEW_PASSKEY)
    answer = Authenticator().create(options_of(page.text, NEW_PASSKEY))
    data = {**form.fields, "credential": answer}
    world.clock.advance(minutes=10)
    assert_html(await browser.post(form.action, data=data), 400)
    assert await events(world, "passkey.refused") == [("access_denied", "challenge")]
    # A second later the sign-in is too old as well.
    world.clock.advance(seconds=1)
    again = await browser.post(form.action, data=data)
    assert again.headers["location"] == "/login?next=/account/security&fresh=true"


async def test_the_answer_of_another_person_or_browser_makes_no_passkey(world: World) -> None:
    alice, mallory = await world.signed_in_browser(), await person(world, "mallory")
    asked = options_of((await mallory.get(NEW_PASSKEY)).text, NEW_PASSKEY)
    form = form_to((await alice.get(NEW_PASSKEY)).text, NEW_PASSKEY)
    data = {**form.fields, "credential": Authenticator().create(asked)}
    assert_html(await alice.post(form.action, data=data), 400)
    assert await events(world, "passkey.refused") == [("access_denied", "challenge")]


async def test_a_credential_id_is_unique(world: World) -> None:
    first = Authenticator()
    await owner(world, first)
    mallory = await person(world, "mallory")
    answer = await add_passkey(mallory, Authenticator(credential_id=first.credential_id))
    assert_html(answer, 400)
    [row] = await world.rows("SELECT username FROM passkeys JOIN users ON users.id = user_id")
    assert row["username"] == "alice"


async def test_nobody_keeps_passkeys_without_end(world: World) -> None:
    browser = await world.signed_in_browser()
    for _ in range(20):
        assert (await add_passkey(browser, Authenticator())).status_code in {200, 303}
    assert_html(await add_passkey(browser, Authenticator()), 400)
    assert len(await world.rows("SELECT * FROM passkeys")) == 20


# ------------------------------------------------------------------------------------------ signing in
@pytest.mark.parametrize(
    ("flags", "methods"),
    [
        pytest.param(PRESENT | RECOGNISED, "hwk mfa", id="on one device"),
        pytest.param(PRESENT | RECOGNISED | MAY_BE_BACKED_UP | BACKED_UP, "swk mfa", id="synchronised"),
    ],
)
async def test_a_passkey_signs_in_alone(world: World, flags: int, methods: str) -> None:
    passkey = Authenticator(flags=flags)
    await owner(world, passkey)
    await change(world, "DELETE FROM sessions")
    browser = world.browser()

    answer = await sign_in_with(browser, passkey)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    [session] = await world.rows("SELECT * FROM sessions")
    assert session["methods"] == methods
    [row] = await world.rows("SELECT * FROM passkeys")
    assert (row["sign_count"], row["last_used_at"] is not None) == (1, True)
    assert (await browser.get(SECURITY)).status_code == 200


async def test_a_passkey_signs_in_to_continue_to_the_app(world: World) -> None:
    passkey = Authenticator()
    await owner(world, passkey)
    browser = world.browser()
    parked = await world.authorize(browser, await world.register())
    answer = await sign_in_with(browser, passkey, at=parked.headers["location"])
    assert answer.headers["location"].startswith("/consent/")
    decided = await world.decide(browser, answer.headers["location"])
    assert "code=" in decided.headers["location"]


async def test_the_sign_in_page_asks_whom_it_does_not_know_and_names_nobody(world: World) -> None:
    await owner(world, Authenticator())
    async with no_effect(world):
        page = await world.browser().get("/login")
    asked = options_of(page.text, WITH_PASSKEY)
    assert (asked["rpId"], asked["allowCredentials"]) == ("localhost", [])
    assert asked["userVerification"] == "required"
    assert 'autocomplete="username webauthn"' in page.text
    assert await world.rows("SELECT * FROM passkey_challenges") != []  # of the registration
    assert len(await world.rows("SELECT * FROM passkey_challenges")) == 1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        pytest.param({"origin": "https://evil.example"}, "not_verified", id="another origin"),
        pytest.param({"flags": PRESENT}, "not_verified", id="nobody recognised"),
        pytest.param({"flags": RECOGNISED}, "not_verified", id="nobody present"),
        pytest.param({"client_data": {"type": "webauthn.create"}}, "not_verified", id="another ceremony"),
        pytest.param({"client_data": {"crossOrigin": True}}, "malformed", id="inside another page"),
        pytest.param({"client_data": {"challenge": to_text(b"7.x.y")}}, "challenge", id="forged challenge"),
        pytest.param({"user_handle": None}, "unknown_passkey", id="nobody named"),
        pytest.param({"user_handle": to_text(b"user_x")}, "unknown_passkey", id="somebody else named"),
        pytest.param({"credential_id": b"another"}, "unknown_passkey", id="unknown passkey"),
        pytest.param({"key": Authenticator().key}, "not_verified", id="another key"),
    ],
)
async def test_what_is_not_right_signs_nobody_in(
    standing: Standing, wrong: dict[str, Any], reason: str
) -> None:
    world, passkey = standing.world, Authenticator()
    await new_owner(world, passkey)
    for name, value in wrong.items():
        setattr(passkey, name, value)
    async with no_effect(world):
        answer = await sign_in_with(world.browser(), passkey)
    assert_html(answer, 401)
    assert "ostiary_session" not in answer.cookies
    assert (await events(world, "user.sign_in_refused"))[-1] == ("access_denied", reason)


@pytest.mark.parametrize("credential", MALFORMED)
async def test_an_answer_that_is_none_signs_nobody_in(standing: Standing, credential: str) -> None:
    browser = standing.world.browser()
    form = form_to((await browser.get("/login")).text, WITH_PASSKEY)
    assert_html(await browser.post(form.action, data={**form.fields, "credential": credential}), 401)
    assert (await events(standing.world, "user.sign_in_refused"))[-1] == ("access_denied", "malformed")
