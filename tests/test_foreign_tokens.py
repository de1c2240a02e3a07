"""Bearer tokens of other issuers, where the operator's `on_bearer` knows them."""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from app import hooks
from app.hooks import BrokenHook, ForeignCaller
from app.resource_server.foreign import ForeignTokens
from app.resource_server.principal import Principal, User
from app.resource_server.verifier import Caller, UnknownToken
from tests.support.world import FakeClock, World

pytest_plugins = ["tests.hooked"]

MakeWorld = Callable[..., Coroutine[Any, Any, World]]
SECRET = "the key of the customer"


def foreign(**changes: Any) -> ForeignCaller:
    """Somebody whom another issuer vouches for."""
    known = ForeignCaller(
        issuer="https://other.example",
        subject="someone",
        client_id="an app of theirs",
        scopes=("mcp",),
        expires_at=datetime(2026, 11, 22, 13, tzinfo=UTC),
        token_id="their-token-1",
        name="Some One",
        props={"key": SECRET},
    )
    return dataclasses.replace(known, **changes)


async def test_a_foreign_token_is_taken_where_the_hook_knows_it(
    make_hooked: MakeWorld, module: ModuleType
) -> None:
    asked: list[tuple[str, str]] = []

    async def on_bearer(token: str, resource: str) -> ForeignCaller | None:
        asked.append((token, resource))
        return foreign() if token == "theirs" else None

    module.on_bearer = on_bearer  # type: ignore[attr-defined]
    world = await make_hooked()
    answer = await world.call("theirs", "props")
    assert answer.json()["result"]["structuredContent"] == {"key": SECRET}
    assert (await world.call("theirs", "props")).status_code == 200
    assert asked == [("theirs", world.settings.resource)], "asked more often than once in a while"
    world.clock.advance(seconds=5)
    assert (await world.call("theirs", "props")).status_code == 200
    assert len(asked) == 2
    unknown = await world.call("nobody's", "props")
    assert unknown.status_code == 401
    assert 'error="invalid_token"' in unknown.headers["www-authenticate"]
    world.clock.advance(hours=1)
    assert (await world.call("theirs", "props")).status_code == 401


async def test_a_foreign_caller_needs_the_scopes_of_the_resource(
    make_hooked: MakeWorld, module: ModuleType
) -> None:
    async def on_bearer(token: str, resource: str) -> ForeignCaller:
        return foreign(scopes=("profile",))

    module.on_bearer = on_bearer  # type: ignore[attr-defined]
    world = await make_hooked()
    assert (await world.call("theirs", "props")).status_code == 403


async def test_the_hook_is_not_asked_about_tokens_that_name_our_issuer(
    make_hooked: MakeWorld, module: ModuleType
) -> None:
    asked: list[str] = []

    async def on_bearer(token: str, resource: str) -> ForeignCaller:
        asked.append(token)
        return foreign()

    module.on_bearer = on_bearer  # type: ignore[attr-defined]
    world = await make_hooked()
    await world.create_user()
    token = (await world.tokens(await world.register()))["access_token"]
    header, payload, signature = token.split(".")
    for forged in (f"{header}.{payload}.{signature[:-4]}AAAA", f"e30.{payload}.", f"x.{payload}.y"):
        assert (await world.call(forged, "props")).status_code == 401
    assert asked == []
    for shapeless in ("a", "a.b.c", "a.e30.c", "a.W10.c", "a.eyJpc3MiOjF9.c"):
        assert (await world.call(shapeless, "props")).status_code == 200
    assert len(asked) == 5


async def test_a_slow_or_broken_hook_lets_nobody_in(
    make_hooked: MakeWorld, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def on_bearer(token: str, resource: str) -> ForeignCaller | None:
        if token == "slow":
            await asyncio.Event().wait()
        raise RuntimeError("broken")

    monkeypatch.setattr(hooks, "SECONDS", 0.05)
    module.on_bearer = on_bearer  # type: ignore[attr-defined]
    world = await make_hooked()
    slow = await world.call("slow", "props")
    assert (slow.status_code, slow.headers["retry-after"]) == (503, "2")
    assert (await world.call("broken", "props")).status_code == 500


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"issuer": "http://localhost:8000"}, "our issuer", id="our issuer"),
        pytest.param({"expires_at": datetime(2026, 11, 22, 13)}, "time zone", id="no zone"),  # noqa: DTZ001
    ],
)
async def test_a_hook_that_names_nobody_foreign_or_no_instant_is_broken(
    make_hooked: MakeWorld, module: ModuleType, changes: dict[str, Any], told: str
) -> None:
    async def on_bearer(token: str, resource: str) -> ForeignCaller:
        return foreign(**changes)

    module.on_bearer = on_bearer  # type: ignore[attr-defined]
    world = await make_hooked()
    assert (await world.call("theirs", "props")).status_code == 500
    with pytest.raises(BrokenHook, match=told):
        await world.services.hooks.bearer("theirs", world.settings.resource, world.settings.public_url)


async def test_only_so_many_foreign_callers_are_remembered() -> None:
    asked: list[str] = []

    async def find(token: str) -> Principal:
        asked.append(token)
        user = User("someone", None, None, None)
        end = foreign().expires_at
        return Principal(user, "app", None, frozenset(), None, "1", "https://other.example", end)

    verifier = ForeignTokens(_Nobody(), "https://ours.example", "https://ours.example/mcp", find, FakeClock())
    for number in (*range(1001), 1000, 0):
        await verifier.verify(str(number))
    assert (len(asked), asked[-1]) == (1002, "0")


class _Nobody:
    """Knows no token."""

    async def verify(self, token: str) -> Caller:  # noqa: ARG002 - the interface
        raise UnknownToken
