"""`ostiary clients create` and `rotate-secret`"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.authorization_server import manual_clients
from app.authorization_server.registration import Registered
from app.cli.clients import ClientArgument
from app.cli.context import Command, run
from app.cli.output import JsonOption, refuse, show_one
from app.configuration import policy_of
from app.oauth.errors import OAuthError


def create(
    name: Annotated[str, typer.Argument(help="Name to show to people.")],
    redirect_uri: Annotated[list[str] | None, typer.Option(help="Where answers may go; repeat it.")] = None,
    auth_method: Annotated[
        str, typer.Option(help="How it authenticates: none, client_secret_basic, private_key_jwt …")
    ] = "client_secret_basic",
    grant_type: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may use; repeat it. Without: what fits, by whether there are redirect URIs."
        ),
    ] = None,
    scope: Annotated[str | None, typer.Option(help="Scopes that it is meant for.")] = None,
    jwks: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="File with its public keys, as a JWK set."),
    ] = None,
    jwks_uri: Annotated[str | None, typer.Option(help="Address at which it publishes its keys.")] = None,
    introspects: Annotated[
        list[str] | None, typer.Option(help="A resource whose tokens it may ask about; repeat it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a client; its secret, if it has one, is printed once."""
    grants = ["authorization_code", "refresh_token"] if redirect_uri else ["client_credentials"]
    metadata = {
        "client_name": name,
        "redirect_uris": redirect_uri or None,
        "token_endpoint_auth_method": auth_method,
        "grant_types": grant_type or grants,
        "scope": scope,
        "jwks": _read(jwks) if jwks else None,
        "jwks_uri": jwks_uri,
    }

    async def action(command: Command) -> Registered:
        policy = policy_of(command.settings)
        async with command.transaction() as tx:
            return await manual_clients.create(
                tx, command.keys, policy, metadata, introspects or (), command.origin()
            )

    try:
        made = run(action)
    except OAuthError as error:
        refuse(error.description)
    show_one(_told(made), as_json)


def rotate_secret(client_id: ClientArgument, as_json: JsonOption = False) -> None:
    """Give a client another secret, which is printed once; the old one stops working at once."""

    async def action(command: Command) -> Registered | None:
        policy = policy_of(command.settings)
        async with command.transaction() as tx:
            return await manual_clients.rotate_secret(tx, command.keys, policy, client_id, command.origin())

    try:
        changed = run(action)
    except OAuthError as error:
        refuse(error.description)
    if changed is None:
        refuse(f"There is no client {client_id}.")
    show_one(_told(changed), as_json)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        refuse(f"{path} is not JSON.")


def _told(registered: Registered) -> dict[str, Any]:
    """What is configured in the client, in the words of RFC 7591."""
    return {name: value for name, value in registered.response("").items() if name != "client_id_issued_at"}
