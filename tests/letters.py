"""Letters that a server sent: what they hold, and what became of them."""

import re
from email.message import EmailMessage

from tests.front_channel import change
from tests.support.world import World

MAIL_FROM = "door@example.com"
LINK = re.compile(r"^http://localhost:8000(/link/ost_link_[\w-]{43})\r?$", re.MULTILINE)


def link_in(letter: EmailMessage) -> str:
    """The path of the one link in a letter."""
    (path,) = LINK.findall(letter.get_content())
    return str(path)


async def letters_on_record(world: World) -> list[tuple[str, str | None]]:
    """What became of letters."""
    statement = "SELECT event, reason FROM audit_events WHERE event LIKE 'mail.%' ORDER BY id"
    return [(row["event"], row["reason"]) for row in await world.rows(statement)]


async def confirm(world: World, *usernames: str) -> None:
    """Let the addresses of these people count as confirmed."""
    for username in usernames:
        statement = "UPDATE users SET email_verified_at = created_at WHERE username = :username"
        await change(world, statement, username=username)
