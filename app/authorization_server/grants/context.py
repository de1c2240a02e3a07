"""What every grant type works with."""

from collections.abc import Callable
from dataclasses import dataclass

from app.audit import Origin
from app.authorization_server.authorization import FindResourceOwner
from app.authorization_server.client_snapshot import is_weaker
from app.authorization_server.keys import SigningKeys
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client, Grant, ResourceOwner
from app.authorization_server.vouching import FindVouched
from app.database import Transaction
from app.hooks import NO_HOOKS, Hooks
from app.oauth.assertions import KeySet
from app.oauth.credentials import Keys
from app.oauth.errors import InvalidGrant


@dataclass(frozen=True, slots=True)
class TokenContext:
    """One token request: its transaction and origin, and the server's keys and choices.

    `proof_key` is the thumbprint of the key that the caller proved to hold (RFC 9449 §4.3); None without a proof.
    """

    tx: Transaction
    origin: Origin
    keys: Keys
    signing_keys: SigningKeys
    policy: Policy
    find_owner: FindResourceOwner
    grant_type: str
    find_vouched: FindVouched
    # The keys at a URL as they were read before this transaction began; None where there are none.
    known_keys: Callable[[str], KeySet | None]
    proof_key: str | None = None
    hooks: Hooks = NO_HOOKS


async def live_owner(context: TokenContext, client: Client, grant: Grant, description: str) -> ResourceOwner:
    """The person behind a grant that still holds.

    Raises:
        InvalidGrant: the client authenticated when it was allowed and no longer does, the grant is revoked or over,
            or the person was disabled or deleted.
    """
    if is_weaker(client, grant.client_snapshot):
        raise InvalidGrant(
            description, reason="client_weakened", client_id=client.client_id, grant_id=grant.id
        )
    owner = await context.find_owner(context.tx, grant.user_id) if grant.user_id is not None else None
    if not grant.is_live(context.origin.now) or owner is None:
        raise InvalidGrant(
            description, reason="grant_not_live", client_id=client.client_id, grant_id=grant.id
        )
    return owner
