"""Where used proofs are remembered, apart from any request, and what happens when nobody can tell (RFC 9449 §11.1)."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from app.database import Database
from app.local_verifier import DatabaseReplays, DatabaseRevocations
from app.resource_server.challenge import Challenges
from app.resource_server.middleware import BearerGuard, OriginCheck
from app.resource_server.possession import PossessionCheck, RememberedProofs, ReplayGuard, ReplaysUnknown
from app.resource_server.revocations import Revocations
from app.resource_server.verifier import AccessTokenVerifier
from tests.dpop_flow import bound_tokens, call
from tests.support.dpop import Prover
from tests.support.world import FakeClock, World

MINUTE = timedelta(minutes=1)
ours = Prover()


async def test_the_memory_knows_a_proof_until_it_is_too_old_anyway() -> None:
    clock = FakeClock()
    guard = RememberedProofs(clock)

    assert await guard.spend("key", "a", clock.now() + MINUTE)
    clock.advance(seconds=59)
    assert not await guard.spend("key", "a", clock.now() + MINUTE)
    assert await guard.spend("key", "b", clock.now() + MINUTE)
    clock.advance(seconds=1)
    assert await guard.spend("key", "a", clock.now() + MINUTE)
    assert not await guard.spend("key", "b", clock.now() + MINUTE)


async def test_a_memory_that_is_full_takes_nothing_on_trust() -> None:
    clock = FakeClock()
    guard = RememberedProofs(clock, most=2)
    for name in ("a", "b"):
        assert await guard.spend("key", name, clock.now() + MINUTE)

    with pytest.raises(ReplaysUnknown):
        await guard.spend("key", "c", clock.now() + MINUTE)
    assert not await guard.spend("key", "a", clock.now() + MINUTE)

    clock.advance(minutes=1)
    assert await guard.spend("key", "c", clock.now() + MINUTE)


async def test_one_key_can_not_fill_the_memory_of_all() -> None:
    clock = FakeClock()
    guard = RememberedProofs(clock, most=5, most_of_one_key=2)
    for name in ("a", "b"):
        assert await guard.spend("greedy", name, clock.now() + MINUTE)

    with pytest.raises(ReplaysUnknown):
        await guard.spend("greedy", "c", clock.now() + MINUTE)
    assert not await guard.spend("greedy", "a", clock.now() + MINUTE)
    assert await guard.spend("other", "d", clock.now() + MINUTE)

    clock.advance(minutes=1)
    assert await guard.spend("greedy", "c", clock.now() + MINUTE)


async def test_a_database_that_is_away_can_not_tell() -> None:
    database = Database("postgresql+asyncpg://nobody@127.0.0.1:1/nothing")

    with pytest.raises(ReplaysUnknown):
        await DatabaseReplays(database).spend("key", "a", FakeClock().now())
    await database.close()


async def test_the_database_remembers_for_both_roles(world: World) -> None:
    guard: ReplayGuard = DatabaseReplays(world.database)

    assert await guard.spend("key", "a", world.clock.now() + MINUTE)
    assert not await guard.spend("key", "a", world.clock.now() + MINUTE)
    assert await guard.spend("key", "b", world.clock.now() + MINUTE)


# ---------------------------------------------------------------- a resource server without this server's walls
async def _greet(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["user"].principal.proof_key.encode()})


async def alone(world: World, replays: ReplayGuard, refused: list[str]) -> ASGIApp:
    """The guard of a resource in front of an application of someone else's."""
    revocations = Revocations(DatabaseRevocations(world.database, world.clock), world.clock)
    await revocations.poll()
    keys = world.services.signing_keys
    resource = world.settings.resource
    verifier = AccessTokenVerifier(
        world.settings.public_url, resource, lambda: keys.verification, revocations, world.clock
    )
    return BearerGuard(
        _greet,
        verifier,
        Challenges(f"{resource}/metadata", ("mcp",), ("ES256",)),
        frozenset({"mcp"}),
        OriginCheck(None, False),
        lambda _status, error: refused.append(error),
        possession=PossessionCheck([resource], replays, None, world.clock),
    )


async def test_a_resource_alone_checks_proofs_with_a_memory_of_its_own(world: World) -> None:
    token = (await bound_tokens(world, await world.register(), ours))["access_token"]
    refused: list[str] = []
    guard = await alone(world, RememberedProofs(world.clock), refused)

    answers = await ask_twice(world, guard, token)

    assert [answer.status_code for answer in answers] == [200, 401]
    assert answers[0].text == ours.thumbprint
    assert answers[1].json()["error"] == "invalid_dpop_proof"
    assert refused == ["invalid_dpop_proof"]


async def test_opt_5_while_nobody_can_tell_whether_a_proof_was_used_the_answer_is_503(world: World) -> None:
    token = (await bound_tokens(world, await world.register(), ours))["access_token"]
    refused: list[str] = []
    guard = await alone(world, RememberedProofs(world.clock, most=0), refused)

    for answer in await ask_twice(world, guard, token):
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert refused == ["temporarily_unavailable"] * 2


async def ask_twice(world: World, guard: ASGIApp, token: str) -> list[httpx2.Response]:
    """The same proof to the same guard."""
    proof = ours.proof("POST", world.settings.resource, world.clock.now(), token)
    headers: dict[str, Any] = {"authorization": f"DPoP {token}", "dpop": proof}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(guard), base_url="http://alone") as http:
        return [await http.post("/mcp", headers=headers) for _ in range(2)]


async def test_the_stored_proofs_say_nothing_about_who_sent_them(world: World) -> None:
    token = (await bound_tokens(world, await world.register(), ours))["access_token"]
    proof = ours.proof("POST", world.settings.resource, world.clock.now(), token, jti="a name of mine")
    assert (await call(world, token, proof)).status_code == 200

    stored = str(await world.rows("SELECT * FROM used_identifiers"))

    assert "a name of mine" not in stored
    assert ours.thumbprint not in stored
