"""Registrations all at once, on two replicas: neither the cap nor a token's uses give way."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx2

from tests.command_line import command_line
from tests.processes import flow
from tests.support.process import ServerProcess, running_pair
from tests.support.world import REDIRECT_URI

CAP = 50
AT_ONCE = 200
_COUNT = "SELECT count(*) FROM clients"


async def _register(
    http: httpx2.AsyncClient, at: ServerProcess, number: int, token: str | None = None
) -> int:
    body = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}
    # Each from an address of its own: the limit per address is another matter.
    headers = {"x-forwarded-for": f"198.18.{number // 250}.{number % 250 + 1}"}
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    return (await http.post(f"{at.url}/oauth/register", json=body, headers=headers)).status_code


async def test_rac_7_two_hundred_registrations_at_once_never_pass_the_cap(
    untouched_database: str, folder: Path
) -> None:
    with running_pair(folder, untouched_database, REGISTRATION_CAP=str(CAP)) as pair:
        async with flow.connections() as http, flow.sql(untouched_database) as database:
            for number in range(CAP - 1):
                assert await _register(http, pair[number % 2], number) == 201

            first = await asyncio.gather(*(_register(http, pair[n % 2], n) for n in range(AT_ONCE)))

            # All are too young to go: one place was free, and one was taken.
            assert Counter(first) == {201: 1, 503: AT_ONCE - 1}
            assert await database.fetchval(_COUNT) == CAP

            await database.execute("UPDATE clients SET created_at = created_at - interval '1 hour'")
            second = await asyncio.gather(*(_register(http, pair[n % 2], n) for n in range(AT_ONCE)))

            # Each of the old ones made room for one that came.
            assert Counter(second) == {201: CAP, 503: AT_ONCE - CAP}
            assert await database.fetchval(_COUNT) == CAP


async def test_reg_21_of_twenty_registrations_with_the_last_use_of_a_token_exactly_one_succeeds(
    untouched_database: str, folder: Path
) -> None:
    with running_pair(folder, untouched_database, REGISTRATION="token") as pair:
        run = command_line(untouched_database, folder)
        async with flow.connections() as http, flow.sql(untouched_database) as database:
            for number_of_round in range(1, 11):
                made = (await run("initial-access-tokens", "create", "--uses", "1", "--json")).data
                statuses = await asyncio.gather(
                    *(_register(http, pair[number % 2], number, made["token"]) for number in range(20))
                )
                assert Counter(statuses) == {201: 1, 401: 19}
                assert await database.fetchval(_COUNT) == number_of_round
