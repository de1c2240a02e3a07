"""DPoP at the MCP endpoint where proofs must hold a nonce of this server (RFC 9449 §9)."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.dpop_flow import call, challenges_of, redeem, resource_proof, token_proof
from tests.support.dpop import Prover
from tests.support.world import World, mcp_call, mcp_headers

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
ours = Prover()


@pytest.fixture
async def careful(make_world: MakeWorld) -> World:
    """A server that asks for its nonce, and alice."""
    world = await make_world(dpop_nonces=True)
    await world.create_user("alice")
    return world


@pytest.fixture
async def token(careful: World) -> str:
    """An access token of alice that is bound to our key."""
    client = await careful.register()
    asked = await redeem(careful, client, "x", token_proof(careful, ours))
    proof = token_proof(careful, ours, nonce=asked.headers["dpop-nonce"])
    issued: str = (await redeem(careful, client, await careful.code(client), proof)).json()["access_token"]
    return issued


async def test_opt_6_without_our_nonce_the_answer_names_it(careful: World, token: str) -> None:
    """OPT-6: 401 `use_dpop_nonce` and `DPoP-Nonce`, then the same with the nonce."""
    asked = await call(careful, token, resource_proof(careful, ours, token))

    assert asked.status_code == 401
    assert list(challenges_of(asked)) == ["DPoP"]
    assert challenges_of(asked)["DPoP"]["error"] == asked.json()["error"] == "use_dpop_nonce"
    assert asked.headers["cache-control"] == "no-store"
    nonce = asked.headers["dpop-nonce"]
    answer = await call(careful, token, resource_proof(careful, ours, token, nonce=nonce))
    assert answer.status_code == 200, answer.text
    assert answer.headers["dpop-nonce"] == nonce


@pytest.mark.parametrize("nonce", ["x", "", 7, None, [], {}], ids=repr)
async def test_opt_6_a_nonce_that_is_not_ours_is_answered_with_ours(
    careful: World, token: str, nonce: object
) -> None:
    answer = await call(careful, token, resource_proof(careful, ours, token, nonce=nonce))

    assert (answer.status_code, answer.json()["error"]) == (401, "use_dpop_nonce")
    assert answer.headers["dpop-nonce"]


async def test_opt_6_the_nonce_of_the_token_endpoint_is_good_here_as_well(careful: World, token: str) -> None:
    """Clients keep one nonce an origin, and both endpoints have the same."""
    asked = await redeem(careful, await careful.register(), "x", token_proof(careful, ours))

    proof = resource_proof(careful, ours, token, nonce=asked.headers["dpop-nonce"])

    assert (await call(careful, token, proof)).status_code == 200


async def test_opt_6_who_keeps_calling_gets_the_next_nonce_in_time(careful: World, token: str) -> None:
    asked = await call(careful, token, resource_proof(careful, ours, token))
    nonces = [asked.headers["dpop-nonce"]]
    for _ in range(5):
        careful.clock.advance(minutes=2)
        answer = await call(careful, token, resource_proof(careful, ours, token, nonce=nonces[-1]))
        assert answer.status_code == 200, answer.text
        nonces.append(answer.headers["dpop-nonce"])

    assert len(set(nonces)) > 3
    late = await call(careful, token, resource_proof(careful, ours, token, nonce=nonces[0]))
    assert late.json()["error"] == "use_dpop_nonce"


async def test_opt_5_a_proof_with_a_nonce_opens_the_resource_once(careful: World, token: str) -> None:
    asked = await call(careful, token, resource_proof(careful, ours, token))
    proof = resource_proof(careful, ours, token, nonce=asked.headers["dpop-nonce"])
    assert (await call(careful, token, proof)).status_code == 200

    # Also where the proof's own time is long past: the nonce alone says how old it is.
    careful.clock.advance(minutes=2)
    again = await call(careful, token, proof)

    assert (again.status_code, again.json()["error"]) == (401, "invalid_dpop_proof")


async def test_opt_7_the_binding_counts_before_the_nonce_where_the_scheme_is_wrong(
    careful: World, token: str
) -> None:
    answer = await call(careful, token, resource_proof(careful, ours, token), scheme="Bearer")

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert "dpop-nonce" not in answer.headers


async def test_bearer_callers_hear_nothing_of_nonces(careful: World) -> None:
    free = (await careful.tokens(await careful.register()))["access_token"]

    answer = await call(careful, free, scheme="Bearer")

    assert answer.status_code == 200
    assert "dpop-nonce" not in answer.headers


async def test_9_pages_of_other_origins_may_read_the_nonce(careful: World, token: str) -> None:
    for nonce in (
        None,
        (await call(careful, token, resource_proof(careful, ours, token))).headers["dpop-nonce"],
    ):
        proof = resource_proof(careful, ours, token, nonce=nonce)
        headers = {
            **mcp_headers(None, "whoami"),
            "authorization": f"DPoP {token}",
            "dpop": proof,
            "origin": "http://localhost:6274",
        }
        answer = await careful.http.post("/mcp", headers=headers, json=mcp_call("whoami", {}))

        assert answer.status_code == (401 if nonce is None else 200)
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert {"dpop-nonce", "www-authenticate"} <= {name.strip() for name in exposed.split(",")}


async def test_9_pages_of_other_origins_may_send_proofs(careful: World) -> None:
    for path in ("/mcp", "/oauth/token"):
        answer = await careful.http.options(
            path,
            headers={
                "origin": "http://localhost:6274",
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,dpop,content-type",
            },
        )

        assert answer.status_code == 200
        assert "dpop" in answer.headers["access-control-allow-headers"].lower()
