"""`ostiary grants …`"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from app.accounts import store as accounts
from app.authorization_server import grant_store, revocation
from app.authorization_server.records import Grant
from app.cli.context import Command, run
from app.cli.output import JsonOption, refuse, show_one, show_rows
from app.configuration import policy_of
from app.restore import end_before

commands = typer.Typer(help="What people allowed clients.", no_args_is_help=True)
_MOMENTS = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"]
_COLUMNS = ("id", "username", "client_id", "state", "scope", "created_at", "last_issued_at", "expires_at")


@commands.command("list")
def list_(
    user: Annotated[str | None, typer.Option(help="Only this person's.")] = None,
    client: Annotated[str | None, typer.Option(help="Only this client's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, max=2**31, help="How many to leave out.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Who allowed what to whom, the newest first."""

    async def action(command: Command) -> list[dict[str, Any]] | None:
        async with command.database.reading() as tx:
            names = {person.id: person.username for person in await accounts.list_users(tx)}
            user_id = next((id_ for id_, name in names.items() if name == (user or "").lower()), None)
            if user is not None and user_id is None:
                return None
            found = await grant_store.list_grants(tx, limit, offset, user_id=user_id, client_id=client)
            now = command.origin().now
            return [{**grant_row(grant, now), "username": names.get(grant.user_id or "")} for grant in found]

    rows = run(action)
    if rows is None:
        refuse(f"There is no user {user}.")
    show_rows(rows, _COLUMNS, as_json)


@commands.command("revoke")
def revoke(
    grant_id: Annotated[str | None, typer.Argument(help="The grant's id.")] = None,
    before: Annotated[
        datetime | None,
        typer.Option(
            formats=_MOMENTS, help="All that were made before this, in UTC; sessions and links too."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take back what someone allowed, or everything from before a moment; tokens stop working at once."""
    if (grant_id is None) == (before is None):
        raise typer.BadParameter("Name one grant, or a moment with --before.")
    if before is not None:
        show_one(_end_before(before.replace(tzinfo=UTC)), as_json)
        return

    async def action(command: Command) -> dict[str, Any] | None:
        origin = command.origin()
        async with command.transaction() as tx:
            await revocation.revoke_grant(tx, policy_of(command.settings), grant_id or "", "operator", origin)
            grant = await grant_store.find_grant(tx, grant_id or "")
            return grant_row(grant, origin.now) if grant else None

    row = run(action)
    if row is None:
        refuse(f"There is no grant {grant_id}.")
    show_one(row, as_json)


def _end_before(instant: datetime) -> dict[str, Any]:
    async def action(command: Command) -> dict[str, Any]:
        async with command.transaction() as tx:
            return asdict(await end_before(tx, policy_of(command.settings), instant, command.origin()))

    return run(action)


def grant_row(grant: Grant, now: datetime) -> dict[str, Any]:
    """A grant as operators read it."""
    if grant.revoked_at is not None:
        state = "revoked"
    elif now >= grant.expires_at:
        state = "expired"
    else:
        state = "live" if grant.last_issued_at is not None else "approved"
    return {
        "id": grant.id,
        "user_id": grant.user_id,
        "client_id": grant.client_id,
        "state": state,
        "scope": grant.scope,
        "resource": grant.resource,
        "reference": grant.reference,
        "created_at": grant.created_at,
        "last_issued_at": grant.last_issued_at,
        "expires_at": grant.expires_at,
        "revoked_at": grant.revoked_at,
        "revoked_because": grant.revoked_because,
    }
