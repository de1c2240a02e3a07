"""People whom another provider vouches for: OpenID Connect Core §3.1, and who they are here.

A browser is sent away with a state of its own, and is expected back within ten minutes. Refused, in this order:

 1. a state that this browser was not given for this provider, or used, or too old   state_unknown
 2. (linking) an identity that is somebody else's here                               identity_taken
 3. a person who is disabled                                                         user_disabled
 4. nobody here has this identity, nor the one address that both sides verified      not_known_here
 5. an address whose domain is not welcome                                           domain_not_welcome
 6. an address that somebody here has already                                        address_taken
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from app.accounts import identities, store, upstream_store
from app.accounts.records import Identity, UpstreamSignIn, User
from app.audit import Origin, record
from app.database import Transaction
from app.oauth import jwt
from app.oauth.credentials import Keys, TokenHash, mint

WITHIN = timedelta(minutes=10)
# Of one browser; when there are more, the oldest is forgotten.
_MOST_AWAY = 5
_PURPOSE = "upstream"
_LONGEST_ADDRESS = 254


@dataclass(frozen=True, slots=True)
class Ticket:
    """What goes along to the provider: `state` and `nonce` come back, `verifier` (PKCE) stays until then."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom a provider vouches for: `subject` is what it calls them for ever, the rest may change."""

    issuer: str
    subject: str
    email: str | None = None
    email_verified: bool = False
    username: str | None = None
    name: str | None = None

    @property
    def verified_email(self) -> str | None:
        """The address, if the provider says that it is theirs."""
        email = self.email
        usable = email is not None and email.isprintable() and 2 < len(email) <= _LONGEST_ADDRESS
        return email if usable and self.email_verified else None


@dataclass(frozen=True, slots=True)
class Welcome:
    """Who may come: `sign_up` for people without an account; `email_domains` (lower case), empty for any."""

    sign_up: bool = False
    email_domains: Collection[str] = ()


class Refused(Exception):
    """The provider's word is good for nothing here; `reason` is a slug for the audit record."""

    def __init__(self, reason: str, user_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.user_id = user_id


class OnlyWayIn(Exception):
    """Without this identity the person could not sign in any more."""


async def begin(
    tx: Transaction,
    keys: Keys,
    browser_id: str,
    provider: str,
    onward: str,
    origin: Origin,
    user_id: str | None = None,
) -> Ticket:
    """Expect this browser back from a provider.

    Args:
        onward: what comes after it, as the query of the sign-in page.
        user_id: who links the identity to their account; None at a sign-in.
    """
    ticket = Ticket(mint(""), mint(""), mint(""))
    sign_in = UpstreamSignIn(
        state_hash=keys.hash(ticket.state),
        browser_hash=keys.hash(browser_id),
        provider=provider,
        nonce=ticket.nonce,
        verifier_sealed=jwt.seal(ticket.verifier, keys.encryption_keys(_PURPOSE)[0]),
        onward=onward,
        created_at=origin.now,
        expires_at=origin.now + WITHIN,
        user_id=user_id,
    )
    await upstream_store.add_sign_in(tx, sign_in)
    await upstream_store.drop_older_sign_ins(tx, sign_in, _MOST_AWAY - 1)
    return ticket


async def take(
    tx: Transaction,
    keys: Keys,
    state: str,
    browser_hashes: Collection[TokenHash],
    provider: str,
    origin: Origin,
) -> tuple[UpstreamSignIn, Ticket]:
    """What a browser that is back began; good once.

    Raises:
        Refused: state_unknown.
    """
    found = await upstream_store.take_sign_in(tx, keys.hashes(state), browser_hashes, provider)
    if found is None or origin.now >= found.expires_at:
        raise Refused("state_unknown")
    verifier = jwt.unseal(found.verifier_sealed, keys.encryption_keys(_PURPOSE))
    return found, Ticket(state, found.nonce, verifier)


async def find_person(tx: Transaction, vouched: Vouched, welcome: Welcome, origin: Origin) -> User:
    """The person here: who has this identity, else the one whose verified address it is, else somebody new.

    Raises:
        Refused
    """
    await tx.lock(f"identity {vouched.issuer} {vouched.subject}")
    known = await store.find_identity(tx, vouched.issuer, vouched.subject)
    if known is not None:
        await store.note_identity_used(tx, known, origin.now)
        return await _hold(tx, known.user_id)
    email = vouched.verified_email
    if email is None:
        raise Refused("not_known_here")
    if welcome.email_domains and email.rpartition("@")[2].lower() not in welcome.email_domains:
        raise Refused("domain_not_welcome")
    await tx.lock(f"address {email.lower()}")
    same = await store.find_users_by_email(tx, email)
    if same:
        # An address that nobody verified here is whatever somebody typed: its owner must not end in that account.
        if len(same) > 1 or same[0].email_verified_at is None:
            raise Refused("address_taken")
        user = await _hold(tx, same[0].id)
    elif welcome.sign_up:
        user = await _sign_up(tx, vouched, origin)
    else:
        raise Refused("not_known_here")
    await _add(tx, user, vouched, origin)
    return user


async def link(tx: Transaction, user_id: str, vouched: Vouched, origin: Origin) -> None:
    """Let someone who is signed in sign in with this identity from now on.

    Raises:
        Refused: identity_taken, user_disabled.
    """
    await tx.lock(f"identity {vouched.issuer} {vouched.subject}")
    known = await store.find_identity(tx, vouched.issuer, vouched.subject)
    user = await _hold(tx, user_id)
    if known is None:
        await _add(tx, user, vouched, origin)
    elif known.user_id != user_id:
        raise Refused("identity_taken", user_id)


async def unlink(
    tx: Transaction, user: User, issuer: str, subject: str, passkeys: int, others: int, origin: Origin
) -> None:
    """Forget an identity of theirs; one that is not theirs stays as it is.

    Args:
        passkeys, others: how many passkeys they have, and further identities with which they can sign in.

    Raises:
        OnlyWayIn
    """
    if user.password_hash is None and not passkeys and not others:
        raise OnlyWayIn
    if await upstream_store.delete_identity(tx, user.id, issuer, subject):
        await record(tx, "user.unlinked", origin, reason=issuer, user_id=user.id)


async def _hold(tx: Transaction, user_id: str) -> User:
    user = await store.hold_user(tx, user_id)
    if user is None or user.disabled_at is not None:
        raise Refused("user_disabled", user_id)
    return user


async def _sign_up(tx: Transaction, vouched: Vouched, origin: Origin) -> User:
    claims = {
        "email": vouched.email,
        "email_verified": vouched.email_verified,
        "preferred_username": vouched.username,
        "name": vouched.name,
    }
    user = await identities.create_user(tx, claims, origin)
    await store.set_email(tx, user.id, user.email or "", origin.now)
    return replace(user, email_verified_at=origin.now)


async def _add(tx: Transaction, user: User, vouched: Vouched, origin: Origin) -> None:
    await store.add_identity(tx, Identity(vouched.issuer, vouched.subject, user.id, origin.now, origin.now))
    await record(tx, "user.linked", origin, reason=vouched.issuer, user_id=user.id)
