"""The schema's revisions: apply them, and tell which one is there."""

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.database import Transaction

_ROOT = Path(__file__).parents[1]


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for this database."""
    config = Config(_ROOT / "alembic.ini")
    config.set_main_option("script_location", str(_ROOT / "migrations"))
    # ConfigParser would take a % in a password for an interpolation.
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


def migrate(database_url: str) -> None:
    """Bring the schema to the newest revision; several processes may try at once."""
    command.upgrade(alembic_config(database_url), "head")


@cache
def newest_revision() -> str | None:
    """The revision that this code wants."""
    return ScriptDirectory(str(_ROOT / "migrations")).get_current_head()


async def current_revision(tx: Transaction) -> str | None:
    """The revision that the database has."""
    row = (await tx.execute(sa.text("SELECT version_num FROM alembic_version"))).one_or_none()
    return str(row[0]) if row else None
