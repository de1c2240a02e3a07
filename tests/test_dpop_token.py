"""DPoP at the token endpoint (RFC 9449 §5, §6, §10): tokens that are bound to a key, and what refuses them."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.oauth import dpop
from tests.back_channel import refused
from tests.dpop_flow import ask, bound_tokens, redeem, refresh, token_proof
from tests.front_channel import Standing, answer_to
from tests.support.dpop import Prover
from tests.support.world import World
from tests.test_access_tokens import segments

pytest_plugins = ["tests.standing"]

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
SECRET = {"token_endpoint_auth_method": "client_secret_post"}
ours, other = Prover(), Prover()


# ------------------------------------------------------------------------------------------ §5, §6: binding
@pytest.mark.parametrize("algorithm", dpop.ALGORITHMS)
async def test_5_a_proof_binds_the_access_token_to_its_key(standing: Standing, algorithm: str) -> None:
    world, prover = standing.world, Prover(algorithm)

    tokens = await bound_tokens(world, await standing.client(), prover)

    assert tokens["token_type"] == "DPoP"
    assert segments(tokens["access_token"])[1]["cnf"] == {"jkt": prover.thumbprint}


async def test_5_without_a_proof_everything_stays_as_it_was(standing: Standing) -> None:
    world = standing.world

    tokens = await world.tokens(await standing.client())

    assert tokens["token_type"] == "Bearer"
    assert "cnf" not in segments(tokens["access_token"])[1]
    bound = await world.rows("SELECT dpop_jkt FROM refresh_tokens WHERE dpop_jkt IS NULL")
    assert bound


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"htm": "GET"}, id="other-method"),
        pytest.param({"htu": "http://localhost:8000/mcp"}, id="other-endpoint"),
        pytest.param({"htu": "http://evil.example/oauth/token"}, id="other-host"),
        pytest.param({"iat": 0}, id="too-old"),
        pytest.param({"jti": ...}, id="no-jti"),
        pytest.param({"header": {"alg": "none"}}, id="unsigned"),
        pytest.param({"header": {"typ": "JWT"}}, id="other-type"),
        pytest.param({"header": {"jwk": other.jwk}}, id="other-key"),
    ],
)
async def test_5_a_proof_that_is_wrong_refuses_the_request_and_spends_nothing(
    standing: Standing, changes: dict[str, Any]
) -> None:
    world, client = standing.world, await standing.client()
    code = await world.code(client)

    await refused(
        world, redeem(world, client, code, token_proof(world, ours, **changes)), 400, "invalid_dpop_proof"
    )

    assert (await redeem(world, client, code, token_proof(world, ours))).status_code == 200


async def test_4_3_1_two_proofs_refuse_the_request(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    code, proofs = await world.code(client), [token_proof(world, ours) for _ in range(2)]

    await refused(world, redeem(world, client, code, *proofs), 400, "invalid_dpop_proof")
    await refused(world, redeem(world, client, code, ", ".join(proofs)), 400, "invalid_dpop_proof")
    await refused(world, redeem(world, client, code, ""), 400, "invalid_dpop_proof")


async def test_a_client_that_fails_to_authenticate_is_told_so_whatever_its_proof(standing: Standing) -> None:
    world, client = standing.world, await standing.client(**SECRET)
    form = {**world.redemption(client, "x"), "client_secret": "wrong"}

    await refused(world, ask(world, form, "no proof"), 401, "invalid_client")


async def test_opt_5_a_proof_works_once(standing: Standing) -> None:
    """OPT-5: RFC 9449 §11.1."""
    world, client = standing.world, await standing.client()
    proof = token_proof(world, ours)
    first, second = await world.code(client), await world.code(client)
    assert (await redeem(world, client, first, proof)).status_code == 200

    await refused(world, redeem(world, client, second, proof), 400, "invalid_dpop_proof")

    assert (await redeem(world, client, second, token_proof(world, ours))).status_code == 200


async def test_opt_5_a_proof_is_spent_also_where_the_request_fails(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    proof = token_proof(world, ours)
    await refused(world, redeem(world, client, "unknown", proof), 400, "invalid_grant")

    code = await world.code(client)
    await refused(world, redeem(world, client, code, proof), 400, "invalid_dpop_proof")


async def test_11_1_two_keys_may_use_the_same_jti(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    for prover in (ours, other):
        code = await world.code(client)
        answer = await redeem(world, client, code, token_proof(world, prover, jti="the same"))
        assert answer.status_code == 200, answer.text


async def test_11_1_neither_key_nor_jti_is_stored_in_the_clear(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    await redeem(world, client, await world.code(client), token_proof(world, ours, jti="seen before"))

    rows = str(await world.rows("SELECT * FROM used_identifiers"))

    assert "seen before" not in rows
    assert ours.thumbprint not in rows


# ------------------------------------------------------------------------------------ §5: refresh tokens
async def test_5_a_public_client_refreshes_with_the_key_that_it_began_with(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    token = (await bound_tokens(world, client, ours))["refresh_token"]

    for _ in range(2):
        await refused(
            world,
            refresh(world, client, token, token_proof(world, other)),
            400,
            "invalid_grant",
            without_effect=False,
        )
        await refused(world, refresh(world, client, token), 400, "invalid_grant")
        answer = await refresh(world, client, token, token_proof(world, ours))
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == "DPoP"
        assert segments(answer.json()["access_token"])[1]["cnf"] == {"jkt": ours.thumbprint}
        token = answer.json()["refresh_token"]


async def test_5_who_has_a_spent_token_but_not_the_key_cannot_end_the_family(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    spent = (await bound_tokens(world, client, ours))["refresh_token"]
    token = (await refresh(world, client, spent, token_proof(world, ours))).json()["refresh_token"]
    world.clock.advance(seconds=31)

    await refused(world, refresh(world, client, spent), 400, "invalid_grant")
    await refused(world, refresh(world, client, spent, token_proof(world, other)), 400, "invalid_grant")

    answer = await refresh(world, client, token, token_proof(world, ours))
    assert answer.status_code == 200
    await refused(
        world,
        refresh(world, client, spent, token_proof(world, ours)),
        400,
        "invalid_grant",
        without_effect=False,
    )
    last = answer.json()["refresh_token"]
    await refused(world, refresh(world, client, last, token_proof(world, ours)), 400, "invalid_grant")


async def test_5_a_refresh_token_that_was_free_is_bound_at_the_first_refresh_with_a_proof(
    standing: Standing,
) -> None:
    world, client = standing.world, await standing.client()
    free = (await world.tokens(client))["refresh_token"]

    bound = (await refresh(world, client, free, token_proof(world, ours))).json()["refresh_token"]

    await refused(world, refresh(world, client, bound), 400, "invalid_grant")
    assert (await refresh(world, client, bound, token_proof(world, ours))).status_code == 200


async def test_5_a_thief_who_binds_a_free_refresh_token_is_still_found_out(standing: Standing) -> None:
    """RFC 9700 §4.14.2: the owner, who has no key, presents the token that the thief used."""
    world, client = standing.world, await standing.client()
    free = (await world.tokens(client))["refresh_token"]
    stolen = (await refresh(world, client, free, token_proof(world, other))).json()
    world.clock.advance(seconds=31)

    await refused(world, refresh(world, client, free), 400, "invalid_grant", without_effect=False)

    proof = token_proof(world, other)
    await refused(world, refresh(world, client, stolen["refresh_token"], proof), 400, "invalid_grant")


async def test_5_a_retry_with_a_new_proof_gets_the_same_successor(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    token = (await bound_tokens(world, client, ours))["refresh_token"]

    answers = [await refresh(world, client, token, token_proof(world, ours)) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_5_a_confidential_client_may_change_its_key_or_do_without(standing: Standing) -> None:
    """Its refresh tokens are bound to it by its authentication."""
    world, client = standing.world, await standing.client(**SECRET)
    token = (await bound_tokens(world, client, ours))["refresh_token"]
    secret = {"client_secret": client["client_secret"]}

    changed = await refresh(world, client, token, token_proof(world, other), **secret)
    without = await refresh(world, client, changed.json()["refresh_token"], **secret)

    assert segments(changed.json()["access_token"])[1]["cnf"] == {"jkt": other.thumbprint}
    assert without.json()["token_type"] == "Bearer"
    assert "cnf" not in segments(without.json()["access_token"])[1]


async def test_a_bound_token_is_revoked_without_a_proof(standing: Standing) -> None:
    """RFC 7009 knows none."""
    world, client = standing.world, await standing.client()
    token = (await bound_tokens(world, client, ours))["refresh_token"]

    assert (await world.revoke(client, token)).status_code == 200

    await refused(world, refresh(world, client, token, token_proof(world, ours)), 400, "invalid_grant")


# --------------------------------------------------------------------------------------- §10: dpop_jkt
async def test_10_a_code_that_is_bound_to_a_key_needs_a_proof_of_it(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    code = await world.code(client, dpop_jkt=ours.thumbprint)

    await refused(world, redeem(world, client, code), 400, "invalid_grant")
    await refused(world, redeem(world, client, code, token_proof(world, other)), 400, "invalid_grant")

    answer = await redeem(world, client, code, token_proof(world, ours))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "dpop_jkt",
    [
        "x",
        pytest.param(ours.thumbprint[1:], id="one too few"),
        pytest.param(ours.thumbprint + "A", id="one too many"),
        "=" * 43,
        "é" * 43,
    ],
)
async def test_10_a_thumbprint_that_is_none_is_refused(standing: Standing, dpop_jkt: str) -> None:
    world, client = standing.world, await standing.client()

    answer = await world.authorize(standing.signed_in, client, dpop_jkt=dpop_jkt)

    assert answer_to(answer.headers["location"], client["redirect_uris"][0])["error"] == "invalid_request"


# --------------------------------------------------------------------------------------- §5.1, §5.2: metadata
async def test_5_1_the_metadata_names_the_algorithms(standing: Standing) -> None:
    metadata = (await standing.world.http.get("/.well-known/oauth-authorization-server")).json()

    assert metadata["dpop_signing_alg_values_supported"] == ["ES256", "Ed25519", "EdDSA", "RS256"]


async def test_5_2_a_client_that_registered_for_bound_tokens_gets_no_others(standing: Standing) -> None:
    world, client = standing.world, await standing.client(dpop_bound_access_tokens=True)
    assert client["dpop_bound_access_tokens"] is True
    code = await world.code(client)

    await refused(world, redeem(world, client, code), 400, "invalid_dpop_proof")

    answer = await redeem(world, client, code, token_proof(world, ours))
    assert answer.json()["token_type"] == "DPoP"
    await refused(world, refresh(world, client, answer.json()["refresh_token"]), 400, "invalid_dpop_proof")


async def test_5_2_a_client_that_registered_that_it_needs_none_is_free(standing: Standing) -> None:
    world, client = standing.world, await standing.client(dpop_bound_access_tokens=False)

    assert client["dpop_bound_access_tokens"] is False
    assert (await world.tokens(client))["token_type"] == "Bearer"


@pytest.mark.parametrize("value", ["true", 1, 0, [], {}, "x"], ids=repr)
async def test_5_2_dpop_bound_access_tokens_is_true_or_false(standing: Standing, value: object) -> None:
    metadata = {"redirect_uris": ["https://app.example/cb"], "dpop_bound_access_tokens": value}

    answer = standing.world.http.post("/oauth/register", json=metadata)

    await refused(standing.world, answer, 400, "invalid_client_metadata")


# ------------------------------------------------------------------------------------------ the feature off
async def test_switched_off_a_proof_means_nothing_and_nothing_is_promised(make_world: MakeWorld) -> None:
    world = await make_world(features_off="dpop", dpop_nonces=True)
    await world.create_user("alice")
    client = await world.register(dpop_bound_access_tokens="not looked at")

    code = await world.code(client, dpop_jkt="not looked at")
    answer = await redeem(world, client, code, "not looked at")

    assert answer.json()["token_type"] == "Bearer"
    assert "dpop-nonce" not in answer.headers
    assert "dpop_bound_access_tokens" not in client
    for document in ("oauth-authorization-server", "oauth-protected-resource"):
        metadata = (await world.http.get(f"/.well-known/{document}")).json()
        assert "dpop" not in str(metadata)


async def test_switched_off_what_was_bound_before_stays_shut(
    make_world: MakeWorld, database_url: str
) -> None:
    """Nobody gets by an operator's switch what the client wanted only with a proof."""
    before = await make_world()
    await before.create_user("alice")
    client = await before.register()
    strict = await before.register(dpop_bound_access_tokens=True)
    tokens = await bound_tokens(before, client, ours)
    code = await before.code(strict)

    world = await make_world(features_off="dpop")

    proof = token_proof(world, ours)
    await refused(world, refresh(world, client, tokens["refresh_token"], proof), 400, "invalid_grant")
    await refused(world, redeem(world, strict, code, token_proof(world, ours)), 400, "invalid_dpop_proof")
