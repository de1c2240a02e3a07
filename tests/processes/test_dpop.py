"""A proof of possession works once, whichever process it reaches (RFC 9449 §11.1), and a nonce works at all of them."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from tests.processes import flow
from tests.processes.conftest import Pair
from tests.processes.flow import AT_ONCE
from tests.support.dpop import Prover
from tests.support.process import ServerProcess, running_pair
from tests.support.world import mcp_call, mcp_headers

ROUNDS = 10


def token_proof(at: ServerProcess, prover: Prover, **changes: Any) -> str:
    """A proof for the token endpoint, which all replicas call by the same name."""
    url = f"{at.settings['PUBLIC_URL']}/oauth/token"
    return prover.proof("POST", url, datetime.now(UTC), **changes)


def resource_proof(at: ServerProcess, prover: Prover, access_token: str, **changes: Any) -> str:
    """A proof for the MCP endpoint."""
    return prover.proof("POST", at.resource, datetime.now(UTC), access_token, **changes)


async def ask(
    http: httpx2.AsyncClient, at: ServerProcess, form: dict[str, str], proof: str
) -> httpx2.Response:
    """A token request with a proof."""
    return await http.post(f"{at.url}/oauth/token", data=form, headers={"dpop": proof})


async def call(http: httpx2.AsyncClient, at: ServerProcess, access_token: str, proof: str) -> httpx2.Response:
    """Call a tool with a bound token."""
    headers = {**mcp_headers(None, "whoami"), "authorization": f"DPoP {access_token}", "dpop": proof}
    return await http.post(f"{at.url}/mcp", headers=headers, json=mcp_call("whoami", {}))


async def bound_tokens(
    http: httpx2.AsyncClient,
    browser: httpx2.AsyncClient,
    at: ServerProcess,
    client: flow.Client,
    prover: Prover,
    **changes: Any,
) -> flow.Tokens:
    """Tokens that are bound to this key."""
    free = await flow.tokens_of(http, browser, at, client)
    form = flow.refresh_form(client, free["refresh_token"])
    answer = await ask(http, at, form, token_proof(at, prover, **changes))
    assert answer.status_code == 200, answer.text
    tokens: flow.Tokens = answer.json()
    return tokens


def outcomes(answers: list[httpx2.Response]) -> Counter[str]:
    """How often which error was answered; nothing else is right besides 200."""
    for answer in answers:
        assert answer.status_code in {200, 400, 401}, (answer.status_code, answer.text)
    return Counter("ok" if answer.is_success else answer.json()["error"] for answer in answers)


ONCE = Counter({"ok": 1, "invalid_dpop_proof": AT_ONCE - 1})


async def test_opt_5_of_twenty_calls_with_one_proof_over_two_processes_exactly_one_is_served(
    pair: Pair, browser: httpx2.AsyncClient, http: httpx2.AsyncClient
) -> None:
    prover = Prover()
    tokens = await bound_tokens(http, browser, pair[0], await flow.register(http, pair[0]), prover)
    for _ in range(ROUNDS):
        proof = resource_proof(pair[0], prover, tokens["access_token"])

        answers = await asyncio.gather(
            *(call(http, pair[number % 2], tokens["access_token"], proof) for number in range(AT_ONCE))
        )

        assert outcomes(list(answers)) == ONCE


async def test_opt_5_of_twenty_token_requests_with_one_proof_exactly_one_succeeds_and_the_family_lives(
    pair: Pair, browser: httpx2.AsyncClient, http: httpx2.AsyncClient
) -> None:
    prover = Prover()
    client = await flow.register(http, pair[0])
    presented = (await bound_tokens(http, browser, pair[0], client, prover))["refresh_token"]
    for _ in range(ROUNDS):
        form, proof = flow.refresh_form(client, presented), token_proof(pair[0], prover)

        answers = await asyncio.gather(
            *(ask(http, pair[number % 2], form, proof) for number in range(AT_ONCE))
        )

        assert outcomes(list(answers)) == ONCE
        presented = next(answer.json()["refresh_token"] for answer in answers if answer.is_success)


async def test_opt_6_a_nonce_of_one_replica_is_good_at_the_other(
    untouched_database: str, folder: Path
) -> None:
    prover = Prover()
    with running_pair(folder, untouched_database, DPOP_NONCES="true") as careful:
        async with flow.new_browser() as browser, flow.connections() as http:
            assert (await flow.sign_in(browser, careful[0])).status_code == 303
            client = await flow.register(http, careful[0])
            asked = await ask(
                http, careful[0], flow.refresh_form(client, "x"), token_proof(careful[0], prover)
            )
            assert asked.json()["error"] == "use_dpop_nonce"
            nonce = asked.headers["dpop-nonce"]
            tokens = await bound_tokens(http, browser, careful[1], client, prover, nonce=nonce)

            for server in careful:
                proof = resource_proof(server, prover, tokens["access_token"], nonce=nonce)
                answer = await call(http, server, tokens["access_token"], proof)
                assert answer.status_code == 200, answer.text
                assert answer.headers["dpop-nonce"]
                again = await call(http, careful[0], tokens["access_token"], proof)
                assert again.json()["error"] == "invalid_dpop_proof"
