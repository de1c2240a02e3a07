"""Who may register at all: anyone, whoever brings an initial access token, or nobody."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from app.audit import Origin
from app.authorization_server import initial_access_tokens
from app.oauth.errors import InvalidToken
from tests import back_channel
from tests.support.world import REDIRECT_URI, World, running_world

REGISTRATION = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}
METADATA = "/.well-known/oauth-authorization-server"


async def make_token(
    world: World, uses: int | None = None, lifetime: timedelta | None = None
) -> tuple[str, str]:
    """A new initial access token: its id and itself."""
    async with world.database.transaction() as tx:
        origin = Origin(world.clock.now(), "test")
        token, secret = await initial_access_tokens.create(
            tx, world.services.keys, "tests", uses, lifetime, origin
        )
    return token.id, secret


async def revoke(world: World, token_id: str) -> None:
    """As `initial-access-tokens revoke` does."""
    async with world.database.transaction() as tx:
        assert await initial_access_tokens.revoke(tx, token_id, Origin(world.clock.now(), "test"))


async def register(world: World, authorization: str | None, **changes: Any) -> httpx2.Response:
    """Try to register with this header."""
    headers = {} if authorization is None else {"authorization": authorization}
    return await world.http.post("/oauth/register", json={**REGISTRATION, **changes}, headers=headers)


async def assert_refused(world: World, answer: httpx2.Response, reason: str | None) -> None:
    """401 with a bearer challenge, no row, and a record that tells why."""
    assert answer.status_code == 401, answer.text
    assert answer.json()["error"] == "invalid_token"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "no-store" in answer.headers["cache-control"]
    last = await world.last_refusal()
    assert (last["event"], last["reason"]) == ("refused /oauth/register", reason)


# ------------------------------------------------------------------------------------------ with a token only
async def test_reg_21_with_a_good_token_a_client_registers(make_world: Callable[..., Any]) -> None:
    world = await make_world(registration="token")
    await world.create_user("alice")
    token_id, token = await make_token(world)

    answer = await register(world, f"Bearer {token}")

    assert answer.status_code == 201, answer.text
    rows = await world.rows("SELECT registration, registered_with FROM clients")
    assert rows == [{"registration": "dynamic", "registered_with": token_id}]
    assert (await world.tokens(answer.json()))["access_token"]
    assert token not in str(await world.rows("SELECT * FROM initial_access_tokens"))
    # Clients have to be told where registration is, although they need more to use it.
    assert "registration_endpoint" in (await world.http.get(METADATA)).json()


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        pytest.param(None, "no_initial_token", id="REG-21-missing"),
        pytest.param("Basic eDp5", "no_initial_token", id="REG-21-other-scheme"),
        pytest.param("Bearer ", "no_initial_token", id="REG-21-empty"),
        pytest.param("Bearer ost_initial_guessed", "unknown_initial_token", id="REG-21-wrong"),
        pytest.param("Bearer something else", "unknown_initial_token", id="REG-21-of-another-kind"),
        pytest.param("Bearer {used_up}", "initial_token_used_up", id="REG-21-used-up"),
        pytest.param("Bearer {expired}", "initial_token_expired", id="REG-21-expired"),
        pytest.param("Bearer {revoked}", "initial_token_revoked", id="REG-21-revoked"),
    ],
)
async def test_without_a_good_token_nobody_registers(
    make_world: Callable[..., Any], authorization: str | None, reason: str
) -> None:
    world = await make_world(registration="token")
    _, used_up = await make_token(world, uses=1)
    assert (await register(world, f"Bearer {used_up}")).status_code == 201
    _, expired = await make_token(world, lifetime=timedelta(days=1))
    revoked_id, revoked = await make_token(world)
    await revoke(world, revoked_id)
    world.clock.advance(days=1)
    if authorization is not None:
        authorization = authorization.format(used_up=used_up, expired=expired, revoked=revoked)

    async with back_channel.no_effect(world):
        answer = await register(world, authorization)

    await assert_refused(world, answer, reason)
    assert ("error" in answer.headers["www-authenticate"]) == (reason != "no_initial_token")


async def test_reg_21_a_token_counts_its_uses(make_world: Callable[..., Any]) -> None:
    world = await make_world(registration="token")
    _, token = await make_token(world, uses=2, lifetime=timedelta(days=1))
    # What is refused for other reasons takes nothing.
    assert (await register(world, f"Bearer {token}", redirect_uris=[])).status_code == 400
    answers = [await register(world, f"Bearer {token}") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 401]
    assert [row["uses_left"] for row in await world.rows("SELECT uses_left FROM initial_access_tokens")] == [
        0
    ]


async def test_reg_21_who_comes_second_with_the_last_use_gets_nothing(world: World) -> None:
    """Both found the token good before either spent it."""
    _, secret = await make_token(world, uses=1)
    keys, now = world.services.keys, world.clock.now()
    async with world.database.transaction() as tx:
        first, second = [await initial_access_tokens.check(tx, keys, secret, now) for _ in range(2)]
        await initial_access_tokens.spend(tx, keys, first, now)
        with pytest.raises(InvalidToken) as refusal:
            await initial_access_tokens.spend(tx, keys, second, now)
    assert refusal.value.reason == "initial_token_used_up"


async def test_reg_21_guesses_are_counted(make_world: Callable[..., Any]) -> None:
    world = await make_world(registration="token")
    _, token = await make_token(world)
    statuses = [(await register(world, f"Bearer ost_initial_{number}")).status_code for number in range(70)]
    assert statuses == [401] * 60 + [429] * 10
    assert (await register(world, f"Bearer {token}")).status_code == 201


async def test_reg_21_a_token_outlives_a_change_of_the_key(database_url: str) -> None:
    key = "another secret key, long enough too"
    async with running_world(database_url, registration="token") as before:
        _, token = await make_token(before)
        old = before.settings.secret_key
    async with running_world(
        database_url, registration="token", secret_key=key, secret_key_previous=old
    ) as between:
        assert (await register(between, f"Bearer {token}")).status_code == 201
    async with running_world(database_url, registration="token", secret_key=key) as after:
        assert (await register(after, f"Bearer {token}")).status_code == 201


# ------------------------------------------------------------------------------------------ open
@pytest.mark.parametrize("authorization", ["Bearer something of another kind", "Basic eDp5", "x", "Bearer"])
async def test_where_registration_is_open_other_credentials_are_not_looked_at(
    world: World, authorization: str
) -> None:
    assert (await register(world, authorization)).status_code == 201


async def test_where_registration_is_open_a_bad_initial_token_is_refused_all_the_same(world: World) -> None:
    await assert_refused(world, await register(world, "Bearer ost_initial_guessed"), "unknown_initial_token")


async def test_with_a_token_a_registration_is_counted_against_no_limit_and_stays(
    make_world: Callable[..., Any],
) -> None:
    world = await make_world(registrations_per_minute=2, registration_cap=1, registration_unused_days=1)
    _, token = await make_token(world)
    vouched = [(await register(world, f"Bearer {token}")).json()["client_id"] for _ in range(5)]
    world.clock.advance(days=2)
    assert (await register(world, None)).status_code == 201
    world.clock.advance(minutes=20)
    assert (await register(world, None)).status_code == 201
    rows = await world.rows("SELECT client_id FROM clients WHERE registered_with IS NOT NULL")
    assert {row["client_id"] for row in rows} == set(vouched)


async def test_reg_10_with_a_token_a_client_may_register_to_act_for_itself(world: World) -> None:
    acting = {
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "client_secret_post",
        "redirect_uris": [],
    }
    assert (await register(world, None, **acting)).status_code == 400
    _, token = await make_token(world)
    answer = await register(world, f"Bearer {token}", **acting)
    assert answer.status_code == 201, answer.text
    client = answer.json()
    form = {name: client[name] for name in ("client_id", "client_secret")}
    issued = await world.http.post("/oauth/token", data={**form, "grant_type": "client_credentials"})
    assert issued.status_code == 200, issued.text
    own = {"authorization": f"Bearer {client['registration_access_token']}"}
    body = {**acting, "client_id": client["client_id"], "client_name": "Robot"}
    changed = await world.http.put(client["registration_client_uri"], json=body, headers=own)
    assert changed.json()["grant_types"] == ["client_credentials"]


# ------------------------------------------------------------------------------------------ closed
@pytest.mark.parametrize("with_token", [True, False])
async def test_reg_22_where_registration_is_closed_nobody_registers(
    make_world: Callable[..., Any], with_token: bool
) -> None:
    world = await make_world(registration="closed")
    token = (await make_token(world))[1] if with_token else None

    assert "registration_endpoint" not in (await world.http.get(METADATA)).json()
    await back_channel.refused(
        world, register(world, f"Bearer {token}" if token else None), 403, "access_denied"
    )


async def test_reg_22_clients_from_before_go_on_and_look_after_themselves(
    make_world: Callable[..., Any],
) -> None:
    before = await make_world()
    await before.create_user("alice")
    client = await before.register()
    world = await make_world(registration="closed")
    assert (await world.tokens(client))["access_token"]
    own = {"authorization": f"Bearer {client['registration_access_token']}"}
    assert (await world.http.get(client["registration_client_uri"], headers=own)).status_code == 200
    assert (await world.http.delete(client["registration_client_uri"], headers=own)).status_code == 204
