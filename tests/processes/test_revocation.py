"""Revocation acts on the process that answered at once, and on every other within a second."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.processes import flow
from tests.processes.conftest import Pair
from tests.processes.flow import AT_ONCE
from tests.support.process import ServerProcess, run_command
from tests.support.world import PASSWORD

ROUNDS = 10
SECONDS = 60.0
_people = itertools.count(1)


async def test_rev_6_a_revoked_refresh_token_takes_the_whole_grant_along_everywhere(
    pair: Pair, browser: httpx2.AsyncClient, http: httpx2.AsyncClient
) -> None:
    client = await flow.register(http, pair[0])
    for number in range(ROUNDS):
        here, there = pair[number % 2], pair[1 - number % 2]
        tokens = await flow.tokens_of(http, browser, pair[0], client)
        renewed = (await flow.refresh(http, there, client, tokens["refresh_token"])).json()
        access_tokens = [tokens["access_token"], renewed["access_token"]]
        for server in pair:
            assert [await flow.works(http, server, token) for token in access_tokens] == [True, True]

        answer = await flow.revoke(http, here, client, renewed["refresh_token"])
        answered = time.monotonic()

        assert (answer.status_code, answer.content) == (200, b"")
        assert [await flow.works(http, here, token) for token in access_tokens] == [False, False]
        await flow.assert_dead_soon(http, [there], access_tokens, answered)
        for server in pair:
            flow.assert_refused(await flow.refresh(http, server, client, renewed["refresh_token"]))


async def test_rev_7_a_revoked_access_token_dies_alone_and_refreshing_goes_on(
    pair: Pair, browser: httpx2.AsyncClient, http: httpx2.AsyncClient
) -> None:
    client = await flow.register(http, pair[0])
    tokens = await flow.tokens_of(http, browser, pair[0], client)
    for number in range(ROUNDS):
        here, there = pair[number % 2], pair[1 - number % 2]
        other = (await flow.refresh(http, here, client, tokens["refresh_token"])).json()
        assert await flow.works(http, there, tokens["access_token"])

        answer = await flow.revoke(http, here, client, tokens["access_token"])
        answered = time.monotonic()

        assert (answer.status_code, answer.content) == (200, b"")
        assert not await flow.works(http, here, tokens["access_token"])
        await flow.assert_dead_soon(http, [there], [tokens["access_token"]], answered)
        for server in pair:
            assert await flow.works(http, server, other["access_token"])
        tokens = (await flow.refresh(http, there, client, other["refresh_token"])).json()


@dataclass
class Person:
    """Someone of this test alone, signed in, and a client with the latest tokens of each grant."""

    username: str
    browser: httpx2.AsyncClient
    http: httpx2.AsyncClient
    client: flow.Client
    latest: list[flow.Tokens] = field(default_factory=list)
    refreshed: int = 0

    async def allow(self, server: ServerProcess) -> None:
        """One grant more."""
        self.latest.append(await flow.tokens_of(self.http, self.browser, server, self.client))

    async def refresh_until_refused(self, servers: Pair, grant: int) -> None:
        """Refresh as fast as it goes, on both processes in turn, until the server says no."""
        deadline = time.monotonic() + SECONDS
        for number in itertools.count(grant):
            assert time.monotonic() < deadline, "it was never refused"
            presented = self.latest[grant]["refresh_token"]
            answer = await flow.refresh(self.http, servers[number % 2], self.client, presented)
            if answer.status_code != 200:
                flow.assert_refused(answer)
                return
            self.latest[grant] = answer.json()
            self.refreshed += 1

    async def assert_nothing_is_usable(self, servers: Pair, since: float) -> None:
        """What was handed out last works nowhere; what came before shares its grant's fate."""
        access_tokens = [tokens["access_token"] for tokens in self.latest]
        await flow.assert_dead_soon(self.http, servers, access_tokens, since)
        for number, tokens in enumerate(self.latest):
            answer = await flow.refresh(self.http, servers[number % 2], self.client, tokens["refresh_token"])
            flow.assert_refused(answer)


@pytest.fixture
async def person(pair: Pair, folder: Path, http: httpx2.AsyncClient) -> AsyncIterator[Person]:
    """Someone whom an operator has just created, signed in."""
    username = f"person-{next(_people)}"
    made = run_command(
        folder, pair[0].settings, "users", "create", username, "--password-stdin", given=PASSWORD
    )
    assert made.returncode == 0, made.stderr
    async with flow.new_browser() as browser:
        assert (await flow.sign_in(browser, pair[1], username=username)).status_code == 303
        yield Person(username, browser, http, await flow.register(http, pair[0]))


async def test_rac_5_someone_is_disabled_while_token_requests_are_in_flight_and_nothing_stays_usable(
    pair: Pair, person: Person, folder: Path
) -> None:
    for _ in range(AT_ONCE):
        await person.allow(pair[0])
    unused = await flow.code_of(person.browser, pair[0], person.client)

    disabled, _ = await asyncio.gather(
        asyncio.to_thread(run_command, folder, pair[0].settings, "users", "disable", person.username),
        asyncio.gather(*(person.refresh_until_refused(pair, grant) for grant in range(AT_ONCE))),
    )
    answered = time.monotonic()

    assert disabled.returncode == 0, disabled.stderr
    assert person.refreshed >= AT_ONCE
    await person.assert_nothing_is_usable(pair, answered)
    flow.assert_refused(await flow.redeem(person.http, pair[0], person.client, unused))
    again = await flow.authorize(person.browser, pair[0], person.client)
    assert again.headers["location"].startswith("/login")
    assert (await flow.sign_in(person.browser, pair[1], username=person.username)).status_code == 401


async def test_rac_5_the_operator_revokes_a_grant_in_use_and_the_others_go_on(
    pair: Pair, person: Person, folder: Path
) -> None:
    settings = pair[0].settings
    await person.allow(pair[0])
    listed = run_command(folder, settings, "grants", "list", "--user", person.username, "--json")
    grant_id = json.loads(listed.stdout)[0]["id"]
    untouched = await flow.tokens_of(person.http, person.browser, pair[1], person.client)

    revoked, _ = await asyncio.gather(
        asyncio.to_thread(run_command, folder, settings, "grants", "revoke", grant_id, "--json"),
        person.refresh_until_refused(pair, 0),
    )
    answered = time.monotonic()

    assert revoked.returncode == 0, revoked.stderr
    assert json.loads(revoked.stdout)["state"] == "revoked"
    assert person.refreshed > 0
    await person.assert_nothing_is_usable(pair, answered)
    for server in pair:
        assert await flow.works(person.http, server, untouched["access_token"])
    answer = await flow.refresh(person.http, pair[0], person.client, untouched["refresh_token"])
    assert answer.status_code == 200, answer.text
