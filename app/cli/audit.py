"""`ostiary audit`"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from app.accounts import store as accounts
from app.audit import Wanted, after_day, search_events
from app.cli.context import Command, run
from app.cli.output import JsonOption, show_rows

_COLUMNS = ("at", "event", "outcome", "reason", "user_id", "client_id", "source", "reference")
_DAY = {"formats": ["%Y-%m-%d"]}


def audit(
    event: Annotated[str | None, typer.Option(help="Only this event, such as grant.approved.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    user: Annotated[str | None, typer.Option(help="Only this person's, by user name or id.")] = None,
    client: Annotated[str | None, typer.Option(help="Only this client's.")] = None,
    grant: Annotated[str | None, typer.Option(help="Only this grant's.")] = None,
    source: Annotated[str | None, typer.Option(help="Only from this network address.")] = None,
    reference: Annotated[str | None, typer.Option(help="Only under this reference.")] = None,
    since: Annotated[datetime | None, typer.Option(**_DAY, help="From this day on, in UTC.")] = None,
    until: Annotated[
        datetime | None, typer.Option(**_DAY, help="Up to this day and with it, in UTC.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """What happened, the latest first: who did what to what, from where, and how it ended."""

    async def action(command: Command) -> list[dict[str, Any]]:
        async with command.database.reading() as tx:
            found = await accounts.find_user_by_username(tx, user) if user else None
            wanted = Wanted(
                refused=True if refused else None,
                event=event,
                person=found.id if found else user,
                client_id=client,
                grant_id=grant,
                source=source,
                reference=reference.upper() if reference else None,
                since=since.replace(tzinfo=UTC) if since else None,
                until=after_day(until.replace(tzinfo=UTC) if until else None),
            )
            return [asdict(each) for each in await search_events(tx, wanted, limit)]

    show_rows(run(action), _COLUMNS, as_json)
