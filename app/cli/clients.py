"""`ostiary clients …`"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import typer

from app.audit import Origin
from app.authorization_server import grant_store, revocation, store
from app.authorization_server.client_list import ClientFilter, list_alike, list_clients
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.cli.context import Command, run
from app.cli.grants import grant_row
from app.cli.output import JsonOption, refuse, show_one, show_rows
from app.configuration import policy_of
from app.database import Transaction

commands = typer.Typer(help="Registered clients.", no_args_is_help=True)
_COLUMNS = (
    "client_id", "client_name", "registration", "token_endpoint_auth_method", "created_at", "last_used_at",
    "disabled_at",
)  # fmt: skip
Came = Literal["dynamic", "document", "manual"]
ClientArgument = Annotated[str, typer.Argument(help="The client's id.")]


@commands.command("list")
def list_(
    name: Annotated[str | None, typer.Option(help="Only those with this in their name.")] = None,
    registration: Annotated[Came | None, typer.Option(help="Only those that came like this.")] = None,
    never_used: Annotated[
        bool, typer.Option("--never-used", help="Only those that nobody approved.")
    ] = False,
    disabled: Annotated[bool, typer.Option("--disabled", help="Only disabled ones.")] = False,
    everyone: Annotated[bool, typer.Option("--all", help="A line for each, however alike.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, max=2**31, help="How many to leave out.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Who registered, the newest first; registrations that say the same stand in one line, as their newest."""
    wanted = ClientFilter(registration, name, never_used, disabled)

    async def action(command: Command) -> list[dict[str, Any]]:
        async with command.database.reading() as tx:
            if everyone:
                return [_row(client) for client in await list_clients(tx, wanted, limit, offset)]
            alike = await list_alike(tx, wanted, limit, offset)
            return [
                {
                    **_row(group.client),
                    "last_used_at": group.last_used_at,
                    "registrations": group.registrations,
                }
                for group in alike
            ]

    columns = _COLUMNS if everyone else (*_COLUMNS, "registrations")
    show_rows(run(action), columns, as_json)


@commands.command("show")
def show(client_id: ClientArgument, as_json: JsonOption = False) -> None:
    """One client with its metadata and what it was allowed."""

    async def action(command: Command) -> dict[str, Any] | None:
        async with command.database.reading() as tx:
            client = await store.find_client(tx, client_id)
            if client is None:
                return None
            grants = await grant_store.list_grants(tx, 100, 0, client_id=client_id)
            now = command.origin().now
            return {**_row(client), **_details(client), "grants": [grant_row(grant, now) for grant in grants]}

    found = run(action)
    if found is None:
        refuse(f"There is no client {client_id}.")
    if not as_json:
        found["grants"] = [
            f"{grant['id']}  {grant['state']}  {grant['user_id']}  {grant['scope']}"
            for grant in found["grants"]
        ]
    show_one(found, as_json)


@commands.command("disable")
def disable(client_id: ClientArgument, as_json: JsonOption = False) -> None:
    """Keep a client out; what it was allowed is revoked at once."""
    _change(client_id, revocation.disable_client, as_json)


@commands.command("enable")
def enable(client_id: ClientArgument, as_json: JsonOption = False) -> None:
    """Let a disabled client ask again; people approve anew."""

    async def change(tx: Transaction, _policy: Policy, client_id: str, origin: Origin) -> None:
        await revocation.enable_client(tx, client_id, origin)

    _change(client_id, change, as_json)


@commands.command("delete")
def delete(client_id: ClientArgument, as_json: JsonOption = False) -> None:
    """Remove a client with all that it was allowed."""
    _change(client_id, revocation.delete_client, as_json)


def _change(
    client_id: str, change: Callable[[Transaction, Policy, str, Origin], Awaitable[None]], as_json: bool
) -> None:
    async def action(command: Command) -> dict[str, Any] | None:
        async with command.transaction() as tx:
            client = await store.find_client(tx, client_id)
            if client is None:
                return None
            await change(tx, policy_of(command.settings), client_id, command.origin())
            return _row(await store.find_client(tx, client_id) or client)

    changed = run(action)
    if changed is None:
        refuse(f"There is no client {client_id}.")
    show_one(changed, as_json)


def _row(client: Client) -> dict[str, Any]:
    return {column: getattr(client, column) for column in _COLUMNS}


def _details(client: Client) -> dict[str, Any]:
    return {
        "redirect_uris": client.redirect_uris,
        "grant_types": client.grant_types,
        "scope": client.scope,
        "registered_from": client.registered_from,
        "registered_with": client.registered_with,
        "introspects": client.introspects,
        "information": client.information,
        "secret_expires_at": client.secret_expires_at,
    }
