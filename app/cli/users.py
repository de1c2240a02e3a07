"""`ostiary users …`"""

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from app.accounts import people, rights, second_factor, store
from app.accounts.records import User
from app.audit import Origin
from app.authorization_server import revocation
from app.cli.context import Command, run
from app.cli.output import JsonOption, refuse, show_one, show_rows
from app.configuration import policy_of
from app.database import Transaction
from app.oauth.credentials import mint_password

commands = typer.Typer(help="People who may sign in.", no_args_is_help=True)
_COLUMNS = (
    "username", "name", "email", "is_admin", "is_auditor", "created_at", "last_sign_in_at", "disabled_at",
)  # fmt: skip
UsernameArgument = Annotated[str, typer.Argument(help="Name to sign in with.")]
StdinOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@commands.command("create")
def create(
    username: UsernameArgument,
    name: Annotated[str | None, typer.Option(help="Name to show.")] = None,
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Let this person operate the server.")] = False,
    auditor: Annotated[
        bool, typer.Option("--auditor", help="Let this person look at what operators see.")
    ] = False,
    password_stdin: StdinOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make an account; without --password-stdin a random password is printed once."""
    password, printed = _password(password_stdin)

    async def action(command: Command) -> User:
        new = people.NewUser(username, password, name, email, is_admin=admin, is_auditor=auditor)
        async with command.transaction() as tx:
            return await people.create_user(tx, command.passwords, new, command.origin())

    try:
        user = run(action)
    except people.Refused as error:
        refuse(str(error))
    show_one({**_public(user), **({"password": printed} if printed else {})}, as_json)


@commands.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Everyone who has an account."""

    async def action(command: Command) -> list[dict[str, Any]]:
        async with command.database.reading() as tx:
            return [_public(user) for user in await store.list_users(tx)]

    show_rows(run(action), _COLUMNS, as_json)


@commands.command("disable")
def disable(username: UsernameArgument, as_json: JsonOption = False) -> None:
    """Keep someone out: sessions end, connected apps are disconnected at once."""

    async def change(command: Command, tx: Transaction, user: User, origin: Origin) -> None:
        await rights.check_may_go(tx, user.id, origin)
        await people.disable_user(tx, user, origin)
        await revocation.revoke_user(tx, policy_of(command.settings), user.id, "user_disabled", origin)

    _change(username, change, as_json)


@commands.command("enable")
def enable(username: UsernameArgument, as_json: JsonOption = False) -> None:
    """Let a disabled person sign in again; apps have to be approved anew."""

    async def change(_command: Command, tx: Transaction, user: User, origin: Origin) -> None:
        await people.enable_user(tx, user, origin)

    _change(username, change, as_json)


@commands.command("promote")
def promote(
    username: UsernameArgument,
    auditor: Annotated[bool, typer.Option("--auditor", help="Only to look, not to change.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let someone operate the server, or look at what operators see."""

    async def change(_command: Command, tx: Transaction, user: User, origin: Origin) -> None:
        await rights.set_rights(tx, user.id, origin, is_admin=not auditor, is_auditor=auditor)

    _change(username, change, as_json)


@commands.command("demote")
def demote(username: UsernameArgument, as_json: JsonOption = False) -> None:
    """Take both rights from someone; somebody who operates the server must remain."""

    async def change(_command: Command, tx: Transaction, user: User, origin: Origin) -> None:
        await rights.set_rights(tx, user.id, origin, is_admin=False, is_auditor=False)

    _change(username, change, as_json)


@commands.command("delete")
def delete(username: UsernameArgument, as_json: JsonOption = False) -> None:
    """Remove someone with sessions, sign-in methods, and all that they allowed."""

    async def change(command: Command, tx: Transaction, user: User, origin: Origin) -> None:
        await rights.check_may_go(tx, user.id, origin)
        await revocation.revoke_user(tx, policy_of(command.settings), user.id, "user_deleted", origin)
        await rights.delete_user(tx, user.id, origin)

    _change(username, change, as_json)


@commands.command("reset-password")
def reset_password(
    username: UsernameArgument,
    password_stdin: StdinOption = False,
    revoke_grants: Annotated[
        bool, typer.Option("--revoke-grants", help="Disconnect all of the person's apps too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Set a new password and sign the person out everywhere."""
    password, printed = _password(password_stdin)

    async def change(command: Command, tx: Transaction, user: User, origin: Origin) -> None:
        await people.reset_password(tx, command.passwords, user, password, origin)
        if revoke_grants:
            await revocation.revoke_user(tx, policy_of(command.settings), user.id, "password_reset", origin)

    _change(username, change, as_json, {"password": printed} if printed else {})


@commands.command("reset-second-factor")
def reset_second_factor(username: UsernameArgument, as_json: JsonOption = False) -> None:
    """Remove the passkeys, the app for codes and the recovery codes of someone who lost them; sign them out."""

    async def change(_command: Command, tx: Transaction, user: User, origin: Origin) -> None:
        await second_factor.reset(tx, user, origin)

    _change(username, change, as_json)


def _change(
    username: str,
    change: Callable[[Command, Transaction, User, Origin], Awaitable[None]],
    as_json: bool,
    more: dict[str, Any] | None = None,
) -> None:
    async def action(command: Command) -> dict[str, Any] | None:
        async with command.transaction() as tx:
            user = await store.find_user_by_username(tx, username)
            if user is None:
                return None
            await change(command, tx, user, command.origin())
            changed = await store.find_user(tx, user.id)
            return _public(changed or user)

    try:
        changed = run(action)
    except people.Refused as error:
        refuse(str(error))
    if changed is None:
        refuse(f"There is no user {username}.")
    show_one({**changed, **(more or {})}, as_json)


def _public(user: User) -> dict[str, Any]:
    return {"id": user.id, **{column: getattr(user, column) for column in _COLUMNS}}


def _password(from_stdin: bool) -> tuple[str, str | None]:
    """The password to set, and what to print of it."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n"), None
    password = mint_password()
    return password, password
