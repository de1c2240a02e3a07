"""The authorization endpoint: who asks and where the answer goes. AUZ-1, 2, 3, 4, 25 and what RFC 9700 adds."""

from typing import Any

import httpx2
import pytest

from tests.front_channel import (
    Standing,
    answer_to,
    assert_page,
    change,
    is_consent,
    no_effect,
    one_refusal_on_record,
)
from tests.support.world import CHALLENGE

pytest_plugins = ["tests.standing"]

WEB = "https://app.example/callback"
WEB_WITH_QUERY = "https://app.example/callback?tenant=a%20b&x=1"
HOSTILE = "\"><script>alert(1)</script><meta http-equiv='refresh' content='0;url=//evil.example'>"


async def assert_refused_with_a_page(standing: Standing, parameters: dict[str, str] | str) -> None:
    """Nobody, signed in or not, is sent to an address that the client did not register."""
    sent = [parameters] if isinstance(parameters, str) else list(parameters.values())
    for browser in standing.browsers():
        async with no_effect(standing.world):
            answer = await browser.get("/authorize", params=parameters)
        assert_page(answer, sent)


@pytest.mark.parametrize(
    "client_id",
    [
        pytest.param("client_unknown", id="AUZ-1 unknown"),
        pytest.param(None, id="AUZ-1 missing"),
        pytest.param("", id="AUZ-1 empty"),
        pytest.param(" ", id="AUZ-1 blank"),
        pytest.param(HOSTILE, id="AUZ-1 markup"),
        pytest.param("client\x00", id="AUZ-1 NUL"),
        pytest.param("cli\xe9nt", id="AUZ-1 latin"),
        pytest.param("c" * 10_000, id="AUZ-1 long"),
        pytest.param("' OR '1'='1", id="AUZ-1 quotes"),
        pytest.param("%", id="AUZ-1 wildcard"),
    ],
)
async def test_a_client_that_is_not_known_gets_a_page(standing: Standing, client_id: str | None) -> None:
    client = await standing.client()
    await assert_refused_with_a_page(standing, standing.world.authorization(client, client_id=client_id))


async def test_a_refusal_with_a_page_is_on_record_with_its_reference(standing: Standing) -> None:
    world, client = standing.world, await standing.client()
    parameters = world.authorization(client, client_id="client_unknown", state="nobody's business")

    async with one_refusal_on_record(world, {"state": parameters["state"], "challenge": CHALLENGE}):
        answer = await world.browser().get("/authorize", params=parameters)

    event = await world.last_refusal()
    assert event["reference"]
    assert event["reference"] in answer.text


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("https://app.example/other?tenant=a%20b&x=1", id="AUZ-2 other path"),
        pytest.param(WEB_WITH_QUERY + "&y=2", id="AUZ-2 extra query"),
        pytest.param(WEB, id="AUZ-2 query left out"),
        pytest.param("https://app.example/callback?x=1&tenant=a%20b", id="AUZ-2 query in another order"),
        pytest.param("https://app.example/callback?tenant=a+b&x=1", id="AUZ-2 query spelled differently"),
        pytest.param("https://app.example/callback?tenant=a b&x=1", id="AUZ-2 query decoded"),
        pytest.param("https://app.example/Callback?tenant=a%20b&x=1", id="AUZ-2 path in another case"),
        pytest.param("https://app.example/callback/?tenant=a%20b&x=1", id="AUZ-2 trailing slash"),
        pytest.param("https://app.example/callback%2e?tenant=a%20b&x=1", id="AUZ-2 encoded dot"),
        pytest.param("https://app.example/%63allback?tenant=a%20b&x=1", id="AUZ-2 encoded letter"),
        pytest.param("https://app.example/x/../callback?tenant=a%20b&x=1", id="AUZ-2 dot segments"),
        pytest.param("https://app.example/x%2f..%2fcallback?tenant=a%20b&x=1", id="AUZ-2 encoded slashes"),
        pytest.param("https://app.example//callback?tenant=a%20b&x=1", id="AUZ-2 double slash"),
        pytest.param("https://app.example\\callback?tenant=a%20b&x=1", id="AUZ-2 backslash"),
        pytest.param(
            "https://evil.example\\@app.example/callback?tenant=a%20b&x=1", id="AUZ-2 host by backslash"
        ),
        pytest.param("https://app.example@evil.example/callback?tenant=a%20b&x=1", id="AUZ-2 host as user"),
        pytest.param("https://u:p@app.example/callback?tenant=a%20b&x=1", id="AUZ-2 userinfo"),
        pytest.param("https://evil.app.example/callback?tenant=a%20b&x=1", id="AUZ-2 subdomain"),
        pytest.param("https://app.example.evil.example/callback?tenant=a%20b&x=1", id="AUZ-2 longer host"),
        pytest.param("https://app.example./callback?tenant=a%20b&x=1", id="AUZ-2 host with a trailing dot"),
        pytest.param("https://APP.example/callback?tenant=a%20b&x=1", id="AUZ-2 host in upper case"),
        pytest.param("HTTPS://app.example/callback?tenant=a%20b&x=1", id="AUZ-2 scheme in upper case"),
        pytest.param("http://app.example/callback?tenant=a%20b&x=1", id="AUZ-2 plain http"),
        pytest.param("//app.example/callback?tenant=a%20b&x=1", id="AUZ-2 without a scheme"),
        pytest.param("https://app.example:443/callback?tenant=a%20b&x=1", id="AUZ-2 default port"),
        pytest.param("https://app.example:8443/callback?tenant=a%20b&x=1", id="AUZ-2 other port"),
        pytest.param("https://app.example:0/callback?tenant=a%20b&x=1", id="AUZ-2 port 0"),
        pytest.param("https://app.example:65536/callback?tenant=a%20b&x=1", id="AUZ-2 port 65536"),
        pytest.param("https://[app.example/callback?tenant=a%20b&x=1", id="AUZ-2 broken brackets"),
        pytest.param(WEB_WITH_QUERY + "#fragment", id="AUZ-2 fragment"),
        pytest.param(WEB_WITH_QUERY + "#", id="AUZ-2 empty fragment"),
        pytest.param(" " + WEB_WITH_QUERY, id="AUZ-2 leading space"),
        pytest.param(WEB_WITH_QUERY + "\n", id="AUZ-2 trailing newline"),
        pytest.param("https://app.example/call\tback?tenant=a%20b&x=1", id="AUZ-2 tab"),
        pytest.param(WEB_WITH_QUERY + "\x00", id="AUZ-2 NUL"),
        pytest.param("https://app.example\r\nX: y/callback?tenant=a%20b&x=1", id="AUZ-2 header splitting"),
        pytest.param("https://аpp.example/callback?tenant=a%20b&x=1", id="AUZ-2 look-alike letter"),  # noqa: RUF001
        pytest.param("javascript:alert(1)", id="AUZ-2 javascript"),
        pytest.param("data:text/html,<script>alert(1)</script>", id="AUZ-2 data"),
        pytest.param("https://evil.example/" + HOSTILE, id="AUZ-2 markup"),
        pytest.param("x" * 50_000, id="AUZ-2 long"),
    ],
)
async def test_a_redirect_uri_is_compared_letter_by_letter(standing: Standing, sent: str) -> None:
    client = await standing.client(WEB_WITH_QUERY)
    await assert_refused_with_a_page(standing, standing.world.authorization(client, redirect_uri=sent))


async def test_another_clients_redirect_uri_is_refused(standing: Standing) -> None:
    client = await standing.client(WEB)
    await standing.client("https://other.example/callback")
    parameters = standing.world.authorization(client, redirect_uri="https://other.example/callback")
    await assert_refused_with_a_page(standing, parameters)


@pytest.mark.parametrize(
    "redirect_uri", [pytest.param(None, id="AUZ-3 none"), pytest.param("", id="AUZ-3 empty")]
)
async def test_a_client_with_several_addresses_has_to_name_one(
    standing: Standing, redirect_uri: str | None
) -> None:
    client = await standing.client(WEB, "https://app.example/second")
    await assert_refused_with_a_page(
        standing, standing.world.authorization(client, redirect_uri=redirect_uri)
    )


@pytest.mark.parametrize("redirect_uri", [pytest.param(None, id="left out"), pytest.param("", id="empty")])
async def test_a_client_with_one_address_need_not_name_it(
    standing: Standing, redirect_uri: str | None
) -> None:
    client = await standing.client(WEB)
    answer = await approve(standing, client, redirect_uri)

    code = answer_to(answer.headers["location"], WEB)["code"]
    assert (await standing.world.redeem(client, code, redirect_uri=None)).status_code == 200


async def approve(standing: Standing, client: dict[str, Any], redirect_uri: str | None) -> httpx2.Response:
    """Ask with this redirect URI, and press Allow."""
    parked = await standing.world.authorize(standing.signed_in, client, redirect_uri=redirect_uri)
    assert is_consent(parked)
    return await standing.world.decide(standing.signed_in, parked.headers["location"])


LOOPBACK = [
    pytest.param("http://127.0.0.1/callback", "http://127.0.0.1:{}/callback", id="AUZ-4 IPv4"),
    pytest.param("http://[::1]/callback", "http://[::1]:{}/callback", id="AUZ-4 IPv6"),
    pytest.param("http://localhost/callback", "http://localhost:{}/callback", id="AUZ-4 localhost"),
    pytest.param(
        "http://127.0.0.1:3000/callback", "http://127.0.0.1:{}/callback", id="AUZ-4 IPv4 with a port"
    ),
    pytest.param(
        "http://localhost:3000/cb?a=b", "http://localhost:{}/cb?a=b", id="AUZ-4 localhost with a query"
    ),
]


@pytest.mark.parametrize(("registered", "pattern"), LOOPBACK)
@pytest.mark.parametrize("port", [1, 80, 443, 33418, 65535])
async def test_a_program_on_this_computer_may_listen_on_any_port(
    standing: Standing, registered: str, pattern: str, port: int
) -> None:
    client = await standing.client(registered)
    redirect_uri = pattern.format(port)
    answer = await approve(standing, client, redirect_uri)

    code = answer_to(answer.headers["location"], redirect_uri)["code"]
    redeemed = await standing.world.redeem(client, code, redirect_uri=redirect_uri)
    assert redeemed.status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("http://127.0.0.1:3000/other", id="AUZ-4 other path"),
        pytest.param("http://127.0.0.1:3000/callback/", id="AUZ-4 trailing slash"),
        pytest.param("http://127.0.0.1:3000/callback?x=1", id="AUZ-4 query"),
        pytest.param("http://127.0.0.1:3000/callback#x", id="AUZ-4 fragment"),
        pytest.param("https://127.0.0.1:3000/callback", id="AUZ-4 https"),
        pytest.param("http://localhost:3000/callback", id="AUZ-4 another name of the same host"),
        pytest.param("http://[::1]:3000/callback", id="AUZ-4 IPv6 for IPv4"),
        pytest.param("http://127.0.0.2:3000/callback", id="AUZ-4 another loopback address"),
        pytest.param("http://127.1:3000/callback", id="AUZ-4 short address"),
        pytest.param("http://2130706433:3000/callback", id="AUZ-4 decimal address"),
        pytest.param("http://0x7f.0.0.1:3000/callback", id="AUZ-4 hexadecimal address"),
        pytest.param("http://[::ffff:127.0.0.1]:3000/callback", id="AUZ-4 mapped address"),
        pytest.param("http://0.0.0.0:3000/callback", id="AUZ-4 every address"),
        pytest.param("http://127.0.0.1:0/callback", id="AUZ-4 port 0"),
        pytest.param("http://127.0.0.1:65536/callback", id="AUZ-4 port 65536"),
        pytest.param("http://127.0.0.1:-1/callback", id="AUZ-4 negative port"),
        pytest.param("http://127.0.0.1:+80/callback", id="AUZ-4 signed port"),
        pytest.param("http://127.0.0.1:8_0/callback", id="AUZ-4 underscored port"),
        pytest.param("http://127.0.0.1: 80/callback", id="AUZ-4 port after a space"),
        pytest.param("http://127.0.0.1:\uff18\uff10/callback", id="AUZ-4 port in wide digits"),
        pytest.param("http://127.0.0.1:80:80/callback", id="AUZ-4 two ports"),
        pytest.param("http://127.0.0.1.evil.example/callback", id="AUZ-4 address as a subdomain"),
        pytest.param("http://127.0.0.1.evil.example:3000/callback", id="AUZ-4 address as a subdomain, port"),
        pytest.param("http://127.0.0.1@evil.example/callback", id="AUZ-4 address as user"),
        pytest.param("http://127.0.0.1:80@evil.example/callback", id="AUZ-4 address and port as user"),
        pytest.param("http://evil.example\\@127.0.0.1/callback", id="AUZ-4 host by backslash"),
        pytest.param("http://127.0.0.1\\.evil.example/callback", id="AUZ-4 backslash in the host"),
        pytest.param("http://u@127.0.0.1/callback", id="AUZ-4 userinfo"),
        pytest.param("http://@127.0.0.1/callback", id="AUZ-4 empty userinfo"),
        pytest.param("http:///127.0.0.1/callback", id="AUZ-4 three slashes"),
        pytest.param("http:127.0.0.1/callback", id="AUZ-4 no slashes"),
        pytest.param("http://127.0.0.1%2f/callback", id="AUZ-4 encoded slash in the host"),
        pytest.param("http://127.0.0.1:80%2f@evil.example/callback", id="AUZ-4 encoded slash in the port"),
    ],
)
async def test_only_the_port_of_a_loopback_address_is_free(standing: Standing, sent: str) -> None:
    client = await standing.client("http://127.0.0.1/callback")
    await assert_refused_with_a_page(standing, standing.world.authorization(client, redirect_uri=sent))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("http://localhost.evil.example/callback", id="AUZ-4 localhost as a subdomain"),
        pytest.param("http://localhost@evil.example/callback", id="AUZ-4 localhost as user"),
        pytest.param("http://localhost:80@evil.example/callback", id="AUZ-4 localhost and port as user"),
        pytest.param("http://evil.localhost/callback", id="AUZ-4 below localhost"),
        pytest.param("http://localhost./callback", id="AUZ-4 localhost with a dot"),
        pytest.param("http://LOCALHOST/callback", id="AUZ-4 upper case"),
        pytest.param("http://127.0.0.1/callback", id="AUZ-4 the address of localhost"),
    ],
)
async def test_localhost_is_a_name_not_a_prefix(standing: Standing, sent: str) -> None:
    client = await standing.client("http://localhost/callback")
    await assert_refused_with_a_page(standing, standing.world.authorization(client, redirect_uri=sent))


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_saying_twice_who_asks_or_where_to_gets_a_page(standing: Standing, name: str) -> None:
    client = await standing.client(WEB)
    parameters = standing.world.authorization(client)
    for second in (parameters[name], "https://evil.example/callback"):
        query = httpx2.QueryParams([*parameters.items(), (name, second)])
        await assert_refused_with_a_page(standing, str(query))


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(
            "UPDATE clients SET disabled_at = created_at WHERE client_id = :it", id="AUZ-25 disabled"
        ),
        pytest.param("DELETE FROM clients WHERE client_id = :it", id="AUZ-25 deleted"),
    ],
)
async def test_a_client_that_is_out_of_use_gets_a_page_before_anybody_signs_in(
    standing: Standing, statement: str
) -> None:
    client = await standing.world.register(redirect_uris=[WEB])
    await change(standing.world, statement, it=client["client_id"])
    await assert_refused_with_a_page(standing, standing.world.authorization(client))


async def test_other_methods_give_no_code(standing: Standing) -> None:
    client = await standing.client(WEB)
    for method in ("HEAD", "PUT", "DELETE", "PATCH"):
        answer = await standing.signed_in.request(
            method, "/authorize", params=standing.world.authorization(client)
        )
        assert answer.status_code < 500
        assert "code=" not in answer.headers.get("location", "")
