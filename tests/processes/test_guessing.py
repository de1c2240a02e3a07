"""Limits over real connections: who guesses is slowed down, and nobody else at the same address."""

import httpx2

from tests.processes import flow
from tests.processes.conftest import Pair

GUESSES = 200
ADDRESS = "198.51.100.7"


async def test_tok_25_who_guesses_codes_gets_429_and_a_neighbour_at_the_same_address_does_not(
    pair: Pair, browser: httpx2.AsyncClient
) -> None:
    server = pair[0]
    async with flow.connections(ADDRESS) as guesser, flow.connections(ADDRESS) as neighbour:
        guessing = await flow.register(guesser, server)
        honest = await flow.register(neighbour, server)
        tokens = await flow.tokens_of(neighbour, browser, server, honest)

        answers = [
            await flow.redeem(guesser, server, guessing, f"code_{number:043}") for number in range(GUESSES)
        ]

        statuses = [answer.status_code for answer in answers]
        flow.assert_refused(answers[0])
        assert set(statuses) == {400, 429}
        assert statuses[-1] == 429
        for answer in answers:
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) > 0
                assert answer.json()["error"]
        for _ in range(5):
            renewed = await flow.refresh(neighbour, server, honest, tokens["refresh_token"])
            assert renewed.status_code == 200, renewed.text
            tokens = renewed.json()
        again = await flow.tokens_of(neighbour, browser, server, honest)
        assert await flow.works(neighbour, server, again["access_token"])
