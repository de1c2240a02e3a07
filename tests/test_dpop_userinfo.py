"""DPoP at the userinfo endpoint (RFC 9449 §7): the authorization server's own resource asks no less than `/mcp`."""

from collections.abc import Callable, Coroutine
from typing import Any

import httpx2
import pytest

from tests import back_channel
from tests.dpop_flow import bound_tokens, challenges_of, redeem, token_proof
from tests.front_channel import Standing
from tests.support.dpop import Prover
from tests.support.world import World

pytest_plugins = ["tests.standing"]
MakeWorld = Callable[..., Coroutine[Any, Any, World]]
ALGORITHMS = "ES256 Ed25519 EdDSA RS256"
OPENID = "openid profile mcp offline_access"
ours, other = Prover(), Prover()


@pytest.fixture(scope="module")
async def token(standing: Standing) -> str:
    """An access token of alice with `openid` that is bound to our key."""
    tokens = await bound_tokens(standing.world, await standing.client(), ours, scope=OPENID)
    issued: str = tokens["access_token"]
    return issued


def proof(world: World, token: str, method: str = "GET", prover: Prover = ours, **changes: Any) -> str:
    """A proof for the userinfo endpoint, made now."""
    url = f"{world.settings.public_url}/oauth/userinfo"
    return prover.proof(method, url, world.clock.now(), token, **changes)


async def ask(
    world: World, token: str, *proofs: str, scheme: str = "DPoP", method: str = "GET"
) -> httpx2.Response:
    """Ask who the token speaks for."""
    headers = [("authorization", f"{scheme} {token}"), *(("dpop", one) for one in proofs)]
    return await world.http.request(method, "/oauth/userinfo", headers=headers)


async def assert_refused(
    world: World, request: Coroutine[Any, Any, httpx2.Response], error: str, scheme: str = "DPoP"
) -> None:
    """401 in this scheme, on record, with nothing of the request in it."""
    recorded = await back_channel.records_of(world)
    answer = await request
    assert (answer.status_code, answer.json()["error"]) == (401, error)
    assert list(challenges_of(answer)) == [scheme]
    assert challenges_of(answer)[scheme]["error"] == error
    assert challenges_of(answer)[scheme].get("algs") == (None if scheme == "Bearer" else ALGORITHMS)
    assert "eyJ" not in answer.text + str(answer.headers)
    assert await back_channel.records_of(world) > recorded


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_7_1_a_proof_of_the_key_opens_it_once(standing: Standing, token: str, method: str) -> None:
    world = standing.world
    good = proof(world, token, method)

    assert (await ask(world, token, good, method=method)).json()["preferred_username"] == "alice"

    await assert_refused(world, ask(world, token, good, method=method), "invalid_dpop_proof")


async def test_opt_7_a_bound_token_opens_nothing_as_bearer_token(standing: Standing, token: str) -> None:
    world = standing.world

    await assert_refused(world, ask(world, token, scheme="Bearer"), "invalid_token", "Bearer")
    await assert_refused(
        world, ask(world, token, proof(world, token), scheme="Bearer"), "invalid_token", "Bearer"
    )


async def test_opt_7_another_key_another_token_and_no_binding_are_refused(
    standing: Standing, token: str
) -> None:
    world = standing.world
    free = (await world.tokens(await standing.client(), scope=OPENID))["access_token"]

    await assert_refused(world, ask(world, token, proof(world, token, prover=other)), "invalid_token")
    await assert_refused(world, ask(world, token, proof(world, free)), "invalid_token")
    await assert_refused(world, ask(world, free, proof(world, free)), "invalid_token")
    await assert_refused(world, ask(world, "unknown", proof(world, "unknown")), "invalid_token")
    assert (await ask(world, free, scheme="Bearer")).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"htm": "POST"}, id="other-method"),
        pytest.param({"htu": "http://localhost:8000/mcp"}, id="other-url"),
        pytest.param({"iat": 0}, id="too-old"),
        pytest.param({"header": {"alg": "none"}}, id="unsigned"),
    ],
)
async def test_4_3_a_proof_that_is_wrong_is_refused(
    standing: Standing, token: str, changes: dict[str, Any]
) -> None:
    world = standing.world

    await assert_refused(world, ask(world, token, proof(world, token, **changes)), "invalid_dpop_proof")
    await assert_refused(world, ask(world, token), "invalid_dpop_proof")


async def test_7_1_too_small_a_scope_is_told_in_the_scheme_that_was_used(standing: Standing) -> None:
    world = standing.world
    narrow = (await bound_tokens(world, await world.register(), ours, scope="mcp"))["access_token"]

    answer = await ask(world, narrow, proof(world, narrow))

    assert answer.status_code == 403
    assert list(challenges_of(answer)) == ["DPoP"]


async def test_opt_6_where_nonces_are_asked_for_the_answer_names_one(make_world: MakeWorld) -> None:
    world = await make_world(dpop_nonces=True)
    await world.create_user("alice")
    client = await world.register()
    nonce = (await redeem(world, client, "x", token_proof(world, ours))).headers["dpop-nonce"]
    code = await world.code(client, scope=OPENID)
    token = (await redeem(world, client, code, token_proof(world, ours, nonce=nonce))).json()["access_token"]

    asked = await ask(world, token, proof(world, token))

    assert (asked.status_code, asked.json()["error"]) == (401, "use_dpop_nonce")
    answer = await ask(world, token, proof(world, token, nonce=asked.headers["dpop-nonce"]))
    assert answer.status_code == 200
    assert answer.headers["dpop-nonce"]


async def test_switched_off_the_scheme_is_unknown(make_world: MakeWorld) -> None:
    before = await make_world()
    await before.create_user("alice")
    token = (await bound_tokens(before, await before.register(), ours, scope=OPENID))["access_token"]
    world = await make_world(features_off="dpop")

    proved, as_bearer = await ask(world, token, proof(world, token)), await ask(world, token, scheme="Bearer")

    assert (proved.status_code, proved.headers["www-authenticate"]) == (401, "Bearer")
    assert (as_bearer.status_code, as_bearer.json()["error"]) == (401, "invalid_token")
