"""Nonces of this server in the proofs that the token endpoint takes (RFC 9449 §8)."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests import back_channel
from tests.back_channel import assert_error, refused
from tests.dpop_flow import ask, redeem, refresh, token_proof
from tests.support.dpop import Prover
from tests.support.world import World

pytest_plugins = ["tests.standing"]

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
SECRET = {"token_endpoint_auth_method": "client_secret_post"}
ours, other = Prover(), Prover()


# ----------------------------------------------------------------------------------------- §8: nonces
@pytest.fixture
async def careful(make_world: MakeWorld) -> World:
    """A server that asks for its nonce, and alice."""
    world = await make_world(dpop_nonces=True)
    await world.create_user("alice")
    return world


async def test_opt_6_without_our_nonce_the_client_is_given_one(careful: World) -> None:
    """OPT-6: RFC 9449 §8."""
    client = await careful.register()
    code = await careful.code(client)

    asked = await refused(
        careful, redeem(careful, client, code, token_proof(careful, ours)), 400, "use_dpop_nonce"
    )

    nonce = asked.headers["dpop-nonce"]
    answer = await redeem(careful, client, code, token_proof(careful, ours, nonce=nonce))
    assert answer.status_code == 200, answer.text
    assert answer.headers["dpop-nonce"] == nonce
    assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize("nonce", ["x", "", 7, None, []], ids=repr)
async def test_opt_6_a_nonce_that_is_not_ours_is_answered_with_ours(careful: World, nonce: object) -> None:
    client = await careful.register()
    code = await careful.code(client)

    proof = token_proof(careful, ours, nonce=nonce)
    asked = await refused(careful, redeem(careful, client, code, proof), 400, "use_dpop_nonce")

    assert asked.headers["dpop-nonce"]


async def test_opt_6_a_nonce_grows_old_and_the_answers_bring_the_next(careful: World) -> None:
    """§8.2: a client that keeps asking never has to ask twice."""
    client = await careful.register()
    code = await careful.code(client)
    asked = await redeem(careful, client, code, token_proof(careful, ours))
    first = nonce = asked.headers["dpop-nonce"]
    answer = await redeem(careful, client, code, token_proof(careful, ours, nonce=nonce))
    for _ in range(4):
        careful.clock.advance(minutes=2)
        nonce = answer.headers["dpop-nonce"]
        token = answer.json()["refresh_token"]
        answer = await refresh(careful, client, token, token_proof(careful, ours, nonce=nonce))
        assert answer.status_code == 200, answer.text

    token = answer.json()["refresh_token"]
    late = await refresh(careful, client, token, token_proof(careful, ours, nonce=first))
    assert_error(late, 400, "use_dpop_nonce")
    assert late.headers["dpop-nonce"] != first


async def test_opt_6_who_sends_no_proof_needs_no_nonce(careful: World) -> None:
    client = await careful.register()

    answer = await careful.redeem(client, await careful.code(client))

    assert answer.json()["token_type"] == "Bearer"
    assert "dpop-nonce" not in answer.headers


async def test_opt_5_with_nonces_a_proof_works_once_as_well(careful: World) -> None:
    client = await careful.register()
    asked = await redeem(careful, client, "x", token_proof(careful, ours))
    proof = token_proof(careful, ours, nonce=asked.headers["dpop-nonce"])
    assert (await redeem(careful, client, await careful.code(client), proof)).status_code == 200

    code = await careful.code(client)
    await refused(careful, redeem(careful, client, code, proof), 400, "invalid_dpop_proof")


async def test_8_pages_of_other_origins_may_read_the_nonce(careful: World) -> None:
    client = await careful.register()
    proof = token_proof(careful, ours)

    asked = await ask(careful, careful.redemption(client, "x"), proof, origin="https://app.example")

    assert asked.headers["access-control-allow-origin"] == "*"
    assert "dpop-nonce" in asked.headers["access-control-expose-headers"].lower()
    assert back_channel.DESCRIPTION.fullmatch(asked.json()["error_description"])
