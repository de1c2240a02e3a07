"""ID tokens (OpenID Connect Core §2, §3.1.3, §12.2): who signed in, told to the client, and good for nothing else."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx2
import pytest

from app.oauth import jwt
from tests import back_channel
from tests.back_channel import refused
from tests.front_channel import Standing, change, is_consent
from tests.support.world import VERIFIER, World, answer_of
from tests.test_access_tokens import assert_invalid_token, segments, signing_key

pytest_plugins = ["tests.standing"]

ISSUER = "http://localhost:8000"
OPENID = "openid mcp profile email offline_access"
NONCE = "n-0S6_WzA2Mj"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def other_challenge(verifier: str) -> str:
    """The S256 challenge of another verifier."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def half_hash(token: str) -> str:
    """`at_hash` as §3.1.3.6 tells a client to compute it."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).rstrip(b"=").decode()


async def issued(standing: Standing, **changes: str | None) -> dict[str, Any]:
    """What the token endpoint answers for a request with these changes."""
    world, client = standing.world, await standing.client()
    answer = await world.redeem(client, await approved(standing, client, **{"scope": OPENID, **changes}))
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


async def approved(standing: Standing, client: dict[str, Any], **changes: str | None) -> str:
    """A code that alice approved in the browser in which she is signed in."""
    parked = await standing.world.authorize(standing.signed_in, client, **changes)
    assert is_consent(parked), f"{parked.status_code} {parked.headers.get('location')}"
    answer = await standing.world.decide(standing.signed_in, parked.headers["location"])
    return answer_of(answer.headers["location"])["code"]


def told_by(tokens: dict[str, Any]) -> dict[str, Any]:
    """What the ID token says."""
    return segments(tokens["id_token"])[1]


# ------------------------------------------------------------------------------------------ what it says
async def test_it_names_issuer_client_person_and_times(standing: Standing) -> None:
    """§2, §3.1.3.6."""
    tokens = await issued(standing, nonce=NONCE)
    header, told = segments(tokens["id_token"])
    client, now = await standing.client(), int(standing.world.clock.now().timestamp())
    access = segments(tokens["access_token"])[1]
    assert header == {
        "alg": "ES256",
        "typ": "JWT",
        "kid": standing.world.services.signing_keys.signing_at(standing.world.clock.now()).kid,
    }
    assert told == {
        "iss": ISSUER,
        "sub": access["sub"],
        "aud": client["client_id"],
        "iat": now,
        "exp": access["exp"],
        "auth_time": now,
        "amr": ["pwd"],
        "nonce": NONCE,
        "at_hash": half_hash(tokens["access_token"]),
        "preferred_username": "alice",
        "name": "Alice",
        "email": "alice@example.com",
    }
    assert set(told) <= set(
        (await standing.world.http.get("/.well-known/openid-configuration")).json()["claims_supported"]
    )


async def test_a_published_key_verifies_it(standing: Standing) -> None:
    token = (await issued(standing))["id_token"]
    published = (await standing.world.http.get("/.well-known/jwks.json")).json()["keys"]
    keys = {key["kid"]: jwt.import_verification_key(key) for key in published}
    assert jwt.verify(token, keys, "jwt")["iss"] == ISSUER


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        pytest.param("openid", set(), id="5.4 openid alone"),
        pytest.param("openid profile", {"preferred_username", "name"}, id="5.4 profile"),
        pytest.param("openid email", {"email"}, id="5.4 email"),
    ],
)
async def test_claims_follow_the_granted_scope(standing: Standing, scope: str, told: set[str]) -> None:
    always = {"iss", "sub", "aud", "iat", "exp", "auth_time", "amr", "at_hash"}
    assert set(told_by(await issued(standing, scope=scope))) == always | told


@pytest.mark.parametrize("scope", ["mcp", "mcp profile email offline_access", None])
async def test_without_openid_there_is_none(standing: Standing, scope: str | None) -> None:
    assert "id_token" not in await issued(standing, scope=scope, nonce=NONCE)


NONCES = [
    pytest.param("n", id="one letter"),
    pytest.param(" leading, trailing ", id="spaces"),
    pytest.param("a+b&c=d#e%20f", id="signs of a query"),
    pytest.param('"><script>alert(1)</script>\\', id="markup"),
    pytest.param("zażółć \u202e 🚪 \u200b", id="unicode"),
    pytest.param("\r\n\t\x7f", id="control characters"),
    pytest.param("x" * 512, id="512 letters"),
    pytest.param("0", id="0"),
    pytest.param("null", id="null"),
]


@pytest.mark.parametrize("nonce", NONCES)
async def test_the_nonce_comes_back_exactly(standing: Standing, nonce: str) -> None:
    """§3.1.2.1: passed through unmodified."""
    assert told_by(await issued(standing, nonce=nonce))["nonce"] == nonce


@pytest.mark.parametrize("nonce", [pytest.param(None, id="left out"), pytest.param("", id="empty")])
async def test_without_a_nonce_none_is_told(standing: Standing, nonce: str | None) -> None:
    assert "nonce" not in told_by(await issued(standing, nonce=nonce))


async def test_auth_time_is_when_the_person_signed_in_not_when_they_approved(world: World) -> None:
    browser, client = await world.signed_in_browser(), await world.register()
    at = int(world.clock.now().timestamp())
    world.clock.advance(minutes=50)
    parked = await world.authorize(browser, client, scope=OPENID)
    world.clock.advance(minutes=3)
    answer = await world.decide(browser, parked.headers["location"])
    world.clock.advance(seconds=40)
    tokens = (await world.redeem(client, answer_of(answer.headers["location"])["code"])).json()
    assert told_by(tokens)["auth_time"] == at
    assert told_by(tokens)["iat"] == at + 53 * 60 + 40
    row = (await world.rows("SELECT authenticated_at FROM grants"))[0]
    assert datetime.fromisoformat(str(row["authenticated_at"])).timestamp() % 3600 == at % 3600


# ------------------------------------------------------------------------------------------ refreshed
async def test_a_refreshed_one_keeps_issuer_subject_audience_and_auth_time(world: World) -> None:
    """§12.2."""
    client = await world.register()
    first = await world.tokens(client, scope=OPENID, nonce=NONCE)
    world.clock.advance(minutes=20)
    second = (await world.refresh(client, first["refresh_token"])).json()
    old, new = told_by(first), told_by(second)
    for name in ("iss", "sub", "aud", "auth_time", "amr", "name", "email"):
        assert new[name] == old[name], name
    assert new["iat"] == old["iat"] + 20 * 60
    assert new["at_hash"] == half_hash(second["access_token"]) != old["at_hash"]
    assert "nonce" not in new


async def test_ref_5_narrowed_it_tells_less_or_is_not_there(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client, scope=OPENID)
    second = (await world.refresh(client, first["refresh_token"], scope="openid mcp")).json()
    assert not {"name", "preferred_username", "email"} & set(told_by(second))
    third = (await world.refresh(client, second["refresh_token"], scope="mcp profile")).json()
    assert "id_token" not in third


async def test_a_grant_that_was_approved_before_sign_ins_were_noted_tells_no_auth_time(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client, scope=OPENID)
    await change(world, "UPDATE grants SET authenticated_at = NULL, authentication_methods = NULL")
    second = (await world.refresh(client, first["refresh_token"])).json()
    assert not {"auth_time", "amr"} & told_by(second).keys()


# ------------------------------------------------------------------------------------------ good for nothing else
async def test_it_is_no_access_token_at_the_resource(standing: Standing) -> None:
    token = (await issued(standing))["id_token"]
    assert_invalid_token(standing.world, await standing.world.call(token))


async def test_it_is_no_access_token_at_the_resource_even_if_its_audience_were_the_resource(
    standing: Standing,
) -> None:
    """A client may be named like a resource (client ID metadata documents); the type tells them apart."""
    tokens = await issued(standing)
    claims = {**segments(tokens["access_token"])[1], **told_by(tokens), "aud": f"{ISSUER}/mcp"}
    key = signing_key(standing.world)
    assert (await standing.world.call(jwt.sign(claims, key, "at+jwt"))).status_code == 200
    assert_invalid_token(standing.world, await standing.world.call(jwt.sign(claims, key, "JWT")))


async def test_it_opens_nothing_at_the_userinfo_endpoint(standing: Standing) -> None:
    token = (await issued(standing))["id_token"]
    answer = await standing.world.http.get("/oauth/userinfo", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_it_is_nothing_to_revoke(standing: Standing) -> None:
    """RFC 7009 §2.2: 200, and what was valid still works."""
    world, client = standing.world, await standing.client()
    tokens = await issued(standing)
    async with back_channel.no_effect(world):
        answer = await world.revoke(client, tokens["id_token"])
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await world.call(tokens["access_token"])).status_code == 200


async def test_int_3_it_is_nothing_to_introspect(standing: Standing) -> None:
    world = standing.world
    guard = await world.register(token_endpoint_auth_method="client_secret_basic")
    await change(
        world,
        "UPDATE clients SET introspects = :all WHERE client_id = :id",
        all=json.dumps([f"{ISSUER}/mcp"]),
        id=guard["client_id"],
    )
    tokens, active = await issued(standing), {}
    for name in ("access_token", "id_token"):
        form = {"token": tokens[name], "token_type_hint": name}
        answer = await world.http.post("/oauth/introspect", data=form, headers=back_channel.basic(guard))
        active[name] = answer.json()
    assert active["access_token"]["active"] is True
    assert active["id_token"] == {"active": False}


async def test_it_is_exchanged_for_nothing(standing: Standing) -> None:
    """RFC 8693 §2.1: neither by the name of an access token, nor by its own."""
    world, client = standing.world, await standing.client(grant_types=["authorization_code", EXCHANGE])
    tokens = (await world.redeem(client, await approved(standing, client, scope="openid mcp"))).json()
    form = {"grant_type": EXCHANGE, "client_id": client["client_id"], "subject_token": tokens["id_token"]}
    good = form | {"subject_token": tokens["access_token"], "subject_token_type": ACCESS_TOKEN}
    exchanged = (await world.http.post("/oauth/token", data=good)).json()
    assert "access_token" in exchanged
    assert "id_token" not in exchanged
    for kind in ("access_token", "id_token", "jwt"):
        kind = f"urn:ietf:params:oauth:token-type:{kind}"
        answer = await world.http.post("/oauth/token", data={**form, "subject_token_type": kind})
        back_channel.assert_error(answer, 400, "invalid_request")


@pytest.mark.parametrize("grant_type", ["refresh_token", "authorization_code"])
async def test_it_redeems_nothing(standing: Standing, grant_type: str) -> None:
    world, client = standing.world, await standing.client()
    token = (await issued(standing))["id_token"]
    form = world.redemption(client, token, grant_type=grant_type, refresh_token=token)
    await refused(world, world.http.post("/oauth/token", data=form), 400, "invalid_grant")


# ------------------------------------------------------------------------------------------ attacks
async def test_each_code_has_the_nonce_of_its_own_request(standing: Standing) -> None:
    """Two requests in one browser at once, answered in the opposite order."""
    world, client, browser = standing.world, await standing.client(), standing.signed_in
    parked = [await world.authorize(browser, client, scope=OPENID, nonce=f"nonce-{n}") for n in range(2)]
    for number in (1, 0):
        answer = await world.decide(browser, parked[number].headers["location"])
        tokens = (await world.redeem(client, answer_of(answer.headers["location"])["code"])).json()
        assert told_by(tokens)["nonce"] == f"nonce-{number}"


async def test_the_token_request_has_no_say_in_the_nonce(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    code = await approved(standing, client, scope=OPENID, nonce=NONCE)
    tokens = (await world.redeem(client, code, nonce="another", scope="openid", max_age="0")).json()
    assert told_by(tokens)["nonce"] == NONCE


async def test_a_code_injected_into_another_browser_session_yields_nothing_and_is_not_spent(
    world: World,
) -> None:
    """RFC 9700 §4.5: the victim's client redeems the attacker's code with the victim's own verifier."""
    await world.create_user("mallory")
    client, own = await world.register(), "w" * 43
    await world.code(client, scope=OPENID, nonce="victim", code_challenge=other_challenge(own))
    injected = await world.code(client, "mallory", scope=OPENID, nonce="attacker")
    form = world.redemption(client, injected, code_verifier=own)
    answer = await refused(world, world.http.post("/oauth/token", data=form), 400, "invalid_grant")
    assert "id_token" not in answer.json()
    # Were the verifier known, the nonce would still be that of the request which the attacker made.
    tokens = (await world.redeem(client, injected, code_verifier=VERIFIER)).json()
    assert told_by(tokens)["nonce"] == "attacker"


async def test_tok_18_a_replayed_code_yields_no_second_one(world: World) -> None:
    client = await world.register()
    code = await world.code(client, scope=OPENID, nonce=NONCE)
    first = (await world.redeem(client, code)).json()
    form = world.redemption(client, code)
    again = await refused(
        world, world.http.post("/oauth/token", data=form), 400, "invalid_grant", without_effect=False
    )
    assert set(again.json()) == {"error", "error_description", "error_reference"}
    userinfo = await world.http.get(
        "/oauth/userinfo", headers={"authorization": f"Bearer {first['access_token']}"}
    )
    assert userinfo.status_code == 401


async def test_mix_up_the_answer_and_the_token_name_the_same_issuer(standing: Standing) -> None:
    """RFC 9207 §2; §3.1.3.7 item 2."""
    world, client, browser = standing.world, await standing.client(), standing.signed_in
    parked = await world.authorize(browser, client, scope=OPENID)
    values = answer_of((await world.decide(browser, parked.headers["location"])).headers["location"])
    tokens = (await world.redeem(client, values["code"])).json()
    metadata = (await world.http.get("/.well-known/openid-configuration")).json()
    assert values["iss"] == told_by(tokens)["iss"] == metadata["issuer"] == ISSUER


# ------------------------------------------------------------------------------------------ switched off
async def test_dsc_8_switched_off_the_scope_means_nothing(make_world: Callable[..., Any]) -> None:
    on = await make_world()
    await on.create_user("alice")
    client = await on.register()
    granted = await on.tokens(client, scope=OPENID)

    off = await make_world(features_off=["openid"])
    tokens = await off.tokens(client, scope=OPENID, nonce=NONCE, prompt="none", max_age="x")
    assert "id_token" not in tokens
    assert "openid" not in tokens["scope"].split()
    refreshed: httpx2.Response = await off.refresh(client, granted["refresh_token"])
    assert refreshed.status_code == 200
    assert "id_token" not in refreshed.json()
