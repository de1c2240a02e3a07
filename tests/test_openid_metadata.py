"""What is said of OpenID Connect (Discovery §3, RFC 7591): the truth while it is on, and nothing while it is off."""

from collections.abc import Callable
from typing import Any

import pytest

from app.oauth.features import Feature
from tests.front_channel import assert_redirect_error
from tests.support.world import REDIRECT_URI, World
from tests.test_access_tokens import segments

SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
ISSUER = "http://localhost:8000"
# What Discovery §3 requires of every document, and clients that parse strictly miss.
REQUIRED = {
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
}
TOLD = {
    "userinfo_endpoint",
    "claims_supported",
    "claims_parameter_supported",
    "prompt_values_supported",
    "request_parameter_supported",
    "request_uri_parameter_supported",
}


async def metadata(world: World) -> dict[str, Any]:
    """The one document at both addresses."""
    document: dict[str, Any] = (await world.http.get(OPENID)).json()
    assert (await world.http.get(SERVER)).json() == document
    return document


async def test_it_says_what_there_is(world: World) -> None:
    document = await metadata(world)
    assert set(document) >= REQUIRED | TOLD
    assert "openid" in document["scopes_supported"]
    assert document["userinfo_endpoint"] == f"{ISSUER}/oauth/userinfo"
    assert document["subject_types_supported"] == ["public"]
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]


async def test_every_claim_that_is_named_is_told_and_no_other(world: World) -> None:
    named = (await metadata(world))["claims_supported"]
    tokens = await world.tokens(await world.register(), scope="openid profile email", nonce="n")
    assert set(segments(tokens["id_token"])[1]) == set(named)
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert set((await world.http.get("/oauth/userinfo", headers=headers)).json()) <= set(named)


@pytest.mark.parametrize(
    ("member", "parameter", "error"),
    [
        pytest.param("request_parameter_supported", "request", "request_not_supported", id="6.1"),
        pytest.param("request_uri_parameter_supported", "request_uri", "request_uri_not_supported", id="6.2"),
    ],
)
async def test_what_is_not_supported_is_said_and_refused(
    world: World, member: str, parameter: str, error: str
) -> None:
    """The default of `request_uri_parameter_supported` is true: it has to be there."""
    assert (await metadata(world))[member] is False
    answer = await world.authorize(
        await world.signed_in_browser(), await world.register(), **{parameter: "https://app.example/request"}
    )
    assert_redirect_error(world, answer, REDIRECT_URI, error, "some state")


async def test_every_prompt_that_is_named_is_understood_and_no_other(world: World) -> None:
    named = (await metadata(world))["prompt_values_supported"]
    client, browser = await world.register(), await world.signed_in_browser()
    for prompt in (*named, "create", "admin"):
        location = (await world.authorize(browser, client, prompt=prompt)).headers["location"]
        assert ("error=invalid_request" in location) is (prompt not in named), prompt


async def test_dsc_8_switched_off_nothing_is_promised_and_the_document_can_still_be_read(
    make_world: Callable[..., Any],
) -> None:
    """MCP clients that know only the address of OpenID Connect read the rest there."""
    on = await metadata(await make_world())
    world = await make_world(features_off=["openid"])
    off = await metadata(world)
    assert off.keys() == on.keys() - TOLD
    assert off.keys() >= REQUIRED
    assert [name for name in on["scopes_supported"] if name != "openid"] == off["scopes_supported"]
    registered = await world.register(scope="openid mcp", id_token_signed_response_alg="ES256")
    assert registered["scope"] == "mcp"
    assert "id_token_signed_response_alg" not in registered


async def test_dsc_8_it_stays_when_everything_else_is_off(make_world: Callable[..., Any]) -> None:
    world = await make_world(features_off=[each for each in Feature if each is not Feature.OPENID])
    await world.create_user("alice")
    assert set(await metadata(world)) >= TOLD
    tokens = await world.tokens(await world.register(), scope="openid")
    assert segments(tokens["id_token"])[1]["iss"] == ISSUER


@pytest.mark.parametrize("asked", ["ES256", "RS256", "none", "", 5, {}, ["RS256"]])
async def test_a_client_is_told_how_its_id_tokens_are_signed(world: World, asked: object) -> None:
    """RFC 7591 §3.2.1: the server may put another value, and says which."""
    registered = await world.register(id_token_signed_response_alg=asked)
    assert registered["id_token_signed_response_alg"] == "ES256"


async def test_a_client_that_does_not_ask_is_told_nothing(world: World) -> None:
    for metadata in ({}, {"id_token_signed_response_alg": None}):
        assert "id_token_signed_response_alg" not in await world.register(**metadata)
