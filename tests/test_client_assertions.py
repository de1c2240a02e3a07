"""Clients that sign for themselves: `private_key_jwt` (RFC 7523 §2.2 and §3, OpenID Connect Core §9)."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.back_channel import assert_error, basic, disable_client, no_effect, refused
from tests.front_channel import Standing
from tests.support.dpop import Prover
from tests.support.signing import ASSERTION_TYPE, SigningClient, register_signing
from tests.support.world import VERIFIER, World

pytest_plugins = ["tests.standing"]

Change = Callable[[World, SigningClient], dict[str, Any]]


async def redeem(
    world: World, client: dict[str, Any], code: str, proof: dict[str, str], **changes: str | None
) -> httpx2.Response:
    """Redeem a code; the assertion alone says who asks, unless told otherwise."""
    form = world.redemption(client, code, client_id=None, **changes)
    return await world.http.post("/oauth/token", data={**form, **proof})


async def reason_of(world: World) -> str:
    """Why the last request was refused, as the audit record tells and the answer does not."""
    return str((await world.last_refusal())["reason"])


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_client_that_signs_gets_refreshes_and_revokes_tokens(world: World, algorithm: str) -> None:
    client, signer = await register_signing(world, SigningClient(Prover(algorithm)))

    assert "client_secret" not in client
    assert client["jwks"] == signer.jwks
    answer = await redeem(world, client, await world.code(client), signer.proof(world))
    assert answer.status_code == 200, answer.text
    refreshed = await world.refresh(client, answer.json()["refresh_token"], **signer.proof(world))
    assert refreshed.status_code == 200
    token = refreshed.json()["access_token"]
    assert (await world.call(token)).status_code == 200
    revoked = await world.revoke(client, token, **signer.proof(world))
    assert (revoked.status_code, (await world.call(token)).status_code) == (200, 401)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="issuer"),
        pytest.param({"aud": ["{issuer}"]}, id="list of one"),
        pytest.param({"aud": "{issuer}/oauth/token"}, id="token endpoint"),
        pytest.param({"aud": "{issuer}/oauth/revoke"}, id="revocation endpoint"),
        pytest.param({"aud": "{issuer}/oauth/par"}, id="pushed requests"),
        pytest.param({"header": {"typ": None}}, id="no typ"),
        pytest.param({"header": {"typ": "client-authentication+jwt"}}, id="typ of its own"),
        pytest.param({"header": {"kid": None}}, id="no kid"),
        pytest.param({"iat": None}, id="no iat"),
        pytest.param({"more": {"a": 1}}, id="further claims"),
        pytest.param({"jti": "x" * 512}, id="long jti"),
    ],
)
async def test_what_the_specifications_allow_is_accepted(standing: Standing, changes: dict[str, Any]) -> None:
    world = standing.world
    client, signer = await register_signing(world)
    issuer = world.settings.public_url
    if "aud" in changes:
        aud = changes["aud"]
        changes["aud"] = [issuer] if isinstance(aud, list) else aud.format(issuer=issuer)

    answer = await world.http.post(
        "/oauth/revoke",
        data={"token": "unknown", "client_id": client["client_id"], **signer.proof(world, **changes)},
    )

    assert answer.status_code == 200, answer.text


def _of_another_client(world: World, signer: SigningClient) -> str:
    other = SigningClient(signer.prover, signer.kid, "client_other")
    return other.assertion(world)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda w, s: s.assertion(w, iss="else"), "assertion_subject", id="iss"),
        pytest.param(lambda w, s: s.assertion(w, iss=None), "assertion_subject", id="no iss"),
        pytest.param(lambda w, s: s.assertion(w, sub=None), "assertion_subject", id="no sub"),
        pytest.param(lambda w, s: s.assertion(w, sub=[s.client_id]), "assertion_subject", id="sub is a list"),
        pytest.param(lambda w, s: s.assertion(w, sub="\ud800"), "assertion_subject", id="sub is no text"),
        pytest.param(lambda w, s: s.assertion(w, sub="a\x00"), "assertion_subject", id="sub with NUL"),
        pytest.param(_of_another_client, "unknown_client", id="unknown client"),
        pytest.param(lambda w, s: s.assertion(w, aud=None), "assertion_audience", id="no aud"),
        pytest.param(
            lambda w, s: s.assertion(w, aud="https://other.example"), "assertion_audience", id="other server"
        ),
        pytest.param(
            lambda w, s: s.assertion(w, aud=[w.settings.public_url, "https://other.example"]),
            "assertion_audience",
            id="two audiences",
        ),
        pytest.param(
            lambda w, s: s.assertion(w, aud=w.settings.public_url + "/"), "assertion_audience", id="slash"
        ),
        pytest.param(
            lambda w, s: s.assertion(w, aud=w.settings.resource), "assertion_audience", id="the resource"
        ),
        pytest.param(lambda w, s: s.assertion(w, exp=None), "assertion_time", id="no exp"),
        pytest.param(lambda w, s: s.assertion(w, exp=1), "assertion_time", id="expired"),
        pytest.param(lambda w, s: s.assertion(w, exp=2**40), "assertion_time", id="valid for ages"),
        pytest.param(lambda w, s: s.assertion(w, iat=2**40), "assertion_time", id="made in the future"),
        pytest.param(lambda w, s: s.assertion(w, nbf=2**40), "assertion_time", id="not yet"),
        pytest.param(lambda w, s: s.assertion(w, jti=None), "assertion_identifier", id="no jti"),
        pytest.param(lambda w, s: s.assertion(w, jti=""), "assertion_identifier", id="empty jti"),
        pytest.param(lambda w, s: s.assertion(w, jti=7), "assertion_identifier", id="jti is a number"),
        pytest.param(lambda w, s: s.assertion(w, jti="x" * 513), "assertion_identifier", id="jti too long"),
        pytest.param(lambda w, s: s.assertion(w, jti="\ud800"), "assertion_identifier", id="jti is no text"),
        pytest.param(
            lambda w, s: SigningClient(Prover(), s.kid, s.client_id).assertion(w),
            "assertion_signature",
            id="other key",
        ),
        pytest.param(
            lambda w, s: s.assertion(w, header={"kid": "other"}), "assertion_signature", id="unknown kid"
        ),
        pytest.param(
            lambda w, s: s.assertion(w, header={"typ": "dpop+jwt"}), "assertion_malformed", id="other typ"
        ),
        pytest.param(
            lambda w, s: s.assertion(w, header={"alg": "none"}), "assertion_malformed", id="alg none"
        ),
        pytest.param(
            lambda w, s: s.assertion(w, header={"alg": "HS256"}), "assertion_malformed", id="alg HS256"
        ),
        pytest.param(lambda w, s: s.assertion(w, header={"crit": ["exp"]}), "assertion_malformed", id="crit"),
        pytest.param(lambda w, s: s.assertion(w, more="x" * 9000), "assertion_malformed", id="too long"),
        pytest.param(lambda _w, _s: "no.jwt.here", "assertion_malformed", id="no JWT"),
        pytest.param(lambda w, s: s.assertion(w).split(".")[0], "assertion_malformed", id="a header alone"),
    ],
)
async def test_an_assertion_that_does_not_prove_it_is_refused_without_telling_why(
    standing: Standing, make: Callable[[World, SigningClient], str], reason: str
) -> None:
    world = standing.world
    _, signer = await register_signing(world)
    request = world.http.post(
        "/oauth/revoke", data={"token": "unknown", **signer.proof(world, make(world, signer))}
    )

    answer = await refused(world, request, 401, "invalid_client")

    assert answer.json()["error_description"] == "Client authentication failed."
    assert "www-authenticate" not in answer.headers
    assert await reason_of(world) == reason


@pytest.mark.parametrize(
    ("change", "status", "error", "reason"),
    [
        pytest.param({"client_assertion_type": None}, 401, "invalid_client", "assertion_type", id="no type"),
        pytest.param(
            {"client_assertion_type": ASSERTION_TYPE + "x"}, 401, "invalid_client", "assertion_type",
            id="other type",
        ),
        pytest.param(
            {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, 401,
            "invalid_client", "assertion_type", id="SAML",
        ),
        pytest.param(
            {"client_assertion": None}, 401, "invalid_client", "assertion_malformed", id="type without assertion"
        ),
        pytest.param({"client_id": "else"}, 401, "invalid_client", "assertion_subject", id="other client_id"),
        pytest.param(
            {"client_secret": "s"}, 400, "invalid_request", "Only one client authentication method may be used.",
            id="secret besides",
        ),
    ],
)  # fmt: skip
async def test_the_form_says_one_thing_only(
    standing: Standing, change: dict[str, str | None], status: int, error: str, reason: str
) -> None:
    world = standing.world
    client, signer = await register_signing(world)
    form = {"token": "x", "client_id": client["client_id"], **signer.proof(world), **change}
    data = {name: value for name, value in form.items() if value is not None}

    await refused(world, world.http.post("/oauth/revoke", data=data), status, error)

    assert await reason_of(world) == reason


async def test_a_header_besides_is_refused(standing: Standing) -> None:
    world = standing.world
    client, signer = await register_signing(world)
    header = basic({"client_id": client["client_id"], "client_secret": "secret"})
    request = world.http.post("/oauth/revoke", data={"token": "x", **signer.proof(world)}, headers=header)

    await refused(world, request, 400, "invalid_request")


@pytest.mark.parametrize("part", ["client_assertion", "client_assertion_type"])
async def test_a_repeated_parameter_is_refused(standing: Standing, part: str) -> None:
    world = standing.world
    _, signer = await register_signing(world)
    form = list(signer.proof(world).items())
    body = httpx2.QueryParams([("token", "x"), *form, (part, dict(form)[part])])
    request = world.http.post(
        "/oauth/revoke",
        content=str(body),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )

    await refused(world, request, 400, "invalid_request")


async def test_cim_16_without_an_assertion_nothing_is_consumed(world: World) -> None:
    client, signer = await register_signing(world)
    code = await world.code(client)

    await refused(world, world.redeem(client, code), 401, "invalid_client")
    wrong = SigningClient(Prover(), signer.kid, signer.client_id)
    await refused(world, redeem(world, client, code, wrong.proof(world)), 401, "invalid_client")
    await refused(world, world.redeem(client, code, client_secret="guessed"), 401, "invalid_client")

    answer = await redeem(world, client, code, signer.proof(world))
    assert answer.status_code == 200, answer.text
    refresh_token = answer.json()["refresh_token"]
    await refused(world, world.refresh(client, refresh_token), 401, "invalid_client")
    assert (await world.refresh(client, refresh_token, **signer.proof(world))).status_code == 200


async def test_an_assertion_proves_it_once_also_when_the_rest_of_the_request_is_refused(world: World) -> None:
    client, signer = await register_signing(world)
    code, proof = await world.code(client), signer.proof(world)

    await refused(world, redeem(world, client, code, proof, code_verifier="w" * 43), 400, "invalid_grant")
    await refused(world, redeem(world, client, code, proof), 401, "invalid_client")

    assert await reason_of(world) == "assertion_replayed"
    assert (await redeem(world, client, code, signer.proof(world))).status_code == 200


async def test_twenty_at_once_with_one_assertion_are_one(world: World) -> None:
    _, signer = await register_signing(world)
    form = {"token": "unknown", **signer.proof(world)}

    answers = await asyncio.gather(*(world.http.post("/oauth/revoke", data=form) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


async def test_another_client_may_use_the_same_identifier(world: World) -> None:
    for _ in range(2):
        _, signer = await register_signing(world)
        answer = await world.http.post(
            "/oauth/revoke", data={"token": "unknown", **signer.proof(world, jti="same")}
        )
        assert answer.status_code == 200, answer.text


async def test_an_identifier_is_remembered_as_long_as_its_assertion_would_be_accepted(world: World) -> None:
    _, signer = await register_signing(world)
    form = {"token": "unknown", **signer.proof(world)}
    assert (await world.http.post("/oauth/revoke", data=form)).status_code == 200

    (row,) = await world.rows(
        "SELECT expires_at, identifier_hash FROM used_identifiers WHERE kind = 'assertion'"
    )
    assert signer.client_id not in row["identifier_hash"]
    world.clock.advance(seconds=119)
    assert_error(await world.http.post("/oauth/revoke", data=form), 401, "invalid_client")
    assert await reason_of(world) == "assertion_replayed"
    world.clock.advance(seconds=1)
    assert_error(await world.http.post("/oauth/revoke", data=form), 401, "invalid_client")
    assert await reason_of(world) == "assertion_time"
    assert str(world.clock.now().replace(tzinfo=None))[:19] == str(row["expires_at"])[:19]


@pytest.mark.parametrize(
    "metadata",
    [
        {"token_endpoint_auth_method": "none"}, {"token_endpoint_auth_method": "client_secret_basic"},
        {"token_endpoint_auth_method": "client_secret_post"},
    ],
    ids=["none", "basic", "post"],
)  # fmt: skip
async def test_only_who_registered_to_sign_may_sign(standing: Standing, metadata: dict[str, Any]) -> None:
    world = standing.world
    _, signer = await register_signing(world, **metadata)

    request = world.http.post("/oauth/revoke", data={"token": "x", **signer.proof(world)})
    await refused(world, request, 401, "invalid_client")

    assert await reason_of(world) == "wrong_method"


async def test_the_registered_algorithm_is_the_only_one(standing: Standing) -> None:
    world = standing.world
    strong, weak = SigningClient(Prover("RS256"), "rsa"), SigningClient(Prover("ES256"), "ec")
    client, _ = await register_signing(
        world, strong, jwks={"keys": [strong.jwk, weak.jwk]}, token_endpoint_auth_signing_alg="RS256"
    )
    weak.client_id = client["client_id"]

    request = world.http.post("/oauth/revoke", data={"token": "x", **weak.proof(world)})
    await refused(world, request, 401, "invalid_client")
    assert await reason_of(world) == "assertion_algorithm"
    answer = await world.http.post("/oauth/revoke", data={"token": "x", **strong.proof(world)})
    assert answer.status_code == 200


async def test_a_disabled_client_proves_nothing(world: World) -> None:
    client, signer = await register_signing(world)
    await disable_client(world, client)

    request = world.http.post("/oauth/revoke", data={"token": "x", **signer.proof(world)})
    await refused(world, request, 401, "invalid_client")
    assert await reason_of(world) == "client_disabled"


async def test_switched_off_nobody_signs(make_world: Callable[..., Any]) -> None:
    _, signer = await register_signing(await make_world())
    without = await make_world(features_off=("private_key_jwt",))

    async with no_effect(without):
        answer = await without.http.post("/oauth/revoke", data={"token": "x", **signer.proof(without)})
    assert_error(answer, 401, "invalid_client")
    assert await reason_of(without) == "method_off"
    body = {
        "redirect_uris": ["https://app.example/cb"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": signer.jwks,
    }
    assert_error(await without.http.post("/oauth/register", json=body), 400, "invalid_client_metadata")
    metadata = (await without.http.get("/.well-known/oauth-authorization-server")).json()
    for endpoint in ("token", "revocation"):
        assert "private_key_jwt" not in metadata[f"{endpoint}_endpoint_auth_methods_supported"]
        assert f"{endpoint}_endpoint_auth_signing_alg_values_supported" not in metadata


async def test_the_metadata_says_how_to_sign(standing: Standing) -> None:
    metadata = (await standing.world.http.get("/.well-known/oauth-authorization-server")).json()

    for endpoint in ("token", "revocation"):
        assert "private_key_jwt" in metadata[f"{endpoint}_endpoint_auth_methods_supported"]
        assert metadata[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] == ["RS256", "ES256"]


async def test_guessing_is_limited(world: World) -> None:
    _, signer = await register_signing(world)
    wrong = SigningClient(Prover(), signer.kid, signer.client_id)
    form = {"grant_type": "authorization_code", "code": "x", "code_verifier": VERIFIER}

    statuses = [
        (await world.http.post("/oauth/token", data={**form, **wrong.proof(world)})).status_code
        for _ in range(61)
    ]

    assert statuses == [401] * 60 + [429]
    other = world.machine("198.51.100.9")
    assert (await other.post("/oauth/token", data={**form, **signer.proof(world)})).status_code == 400
