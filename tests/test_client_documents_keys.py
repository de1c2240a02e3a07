"""Clients that describe themselves in a document and sign for themselves, and what holds when the document changes
(client ID metadata documents, draft-01 §6.2 and §6.3)."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.back_channel import refused
from tests.support.dpop import Prover
from tests.support.internet import HOST, PUBLIC, URL, Internet, answer, ask, document, is_page, reasons
from tests.support.signing import SigningClient
from tests.support.world import World
from tests.test_client_assertions import reason_of

MakeWorld = Callable[..., Awaitable[World]]
JWKS_URI = f"https://{HOST}/jwks.json"


@pytest.fixture
async def world(make_world: MakeWorld, internet: Internet) -> World:
    made = await make_world(egress=internet.egress())
    await made.create_user("alice")
    return made


def publish(internet: Internet, signer: SigningClient | None, **changes: Any) -> dict[str, Any]:
    """Put the document of a client that signs at its address; it is good for ten minutes."""
    signs = (
        {"token_endpoint_auth_method": "private_key_jwt", "jwks": signer.jwks} if signer is not None else {}
    )
    page = document(**{**signs, **changes})
    internet.pages["/client.json"] = answer(page, cache_control="max-age=600")
    return page


def signing(kid: str = "key-1", algorithm: str = "ES256") -> SigningClient:
    return SigningClient(Prover(algorithm), kid, URL)


async def redeem(world: World, code: str, proof: dict[str, str]) -> httpx2.Response:
    form = world.redemption(document(), code)
    return await world.http.post("/oauth/token", data={**form, **proof})


async def tokens_of(world: World, signer: SigningClient) -> dict[str, Any]:
    """Tokens that alice allowed the client that signs."""
    answered = await redeem(world, await world.code(document()), signer.proof(world))
    assert answered.status_code == 200, answered.text
    tokens: dict[str, Any] = answered.json()
    return tokens


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_described_client_signs_with_the_keys_of_its_document(
    world: World, internet: Internet, algorithm: str
) -> None:
    signer = signing(algorithm=algorithm)
    publish(internet, signer)

    tokens = await tokens_of(world, signer)

    assert (await world.call(tokens["access_token"])).status_code == 200
    refreshed = await world.refresh(document(), tokens["refresh_token"], **signer.proof(world))
    assert refreshed.status_code == 200
    assert internet.connections == [PUBLIC]


async def test_a_described_client_signs_with_the_keys_at_its_address(
    world: World, internet: Internet
) -> None:
    signer = signing()
    publish(internet, signer, jwks=None, jwks_uri=JWKS_URI)
    internet.pages["/jwks.json"] = answer(signer.jwks)

    assert (await world.call((await tokens_of(world, signer))["access_token"])).status_code == 200
    assert internet.connections == [PUBLIC, PUBLIC]


async def test_cim_16_a_described_client_that_signs_must_sign(world: World, internet: Internet) -> None:
    signer = signing()
    publish(internet, signer)
    code = await world.code(document())

    await refused(world, world.redeem(document(), code), 401, "invalid_client")
    assert await reason_of(world) == "wrong_method"
    await refused(world, redeem(world, code, signing().proof(world)), 401, "invalid_client")

    assert (await redeem(world, code, signer.proof(world))).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"jwks": None}, id="no keys"),
        pytest.param({"jwks_uri": JWKS_URI}, id="both"),
        pytest.param({"jwks": {"keys": [{**SigningClient().jwk, "d": "AA"}]}}, id="private key"),
        pytest.param({"jwks": None, "jwks_uri": "http://app.example/jwks.json"}, id="no TLS"),
        pytest.param({"jwks": None, "jwks_uri": "https://10.0.0.1/jwks#x"}, id="fragment"),
        pytest.param({"token_endpoint_auth_signing_alg": "HS256"}, id="HS256"),
        pytest.param({"token_endpoint_auth_method": "tls_client_auth"}, id="other method"),
        pytest.param(
            {"token_endpoint_auth_method": "tls_client_auth", "token_endpoint_auth_methods_supported": ["x", 7]},
            id="other methods",
        ),
        pytest.param(
            {
                "token_endpoint_auth_method": "client_secret_basic",
                "token_endpoint_auth_methods_supported": ["none"],
            },
            id="a shared secret, whatever else",
        ),
        pytest.param(
            {"token_endpoint_auth_method": "x", "token_endpoint_auth_methods_supported": "none"}, id="no list"
        ),
        pytest.param({"grant_types": ["client_credentials"]}, id="REG-10 for itself"),
        pytest.param({"grant_types": "authorization_code"}, id="grant types are a text"),
    ],
)  # fmt: skip
async def test_a_document_with_unusable_keys_is_refused(
    world: World, internet: Internet, changes: dict[str, Any]
) -> None:
    publish(internet, SigningClient(), **changes)

    assert is_page(await ask(world))
    assert await reasons(world) == ["document_invalid"]
    assert (await world.counts())["clients"] == 0


CHATGPT = {
    "token_endpoint_auth_method": "private_key_jwt",
    "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
    "token_endpoint_auth_signing_alg": "RS256",
    "jwks_uri": JWKS_URI,
}


async def test_the_document_of_chatgpt_is_taken_at_its_word(world: World, internet: Internet) -> None:
    """It prefers to sign, and does so where the server says that it can."""
    signer = signing(algorithm="RS256")
    publish(internet, None, **CHATGPT)
    internet.pages["/jwks.json"] = answer(signer.jwks)

    assert (await world.call((await tokens_of(world, signer))["access_token"])).status_code == 200
    await refused(world, world.redeem(document(), await world.code(document())), 401, "invalid_client")


async def test_the_document_of_chatgpt_is_public_where_nobody_signs(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(egress=internet.egress(), features_off=("private_key_jwt",))
    await world.create_user("alice")
    publish(internet, None, **CHATGPT)

    tokens = await world.tokens(document())

    assert (await world.call(tokens["access_token"])).status_code == 200
    (stored,) = await world.rows("SELECT token_endpoint_auth_method AS method, jwks_uri FROM clients")
    assert dict(stored) == {"method": "none", "jwks_uri": None}
    assert internet.connections == [PUBLIC]


async def test_grant_types_for_other_servers_are_passed_over(world: World, internet: Internet) -> None:
    others = ["urn:example:grant", "client_credentials", "password", 7]
    publish(internet, None, grant_types=["authorization_code", "refresh_token", *others])

    assert (await ask(world)).status_code == 303
    (stored,) = await world.rows("SELECT grant_types FROM clients")
    assert "example" not in str(stored["grant_types"])
    assert "client_credentials" not in str(stored["grant_types"])


# ---------------------------------------------------------------------------------------------- changes
async def test_new_keys_of_a_document_work_at_once_and_old_ones_no_longer(
    world: World, internet: Internet
) -> None:
    old, new = signing("key-1"), signing("key-2", "RS256")
    publish(internet, old)
    refresh_token = (await tokens_of(world, old))["refresh_token"]
    publish(internet, new)

    answered = await world.refresh(document(), refresh_token, **new.proof(world))

    assert answered.status_code == 200, answered.text
    assert len(internet.connections) == 2
    again = answered.json()["refresh_token"]
    await refused(world, world.refresh(document(), again, **old.proof(world)), 401, "invalid_client")
    assert (await world.refresh(document(), again, **new.proof(world))).status_code == 200


async def test_keys_that_are_no_longer_fresh_are_read_again_before_they_are_trusted(
    world: World, internet: Internet
) -> None:
    """A key that was stolen and taken out of the document serves the thief no longer."""
    stolen, new = signing("key-1"), signing("key-2")
    publish(internet, stolen)
    refresh_token = (await tokens_of(world, stolen))["refresh_token"]
    publish(internet, new)
    world.clock.advance(minutes=10)

    await refused(
        world,
        world.refresh(document(), refresh_token, **stolen.proof(world)),
        401,
        "invalid_client",
        without_effect=False,
    )
    assert (await world.refresh(document(), refresh_token, **new.proof(world))).status_code == 200


async def test_strangers_cannot_make_this_server_hammer_the_host_of_a_document(
    world: World, internet: Internet
) -> None:
    signer = signing()
    publish(internet, signer)
    await tokens_of(world, signer)

    for number in range(20):
        answered = await world.http.post(
            "/oauth/revoke", data={"token": "x", **signing(f"k{number}").proof(world)}
        )
        assert answered.status_code == 401
    assert len(internet.connections) == 2
    world.clock.advance(seconds=10)
    await world.http.post("/oauth/revoke", data={"token": "x", **signing("another").proof(world)})
    assert len(internet.connections) == 3


async def test_cim_23_while_the_host_is_away_the_keys_of_the_last_reading_serve_for_a_week(
    world: World, internet: Internet
) -> None:
    signer = signing()
    publish(internet, signer)
    refresh_token = (await tokens_of(world, signer))["refresh_token"]
    internet.names[HOST] = [[]]

    for _ in range(2):
        world.clock.advance(days=3)
        answered = await world.refresh(document(), refresh_token, **signer.proof(world))
        assert answered.status_code == 200, answered.text
        refresh_token = answered.json()["refresh_token"]
    # Tried once, and not again for each of its requests.
    assert internet.lookups == [HOST] * 3
    again = await world.refresh(document(), refresh_token, **signer.proof(world))
    assert (again.status_code, len(internet.lookups)) == (200, 3)
    world.clock.advance(days=2)
    refusal = await world.refresh(document(), again.json()["refresh_token"], **signer.proof(world))
    assert refusal.status_code == 401


async def test_a_client_that_begins_to_sign_may_do_so_at_once(world: World, internet: Internet) -> None:
    publish(internet, None)
    refresh_token = (await world.tokens(document()))["refresh_token"]
    signer = signing()
    publish(internet, signer)

    answered = await world.refresh(document(), refresh_token, **signer.proof(world))

    assert answered.status_code == 200, answered.text
    await refused(world, world.refresh(document(), answered.json()["refresh_token"]), 401, "invalid_client")
