"""Recovery codes: each signs in once in place of a second factor that is lost."""

from app.accounts import factor_store
from app.accounts.records import RecoveryCode
from app.audit import Origin, record
from app.database import Transaction
from app.oauth.credentials import Keys, TokenHash, mint_recovery_code, read_crockford

HOW_MANY = 10
_LETTERS = 10


async def make(tx: Transaction, keys: Keys, user_id: str, origin: Origin) -> tuple[str, ...]:
    """New codes in place of all that someone had; nobody can read them again."""
    codes = tuple(mint_recovery_code() for _ in range(HOW_MANY))
    stored = [RecoveryCode(_hashes(keys, user_id, code)[0], user_id, origin.now) for code in codes]
    await factor_store.replace_recovery_codes(tx, user_id, stored)
    await record(tx, "recovery_codes.made", origin, user_id=user_id)
    return codes


async def take(tx: Transaction, keys: Keys, user_id: str, typed: str, origin: Origin) -> bool:
    """Whether this is a code of theirs that was not used before; it is used now."""
    if len(read_crockford(typed)) != _LETTERS:
        return False
    if not await factor_store.spend_recovery_code(tx, user_id, _hashes(keys, user_id, typed), origin.now):
        return False
    await record(tx, "recovery_code.used", origin, user_id=user_id)
    return True


def _hashes(keys: Keys, user_id: str, code: str) -> list[TokenHash]:
    return keys.hashes(f"recovery {user_id} {read_crockford(code)}")
