"""Twenty at once over two processes: single use, rotation, and revocation in the middle of it."""

import asyncio
import time
from pathlib import Path

import httpx2

from tests.processes import flow
from tests.processes.conftest import Pair
from tests.processes.flow import AT_ONCE
from tests.support.process import running_pair

ROUNDS = 25


async def test_rac_1_of_twenty_redemptions_of_one_code_exactly_one_succeeds_and_its_tokens_die(
    pair: Pair, browser: httpx2.AsyncClient
) -> None:
    for _ in range(ROUNDS):
        async with flow.connections() as http:
            client = await flow.register(http, pair[0])
            code = await flow.code_of(browser, pair[0], client)

            answers = await asyncio.gather(
                *(flow.redeem(http, pair[number % 2], client, code) for number in range(AT_ONCE))
            )
            answered = time.monotonic()

            issued = [answer.json() for answer in answers if answer.status_code == 200]
            assert len(issued) == 1, [answer.status_code for answer in answers]
            for answer in answers:
                if answer.status_code != 200:
                    flow.assert_refused(answer)
            await flow.assert_dead_soon(http, pair, [issued[0]["access_token"]], answered)
            for server in pair:
                flow.assert_refused(await flow.refresh(http, server, client, issued[0]["refresh_token"]))


async def test_rac_2_twenty_refreshes_of_one_token_get_one_successor_and_the_family_lives(
    pair: Pair, browser: httpx2.AsyncClient, http: httpx2.AsyncClient, empty_database: str
) -> None:
    client = await flow.register(http, pair[0])
    tokens = await flow.tokens_of(http, browser, pair[0], client)
    presented = tokens["refresh_token"]
    for _ in range(ROUNDS):
        answers = await asyncio.gather(
            *(flow.refresh(http, pair[number % 2], client, presented) for number in range(AT_ONCE))
        )

        assert [answer.status_code for answer in answers] == [200] * AT_ONCE
        successors = {answer.json()["refresh_token"] for answer in answers}
        assert len(successors) == 1
        presented = successors.pop()
        # The next round proves that the family lives; these, that no branch of it was cut off.
        for number, answer in enumerate(answers):
            assert await flow.works(http, pair[(number + 1) % 2], answer.json()["access_token"])
    async with flow.sql(empty_database) as database:
        unspent = await database.fetchval(
            "SELECT count(*) FROM refresh_tokens JOIN grants ON grants.id = refresh_tokens.grant_id"
            " WHERE spent_at IS NULL AND client_id = $1",
            client["client_id"],
        )
    assert unspent == 1


async def test_ref_9_retries_that_race_with_the_use_of_their_successor_leave_no_second_branch(
    pair: Pair, browser: httpx2.AsyncClient
) -> None:
    """REF-8 until the successor is used, REF-7 from then on: one living branch or none, never two."""
    for _ in range(ROUNDS // 3):
        async with flow.connections() as http:
            client = await flow.register(http, pair[0])
            retried = (await flow.tokens_of(http, browser, pair[0], client))["refresh_token"]
            successor = (await flow.refresh(http, pair[0], client, retried)).json()["refresh_token"]
            presented = [successor if number % 4 > 1 else retried for number in range(AT_ONCE)]

            answers = await asyncio.gather(
                *(
                    flow.refresh(http, pair[number % 2], client, token)
                    for number, token in enumerate(presented)
                )
            )

            assert {answer.status_code for answer in answers} <= {200, 400}
            handed_out = {answer.json()["refresh_token"] for answer in answers if answer.status_code == 200}
            branches = handed_out - {successor}
            assert len(branches) <= 1
            alive = all(answer.status_code == 200 for answer in answers)
            for token in branches:
                again = await flow.refresh(http, pair[1], client, token)
                assert again.status_code == (200 if alive else 400)


async def test_rac_3_without_a_retry_window_exactly_one_of_twenty_refreshes_succeeds_and_the_family_dies(
    untouched_database: str, folder: Path
) -> None:
    with running_pair(folder, untouched_database, REFRESH_RETRY_SECONDS="0") as strict:
        async with flow.new_browser() as browser:
            assert (await flow.sign_in(browser, strict[0])).status_code == 303
            for _ in range(ROUNDS // 3):
                await _spend_once(strict, browser)


async def _spend_once(strict: Pair, browser: httpx2.AsyncClient) -> None:
    async with flow.connections() as http:
        client = await flow.register(http, strict[0])
        tokens = await flow.tokens_of(http, browser, strict[0], client)

        answers = await asyncio.gather(
            *(
                flow.refresh(http, strict[number % 2], client, tokens["refresh_token"])
                for number in range(AT_ONCE)
            )
        )
        answered = time.monotonic()

        issued = [answer.json() for answer in answers if answer.status_code == 200]
        assert len(issued) == 1, [answer.status_code for answer in answers]
        for answer in answers:
            if answer.status_code != 200:
                flow.assert_refused(answer)
        access_tokens = [tokens["access_token"], issued[0]["access_token"]]
        await flow.assert_dead_soon(http, strict, access_tokens, answered)
        for server in strict:
            flow.assert_refused(await flow.refresh(http, server, client, issued[0]["refresh_token"]))


async def test_rev_6_no_refresh_slips_past_a_revocation_that_arrives_in_its_midst(
    pair: Pair, browser: httpx2.AsyncClient
) -> None:
    for number_of_round in range(AT_ONCE):
        async with flow.connections() as http:
            client = await flow.register(http, pair[0])
            tokens = await flow.tokens_of(http, browser, pair[0], client)
            presented = tokens["refresh_token"]
            requests = [flow.refresh(http, pair[number % 2], client, presented) for number in range(AT_ONCE)]
            # A little later in each round, so that it meets the refreshes at every stage.
            requests.insert(
                number_of_round % AT_ONCE, flow.revoke(http, pair[number_of_round % 2], client, presented)
            )

            answers = await asyncio.gather(*requests)
            answered = time.monotonic()

            revoked = answers.pop(number_of_round % AT_ONCE)
            assert (revoked.status_code, revoked.content) == (200, b"")
            assert {answer.status_code for answer in answers} <= {200, 400}
            issued = [tokens, *(answer.json() for answer in answers if answer.status_code == 200)]
            access_tokens = [entry["access_token"] for entry in issued]
            await flow.assert_dead_soon(http, pair, access_tokens, answered)
            for refresh_token in {entry["refresh_token"] for entry in issued}:
                for server in pair:
                    flow.assert_refused(await flow.refresh(http, server, client, refresh_token))
