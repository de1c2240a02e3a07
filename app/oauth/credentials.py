"""Secrets: the one door to randomness, the keyed hashes that are stored, and what is derived from `SECRET_KEY`.

Secrets that are minted here carry 256 random bits, so one fast keyed hash is enough at rest; only passwords, which
people choose, are hashed slowly (`app.accounts.passwords`). A user code, which people type, carries 34.5 bits: its
keyed hash hides it from whoever has the database without `SECRET_KEY`, and what protects it besides is that it lives
for ten minutes and that guesses are counted.
"""

import hashlib
import hmac
import secrets
from base64 import b32encode, urlsafe_b64encode
from typing import NewType

TokenHash = NewType("TokenHash", str)
"""HMAC-SHA-256 of a secret under the server's key, in hexadecimal: what the database may know of it."""

AUTHORIZATION_CODE = "ost_code_"
REFRESH_TOKEN = "ost_refresh_"  # noqa: S105 - a prefix, not a secret
DEVICE_CODE = "ost_device_"
CLIENT_SECRET = "ost_secret_"  # noqa: S105 - a prefix, not a secret
PUSHED_REQUEST = "ost_request_"
REGISTRATION_ACCESS_TOKEN = "ost_registration_"  # noqa: S105 - a prefix, not a secret
INITIAL_ACCESS_TOKEN = "ost_initial_"  # noqa: S105 - a prefix, not a secret
SESSION = "ost_session_"
BROWSER = "ost_browser_"
LINK = "ost_link_"

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Letters that spell no words and are not taken for one another, nor for digits (RFC 8628 §6.1).
USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
USER_CODE_LENGTH = 8


def mint(prefix: str) -> str:
    """A new secret: 256 random bits in base64url behind a prefix that secret scanners can recognise."""
    return prefix + secrets.token_urlsafe(32)


def mint_id(prefix: str) -> str:
    """A new public identifier of 128 random bits; client ids never look like a URL (CIMD §6.9)."""
    return prefix + secrets.token_hex(16)


# Letters that Crockford's alphabet leaves out, because they are read as these.
_MISREAD = str.maketrans("OIL", "011")


def mint_reference() -> str:
    """Eight letters and digits that a person can read out on the telephone, as `7F3K-2Q9D`."""
    letters = "".join(secrets.choice(_CROCKFORD) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def read_reference(typed: str) -> str | None:
    """A reference as it was minted, however somebody typed it; None for what is none."""
    letters = typed.upper().replace("-", "").replace(" ", "").translate(_MISREAD)
    if len(letters) != 8 or not set(letters) <= set(_CROCKFORD):
        return None
    return f"{letters[:4]}-{letters[4:]}"


def mint_user_code() -> str:
    """Eight letters that a person types to let a device in: one of 20^8, which is 34.5 bits (RFC 8628 §6.1)."""
    return "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(USER_CODE_LENGTH))


def mint_password() -> str:
    """A first password: 20 letters and digits in groups, about 100 bits."""
    return "-".join("".join(secrets.choice(_CROCKFORD) for _ in range(5)).lower() for _ in range(4))


def mint_recovery_code() -> str:
    """A code to keep on paper, as `7F3K2-9DQ4M`: 50 bits, known by its keyed hash and tried a few times at most."""
    letters = "".join(secrets.choice(_CROCKFORD) for _ in range(10))
    return f"{letters[:5]}-{letters[5:]}"


def read_crockford(typed: str) -> str:
    """What somebody typed of such letters and digits: without blanks and dashes, and with those that look alike told
    apart as their alphabet says.
    """
    plain = typed.upper().translate(str.maketrans("OIL", "011", " -"))
    return plain if set(plain) <= set(_CROCKFORD) else ""


def mint_one_time_code_secret() -> str:
    """The secret that an app for one-time codes shares with us: 160 bits in base32 (RFC 4226 §4, R6)."""
    return b32encode(secrets.token_bytes(20)).decode()


def mint_secret_key() -> str:
    """A new `SECRET_KEY`."""
    return secrets.token_urlsafe(48)


class Keys:
    """Everything that is derived from `SECRET_KEY`, one key for each purpose.

    `previous` is the `SECRET_KEY_PREVIOUS` of a change: what was stored under it is still recognised.
    """

    def __init__(self, secret_key: str, previous: str | None = None) -> None:
        self._roots = [secret_key.encode()] + ([previous.encode()] if previous else [])
        self._token_keys = [self._derive(root, "token-hash") for root in self._roots]
        self._successor_keys = [self._derive(root, "refresh-successor") for root in self._roots]
        self._code_keys = [self._derive(root, "authorization-code") for root in self._roots]
        self._session_keys = [self._derive(root, "session") for root in self._roots]
        self._form_keys = [self._derive(root, "form") for root in self._roots]

    @staticmethod
    def _derive(root: bytes, purpose: str) -> bytes:
        return hmac.digest(root, f"ostiary/{purpose}".encode(), hashlib.sha256)

    def encryption_keys(self, purpose: str) -> list[bytes]:
        """Keys of 32 bytes for stored material, the present one first."""
        return [self._derive(root, f"encrypt/{purpose}") for root in self._roots]

    def authentication_keys(self, purpose: str) -> list[bytes]:
        """Keys of 32 bytes that show that we made something ourselves, the present one first."""
        return [self._derive(root, f"authenticate/{purpose}") for root in self._roots]

    def hash(self, secret: str) -> TokenHash:
        """What is stored for a newly minted secret."""
        return _keyed_hash(self._token_keys[0], secret)

    def hashes(self, secret: str) -> list[TokenHash]:
        """Under which hashes a presented secret may be stored: one, or two while `SECRET_KEY` changes."""
        return [_keyed_hash(key, secret) for key in self._token_keys]

    def codes(self, request_id: str) -> list[str]:
        """The authorization code that approving a request leads to, the same for every click; the present key's first.

        Deriving it lets a browser that asks twice get one answer, although only hashes are stored.
        """
        return [AUTHORIZATION_CODE + _text(key, request_id.encode()) for key in self._code_keys]

    def successors(self, grant_id: str, generation: int, presented: str) -> list[str]:
        """The refresh token that follows the presented one, the same for every retry; the present key's first.

        Deriving it lets a client that lost our answer ask again, although only hashes are stored.
        """
        message = f"{grant_id}|{generation}|{presented}".encode()
        return [REFRESH_TOKEN + _text(key, message) for key in self._successor_keys]

    def sessions(self, *binding: str) -> list[str]:
        """The session id that a form leads to which has all of this in it; the present key's first.

        Deriving it lets a form that was sent twice have one answer, although only hashes are stored.
        """
        message = "\x00".join(binding).encode()
        return [SESSION + _text(key, message) for key in self._session_keys]

    def form_token(self, *binding: str) -> str:
        """The CSRF token of a form, bound to the browser's cookie and to what the form decides."""
        return self._form_token(self._form_keys[0], binding)

    def form_token_matches(self, token: str, *binding: str) -> bool:
        """Whether a posted CSRF token belongs to this browser and this form."""
        return any(
            hmac.compare_digest(self._form_token(key, binding).encode(), token.encode())
            for key in self._form_keys
        )

    @staticmethod
    def _form_token(key: bytes, binding: tuple[str, ...]) -> str:
        return _text(key, "\x00".join(binding).encode())


def _text(key: bytes, message: bytes) -> str:
    """256 bits that nobody without the key can tell, in base64url."""
    return urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).rstrip(b"=").decode()


def _keyed_hash(key: bytes, secret: str) -> TokenHash:
    return TokenHash(hmac.digest(key, secret.encode(), hashlib.sha256).hex())
