"""One-time codes of an app (TOTP, RFC 6238): six digits, new every 30 seconds, each good once.

The secret is sealed under `SECRET_KEY`, because the server has to compute with it. While an app is being set up it
travels sealed through the page: nothing is stored before the first code was right, and the app that someone had goes
on working until then.
"""

import json
from dataclasses import dataclass
from datetime import timedelta

from pyotp import TOTP
from pyotp.exceptions import OTPVerificationError

from app.accounts import factor_store, store
from app.accounts.records import Authenticator, User
from app.audit import Origin, record
from app.database import Transaction
from app.oauth import jwt
from app.oauth.credentials import Keys, mint_one_time_code_secret

_PURPOSE = "one-time-codes"
_SET_UP_WITHIN = timedelta(minutes=30)
# A code of the step before or after is taken too: clocks differ, and typing takes time (RFC 6238 §5.2).
_STEPS_BESIDE = 1
_DIGITS = 6


class Refused(Exception):
    """An app can't be set up like this; the message is one sentence for the person."""


@dataclass(frozen=True, slots=True)
class SetUp:
    """What a person's app has to know, and the same sealed, for the form to bring back."""

    secret: str
    address: str
    sealed: str


def begin(keys: Keys, user: User, issuer: str, origin: Origin) -> SetUp:
    """A new secret.

    Args:
        issuer: what the app calls this server.
    """
    return _set_up(keys, user, issuer, mint_one_time_code_secret(), origin)


def resume(keys: Keys, user: User, issuer: str, sealed: str, origin: Origin) -> SetUp:
    """The secret of a page that comes back.

    Raises:
        Refused: it was not made for this person, or too long ago.
    """
    return _set_up(keys, user, issuer, _open_set_up(keys, user, sealed, origin), origin)


async def confirm(tx: Transaction, keys: Keys, user: User, sealed: str, code: str, origin: Origin) -> None:
    """Take an app into use, in place of the one before, once it showed a right code.

    Raises:
        Refused: the page is too old, or the code is not right.
    """
    secret = _open_set_up(keys, user, sealed, origin)
    step = _step_of(secret, code, origin)
    if step is None:
        raise Refused("That code is not right. Look at the app again: each code lasts for half a minute.")
    # In the order in which a sign-in takes them: first the person, then the app.
    await store.hold_user(tx, user.id)
    authenticator = Authenticator(
        user_id=user.id,
        secret_sealed=jwt.seal(secret, keys.encryption_keys(_PURPOSE)[0]),
        created_at=origin.now,
        last_step=step,
    )
    await factor_store.put_authenticator(tx, authenticator)
    await record(tx, "authenticator.added", origin, user_id=user.id)


async def take(tx: Transaction, keys: Keys, user_id: str, code: str, origin: Origin) -> bool:
    """Whether this is someone's code, now and for the first time."""
    authenticator = await factor_store.find_authenticator(tx, user_id)
    if authenticator is None:
        return False
    present, *_ = encryption_keys = keys.encryption_keys(_PURPOSE)
    try:
        secret = jwt.unseal(authenticator.secret_sealed, encryption_keys)
    except jwt.InvalidJWT:
        # Sealed under a SECRET_KEY that is gone: no code can be right any more.
        return False
    step = _step_of(secret, code, origin)
    if step is None:
        return False
    return await factor_store.spend_step(tx, authenticator, step, jwt.seal(secret, present), origin.now)


async def remove(tx: Transaction, user_id: str, origin: Origin) -> bool:
    """Forget someone's app; False when there is none."""
    if not await factor_store.delete_authenticator(tx, user_id):
        return False
    await record(tx, "authenticator.removed", origin, user_id=user_id)
    return True


def _set_up(keys: Keys, user: User, issuer: str, secret: str, origin: Origin) -> SetUp:
    told = {"user": user.id, "secret": secret, "until": int((origin.now + _SET_UP_WITHIN).timestamp())}
    sealed = jwt.seal(json.dumps(told), keys.encryption_keys(f"{_PURPOSE}/set-up")[0])
    address = TOTP(secret, name=user.username, issuer=issuer).provisioning_uri()
    return SetUp(secret, address, sealed)


def _open_set_up(keys: Keys, user: User, sealed: str, origin: Origin) -> str:
    try:
        told = json.loads(jwt.unseal(sealed, keys.encryption_keys(f"{_PURPOSE}/set-up")))
    except jwt.InvalidJWT:
        told = {}
    if told.get("user") != user.id or origin.now.timestamp() >= told["until"]:
        raise Refused("This page is too old. Start again, with the new picture.")
    return str(told["secret"])


def _step_of(secret: str, code: str, origin: Origin) -> int | None:
    """The time step that shows this code, if one about now does."""
    digits = code.replace(" ", "")
    if len(digits) != _DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    try:
        return TOTP(secret).verify_and_get_timecode(digits, for_time=origin.now, valid_window=_STEPS_BESIDE)
    except OTPVerificationError:
        return None
