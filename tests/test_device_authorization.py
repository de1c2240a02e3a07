"""The device authorization endpoint (RFC 8628 §3.1, §3.2): who may ask, for what, and what the device is told."""

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests import back_channel, device_flow
from tests.back_channel import assert_error, basic, refused
from tests.device_flow import GRANT_TYPE
from tests.front_channel import change
from tests.support.internet import URL, Internet, document
from tests.support.internet import answer as page
from tests.support.world import REDIRECT_URI, World

MakeWorld = Callable[..., Awaitable[World]]
CONSONANTS = set("BCDFGHJKLMNPQRSTVWXZ")


# ---------------------------------------------------------------------------------------- registration
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"redirect_uris": None, "response_types": None}, id="REG-3 nothing about redirects"),
        pytest.param({"redirect_uris": [], "response_types": []}, id="REG-3 no redirects"),
        pytest.param({"redirect_uris": [REDIRECT_URI]}, id="REG-3 a redirect that is not needed"),
        pytest.param({"grant_types": [GRANT_TYPE]}, id="without refresh tokens"),
    ],
)
async def test_a_client_of_the_device_grant_alone_needs_no_redirect(
    world: World, changes: dict[str, Any]
) -> None:
    client = await device_flow.register(world, **changes)

    assert client["response_types"] == []
    assert client["redirect_uris"] == (changes.get("redirect_uris") or [])
    assert (await device_flow.ask(world, client)).status_code == 200


async def test_a_client_may_do_both(world: World) -> None:
    client = await world.register(grant_types=["authorization_code", "refresh_token", GRANT_TYPE])

    assert client["response_types"] == ["code"]
    assert "access_token" in await world.tokens(client)
    assert "access_token" in await device_flow.tokens(world, client)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param(
            {"response_types": ["code"]}, "invalid_client_metadata", id="REG-11 code without its grant"
        ),
        pytest.param({"response_types": ["token"]}, "invalid_client_metadata", id="REG-11 token"),
        pytest.param({"redirect_uris": [""]}, "invalid_redirect_uri", id="REG-3 empty redirect"),
        pytest.param({"redirect_uris": ""}, "invalid_redirect_uri", id="REG-3 text"),
        pytest.param({"redirect_uris": False}, "invalid_redirect_uri", id="REG-3 no list"),
        pytest.param({"redirect_uris": {}}, "invalid_redirect_uri", id="REG-3 object"),
        pytest.param(
            {"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri", id="REG-3 dangerous"
        ),
        pytest.param({"grant_types": []}, "invalid_client_metadata", id="REG-10 no grant type"),
        pytest.param({"grant_types": ["refresh_token"]}, "invalid_client_metadata", id="REG-10 no beginning"),
        pytest.param({"grant_types": ["device_code"]}, "invalid_client_metadata", id="REG-10 short name"),
        pytest.param(
            {"grant_types": [GRANT_TYPE, "password"]}, "invalid_client_metadata", id="REG-10 password too"
        ),
        pytest.param(
            {"grant_types": ["authorization_code", GRANT_TYPE], "redirect_uris": []},
            "invalid_redirect_uri",
            id="REG-3 the code grant still needs one",
        ),
    ],
)
async def test_metadata_that_does_not_fit_the_grant_is_refused(
    world: World, changes: dict[str, Any], error: str
) -> None:
    body = {"client_name": "Television", "grant_types": [GRANT_TYPE], **changes}

    await refused(world, world.http.post("/oauth/register", json=body), 400, error)


async def test_a_client_without_redirects_can_t_use_the_authorization_endpoint(world: World) -> None:
    client = await device_flow.register(world)
    browser = await world.signed_in_browser()

    for redirect_uri in (None, REDIRECT_URI):
        parameters = world.authorization(
            {**client, "redirect_uris": [REDIRECT_URI]}, redirect_uri=redirect_uri
        )
        answer = await browser.get("/authorize", params=parameters)
        assert answer.status_code == 400
        assert "location" not in answer.headers


# ------------------------------------------------------------------------------------------ the answer
async def test_a_device_is_told_everything_that_it_needs(world: World) -> None:
    answer = await device_flow.ask(world, await device_flow.register(world))

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {
        "device_code",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
    }
    assert body["verification_uri"] == f"{world.settings.public_url}/device"
    assert body["verification_uri_complete"] == f"{body['verification_uri']}?user_code={body['user_code']}"
    assert (body["expires_in"], body["interval"]) == (600, 5)
    assert len(body["device_code"]) > 43


async def test_opt_10_a_user_code_is_eight_letters_that_nobody_mistakes(world: World) -> None:
    """RFC 8628 §6.1: one of 20^8, 34.5 bits, and drawn evenly."""
    client = await device_flow.register(world)
    codes = [(await device_flow.begin(world, client)).user_code for _ in range(25)]

    for code in codes:
        assert (len(code), code[4]) == (9, "-")
        assert set(code.replace("-", "")) <= CONSONANTS
    assert len(set(codes)) == len(codes)
    assert len(set("".join(codes))) > 15


async def test_neither_code_is_stored_in_the_clear(world: World) -> None:
    device = await device_flow.begin(world, await device_flow.register(world))

    everything = str(
        [await world.rows(f"SELECT * FROM {table}") for table in ("device_authorizations", "audit_events")]  # noqa: S608
    )
    for secret in (device.device_code, device.user_code, device.user_code.replace("-", "")):
        assert secret not in everything


async def test_a_user_code_that_waits_already_is_drawn_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await device_flow.register(world)
    first = await device_flow.begin(world, client)
    letters = iter(first.user_code.replace("-", "") + "BCDFGHJK")
    monkeypatch.setattr(secrets, "choice", lambda among: next(letters) if len(among) == 20 else among[0])

    second = await device_flow.begin(world, client)

    assert second.user_code == "BCDF-GHJK"
    assert len(await world.rows("SELECT * FROM device_authorizations")) == 2


async def test_what_is_not_known_is_dropped_and_the_rest_waits(world: World) -> None:
    client = await device_flow.register(world)

    await device_flow.begin(world, client, scope="mcp brew-coffee", resource=None)
    await device_flow.begin(world, client, scope=None, resource="HTTP://LOCALHOST:8000/mcp/")

    rows = await world.rows("SELECT scope, dropped_scope, resource FROM device_authorizations ORDER BY scope")
    assert (rows[0]["scope"], rows[0]["dropped_scope"]) == ("mcp", "brew-coffee")
    assert {row["resource"] for row in rows} == {world.settings.resource}


async def test_without_a_scope_what_the_client_registered_is_asked_for(world: World) -> None:
    await device_flow.begin(world, await device_flow.register(world, scope="mcp email"), scope=None)

    [row] = await world.rows("SELECT scope FROM device_authorizations")
    assert row["scope"] == "mcp email"


# ---------------------------------------------------------------------------------------- who may ask
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
async def test_a_client_proves_who_it_is_as_at_the_token_endpoint(world: World, method: str) -> None:
    client = await device_flow.register(world, token_endpoint_auth_method=method)
    form = {"scope": "mcp"} | ({} if method == "client_secret_basic" else {"client_id": client["client_id"]})
    if method == "client_secret_post":
        form["client_secret"] = client["client_secret"]
    headers = basic(client) if method == "client_secret_basic" else {}

    answer = await world.http.post("/oauth/device_authorization", data=form, headers=headers)

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_client_that_proves_nothing_is_refused(world: World, method: str) -> None:
    client = await device_flow.register(world, token_endpoint_auth_method=method)
    wrong = {"client_id": client["client_id"], "client_secret": "ost_secret_" + "x" * 43}
    path, public = "/oauth/device_authorization", {"client_id": client["client_id"]}

    await refused(world, world.http.post(path, data=public), 401, "invalid_client")
    await refused(world, world.http.post(path, data=wrong), 401, "invalid_client")
    await refused(
        world, world.http.post(path, data={"scope": "mcp"}, headers=basic(wrong)), 401, "invalid_client"
    )
    assert await world.rows("SELECT * FROM device_authorizations") == []


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        pytest.param({"client_id": None}, 401, "invalid_client", id="nobody"),
        pytest.param({"client_id": "client_unknown"}, 401, "invalid_client", id="unknown client"),
        pytest.param({"scope": "brew-coffee"}, 400, "invalid_scope", id="unknown scope"),
        pytest.param({"scope": 'm"cp'}, 400, "invalid_scope", id="malformed scope"),
        pytest.param({"resource": "https://evil.example/mcp"}, 400, "invalid_target", id="foreign resource"),
        pytest.param({"resource": "/mcp"}, 400, "invalid_target", id="relative resource"),
    ],
)
async def test_a_request_that_breaks_a_rule_is_refused(
    world: World, changes: dict[str, str | None], status: int, error: str
) -> None:
    client = await device_flow.register(world)

    await refused(world, device_flow.ask(world, client, **changes), status, error)

    assert await world.rows("SELECT * FROM device_authorizations") == []


async def test_a_client_that_did_not_register_for_it_is_refused(world: World) -> None:
    await refused(world, device_flow.ask(world, await world.register()), 400, "unauthorized_client")


async def test_a_disabled_client_is_refused(world: World) -> None:
    client = await device_flow.register(world)
    await back_channel.disable_client(world, client)

    await refused(world, device_flow.ask(world, client), 401, "invalid_client")


@pytest.mark.parametrize("name", ["client_id", "scope"])
async def test_a_repeated_parameter_is_refused(world: World, name: str) -> None:
    client = await device_flow.register(world)
    form = {"client_id": client["client_id"], "scope": "mcp"}

    request = world.http.post("/oauth/device_authorization", data={**form, name: [form[name]] * 2})

    await refused(world, request, 400, "invalid_request")


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        pytest.param(json.dumps({"client_id": "x"}).encode(), "application/json", 400, id="json"),
        pytest.param(b"client_id=%ff", "application/x-www-form-urlencoded", 400, id="not utf-8"),
        pytest.param(b"client_id=a%00", "application/x-www-form-urlencoded", 400, id="nul"),
        pytest.param(b"x=" + b"y" * 100_000, "application/x-www-form-urlencoded", 413, id="huge"),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(
    world: World, content: bytes, media_type: str, status: int
) -> None:
    headers = {"content-type": media_type}

    request = world.http.post("/oauth/device_authorization", content=content, headers=headers)

    await refused(world, request, status, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_is_allowed(world: World, method: str) -> None:
    assert_error(await world.http.request(method, "/oauth/device_authorization"), 405, "invalid_request")


async def test_devices_of_one_client_at_one_address_are_limited_and_nobody_elses_are(world: World) -> None:
    client, other = await device_flow.register(world), await device_flow.register(world)

    answers = [await device_flow.ask(world, client) for _ in range(31)]

    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    assert answers[-1].headers["retry-after"] == "60"
    assert (await device_flow.ask(world, other)).status_code == 200
    async with world.machine("198.51.100.9") as elsewhere:
        form = device_flow.request(world, client)
        assert (await elsewhere.post("/oauth/device_authorization", data=form)).status_code == 200


async def test_a_client_that_the_operator_made_is_not_limited(world: World) -> None:
    client = await device_flow.register(world)
    await change(world, "UPDATE clients SET registration = 'manual'")

    answers = [await device_flow.ask(world, client) for _ in range(40)]

    assert {answer.status_code for answer in answers} == {200}


# --------------------------------------------------------------------------------- metadata documents
async def test_an_app_that_describes_itself_needs_no_registration(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(egress=internet.egress())
    await world.create_user("alice")
    described = document(grant_types=[GRANT_TYPE, "refresh_token"], redirect_uris=None)
    internet.pages["/client.json"] = page(described)

    issued = await device_flow.tokens(world, {"client_id": URL})

    assert (await world.call(issued["access_token"])).status_code == 200


async def test_an_app_whose_description_can_t_be_read_is_refused(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(egress=internet.egress())
    internet.pages.clear()

    await refused(world, device_flow.ask(world, {"client_id": URL}), 400, "invalid_client")


# --------------------------------------------------------------------------------------- switched off
async def test_switched_off_the_endpoint_is_gone_with_everything_that_names_it(make_world: MakeWorld) -> None:
    world = await make_world(features_off="device")
    client = await world.register()
    metadata = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    body = {"client_name": "Television", "grant_types": [GRANT_TYPE]}
    form = {"grant_type": GRANT_TYPE, "device_code": "x", "client_id": client["client_id"]}

    assert "device_authorization_endpoint" not in metadata
    assert GRANT_TYPE not in metadata["grant_types_supported"]
    assert (await device_flow.ask(world, client)).status_code == 404
    await refused(world, world.http.post("/oauth/register", json=body), 400, "invalid_client_metadata")
    await refused(world, world.http.post("/oauth/token", data=form), 400, "unsupported_grant_type")


async def test_switched_off_an_app_that_can_do_both_registers_for_the_other(make_world: MakeWorld) -> None:
    world = await make_world(features_off="device")
    client = await world.register(grant_types=["authorization_code", GRANT_TYPE])
    assert client["grant_types"] == ["authorization_code"]


async def test_switched_on_the_metadata_names_it(world: World) -> None:
    metadata = (await world.http.get("/.well-known/oauth-authorization-server")).json()

    endpoint = f"{world.settings.public_url}/oauth/device_authorization"
    assert metadata["device_authorization_endpoint"] == endpoint
    assert GRANT_TYPE in metadata["grant_types_supported"]
