"""Pushed authorization requests (RFC 9126): OPT-1, OPT-2, OPT-3, and what the endpoint shares with the others."""

import asyncio
import json
from urllib.parse import urlencode

import pytest

from tests.back_channel import basic, disable_client, refused
from tests.front_channel import Standing, answer_to, assert_page, change
from tests.pushing import FORM, PAR, URN, MakeWorld, assert_no_interaction, parked, push, pushed
from tests.support.internet import URL, Internet
from tests.support.internet import document as metadata_document
from tests.support.world import REDIRECT_URI, World

pytest_plugins = ["tests.standing"]


# ------------------------------------------------------------------------------------------ what it answers
async def test_the_answer_is_a_handle_for_a_minute_that_nobody_keeps(world: World) -> None:
    answer = await push(world, await world.register())

    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"request_uri", "expires_in"}
    assert answer.json()["expires_in"] == 60
    assert answer.json()["request_uri"].startswith(URN)
    assert len(answer.json()["request_uri"].removeprefix(URN)) >= 43


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
async def test_clients_push_as_they_authenticate_at_the_token_endpoint(world: World, method: str) -> None:
    """§2.1: the whole flow, in which the browser carries the handle and nothing else."""
    client = await world.register(token_endpoint_auth_method=method)
    form = world.authorization(client)
    if method == "client_secret_post":
        form["client_secret"] = client["client_secret"]
    headers = basic(client) if method == "client_secret_basic" else None
    answer = await world.http.post(PAR, data=form, headers=headers)
    assert answer.status_code == 201, answer.text
    browser = await world.signed_in_browser()

    sent = await browser.get(
        "/authorize",
        params={"client_id": client["client_id"], "request_uri": answer.json()["request_uri"]},
    )
    approved = await world.decide(browser, sent.headers["location"])

    code = answer_to(approved.headers["location"], REDIRECT_URI)
    assert (code["state"], code["iss"]) == ("some state", world.settings.public_url)
    redeemed = await world.http.post(
        "/oauth/token", data=world.redemption(client, code["code"]), headers=headers
    )
    assert redeemed.status_code == 200, redeemed.text
    assert redeemed.json()["scope"] == "mcp profile email offline_access"


async def test_a_client_with_a_header_need_not_name_itself_again(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    answer = await push(world, client, basic(client), client_id=None)
    assert answer.status_code == 201, answer.text
    query = {"client_id": client["client_id"], "request_uri": answer.json()["request_uri"]}
    sent = await (await world.signed_in_browser()).get("/authorize", params=query)
    assert sent.headers["location"].startswith("/consent/")


async def test_a_client_that_describes_itself_in_a_document_may_push_before_it_was_ever_seen(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(egress=internet.egress())
    await world.create_user("alice")
    said = metadata_document()
    client = {"client_id": URL, "redirect_uris": said["redirect_uris"]}

    query = await pushed(world, client)

    sent = await (await world.signed_in_browser()).get("/authorize", params=query)
    assert sent.headers["location"].startswith("/consent/")
    assert len(internet.connections) == 1


async def test_a_document_that_cannot_be_used_is_refused_in_json(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(egress=internet.egress())
    internet.pages.clear()
    client = {"client_id": URL, "redirect_uris": [REDIRECT_URI]}
    await refused(world, push(world, client), 400, "invalid_client")


# ------------------------------------------------------------------------------------------ OPT-1
REFUSALS = [
    pytest.param({"request_uri": URN + "x" * 43}, "invalid_request", id="OPT-1 request_uri inside"),
    pytest.param({"request_uri": "https://a.example/r"}, "invalid_request", id="OPT-1 a URL inside"),
    pytest.param({"request": "e30.e30."}, "request_not_supported", id="RFC 9101 a request object"),
    pytest.param({"redirect_uri": "https://evil.example/"}, "invalid_request", id="AUZ-2 redirect_uri"),
    pytest.param({"response_type": None}, "invalid_request", id="AUZ-7 no response_type"),
    pytest.param({"response_type": "token"}, "unsupported_response_type", id="AUZ-7 token"),
    pytest.param({"response_mode": "fragment"}, "invalid_request", id="response_mode"),
    pytest.param({"code_challenge": None}, "invalid_request", id="AUZ-8 no code_challenge"),
    pytest.param({"code_challenge_method": "plain"}, "invalid_request", id="AUZ-8 plain"),
    pytest.param({"scope": "nothing-known"}, "invalid_scope", id="AUZ-12 unknown scope"),
    pytest.param({"scope": 'mcp "'}, "invalid_scope", id="AUZ-12 malformed scope"),
    pytest.param({"resource": "https://other.example/mcp"}, "invalid_target", id="AUZ-14 resource"),
    pytest.param({"state": "x" * 5000}, "invalid_request", id="long state"),
    pytest.param({"dpop_jkt": "short"}, "invalid_request", id="RFC 9449 10 dpop_jkt"),
    pytest.param({"prompt": "none login"}, "invalid_request", id="OIDC prompt"),
    pytest.param({"max_age": "-1"}, "invalid_request", id="OIDC max_age"),
    pytest.param(
        {"authorization_details": '[{"type":"payment"}]'},
        "invalid_authorization_details",
        id="RFC 9396 authorization_details",
    ),
]


@pytest.mark.parametrize(("change", "error"), REFUSALS)
async def test_opt_1_what_authorize_would_refuse_is_refused_at_once_in_json(
    standing: Standing, change: dict[str, str | None], error: str
) -> None:
    world, client = standing.world, await standing.client()
    before = await world.rows("SELECT count(*) AS n FROM pushed_requests")
    await refused(world, push(world, client, **change), 400, error)
    assert await world.rows("SELECT count(*) AS n FROM pushed_requests") == before


@pytest.mark.parametrize("name", ["scope", "state", "request_uri", "client_id", "unknown", "prompt"])
async def test_opt_1_no_parameter_is_repeated(standing: Standing, name: str) -> None:
    client = await standing.client()
    good = standing.world.authorization(client)
    content = urlencode([*good.items(), (name, good.get(name, "x")), (name, good.get(name, "x"))])
    request = standing.world.http.post(PAR, content=content, headers=FORM)
    await refused(standing.world, request, 400, "invalid_request")


async def test_opt_1_several_redirect_uris_and_none_named(standing: Standing) -> None:
    client = await standing.client("https://a.example/cb", "https://b.example/cb")
    await refused(standing.world, push(standing.world, client, redirect_uri=None), 400, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_opt_1_only_post(standing: Standing, method: str) -> None:
    answer = await standing.world.http.request(method, PAR)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_opt_1_too_much_is_refused_as_such(standing: Standing) -> None:
    client = await standing.client()
    await refused(standing.world, push(standing.world, client, state="x" * 70_000), 413, "invalid_request")


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x", ""])
async def test_opt_1_only_forms(standing: Standing, content_type: str) -> None:
    client = await standing.client()
    body = json.dumps(standing.world.authorization(client))
    request = standing.world.http.post(PAR, content=body, headers={"content-type": content_type})
    await refused(standing.world, request, 400, "invalid_request")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": "client_unknown"}, id="unknown client"),
        pytest.param({"client_id": None}, id="no client"),
        pytest.param({"client_secret": "wrong"}, id="a secret of a public client"),
    ],
)
async def test_opt_1_whoever_does_not_authenticate_is_refused(
    standing: Standing, changes: dict[str, str | None]
) -> None:
    client = await standing.client()
    await refused(standing.world, push(standing.world, client, **changes), 401, "invalid_client")


async def test_opt_1_a_wrong_secret_is_refused_with_a_challenge(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    await refused(world, push(world, client, basic(client, "wrong")), 401, "invalid_client")
    await refused(world, push(world, client), 401, "invalid_client")


async def test_opt_1_a_disabled_client_cannot_push(world: World) -> None:
    client = await world.register()
    await disable_client(world, client)
    await refused(world, push(world, client), 401, "invalid_client")


async def test_tok_25_guessed_secrets_are_counted_here_too(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    answers = [await push(world, client, basic(client, f"guess-{number}")) for number in range(61)]
    assert [answer.status_code for answer in answers] == [401] * 60 + [429]
    assert (await push(world, client, basic(client))).status_code == 201


async def test_strangers_push_at_a_bearable_rate_and_an_operators_client_at_any(world: World) -> None:
    """Whatever is pushed leaves a row."""
    client = await world.register()
    answers = [await push(world, client) for _ in range(301)]
    assert [answer.status_code for answer in answers] == [201] * 300 + [429]
    assert int(answers[300].headers["retry-after"]) > 0
    async with world.machine("198.51.100.9") as elsewhere:
        answer = await elsewhere.post(PAR, data=world.authorization(client))
    assert answer.status_code == 201
    await change(world, "UPDATE clients SET registration = 'manual'")
    assert (await push(world, client)).status_code == 201


# ------------------------------------------------------------------------------------------ OPT-2
async def test_opt_2_another_clients_handle_is_a_page(world: World) -> None:
    query = await pushed(world, await world.register())
    other = await world.register()
    browser = await world.signed_in_browser()
    await assert_no_interaction(world, browser, {**query, "client_id": other["client_id"]})
    assert (await browser.get("/authorize", params=query)).status_code == 303


async def test_opt_2_a_handle_that_is_too_old_is_a_page(world: World) -> None:
    client = await world.register()
    query, late = await pushed(world, client), await pushed(world, client)
    browser = await world.signed_in_browser()
    world.clock.advance(seconds=59)
    assert (await browser.get("/authorize", params=query)).status_code == 303
    world.clock.advance(seconds=1)
    await assert_no_interaction(world, browser, late)


@pytest.mark.parametrize("handle", ["", "x", "ost_request_" + "x" * 43, "\u00e9", "x" * 5000, "' OR 1=1 --"])
async def test_opt_2_an_unknown_handle_is_a_page(world: World, handle: str) -> None:
    client = await world.register()
    await assert_no_interaction(
        world, world.browser(), {"client_id": client["client_id"], "request_uri": URN + handle}
    )


async def test_opt_2_a_handle_alone_is_a_page(world: World) -> None:
    """RFC 9126 §4: the client's id goes with it."""
    query = await pushed(world, await world.register())
    await assert_no_interaction(world, await world.signed_in_browser(), {"request_uri": query["request_uri"]})


async def test_opt_2_a_disabled_clients_handle_is_a_page(world: World) -> None:
    client = await world.register()
    query = await pushed(world, client)
    await disable_client(world, client)
    await assert_no_interaction(world, await world.signed_in_browser(), query)


async def test_opt_2_the_same_browser_may_load_the_address_again_and_another_may_not(world: World) -> None:
    query = await pushed(world, await world.register())
    browser = await world.signed_in_browser()

    first = await browser.get("/authorize", params=query)
    again = await browser.get("/authorize", params=query)

    assert first.headers["location"] == again.headers["location"]
    assert first.headers["location"].startswith("/consent/")
    assert await parked(world) == 1
    await assert_no_interaction(world, await world.signed_in_browser(), query)
    assert (await world.decide(browser, first.headers["location"])).status_code == 303


async def test_opt_2_someone_who_signs_in_first_may_load_it_again_too(world: World) -> None:
    query = await pushed(world, await world.register())
    browser = world.browser()
    first = await browser.get("/authorize", params=query)
    again = await browser.get("/authorize", params=query)
    assert first.headers["location"] == again.headers["location"]
    assert first.headers["location"].startswith("/login?request=")
    await world.sign_in(browser, at=first.headers["location"])
    third = await browser.get("/authorize", params=query)
    assert third.headers["location"].startswith("/consent/")
    assert await parked(world) == 1


async def test_opt_2_one_handle_never_leads_to_two_answers(world: World) -> None:
    query = await pushed(world, await world.register())
    browser = await world.signed_in_browser()
    parked_at = (await browser.get("/authorize", params=query)).headers["location"]
    await world.decide(browser, parked_at)

    again = await browser.get("/authorize", params=query)

    assert again.headers["location"] == parked_at
    assert_page(await browser.get(parked_at))
    assert (await world.counts())["authorization_codes"] == 1


async def test_opt_2_of_twenty_browsers_at_once_one_gets_in(world: World) -> None:
    for _ in range(5):
        query, waiting = await pushed(world, await world.register()), await parked(world)
        browsers = [world.browser() for _ in range(20)]

        answers = await asyncio.gather(*(browser.get("/authorize", params=query) for browser in browsers))

        assert sorted(answer.status_code for answer in answers) == [303] + [400] * 19
        assert await parked(world) == waiting + 1


async def test_opt_2_of_twenty_tabs_of_one_browser_all_get_to_the_same_place(world: World) -> None:
    browser = await world.signed_in_browser()
    for _ in range(5):
        query, waiting = await pushed(world, await world.register()), await parked(world)

        answers = await asyncio.gather(*(browser.get("/authorize", params=query) for _ in range(20)))

        assert {answer.status_code for answer in answers} == {303}
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert await parked(world) == waiting + 1
