"""A person at a browser, and everything that the browser complains about."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx2
from playwright.async_api import BrowserContext, CDPSession, ConsoleMessage, Page, Request, expect
from pyotp import TOTP
from sqlalchemy.dialects import sqlite

from app.accounts import factor_store, links
from app.accounts.passwords import Passwords
from app.accounts.people import NewUser, create_user
from app.accounts.records import Passkey
from app.accounts.store import find_user_by_username
from app.audit import Origin
from app.database import Database, Transaction
from app.oauth.credentials import Keys, mint_id
from app.tallies import tallies
from tests.browser.connected import connect
from tests.mail_server import MailBox
from tests.support.process import ServerProcess
from tests.support.world import CHALLENGE, PASSWORD, QUICK

USERNAME = "alice"
OBLIGING = {"hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True}
# What the console says about the page itself when it is an error page: no mistake of the page.
OF_THE_PAGE_ITSELF = "Failed to load resource: the server responded with a status of "
REPORT_VIOLATIONS = """
document.addEventListener('securitypolicyviolation', (event) => {
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


# What is counted, and how often in the busiest hour.
_COUNTED = (
    ("call", "/mcp", 5200),
    ("token", "refresh_token", 380),
    ("registration", "dynamic", 40),
    ("refusal", "/oauth/token: code_expired", 60),
    ("refusal", "/mcp: invalid_token", 90),
    ("refusal", "/login: wrong_password", 300),
    (
        "refusal",
        "/oauth/register: <img src=x onerror=alert(1)> and a reason that does not come to an end",
        20,
    ),
    ("refusal", "/authorize: redirect_uri_mismatch", 10),
)


def _waves(ago: int) -> list[int]:
    """How busy an hour was, in hundredths, for each of them."""
    day, night = max(0, 50 - abs(12 - ago % 24) * 6) * 2, max(0, abs(12 - ago % 24) * 9 - 40)
    return [day, day, day, day, day, night, night, day]


@dataclass
class Site:
    """The server under test, its mail server, and the clients that were registered with it."""

    process: ServerProcess
    mail: MailBox = field(default_factory=MailBox)
    _clients: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its address as the browser knows it."""
        return self.process.settings["PUBLIC_URL"]

    async def client(self, redirect_uri: str, **metadata: Any) -> dict[str, Any]:
        """A public client with this address; the same for everybody who asks for the same."""
        body = {
            "client_name": "MCP Inspector",
            "redirect_uris": [redirect_uri],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            **metadata,
        }
        if repr(body) not in self._clients:
            async with httpx2.AsyncClient() as http:
                answer = await http.post(f"{self.process.url}/oauth/register", json=body)
            assert answer.status_code == 201, answer.text
            self._clients[repr(body)] = answer.json()
        return self._clients[repr(body)]

    async def person(self, username: str, is_admin: bool = False) -> None:
        """Somebody new, with `PASSWORD`."""
        passwords = Passwords(QUICK)
        new = NewUser(username, PASSWORD, username.title(), is_admin=is_admin)
        async with self._transaction() as tx:
            await create_user(tx, passwords, new, Origin(datetime.now(UTC), "test"))
        passwords.close()

    async def add_passkeys(self, username: str, *names: str) -> None:
        """Passkeys of theirs that no device holds."""
        async with self._transaction() as tx:
            user = await find_user_by_username(tx, username)
            assert user is not None
            for name in names:
                now = datetime.now(UTC)
                passkey = Passkey(mint_id(""), user.id, "AA", 0, name, [], "", len(name) > 10, now)
                await factor_store.add_passkey(tx, passkey)

    async def link(self, username: str, purpose: str, email: str | None = None) -> str:
        """The address of a new link for somebody."""
        keys, origin = Keys(self.process.settings["SECRET_KEY"]), Origin(datetime.now(UTC), "test")
        async with self._transaction() as tx:
            user = await find_user_by_username(tx, username)
            assert user is not None
            issued = await links.issue(tx, keys, user, links.Purpose(purpose), origin, email=email)
        return f"{self.url}/link/{issued.token}"

    async def connect(self, username: str, *names: str) -> None:
        """Let apps with these names act for somebody."""
        async with self._transaction() as tx:
            await connect(tx, username, f"{self.url}/mcp", *names)

    async def busy_month(self) -> None:
        """Counts of thirty days, as a server has them that is used in the day and attacked at night."""
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        rows = [
            {"hour": hour - timedelta(hours=ago), "kind": kind, "label": label, "count": most * wave // 100}
            for ago in range(2 * 720)
            for (kind, label, most), wave in zip(_COUNTED, _waves(ago), strict=True)
        ]
        async with self._transaction() as tx:
            await tx.execute(sqlite.insert(tallies).on_conflict_do_nothing(), rows)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        """Change the server's database behind its back."""
        database = Database(self.process.settings["DATABASE_URL"])
        async with database.transaction() as tx:
            yield tx
        await database.close()

    async def device(self, name: str = "Living room TV") -> dict[str, str]:
        """What a device is told that asks to be let in; each is a client of its own."""
        registration = {
            "client_name": name,
            "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        }
        async with httpx2.AsyncClient(base_url=self.process.url) as http:
            client = (await http.post("/oauth/register", json=registration)).json()
            form = {"client_id": client["client_id"], "scope": "mcp profile offline_access brew-coffee"}
            answer = await http.post("/oauth/device_authorization", data=form)
        assert answer.status_code == 200, answer.text
        return {**answer.json(), "client_id": client["client_id"]}

    async def poll(self, device: Mapping[str, str]) -> httpx2.Response:
        """Ask for the device's tokens."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": device["device_code"],
            "client_id": device["client_id"],
        }
        async with httpx2.AsyncClient(base_url=self.process.url) as http:
            return await http.post("/oauth/token", data=form)

    def authorization(self, client: Mapping[str, Any], **changes: str) -> str:
        """The address that an app opens in the browser."""
        parameters = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": client["redirect_uris"][0],
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "some state",
            "scope": "mcp profile email offline_access",
            "resource": f"{self.url}/mcp",
            **changes,
        }
        return f"{self.url}/authorize?{urlencode(parameters)}"


class Visitor:
    """One browser profile with one page open."""

    def __init__(self, site: Site, context: BrowserContext, page: Page) -> None:
        self.site = site
        self.context = context
        self.page = page
        self.complaints: list[str] = []
        self.requested: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._requested)

    async def sign_in(self, password: str = PASSWORD, username: str = USERNAME) -> None:
        """Fill in the form of the page and send it."""
        await self.page.fill("input[name=username]", username)
        await self.page.fill("input[name=password]", password)
        await self.page.click("form:has([name=password]) button[type=submit]")

    async def signed_in(self) -> None:
        """Sign in without any app."""
        await self.page.goto(f"{self.site.url}/login")
        await self.sign_in()
        await expect(self.page).to_have_url(f"{self.site.url}/")

    async def ask(self, client: Mapping[str, Any], **changes: str) -> None:
        """Open what an app opens, signing in on the way, up to the question."""
        await self.page.goto(self.site.authorization(client, **changes))
        if await self.page.locator("input[name=password]").count():
            await self.sign_in()
        await expect(self.page.locator("button[name=decision]")).to_have_count(2)

    async def type_code(self, device: Mapping[str, str]) -> None:
        """Open what a device's QR code leads to, signing in on the way, and go on to the question."""
        await self.page.goto(device["verification_uri_complete"])
        if await self.page.locator("input[name=password]").count():
            await self.sign_in()
        await self.page.click("form button[type=submit]")
        await expect(self.page.locator("button[name=decision]")).to_have_count(2)

    async def authenticator(self, **options: Any) -> CDPSession:
        """Give the browser an authenticator that is its own, and whose owner agrees to everything."""
        session = await self.context.new_cdp_session(self.page)
        await session.send("WebAuthn.enable")
        kind = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, **OBLIGING, **options}
        await session.send("WebAuthn.addVirtualAuthenticator", {"options": kind})
        return session

    async def set_up_app(self) -> str:
        """Set up an app for one-time codes, as whoever is signed in; its secret. Their recovery codes are shown."""
        await self.page.goto(f"{self.site.url}/account/security/codes")
        secret = "".join((await self.page.locator("code.line").inner_text()).split())
        await self.page.fill("input[name=code]", TOTP(secret).now())
        await self.page.click("form:has([name=code]) button[type=submit]")
        await expect(self.page.locator("h1")).to_have_text("Your recovery codes")
        return secret

    async def press(self, decision: str) -> None:
        """Press a button of the question."""
        await self.page.click(f"button[name=decision][value={decision}]", no_wait_after=True)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.text.startswith(OF_THE_PAGE_ITSELF) and message.location["url"] == self.page.url:
            return
        self.complaints.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _requested(self, request: Request) -> None:
        self.requested.append(request.url)
