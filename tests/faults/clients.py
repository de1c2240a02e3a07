"""Clients that never tire: they register, ask for approval, get tokens, call, refresh and revoke, and try again."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import httpx2

from tests.deploy.proxies import Behind
from tests.faults.ledger import Ledger, assert_sound
from tests.processes import flow
from tests.support.process import USERNAME
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

# How long the database is away where it is; 30 asks for what an operator would.
GONE = float(os.environ.get("FAULT_SECONDS", "8"))
SECONDS = 30.0 + GONE
AGAIN_AFTER = 0.05  # seconds: sooner than Retry-After asks, to see more of the gap
REFRESHES = 3
FOUND_AGAIN_AFTER = 3.0
_addresses = itertools.count(10)

Ask = Callable[[], Awaitable[httpx2.Response]]


@dataclass
class Connected:
    """One client's tokens, and whether they were revoked."""

    client_id: str
    tokens: dict[str, Any]
    revoked: bool = False


@dataclass
class Worker:
    """One machine: a browser in which somebody is signed in, and the clients that it connects one after another."""

    http: httpx2.AsyncClient
    origin: str
    ledger: Ledger
    connected: list[Connected] = field(default_factory=list)
    # Whether what is asked now may have been done already, by a request whose answer never came.
    _unsure: bool = False

    async def sign_in(self) -> None:
        """Before anything breaks."""
        page = await self.http.get(f"{self.origin}/login")
        form = next(form for form in forms_of(page.text) if "password" in form.fields)
        data = {**form.fields, "username": USERNAME, "password": PASSWORD}
        answer = await self.http.post(urljoin(str(page.url), form.action), data=data)
        assert answer.status_code == 303, answer.text

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop, at the end of a connection's life."""
        for number in itertools.count():
            if stop.is_set():
                return
            connection = await self._connect()
            if connection is None:
                continue
            self.connected.append(connection)
            for _ in range(REFRESHES):
                await self._call(connection)
                await self._refresh(connection)
            await self._call(connection)
            if number % 3 == 2:
                await self._revoke(connection)

    async def settle(self) -> None:
        """Now that nothing is broken any more: what is good is taken, and what was revoked is not."""
        for connection in self.connected:
            answer = await self._post_call(connection)
            expected = 401 if connection.revoked else 200
            if answer.status_code != expected:
                self.ledger.wrong.append(f"at the end {answer.status_code} and not {expected}")
            if not connection.revoked:
                await self._refresh(connection)

    # -------------------------------------------------------------------------------- the steps
    async def _connect(self) -> Connected | None:
        body = {
            "client_name": "Tireless",
            "redirect_uris": [REDIRECT_URI],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        }
        made = await self._ask(
            "register", lambda: self.http.post(self._at("/oauth/register"), json=body), 201
        )
        client_id = made.json()["client_id"]
        code = await self._code(client_id)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": REDIRECT_URI,
            "client_id": client_id,
        }
        answer = await self._ask(
            "code", lambda: self.http.post(self._at("/oauth/token"), data=form), 200, 400
        )
        if answer.status_code == 400:
            if not self._unsure or answer.json()["error"] != "invalid_grant":
                self.ledger.wrong.append(f"code: {answer.text}")
            self.ledger.lost += 1
            return None
        self.ledger.redeemed[code] += 1
        return Connected(client_id, answer.json())

    async def _code(self, client_id: str) -> str:
        query = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": REDIRECT_URI,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "some state",
            "scope": "mcp profile offline_access",
            "resource": self._at("/mcp"),
        }
        asked = await self._ask("authorize", lambda: self.http.get(self._at("/authorize"), params=query), 303)
        address = urljoin(str(asked.url), asked.headers["location"])
        page = await self._ask("consent", lambda: self.http.get(address), 200)
        form = next(form for form in forms_of(page.text) if ("decision", "approve") in form.buttons)
        data = {**form.fields, "decision": "approve"}
        action = urljoin(address, form.action)
        approved = await self._ask("approve", lambda: self.http.post(action, data=data), 303)
        return answer_of(approved.headers["location"])["code"]

    async def _refresh(self, connection: Connected) -> None:
        presented = connection.tokens["refresh_token"]
        form = {
            "grant_type": "refresh_token",
            "refresh_token": presented,
            "client_id": connection.client_id,
        }
        answer = await self._ask("refresh", lambda: self.http.post(self._at("/oauth/token"), data=form), 200)
        connection.tokens = answer.json()
        self.ledger.successors[presented].add(connection.tokens["refresh_token"])

    async def _revoke(self, connection: Connected) -> None:
        form = {"token": connection.tokens["refresh_token"], "client_id": connection.client_id}
        await self._ask("revoke", lambda: self.http.post(self._at("/oauth/revoke"), data=form), 200)
        connection.revoked = True

    async def _call(self, connection: Connected) -> None:
        await self._ask("call", lambda: self._post_call(connection), 200)

    def _post_call(self, connection: Connected) -> Awaitable[httpx2.Response]:
        headers = mcp_headers(connection.tokens["access_token"], "whoami")
        return self.http.post(self._at("/mcp"), headers=headers, json=mcp_call("whoami", {}))

    def _at(self, path: str) -> str:
        return self.origin + path

    async def _ask(self, step: str, ask: Ask, *right: int) -> httpx2.Response:
        """Until it is answered: what is away, or broke on the way, is asked again, as clients do."""
        self._unsure = False
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    answer = await ask()
                except httpx2.TransportError:
                    self.ledger.count(step, "broken")
                    self._unsure = True
                    continue
                self.ledger.count(step, answer.status_code)
                if answer.status_code in right:
                    return answer
                if answer.status_code in {502, 504}:
                    # The proxy's own words: the replica was there when it got the request, and is not any more.
                    self._unsure = True
                elif answer.status_code != 503 or not int(answer.headers.get("retry-after", "0")):
                    self.ledger.wrong.append(f"{step}: {answer.status_code} {answer.text[:300]}")
                    raise AssertionError(self.ledger.wrong[-1])
                elif answer.json()["error"] != "temporarily_unavailable" if _is_json(answer) else False:
                    self.ledger.wrong.append(f"{step}: {answer.text[:300]}")
                # What the database did of a transaction that it could not acknowledge, nobody knows.
                self._unsure = True
                await asyncio.sleep(AGAIN_AFTER)


def _is_json(answer: httpx2.Response) -> bool:
    return answer.headers["content-type"].startswith("application/json")


@dataclass
class Crowd:
    """All workers of a test."""

    behind: Behind
    ledger: Ledger
    workers: Sequence[Worker]

    def answered(self, answer: str, step: str | None = None) -> int:
        """How often an answer was given until now."""
        return self.ledger.times(answer, step)

    async def until(self, condition: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Let the load run until then."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what it waits for happens elsewhere
                await asyncio.sleep(0.02)

    async def until_well(self, more: int = 25) -> None:
        """Until so many more calls and refreshes were answered as they should be."""
        calls, refreshes = self.answered("200", "call"), self.answered("200", "refresh")
        await self.until(
            lambda: (
                self.answered("200", "call") > calls + more
                and self.answered("200", "refresh") > refreshes + more
            )
        )

    async def until_found_again(self) -> None:
        """Until nginx, which leaves a replica out for two seconds, has tried it again and found that it is back."""
        found = asyncio.get_running_loop().time() + FOUND_AGAIN_AFTER
        await self.until(lambda: asyncio.get_running_loop().time() > found)
        await self.until_well()


@asynccontextmanager
async def crowd(behind: Behind, number: int = 4) -> AsyncIterator[Crowd]:
    """Workers at it for the time of the block; then the books are compared with the database."""
    ledger, stop = Ledger(), asyncio.Event()
    async with _machines(behind, number) as machines:
        workers = [Worker(http, behind.public_url, ledger) for http in machines]
        for worker in workers:
            await worker.sign_in()
        running = asyncio.gather(*(worker.run(stop) for worker in workers))
        everyone = Crowd(behind, ledger, workers)
        try:
            yield everyone
        finally:
            stop.set()
            await running
        print(f"\n{ledger}; lost answers to codes: {ledger.lost}")
        # What was revoked last is known everywhere within a second.
        await asyncio.sleep(flow.REVOKED_EVERYWHERE_WITHIN)
        for worker in workers:
            await worker.settle()
    ledger.assert_right()
    async with flow.sql(behind.database_url) as database:
        await assert_sound(database)
    for replica in behind.replicas:
        assert "Traceback" not in replica.err, replica.err[-3000:]


@asynccontextmanager
async def _machines(behind: Behind, number: int) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """Each with an address of its own, for the limits."""
    machines = []
    for _ in range(number):
        address = f"127.0.1.{next(_addresses) % 240 + 10}"
        transport = httpx2.AsyncHTTPTransport(verify=behind.trust, local_address=address)
        headers = {"accept": "text/html,application/json,*/*;q=0.8"}
        machines.append(httpx2.AsyncClient(transport=transport, timeout=SECONDS, headers=headers))
    try:
        yield machines
    finally:
        for machine in machines:
            await machine.aclose()
