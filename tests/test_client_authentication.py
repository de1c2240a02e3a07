"""How clients say who they are at the token endpoint (RFC 6749 §2.3): `none`, Basic, or the secret in the form."""

import base64
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import sqlalchemy as sa

from app.authorization_server.tables import clients
from tests import back_channel
from tests.back_channel import basic, refused
from tests.support.world import World


async def redeem(
    world: World,
    client: dict[str, Any],
    code: str,
    headers: dict[str, str] | None = None,
    **changes: str | None,
) -> httpx2.Response:
    """Redeem a code with these headers; nothing authenticates the client unless it is told here."""
    form = world.redemption({**client, "token_endpoint_auth_method": "none"}, code, **changes)
    return await world.http.post("/oauth/token", data=form, headers=headers or {})


async def still_redeems(world: World, client: dict[str, Any], code: str) -> None:
    """With the right credentials the code is good."""
    method = client["token_endpoint_auth_method"]
    if method == "client_secret_basic":
        answer = await redeem(world, client, code, basic(client), client_id=None)
    elif method == "client_secret_post":
        answer = await redeem(world, client, code, client_secret=client["client_secret"])
    else:
        answer = await redeem(world, client, code)
    assert answer.status_code == 200, answer.text


def header(scheme: str, credentials: bytes) -> dict[str, str]:
    """An Authorization header with encoded credentials."""
    return {"authorization": f"{scheme} {base64.b64encode(credentials).decode()}"}


@pytest.mark.parametrize(
    "client_id",
    [
        pytest.param("client_unknown", id="TOK-6-unknown"),
        pytest.param("x" * 5000, id="TOK-6-long"),
        pytest.param("ünknown", id="TOK-6-not-ascii"),
        pytest.param("https://app.example/client.json", id="TOK-6-url"),
    ],
)
async def test_an_unknown_client_is_told_so(world: World, client_id: str) -> None:
    client = await world.register()
    code = await world.code(client)

    answer = await refused(world, redeem(world, client, code, client_id=client_id), 401, "invalid_client")

    assert "www-authenticate" not in answer.headers
    await still_redeems(world, client, code)


async def test_tok_6_an_unknown_client_that_used_basic_is_challenged(world: World) -> None:
    request = world.http.post(
        "/oauth/token",
        data={"grant_type": "authorization_code", "code": "x", "code_verifier": "v" * 43},
        headers=header("Basic", b"client_unknown:ost_secret_wrong"),
    )

    answer = await refused(world, request, 401, "invalid_client")

    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
async def test_a_request_that_names_no_client_is_refused(world: World, method: str) -> None:
    client = await world.register(token_endpoint_auth_method=method)
    code = await world.code(client)

    answer = await redeem(world, client, code, client_id=None)

    assert answer.status_code in {400, 401}
    error = "invalid_request" if answer.status_code == 400 else "invalid_client"
    back_channel.assert_error(answer, answer.status_code, error)
    await still_redeems(world, client, code)


@pytest.mark.parametrize(
    ("scheme", "credentials"),
    [
        pytest.param("Basic", "{id}:ost_secret_wrong", id="TOK-7-wrong-secret"),
        pytest.param("Basic", "{id}:", id="TOK-7-empty-secret"),
        pytest.param("Basic", "{id}", id="TOK-7-no-colon"),
        pytest.param("Basic", ":{secret}", id="TOK-7-no-id"),
        pytest.param("Basic", "{id}:{secret}x", id="TOK-7-longer-secret"),
        pytest.param("Basic", "{id}: {secret}", id="TOK-7-space"),
        pytest.param("Basic", "{id}:{secret}\n", id="TOK-7-newline"),
        pytest.param("Basic", "{id}:%ff%fe", id="TOK-7-not-utf-8-when-decoded"),
        pytest.param("Basic", "{id}:%00", id="TOK-7-nul"),
        pytest.param("Basic", "{id}:é", id="TOK-7-not-ascii"),
        pytest.param("Bearer", "{id}:{secret}", id="TOK-7-other-scheme"),
        pytest.param("Digest", "{id}:{secret}", id="TOK-7-unknown-scheme"),
    ],
)
async def test_bad_credentials_are_refused_and_the_code_is_not_consumed(
    world: World, scheme: str, credentials: str
) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    code = await world.code(client)
    sent = credentials.format(id=client["client_id"], secret=client["client_secret"])
    request = redeem(world, client, code, header(scheme, sent.encode()), client_id=None)

    answer = await refused(world, request, 401, "invalid_client")

    assert answer.headers["www-authenticate"].startswith("Basic")
    await still_redeems(world, client, code)


@pytest.mark.parametrize(
    "value", ["Basic", "Basic ", "Basic !!!", "Basic =", "Basic YQ", "\xff\xfe", "Basic \xe9"]
)
async def test_tok_7_a_header_that_cannot_be_read_is_refused(world: World, value: str) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    code = await world.code(client)
    form = world.redemption(client, code)
    raw = [(b"authorization", value.encode("latin-1"))]

    answer = await world.http.post("/oauth/token", data=form, headers=raw)

    back_channel.assert_error(answer, 401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")
    await still_redeems(world, client, code)


async def test_tok_7_two_authorization_headers_are_refused(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    code = await world.code(client)
    good, bad = basic(client)["authorization"], basic(client, "wrong")["authorization"]
    for pair in ((good, bad), (bad, good)):
        answer = await world.http.post(
            "/oauth/token",
            data=world.redemption(client, code),
            headers=[("authorization", value) for value in pair],
        )
        assert answer.status_code in {400, 401}, answer.text
        back_channel.assert_error(answer, answer.status_code, "invalid_client", "invalid_request")
    await still_redeems(world, client, code)


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_the_right_credentials_are_accepted_in_every_spelling(
    world: World, scheme: str, encoded: bool
) -> None:
    """RFC 6749 §2.3.1: id and secret are form-encoded before they are joined; RFC 9110: any case of the scheme."""
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    client_id, secret = client["client_id"], client["client_secret"]
    if encoded:
        client_id, secret = quote(client_id).replace("_", "%5F"), quote(secret).replace("_", "%5f")
    headers = header(scheme, f"{client_id}:{secret}".encode())

    answer = await redeem(world, client, await world.code(client), headers, client_id=None)

    assert answer.status_code == 200, answer.text


async def test_basic_may_be_repeated_by_a_client_id_but_not_contradicted(world: World) -> None:
    client, other = (
        await world.register(token_endpoint_auth_method="client_secret_basic"),
        await world.register(client_name="Other"),
    )
    code = await world.code(client)

    contradicted = await redeem(world, client, code, basic(client), client_id=other["client_id"])
    assert contradicted.status_code in {400, 401}
    back_channel.assert_error(
        contradicted, contradicted.status_code, "invalid_client", "invalid_request", "invalid_grant"
    )

    assert (await redeem(world, client, code, basic(client))).status_code == 200


@pytest.mark.parametrize("secret", ["right", "wrong"])
async def test_two_ways_to_authenticate_at_once_are_refused(world: World, secret: str) -> None:
    """RFC 6749 §2.3: a client must not use more than one method in a request."""
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    code = await world.code(client)
    in_the_form = client["client_secret"] if secret == "right" else "ost_secret_wrong"

    answer = await redeem(world, client, code, basic(client), client_secret=in_the_form)

    assert answer.status_code in {400, 401}, answer.text
    error = "invalid_request" if answer.status_code == 400 else "invalid_client"
    back_channel.assert_error(answer, answer.status_code, error)
    await still_redeems(world, client, code)


@pytest.mark.parametrize(
    ("registered", "secret"),
    [
        pytest.param("client_secret_post", None, id="TOK-9-no-secret"),
        pytest.param("client_secret_post", "", id="TOK-9-empty-secret"),
        pytest.param("client_secret_post", "ost_secret_wrong", id="TOK-9-wrong-secret"),
        pytest.param("client_secret_basic", None, id="TOK-9-basic-without-header"),
        pytest.param("client_secret_basic", "ost_secret_wrong", id="TOK-9-basic-wrong-in-form"),
    ],
)
async def test_a_confidential_client_does_not_pass_without_its_secret(
    world: World, registered: str, secret: str | None
) -> None:
    client = await world.register(token_endpoint_auth_method=registered)
    code = await world.code(client)

    await refused(world, redeem(world, client, code, client_secret=secret), 401, "invalid_client")

    await still_redeems(world, client, code)


@pytest.mark.parametrize(
    ("registered", "used"),
    [
        pytest.param("client_secret_basic", "client_secret_post", id="TOK-9-basic-uses-post"),
        pytest.param("client_secret_post", "client_secret_basic", id="TOK-9-post-uses-basic"),
    ],
)
async def test_the_other_way_to_send_the_right_secret_is_refused_or_accepted_alike(
    world: World, registered: str, used: str
) -> None:
    """The specification leaves it to the server; both directions are treated the same, and nothing is lost."""
    client = await world.register(token_endpoint_auth_method=registered)
    code = await world.code(client)
    if used == "client_secret_basic":
        request = redeem(world, client, code, basic(client), client_id=None)
    else:
        request = redeem(world, client, code, client_secret=client["client_secret"])

    answer = await request

    if answer.status_code != 200:
        back_channel.assert_error(answer, 401, "invalid_client")
        await still_redeems(world, client, code)


@pytest.mark.parametrize("way", ["client_secret_post", "client_secret_basic"])
async def test_tok_9_a_secret_does_not_make_a_public_client_confidential(world: World, way: str) -> None:
    client = await world.register()
    assert "client_secret" not in client
    code = await world.code(client)
    if way == "client_secret_post":
        answer = await redeem(world, client, code, client_secret="ost_secret_invented")
    else:
        answer = await redeem(world, client, code, basic(client, "ost_secret_invented"), client_id=None)

    assert answer.status_code in {200, 401}, answer.text
    if answer.status_code == 401:
        back_channel.assert_error(answer, 401, "invalid_client")
        await still_redeems(world, client, code)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_tok_11_an_expired_secret_is_refused(world: World, method: str) -> None:
    client = await world.register(token_endpoint_auth_method=method)
    code = await world.code(client)
    expires_at = world.clock.now() + timedelta(seconds=10)
    async with world.database.transaction() as tx:
        await tx.execute(
            sa.update(clients)
            .where(clients.c.client_id == client["client_id"])
            .values(secret_expires_at=expires_at)
        )
    world.clock.advance(seconds=11)

    if method == "client_secret_basic":
        request = redeem(world, client, code, basic(client), client_id=None)
    else:
        request = redeem(world, client, code, client_secret=client["client_secret"])

    await refused(world, request, 401, "invalid_client")


async def test_secrets_are_told_apart_from_their_clients(world: World) -> None:
    """The secret of one client opens nothing for another."""
    one = await world.register(token_endpoint_auth_method="client_secret_post")
    two = await world.register(token_endpoint_auth_method="client_secret_post", client_name="Other")
    code = await world.code(one)

    request = redeem(world, one, code, client_secret=two["client_secret"])

    await refused(world, request, 401, "invalid_client")
    await still_redeems(world, one, code)


async def test_an_unknown_client_and_a_wrong_secret_get_the_same_words(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")

    answers = [
        await world.http.post("/oauth/token", data={"grant_type": "refresh_token"}, headers=headers)
        for headers in (basic(client, "wrong"), header("Basic", b"client_unknown:wrong"))
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json()["error"] for answer in answers} == {"invalid_client"}
