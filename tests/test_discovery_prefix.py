"""A public URL with a path, behind a proxy that passes the path on and behind one that strips it."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest

from tests.support.world import (
    PASSWORD,
    REDIRECT_URI,
    Form,
    World,
    answer_of,
    forms_of,
    mcp_call,
    mcp_headers,
)

PUBLIC = "https://host.example/ostiary"
pytestmark = pytest.mark.parametrize(
    "strips", [pytest.param(False, id="DSC-11-passes-on"), pytest.param(True, id="DSC-11-strips")]
)


class Proxy(httpx2.AsyncBaseTransport):
    """A TLS proxy on this machine: it serves the prefix only, and passes it on or strips it."""

    def __init__(self, world: World, strips: bool) -> None:
        self._inner = httpx2.ASGITransport(world.app, raise_app_exceptions=False, client=("127.0.0.1", 40000))
        self._strips = strips
        self.outside: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        target = request.url.raw_path.decode()
        if not target.startswith("/ostiary") and not target.startswith("/.well-known/"):
            self.outside.append(target)
            return httpx2.Response(502, request=request)
        if self._strips and target.startswith("/ostiary"):
            target = target.removeprefix("/ostiary") or "/"
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        forwarded = httpx2.Request(
            request.method,
            f"http://internal:8000{target}",
            headers=[*headers, (b"host", b"internal:8000"), (b"x-forwarded-proto", b"https")],
            stream=request.stream,
        )
        return await self._inner.handle_async_request(forwarded)


@dataclass
class Visitor:
    """A browser that follows what pages and answers say, as URLs are resolved."""

    http: httpx2.AsyncClient
    url: str = PUBLIC + "/"
    seen: list[str] = field(default_factory=list)

    async def get(self, url: str, **parameters: str) -> httpx2.Response:
        """Open an address, relative to the page that is open."""
        self.url = urljoin(self.url, url)
        self.seen.append(self.url)
        answer = await self.http.get(self.url, params=parameters or None)
        self.url = str(answer.url)
        return await self._follow(answer)

    async def send(self, form: Form, **fields: str) -> httpx2.Response:
        """Send a form of the page that is open."""
        self.url = urljoin(self.url, form.action)
        self.seen.append(self.url)
        return await self._follow(await self.http.post(self.url, data={**form.fields, **fields}))

    async def _follow(self, answer: httpx2.Response) -> httpx2.Response:
        location = answer.headers.get("location")
        if location is None or location.startswith(REDIRECT_URI):
            return answer
        return await self.get(location)


@pytest.fixture
async def visitor(
    make_world: Callable[..., Any], strips: bool
) -> AsyncIterator[tuple[World, Visitor, Proxy]]:
    """The server with a path in its public URL, and a browser in front of the proxy."""
    world = await make_world(public_url=PUBLIC)
    await world.create_user("alice")
    proxy = Proxy(world, strips)
    async with httpx2.AsyncClient(transport=proxy, headers={"accept": "text/html,*/*;q=0.8"}) as http:
        yield world, Visitor(http), proxy


async def test_the_whole_flow_stays_below_the_path(visitor: tuple[World, Visitor, Proxy]) -> None:
    world, browser, proxy = visitor
    http = browser.http
    document = (await http.get("https://host.example/.well-known/oauth-authorization-server/ostiary")).json()
    assert document["issuer"] == PUBLIC
    registration = {
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    }
    client = (await http.post(document["registration_endpoint"], json=registration)).json()

    page = await browser.get(document["authorization_endpoint"], **world.authorization(client))
    form = next(form for form in forms_of(page.text) if "password" in form.fields)
    page = await browser.send(form, username="alice", password=PASSWORD)
    form = next(form for form in forms_of(page.text) if ("decision", "approve") in form.buttons)
    assert urljoin(browser.url, form.action).startswith(f"{PUBLIC}/consent/")
    back = answer_of((await browser.send(form, decision="approve")).headers["location"])

    assert back["iss"] == PUBLIC
    answer = await http.post(document["token_endpoint"], data=world.redemption(client, back["code"]))
    tokens = answer.json()
    call = await http.post(
        f"{PUBLIC}/mcp", headers=mcp_headers(tokens["access_token"], "whoami"), json=mcp_call("whoami", {})
    )
    assert call.json()["result"]["structuredContent"]["username"] == "alice"
    form_data = {"token": tokens["refresh_token"], "client_id": client["client_id"]}
    assert (await http.post(document["revocation_endpoint"], data=form_data)).status_code == 200
    assert all(url.startswith(PUBLIC + "/") for url in browser.seen)
    assert proxy.outside == []


async def test_metadata_and_challenges_carry_the_path(visitor: tuple[World, Visitor, Proxy]) -> None:
    _, browser, _ = visitor
    http = browser.http
    for path in (
        "/.well-known/oauth-authorization-server/ostiary",
        "/.well-known/openid-configuration/ostiary",
        "/ostiary/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource/ostiary/mcp",
    ):
        answer = await http.get("https://host.example" + path)
        assert answer.status_code == 200, path
        urls = re.findall(r'"(https?://[^"]*)"', answer.text)
        assert urls
        assert all(url == PUBLIC or url.startswith(PUBLIC + "/") for url in urls), urls

    for path in ("/mcp", "/mcp/"):
        challenged = await http.post(PUBLIC + path, json={})
        assert challenged.status_code == 401
        named = re.search(r'resource_metadata="([^"]*)"', challenged.headers["www-authenticate"])
        assert named is not None
        assert urlsplit(named[1]).netloc == "host.example"
        assert (await http.get(named[1])).json()["resource"] == f"{PUBLIC}/mcp"


async def test_every_link_of_every_page_leads_below_the_path(visitor: tuple[World, Visitor, Proxy]) -> None:
    world, browser, proxy = visitor
    client = await world.register()
    pages = [
        await browser.get(PUBLIC + "/"),
        await browser.get(PUBLIC + "/nowhere"),
        await browser.get(PUBLIC + "/authorize?client_id=unknown"),
        await browser.get(PUBLIC + "/login"),
    ]
    form = next(form for form in forms_of(pages[-1].text) if "password" in form.fields)
    await browser.send(form, username="alice", password=PASSWORD)
    pages.append(await browser.get(PUBLIC + "/authorize", **world.authorization(client)))

    for page in pages:
        assert "text/html" in page.headers["content-type"]
        links = re.findall(r'\b(?:href|src|action)="([^"]*)"', page.text)
        assert links
        # Links that open an app (cursor:, vscode:) or lead to other sites are none of ours.
        targets = [urljoin(str(page.url), link) for link in links]
        ours = [url for url in targets if url.startswith("http") and urlsplit(url).netloc == "host.example"]
        assert ours
        assert all(url.startswith((PUBLIC + "/", "https://host.example/.well-known/")) for url in ours), ours
        assert "internal" not in page.text
        assert "http://host.example" not in page.text
    stylesheets = re.findall(r'rel="stylesheet" href="([^"]*)"', pages[0].text)
    assert stylesheets
    for address in stylesheets:
        assert (await browser.http.get(urljoin(PUBLIC + "/", address))).status_code == 200
    assert proxy.outside == []
