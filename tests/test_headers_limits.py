"""Who a request is counted for, and what becomes of one that is too long."""

import http.client
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.front_channel import assert_html
from tests.support.process import ServerProcess, running_server, settings_on
from tests.support.world import REDIRECT_URI, World, mcp_headers

REGISTRATION = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}
TOO_LONG = 1_000_000


async def register(machine: httpx2.AsyncClient, **headers: str) -> int:
    """The status of a good registration with these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await machine.post("/oauth/register", json=REGISTRATION, headers=named)).status_code


def addresses(count: int) -> Iterator[str]:
    """That many addresses, no two alike."""
    return (f"198.18.{number // 250}.{number % 250 + 1}" for number in range(count))


# ------------------------------------------------------------------------------------------ who is counted
@pytest.mark.parametrize(
    "header",
    [
        pytest.param("x-forwarded-for", id="HDR-7-x-forwarded-for"),
        pytest.param("x-real-ip", id="HDR-7-x-real-ip"),
        pytest.param("forwarded", id="HDR-7-forwarded"),
        pytest.param("cf-connecting-ip", id="HDR-7-cf-connecting-ip"),
        pytest.param("true-client-ip", id="HDR-7-true-client-ip"),
    ],
)
async def test_a_stranger_does_not_choose_who_is_counted(make_world: Callable[..., Any], header: str) -> None:
    world = await make_world(registrations_per_minute=3)
    async with world.machine("203.0.113.50") as machine:
        statuses = []
        for address in addresses(1000 if header == "x-forwarded-for" else 20):
            value = f"for={address}" if header == "forwarded" else address
            answer = await machine.post("/oauth/register", json=REGISTRATION, headers={header: value})
            statuses.append(answer.status_code)
    assert statuses[:3] == [201] * 3
    assert set(statuses[3:]) == {429}
    sources = {row["registered_from"] for row in await world.rows("SELECT registered_from FROM clients")}
    assert sources == {"203.0.113.50"}


async def test_hdr_7_guessing_codes_is_counted_for_the_peer(world: World) -> None:
    client = await world.register()
    async with world.machine("203.0.113.50") as machine:
        statuses = set()
        for address in addresses(200):
            form = world.redemption(client, "guessed")
            answer = await machine.post("/oauth/token", data=form, headers={"x-forwarded-for": address})
            statuses.add(answer.status_code)
    assert statuses == {400, 429}
    assert (await world.redeem(client, await world.code(client))).status_code == 200


async def test_hdr_7_guessing_passwords_is_counted_for_the_peer(world: World) -> None:
    statuses = set()
    for address in addresses(30):
        async with world.browser("203.0.113.50") as browser:
            browser.headers["x-forwarded-for"] = address
            statuses.add((await world.sign_in(browser, password="guessed")).status_code)
    assert 429 in statuses
    assert 303 not in statuses


async def test_hdr_7_a_proxy_on_this_machine_is_believed(make_world: Callable[..., Any]) -> None:
    world = await make_world(registrations_per_minute=1)
    async with world.machine("127.0.0.1") as proxy:
        assert await register(proxy, x_forwarded_for="198.51.100.1") == 201
        assert await register(proxy, x_forwarded_for="198.51.100.2") == 201
        assert await register(proxy, x_forwarded_for="198.51.100.2") == 429
        # What the client itself put in front is not what the proxy says.
        assert await register(proxy, x_forwarded_for="192.0.2.77, 198.51.100.2") == 429
        assert await register(proxy, x_forwarded_for="192.0.2.78, 198.51.100.3, 127.0.0.1") == 201
    sources = {row["registered_from"] for row in await world.rows("SELECT registered_from FROM clients")}
    assert sources == {"198.51.100.1", "198.51.100.2", "198.51.100.3"}


async def test_hdr_7_only_the_proxies_of_the_setting_are_believed(make_world: Callable[..., Any]) -> None:
    world = await make_world(registrations_per_minute=1, trusted_proxies="10.0.0.0/8, 192.0.2.1")
    for number, (source, statuses) in enumerate(
        (
            ("10.9.8.7", [201, 201]),
            ("192.0.2.1", [201, 201]),
            ("127.0.0.1", [201, 429]),
            ("192.0.2.2", [201, 429]),
            ("11.0.0.1", [201, 429]),
        )
    ):
        async with world.machine(source) as machine:
            told = (f"198.51.{number}.1", f"198.51.{number}.2")
            assert [await register(machine, x_forwarded_for=address) for address in told] == statuses, source


@pytest.mark.parametrize(
    "value", ["", ",", "unknown", "x" * 5000, "198.51.100.1:443", "[2001:db8::1]:443", "::1,,"]
)
async def test_hdr_7_a_proxy_that_says_nonsense_breaks_nothing(world: World, value: str) -> None:
    async with world.machine("127.0.0.1") as proxy:
        assert await register(proxy, x_forwarded_for=value) in {201, 400, 429}
        assert (await proxy.get("/login", headers={"x-forwarded-for": value})).status_code == 200


# ------------------------------------------------------------------------------------------ too long
@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A real server on a real port."""
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, settings_on(f"sqlite+aiosqlite:///{folder}/ostiary.db")) as running:
        yield running


POST_ENDPOINTS = [
    "/oauth/register",
    "/oauth/token",
    "/oauth/revoke",
    "/authorize",
    "/login",
    "/logout",
    "/consent/request_unknown",
    "/mcp",
]


@pytest.mark.parametrize("path", [pytest.param(path, id=f"HDR-8-{path}") for path in POST_ENDPOINTS])
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_body_that_is_too_long_gets_413_and_the_connection_survives(
    server: ServerProcess, path: str, chunked: bool
) -> None:
    kind = "application/json" if path in {"/oauth/register", "/mcp"} else "application/x-www-form-urlencoded"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.connect()
    first = connection.sock
    headers = {"Content-Type": kind, "Host": f"localhost:{server.port}"}
    body: Any = (b"x" * 10_000 for _ in range(TOO_LONG // 10_000)) if chunked else b"x" * TOO_LONG
    try:
        connection.request("POST", path, body, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        text = answer.read()
        # Without a token nothing of the body is looked at.
        assert answer.status == (401 if path == "/mcp" else 413)
        if path.startswith(("/oauth/", "/mcp")):
            assert answer.headers["content-type"].partition(";")[0] == "application/json"
            assert set(json.loads(text)) >= {"error", "error_description"}
            assert "no-store" in answer.headers["cache-control"]

        connection.request("GET", "/healthz")
        again = connection.getresponse()
        again.read()
        assert again.status == 200
        assert connection.sock is first
    finally:
        connection.close()


BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize("path", ["/login", "/authorize", "/account/security/password", "/consent/request_x"])
async def test_hdr_8_a_person_whose_form_is_too_long_reads_a_page(
    world: World, path: str, chunked: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(TOO_LONG // 10_000):
            yield b"x" * 10_000

    headers = {"content-type": "application/x-www-form-urlencoded", "accept": BROWSER}
    browser = await world.signed_in_browser()
    answer = await browser.post(path, headers=headers, content=pieces() if chunked else b"x" * TOO_LONG)
    assert_html(answer, 413)
    assert "larger than this server takes" in answer.text


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        pytest.param("/oauth/token", BROWSER, id="an endpoint for machines, whoever asks"),
        pytest.param("/oauth/register", BROWSER, id="registration, whoever asks"),
        pytest.param("/login", "*/*", id="a page, but no browser asks"),
    ],
)
async def test_hdr_8_a_machine_whose_body_is_too_long_reads_json(
    world: World, path: str, accept: str
) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": accept}
    answer = await world.http.post(path, headers=headers, content=b"x" * TOO_LONG)
    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")


async def test_hdr_8_a_call_that_is_too_long_is_refused(world: World) -> None:
    tokens = await world.tokens(await world.register())
    headers = {**mcp_headers(tokens["access_token"], "whoami"), "content-type": "application/json"}
    answer = await world.http.post("/mcp", headers=headers, content=b'{"x":"' + b"x" * 20_000_000 + b'"}')
    assert answer.status_code == 413
    assert (await world.call(tokens["access_token"])).status_code == 200


async def test_hdr_8_a_refused_body_changes_nothing(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    rows = await world.counts()
    pad = "x" * TOO_LONG
    answers = [
        await world.http.post("/oauth/register", json={**REGISTRATION, "client_name": pad}),
        await world.refresh(client, tokens["refresh_token"], pad=pad),
        await world.revoke(client, tokens["refresh_token"], pad=pad),
    ]
    assert [answer.status_code for answer in answers] == [413] * 3
    assert await world.counts() == rows
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200
