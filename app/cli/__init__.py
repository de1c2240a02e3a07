"""The command line: `ostiary`, also `python -m app`.

Exit code 0 when it worked, 1 when it was refused (one sentence on stderr), 2 for wrong usage.
"""

import logging

import typer

from app.cli import (
    audit,
    client_creation,
    clients,
    doctor,
    grants,
    initial_access_tokens,
    keys,
    purge,
    selftest,
    serve,
    user_links,
    users,
)

cli = typer.Typer(
    name="ostiary",
    help="The doorkeeper for MCP servers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.command()(serve.serve)
cli.command()(serve.migrate)
cli.command()(purge.purge)
cli.command()(audit.audit)
cli.command()(doctor.doctor)
cli.command()(selftest.selftest)
cli.add_typer(users.commands, name="users")
users.commands.command("invite")(user_links.invite)
users.commands.command("reset-link")(user_links.reset_link)
cli.add_typer(clients.commands, name="clients")
clients.commands.command("create")(client_creation.create)
clients.commands.command("rotate-secret")(client_creation.rotate_secret)
cli.add_typer(grants.commands, name="grants")
cli.add_typer(keys.commands, name="keys")
cli.add_typer(initial_access_tokens.commands, name="initial-access-tokens")


def main() -> None:
    """Entry point of the `ostiary` script."""
    # Commands answer in one sentence; only `serve` has a log, and gives it a place of its own.
    logging.getLogger("app").addHandler(logging.NullHandler())
    cli()
