"""Metadata tells the truth: what it names works, and what is switched off is neither named nor there."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from app.oauth.features import Feature
from tests.support.world import World

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
METADATA = "/.well-known/oauth-authorization-server"
TRUSTED = [{"issuer": "https://id.example", "jwks_uri": "https://id.example/keys"}]
# Everything that has to be set for a feature to be there at all.
ALL_ON: dict[str, Any] = {"trusted_issuers": TRUSTED}


@dataclass(frozen=True)
class Traces:
    """Where a feature shows: members of the metadata, values in lists of it, and endpoints."""

    members: tuple[str, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    endpoints: tuple[tuple[str, str], ...] = ()


GRANTS = "grant_types_supported"
TRACES = {
    Feature.REGISTRATION_MANAGEMENT: Traces(endpoints=(("GET", "/oauth/register/client_x"),)),
    Feature.PRIVATE_KEY_JWT: Traces(
        members=("token_endpoint_auth_signing_alg_values_supported",),
        values=(
            ("token_endpoint_auth_methods_supported", "private_key_jwt"),
            ("revocation_endpoint_auth_methods_supported", "private_key_jwt"),
            ("introspection_endpoint_auth_methods_supported", "private_key_jwt"),
        ),
    ),
    Feature.CLIENT_CREDENTIALS: Traces(values=((GRANTS, "client_credentials"),)),
    Feature.DEVICE: Traces(
        members=("device_authorization_endpoint",),
        values=((GRANTS, "urn:ietf:params:oauth:grant-type:device_code"),),
        endpoints=(("POST", "/oauth/device_authorization"), ("GET", "/device"), ("POST", "/device")),
    ),
    Feature.TOKEN_EXCHANGE: Traces(values=((GRANTS, "urn:ietf:params:oauth:grant-type:token-exchange"),)),
    Feature.JWT_BEARER: Traces(
        members=("authorization_grant_profiles_supported",),
        values=((GRANTS, "urn:ietf:params:oauth:grant-type:jwt-bearer"),),
    ),
    Feature.INTROSPECTION: Traces(
        members=(
            "introspection_endpoint",
            "introspection_endpoint_auth_methods_supported",
            "introspection_signing_alg_values_supported",
        ),
        endpoints=(("POST", "/oauth/introspect"),),
    ),
    Feature.PUSHED_REQUESTS: Traces(
        members=("pushed_authorization_request_endpoint",), endpoints=(("POST", "/oauth/par"),)
    ),
    Feature.OPENID: Traces(
        members=("userinfo_endpoint", "claims_supported"),
        values=(("scopes_supported", "openid"),),
        endpoints=(("GET", "/oauth/userinfo"), ("POST", "/oauth/userinfo")),
    ),
    Feature.DPOP: Traces(members=("dpop_signing_alg_values_supported",)),
}


async def metadata_of(world: World) -> dict[str, Any]:
    """What it tells of itself."""
    metadata: dict[str, Any] = (await world.http.get(METADATA)).json()
    return metadata


async def is_there(world: World, method: str, path: str) -> bool:
    """Whether anything answers at this address."""
    answer = await world.http.request(method, path)
    assert answer.status_code < 500
    return answer.status_code != 404


def test_every_feature_has_its_traces() -> None:
    assert set(TRACES) == set(Feature)


@pytest.mark.parametrize("feature", list(Feature))
async def test_dsc_8_a_feature_goes_with_all_its_traces(make_world: MakeWorld, feature: Feature) -> None:
    traces, on = TRACES[feature], await make_world(**ALL_ON)
    told = await metadata_of(on)
    assert [name for name in traces.members if name not in told] == []
    assert [(name, value) for name, value in traces.values if value not in told[name]] == []
    assert [place for place in traces.endpoints if not await is_there(on, *place)] == []

    off = await make_world(**ALL_ON, features_off=feature.value)
    told = await metadata_of(off)
    assert [name for name in traces.members if name in told] == []
    assert [(name, value) for name, value in traces.values if value in told.get(name, ())] == []
    assert [place for place in traces.endpoints if await is_there(off, *place)] == []


@pytest.mark.parametrize("feature", list(Feature))
async def test_switching_one_off_leaves_the_main_job_alone(make_world: MakeWorld, feature: Feature) -> None:
    world = await make_world(**ALL_ON, features_off=feature.value)
    await world.create_user()
    client = await world.register()
    tokens = await world.tokens(client)
    assert (await world.call(tokens["access_token"])).status_code == 200
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


async def test_whatever_the_metadata_names_answers(make_world: MakeWorld) -> None:
    """Every endpoint is there, every grant type is understood, every way to authenticate can be registered."""
    world = await make_world(**ALL_ON)
    told = await metadata_of(world)
    for name, url in told.items():
        if name.endswith(("_endpoint", "jwks_uri")):
            assert await is_there(world, "GET", url.removeprefix(world.settings.public_url)), name
    for grant_type in told[GRANTS]:
        answer = await world.http.post("/oauth/token", data={"grant_type": grant_type})
        assert answer.json()["error"] != "unsupported_grant_type", grant_type
    for method in told["token_endpoint_auth_methods_supported"]:
        more = {"jwks_uri": "https://a.example/keys"} if method == "private_key_jwt" else {}
        client = await world.register(token_endpoint_auth_method=method, **more)
        assert client["token_endpoint_auth_method"] == method
    for resource in told["protected_resources"]:
        assert await is_there(world, "POST", resource.removeprefix(world.settings.public_url))


@pytest.mark.parametrize(
    ("settings", "member"),
    [
        pytest.param({"registration": "closed"}, "registration_endpoint", id="REG-22"),
        pytest.param(
            {"client_id_metadata_documents": False}, "client_id_metadata_document_supported", id="documents"
        ),
    ],
)
async def test_dsc_8_what_a_setting_switches_off_is_not_told(
    make_world: MakeWorld, settings: dict[str, Any], member: str
) -> None:
    assert member in await metadata_of(await make_world())
    assert member not in await metadata_of(await make_world(**settings))


async def test_the_first_page_names_what_is_there(make_world: MakeWorld) -> None:
    optional = {
        path for traces in TRACES.values() for _, path in traces.endpoints if path.startswith("/oauth/")
    }
    named = optional - {"/oauth/register/client_x"} | {"/oauth/register"}
    page = (await (await make_world()).browser().get("/")).text
    assert [path for path in named if f">{path}<" not in page] == []
    off = await make_world(features_off=" ".join(Feature), registration="closed")
    page = (await off.browser().get("/")).text
    assert [path for path in named if f">{path}<" in page] == []


async def test_reg_22_where_registration_is_closed_nothing_is_stored(make_world: MakeWorld) -> None:
    world = await make_world(registration="closed")
    answer = await world.http.post("/oauth/register", json={"redirect_uris": ["http://127.0.0.1/cb"]})
    assert answer.status_code in {403, 404}
    assert {"error", "error_description"} <= answer.json().keys()
    assert await world.rows("SELECT * FROM clients") == []
