"""What an app will have once a person says yes: what it asks for now, and what this person allowed it before.

A client that steps up may ask for the difference alone (MCP authorization, Step-Up Authorization Flow: the union is
its own task, and not every client does it). If it got just that, its next call would lack what it had, and it would
ask again without end. So the person is asked for both together, and sees both. Who asks for nothing but who signs in
gets just that; and `openid` is no permission that lasts, but a word about this request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.audit import Origin, record
from app.authorization_server import grant_store
from app.authorization_server.authorization import known_scopes
from app.authorization_server.policy import Policy
from app.authorization_server.records import ResourceOwner
from app.database import Transaction
from app.oauth.scopes import (
    IDENTITY_SCOPES,
    OFFLINE_ACCESS,
    OPENID,
    for_person,
    format_scope,
    parse_scope,
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is put before a person.

    Args:
        scopes: all that the app will have, in the catalogue's order.
        held: those of them that this person allowed it before, on a grant that still holds.
        withheld: what it asked for and this person can't allow.
    """

    scopes: tuple[str, ...]
    held: frozenset[str]
    withheld: tuple[str, ...]

    @property
    def added(self) -> tuple[str, ...]:
        """What is new to someone who allowed this app something before; nothing at the first time."""
        return tuple(name for name in self.scopes if name not in self.held) if self.held else ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left that could be allowed."""
        return bool(self.withheld) and set(self.scopes) <= {OFFLINE_ACCESS}


async def propose(
    tx: Transaction,
    policy: Policy,
    owner: ResourceOwner,
    client_id: str,
    resource: str,
    scope: str,
    now: datetime,
) -> Proposal:
    """Find out what to ask this person, given the scope that was parked."""
    asked = parse_scope(scope)
    granted: Sequence[str] = ()
    if OPENID not in asked or not IDENTITY_SCOPES.issuperset(asked):
        granted = await grant_store.list_live_scopes(tx, owner.id, client_id, resource, now)
    before = {name for one in granted for name in parse_scope(one)}
    together = [
        name
        for name in known_scopes(policy.find_resource(resource), policy)
        if name in asked or (name in before and name != OPENID)
    ]
    scopes = for_person(together, owner.is_admin, policy.catalogue)
    return Proposal(
        scopes=scopes,
        held=frozenset(before.intersection(scopes)),
        withheld=tuple(name for name in asked if name not in scopes),
    )


async def record_step_up(
    tx: Transaction, proposal: Proposal, user_id: str, client_id: str, reference: str, origin: Origin
) -> None:
    """Keep on record what more an app may do than before (MCP security best practices, Scope Minimization)."""
    if proposal.added:
        await record(
            tx,
            "grant.stepped_up",
            origin,
            reason=format_scope(proposal.added),
            user_id=user_id,
            client_id=client_id,
            reference=reference,
        )
