"""Registration against clients that give themselves rights, that deceive people, or that send too much."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from tests.support.world import REDIRECT_URI, World, answer_of

METADATA = "invalid_client_metadata"
JSON = {"content-type": "application/json"}
MARK = "chosen-by-the-client-itself"


def assert_refusal(answer: httpx2.Response, status: set[int], error: str | None = None) -> None:
    """A JSON error, not to be stored."""
    assert answer.status_code in status, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert "no-store" in answer.headers["cache-control"]
    assert answer.json()["error_description"]
    assert error is None or answer.json()["error"] == error, answer.text


async def assert_refused(world: World, error: str, **changes: Any) -> None:
    """A registration that is good but for these changes is refused and leaves no row."""
    rows = await world.counts()
    body = {"client_name": "Test App", "redirect_uris": [REDIRECT_URI], **changes}
    # By hand, because `json=` can't say a lone surrogate.
    answer = await world.http.post("/oauth/register", content=json.dumps(body), headers=JSON)
    assert_refusal(answer, {400}, error)
    assert await world.counts() == rows


async def consent_page(world: World, client: dict[str, Any]) -> str:
    """What alice is asked when this client wants in."""
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client, scope="mcp")
    page = await browser.get(parked.headers["location"])
    assert page.status_code == 200, page.text
    return page.text


# ------------------------------------------------------------------------------------------ rights
@pytest.mark.parametrize(
    "field",
    [
        pytest.param("client_id", id="REG-14-client_id"),
        pytest.param("client_secret", id="REG-14-client_secret"),
        pytest.param("registration_access_token", id="REG-14-registration_access_token"),
        pytest.param("registration_client_uri", id="REG-14-registration_client_uri"),
        pytest.param("secret_hash", id="REG-14-secret_hash"),
        pytest.param("registered_from", id="REG-14-registered_from"),
    ],
)
async def test_a_client_does_not_choose_what_the_server_makes(world: World, field: str) -> None:
    registered = await world.register(**{field: MARK, "token_endpoint_auth_method": "client_secret_post"})

    assert MARK not in json.dumps(registered)
    assert MARK not in str(await world.rows("SELECT * FROM clients"))
    assert registered["client_id"]
    assert registered["client_secret"]


async def test_reg_14_a_secret_of_the_clients_own_choice_does_not_work(world: World) -> None:
    client = await world.register(client_secret=MARK, token_endpoint_auth_method="client_secret_post")
    answer = await world.redeem(client, await world.code(client), client_secret=MARK)
    assert_refusal(answer, {401}, "invalid_client")


async def test_reg_14_times_are_the_servers(world: World) -> None:
    registered = await world.register(
        client_id_issued_at=1, client_secret_expires_at=1, token_endpoint_auth_method="client_secret_post"
    )
    assert registered["client_id_issued_at"] == int(world.clock.now().timestamp())
    assert registered["client_secret_expires_at"] != 1


@pytest.mark.parametrize(
    "field",
    [
        pytest.param({name: True}, id=f"REG-14-{name}")
        for name in ("is_admin", "trusted", "skip_consent", "first_party", "require_consent")
    ]
    + [
        pytest.param({"registration": "manual"}, id="REG-14-registration"),
        pytest.param({"disabled_at": None, "last_used_at": "2026-01-01"}, id="REG-14-columns"),
        pytest.param({"information": {"trusted": True}}, id="REG-14-information"),
    ],
)
async def test_a_client_does_not_give_itself_trust(world: World, field: dict[str, Any]) -> None:
    plain, registered = await world.register(), await world.register(**field)

    assert not [name for name in field if registered.get(name)]
    # Nothing of it is stored: the rows differ in the id, by which it is found, and in the token that manages it only.
    first, second = await world.rows(
        "SELECT * FROM clients ORDER BY client_id = :id", id=registered["client_id"]
    )
    own = {"client_id": "", "registration_token_hash": "", "search_text": ""}
    assert {**first, **own} == {**second, **own}
    assert plain["client_id"] == first["client_id"]
    # And a person is asked, as for everybody.
    assert 'value="approve"' in await consent_page(world, registered)


async def test_reg_14_a_client_that_exists_is_not_replaced(world: World) -> None:
    victim = await world.register()
    tokens = await world.tokens(victim)

    thief = await world.register(client_id=victim["client_id"], redirect_uris=["https://evil.example/cb"])

    assert thief["client_id"] != victim["client_id"]
    assert (await world.refresh(victim, tokens["refresh_token"])).status_code == 200
    stolen = await world.authorize(world.browser(), victim, redirect_uri="https://evil.example/cb")
    assert stolen.status_code == 400
    assert "location" not in stolen.headers


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param("mcp admin", id="REG-23-admin"),
        pytest.param("mcp users:write *", id="REG-23-wildcard"),
        pytest.param("unknown", id="REG-23-only-unknown"),
    ],
)
async def test_scope_outside_the_policy_is_refused_or_narrowed_openly(world: World, scope: str) -> None:
    answer = await world.http.post("/oauth/register", json={"redirect_uris": [REDIRECT_URI], "scope": scope})
    if answer.status_code == 400:
        assert_refusal(answer, {400}, METADATA)
        assert (await world.counts())["clients"] == 0
        return
    assert answer.status_code == 201
    known = (await world.http.get("/.well-known/oauth-authorization-server")).json()["scopes_supported"]
    echoed = answer.json().get("scope", "").split()
    assert set(echoed) == set(scope.split()) & set(known)
    assert ((await world.rows("SELECT scope FROM clients"))[0]["scope"] or "").split() == echoed


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param('mcp "', id="REG-23-quote"),
        pytest.param("mcp \\", id="REG-23-backslash"),
        pytest.param("mcp\u00e4", id="REG-23-not-ascii"),
        pytest.param("mcp\nprofile", id="REG-23-new-line"),
        pytest.param(["mcp"], id="REG-23-list"),
        pytest.param(7, id="REG-23-number"),
    ],
)
async def test_a_malformed_scope_is_refused(world: World, scope: Any) -> None:
    await assert_refused(world, METADATA, scope=scope)


# ------------------------------------------------------------------------------------------ deception
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("x" * 10_000, id="REG-15-ten-kilobytes"),
        pytest.param("Claude\u202eedualC", id="REG-15-right-to-left-override"),
        pytest.param("Cla\u200bude", id="REG-15-zero-width-space"),
        pytest.param("Cla\u2060ude\ufeff", id="REG-15-word-joiner"),
        pytest.param("Cla\u2066ude\u2069", id="REG-15-isolate"),
        pytest.param("Cla\x00ude", id="REG-15-nul"),
        pytest.param("Cla\x1b[2Jude", id="REG-15-escape"),
        pytest.param("Claude\n\nVerified by the operator", id="REG-15-new-lines"),
        pytest.param("Claude\u2028Verified", id="REG-15-line-separator"),
        pytest.param("Cla\ud800ude", id="REG-15-surrogate"),
        pytest.param("Cla\U000e0041ude", id="REG-15-tag-character"),
        pytest.param("Z" + "\u0316" * 200, id="REG-15-zalgo"),
    ],
)
async def test_a_name_that_deceives_is_refused_or_cleaned(world: World, name: str) -> None:
    body = json.dumps(
        {"client_name": name, "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}
    )
    answer = await world.http.post("/oauth/register", content=body, headers=JSON)
    if answer.status_code == 400:
        assert_refusal(answer, {400}, METADATA)
        assert (await world.counts())["clients"] == 0
        return
    assert answer.status_code == 201, answer.text
    kept = answer.json()["client_name"]
    assert len(kept) <= 200
    assert kept == (await world.rows("SELECT client_name FROM clients"))[0]["client_name"]
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]", kept
    )
    assert not re.search("\u0316{5}", kept)


@pytest.mark.parametrize("field", ["client_name", "client_uri", "policy_uri", "tos_uri", "software_id"])
async def test_reg_15_markup_is_never_shown_as_markup(world: World, field: str) -> None:
    markup = "https://app.example/\"><script>alert(1)</script>'&{{7*7}}"
    body = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none", field: markup}
    answer = await world.http.post("/oauth/register", json=body)
    if answer.status_code == 400:
        assert_refusal(answer, {400}, METADATA)
        return
    page = await consent_page(world, answer.json())
    assert "<script>alert" not in page
    assert '"><' + "script" not in page
    if field == "client_name":
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "{{7*7}}" in page


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_name": 7}, id="REG-15-number"),
        pytest.param({"client_name": ["Claude"]}, id="REG-15-list"),
        pytest.param({"client_name": {"a": "b"}}, id="REG-15-object"),
        pytest.param({"contacts": "a@b.example"}, id="REG-15-contacts-string"),
        pytest.param({"contacts": [{"a": 1}]}, id="REG-15-contacts-objects"),
        pytest.param({"software_id": "a\ud800"}, id="REG-15-surrogate-elsewhere"),
        pytest.param({"contacts": ["a\x00"]}, id="REG-15-nul-elsewhere"),
    ],
)
async def test_text_that_is_no_text_is_refused(world: World, changes: dict[str, Any]) -> None:
    await assert_refused(world, METADATA, **changes)


_outbound: list[object] = []
_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        _outbound.append(arguments[1] if event == "socket.connect" else arguments[0])


sys.addaudithook(_watch)


@contextmanager
def watched_network() -> Iterator[list[object]]:
    """The hosts that this process asks for or connects to meanwhile; an audit hook can't be removed again."""
    global _watching
    _outbound.clear()
    _watching = True
    try:
        yield _outbound
    finally:
        _watching = False


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("javascript:alert(1)", id="REG-16-javascript"),
        pytest.param(" JavaScript:alert(1)", id="REG-16-javascript-after-space"),
        pytest.param("data:image/svg+xml,<svg onload=alert(1)>", id="REG-16-data"),
        pytest.param("file:///etc/passwd", id="REG-16-file"),
        pytest.param("http://169.254.169.254/", id="REG-16-cloud-metadata"),
        pytest.param("//evil.example/logo.png", id="REG-16-no-scheme"),
        pytest.param(7, id="REG-16-number"),
    ],
)
async def test_an_address_that_could_harm_is_refused(world: World, uri: Any) -> None:
    with watched_network() as outbound:
        for field in ("logo_uri", "client_uri", "policy_uri", "tos_uri"):
            await assert_refused(world, METADATA, **{field: uri})
    assert not [
        address for address in outbound if "169.254.169.254" in str(address) or "evil" in str(address)
    ]


async def test_reg_16_nothing_is_fetched_and_nothing_hot_linked(world: World) -> None:
    addresses = {
        name: f"https://{name.replace('_', '-')}.client.example/x.png"
        for name in ("logo_uri", "client_uri", "policy_uri", "tos_uri", "jwks_uri")
    }
    with watched_network() as outbound:
        client = await world.register(**addresses)
        page = await consent_page(world, client)

    assert not [address for address in outbound if "client.example" in str(address)]
    loaded = re.findall(
        r"""(?:src|srcset|data|poster|background)\s*=\s*["'][^"']*|url\([^)]*|<link[^>]*""", page
    )
    assert not [what for what in loaded if "client.example" in what]


# ------------------------------------------------------------------------------------------ too much
def _nested(depth: int) -> bytes:
    return b'{"redirect_uris":["https://app.example/cb"],"x":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(json.dumps({"client_name": "x" * 1_000_000}).encode(), id="REG-18-one-megabyte"),
        pytest.param(
            json.dumps({"redirect_uris": [f"https://app.example/{n}" for n in range(1000)]}).encode(),
            id="REG-18-thousand-redirect-uris",
        ),
        pytest.param(
            json.dumps({"redirect_uris": ["https://app.example/" + "x" * 60_000]}).encode(),
            id="REG-18-long-redirect-uri",
        ),
        pytest.param(_nested(200), id="REG-18-200-deep"),
        pytest.param(_nested(30_000), id="REG-18-30000-deep"),
        pytest.param(b"[" * 60_000, id="REG-18-60000-open"),
        pytest.param(b'{"x":' * 10_000, id="REG-18-10000-open-objects"),
        pytest.param(b'{"default_max_age":' + b"9" * 50_000 + b"}", id="REG-18-long-number"),
        pytest.param(
            json.dumps({"redirect_uris": [REDIRECT_URI], "contacts": ["a@b.example"] * 4000}).encode(),
            id="REG-18-4000-contacts",
        ),
    ],
)
async def test_a_registration_that_is_too_large_is_refused_at_once(world: World, content: bytes) -> None:
    rows = await world.counts()
    await world.http.post(
        "/oauth/register", content=b"{}", headers=JSON
    )  # the first request compiles statements

    started = time.process_time()
    answer = await world.http.post("/oauth/register", content=content, headers=JSON)
    used = time.process_time() - started

    assert_refusal(answer, {400, 413})
    assert used < 0.1
    assert await world.counts() == rows


async def test_reg_18_a_body_without_a_length_is_limited_too(world: World) -> None:
    async def parts() -> Any:
        for _ in range(1000):
            yield b" " * 1000

    answer = await world.http.post("/oauth/register", content=parts(), headers=JSON)
    assert_refusal(answer, {400, 413})
    assert (await world.counts())["clients"] == 0


async def test_reg_19_one_source_registers_no_more_than_allowed(make_world: Callable[..., Any]) -> None:
    world = await make_world(registrations_per_minute=3)
    body = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}
    await world.create_user("alice")
    async with world.machine("198.51.100.1") as busy, world.machine("198.51.100.2") as other:
        allowed = [(await busy.post("/oauth/register", json=body)) for _ in range(3)]
        refused = await busy.post("/oauth/register", json=body)
        neighbour = await other.post("/oauth/register", json=body)

    assert [answer.status_code for answer in allowed] == [201, 201, 201]
    assert_refusal(refused, {429})
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert neighbour.status_code == 201
    assert (await world.counts())["clients"] == 4
    # Who is registered already does not notice.
    code = await world.code(allowed[0].json(), scope="mcp")
    assert (await world.redeem(allowed[0].json(), code)).status_code == 200


async def test_reg_14_trust_is_not_taken_from_the_authorization_request(world: World) -> None:
    client = await world.register()
    browser = await world.signed_in_browser()
    parked = await world.authorize(browser, client, skip_consent="true", trusted="true", prompt="none")
    location = parked.headers["location"]
    assert "code" not in (answer_of(location) if location.startswith(REDIRECT_URI) else {})
