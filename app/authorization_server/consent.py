"""What an app will have once a person says yes: what it asks for now, and what this person allowed it before.

A client that steps up may ask for the difference alone (MCP authorization, Step-Up Authorization Flow: the union is
its own task, and not every client does it). If it got just that, its next call would lack what it had, and it would
ask again without end. So the person is asked for both together, and sees both. Who asks for nothing but who signs in
gets just that; and `openid` is no permission that lasts, but a word about this request.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.audit import Origin, record
from app.authorization_server import grant_store
from app.authorization_server.authorization import known_scopes
from app.authorization_server.policy import Policy
from app.authorization_server.records import Answer, ResourceOwner
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
        optional: those that the person may leave out: not what the resource needs for everything, not who signs in,
            and not what the app has already (taking that back is a matter of the account).
    """

    scopes: tuple[str, ...]
    held: frozenset[str]
    withheld: tuple[str, ...]
    optional: frozenset[str] = frozenset()

    @property
    def added(self) -> tuple[str, ...]:
        """What is new to someone who allowed this app something before; nothing at the first time."""
        return tuple(name for name in self.scopes if name not in self.held) if self.held else ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left that could be allowed."""
        return bool(self.withheld) and set(self.scopes) <= {OFFLINE_ACCESS}

    def answer(self, left_out: Collection[str]) -> Answer:
        """What the app gets when the person leaves these out, as far as they may; no scope if no permission is left."""
        without = self.optional.intersection(left_out)
        scopes = tuple(name for name in self.scopes if name not in without)
        return Answer(scopes if set(scopes) - {OFFLINE_ACCESS} else (), OFFLINE_ACCESS not in without)


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
    held = frozenset(before.intersection(scopes))
    needed = policy.find_resource(resource).required_scopes | {OPENID}
    return Proposal(
        scopes=scopes,
        held=held,
        withheld=tuple(name for name in asked if name not in scopes),
        optional=_may_be_left_out(scopes, held) - needed,
    )


def _may_be_left_out(scopes: tuple[str, ...], held: frozenset[str]) -> frozenset[str]:
    """Staying connected is the app's first wish even where its scope does not say so; what it has, it has."""
    return frozenset(scopes) - held - {OFFLINE_ACCESS} if held else frozenset((*scopes, OFFLINE_ACCESS))


async def record_step_up(
    tx: Transaction,
    proposal: Proposal,
    granted: Collection[str],
    user_id: str,
    client_id: str,
    reference: str,
    origin: Origin,
) -> None:
    """Keep on record what more an app may do than before (MCP security best practices, Scope Minimization)."""
    added = [name for name in proposal.added if name in granted]
    if added:
        await record(
            tx,
            "grant.stepped_up",
            origin,
            reason=format_scope(added),
            user_id=user_id,
            client_id=client_id,
            reference=reference,
        )
