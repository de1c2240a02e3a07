"""Devices that can't show a sign-in page (RFC 8628): what they ask for, and what a person answers on the page.

begin     -> DeviceCodes           the device shows the user code and starts to poll
try_code  -> Found                 a person typed the code
approve, deny                      the device's next poll learns of it

`begin` refuses, in this order:
 1. a client that did not register for this grant      unauthorized_client
 2. a resource that is none of ours                    invalid_target
 3. a scope that is malformed, or unknown altogether   invalid_scope

A user code is one of 20^8 (34.5 bits). Only people who are signed in may type one, and the wrong ones are counted over
the life of a code, for all replicas together: five of one person hit a given code with a chance of 2^-32, as RFC 8628
§5.1 asks, and a hundred of all people together with 2^-27.9. Whoever hits one gets nothing: they would let a stranger's
device into their own account.
"""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.audit import Origin, count_events, record
from app.authorization_server import device_store, grant_store, store
from app.authorization_server.authentication import SignIn
from app.authorization_server.authorization import (
    UnknownClient,
    choose_resource,
    choose_scopes,
)
from app.authorization_server.client_snapshot import snapshot_of
from app.authorization_server.decisions import AlreadyAnswered
from app.authorization_server.grants.device_code import GRANT_TYPE
from app.authorization_server.policy import Policy
from app.authorization_server.records import Answer, Client, DeviceAuthorization, Grant, ResourceOwner
from app.database import Transaction
from app.oauth.credentials import (
    DEVICE_CODE,
    USER_CODE_LENGTH,
    USER_CODE_LETTERS,
    Keys,
    mint,
    mint_id,
    mint_reference,
    mint_user_code,
)
from app.oauth.errors import AccessDenied, UnauthorizedClient
from app.oauth.parameters import Parameters
from app.oauth.scopes import format_scope

_LONGEST_TYPED = 100
_WRONG_CODE = "device.code_refused"
# Wrong codes while a code lives: of one person, and of everyone.
_MOST_OF_PERSON = 5
_MOST_OF_ALL = 100


@dataclass(frozen=True, slots=True)
class DeviceCodes:
    """What a device is told, once: its own code, and the one that it shows."""

    device_code: str
    user_code: str
    expires_in: int
    interval: int

    def body(self, policy: Policy) -> dict[str, Any]:
        """The JSON members (RFC 8628 §3.2)."""
        return {
            "device_code": self.device_code,
            "user_code": self.user_code,
            "verification_uri": verification_uri(policy),
            "verification_uri_complete": verification_uri_complete(policy, self.user_code),
            "expires_in": self.expires_in,
            "interval": self.interval,
        }


def verification_uri(policy: Policy) -> str:
    """Where people type the code."""
    return f"{policy.issuer}/device"


def verification_uri_complete(policy: Policy, user_code: str) -> str:
    """The same with the code filled in, for links and QR codes (RFC 8628 §3.3.1)."""
    return f"{verification_uri(policy)}?user_code={user_code}"


def format_user_code(user_code: str) -> str:
    """As devices show it: `WDJB-MJHT`."""
    half = USER_CODE_LENGTH // 2
    return f"{user_code[:half]}-{user_code[half:]}"


def read_user_code(typed: str) -> str | None:
    """The code that someone means, whatever its case, spaces and dashes; None when it can't be one (RFC 8628 §6.1)."""
    letters = unicodedata.normalize("NFKC", typed[:_LONGEST_TYPED]).upper()
    code = "".join(letter for letter in letters if letter in USER_CODE_LETTERS)
    return code if len(code) == USER_CODE_LENGTH else None


async def begin(
    tx: Transaction, keys: Keys, policy: Policy, client: Client, form: Parameters, origin: Origin
) -> DeviceCodes:
    """Let a device wait for someone to type its code.

    Raises:
        UnauthorizedClient, InvalidTarget, InvalidScope: as the head of this file says.
    """
    if GRANT_TYPE not in client.grant_types:
        raise UnauthorizedClient(
            "This client may not use the device authorization grant.", client_id=client.client_id
        )
    resource = choose_resource(form.all("resource"), policy)
    scopes, dropped = choose_scopes(form.get("scope"), resource, policy, client.scope)
    device_code = mint(DEVICE_CODE)
    while True:
        user_code = mint_user_code()
        waiting = DeviceAuthorization(
            device_code_hash=keys.hash(device_code),
            user_code_hash=keys.hash(user_code),
            reference=mint_reference(),
            client_id=client.client_id,
            scope=format_scope(scopes),
            dropped_scope=format_scope(dropped),
            resource=resource.url,
            interval=policy.device_poll_interval,
            source=origin.source,
            created_at=origin.now,
            expires_at=origin.now + policy.device_code_lifetime,
        )
        if await device_store.add_authorization(tx, waiting):
            break
    await record(tx, "device.asked", origin, client_id=client.client_id, reference=waiting.reference)
    lifetime = int(policy.device_code_lifetime.total_seconds())
    return DeviceCodes(device_code, format_user_code(user_code), lifetime, waiting.interval)


class WrongCode(Exception):
    """Nothing waits under this code: it is mistyped, too old, answered already, or of an app that may not ask."""


class TooManyWrongCodes(Exception):
    """No more codes are looked at until the present ones are over."""


@dataclass(frozen=True, slots=True)
class Found:
    """A user code, in the form of `read_user_code`, the device that shows it, and the client that it is."""

    user_code: str
    device: DeviceAuthorization
    client: Client


async def try_code(
    tx: Transaction, keys: Keys, policy: Policy, typed: str, owner: ResourceOwner, origin: Origin
) -> Found:
    """What a person means by the code that they typed.

    Raises:
        WrongCode: this is counted, and the same whatever the reason.
        TooManyWrongCodes: of this person, or of everyone.
    """
    # One try after another, so that many at once don't slip through.
    await tx.lock("user-codes")
    since = origin.now - policy.device_code_lifetime
    of_person = await count_events(tx, _WRONG_CODE, since, user_id=owner.id)
    if of_person >= _MOST_OF_PERSON or await count_events(tx, _WRONG_CODE, since) >= _MOST_OF_ALL:
        raise TooManyWrongCodes
    code = read_user_code(typed)
    found = await find(tx, keys, code) if code else None
    refusal = _refusal(found, origin.now)
    if found is None or refusal is not None:
        await record(tx, _WRONG_CODE, origin, outcome=AccessDenied.error, reason=refusal, user_id=owner.id)
        raise WrongCode
    return found


async def find(tx: Transaction, keys: Keys, user_code: str) -> Found | None:
    """What waits under this code, in the form of `read_user_code`, or waited."""
    device = await device_store.find_by_user_code(tx, keys.hashes(user_code))
    client = await store.find_client(tx, device.client_id) if device else None
    return Found(user_code, device, client) if device and client else None


async def approve(
    tx: Transaction,
    policy: Policy,
    shown: Found,
    owner: ResourceOwner,
    answer: Answer,
    sign_in: SignIn,
    origin: Origin,
) -> None:
    """Grant this app what the person ticked of what was shown: the answer and the grant in one transaction.

    Raises:
        AlreadyAnswered: someone answered before, or the device waited too long.
        UnknownClient: the client was disabled, deleted, withdrawn or changed meanwhile, or gave up this grant.
    """
    waiting = shown.device
    client = await store.hold_client(tx, waiting.client_id)
    refusal = _refusal_of_client(client)
    if client is None or refusal is not None:
        raise UnknownClient("The app was disabled here.", reason=refusal, client_id=waiting.client_id)
    if snapshot_of(client) != snapshot_of(shown.client):
        raise UnknownClient(
            "The app changed its description meanwhile.",
            reason="document_changed",
            client_id=waiting.client_id,
        )
    # Someone who answers in the last second still gets the device connected.
    keep_until = origin.now + policy.code_lifetime
    if not await device_store.decide(tx, waiting.device_code_hash, "approve", origin.now, keep_until):
        raise AlreadyAnswered
    grant = Grant(
        id=mint_id("grant_"),
        user_id=owner.id,
        client_id=waiting.client_id,
        resource=waiting.resource,
        scope=format_scope(answer.scopes),
        redirect_uri=None,
        reference=waiting.reference,
        created_at=origin.now,
        expires_at=origin.now + policy.lifetime_of_grant(answer.stays),
        grant_type=GRANT_TYPE,
        authenticated_at=sign_in.at,
        authentication_methods=" ".join(sign_in.methods),
        client_snapshot=snapshot_of(client, stays=answer.stays),
    )
    await grant_store.add_grant(tx, grant)
    await device_store.open_grant(tx, waiting.device_code_hash, grant.id)
    await record(
        tx,
        "grant.approved",
        origin,
        user_id=owner.id,
        client_id=client.client_id,
        grant_id=grant.id,
        reference=waiting.reference,
    )


async def deny(
    tx: Transaction, policy: Policy, waiting: DeviceAuthorization, owner: ResourceOwner, origin: Origin
) -> None:
    """Turn the device away.

    Raises:
        AlreadyAnswered: someone answered before, or the device waited too long.
    """
    keep_until = origin.now + policy.code_lifetime
    if not await device_store.decide(tx, waiting.device_code_hash, "deny", origin.now, keep_until):
        raise AlreadyAnswered
    await record(
        tx,
        "grant.denied",
        origin,
        outcome=AccessDenied.error,
        user_id=owner.id,
        client_id=waiting.client_id,
        reference=waiting.reference,
    )


def _refusal(found: Found | None, now: datetime) -> str | None:
    """Why nobody can be asked about this code."""
    if found is None:
        return "unknown_code"
    if found.device.decided_at is not None:
        return "answered_before"
    return "code_expired" if now >= found.device.expires_at else _refusal_of_client(found.client)


def _refusal_of_client(client: Client | None) -> str | None:
    """Why nobody can be asked about this client."""
    if client is None:
        return "unknown_client"
    if client.disabled_at is not None:
        return "client_disabled"
    if client.document_withdrawn_at is not None:
        return "document_gone"
    return None if GRANT_TYPE in client.grant_types else "grant_type_given_up"
