"""Redeeming a code (RFC 6749 §4.1.3, RFC 7636 §4.5): what is refused, and that a refusal costs nothing."""

from typing import Any

import httpx2
import pytest

from tests import back_channel
from tests.back_channel import refused
from tests.support.world import CHALLENGE, VERIFIER, World

FORM = "application/x-www-form-urlencoded"
OTHER = "http://localhost:8000/other"


async def still_redeems(world: World, client: dict[str, Any], code: str) -> None:
    """What was valid still works."""
    answer = await world.redeem(client, code)
    assert answer.status_code == 200, answer.text
    assert (await world.call(answer.json()["access_token"])).status_code == 200


# ------------------------------------------------------------------------------------ the request itself
@pytest.mark.parametrize(
    "method", [pytest.param(name, id=f"TOK-1-{name}") for name in ("GET", "PUT", "DELETE")]
)
async def test_only_post_is_allowed(world: World, method: str) -> None:
    client = await world.register()
    code = await world.code(client)
    parameters = world.redemption(client, code)

    answer = await world.http.request(method, "/oauth/token", params=parameters)

    back_channel.assert_error(answer, 405, "invalid_request")
    assert {name.strip() for name in answer.headers["allow"].split(",")} <= {"POST", "OPTIONS"}
    assert "POST" in answer.headers["allow"]
    await still_redeems(world, client, code)


@pytest.mark.parametrize(
    "media_type", ["application/json", "multipart/form-data; boundary=x", "text/plain", None]
)
async def test_a_body_that_is_no_form_is_refused_by_name_tok_2(world: World, media_type: str | None) -> None:
    client = await world.register()
    code = await world.code(client)
    form = world.redemption(client, code)
    built = world.http.build_request("POST", "/oauth/token", data=form)
    if media_type == "application/json":
        built = world.http.build_request("POST", "/oauth/token", json=form)
    elif media_type is not None and media_type.startswith("multipart"):
        built = world.http.build_request(
            "POST", "/oauth/token", files={n: (None, v) for n, v in form.items()}
        )
    elif media_type is None:
        del built.headers["content-type"]
    else:
        built.headers["content-type"] = media_type

    async with back_channel.no_effect(world):
        answer = await world.http.send(built)

    assert answer.status_code in {400, 415}
    back_channel.assert_error(answer, answer.status_code, "invalid_request")
    assert FORM in answer.json()["error_description"]
    await still_redeems(world, client, code)


@pytest.mark.parametrize(
    "media_type", [f"{FORM}; charset=UTF-8", f"{FORM};charset=utf-8", FORM.title(), FORM.upper()]
)
async def test_the_media_type_may_carry_a_charset_and_any_case(world: World, media_type: str) -> None:
    client = await world.register()
    request = world.http.build_request(
        "POST", "/oauth/token", data=world.redemption(client, await world.code(client))
    )
    request.headers["content-type"] = media_type

    assert (await world.http.send(request)).status_code == 200


@pytest.mark.parametrize(
    ("grant_type", "errors"),
    [
        pytest.param(None, {"invalid_request"}, id="TOK-4-missing"),
        pytest.param("", {"invalid_request"}, id="TOK-4-empty"),
        pytest.param("unknown", {"unsupported_grant_type"}, id="TOK-4-unknown"),
        pytest.param("password", {"unsupported_grant_type"}, id="TOK-4-password"),
        pytest.param("implicit", {"unsupported_grant_type"}, id="TOK-4-implicit"),
        pytest.param("Authorization_Code", {"unsupported_grant_type"}, id="TOK-4-case"),
        pytest.param("authorization_code ", {"unsupported_grant_type"}, id="TOK-4-space"),
        pytest.param(
            "client_credentials", {"unsupported_grant_type", "unauthorized_client"}, id="TOK-22-public"
        ),
    ],
)
async def test_other_grant_types_are_refused(world: World, grant_type: str | None, errors: set[str]) -> None:
    client = await world.register()
    code = await world.code(client)

    await refused(world, world.redeem(client, code, grant_type=grant_type), 400, *errors)

    await still_redeems(world, client, code)


async def test_tok_22_a_confidential_client_gets_no_client_credentials(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")

    request = world.http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, headers=back_channel.basic(client)
    )

    await refused(world, request, 400, "unsupported_grant_type", "unauthorized_client")


@pytest.mark.parametrize("name", ["grant_type", "code", "code_verifier", "redirect_uri", "client_id"])
async def test_a_repeated_parameter_is_refused(world: World, name: str) -> None:
    """RFC 6749 §3.2."""
    client = await world.register()
    code = await world.code(client)
    form = world.redemption(client, code)

    request = world.http.post("/oauth/token", data={**form, name: [form[name], form[name]]})

    await refused(world, request, 400, "invalid_request")
    await still_redeems(world, client, code)


async def test_the_resource_may_be_repeated(world: World) -> None:
    """RFC 8707 §2."""
    client = await world.register()
    form = world.redemption(client, await world.code(client))

    answer = await world.http.post("/oauth/token", data={**form, "resource": [world.settings.resource] * 2})

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"grant_type=authorization_code&code=%ff%fe", id="not-utf-8"),
        pytest.param(b"grant_type=authorization_code&code=\xff\xfe", id="raw-bytes"),
        pytest.param(b"grant_type=authorization_code&code=a%00b", id="nul"),
        pytest.param(b"grant_type=authorization_code" + b"&x=1" * 5000, id="many-fields"),
        pytest.param(b"", id="empty"),
        pytest.param(b"&&&===", id="separators"),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(world: World, content: bytes) -> None:
    client = await world.register()
    identified = content + b"&client_id=" + client["client_id"].encode()

    request = world.http.post("/oauth/token", content=identified, headers={"content-type": FORM})

    await refused(world, request, 400, "invalid_request")


async def test_a_huge_body_is_refused_and_the_server_goes_on(world: World) -> None:
    client = await world.register()
    code = await world.code(client)

    await refused(world, world.redeem(client, code, padding="x" * 5_000_000), 413, "invalid_request")

    await still_redeems(world, client, code)


# ------------------------------------------------------------------------------------- what the code proves
@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        pytest.param({"code_verifier": None}, {"invalid_grant", "invalid_request"}, id="TOK-15-missing"),
        pytest.param({"code_verifier": ""}, {"invalid_grant", "invalid_request"}, id="TOK-15-empty"),
        pytest.param({"code_verifier": "w" * 43}, {"invalid_grant"}, id="TOK-15-wrong"),
        pytest.param({"code_verifier": CHALLENGE}, {"invalid_grant"}, id="TOK-15-the-challenge-itself"),
        pytest.param({"code_verifier": "v" * 42}, {"invalid_grant", "invalid_request"}, id="TOK-15-short"),
        pytest.param({"code_verifier": "v" * 129}, {"invalid_grant", "invalid_request"}, id="TOK-15-long"),
        pytest.param(
            {"code_verifier": "é" * 43}, {"invalid_grant", "invalid_request"}, id="TOK-15-not-ascii"
        ),
        pytest.param(
            {"code_verifier": VERIFIER + "\n"}, {"invalid_grant", "invalid_request"}, id="TOK-15-line"
        ),
        pytest.param({"redirect_uri": "http://127.0.0.1/other"}, {"invalid_grant"}, id="redirect-path"),
        pytest.param({"redirect_uri": "http://127.0.0.1:9/callback"}, {"invalid_grant"}, id="redirect-port"),
        pytest.param({"redirect_uri": "http://127.0.0.1/callback/"}, {"invalid_grant"}, id="redirect-slash"),
        pytest.param({"redirect_uri": "HTTP://127.0.0.1/callback"}, {"invalid_grant"}, id="redirect-case"),
        pytest.param({"resource": OTHER}, {"invalid_target"}, id="TOK-19-other-path"),
        pytest.param({"resource": "http://localhost:8000"}, {"invalid_target"}, id="TOK-19-origin"),
        pytest.param({"resource": "http://localhost:8000/mcp-other"}, {"invalid_target"}, id="TOK-19-prefix"),
        pytest.param({"resource": "https://evil.example/mcp"}, {"invalid_target"}, id="TOK-19-other-host"),
        pytest.param({"resource": "http://localhost:8000/mcp#x"}, {"invalid_target"}, id="TOK-19-fragment"),
        pytest.param({"resource": "/mcp"}, {"invalid_target"}, id="TOK-19-relative"),
    ],
)
async def test_a_wrong_redemption_is_refused_and_the_code_is_not_consumed(
    world: World, changes: dict[str, str | None], errors: set[str]
) -> None:
    client = await world.register()
    code = await world.code(client)

    await refused(world, world.redeem(client, code, **changes), 400, *errors)

    await still_redeems(world, client, code)


async def test_a_redemption_without_a_code_is_refused(world: World) -> None:
    client = await world.register()
    form = world.redemption(client, await world.code(client))
    del form["code"]

    await refused(world, world.http.post("/oauth/token", data=form), 400, "invalid_request")


async def test_tok_19_two_resources_of_which_one_is_foreign_are_refused(world: World) -> None:
    client = await world.register()
    code = await world.code(client)
    form = {**world.redemption(client, code), "resource": [world.settings.resource, OTHER]}

    await refused(world, world.http.post("/oauth/token", data=form), 400, "invalid_target")

    await still_redeems(world, client, code)


async def test_the_port_of_the_request_is_the_one_to_repeat(world: World) -> None:
    """RFC 8252 §7.3 frees the port when asking; the redemption names what was asked (RFC 6749 §4.1.3)."""
    client = await world.register()
    code = await world.code(client, redirect_uri="http://127.0.0.1:4711/callback")

    await refused(world, world.redeem(client, code), 400, "invalid_grant")

    right = await world.redeem(client, code, redirect_uri="http://127.0.0.1:4711/callback")
    assert right.status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"redirect_uri": None}, id="no-redirect-uri-as-in-oauth-2.1"),
        pytest.param({"redirect_uri": ""}, id="an-empty-value-counts-as-absent"),
        pytest.param({"resource": None}, id="no-resource"),
        pytest.param({"resource": "http://localhost:8000/mcp"}, id="resource"),
        pytest.param({"resource": "http://localhost:8000/mcp/"}, id="resource-with-slash"),
        pytest.param({"resource": "HTTP://LOCALHOST:8000/mcp"}, id="resource-in-upper-case"),
        pytest.param({"unknown": "parameter"}, id="unknown-parameter"),
    ],
)
async def test_what_clients_may_leave_out_or_spell_otherwise_is_accepted(
    world: World, changes: dict[str, str | None]
) -> None:
    client = await world.register()

    answer = await world.redeem(client, await world.code(client), **changes)

    assert answer.status_code == 200, answer.text
    assert (await world.call(answer.json()["access_token"])).status_code == 200


async def test_tok_12_unknown_expired_and_malformed_codes_get_the_same_answer(world: World) -> None:
    client = await world.register()
    expired = await world.code(client)
    world.clock.advance(seconds=61)
    codes = [
        expired,
        expired[:-1] + ("A" if expired[-1] != "A" else "B"),
        "x",
        "ost_code_",
        "é" * 200,
        "c" * 5000,
    ]

    answers = [
        await refused(world, world.redeem(client, code), 400, "invalid_grant", without_effect=False)
        for code in codes
    ]

    assert len({answer.text.replace(answer.json()["error_reference"], "") for answer in answers}) == 1


async def test_tok_12_a_code_lives_almost_sixty_seconds(world: World) -> None:
    client = await world.register()
    code = await world.code(client)
    world.clock.advance(seconds=59)

    await still_redeems(world, client, code)


async def test_tok_13_a_code_of_another_client_is_refused_and_stays_good(world: World) -> None:
    owner, thief = await world.register(), await world.register(client_name="Other")
    code = await world.code(owner)

    await refused(world, world.redeem(thief, code), 400, "invalid_grant")

    await still_redeems(world, owner, code)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_challenge": None, "code_challenge_method": None}, id="TOK-17-no-challenge"),
        pytest.param({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, id="TOK-17-plain"),
        pytest.param({"code_challenge": VERIFIER, "code_challenge_method": None}, id="TOK-17-default-method"),
    ],
)
async def test_no_code_comes_without_an_s256_challenge(world: World, changes: dict[str, str | None]) -> None:
    client = await world.register()
    browser = await world.signed_in_browser()

    answer: httpx2.Response = await world.authorize(browser, client, **changes)

    assert "error=invalid_request" in answer.headers["location"]
    assert await world.rows("SELECT * FROM authorization_codes") == []
