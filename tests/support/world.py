"""A running application with a clock that is moved by hand, and the people, browsers and clients around it."""

import base64
import functools
import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import sqlalchemy as sa
from fastapi import FastAPI

from app.accounts import people
from app.accounts.passwords import HashCost
from app.accounts.records import User
from app.audit import Origin
from app.authorization_server.document_fetcher import Egress
from app.database import Database
from app.main import create_app
from app.routers.services import Services
from app.settings import Settings
from app.tracing import Tracing

SECRET_KEY = "a secret key of the tests, long enough"
PASSWORD = "correct horse battery"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT_URI = "http://127.0.0.1/callback"
# Hashing with the least work. Tests of hashing itself pass None: what production takes.
QUICK = HashCost(memory_kib=8, rounds=1)

# The machine's own network, as the application makes it: the system's certificates are read once a run.
_machine = functools.cache(Egress)


class FakeClock:
    """A clock that moves only by hand."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, **duration: float) -> None:
        """Move forward: `advance(minutes=5)`."""
        self._now += timedelta(**duration)


@dataclass
class Form:
    """A form of a page: where it posts, its hidden and other fields, and its buttons."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(values.get("action", ""), values.get("method", "get")))
        elif self.forms and tag == "input" and values.get("name"):
            self.forms[-1].fields[values["name"]] = values.get("value", "")
        elif self.forms and tag == "button" and values.get("name"):
            self.forms[-1].buttons.append((values["name"], values.get("value", "")))


def forms_of(html: str) -> list[Form]:
    """Every form of a page."""
    parser = _Forms()
    parser.feed(html)
    return parser.forms


def answer_of(location: str) -> dict[str, str]:
    """The parameters that an authorization response carries, each exactly once."""
    values = parse_qs(urlsplit(location).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(value) == 1 for value in values.values()), location
    return {name: value[0] for name, value in values.items()}


@dataclass
class World:
    """One server and what tests do with it. `http` is a machine: it keeps no cookies."""

    app: FastAPI
    settings: Settings
    clock: FakeClock
    http: httpx2.AsyncClient

    @property
    def services(self) -> Services:
        """The running server's parts."""
        services: Services = self.app.state.services
        return services

    @property
    def database(self) -> Database:
        """The server's database."""
        return self.services.database

    def browser(self, source: str = "203.0.113.7") -> httpx2.AsyncClient:
        """A new browser: its own cookies, redirects not followed."""
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False, client=(source, 40000))
        headers = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        return httpx2.AsyncClient(transport=transport, base_url=self.settings.public_url, headers=headers)

    def machine(self, source: str = "203.0.113.7") -> httpx2.AsyncClient:
        """A client program at this address."""
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False, client=(source, 40000))
        return httpx2.AsyncClient(transport=transport, base_url=self.settings.public_url)

    async def create_user(self, username: str = "alice", **more: Any) -> User:
        """A person with the password `PASSWORD`."""
        new = people.NewUser(
            username, PASSWORD, **{"name": username.title(), "email": f"{username}@example.com", **more}
        )
        async with self.database.transaction() as tx:
            return await people.create_user(
                tx, self.services.passwords, new, Origin(self.clock.now(), "test")
            )

    async def register(self, **metadata: Any) -> dict[str, Any]:
        """Register a client dynamically: public, loopback redirect and refreshing unless told otherwise."""
        body = {
            "client_name": "Test App",
            "redirect_uris": [REDIRECT_URI],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            **metadata,
        }
        answer = await self.http.post("/oauth/register", json=body)
        assert answer.status_code == 201, answer.text
        registered: dict[str, Any] = answer.json()
        return registered

    def authorization(self, client: Mapping[str, Any], **changes: str | None) -> dict[str, str]:
        """The parameters of a good authorization request; a change to None leaves one out."""
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": client["redirect_uris"][0],
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "some state",
            "scope": "mcp profile email offline_access",
            "resource": self.settings.resource,
            **changes,
        }
        return {name: value for name, value in parameters.items() if value is not None}

    async def authorize(
        self, browser: httpx2.AsyncClient, client: Mapping[str, Any], **changes: str | None
    ) -> httpx2.Response:
        """Send the browser to the authorization endpoint."""
        return await browser.get("/authorize", params=self.authorization(client, **changes))

    async def sign_in(
        self,
        browser: httpx2.AsyncClient,
        username: str = "alice",
        password: str = PASSWORD,
        at: str = "/login",
    ) -> httpx2.Response:
        """Fill in the sign-in form of the page at `at` and send it."""
        page = await browser.get(at)
        form = next(form for form in forms_of(page.text) if "password" in form.fields)
        data = {**form.fields, "username": username, "password": password}
        return await browser.post(form.action, data=data)

    async def decide(
        self, browser: httpx2.AsyncClient, consent: str, decision: str = "approve"
    ) -> httpx2.Response:
        """Press a button on the consent page at this address."""
        page = await browser.get(consent)
        assert page.status_code == 200, page.text
        form = next(form for form in forms_of(page.text) if ("decision", decision) in form.buttons)
        return await browser.post(form.action, data={**form.fields, "decision": decision})

    async def signed_in_browser(self, username: str = "alice") -> httpx2.AsyncClient:
        """A browser in which this person is signed in."""
        browser = self.browser()
        answer = await self.sign_in(browser, username)
        assert answer.status_code == 303, answer.text
        return browser

    async def code(self, client: Mapping[str, Any], username: str = "alice", **changes: str | None) -> str:
        """An authorization code that this person approved."""
        browser = await self.signed_in_browser(username)
        parked = await self.authorize(browser, client, **changes)
        answer = await self.decide(browser, parked.headers["location"])
        assert answer.status_code == 303, answer.text
        return answer_of(answer.headers["location"])["code"]

    def redemption(self, client: Mapping[str, Any], code: str, **changes: str | None) -> dict[str, str]:
        """The form that redeems a code; a change to None leaves a field out."""
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": client["redirect_uris"][0],
            "client_id": client["client_id"],
            **changes,
        }
        if client.get("token_endpoint_auth_method") == "client_secret_post":
            form.setdefault("client_secret", client["client_secret"])
        return {name: value for name, value in form.items() if value is not None}

    async def redeem(self, client: Mapping[str, Any], code: str, **changes: str | None) -> httpx2.Response:
        """Redeem a code."""
        return await self.http.post("/oauth/token", data=self.redemption(client, code, **changes))

    async def tokens(
        self, client: Mapping[str, Any], username: str = "alice", **changes: str | None
    ) -> dict[str, Any]:
        """Tokens that this person allowed the client."""
        answer = await self.redeem(client, await self.code(client, username, **changes))
        assert answer.status_code == 200, answer.text
        issued: dict[str, Any] = answer.json()
        return issued

    async def refresh(self, client: Mapping[str, Any], refresh_token: str, **more: str) -> httpx2.Response:
        """Use a refresh token."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": client["client_id"],
            **more,
        }
        return await self.http.post("/oauth/token", data=form)

    async def revoke(self, client: Mapping[str, Any], token: str, **more: str) -> httpx2.Response:
        """Revoke a token as its client."""
        return await self.http.post(
            "/oauth/revoke", data={"token": token, "client_id": client["client_id"], **more}
        )

    async def call(
        self, access_token: str | None, tool: str = "whoami", path: str = "/mcp", **arguments: Any
    ) -> httpx2.Response:
        """Call a tool as a 2026-07-28 client."""
        return await self.http.post(
            path, headers=mcp_headers(access_token, tool), json=mcp_call(tool, arguments)
        )

    async def rows(self, statement: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        """Look into the database as an operator would."""
        async with self.database.reading() as tx:
            return [dict(row._mapping) for row in await tx.execute(sa.text(statement), parameters)]

    async def last_refusal(self) -> Mapping[str, Any]:
        """The newest event on record that is a refusal; what is written later by itself may stand after it."""
        statement = "SELECT * FROM audit_events WHERE outcome <> 'ok' ORDER BY id DESC LIMIT 1"
        return (await self.rows(statement))[0]

    async def counts(self) -> dict[str, int]:
        """How many rows the tables have that a refused request must not change."""
        names = ("clients", "grants", "authorization_codes", "refresh_tokens", "sessions")
        return {name: (await self.rows(f"SELECT count(*) AS n FROM {name}"))[0]["n"] for name in names}  # noqa: S608


def mcp_headers(access_token: str | None, tool: str) -> dict[str, str]:
    """The headers of a 2026-07-28 tool call."""
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    return headers if access_token is None else {**headers, "authorization": f"Bearer {access_token}"}


def mcp_call(tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a 2026-07-28 tool call."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    }
    parameters = {"name": tool, "arguments": dict(arguments), "_meta": meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}


def hidden_field(html: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"|value="([^"]*)"[^>]*name="{name}"', html)
    assert found is not None, f"no field {name}"
    return found[1] or found[2] or ""


@asynccontextmanager
async def running_world(
    database_url: str,
    egress: Egress | None = None,
    hash_cost: HashCost | None = QUICK,
    tracing: Tracing | None = None,
    **changes: Any,
) -> AsyncIterator[World]:
    """A server on a migrated database, with the settings of `make run` unless changed."""
    values = {"public_url": "http://localhost:8000", "secret_key": SECRET_KEY, **changes}
    settings = Settings(_env_file=None, database_url=database_url, **values)
    clock = FakeClock()
    app = create_app(settings, clock, egress or _machine(), hash_cost, tracing)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=("203.0.113.7", 40000))
        async with httpx2.AsyncClient(transport=transport, base_url=settings.public_url) as http:
            yield World(app, settings, clock, http)
