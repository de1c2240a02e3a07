"""What people and client programs do, over real connections; each step may go to another replica."""

import itertools
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx2
import sqlalchemy as sa

from tests.support.process import USERNAME, ServerProcess
from tests.support.world import (
    CHALLENGE,
    PASSWORD,
    REDIRECT_URI,
    VERIFIER,
    answer_of,
    forms_of,
    mcp_call,
    mcp_headers,
)

AT_ONCE = 20
# Revocation acts on every process within a second (decision 2 of the architecture).
REVOKED_EVERYWHERE_WITHIN = 1.0
SECONDS = 60.0
Client = Mapping[str, Any]
Tokens = Mapping[str, Any]
_addresses = itertools.count(1)


def connections(address: str | None = None, **headers: str) -> httpx2.AsyncClient:
    """Connections of one machine: behind a trusted proxy, so that each has its own address and its own limits."""
    number = next(_addresses)
    address = address or f"203.0.{113 + number // 250}.{number % 250 + 1}"
    headers = {"x-forwarded-for": address, **headers}
    # The server closes what was idle for five seconds. Whoever uses it in that moment gets no answer at all.
    limits = httpx2.Limits(keepalive_expiry=2)
    return httpx2.AsyncClient(headers=headers, timeout=SECONDS, trust_env=False, limits=limits)


def new_browser() -> httpx2.AsyncClient:
    """A browser: keeps cookies, wants pages; redirects are followed by hand."""
    return connections(accept="text/html,application/xhtml+xml,*/*;q=0.8")


async def register(http: httpx2.AsyncClient, at: ServerProcess, **metadata: Any) -> Client:
    """Register a public client."""
    body = {
        "client_name": "Test App",
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        **metadata,
    }
    answer = await http.post(f"{at.url}/oauth/register", json=body)
    assert answer.status_code == 201, answer.text
    client: Client = answer.json()
    return client


async def sign_in(
    browser: httpx2.AsyncClient,
    at: ServerProcess,
    page: str = "/login",
    username: str = USERNAME,
    password: str = PASSWORD,
) -> httpx2.Response:
    """Fill in the form of the sign-in page and send it."""
    shown = await browser.get(f"{at.url}{page}")
    assert shown.status_code == 200, shown.text
    form = next(form for form in forms_of(shown.text) if "password" in form.fields)
    data = {**form.fields, "username": username, "password": password}
    return await browser.post(f"{at.url}{form.action}", data=data)


async def authorize(browser: httpx2.AsyncClient, at: ServerProcess, client: Client) -> httpx2.Response:
    """Send the browser to the authorization endpoint."""
    query = {
        "response_type": "code",
        "client_id": client["client_id"],
        "redirect_uri": REDIRECT_URI,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "some state",
        "scope": "mcp profile offline_access",
        "resource": at.resource,
    }
    return await browser.get(f"{at.url}/authorize", params=query)


async def approve(browser: httpx2.AsyncClient, at: ServerProcess, consent: str) -> str:
    """Press the button of the consent page; returns the code."""
    page = await browser.get(f"{at.url}{consent}")
    assert page.status_code == 200, page.text
    form = next(form for form in forms_of(page.text) if ("decision", "approve") in form.buttons)
    answer = await browser.post(f"{at.url}{form.action}", data={**form.fields, "decision": "approve"})
    assert answer.status_code == 303, answer.text
    return answer_of(answer.headers["location"])["code"]


async def code_of(browser: httpx2.AsyncClient, at: ServerProcess, client: Client) -> str:
    """A code that the person signed in with this browser approves."""
    answer = await authorize(browser, at, client)
    assert answer.status_code == 303, answer.text
    return await approve(browser, at, answer.headers["location"])


async def redeem(http: httpx2.AsyncClient, at: ServerProcess, client: Client, code: str) -> httpx2.Response:
    """Redeem a code."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": VERIFIER,
        "redirect_uri": REDIRECT_URI,
        "client_id": client["client_id"],
    }
    return await http.post(f"{at.url}/oauth/token", data=form)


async def tokens_of(
    http: httpx2.AsyncClient, browser: httpx2.AsyncClient, at: ServerProcess, client: Client
) -> Tokens:
    """Tokens that the person signed in with this browser allows."""
    answer = await redeem(http, at, client, await code_of(browser, at, client))
    assert answer.status_code == 200, answer.text
    tokens: Tokens = answer.json()
    return tokens


async def refresh(
    http: httpx2.AsyncClient, at: ServerProcess, client: Client, refresh_token: str
) -> httpx2.Response:
    """Use a refresh token."""
    return await http.post(f"{at.url}/oauth/token", data=refresh_form(client, refresh_token))


def refresh_form(client: Client, refresh_token: str) -> dict[str, str]:
    """The form that uses a refresh token."""
    return {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "client_id": str(client["client_id"]),
    }


async def revoke(http: httpx2.AsyncClient, at: ServerProcess, client: Client, token: str) -> httpx2.Response:
    """Revoke a token as its client."""
    form = {"token": token, "client_id": client["client_id"]}
    return await http.post(f"{at.url}/oauth/revoke", data=form)


async def call(http: httpx2.AsyncClient, at: ServerProcess, access_token: str) -> httpx2.Response:
    """Call a tool."""
    headers = mcp_headers(access_token, "whoami")
    return await http.post(f"{at.url}/mcp", headers=headers, json=mcp_call("whoami", {}))


async def works(http: httpx2.AsyncClient, at: ServerProcess, access_token: str) -> bool:
    """Whether a tool can be called with it; the only other answer that is right is 401."""
    answer = await call(http, at, access_token)
    assert answer.status_code in {200, 401}, (answer.status_code, answer.text)
    return answer.status_code == 200


async def assert_dead_soon(
    http: httpx2.AsyncClient, servers: Iterable[ServerProcess], access_tokens: Iterable[str], since: float
) -> None:
    """Every one of them is refused everywhere within the second that began at `since` (monotonic)."""
    tokens = list(access_tokens)
    for server in servers:
        for token in tokens:
            while await works(http, server, token):
                waited = time.monotonic() - since
                assert waited < REVOKED_EVERYWHERE_WITHIN, f"still works {waited:.2f} s after revocation"


def assert_refused(answer: httpx2.Response) -> None:
    """400 `invalid_grant`, in the shape that clients read."""
    assert answer.status_code == 400, (answer.status_code, answer.text)
    assert answer.json()["error"] == "invalid_grant", answer.text


def assert_unavailable(answer: httpx2.Response) -> None:
    """503 `temporarily_unavailable`, with the advice when to come back."""
    assert answer.status_code == 503, (answer.status_code, answer.text)
    assert answer.json()["error"] == "temporarily_unavailable", answer.text
    assert int(answer.headers["retry-after"]) > 0


@asynccontextmanager
async def sql(database_url: str) -> AsyncIterator[Any]:
    """A connection of the test's own to the servers' database."""
    dsn = sa.make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()
