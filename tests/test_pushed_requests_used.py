"""What a pushed request is worth at the authorization endpoint (RFC 9126 §4), and where requests must be pushed."""

import pytest

from tests.back_channel import refused
from tests.front_channel import Standing, answer_to, assert_page, assert_redirect_error, change
from tests.pushing import PAR, URN, MakeWorld, assert_no_interaction, push, pushed
from tests.support.world import CHALLENGE, REDIRECT_URI, World

pytest_plugins = ["tests.standing"]


# ------------------------------------------------------------------------------------------ at authorize
async def test_what_stands_beside_the_handle_is_not_looked_at(world: World) -> None:
    """RFC 9126 §4: nobody on the way can change what the client pushed, or make it fail."""
    client = await world.register()
    query = await pushed(world, client, scope="mcp", state="the client's")
    browser = await world.signed_in_browser()
    added = {
        "redirect_uri": "https://evil.example/",
        "scope": "mcp profile email",
        "state": "another",
        "response_type": "token",
        "request": "x",
        "resource": "https://evil.example/",
        "authorization_details": "[]",
    }

    sent = await browser.get("/authorize", params={**query, **added})
    approved = await world.decide(browser, sent.headers["location"])

    answer = answer_to(approved.headers["location"], REDIRECT_URI)
    assert answer["state"] == "the client's"
    tokens = (await world.redeem(client, answer["code"])).json()
    assert tokens["scope"] == "mcp"


async def test_the_handle_may_be_posted(world: World) -> None:
    """AUZ-22: POST is checked in the same way."""
    query = await pushed(world, await world.register())
    sent = await (await world.signed_in_browser()).post("/authorize", data=query)
    assert sent.headers["location"].startswith("/consent/")


async def test_a_refusal_that_needs_the_browser_goes_back_to_the_client(world: World) -> None:
    query = await pushed(world, await world.register(), prompt="none")
    answer = await (await world.signed_in_browser()).get("/authorize", params=query)
    assert_redirect_error(world, answer, REDIRECT_URI, "consent_required", "some state")


async def test_a_redirect_uri_that_was_taken_back_meanwhile_is_a_page(world: World) -> None:
    query = await pushed(world, await world.register())
    await change(world, """UPDATE clients SET redirect_uris = '["https://b.example/"]'""")
    await assert_no_interaction(world, await world.signed_in_browser(), query)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"request_uri": "https://a.example/r"}, "request_uri_not_supported", id="URL"),
        pytest.param({"request_uri": "urn:x"}, "request_uri_not_supported", id="another URN"),
        pytest.param({"request": "e30.e30."}, "request_not_supported", id="object"),
        pytest.param({"request": "x", "request_uri": "https://a"}, "request_not_supported", id="both"),
        pytest.param({"authorization_details": "[]"}, "invalid_authorization_details", id="empty details"),
        pytest.param({"authorization_details": "x"}, "invalid_authorization_details", id="broken details"),
        pytest.param(
            {"authorization_details": '[{"type":"payment_initiation"}]'},
            "invalid_authorization_details",
            id="RFC 9396 details",
        ),
    ],
)
async def test_what_is_not_understood_is_refused_rather_than_ignored(
    standing: Standing, change: dict[str, str], error: str
) -> None:
    """RFC 9101, RFC 9396: nobody must believe that a restriction holds which was not read."""
    client = await standing.client()
    answer = await standing.world.authorize(standing.signed_in, client, **change)
    assert_redirect_error(standing.world, answer, REDIRECT_URI, error, "some state")
    assert_page(await standing.world.authorize(standing.world.browser(), client, **change))


@pytest.mark.parametrize("grant_type", ["authorization_code", "refresh_token"])
async def test_authorization_details_at_the_token_endpoint_spend_nothing(
    world: World, grant_type: str
) -> None:
    client = await world.register()
    code = await world.code(client)
    details = {"authorization_details": '[{"type":"payment_initiation"}]'}
    if grant_type == "authorization_code":
        request = world.redeem(client, code, **details)
        await refused(world, request, 400, "invalid_authorization_details")
        assert (await world.redeem(client, code)).status_code == 200
    else:
        token = (await world.redeem(client, code)).json()["refresh_token"]
        await refused(world, world.refresh(client, token, **details), 400, "invalid_authorization_details")
        assert (await world.refresh(client, token)).status_code == 200


async def test_authorization_details_of_a_device_are_refused(standing: Standing) -> None:
    client = await standing.client()
    form = {"client_id": client["client_id"], "authorization_details": '[{"type":"payment_initiation"}]'}
    request = standing.world.http.post("/oauth/device_authorization", data=form)
    await refused(standing.world, request, 400, "invalid_authorization_details")


# ------------------------------------------------------------------------------------------ OPT-3
async def test_opt_3_a_server_that_wants_pushed_requests_refuses_plain_ones(make_world: MakeWorld) -> None:
    world = await make_world(require_pushed_requests=True)
    await world.create_user("alice")
    client, browser = await world.register(), await world.signed_in_browser()

    plain = await world.authorize(browser, client)

    assert_redirect_error(world, plain, REDIRECT_URI, "invalid_request", "some state")
    assert_page(await world.authorize(world.browser(), client))
    sent = await browser.get("/authorize", params=await pushed(world, client))
    assert sent.headers["location"].startswith("/consent/")
    told = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert told["require_pushed_authorization_requests"] is True


async def test_opt_3_a_client_that_wants_pushed_requests_gets_no_others(world: World) -> None:
    """RFC 9126 §6."""
    client = await world.register(require_pushed_authorization_requests=True)
    assert client["require_pushed_authorization_requests"] is True
    browser = await world.signed_in_browser()
    plain = await world.authorize(browser, client)
    assert_redirect_error(world, plain, REDIRECT_URI, "invalid_request", "some state")
    sent = await browser.get("/authorize", params=await pushed(world, client))
    assert sent.headers["location"].startswith("/consent/")
    careless = await world.register(require_pushed_authorization_requests=False)
    assert (await world.authorize(browser, careless)).headers["location"].startswith("/consent/")


@pytest.mark.parametrize("value", ["true", 1, [], {}])
async def test_the_wish_of_a_client_is_true_or_false(world: World, value: object) -> None:
    body = {"redirect_uris": [REDIRECT_URI], "require_pushed_authorization_requests": value}
    answer = await world.http.post("/oauth/register", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


async def test_dsc_8_switched_off_there_is_no_endpoint_and_no_handle_is_known(make_world: MakeWorld) -> None:
    world = await make_world(features_off=["pushed_requests"])
    await world.create_user("alice")
    client = await world.register(require_pushed_authorization_requests=True)
    assert "require_pushed_authorization_requests" not in client
    assert (await push(world, client)).status_code == 404
    told = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert not [name for name in told if "pushed" in name]
    answer = await world.authorize(await world.signed_in_browser(), client, request_uri=URN + "ost_request_x")
    assert_redirect_error(world, answer, REDIRECT_URI, "request_uri_not_supported", "some state")


async def test_the_metadata_names_the_endpoint(world: World) -> None:
    told = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert told["pushed_authorization_request_endpoint"] == f"{world.settings.public_url}{PAR}"
    assert told["require_pushed_authorization_requests"] is False


# ------------------------------------------------------------------------------------------ at rest
async def test_sto_1_neither_handle_nor_secret_nor_hint_lies_in_the_clear(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    secrets = {"client_secret": client["client_secret"], "id_token_hint": "a.hint.of-alice", "state": "st4te"}

    query = await pushed(world, client, **secrets)

    stored = str(await world.rows("SELECT * FROM pushed_requests"))
    for secret in (*secrets.values(), CHALLENGE, query["request_uri"].removeprefix(URN)):
        assert secret not in stored
    [row] = await world.rows("SELECT * FROM pushed_requests")
    assert row["spent_at"] is None
    assert row["request_id"] is None


async def test_large_requests_come_back_whole_or_are_refused_at_once(world: World) -> None:
    client = await world.register()
    browser = await world.signed_in_browser()
    for more in ({"unknown": "x" * 27_000}, {"login_hint": "\u00ef" * 4000}):
        query = await pushed(world, client, state="s" * 4000, **more)
        sent = await browser.get("/authorize", params=query)
        approved = await world.decide(browser, sent.headers["location"])
        assert answer_to(approved.headers["location"], REDIRECT_URI)["state"] == "s" * 4000
    for more in ({"unknown": "x" * 50_000}, {"login_hint": "\u00ef" * 8000}):
        await refused(world, push(world, client, **more), 413, "invalid_request")
