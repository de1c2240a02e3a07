"""The schema's revisions: apply them, and tell which one is there."""

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.database import Transaction

# In Alembic's configuration: a schema of a later release is no error.
LEAVE_LATER = "leave_later"
_ROOT = Path(__file__).parents[1]


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for this database."""
    config = Config(_ROOT / "alembic.ini")
    config.set_main_option("script_location", str(_ROOT / "migrations"))
    # ConfigParser would take a % in a password for an interpolation.
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


def migrate(database_url: str) -> None:
    """Bring the schema to the newest revision; several processes may try at once.

    A schema that a later release made is left as it is: migrations only add, and what no code reads any more goes a
    release later, so that old and new processes serve side by side while they are replaced one after another.
    """
    config = alembic_config(database_url)
    config.attributes[LEAVE_LATER] = True
    command.upgrade(config, "head")


def _script() -> ScriptDirectory:
    return ScriptDirectory(str(_ROOT / "migrations"))


@cache
def newest_revision() -> str | None:
    """The revision that this code wants."""
    return _script().get_current_head()


@cache
def _known_revisions() -> frozenset[str]:
    return frozenset(script.revision for script in _script().walk_revisions())


def is_served(revision: str | None) -> bool:
    """Whether this code can serve a schema of this revision: the one that it wants, or one of a later release."""
    return revision is not None and (revision == newest_revision() or is_later(revision))


def is_later(revision: str) -> bool:
    """Whether a release after this one made it: nobody else makes revisions that this code does not know."""
    return revision not in _known_revisions()


async def current_revision(tx: Transaction) -> str | None:
    """The revision that the database has."""
    row = (await tx.execute(sa.text("SELECT version_num FROM alembic_version"))).one_or_none()
    return str(row[0]) if row else None
