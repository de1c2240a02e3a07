"""`ostiary initial-access-tokens …`"""

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from app.authorization_server import initial_access_token_store, initial_access_tokens
from app.authorization_server.records import InitialAccessToken
from app.cli.context import Command, run
from app.cli.output import JsonOption, refuse, show_one, show_rows

commands = typer.Typer(
    help="Tokens that allow registration where it is not open (RFC 7591).", no_args_is_help=True
)
_COLUMNS = ("id", "label", "state", "uses_left", "created_at", "last_used_at", "expires_at")


@commands.command("create")
def create(
    label: Annotated[str | None, typer.Option(help="What it is given out for.")] = None,
    uses: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="For how many registrations.")
    ] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, max=3650, help="For how many days.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token; it is printed once. Without limits it works until it is revoked."""
    lifetime = timedelta(days=expires_days) if expires_days else None

    async def action(command: Command) -> dict[str, Any]:
        origin = command.origin()
        async with command.transaction() as tx:
            token, secret = await initial_access_tokens.create(
                tx, command.keys, label, uses, lifetime, origin
            )
        return {**_row(token, origin.now), "token": secret}

    show_one(run(action), as_json)


@commands.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Every token, the newest first."""

    async def action(command: Command) -> list[dict[str, Any]]:
        now = command.origin().now
        async with command.database.reading() as tx:
            return [_row(token, now) for token in await initial_access_token_store.list_all(tx)]

    show_rows(run(action), _COLUMNS, as_json)


@commands.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(help="The token's id.")], as_json: JsonOption = False
) -> None:
    """Take a token back; clients that registered with it stay."""

    async def action(command: Command) -> dict[str, Any] | None:
        origin = command.origin()
        async with command.transaction() as tx:
            token = await initial_access_tokens.revoke(tx, token_id, origin)
        return _row(token, origin.now) if token else None

    row = run(action)
    if row is None:
        refuse(f"There is no initial access token {token_id}.")
    show_one(row, as_json)


def _row(token: InitialAccessToken, now: datetime) -> dict[str, Any]:
    columns = ("id", "label", "uses_left", "created_at", "last_used_at", "expires_at", "revoked_at")
    return {"state": _state(token, now), **{column: getattr(token, column) for column in columns}}


def _state(token: InitialAccessToken, now: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is not None and now >= token.expires_at:
        return "expired"
    return "used up" if token.uses_left == 0 else "good"
