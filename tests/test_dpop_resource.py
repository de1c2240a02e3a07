"""DPoP at the MCP endpoint (RFC 9449 §7, §9): a bound token opens nothing without a proof of its key."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2
import pytest
from mcp.server.mcpserver import Context, MCPServer

from app.oauth import dpop, jwt
from tests import back_channel
from tests.dpop_flow import bound_tokens, call, challenges_of, resource_proof
from tests.front_channel import Standing
from tests.support.dpop import Prover, ath
from tests.support.world import World, mcp_call, mcp_headers
from tests.test_access_tokens import segments, signing_key

pytest_plugins = ["tests.standing"]
MakeWorld = Callable[..., Coroutine[Any, Any, World]]
ALGORITHMS = "ES256 Ed25519 EdDSA RS256"
ours, other = Prover(), Prover()
headers_server = MCPServer("headers")


@headers_server.tool()
async def whoami(context: Context) -> list[str]:
    """The names of the headers that reach a tool."""
    request = context.request_context.request
    return sorted(request.headers) if request is not None else []


@pytest.fixture(scope="module")
async def token(standing: Standing) -> str:
    """An access token of alice that is bound to our key."""
    issued: str = (await bound_tokens(standing.world, await standing.client(), ours))["access_token"]
    return issued


async def assert_refused(
    world: World, request: Coroutine[Any, Any, httpx2.Response], error: str
) -> httpx2.Response:
    """401 in the scheme DPoP alone, with this error, on record, and nothing of the request in it."""
    recorded = await back_channel.records_of(world)
    answer = await request
    assert answer.status_code == 401, f"{answer.status_code} {answer.text[:300]}"
    (challenge,) = challenges_of(answer).items()
    scheme, parameters = challenge
    assert scheme == "DPoP"
    assert parameters["error"] == answer.json()["error"] == error
    assert parameters["algs"] == ALGORITHMS
    assert parameters["resource_metadata"].endswith("/.well-known/oauth-protected-resource/mcp")
    assert "offline_access" not in parameters["scope"]
    assert answer.headers["cache-control"] == "no-store"
    assert "eyJ" not in answer.text + str(answer.headers)
    assert await back_channel.records_of(world) > recorded
    return answer


# ---------------------------------------------------------------------------------------- §7.1: what works
@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP"])
@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_7_1_a_bound_token_works_with_a_proof_of_its_key(
    standing: Standing, token: str, scheme: str, path: str
) -> None:
    world = standing.world

    for url in (world.settings.resource, world.settings.resource + "/", "HTTP://LocalHost:8000/mcp?x=y#z"):
        proof = ours.proof("POST", url, world.clock.now(), token)
        answer = await call(world, token, proof, scheme=scheme, path=path)

        assert answer.status_code == 200, answer.text
        assert "dpop-nonce" not in answer.headers


@pytest.mark.parametrize("algorithm", dpop.ALGORITHMS)
async def test_7_1_with_each_algorithm(standing: Standing, algorithm: str) -> None:
    world, prover = standing.world, Prover(algorithm)
    token = (await bound_tokens(world, await standing.client(), prover))["access_token"]

    answer = await call(world, token, resource_proof(world, prover, token))

    assert answer.status_code == 200, answer.text


async def test_7_2_a_bearer_token_works_as_ever_and_a_proof_beside_it_means_nothing(
    standing: Standing,
) -> None:
    world = standing.world
    free = (await world.tokens(await standing.client()))["access_token"]

    for proofs in ((), ("not looked at",), (resource_proof(world, ours, free),)):
        assert (await call(world, free, *proofs, scheme="Bearer")).status_code == 200


async def test_no_tool_sees_the_proof(make_world: MakeWorld) -> None:
    world = await make_world(mcp_server="tests.test_dpop_resource:headers_server")
    await world.create_user("alice")
    token = (await bound_tokens(world, await world.register(), ours))["access_token"]

    answer = await call(world, token, resource_proof(world, ours, token))

    assert answer.status_code == 200, answer.text
    assert "mcp-method" in answer.text
    assert "dpop" not in answer.text
    assert "authorization" not in answer.text


# ------------------------------------------------------------------------ OPT-7: what the binding refuses
@pytest.mark.parametrize("proved", [False, True])
async def test_opt_7_a_bound_token_is_no_bearer_token(standing: Standing, token: str, proved: bool) -> None:
    """OPT-7: RFC 9449 §7.2, with a good proof as well."""
    world = standing.world
    proofs = [resource_proof(world, ours, token)] if proved else []

    answer = await call(world, token, *proofs, scheme="Bearer")

    assert answer.status_code == 401
    assert list(challenges_of(answer)) == ["Bearer", "DPoP"]
    assert challenges_of(answer)["Bearer"]["error"] == answer.json()["error"] == "invalid_token"
    assert challenges_of(answer)["DPoP"] == {"algs": ALGORITHMS}


async def test_opt_7_a_proof_of_another_key_is_refused(standing: Standing, token: str) -> None:
    world = standing.world

    await assert_refused(world, call(world, token, resource_proof(world, other, token)), "invalid_token")


@pytest.mark.parametrize(
    "wrong", [..., None, "", "x", ath("another token"), 7, True, [], {}, [ath("x")]], ids=repr
)
async def test_opt_7_a_proof_for_another_token_is_refused(
    standing: Standing, token: str, wrong: object
) -> None:
    """OPT-7: `ath` (§4.3, check 12)."""
    world = standing.world

    await assert_refused(
        world, call(world, token, resource_proof(world, ours, token, ath=wrong)), "invalid_token"
    )


async def test_opt_7_a_proof_for_the_next_token_of_the_same_key_does_not_fit_this_one(
    standing: Standing, token: str
) -> None:
    world = standing.world
    next_token = (await bound_tokens(world, await standing.client(), ours))["access_token"]

    await assert_refused(world, call(world, token, resource_proof(world, ours, next_token)), "invalid_token")


async def test_7_1_a_bearer_token_under_the_scheme_dpop_is_refused(standing: Standing) -> None:
    world = standing.world
    free = (await world.tokens(await standing.client()))["access_token"]

    await assert_refused(world, call(world, free, resource_proof(world, ours, free)), "invalid_token")
    await assert_refused(world, call(world, free), "invalid_token")


@pytest.mark.parametrize("broken", ["x", "eyJ", "a.b.c"])
async def test_7_1_a_token_that_is_none_is_refused_in_the_scheme_that_was_used(
    standing: Standing, broken: str
) -> None:
    world = standing.world

    await assert_refused(world, call(world, broken, resource_proof(world, ours, broken)), "invalid_token")


async def test_7_1_an_expired_and_a_revoked_token_are_refused_whatever_the_proof(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    tokens = [(await bound_tokens(world, client, ours))["access_token"] for _ in range(2)]
    await world.revoke(client, tokens[0])
    await assert_refused(
        world, call(world, tokens[0], resource_proof(world, ours, tokens[0])), "invalid_token"
    )

    claims = segments(tokens[1])[1]
    expired = jwt.sign({**claims, "exp": int(world.clock.now().timestamp())}, signing_key(world), "at+jwt")
    await assert_refused(world, call(world, expired, resource_proof(world, ours, expired)), "invalid_token")


@pytest.mark.parametrize("scheme", ["DPoP", "Bearer"])
@pytest.mark.parametrize(
    "cnf",
    [
        None,
        "",
        "x",
        7,
        True,
        [],
        {},
        {"jkt": None},
        {"jkt": 7},
        {"jkt": [ours.thumbprint]},
        {"jwk": ours.jwk},
        {"x5t#S256": ours.thumbprint},
        {"jkt": ours.thumbprint, "x5t#S256": "x"},
    ],
    ids=lambda cnf: re.sub(r"[\w-]{40,}", "…", repr(cnf)),
)
async def test_a_token_that_is_bound_in_an_unknown_way_opens_nothing(
    standing: Standing, token: str, cnf: object, scheme: str
) -> None:
    """RFC 7800 §3.1: who can't confirm must not accept."""
    world = standing.world
    forged = jwt.sign({**segments(token)[1], "cnf": cnf}, signing_key(world), "at+jwt")

    answer = await call(world, forged, resource_proof(world, ours, forged), scheme=scheme)

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


# -------------------------------------------------------------------------------- §4.3 at the resource
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"htm": "GET"}, id="other-method"),
        pytest.param({"htu": "http://localhost:8000/oauth/token"}, id="token-endpoint"),
        pytest.param({"htu": "http://localhost:8001/mcp"}, id="other-port"),
        pytest.param({"htu": "https://localhost:8000/mcp"}, id="other-scheme"),
        pytest.param({"htu": "http://127.0.0.1:8000/mcp"}, id="other-host"),
        pytest.param({"htu": "http://localhost:8000/mcp/x"}, id="below"),
        pytest.param({"iat": 0}, id="too-old"),
        pytest.param({"jti": ...}, id="no-jti"),
        pytest.param({"header": {"alg": "none"}}, id="unsigned"),
        pytest.param({"header": {"jwk": other.jwk}}, id="other-signature"),
    ],
)
async def test_4_3_a_proof_that_is_wrong_is_refused(
    standing: Standing, token: str, changes: dict[str, Any]
) -> None:
    world = standing.world

    await assert_refused(
        world, call(world, token, resource_proof(world, ours, token, **changes)), "invalid_dpop_proof"
    )


async def test_4_3_1_no_proof_two_proofs_and_an_empty_one_are_refused(standing: Standing, token: str) -> None:
    world = standing.world
    two = [resource_proof(world, ours, token) for _ in range(2)]

    for proofs in ([], two, [", ".join(two)], [""], ["x"]):
        await assert_refused(world, call(world, token, *proofs), "invalid_dpop_proof")


async def test_the_host_header_does_not_say_which_resource_is_meant(make_world: MakeWorld) -> None:
    """`htu` is compared with `PUBLIC_URL`: who reaches the server by another name proves nothing for that name."""
    world = await make_world(public_url="https://auth.example")
    await world.create_user("alice")
    client = await world.register(redirect_uris=["https://app.example/cb"])
    token = (await bound_tokens(world, client, ours))["access_token"]
    headers = mcp_headers(None, "whoami") | {"authorization": f"DPoP {token}", "host": "evil.example"}

    for url, status in (("https://evil.example/mcp", 401), ("https://auth.example/mcp", 200)):
        proof = ours.proof("POST", url, world.clock.now(), token)
        answer = await world.http.post("/mcp", headers=headers | {"dpop": proof}, json=mcp_call("whoami", {}))
        assert answer.status_code == status, answer.text


# -------------------------------------------------------------------------------------- OPT-5: replay
async def test_opt_5_a_proof_opens_the_resource_once(standing: Standing, token: str) -> None:
    """OPT-5: RFC 9449 §11.1."""
    world = standing.world
    proof = resource_proof(world, ours, token)
    assert (await call(world, token, proof)).status_code == 200

    await assert_refused(world, call(world, token, proof), "invalid_dpop_proof")
    again = resource_proof(world, ours, token, jti=segments(proof)[1]["jti"])
    await assert_refused(world, call(world, token, again), "invalid_dpop_proof")


async def test_opt_5_a_refused_proof_is_not_spent(standing: Standing, token: str) -> None:
    """Somebody else can't burn the identifiers of a key that they don't hold."""
    world = standing.world
    await assert_refused(
        world, call(world, token, resource_proof(world, other, token, jti="ours")), "invalid_token"
    )

    assert (await call(world, token, resource_proof(world, ours, token, jti="ours"))).status_code == 200


# ------------------------------------------------------------------- what the others see, and too small scopes
async def test_7_1_without_credentials_both_schemes_are_named_and_bearer_first(standing: Standing) -> None:
    """Clients that know Bearer alone read the first challenge."""
    for authorization in (None, "DPoP", "DPoP ", "Basic x"):
        headers = mcp_headers(None, "whoami") | ({"authorization": authorization} if authorization else {})

        answer = await standing.world.http.post("/mcp", headers=headers, json=mcp_call("whoami", {}))

        assert answer.status_code == 401
        assert list(challenges_of(answer)) == ["Bearer", "DPoP"]
        assert challenges_of(answer)["DPoP"] == {"algs": ALGORITHMS}
        assert "error" not in challenges_of(answer)["Bearer"]


async def test_7_1_a_bound_token_that_allows_too_little_is_told_so_in_its_own_scheme(
    standing: Standing,
) -> None:
    world = standing.world
    tokens = await bound_tokens(world, await world.register(), ours, scope="profile")
    token = tokens["access_token"]

    answer = await call(world, token, resource_proof(world, ours, token))

    assert answer.status_code == 403
    (challenge,) = challenges_of(answer).items()
    assert (challenge[0], challenge[1]["error"]) == ("DPoP", "insufficient_scope")
    assert challenge[1]["scope"] == "mcp"


async def test_a_bearer_token_that_allows_too_little_hears_nothing_of_dpop(standing: Standing) -> None:
    world = standing.world
    free = (await world.tokens(await world.register(), scope="profile"))["access_token"]

    answer = await call(world, free, scheme="Bearer")

    assert (answer.status_code, list(challenges_of(answer))) == (403, ["Bearer"])


async def test_the_metadata_of_the_resource_names_the_algorithms(standing: Standing) -> None:
    """RFC 9728 §2."""
    metadata = (await standing.world.http.get("/.well-known/oauth-protected-resource/mcp")).json()

    assert metadata["dpop_signing_alg_values_supported"] == ALGORITHMS.split()


async def test_switched_off_the_scheme_is_unknown_and_bound_tokens_open_nothing(
    make_world: MakeWorld,
) -> None:
    before = await make_world()
    await before.create_user("alice")
    token = (await bound_tokens(before, await before.register(), ours))["access_token"]
    world = await make_world(features_off="dpop")

    proved = await call(world, token, resource_proof(world, ours, token))
    as_bearer = await call(world, token, scheme="Bearer")

    assert (proved.status_code, as_bearer.status_code) == (401, 401)
    assert list(challenges_of(proved)) == list(challenges_of(as_bearer)) == ["Bearer"]
    assert "error" not in challenges_of(proved)["Bearer"]
    assert challenges_of(as_bearer)["Bearer"]["error"] == "invalid_token"
