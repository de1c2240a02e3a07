"""Clients whose id is the address of a document about them (draft-ietf-oauth-client-id-metadata-document-01)."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.oauth.uris import InvalidURI, check_client_id_url
from tests.support.internet import HOST, PUBLIC, URL, Internet, answer, ask, document, is_page, reasons
from tests.support.world import World

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def world(make_world: MakeWorld, internet: Internet) -> World:
    made = await make_world(egress=internet.egress())
    await made.create_user("alice")
    return made


async def test_an_app_that_is_described_at_its_id_gets_tokens(world: World, internet: Internet) -> None:
    tokens = await world.tokens(document())

    called = await world.call(tokens["access_token"])
    result = called.json()["result"]["structuredContent"]
    assert (result["client_id"], result["client_name"]) == (URL, "Documented App")
    assert (await world.refresh(document(), tokens["refresh_token"])).status_code == 200
    (stored,) = await world.rows("SELECT registration, token_endpoint_auth_method FROM clients")
    assert dict(stored) == {"registration": "document", "token_endpoint_auth_method": "none"}
    assert internet.connections == [PUBLIC]


@pytest.mark.parametrize(
    "client_id",
    [
        pytest.param("http://a.example/c.json", id="CIM-1 no TLS"),
        pytest.param("https://a.example", id="CIM-2 no path"),
        pytest.param("https://a.example/", id="CIM-2 empty path"),
        pytest.param("https://a.example/a/../c.json", id="dot segment"),
        pytest.param("https://a.example/./c.json", id="single dot"),
        pytest.param("https://a.example/%2E%2e/c.json", id="encoded dots"),
        pytest.param("https://a.example/c.json#x", id="CIM-4 fragment"),
        pytest.param("https://user:pw@a.example/c.json", id="CIM-4 userinfo"),
        pytest.param("https://a.example\\@b.example/c.json", id="CIM-4 backslash"),
        pytest.param("https://a.example/c\t.json", id="CIM-4 tab"),
        pytest.param("https://a.example/c\n.json", id="CIM-4 newline"),
        pytest.param("https://a.example./c.json", id="CIM-4 trailing dot"),
        pytest.param("https://A.example/c.json", id="CIM-4 capital host"),
        pytest.param("HTTPS://a.example/c.json", id="CIM-4 capital scheme"),
        pytest.param("https://a.example:443/c.json", id="CIM-4 default port"),
        pytest.param("https://a%2eexample/c.json", id="CIM-4 encoded host"),
        pytest.param("https:a.example/c.json", id="CIM-4 no authority"),
        pytest.param("https://2130706433/c.json", id="CIM-5 decimal address"),
        pytest.param("https://0x7f.1/c.json", id="CIM-5 hexadecimal address"),
        pytest.param("https://0177.0.0.1/c.json", id="CIM-5 octal address"),
        pytest.param("https://127.1/c.json", id="CIM-5 short address"),
        pytest.param("https://[::FFFF:10.0.0.1]/c.json", id="CIM-5 address in another spelling"),
        pytest.param("https://[fe80::1%25eth0]/c.json", id="CIM-5 address with a zone"),
        pytest.param("https://a.example/" + "x" * 1000, id="too long"),
    ],
)
async def test_cim_1_to_5_an_address_that_is_not_a_good_one_is_never_looked_up(
    world: World, internet: Internet, client_id: str
) -> None:
    assert is_page(await ask(world, client_id))
    assert (internet.lookups, internet.connections) == ([], [])
    assert await reasons(world) == ["document_url_invalid"]


@pytest.mark.parametrize("url", ["http://localhost:9/c.json", "http://127.0.0.1/c", "http://[::1]:80/c?x"])
def test_loopback_documents_are_for_servers_on_loopback(url: str) -> None:
    with pytest.raises(InvalidURI):
        check_client_id_url(url, loopback=False)
    canonical = url.replace(":80/", "/")
    assert check_client_id_url(canonical, loopback=True) == canonical


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["127.0.0.1"], [PUBLIC, "192.168.0.1"], ["::1"]])
async def test_cim_5_6_a_host_inside_is_never_connected(
    world: World, internet: Internet, addresses: list[str]
) -> None:
    internet.names[HOST] = [addresses]

    response = await ask(world)

    assert is_page(response)
    assert HOST in response.text
    assert internet.connections == []
    assert await reasons(world) == ["document_address_forbidden"]


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        pytest.param(answer(document(), status=302, location=URL), "document_redirect", id="CIM-8"),
        pytest.param(answer(status=500), "document_status", id="CIM-9 500"),
        pytest.param(answer(status=404), "document_gone", id="CIM-9 404"),
        pytest.param(answer(b"<html>", content_type="text/html"), "document_media_type", id="CIM-10"),
        pytest.param(answer(b"x" * 6000), "document_too_large", id="CIM-11"),
    ],
)
async def test_cim_8_to_11_a_failure_names_the_host_and_is_not_remembered(
    world: World, internet: Internet, page: Callable[[], bytes], reason: str
) -> None:
    internet.pages["/client.json"] = page

    response = await ask(world)

    assert is_page(response)
    assert HOST in response.text
    assert "could not be read" in response.text
    assert await reasons(world) == [reason]
    assert (await world.counts())["clients"] == 0
    internet.pages["/client.json"] = answer(document())
    assert (await ask(world)).status_code == 303


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([], id="not an object"),
        pytest.param(document(client_id=None), id="no client_id"),
        pytest.param(document(URL + "/"), id="another client_id"),
        pytest.param(document(client_id=[URL]), id="client_id is a list"),
        pytest.param(document(client_secret="s"), id="secret"),
        pytest.param(document(client_secret_expires_at=0), id="expiry of a secret"),
        pytest.param(document(token_endpoint_auth_method="client_secret_basic"), id="basic"),
        pytest.param(document(token_endpoint_auth_method="client_secret_post"), id="post"),
        pytest.param(document(token_endpoint_auth_method="client_secret_jwt"), id="jwt"),
        pytest.param(document(token_endpoint_auth_method="private_key_jwt"), id="no keys"),
        pytest.param(document(token_endpoint_auth_method=["none"]), id="method is a list"),
        pytest.param(document(client_name=None), id="CIM-14 no name"),
        pytest.param(document(client_name="\u202eevil"), id="CIM-14 name with an override"),
        pytest.param(document(redirect_uris=None), id="CIM-14 no redirect URIs"),
        pytest.param(document(redirect_uris=["javascript:alert(1)"]), id="script"),
        pytest.param(document(redirect_uris=["http://evil.example/cb"]), id="no TLS"),
        pytest.param(document(grant_types=["password"]), id="grant type"),
        pytest.param(document(logo_uri="http://169.254.169.254/"), id="logo"),
    ],
)
async def test_cim_14_a_document_that_says_something_wrong_is_refused(
    world: World, internet: Internet, body: Any
) -> None:
    internet.pages["/client.json"] = answer(body)

    response = await ask(world)

    assert is_page(response)
    assert HOST in response.text
    assert await reasons(world) == ["document_invalid"]
    assert (await world.counts())["clients"] == 0


async def test_cim_17_only_redirect_uris_of_the_document_are_answered(world: World) -> None:
    response = await ask(world)
    assert response.status_code == 303

    async with world.browser() as browser:
        response = await world.authorize(browser, document(), redirect_uri="https://evil.example/cb")
    assert is_page(response)
    assert await reasons(world) == ["redirect_uri_mismatch"]


async def test_cim_18_a_host_that_is_not_on_the_list_is_never_looked_up(
    make_world: MakeWorld, internet: Internet
) -> None:
    world = await make_world(
        egress=internet.egress(), client_id_metadata_hosts=f"other.example {HOST.upper()}"
    )

    assert is_page(await ask(world, "https://evil.example/c.json"))
    assert is_page(await ask(world, f"https://sub.{HOST}/c.json"))
    assert internet.lookups == []
    assert await reasons(world) == ["document_host_not_allowed"] * 2
    assert (await ask(world)).status_code == 303


async def test_switched_off_nothing_is_read_or_advertised(make_world: MakeWorld, internet: Internet) -> None:
    on = await make_world(egress=internet.egress())
    metadata = "/.well-known/oauth-authorization-server"
    assert (await on.http.get(metadata)).json()["client_id_metadata_document_supported"] is True
    assert (await ask(on)).status_code == 303

    off = await make_world(egress=internet.egress(), client_id_metadata_documents=False)

    assert "client_id_metadata_document_supported" not in (await off.http.get(metadata)).json()
    assert is_page(await ask(off))
    assert internet.lookups == [HOST]


async def test_cns_10_the_page_leads_with_the_host_that_vouches(world: World, internet: Internet) -> None:
    url = "https://evil.example/c.json"
    internet.pages["/c.json"] = answer(document(url, client_name="Claude (claude.ai)"))
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, document(url))

    page = (await browser.get(parked.headers["location"])).text

    assert page.index("evil.example") < page.index("Claude (claude.ai)")
    assert "described at https://evil.example" in page
    assert "127.0.0.1" in page
    assert "a program on this computer" in page


async def test_cim_5_loopback_is_not_read_for_a_network_that_can_ask_for_it(
    make_world: MakeWorld, internet: Internet
) -> None:
    """As in a container: known as localhost, and listening everywhere."""
    world = await make_world(egress=internet.egress(), host="0.0.0.0")  # noqa: S104 - what is tested
    internet.names["localhost"] = [["127.0.0.1"]]

    assert is_page(await ask(world, "http://localhost/client.json"))

    assert internet.connections == []
    assert await reasons(world) == ["document_address_forbidden"]


async def test_a_document_on_loopback_vouches_for_nobody(world: World, internet: Internet) -> None:
    url = "https://localhost/c.json"
    internet.names["localhost"] = [["127.0.0.1"]]
    internet.pages["/c.json"] = answer(document(url))
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, document(url))

    assert "identity not verified" in (await browser.get(parked.headers["location"])).text
