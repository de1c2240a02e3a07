"""`ostiary users invite` and `ostiary users reset-link`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from app.accounts import links, people, store
from app.accounts.links import Purpose
from app.accounts.records import User
from app.cli.context import Command, run
from app.cli.output import JsonOption, refuse, show_one
from app.cli.users import UsernameArgument
from app.database import Transaction


def invite(
    username: UsernameArgument,
    name: Annotated[str | None, typer.Option(help="Name to show.")] = None,
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Let this person operate the server.")] = False,
    auditor: Annotated[
        bool, typer.Option("--auditor", help="Let this person look at what operators see.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make an account, and print a link once with which its owner chooses a password; or a new link for someone who
    was invited before."""
    new = people.NewUser(username, None, name, email, is_admin=admin, is_auditor=auditor)

    async def find(command: Command, tx: Transaction) -> User:
        known = await store.find_user_by_username(tx, username)
        if known is None:
            return await people.create_user(tx, command.passwords, new, command.origin())
        if known.password_hash is not None:
            raise people.Refused(f"{known.username} has a password: use `ostiary users reset-link`.")
        if new != people.NewUser(username, None):
            raise people.Refused(f"{known.username} has an account, which an invitation does not change.")
        return known

    async def action(command: Command) -> dict[str, Any]:
        async with command.transaction() as tx:
            return await _issue(command, tx, await find(command, tx), Purpose.INVITATION)

    _show(action, as_json)


def reset_link(username: UsernameArgument, as_json: JsonOption = False) -> None:
    """Print a link once with which someone chooses a new password."""

    async def action(command: Command) -> dict[str, Any]:
        async with command.transaction() as tx:
            user = await store.find_user_by_username(tx, username)
            if user is None:
                raise people.Refused(f"There is no user {username}.")
            return await _issue(command, tx, user, Purpose.PASSWORD_RESET)

    _show(action, as_json)


async def _issue(command: Command, tx: Transaction, user: User, purpose: Purpose) -> dict[str, Any]:
    issued = await links.issue(tx, command.keys, user, purpose, command.origin())
    return {
        "username": user.username,
        "link": f"{command.settings.public_url}/link/{issued.token}",
        "expires_at": issued.expires_at,
    }


def _show(action: Callable[[Command], Awaitable[dict[str, Any]]], as_json: bool) -> None:
    try:
        made = run(action)
    except people.Refused as error:
        refuse(str(error))
    show_one(made, as_json)
