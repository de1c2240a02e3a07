"""`ostiary purge`"""

from app.cli.context import Command, run
from app.cli.output import JsonOption, show_one
from app.configuration import policy_of
from app.purge import purge as purge_database


def purge(as_json: JsonOption = False) -> None:
    """Remove what serves nobody any more: what is over, and registrations that were never used."""

    async def action(command: Command) -> dict[str, int]:
        return await purge_database(command.database, policy_of(command.settings), command.origin())

    show_one(run(action), as_json)
