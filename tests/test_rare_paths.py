"""What happens rarely, and has to be right all the same: keys that are gone, floods, two who start at once."""

import asyncio
import logging
from collections.abc import Collection, Sequence

import anyio
import anyio.lowlevel
import pytest
import sqlalchemy as sa

from app.audit import Origin
from app.authorization_server import grant_store, revocation, store
from app.authorization_server import keys as signing_keys
from app.authorization_server.authentication import SignIn
from app.authorization_server.decisions import AlreadyAnswered, approve, deny
from app.authorization_server.flights import Flights
from app.authorization_server.props import UnreadableProps, open_props, seal_props
from app.authorization_server.public_addresses import is_loopback_address
from app.authorization_server.records import Answer, AuthorizationRequest, ResourceOwner
from app.authorization_server.tables import authorization_requests, clients
from app.oauth.credentials import Keys
from app.oauth.uris import InvalidURI, check_redirect_uri
from app.resource_server import verifier
from app.resource_server.revocations import Revocation, Revocations, RevocationsUnknown
from tests.back_channel import disable_client, refused
from tests.support.world import FakeClock, World


def test_props_that_were_sealed_under_a_key_that_is_gone_are_not_taken_for_none() -> None:
    sealed = seal_props(Keys("one key of the tests, long enough to be one"), {"a": 1})
    with pytest.raises(UnreadableProps):
        open_props(Keys("another key of the tests, long enough to be one"), sealed)


def test_what_is_no_address_is_not_this_computer() -> None:
    assert is_loopback_address("::1")
    assert not is_loopback_address("localhost")


@pytest.mark.parametrize("name", ["code", "state", "iss", "error", "%63ode", "%69%73%73"])
def test_a_redirect_uri_must_not_answer_for_us(name: str) -> None:
    with pytest.raises(InvalidURI, match="their own query"):
        check_redirect_uri(f"https://a.example/cb?x=1&{name}=y", frozenset())


async def test_an_errand_that_breaks_is_logged_and_does_not_hold_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flights = Flights[None]()

    async def broken() -> None:
        raise RuntimeError("broken")

    for _ in range(40):
        with pytest.raises(RuntimeError):
            await flights.join("https://a.example/", "203.0.113.7", broken)
    assert "The errand to https://a.example/ failed: RuntimeError" in caplog.text


async def test_servers_that_start_at_once_agree_on_one_signing_key(world: World) -> None:
    async with world.database.transaction() as tx:
        await tx.execute(sa.text("DELETE FROM signing_keys"))
    services, now = world.services, world.clock.now()
    loaded = await asyncio.gather(
        *(signing_keys.load(services.database, services.keys, now) for _ in range(5))
    )
    assert len({keys.signing_at(now).kid for keys in loaded}) == 1
    assert (await world.rows("SELECT count(*) AS n FROM signing_keys"))[0]["n"] == 1


async def test_a_client_that_is_enabled_again_may_ask_again(world: World) -> None:
    client = await world.register()
    await disable_client(world, client)
    assert (await world.authorize(world.browser(), client)).status_code == 400
    async with world.database.transaction() as tx:
        await revocation.enable_client(tx, client["client_id"], Origin(world.clock.now(), "test"))
    assert (await world.tokens(client))["access_token"]


async def test_a_client_that_may_no_longer_refresh_is_told_so(world: World) -> None:
    client = await world.register()
    token = (await world.tokens(client))["refresh_token"]
    async with world.database.transaction() as tx:
        same = clients.c.client_id == client["client_id"]
        await tx.execute(sa.update(clients).where(same).values(grant_types=["authorization_code"]))
    await refused(world, world.refresh(client, token), 400, "unauthorized_client")


async def test_a_token_that_was_forgotten_is_verified_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "_MOST_REMEMBERED", 2)
    client = await world.register()
    tokens = [(await world.tokens(client))["access_token"] for _ in range(3)]
    for token in (*tokens, *tokens):
        assert (await world.call(token)).status_code == 200


class _Source:
    """Answers one poll after the other as it was told, then with nothing new."""

    def __init__(self, *answers: Exception | Sequence[Revocation]) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.exhausted = asyncio.Event()

    async def after(self, number: int | None) -> Sequence[Revocation]:  # noqa: ARG002 - the interface
        self.asked += 1
        if not self.answers:
            self.exhausted.set()
            return []
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def any_revoked(self, subjects: Collection[str]) -> bool:  # noqa: ARG002 - the same
        return False


async def test_nothing_ends_the_watch_over_revocations(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    gone = Revocation(1, "a token that is over", clock.now())
    source = _Source(RevocationsUnknown(), RevocationsUnknown(), RuntimeError("broken"), [gone])
    revocations = Revocations(source, clock)
    with caplog.at_level(logging.WARNING):
        watch = asyncio.create_task(revocations.run())
        with anyio.fail_after(10):
            while not source.exhausted.is_set():
                revocations.wake()
                await anyio.lowlevel.checkpoint()
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    told = [record for record in caplog.records if record.name == "app.resource_server.revocations"]
    assert [record.levelname for record in told] == ["WARNING", "ERROR"], "an outage is told once"
    assert not await revocations.covers(["a token that is over"], clock.now())


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"client_name": "\u3164\u115f"}, id="REG-15 a name of which nothing is seen"),
        pytest.param({"client_name": "a\u0301\u0302\u0303\u0304"}, id="REG-15 a name that piles up marks"),
        pytest.param({"client_uri": "com.example.app:/home"}, id="REG-16 a link that is no web address"),
    ],
)
async def test_metadata_that_people_would_be_misled_by_is_refused(
    world: World, metadata: dict[str, str]
) -> None:
    body = {"redirect_uris": ["http://127.0.0.1/cb"], **metadata}
    await refused(world, world.http.post("/oauth/register", json=body), 400, "invalid_client_metadata")


async def test_a_client_that_may_no_longer_ask_people_is_told_so(world: World) -> None:
    client, browser = await world.register(), await world.signed_in_browser()
    async with world.database.transaction() as tx:
        same = clients.c.client_id == client["client_id"]
        await tx.execute(sa.update(clients).where(same).values(grant_types=["client_credentials"]))
    answer = await world.authorize(browser, client)
    assert answer.status_code == 303
    assert "error=unauthorized_client" in answer.headers["location"]


async def test_grants_are_listed_by_person_and_by_client(world: World) -> None:
    bob = await world.create_user("bob")
    client = await world.register()
    await world.tokens(client)
    await world.tokens(client, "bob")
    async with world.database.reading() as tx:
        assert await store.find_client(tx, "client_\x00") is None
        assert [grant.user_id for grant in await grant_store.list_grants(tx, 9, 0, user_id=bob.id)] == [
            bob.id
        ]
        assert len(await grant_store.list_grants(tx, 9, 0, client_id=client["client_id"])) == 2


async def test_a_question_is_answered_once_whatever_was_read_before(world: World) -> None:
    """Two answers that both found it unanswered: the second is told so by the database."""
    address = (await world.authorize(world.browser(), await world.register())).headers["location"]
    origin, policy, keys = Origin(world.clock.now(), "test"), world.services.policy, world.services.keys
    owner = ResourceOwner((await world.rows("SELECT id FROM users"))[0]["id"], "alice", "Alice", None)
    async with world.database.transaction() as tx:
        wanted = authorization_requests.c.id == address.partition("request=")[2]
        row = (await tx.execute(sa.select(authorization_requests).where(wanted))).one()
        request = AuthorizationRequest(**row._mapping)
        await deny(tx, policy, request, owner, origin)
        with pytest.raises(AlreadyAnswered):
            await deny(tx, policy, request, owner, origin)
        with pytest.raises(AlreadyAnswered):
            await approve(
                tx, keys, policy, request, owner, SignIn(owner.id, origin.now), origin, Answer(("mcp",))
            )
    assert await world.rows("SELECT id FROM grants") == []


@pytest.mark.parametrize("path", ["/%1b[31mred%0d%0aFAKE", "/login%1b", "/authorize/%c2%9b31m"])
async def test_what_stands_in_an_address_is_not_written_to_the_terminal(
    world: World, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app")
    assert (await world.http.get(path, headers={"accept": "text/html"})).status_code == 404
    told = [entry.getMessage() for entry in caplog.records if entry.name.startswith("app.")]
    assert told
    assert all(text.isprintable() for text in told), told
