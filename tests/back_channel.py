"""What the token and revocation endpoints answer when they refuse: an error in JSON, no effect, one record."""

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, quote

import httpx2

from app.accounts import people
from app.accounts import store as accounts
from app.audit import Origin
from app.authorization_server import revocation
from tests.support.world import World

# What RFC 6749 §5.2 lets an error_description be made of.
DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5B\x5D-\x7E]+")
_TABLES = ("clients", "grants", "authorization_codes", "refresh_tokens", "sessions", "revocations")
_SECRET_PARAMETERS = {"code", "code_verifier", "client_secret", "refresh_token", "token"}


def basic(client: Mapping[str, Any], secret: str | None = None) -> dict[str, str]:
    """The header of `client_secret_basic` (RFC 6749 §2.3.1), with another secret if one is given."""
    pair = f"{quote(client['client_id'])}:{quote(secret or client['client_secret'])}"
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


_WRITTEN_LATER = {"first_used_at", "last_used_at", "last_used_from"}


async def rows_of(world: World) -> dict[str, Any]:
    """Everything that a refusal must not change; when a grant was used is written later, and by itself."""
    return {
        name: [
            {column: value for column, value in row.items() if column not in _WRITTEN_LATER}
            for row in await world.rows(f"SELECT * FROM {name} ORDER BY 1")  # noqa: S608
        ]
        for name in _TABLES
    }


async def records_of(world: World) -> float:
    """How many audit events and counted refusals there are."""
    metrics = (await world.http.get("/metrics")).text
    counted = [
        float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        if line.startswith("ostiary_refusals_total{")
    ]
    audited: int = (await world.rows("SELECT count(*) AS n FROM audit_events"))[0]["n"]
    return sum(counted) + audited


def assert_error(answer: httpx2.Response, status: int, *errors: str) -> None:
    """The `{err}` of the table of cases, with one of these codes."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert "no-store" in answer.headers["cache-control"]
    body = answer.json()
    assert body["error"] in errors, body
    assert set(body) <= {"error", "error_description", "error_uri", "error_reference"}
    assert DESCRIPTION.fullmatch(body["error_description"]), body
    if "authorization" in answer.request.headers and status == 401:
        # RFC 6749 §5.2: the challenge of the scheme that the client used.
        assert answer.headers["www-authenticate"].lower().startswith("basic")


@asynccontextmanager
async def no_effect(world: World) -> AsyncIterator[None]:
    """No row of clients, codes, grants, tokens or sessions changes."""
    before = await rows_of(world)
    yield
    assert await rows_of(world) == before


async def refused(
    world: World, request: Awaitable[httpx2.Response], status: int, *errors: str, without_effect: bool = True
) -> httpx2.Response:
    """Send the request: it is refused like this, leaves a record without the secrets, and changes nothing."""
    before, recorded = await rows_of(world), await records_of(world)
    last = (await world.rows("SELECT coalesce(max(id), 0) AS id FROM audit_events"))[0]["id"]
    answer = await request
    assert_error(answer, status, *errors)
    assert await records_of(world) > recorded
    events = str(await world.rows("SELECT * FROM audit_events WHERE id > :last", last=last))
    for secret in secrets_in(answer.request):
        assert secret not in events
        assert secret not in answer.text
    if without_effect:
        assert await rows_of(world) == before
    return answer


def secrets_in(request: httpx2.Request) -> list[str]:
    """The secrets that a request carried, those that could not stand somewhere by accident."""
    form = parse_qsl(request.content.decode("latin-1"))
    header = request.headers.get("authorization", "").partition(" ")[2]
    sent = [value for name, value in form if name in _SECRET_PARAMETERS] + [header]
    return [secret for secret in sent if len(secret) > 8]


# ------------------------------------------------------------------------ what operators do meanwhile
async def disable_user(world: World, username: str = "alice") -> None:
    """As `users disable` does."""
    origin = Origin(world.clock.now(), "test")
    async with world.database.transaction() as tx:
        user = await accounts.find_user_by_username(tx, username)
        assert user is not None
        await people.disable_user(tx, user, origin)
        await revocation.revoke_user(tx, world.services.policy, user.id, "user_disabled", origin)


async def enable_user(world: World, username: str = "alice") -> None:
    """As `users enable` does."""
    async with world.database.transaction() as tx:
        user = await accounts.find_user_by_username(tx, username)
        assert user is not None
        await people.enable_user(tx, user, Origin(world.clock.now(), "test"))


async def reset_password(world: World, username: str = "alice") -> None:
    """As `users reset-password --revoke-grants` does."""
    origin = Origin(world.clock.now(), "test")
    async with world.database.transaction() as tx:
        user = await accounts.find_user_by_username(tx, username)
        assert user is not None
        await people.reset_password(tx, world.services.passwords, user, "another long password", origin)
        await revocation.revoke_user(tx, world.services.policy, user.id, "password_reset", origin)


async def revoke_grants(world: World, *grants: str) -> None:
    """As `grants revoke` does, for these grants or every grant."""
    origin = Origin(world.clock.now(), "test")
    for grant in grants or [row["id"] for row in await world.rows("SELECT id FROM grants")]:
        async with world.database.transaction() as tx:
            await revocation.revoke_grant(tx, world.services.policy, grant, "operator", origin)


async def disable_client(world: World, client: Mapping[str, Any]) -> None:
    """As `clients disable` does."""
    async with world.database.transaction() as tx:
        origin = Origin(world.clock.now(), "test")
        await revocation.disable_client(tx, world.services.policy, client["client_id"], origin)


async def delete_client(world: World, client: Mapping[str, Any]) -> None:
    """As `clients delete` does."""
    async with world.database.transaction() as tx:
        origin = Origin(world.clock.now(), "test")
        await revocation.delete_client(tx, world.services.policy, client["client_id"], origin)
