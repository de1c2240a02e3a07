"""What an operator does to people beyond making them: rights, removal, signing out; and who must stay.

Somebody who operates the server always remains, and nobody takes the right from themselves: both would be noticed too
late. Whoever changes rights waits for the others, so that two can't remove each other at once.
"""

from datetime import datetime

from app.accounts import link_store, store
from app.accounts.people import Refused
from app.accounts.records import User
from app.audit import Origin, record
from app.database import Transaction

_LOCK = "admins"


async def set_rights(
    tx: Transaction, user_id: str, origin: Origin, *, is_admin: bool, is_auditor: bool
) -> User | None:
    """Let someone operate the server, look at it, or neither; None where there is no such person.

    Raises:
        Refused: nobody would be left to operate it, or it is one's own right.
    """
    user = await _hold(tx, user_id)
    if user is None or (user.is_admin, user.is_auditor) == (is_admin, is_auditor):
        return user
    if not is_admin:
        await _check_dispensable(tx, user, origin)
    await store.set_rights(tx, user.id, is_admin=is_admin, is_auditor=is_auditor)
    right = "admin" if is_admin else "auditor" if is_auditor else "none"
    await record(tx, "user.rights_changed", origin, reason=right, user_id=user.id)
    return user


async def delete_user(tx: Transaction, user_id: str, origin: Origin) -> User | None:
    """Remove someone with sessions and sign-in methods. Revoke the grants first: they go too, and their tokens live
    on their own. None where there is no such person.

    Raises:
        Refused: as `set_rights`.
    """
    user = await _hold(tx, user_id)
    if user is None:
        return None
    await _check_dispensable(tx, user, origin)
    await store.delete_user(tx, user.id)
    await record(tx, "user.deleted", origin, user_id=user.id)
    return user


async def check_may_go(tx: Transaction, user_id: str, origin: Origin) -> User | None:
    """Before someone is disabled or removed: the person, who stays as they are until the transaction ends.

    Raises:
        Refused: as `set_rights`.
    """
    user = await _hold(tx, user_id)
    if user is not None:
        await _check_dispensable(tx, user, origin)
    return user


async def sign_out_everywhere(tx: Transaction, user: User, origin: Origin) -> None:
    """End every session of someone."""
    await store.delete_sessions_of(tx, user.id)
    await record(tx, "user.signed_out_everywhere", origin, user_id=user.id)


async def end_before(tx: Transaction, instant: datetime) -> tuple[int, int]:
    """End every session and withdraw every link that was made before an instant; how many those were."""
    return await store.delete_sessions_before(tx, instant), await link_store.withdraw_before(tx, instant)


async def _hold(tx: Transaction, user_id: str) -> User | None:
    await tx.lock(_LOCK)
    return await store.hold_user(tx, user_id)


async def _check_dispensable(tx: Transaction, user: User, origin: Origin) -> None:
    if user.id == origin.actor_id:
        raise Refused("You can’t take away your own right, or your own account: someone else has to.")
    if user.is_admin and not await store.other_admin_exists(tx, user.id):
        raise Refused(f"{user.username} is the last one who operates this server.")
