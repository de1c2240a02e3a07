"""DPoP with pushed authorization requests (RFC 9449 §10.1): the proof binds the code, as `dpop_jkt` would."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import httpx2
import pytest

from tests.back_channel import refused
from tests.dpop_flow import redeem, token_proof
from tests.front_channel import Standing, answer_to
from tests.support.dpop import Prover
from tests.support.world import World

pytest_plugins = ["tests.standing"]
MakeWorld = Callable[..., Coroutine[Any, Any, World]]
ours, other = Prover(), Prover()


def push_proof(world: World, prover: Prover = ours, **changes: Any) -> str:
    """A proof for the endpoint of pushed requests, made now."""
    return prover.proof("POST", f"{world.settings.public_url}/oauth/par", world.clock.now(), **changes)


async def push(
    world: World, client: Mapping[str, Any], *proofs: str, **changes: str | None
) -> httpx2.Response:
    """Push a request with these proofs."""
    headers = [("dpop", proof) for proof in proofs]
    return await world.http.post("/oauth/par", data=world.authorization(client, **changes), headers=headers)


async def code_of(standing: Standing, client: Mapping[str, Any], pushed: httpx2.Response) -> str:
    """The code that alice approves for a pushed request."""
    assert pushed.status_code == 201, pushed.text
    query = {"client_id": client["client_id"], "request_uri": pushed.json()["request_uri"]}
    parked = await standing.signed_in.get("/authorize", params=query)
    answer = await standing.world.decide(standing.signed_in, parked.headers["location"])
    return answer_to(answer.headers["location"], client["redirect_uris"][0])["code"]


@pytest.mark.parametrize(
    "told", [pytest.param(None, id="by-proof"), pytest.param(ours.thumbprint, id="by-both")]
)
async def test_10_1_the_key_of_the_proof_binds_the_code(standing: Standing, told: str | None) -> None:
    world, client = standing.world, await standing.client()
    code = await code_of(standing, client, await push(world, client, push_proof(world), dpop_jkt=told))

    await refused(world, redeem(world, client, code), 400, "invalid_grant")
    await refused(world, redeem(world, client, code, token_proof(world, other)), 400, "invalid_grant")
    assert (await redeem(world, client, code, token_proof(world, ours))).status_code == 200


async def test_10_1_dpop_jkt_may_be_pushed_without_a_proof(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    code = await code_of(standing, client, await push(world, client, dpop_jkt=ours.thumbprint))

    await refused(world, redeem(world, client, code, token_proof(world, other)), 400, "invalid_grant")
    assert (await redeem(world, client, code, token_proof(world, ours))).status_code == 200


async def test_10_1_a_proof_and_a_dpop_jkt_that_differ_are_refused(standing: Standing) -> None:
    world, client = standing.world, await standing.client()

    request = push(world, client, push_proof(world), dpop_jkt=other.thumbprint)

    await refused(world, request, 400, "invalid_dpop_proof")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"htu": "http://localhost:8000/oauth/token"}, id="other-endpoint"),
        pytest.param({"htm": "GET"}, id="other-method"),
        pytest.param({"iat": 0}, id="too-old"),
        pytest.param({"header": {"alg": "none"}}, id="unsigned"),
    ],
)
async def test_10_1_a_proof_that_is_wrong_is_refused(standing: Standing, changes: dict[str, Any]) -> None:
    world, client = standing.world, await standing.client()

    await refused(world, push(world, client, push_proof(world, **changes)), 400, "invalid_dpop_proof")


async def test_opt_5_a_proof_pushes_once(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    proof = push_proof(world)
    assert (await push(world, client, proof)).status_code == 201

    await refused(world, push(world, client, proof), 400, "invalid_dpop_proof")


async def test_5_2_a_client_that_registered_for_bound_tokens_may_push_without_a_proof(
    standing: Standing,
) -> None:
    """Only token requests must have one."""
    client = await standing.client(dpop_bound_access_tokens=True)

    assert (await push(standing.world, client)).status_code == 201


async def test_opt_6_where_nonces_are_asked_for_the_answer_names_one(make_world: MakeWorld) -> None:
    world = await make_world(dpop_nonces=True)
    client = await world.register()

    asked = await refused(world, push(world, client, push_proof(world)), 400, "use_dpop_nonce")

    nonce = asked.headers["dpop-nonce"]
    answer = await push(world, client, push_proof(world, nonce=nonce))
    assert (answer.status_code, answer.headers["dpop-nonce"]) == (201, nonce)
