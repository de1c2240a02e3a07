"""A person takes back a part of what an app may do.

Refuses, in this order:
 1. to leave an app without any permission: that is to disconnect it    NothingLeft
 2. an app that has nothing of this person's at this resource          (False)

What changes is the grant itself, in place, so that everything that hangs on it goes on with less: its refresh tokens
with their retry window and their reuse detection, codes that wait, devices that poll. Access tokens that say more than
is left are dead on the next call: every token names the edition of its grant, and an edition that is over is revoked
as a grant is, in the memory of each process.
A refresh at the same time waits for the lock on the grant, or is waited for: it issues what is left, or its token is
of the edition that ends. A client that refreshes with the scope that it was once given gets what is left of it (RFC
6749 §6 lets it ask for all that was originally granted). More comes back through the question alone.
Without staying connected there is no refresh; what the app holds works to its end, and the grant ends with it.
"""

from collections.abc import Collection
from dataclasses import replace

from app.audit import Origin, record
from app.authorization_server import grant_store, store
from app.authorization_server.client_snapshot import may_stay, snapshot_of
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client, Grant
from app.authorization_server.revocation import MARGIN, revoke_grant
from app.database import Transaction
from app.oauth.editions import edition_of
from app.oauth.scopes import OFFLINE_ACCESS, format_scope, parse_scope


class NothingLeft(Exception):
    """Nothing would be left; the person is to disconnect the app instead."""


async def narrow(
    tx: Transaction,
    policy: Policy,
    user_id: str,
    client_id: str,
    resource: str,
    taken: Collection[str],
    origin: Origin,
) -> bool:
    """Take these scopes back from every live grant of a person to a client at a resource.

    A grant that has nothing but these is revoked. `offline_access` among them takes back that it stays connected,
    wherever its scope says so. Locks the client before its grants, as whoever disables or removes it; the caller
    holds the person.

    Raises:
        NothingLeft: see above; nothing was changed.
    """
    client = await store.hold_client(tx, client_id)
    found = await grant_store.lock_live_grants(tx, user_id, client_id, resource, origin.now)
    if client is None or not found:
        return False
    narrowed = [(grant, _narrowed(policy, client, grant, frozenset(taken), origin)) for grant in found]
    if not any(_permissions(after) for _, after in narrowed):
        raise NothingLeft
    changed = [(before, after) for before, after in narrowed if after != before]
    for before, after in changed:
        if _permissions(after):
            await _change(tx, policy, before, after, origin)
        else:
            await revoke_grant(tx, policy, before.id, "person", origin)
    return bool(changed)


def _permissions(grant: Grant) -> frozenset[str]:
    return frozenset(parse_scope(grant.scope)) - {OFFLINE_ACCESS}


def _narrowed(policy: Policy, client: Client, grant: Grant, taken: frozenset[str], origin: Origin) -> Grant:
    """The grant with less; the same when it has nothing of what is taken back."""
    held = parse_scope(grant.scope)
    left = tuple(name for name in held if name not in taken)
    lost = tuple(name for name in held if name in taken)
    if set(lost) - {OFFLINE_ACCESS}:
        grant = replace(grant, edition=grant.edition + 1)
    if lost:
        before = parse_scope(grant.taken_back)
        grant = replace(
            grant, scope=format_scope(left), taken_back=format_scope(dict.fromkeys((*before, *lost)))
        )
    if OFFLINE_ACCESS in taken and may_stay(client, grant.client_snapshot):
        ends = min(grant.expires_at, origin.now + policy.access_token_lifetime)
        grant = replace(grant, client_snapshot=snapshot_of(client, stays=False), expires_at=ends)
    return grant


async def _change(tx: Transaction, policy: Policy, before: Grant, after: Grant, origin: Origin) -> None:
    await grant_store.change_grant(tx, after)
    if after.edition != before.edition:
        over = edition_of(before.id, before.edition)
        keep_until = origin.now + policy.longest_access_token_lifetime + MARGIN
        await grant_store.add_revocations(tx, "grant", [over], origin.now, keep_until)
    lost = [name for name in parse_scope(before.scope) if name not in parse_scope(after.scope)]
    await record(
        tx,
        "grant.narrowed",
        origin,
        reason=format_scope(lost or [OFFLINE_ACCESS]),
        user_id=before.user_id,
        client_id=before.client_id,
        grant_id=before.id,
        reference=before.reference,
    )
