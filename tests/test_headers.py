"""Headers of pages and of answers to machines: what browsers must be told, and who may read what."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from tests.support.world import PASSWORD, REDIRECT_URI, World, forms_of, mcp_call, mcp_headers

PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
JSON = {"accept": "application/json"}
INSPECTOR = "http://localhost:6274"
WELL_KNOWN = "/.well-known/oauth-authorization-server"


async def pages_of(world: World) -> dict[str, httpx2.Response]:
    """One of every kind of page, good and bad."""
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, await world.register())
    stranger = world.browser()
    return {
        "info": await stranger.get("/"),
        "login": await stranger.get("/login"),
        "login, refused": await world.sign_in(world.browser(), password="wrong"),
        "login, forged": await stranger.post("/login", data={"username": "alice", "password": PASSWORD}),
        "consent": await browser.get(parked.headers["location"]),
        "consent, forged": await browser.post(parked.headers["location"], data={"decision": "approve"}),
        "consent, unknown": await browser.get("/consent/unknown"),
        "logout": await browser.get("/logout"),
        "authorize, refused": await stranger.get("/authorize?client_id=unknown"),
        "not found": await stranger.get("/nowhere"),
        "not allowed": await stranger.delete("/login"),
    }


def policy_of(page: httpx2.Response) -> dict[str, list[str]]:
    """The directives of a page's content security policy."""
    directives = [directive.split() for directive in page.headers["content-security-policy"].split(";")]
    return {words[0].lower(): words[1:] for words in directives if words}


# ------------------------------------------------------------------------------------------ pages
async def test_hdr_1_every_page_is_protected(world: World) -> None:
    for name, page in (await pages_of(world)).items():
        assert page.headers["content-type"].startswith("text/html"), name
        policy = policy_of(page)
        assert policy["default-src"] == ["'none'"], name
        assert policy["frame-ancestors"] == ["'none'"], name
        assert policy["base-uri"] == ["'none'"], name
        words = {word for values in policy.values() for word in values}
        assert not words & {"'unsafe-inline'", "'unsafe-eval'", "*", "http:", "https:"}, name
        assert page.headers["x-frame-options"] == "DENY", name
        assert page.headers["x-content-type-options"] == "nosniff", name
        assert page.headers["referrer-policy"] in {"no-referrer", "same-origin"}, name
        assert page.headers["cross-origin-opener-policy"] == "same-origin", name


async def test_hdr_1_what_a_page_brings_its_policy_allows(world: World) -> None:
    for name, page in (await pages_of(world)).items():
        policy = policy_of(page)
        for attributes in re.findall(r"<(?:script|style)\b([^>]*)>", page.text):
            nonce = re.search(r'nonce="([^"]+)"', attributes)
            assert nonce is not None or "src=" in attributes, name
            assert nonce is None or f"'nonce-{nonce[1]}'" in policy["script-src"] + policy.get(
                "style-src", []
            ), name
        assert not re.search(r"<[^>]*\s(?:on[a-z]+|style)\s*=", page.text), name
        assert "javascript:" not in page.text, name
        # A page of somebody is nobody else's: not even the browser keeps it.
        assert name in {"info", "not found"} or "no-store" in page.headers["cache-control"], name


async def test_hdr_1_nonces_are_fresh(world: World) -> None:
    async with world.browser() as browser:
        pages = [await browser.get("/login") for _ in range(3)]
    nonces = [re.findall(r"'nonce-([^']+)'", page.headers["content-security-policy"]) for page in pages]
    seen = [nonce for found in nonces for nonce in found]
    assert len(set(seen)) == len(seen)


async def test_no_answer_is_guessed_at_by_a_browser(world: World) -> None:
    """ASVS 5.0 3.4.4: nosniff is for every answer, not only for pages."""
    home = (await world.browser().get("/")).text
    stylesheet = re.findall(r'rel="stylesheet" href="([^"]*)"', home)[0]
    for path in (
        "/",
        stylesheet,
        WELL_KNOWN,
        "/.well-known/jwks.json",
        "/.well-known/nothing",
        "/oauth/token",
    ):
        answer = await world.http.get(path)
        assert answer.headers.get("x-content-type-options") == "nosniff", path
    assert (await world.call(None)).headers.get("x-content-type-options") == "nosniff"


async def test_hdr_5_what_carried_credentials_is_redirected_with_303(world: World) -> None:
    browser = world.browser()
    client = await world.register()
    parked = await world.authorize(browser, client)
    signed_in = await world.sign_in(browser, at=parked.headers["location"])
    approved = await world.decide(browser, signed_in.headers["location"])
    denied = await world.decide(browser, (await world.authorize(browser, client)).headers["location"], "deny")
    form = next(form for form in forms_of((await browser.get("/logout")).text) if form.method == "post")
    signed_out = await browser.post(form.action, data=form.fields)

    assert [answer.status_code for answer in (signed_in, approved, denied, signed_out)] == [303] * 4
    assert approved.headers["location"].startswith(REDIRECT_URI)
    assert parked.status_code in {302, 303}


# ------------------------------------------------------------------------------------------ other origins
@pytest.mark.parametrize(
    "path",
    ["/", "/authorize", "/login", "/logout", "/consent/unknown", "/account", "/admin", "/device", "/metrics"],
)
@pytest.mark.parametrize("origin", [INSPECTOR, "https://evil.example", "null", "http://localhost:8000"])
async def test_hdr_2_pages_are_for_no_other_origin(world: World, path: str, origin: str) -> None:
    preflight = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    browser = await world.signed_in_browser()
    for answer in (
        await browser.get(path, headers={"origin": origin}),
        await browser.post(path, headers={"origin": origin}, data={"decision": "approve"}),
        await browser.options(path, headers=preflight),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_hdr_2_the_approval_itself_is_for_no_other_origin(world: World) -> None:
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, await world.register())
    page = await browser.get(parked.headers["location"], headers={"origin": "https://evil.example"})
    assert page.status_code == 200
    assert "access-control-allow-origin" not in page.headers


MACHINES = [
    ("GET", WELL_KNOWN),
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/.well-known/oauth-protected-resource"),
    ("GET", "/.well-known/oauth-protected-resource/mcp"),
    ("GET", "/.well-known/jwks.json"),
    ("POST", "/oauth/register"),
    ("POST", "/oauth/token"),
    ("POST", "/oauth/revoke"),
    ("GET", "/oauth/userinfo"),
    ("POST", "/oauth/userinfo"),
    ("POST", "/mcp"),
    ("POST", "/mcp/"),
]


@pytest.mark.parametrize(("method", "path"), [pytest.param(*m, id=f"HDR-3-{m[0]}-{m[1]}") for m in MACHINES])
async def test_programs_in_browsers_may_ask_and_read(world: World, method: str, path: str) -> None:
    wanted = "authorization, content-type, mcp-protocol-version, mcp-method, mcp-name"
    preflight = await world.http.options(
        path,
        headers={
            "origin": INSPECTOR,
            "access-control-request-method": method,
            "access-control-request-headers": wanted,
        },
    )
    assert preflight.status_code in {200, 204}
    assert method in preflight.headers["access-control-allow-methods"]
    allowed = preflight.headers["access-control-allow-headers"].lower()
    # `*` does not include Authorization (Fetch §3.3.4): it has to be named.
    assert set(wanted.split(", ")) <= set(re.split(r",\s*", allowed)), allowed

    answer = await world.http.request(method, path, headers={"origin": INSPECTOR})
    for reply in (preflight, answer):
        assert reply.headers["access-control-allow-origin"] in {"*", INSPECTOR}
        assert "access-control-allow-credentials" not in reply.headers
        if reply.headers["access-control-allow-origin"] != "*":
            assert "origin" in reply.headers["vary"].lower()


async def test_hdr_3_refusals_can_be_read_too(make_world: Callable[..., Any]) -> None:
    world = await make_world(registrations_per_minute=4)
    form, large = {"grant_type": "authorization_code", "client_id": "unknown"}, b"x" * 1_000_000
    requests: list[tuple[int, str, str, dict[str, Any]]] = [
        (404, "GET", "/.well-known/nothing", {}),
        (404, "GET", "/.well-known/oauth-protected-resource/nothing", {}),
        (404, "POST", "/oauth/nothing", {}),
        (405, "GET", "/oauth/token", {}),
        (400, "POST", "/oauth/token", {"data": {"client_id": "unknown"}}),
        (401, "POST", "/oauth/token", {"data": form}),
        (400, "POST", "/oauth/register", {"content": b"{"}),
        (413, "POST", "/oauth/register", {"content": large}),
        (413, "POST", "/oauth/token", {"content": large}),
        *[(0, "POST", "/oauth/register", {"json": {"redirect_uris": [REDIRECT_URI]}})] * 4,
        (429, "POST", "/oauth/register", {"json": {"redirect_uris": [REDIRECT_URI]}}),
        (401, "GET", "/oauth/userinfo", {}),
        (401, "POST", "/oauth/userinfo", {"headers": {"authorization": "Bearer unknown"}}),
        (401, "POST", "/mcp", {"json": {}}),
        (401, "POST", "/mcp", {"headers": {"authorization": "Bearer unknown"}}),
    ]
    for status, method, path, more in requests:
        headers = {"origin": INSPECTOR, **more.pop("headers", {})}
        answer = await world.http.request(method, path, headers=headers, **more)
        assert status in {0, answer.status_code}, (method, path)
        assert answer.headers["access-control-allow-origin"] in {"*", INSPECTOR}, (status, path)
        assert "access-control-allow-credentials" not in answer.headers
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert "www-authenticate" in exposed
        assert "mcp-session-id" in exposed
        assert status != 429 or "retry-after" in exposed


# ------------------------------------------------------------------------------------------ behind TLS
@pytest.fixture
async def secure(make_world: Callable[..., Any]) -> AsyncIterator[tuple[World, httpx2.AsyncClient]]:
    """An https server, and a browser whose TLS proxy on this machine talks to it as internal:8000."""
    world = await make_world(public_url="https://host.example")
    await world.create_user("alice")
    transport = httpx2.ASGITransport(world.app, raise_app_exceptions=False, client=("127.0.0.1", 40000))

    class Proxy(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
            added = [(b"host", b"internal:8000"), (b"x-forwarded-proto", b"https")]
            return await transport.handle_async_request(
                httpx2.Request(
                    request.method,
                    f"http://internal:8000{request.url.raw_path.decode()}",
                    headers=[*headers, *added],
                    stream=request.stream,
                )
            )

    async with httpx2.AsyncClient(
        transport=Proxy(), base_url="https://host.example", headers=PAGE
    ) as browser:
        yield world, browser


async def test_hdr_6_https_answers_demand_https_for_a_year(secure: tuple[World, httpx2.AsyncClient]) -> None:
    world, browser = secure
    stylesheet = re.findall(r'rel="stylesheet" href="([^"]*)"', (await browser.get("/")).text)[0]
    answers = [
        await browser.get(path)
        for path in ("/", "/login", "/nowhere", WELL_KNOWN, "/.well-known/nothing", "/healthz", stylesheet)
    ]
    answers.append(await browser.get("/authorize?client_id=unknown"))
    answers.append(await browser.post("/oauth/token", data={}))
    answers.append(await browser.post("/oauth/register", content=b"x" * 1_000_000))
    answers.append(await browser.post("/mcp", json={}))
    tokens = await world.tokens(await world.register())
    headers = mcp_headers(tokens["access_token"], "whoami")
    answers.append(await browser.post("/mcp", headers=headers, json=mcp_call("whoami", {})))
    for answer in answers:
        value = answer.headers.get("strict-transport-security", "")
        age = re.search(r"max-age=(\d+)", value)
        assert age is not None, answer.url
        assert int(age[1]) >= 31_536_000


async def test_hdr_6_plain_http_does_not_speak_of_it(world: World) -> None:
    """RFC 6797 §7.2: the header MUST NOT be sent over a transport that is not secure."""
    for path in ("/", WELL_KNOWN):
        assert "strict-transport-security" not in (await world.http.get(path)).headers


async def test_hdr_11_redirects_never_lead_to_the_inside(secure: tuple[World, httpx2.AsyncClient]) -> None:
    world, browser = secure
    client = await world.register()
    refused = await world.authorize(browser, client, scope='"')
    parked = await world.authorize(browser, client)
    signed_in = await world.sign_in(browser, at=parked.headers["location"])
    denied = await world.decide(browser, signed_in.headers["location"], "deny")
    form = next(form for form in forms_of((await browser.get("/logout")).text) if form.method == "post")
    signed_out = await browser.post(form.action, data=form.fields)
    slash = [await browser.get(path) for path in ("/login/", "/oauth/token/", "/.well-known/", "/static")]

    for answer in (refused, parked, signed_in, signed_out, *slash):
        location = answer.headers.get("location", "/")
        assert re.match(r"https://host\.example/|/(?![/\\])", location), location
    assert denied.headers["location"].startswith(REDIRECT_URI)
    for answer in (parked, signed_in):
        for cookie in answer.headers.get_list("set-cookie"):
            assert "secure" in cookie.lower()
            assert cookie.startswith("__Host-")
            assert "domain=" not in cookie.lower()


# ------------------------------------------------------------------------------------------ not found
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("/nowhere", JSON, id="HDR-9-accept-json"),
        pytest.param("/nowhere", {"accept": "application/json;q=0.9, */*;q=0.1"}, id="HDR-9-prefers-json"),
        pytest.param("/.well-known/nothing", {}, id="HDR-9-well-known"),
        pytest.param("/.well-known/nothing", PAGE, id="HDR-9-well-known-to-a-browser"),
        pytest.param("/.well-known/", PAGE, id="HDR-9-well-known-itself"),
        pytest.param("/oauth/nothing", PAGE, id="HDR-9-oauth"),
        pytest.param("/mcp/nothing", {}, id="HDR-9-below-mcp"),
        pytest.param("/register", JSON, id="HDR-9-default-path-of-old-clients"),
        pytest.param("/nowhere", {}, id="HDR-9-accept-missing"),
    ],
)
async def test_what_is_not_there_is_told_in_json(world: World, path: str, headers: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        answer = await world.http.request(method, path, headers=headers)
        assert answer.status_code == 404
        assert answer.headers["content-type"].partition(";")[0] == "application/json"
        assert set(answer.json()) >= {"error", "error_description"}
        assert "no-store" in answer.headers["cache-control"]


async def test_hdr_9_people_get_a_page(world: World) -> None:
    answer = await world.browser().get("/nowhere?<script>alert(1)</script>")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script>alert" not in answer.text
