"""Where the keys of clients come from: registered with them, or read at an address of theirs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.back_channel import assert_error, refused
from tests.front_channel import Standing
from tests.support.dpop import Prover, number
from tests.support.internet import HOST, PUBLIC, Internet, answer, document, drip
from tests.support.signing import SigningClient, register_signing
from tests.support.world import REDIRECT_URI, World, running_world
from tests.test_client_assertions import reason_of
from tests.test_document_fetcher import FORBIDDEN

pytest_plugins = ["tests.standing"]

MakeWorld = Callable[..., Awaitable[World]]
JWKS_URI = f"https://{HOST}/jwks.json"
RSA, EC, EDWARDS = (
    SigningClient(Prover("RS256"), "rsa"),
    SigningClient(),
    SigningClient(Prover("Ed25519"), "ed"),
)


# ---------------------------------------------------------------------------------------------- registration
async def send(world: World, **metadata: Any) -> httpx2.Response:
    """Register a client that is to sign, unless told otherwise."""
    body = {
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "private_key_jwt",
        **metadata,
    }
    return await world.http.post("/oauth/register", json=body)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({}, id="REG-12 no key"),
        pytest.param({"jwks": None, "jwks_uri": None}, id="REG-12 null"),
        pytest.param({"jwks": {"keys": []}}, id="REG-12 empty set"),
        pytest.param({"jwks": EDWARDS.jwks}, id="REG-12 no usable key"),
        pytest.param({"jwks": EC.jwk}, id="a key, no set"),
        pytest.param({"jwks": JWKS_URI}, id="jwks is an address"),
        pytest.param({"jwks": [EC.jwk]}, id="jwks is a list"),
        pytest.param({"jwks": EC.jwks, "jwks_uri": JWKS_URI}, id="both"),
        pytest.param({"jwks": {"keys": [{**EC.jwk, "d": "AA"}]}}, id="private key"),
        pytest.param({"jwks": {"keys": [EC.jwk, {"kty": "oct", "k": "AA"}]}}, id="symmetric key"),
        pytest.param(
            {"jwks": {"keys": [{"kty": "RSA", "n": number(2**1023 + 1), "e": "AQAB"}]}}, id="1024 bits"
        ),
        pytest.param({"jwks": EC.jwks, "token_endpoint_auth_signing_alg": "HS256"}, id="HS256"),
        pytest.param({"jwks": EC.jwks, "token_endpoint_auth_signing_alg": "none"}, id="alg none"),
        pytest.param({"jwks": EC.jwks, "token_endpoint_auth_signing_alg": ["ES256"]}, id="alg is a list"),
        pytest.param({"jwks": EC.jwks, "token_endpoint_auth_signing_alg": "RS256"}, id="no key of this alg"),
        pytest.param({"jwks_uri": f"http://{HOST}/jwks.json"}, id="no TLS"),
        pytest.param({"jwks_uri": "https://user:pw@app.example/jwks.json"}, id="user name"),
        pytest.param({"jwks_uri": JWKS_URI + "#x"}, id="fragment"),
        pytest.param({"jwks_uri": "javascript:alert(1)"}, id="script"),
        pytest.param({"jwks_uri": "file:///etc/passwd"}, id="file"),
        pytest.param({"jwks_uri": ["https://app.example/"]}, id="jwks_uri is a list"),
        pytest.param({"jwks_uri": "https://2130706433/jwks.json"}, id="decimal address"),
        pytest.param({"jwks_uri": "https://a.example/" + "x" * 1000}, id="long"),
        # Also where they are not to be used.
        pytest.param(
            {"jwks": {"keys": [{**EC.jwk, "d": "AA"}]}, "token_endpoint_auth_method": "none"}, id="public, private key"
        ),
        pytest.param(
            {"jwks_uri": "http://a.example/", "token_endpoint_auth_method": "client_secret_basic"}, id="secret, no TLS"
        ),
    ],
)  # fmt: skip
async def test_reg_12_a_client_that_could_not_authenticate_is_not_registered(
    standing: Standing, metadata: dict[str, Any]
) -> None:
    await refused(standing.world, send(standing.world, **metadata), 400, "invalid_client_metadata")


async def test_only_what_verifies_is_kept_of_registered_keys(standing: Standing) -> None:
    keys = [{**EC.jwk, "x5c": ["A" * 1000], "note": "\x00"}, EDWARDS.jwk, RSA.jwk]

    registered = (await send(standing.world, jwks={"keys": keys})).json()

    assert registered["jwks"] == {"keys": [EC.jwk, RSA.jwk]}
    assert "client_secret" not in registered
    assert "jwks_uri" not in registered


@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
async def test_of_a_client_that_does_not_sign_no_keys_are_kept(standing: Standing, method: str) -> None:
    answered = await send(standing.world, jwks=EDWARDS.jwks, token_endpoint_auth_method=method)

    assert answered.status_code == 201
    assert "jwks" not in answered.json()


async def test_reg_16_registering_an_address_of_keys_asks_nobody(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(egress=internet.egress())

    registered = (await send(world, jwks_uri=JWKS_URI, token_endpoint_auth_signing_alg="ES256")).json()

    assert (registered["jwks_uri"], registered["token_endpoint_auth_signing_alg"]) == (JWKS_URI, "ES256")
    assert (internet.lookups, internet.connections) == ([], [])


# ---------------------------------------------------------------------------------------------- jwks_uri
@pytest.fixture
async def world(make_world: MakeWorld, internet: Internet) -> World:
    made = await make_world(egress=internet.egress())
    await made.create_user("alice")
    return made


def publish(internet: Internet, *signers: SigningClient, cache_control: str = "max-age=600") -> None:
    keys = {"keys": [signer.jwk for signer in signers]}
    internet.pages["/jwks.json"] = answer(keys, cache_control=cache_control)


async def published(
    world: World, internet: Internet, **metadata: Any
) -> tuple[dict[str, Any], SigningClient]:
    """A client whose key is at an address."""
    signer = SigningClient()
    publish(internet, signer)
    return await register_signing(world, signer, jwks=None, jwks_uri=JWKS_URI, **metadata)


async def revoke(world: World, proof: dict[str, str]) -> httpx2.Response:
    """Authenticate, for nothing."""
    return await world.http.post("/oauth/revoke", data={"token": "unknown", **proof})


async def test_keys_are_read_where_the_client_publishes_them(world: World, internet: Internet) -> None:
    client, signer = await published(world, internet)
    assert internet.lookups == []

    form = world.redemption(client, await world.code(client), client_id=None)
    redeemed = await world.http.post("/oauth/token", data={**form, **signer.proof(world)})

    assert redeemed.status_code == 200, redeemed.text
    for _ in range(5):
        assert (await revoke(world, signer.proof(world))).status_code == 200
    assert internet.connections == [PUBLIC]


async def test_a_new_key_works_at_once_and_an_old_one_until_the_next_reading(
    world: World, internet: Internet
) -> None:
    _, old = await published(world, internet)
    assert (await revoke(world, old.proof(world))).status_code == 200
    new = SigningClient(Prover("RS256"), "key-2", old.client_id)
    publish(internet, new)

    world.clock.advance(seconds=11)
    assert (await revoke(world, new.proof(world))).status_code == 200
    assert (await revoke(world, old.proof(world))).status_code == 401
    assert len(internet.connections) == 2


async def test_strangers_cannot_make_this_server_hammer_a_host(world: World, internet: Internet) -> None:
    _, signer = await published(world, internet)
    for number_of_try in range(20):
        wrong = SigningClient(Prover(), f"unknown-{number_of_try}", signer.client_id)
        assert (await revoke(world, wrong.proof(world))).status_code == 401
    assert len(internet.connections) == 1

    # Nor do assertions that would be refused anyway, or that nobody could have signed.
    world.clock.advance(minutes=30)
    for changes in ({"aud": "https://other.example"}, {"exp": 1}, {"jti": None}, {"iss": "else"}):
        assert (await revoke(world, signer.proof(world, **changes))).status_code == 401
    stranger = SigningClient(Prover(), "key-1", "client_unknown")
    assert (await revoke(world, stranger.proof(world))).status_code == 401
    assert len(internet.connections) == 1


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_cim_5_keys_of_a_host_inside_are_never_read(
    internet: Internet, standing_keys: World, address: str
) -> None:
    """The same table as for documents: nobody is connected, and the client is refused like any other."""
    internet.names[HOST] = [[address]]
    internet.connections.clear()
    _, signer = await published(standing_keys, internet)
    standing_keys.clock.advance(seconds=11)

    assert_error(await revoke(standing_keys, signer.proof(standing_keys)), 401, "invalid_client")

    assert internet.connections == []
    assert await reason_of(standing_keys) == "assertion_without_keys"


@pytest.fixture
async def standing_keys(sqlite_url: str, internet: Internet) -> Any:
    """One server is enough to see that nobody is connected."""
    async with running_world(sqlite_url, internet.egress()) as made:
        yield made


async def test_cim_5_a_host_that_moves_inside_later_is_not_followed(world: World, internet: Internet) -> None:
    internet.names[HOST] = [[PUBLIC], ["127.0.0.1"]]
    _, signer = await published(world, internet)
    assert (await revoke(world, signer.proof(world))).status_code == 200
    world.clock.advance(minutes=30)

    assert (await revoke(world, signer.proof(world))).status_code == 200, "the last reading serves"
    assert (internet.lookups, internet.connections) == ([HOST, HOST], [PUBLIC])
    world.clock.advance(days=1)
    assert (await revoke(world, signer.proof(world))).status_code == 401


async def test_cim_18_hosts_that_the_operator_did_not_allow_are_not_asked_for_keys(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(egress=internet.egress(), client_id_metadata_hosts=("other.example",))

    assert_error(await send(world, jwks_uri=JWKS_URI), 400, "invalid_client_metadata")
    assert (await send(world, jwks_uri="https://other.example/jwks.json")).status_code == 201
    assert internet.lookups == []


async def test_a_slow_host_of_keys_holds_no_database_connection(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(egress=internet.egress(0.5), database_pool_size=1)
    _, signer = await published(world, internet)
    internet.pages["/jwks.json"] = drip(b"HTTP/1.1 200 OK\r\n")
    slow = asyncio.create_task(revoke(world, signer.proof(world)))

    assert (await world.register())["client_id"]

    assert not slow.done()
    assert_error(await slow, 401, "invalid_client")
    assert await reason_of(world) == "assertion_without_keys"


async def test_where_too_many_are_read_the_answer_is_to_come_back(world: World, internet: Internet) -> None:
    """503, and not `invalid_client`, on which clients throw their registration away."""
    signers = []
    for number_of_host in range(5):
        uri = f"https://h{number_of_host}.example/jwks.json"
        signers.append((await register_signing(world, SigningClient(), jwks=None, jwks_uri=uri))[1])
    internet.gate = asyncio.Event()
    waiting = [asyncio.create_task(revoke(world, signer.proof(world))) for signer in signers]

    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    (refusal,) = [task.result() for task in done]
    assert_error(refusal, 503, "temporarily_unavailable")
    assert int(refusal.headers["retry-after"]) > 0
    internet.gate.set()
    assert {task.status_code for task in await asyncio.gather(*pending)} == {401}


async def test_two_documents_of_one_host_are_told_apart(world: World, internet: Internet) -> None:
    """What lies behind a semicolon or a question mark is part of the address."""
    signer = SigningClient()
    internet.pages = {"/jwks.json;v=1": answer(signer.jwks), "/jwks.json": answer(document())}
    _, signer = await register_signing(world, signer, jwks=None, jwks_uri=JWKS_URI + ";v=1")

    assert (await revoke(world, signer.proof(world))).status_code == 200
