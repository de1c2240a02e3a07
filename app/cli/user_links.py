"""`ostiary users invite` and `ostiary users reset-link`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from app.accounts import links, people, store
from app.accounts.letters import Letters
from app.accounts.links import Purpose
from app.accounts.records import User
from app.audit import Origin
from app.cli.context import Command, run
from app.cli.output import JsonOption, refuse, show_one
from app.cli.users import UsernameArgument
from app.configuration import mailer_of
from app.database import Transaction
from app.dispatch import Dispatch
from app.mail import NotSent

SendOption = Annotated[
    bool, typer.Option("--send", help="Send the link to the person's e-mail address instead of printing it.")
]
_Find = Callable[[Command, Transaction, Origin], Awaitable[User]]


def invite(
    username: UsernameArgument,
    name: Annotated[str | None, typer.Option(help="Name to show.")] = None,
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Let this person operate the server.")] = False,
    auditor: Annotated[
        bool, typer.Option("--auditor", help="Let this person look at what operators see.")
    ] = False,
    send: SendOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make an account, and a link with which its owner chooses a password; or a new link for someone who was invited
    before. The link is printed once."""
    new = people.NewUser(username, None, name, email, is_admin=admin, is_auditor=auditor)

    async def find(command: Command, tx: Transaction, origin: Origin) -> User:
        known = await store.find_user_by_username(tx, username)
        if known is None:
            return await people.create_user(tx, command.passwords, new, origin)
        if links.needed_by(known) is not Purpose.INVITATION:
            raise people.Refused(f"{known.username} was here before: use `ostiary users reset-link`.")
        if new != people.NewUser(username, None):
            raise people.Refused(f"{known.username} has an account, which an invitation does not change.")
        return known

    _make(username, find, Purpose.INVITATION, send, as_json)


def reset_link(username: UsernameArgument, send: SendOption = False, as_json: JsonOption = False) -> None:
    """Make a link with which someone chooses a new password; it is printed once."""

    async def find(_command: Command, tx: Transaction, _origin: Origin) -> User:
        user = await store.find_user_by_username(tx, username)
        if user is None:
            raise people.Refused(f"There is no user {username}.")
        return user

    _make(username, find, Purpose.PASSWORD_RESET, send, as_json)


def _make(username: str, find: _Find, purpose: Purpose, send: bool, as_json: bool) -> None:
    async def action(command: Command) -> dict[str, Any]:
        mailer = mailer_of(command.settings)
        if send and mailer is None:
            raise people.Refused("No e-mail can be sent: set SMTP_URL and MAIL_FROM.")
        origin = command.origin()
        async with command.transaction() as tx:
            user = await find(command, tx, origin)
            if send and user.email is None:
                raise people.Refused(f"No e-mail address of {user.username} is known.")
            address = user.email if send else None
            issued = await links.issue(tx, command.keys, user, purpose, origin, email=address)
        site = command.settings.public_url
        link = f"{site}/link/{issued.token}"
        told = {"username": user.username, "expires_at": issued.expires_at}
        if mailer is None or address is None:
            return {**told, "link": link}
        letter = Letters(site).with_link(purpose, user, address, link)
        await Dispatch(command.database, mailer).deliver(letter, user.id, origin)
        return {**told, "sent_to": address}

    try:
        made = run(action)
    except people.Refused as error:
        refuse(str(error))
    except NotSent as error:
        refuse(f"{str(error).rstrip('.')}; nobody has the link, and {username} can be sent another one.")
    show_one(made, as_json)
