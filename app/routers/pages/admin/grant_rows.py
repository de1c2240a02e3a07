"""Grants as rows of a table, with the people who allowed them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.authorization_server.grant_search import ListedGrant
from app.authorization_server.records import Grant
from app.database import Transaction
from app.routers.pages.admin.clients import client_page
from app.routers.pages.admin.timeline import people_by_id
from app.routers.pages.guards import Person


async def grant_rows(
    tx: Transaction, person: Person, listed: Sequence[ListedGrant]
) -> list[Mapping[str, Any]]:
    """What the tables of grants show of each."""
    who = await people_by_id(tx, {one.grant.user_id for one in listed if one.grant.user_id})
    return [
        {
            "grant": one.grant,
            "client_name": one.client_name,
            "client_url": client_page(person, one.grant.client_id),
            "user": who.get(one.grant.user_id or ""),
            "state": state_of(one.grant, person.origin.now),
        }
        for one in listed
    ]


def state_of(grant: Grant, now: datetime) -> tuple[str, str]:
    """How a grant stands: the look of its pill, and the words in it."""
    if grant.revoked_at is not None:
        return "bad", f"revoked: {grant.revoked_because}"
    if now >= grant.expires_at:
        return "off", "ended"
    return ("ok", "live") if grant.last_issued_at is not None else ("waiting", "approved, no token yet")
