"""`ostiary serve` and `ostiary migrate`."""

import asyncio
import logging
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import typer
import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from app import logs, migrations
from app.accounts import people, store
from app.accounts.passwords import Passwords
from app.audit import Origin
from app.authorization_server.keys import UnreadableKeys, load
from app.cli.context import settings_or_refuse
from app.cli.output import refuse
from app.clock import SystemClock
from app.connections import LimitedConnection
from app.database import Database, DatabaseUnavailable
from app.hooks import InvalidHooks, load_hooks
from app.mcp_server.endpoint import NotAServer, load_server
from app.oauth.credentials import Keys, mint_password
from app.settings import Settings, make_private_directory, share_metrics, shared_metrics, sqlite_path


def migrate() -> None:
    """Bring the database's schema to the newest revision."""
    with _one_sentence():
        _migrate(settings_or_refuse())
    typer.echo("The schema is up to date.")


def serve() -> None:
    """Migrate, create the first admin if there is none, and serve."""
    settings = settings_or_refuse()
    logs.configure(settings.log_level, settings.log_format)
    _check_port(settings)
    with _one_sentence():
        for server in (settings.mcp_server, *(entry.server for entry in settings.resources if entry.server)):
            load_server(server)
        load_hooks(settings.hooks)
        _migrate(settings)
        password = asyncio.run(_prepare(settings))
    _greet(settings, password)
    with _shared_metrics(settings):
        _run(settings)


def _run(settings: Settings) -> None:
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        # The application reads the proxy's headers itself, so that every way to start it behaves the same.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        http=LimitedConnection,
        # There are none; an upgrade is answered as if nobody had asked for it.
        ws="none",
        # Longer than proxies keep a connection to us (nginx 60 seconds): who closes first must be the proxy, or a
        # request may meet a connection that we close at this moment.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.stop_seconds,
    )


def _check_port(settings: Settings) -> None:
    """Find out before anything is made or told whether the address is free."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            refuse(f"{settings.host} port {settings.port} can't be listened on: {error.strerror or error}.")


def _migrate(settings: Settings) -> None:
    path = sqlite_path(settings.database_url)
    if path is not None:
        make_private_directory(path.parent)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    migrations.migrate(settings.database_url)


async def _prepare(settings: Settings) -> tuple[str, str | None] | None:
    """Make the first signing key and the first admin; returns the admin's name and printable password, if made."""
    database = Database(settings.database_url, 2)
    passwords = Passwords()
    try:
        origin = Origin(SystemClock().now(), "cli")
        await load(database, Keys(settings.secret_key, settings.secret_key_previous), origin.now)
        async with database.reading() as tx:
            if await store.admin_exists(tx):
                return None
        username = settings.bootstrap_admin_username
        password = settings.bootstrap_admin_password or mint_password()
        if username is None and not settings.on_loopback:
            return None
        new = people.NewUser(username or "admin", password, is_admin=True)
        async with database.transaction() as tx:
            made = await people.create_first_admin(tx, passwords, new, origin)
        if made is None:
            return None
        return made.username, None if settings.bootstrap_admin_password else password
    finally:
        passwords.close()
        await database.close()


def _greet(settings: Settings, admin: tuple[str, str | None] | None) -> None:
    """What a person needs to know at the first start; one line at every later one."""
    if admin is None:
        typer.echo(f"Ostiary serves {settings.public_url}")
        return
    name, password = admin
    typer.echo("\nOstiary is ready.\n")
    typer.echo(f"  Sign-in name   {name}")
    if password is not None:
        typer.echo(f"  Password       {password}     (shown only now)")
    typer.echo(f"\n  Info page      {settings.public_url}/")
    typer.echo(f"  MCP endpoint   {settings.resource}")
    typer.echo(
        "  Try it         npx @modelcontextprotocol/inspector --web --transport http"
        f" --server-url {settings.resource}\n"
    )


@contextmanager
def _shared_metrics(settings: Settings) -> Iterator[None]:
    """A place where the workers of one server count together, if there are several and the operator named none."""
    if settings.workers == 1 or shared_metrics():
        yield
        return
    try:
        directory = tempfile.TemporaryDirectory(prefix="ostiary-metrics-")
    except OSError:
        refuse(
            "WORKERS above 1 asks for a directory for temporary files that can be written to (TMPDIR), where the"
            " workers count together for /metrics."
        )
    with directory as name:
        share_metrics(name)
        yield


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn what can be wrong at start into a sentence and exit code 1."""
    try:
        yield
    except (people.Refused, UnreadableKeys, NotAServer, InvalidHooks) as error:
        refuse(str(error))
    except (DatabaseUnavailable, SQLAlchemyError, OSError) as error:
        refuse(
            f"The database can't be used: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        )
