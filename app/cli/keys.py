"""`ostiary keys …`"""

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from app.authorization_server import keys as signing_keys
from app.authorization_server import store
from app.authorization_server.records import StoredSigningKey
from app.cli.context import Command, run
from app.cli.output import JsonOption, refuse, show_one, show_rows

commands = typer.Typer(help="The keys that sign tokens.", no_args_is_help=True)
_COLUMNS = ("kid", "state", "algorithm", "created_at", "signs_from", "retired_at", "accepted_until")


@commands.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Every signing key and what it does now, the newest first."""

    async def action(command: Command) -> list[dict[str, Any]]:
        async with command.database.reading() as tx:
            return [_row(key, command.origin().now) for key in await store.list_signing_keys(tx)]

    show_rows(run(action), _COLUMNS, as_json)


@commands.command("rotate")
def rotate(
    after: Annotated[
        int, typer.Option(min=1, max=24 * 3600, help="Seconds for which the new key is published first.")
    ] = int(signing_keys.PUBLISHED_AHEAD.total_seconds()),
    distrust: Annotated[
        bool,
        typer.Option("--distrust", help="The present keys leaked: nothing that they signed counts any more."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new key; it is published now and signs in ten minutes, and what the old one signed stays valid."""

    async def action(command: Command) -> dict[str, Any]:
        origin = command.origin()
        async with command.transaction() as tx:
            made = await signing_keys.rotate(
                tx, command.keys, origin, timedelta(seconds=after), distrust=distrust
            )
        return _row(made, origin.now)

    try:
        row = run(action)
    except signing_keys.AlreadyRotating:
        refuse("A new key is published already and does not sign yet; rotate again when it does.")
    except signing_keys.UnreadableKeys as error:
        refuse(str(error))
    show_one(row, as_json)


def _row(key: StoredSigningKey, now: datetime) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "state": signing_keys.state_of(key, now),
        "algorithm": key.algorithm,
        "created_at": key.created_at,
        "signs_from": key.begins_at,
        "retired_at": key.retired_at,
        "accepted_until": key.accepted_until,
    }
