"""How the server is, as far as the process that is asked can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from fastapi import Request

from app import __version__
from app.authorization_server import keys, store
from app.database import Transaction
from app.migrations import current_revision, is_later, is_served, newest_revision
from app.resource_server.revocations import FRESH_FOR
from app.routers.pages.words import duration
from app.routers.services import Services


@dataclass(frozen=True, slots=True)
class Fact:
    """Something about the server; `problem` tells in a sentence what is wrong with it, if anything is."""

    label: str
    value: str
    problem: str | None = None


async def read_health(http: Request, tx: Transaction, services: Services, now: datetime) -> Sequence[Fact]:
    """What an operator looks at first when something is wrong."""
    return [
        Fact("Version", __version__),
        await _database(tx, services),
        await _schema(tx),
        await _signing_key(tx, now),
        _revocations(http, now),
        _connections(services),
    ]


async def _database(tx: Transaction, services: Services) -> Fact:
    if services.database.is_sqlite:
        version = (await tx.execute(sa.select(sa.func.sqlite_version()))).scalar_one()
        return Fact("Database", f"SQLite {version}")
    version = (await tx.execute(sa.text("SHOW server_version"))).scalar_one()
    return Fact("Database", f"PostgreSQL {version.split()[0]}")


async def _schema(tx: Transaction) -> Fact:
    current = await current_revision(tx)
    if not is_served(current):
        return Fact(
            "Schema", current or "none", f"This version wants {newest_revision()}: run ostiary migrate."
        )
    return Fact("Schema", f"{current}, of a later version" if is_later(current or "") else str(current))


async def _signing_key(tx: Transaction, now: datetime) -> Fact:
    signing = [key for key in await store.list_signing_keys(tx) if keys.state_of(key, now) == "signing"]
    if not signing:
        return Fact("Signing key", "none", "No key signs: run ostiary keys rotate.")
    return Fact("Signing key", f"signs for {duration(now - signing[0].begins_at)}")


def _revocations(http: Request, now: datetime) -> Fact:
    read_at = http.app.state.revocations.known_at
    late = read_at is None or now - read_at > FRESH_FOR
    problem = "They can’t be read: each call asks the database." if late else None
    return Fact("Revocations", f"read {duration(now - read_at)} ago" if read_at else "not read yet", problem)


def _connections(services: Services) -> Fact:
    return Fact("Connections of this process", services.database.describe_connections())
