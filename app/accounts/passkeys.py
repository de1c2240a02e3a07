"""Passkeys (WebAuthn Level 3): made by people who are signed in, and used to sign in, alone or after a password.

Refuses an answer of a browser, in this order:
 1. one that is no credential in JSON, or was made inside a page of somebody else       malformed
 2. a challenge that was not made here for this browser, purpose and person, or is old  challenge
 3. at a sign-in: a passkey that is not known, is someone else's, or names another      unknown_passkey
 4. another origin, another server, nobody present or recognised, a signature that is   not_verified
    not right, at registration an attestation of a kind that nobody asked for
 5. a challenge that was answered before                                                answered_before
 6. at registration: a passkey that is known already; at a sign-in: a counter that      known_passkey,
    did not go up, as a copy of the key would show it (§7.2, step 22)                   sign_count
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json_dict,
    parse_attestation_object,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationFormat,
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from app.accounts import factor_store, store
from app.accounts.records import Passkey, PasskeyChallenge, User
from app.audit import Origin, record
from app.database import Transaction
from app.oauth.credentials import Keys, mint

MOST = 20
LONGEST_NAME = 60
_ANSWER_WITHIN = timedelta(minutes=10)
_LONGEST_ID = 1023  # bytes (WebAuthn §4, Credential ID)
# What the library raises about bytes that are not what they should be, besides its own errors.
_UNREADABLE = (WebAuthnException, ValueError, TypeError, LookupError, AttributeError, RecursionError)


class Refused(Exception):
    """A passkey is not taken; `reason` is for the record."""

    def __init__(self, reason: str, user_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.user_id = user_id


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """This server as browsers know it: the host to which passkeys belong, and the origin of our pages."""

    id: str
    origin: str


class Purpose(StrEnum):
    """What a passkey is asked for."""

    REGISTER = "register"
    SIGN_IN = "sign_in"
    SECOND_FACTOR = "second_factor"


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What a challenge is bound to: a browser, a purpose, and a person where one is known already."""

    purpose: Purpose
    browser_id: str
    user_id: str | None = None


def make_challenge(keys: Keys, ceremony: Ceremony, now: datetime) -> bytes:
    """What a browser is to sign within ten minutes. It vouches for itself, and nothing is stored until it is answered:
    a sign-in page costs a stranger's visit no row.
    """
    body = f"{int((now + _ANSWER_WITHIN).timestamp())}.{mint('')}"
    return f"{body}.{_tags(keys, ceremony, body)[0]}".encode()


def registration_options(
    keys: Keys, party: RelyingParty, ceremony: Ceremony, user: User, known: Sequence[Passkey], now: datetime
) -> dict[str, Any]:
    """What `navigator.credentials.create()` is asked for: a passkey that names its owner and recognises them."""
    options = generate_registration_options(
        rp_id=party.id,
        rp_name=party.id,
        user_id=user.id.encode(),
        user_name=user.username,
        user_display_name=user.name,
        challenge=make_challenge(keys, ceremony, now),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=_descriptors(known),
    )
    return options_to_json_dict(options)


def request_options(
    keys: Keys, party: RelyingParty, ceremony: Ceremony, known: Sequence[Passkey], now: datetime
) -> dict[str, Any]:
    """What `navigator.credentials.get()` is asked for; without `known` passkeys, one that the person chooses."""
    alone = ceremony.purpose is Purpose.SIGN_IN
    options = generate_authentication_options(
        rp_id=party.id,
        challenge=make_challenge(keys, ceremony, now),
        allow_credentials=_descriptors(known),
        user_verification=UserVerificationRequirement.REQUIRED
        if alone
        else UserVerificationRequirement.PREFERRED,
    )
    return options_to_json_dict(options)


async def register(
    tx: Transaction,
    keys: Keys,
    party: RelyingParty,
    ceremony: Ceremony,
    answer: str,
    name: str,
    origin: Origin,
) -> Passkey:
    """Store the passkey that a browser made for whom the ceremony names.

    Raises:
        Refused: as the head of this file says.
    """
    credential = _read_registration(answer)
    challenge = _check_challenge(keys, ceremony, credential.response.client_data_json, origin.now)
    verified = _verify_registration(party, credential, challenge)
    # A sign-in beside this is over before, or asks for the passkey.
    await store.hold_user(tx, ceremony.user_id or "")
    await _spend(tx, keys, ceremony, challenge, origin.now)
    passkey = Passkey(
        credential_id=bytes_to_base64url(verified.credential_id),
        user_id=ceremony.user_id or "",
        public_key=bytes_to_base64url(verified.credential_public_key),
        sign_count=verified.sign_count,
        name=checked_name(name) or "Passkey",
        transports=[transport.value for transport in credential.response.transports or ()],
        aaguid=verified.aaguid,
        is_backed_up=verified.credential_backed_up,
        created_at=origin.now,
    )
    if not await factor_store.add_passkey(tx, passkey):
        raise Refused("known_passkey", ceremony.user_id)
    await record(tx, "passkey.added", origin, user_id=passkey.user_id)
    return passkey


async def authenticate(
    tx: Transaction, keys: Keys, party: RelyingParty, ceremony: Ceremony, answer: str, origin: Origin
) -> Passkey:
    """The passkey with which a browser answered, as it was before; whose it is may sign in, if they may at all.

    Raises:
        Refused: as the head of this file says.
    """
    credential = _read_authentication(answer)
    challenge = _check_challenge(keys, ceremony, credential.response.client_data_json, origin.now)
    passkey = await factor_store.find_passkey(tx, bytes_to_base64url(credential.raw_id))
    if passkey is None or ceremony.user_id not in {None, passkey.user_id}:
        raise Refused("unknown_passkey", ceremony.user_id)
    named = credential.response.user_handle
    alone = ceremony.purpose is Purpose.SIGN_IN
    if (named is not None or alone) and named != passkey.user_id.encode():
        raise Refused("unknown_passkey", ceremony.user_id)
    verified = _verify_authentication(party, credential, challenge, passkey, alone)
    await _spend(tx, keys, ceremony, challenge, origin.now)
    if not await factor_store.use_passkey(
        tx, passkey.credential_id, verified.new_sign_count, verified.credential_backed_up, origin.now
    ):
        raise Refused("sign_count", passkey.user_id)
    return passkey


async def rename(tx: Transaction, user_id: str, credential_id: str, name: str, origin: Origin) -> bool:
    """Call a passkey otherwise; False when it is not theirs, or the name is none."""
    checked = checked_name(name)
    if not checked or not await factor_store.rename_passkey(tx, user_id, credential_id, checked):
        return False
    await record(tx, "passkey.renamed", origin, user_id=user_id)
    return True


async def remove(tx: Transaction, user_id: str, credential_id: str, origin: Origin) -> bool:
    """Forget a passkey; False when it is not theirs."""
    if not await factor_store.delete_passkey(tx, user_id, credential_id):
        return False
    await record(tx, "passkey.removed", origin, user_id=user_id)
    return True


def checked_name(name: str) -> str:
    """A name for a passkey, cut to its length; empty when nothing of it can be shown."""
    name = " ".join(name.split())[:LONGEST_NAME].strip()
    return name if name.isprintable() else ""


def method_of(passkey: Passkey) -> str:
    """How RFC 8176 §2 calls it: a key that stays in its device, or one that is copied to others."""
    return "swk" if passkey.is_backed_up else "hwk"


def _descriptors(passkeys: Sequence[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(
            id=base64url_to_bytes(passkey.credential_id),
            transports=[AuthenticatorTransport(name) for name in passkey.transports],
        )
        for passkey in passkeys
    ]


def _tags(keys: Keys, ceremony: Ceremony, body: str) -> list[str]:
    message = json.dumps([ceremony.purpose, ceremony.browser_id, ceremony.user_id, body]).encode()
    return [
        hmac.digest(key, message, hashlib.sha256).hex()
        for key in keys.authentication_keys("passkey-challenge")
    ]


def _read_registration(answer: str) -> RegistrationCredential:
    try:
        credential = parse_registration_credential_json(answer)
        attestation = parse_attestation_object(credential.response.attestation_object)
    except _UNREADABLE:
        raise Refused("malformed") from None
    # We ask for none; an authenticator may still vouch for its key with the key itself, and nobody needs more.
    if attestation.fmt not in {AttestationFormat.NONE, AttestationFormat.PACKED} or attestation.att_stmt.x5c:
        raise Refused("not_verified")
    return credential


def _read_authentication(answer: str) -> AuthenticationCredential:
    try:
        return parse_authentication_credential_json(answer)
    except _UNREADABLE:
        raise Refused("malformed") from None


def _check_challenge(keys: Keys, ceremony: Ceremony, client_data: bytes, now: datetime) -> bytes:
    """The challenge that was signed, if this server made it for this ceremony."""
    try:
        told = parse_client_data_json(client_data)
        expires, _, rest = (text := told.challenge.decode("ascii")).partition(".")
        body, _, tag = text.rpartition(".")
        over = now.timestamp() >= int(expires)
    except _UNREADABLE:
        raise Refused("malformed") from None
    if told.cross_origin:
        raise Refused("malformed")
    if over or not rest or not any(hmac.compare_digest(tag, own) for own in _tags(keys, ceremony, body)):
        raise Refused("challenge", ceremony.user_id)
    return told.challenge


def _verify_registration(
    party: RelyingParty, credential: RegistrationCredential, challenge: bytes
) -> VerifiedRegistration:
    try:
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
        # A key that can't be used would be found out at the next sign-in.
        decoded_public_key_to_cryptography(decode_credential_public_key(verified.credential_public_key))
    except _UNREADABLE:
        raise Refused("not_verified") from None
    if len(verified.credential_id) > _LONGEST_ID:
        raise Refused("not_verified")
    return verified


def _verify_authentication(
    party: RelyingParty,
    credential: AuthenticationCredential,
    challenge: bytes,
    passkey: Passkey,
    recognised: bool,
) -> VerifiedAuthentication:
    """The counter is left to the one statement that notes the use."""
    try:
        return verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=base64url_to_bytes(passkey.public_key),
            credential_current_sign_count=0,
            require_user_verification=recognised,
        )
    except _UNREADABLE:
        raise Refused("not_verified", passkey.user_id) from None


async def _spend(tx: Transaction, keys: Keys, ceremony: Ceremony, challenge: bytes, now: datetime) -> None:
    answered = PasskeyChallenge(
        challenge_hash=keys.hash(challenge.decode()),
        purpose=ceremony.purpose,
        browser_hash=keys.hash(ceremony.browser_id),
        user_id=ceremony.user_id,
        created_at=now,
        expires_at=now + _ANSWER_WITHIN,
    )
    if not await factor_store.spend_challenge(tx, answered):
        raise Refused("answered_before", ceremony.user_id)
