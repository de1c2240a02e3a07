"""The userinfo endpoint (OpenID Connect Core §5.3): who signed in, for the holder of a token with `openid`."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from app.oauth import jwt
from tests import back_channel
from tests.back_channel import rows_of
from tests.support.world import World
from tests.test_access_tokens import segments, signing_key

USERINFO = "/oauth/userinfo"
OPENID = "mcp openid profile email offline_access"


def bearer(token: str, scheme: str = "Bearer") -> dict[str, str]:
    """The header that carries a token."""
    return {"authorization": f"{scheme} {token}"}


async def ask(world: World, token: str, method: str = "GET") -> httpx2.Response:
    """Ask who the token speaks for."""
    return await world.http.request(method, USERINFO, headers=bearer(token))


async def assert_refused(world: World, asked: Any, status: int = 401, error: str = "invalid_token") -> None:
    """RFC 6750 §3: the challenge names the error; nobody keeps the answer, nothing changes, and it is counted."""
    before, recorded = await rows_of(world), await back_channel.records_of(world)
    answer = await asked
    assert answer.status_code == status, answer.text
    assert answer.headers["www-authenticate"].startswith(f'Bearer error="{error}"')
    assert answer.json()["error"] == error
    assert back_channel.DESCRIPTION.fullmatch(answer.json()["error_description"])
    assert answer.headers["cache-control"] == "no-store"
    assert await rows_of(world) == before
    assert await back_channel.records_of(world) > recorded


# ------------------------------------------------------------------------------------------ what is told
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("scope", "told"),
    [
        pytest.param("openid", {}, id="5.4 openid alone"),
        pytest.param("openid mcp offline_access", {}, id="5.4 scopes that open no claims"),
        pytest.param("openid profile", {"preferred_username": "alice", "name": "Alice"}, id="5.4 profile"),
        pytest.param("openid email", {"email": "alice@example.com"}, id="5.4 email"),
        pytest.param(
            "openid profile email",
            {"preferred_username": "alice", "name": "Alice", "email": "alice@example.com"},
            id="5.4 both",
        ),
    ],
)
async def test_claims_follow_the_granted_scope_and_sub_is_always_there(
    world: World, method: str, scope: str, told: dict[str, str]
) -> None:
    tokens = await world.tokens(await world.register(), scope=scope)

    answer = await ask(world, tokens["access_token"], method)

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {"sub": segments(tokens["access_token"])[1]["sub"], **told}


async def test_what_is_not_known_is_not_told(world: World) -> None:
    """§5.3.2: a claim without a value is left out; nothing verified the address, so nothing says that it is."""
    await world.create_user("bob", email=None)
    client = await world.register()
    told = (await ask(world, (await world.tokens(client, "bob", scope=OPENID))["access_token"])).json()
    assert set(told) == {"sub", "preferred_username", "name"}
    told = (await ask(world, (await world.tokens(client, scope=OPENID))["access_token"])).json()
    assert set(told) == {"sub", "preferred_username", "name", "email"}


async def test_what_is_told_is_what_is_known_now(world: World) -> None:
    token = (await world.tokens(await world.register(), scope=OPENID))["access_token"]
    async with world.database.transaction() as tx:
        await tx.connection.exec_driver_sql("UPDATE users SET name = 'Alice Liddell'")
    assert (await ask(world, token)).json()["name"] == "Alice Liddell"


async def test_the_subject_is_one_for_all_clients(world: World) -> None:
    """§8: subject type public."""
    subjects = {
        (await ask(world, (await world.tokens(await world.register(), scope=OPENID))["access_token"])).json()[
            "sub"
        ]
        for _ in range(2)
    }
    assert len(subjects) == 1


async def test_a_token_for_a_resource_elsewhere_is_taken_too(make_world: Callable[..., Any]) -> None:
    """The audience names the resource; this endpoint asks who issued the token and what was granted."""
    elsewhere = {"url": "https://files.example/mcp", "name": "Files", "scopes": ["profile"]}
    world = await make_world(resources=[elsewhere | {"required_scopes": []}])
    await world.create_user("alice")
    client = await world.register()
    tokens = await world.tokens(client, scope="openid profile", resource="https://files.example/mcp")
    assert (await ask(world, tokens["access_token"])).json()["name"] == "Alice"


@pytest.mark.parametrize("spelling", ["bearer", "BEARER", "Bearer "])
async def test_the_scheme_is_read_in_any_case(world: World, spelling: str) -> None:
    token = (await world.tokens(await world.register(), scope=OPENID))["access_token"]
    answer = await world.http.get(USERINFO, headers=bearer(token, spelling))
    assert answer.status_code == 200


# ------------------------------------------------------------------------------------------ what is refused
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"headers": {"authorization": "Bearer"}}, id="no token"),
        pytest.param({"headers": {"authorization": "Bearer  "}}, id="an empty token"),
        pytest.param({"headers": {"authorization": "Basic YTpi"}}, id="another scheme"),
        pytest.param({"params": {"access_token": "TOKEN"}}, id="OAuth 2.1 5.1 in the address"),
    ],
)
async def test_without_a_token_the_challenge_names_no_error(
    world: World, method: str, sent: dict[str, Any]
) -> None:
    """RFC 6750 §3.1."""
    token = (await world.tokens(await world.register(), scope=OPENID))["access_token"]
    sent = {kind: {n: v.replace("TOKEN", token) for n, v in kept.items()} for kind, kept in sent.items()}
    recorded = await back_channel.records_of(world)
    answer = await world.http.request(method, USERINFO, **sent)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["cache-control"] == "no-store"
    assert token not in answer.text
    assert await back_channel.records_of(world) > recorded


async def test_a_token_in_a_form_is_not_looked_for(world: World) -> None:
    token = (await world.tokens(await world.register(), scope=OPENID))["access_token"]
    answer = await world.http.post(USERINFO, data={"access_token": token})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_two_authorization_headers_are_refused(world: World) -> None:
    token = (await world.tokens(await world.register(), scope=OPENID))["access_token"]
    header = ("authorization", f"Bearer {token}")
    back_channel.assert_error(
        await world.http.get(USERINFO, headers=[header, header]), 400, "invalid_request"
    )


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_are_not_allowed(world: World, method: str) -> None:
    token = (await world.tokens(await world.register(), scope=OPENID))["access_token"]
    answer = await ask(world, token, method)
    assert answer.status_code == 405
    assert {"GET", "POST"} & {name.strip() for name in answer.headers["allow"].split(",")}


async def test_a_token_without_openid_allows_too_little(world: World) -> None:
    """RFC 6750 §3.1: 403, and what would be needed."""
    tokens = await world.tokens(await world.register(), scope="mcp profile email offline_access")
    await assert_refused(world, ask(world, tokens["access_token"]), 403, "insufficient_scope")
    challenge = (await ask(world, tokens["access_token"])).headers["www-authenticate"]
    assert challenge.endswith(', scope="openid"')


async def test_ref_5_a_token_that_was_narrowed_opens_no_more_than_its_scope(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client, scope=OPENID)
    narrow = (await world.refresh(client, tokens["refresh_token"], scope="openid email")).json()
    assert set((await ask(world, narrow["access_token"])).json()) == {"sub", "email"}
    without = (await world.refresh(client, narrow["refresh_token"], scope="mcp profile")).json()
    assert (await ask(world, without["access_token"])).status_code == 403


async def test_a_token_that_is_over_is_refused(world: World) -> None:
    token = (await world.tokens(await world.register(), scope=OPENID))["access_token"]
    world.clock.advance(minutes=15)
    await assert_refused(world, ask(world, token))


async def test_a_revoked_token_is_refused(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client, scope=OPENID)
    await world.revoke(client, tokens["access_token"])
    await assert_refused(world, ask(world, tokens["access_token"]))


async def test_a_token_of_a_revoked_grant_is_refused(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope=OPENID)
    await back_channel.revoke_grants(world)
    await assert_refused(world, ask(world, tokens["access_token"]))


async def test_a_token_of_a_disabled_person_is_refused(world: World) -> None:
    """Also where only the account is disabled, and the grant stands."""
    tokens = await world.tokens(await world.register(), scope=OPENID)
    async with world.database.transaction() as tx:
        await tx.connection.exec_driver_sql("UPDATE users SET disabled_at = created_at")
    await assert_refused(world, ask(world, tokens["access_token"]))


async def test_a_token_of_a_deleted_person_is_refused(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope=OPENID)
    async with world.database.transaction() as tx:
        await tx.connection.exec_driver_sql("DELETE FROM users")
    await assert_refused(world, ask(world, tokens["access_token"]))


async def test_adm_7_a_token_of_a_disabled_client_is_refused(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client, scope=OPENID)
    await back_channel.disable_client(world, client)
    await assert_refused(world, ask(world, tokens["access_token"]))


async def test_a_token_that_stands_for_no_person_is_refused(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope=OPENID)
    async with world.database.transaction() as tx:
        await tx.connection.exec_driver_sql("UPDATE grants SET user_id = NULL")
    await assert_refused(world, ask(world, tokens["access_token"]))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("unknown", id="no JWT"),
        pytest.param("a.b.c", id="three parts"),
        pytest.param("x" * 60_000, id="long"),
        pytest.param("ost_refresh_" + "x" * 43, id="refresh token"),
        pytest.param('"\\', id="quotes"),
    ],
)
async def test_what_is_no_token_is_refused(world: World, token: str) -> None:
    await assert_refused(world, ask(world, token))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://evil.example"}, id="RSV-3 other issuer"),
        pytest.param({"exp": 0}, id="RSV-3 over"),
        pytest.param({"grant_id": "grant_unknown"}, id="RSV-3 unknown grant"),
        pytest.param({"client_id": "client_unknown"}, id="RSV-3 unknown client"),
    ],
)
async def test_claims_that_do_not_hold_here_are_refused_though_well_signed(
    world: World, changes: dict[str, Any]
) -> None:
    tokens = await world.tokens(await world.register(), scope=OPENID)
    claims = segments(tokens["access_token"])[1]
    again = jwt.sign(claims, signing_key(world), "at+jwt")
    assert (await ask(world, again)).status_code == 200
    forged = jwt.sign({**claims, **changes}, signing_key(world), "at+jwt")
    await assert_refused(world, ask(world, forged))


async def test_a_token_of_another_key_is_refused(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope=OPENID)
    forged = jwt.sign(segments(tokens["access_token"])[1], jwt.generate_signing_key(), "at+jwt")
    await assert_refused(world, ask(world, forged))


async def test_tok_25_guessing_is_slowed_down_and_who_holds_a_token_does_not_notice(world: World) -> None:
    token = (await world.tokens(await world.register(), scope=OPENID))["access_token"]
    answers = [await ask(world, f"guess-{number}") for number in range(61)]
    assert {answer.status_code for answer in answers[:60]} == {401}
    assert answers[60].status_code == 429
    assert int(answers[60].headers["retry-after"]) > 0
    assert (await ask(world, token)).status_code == 200


# ------------------------------------------------------------------------------------------ switched off
async def test_dsc_8_switched_off_there_is_nothing_at_the_address(make_world: Callable[..., Any]) -> None:
    world = await make_world(features_off=["openid"])
    for method in ("GET", "POST"):
        answer = await world.http.request(method, USERINFO, headers=bearer("unknown"))
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
