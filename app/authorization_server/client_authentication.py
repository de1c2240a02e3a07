"""Client authentication at the token and revocation endpoints: none, client_secret_basic, client_secret_post."""

import hmac
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote_plus

from app.authorization_server import store
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.database import Transaction
from app.oauth.credentials import Keys
from app.oauth.errors import InvalidClient, InvalidRequest
from app.oauth.parameters import Parameters


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request claims: an id, perhaps a secret, and the method that carried them."""

    client_id: str
    secret: str | None
    method: str


def read_credentials(form: Parameters, authorization: str | None) -> Credentials:
    """Find the client's credentials in a request (RFC 6749 §2.3).

    Raises:
        InvalidRequest: two methods at once.
        InvalidClient: none at all, or a malformed header.
    """
    in_form = form.get("client_id")
    secret = form.get("client_secret")
    if authorization is None:
        if in_form is None:
            raise InvalidClient("Client authentication is required.", reason="no_credentials")
        return Credentials(in_form, secret, "client_secret_post" if secret is not None else "none")
    if secret is not None:
        raise InvalidRequest("Only one client authentication method may be used.")
    client_id, header_secret = _read_basic(authorization)
    if in_form is not None and in_form != client_id:
        raise InvalidRequest("client_id differs from the Authorization header.")
    return Credentials(client_id, header_secret, "client_secret_basic")


async def authenticate(
    tx: Transaction, keys: Keys, policy: Policy, form: Parameters, authorization: str | None, now: datetime
) -> Client:
    """The client that sent this request, once it has proven to be it.

    The method must be the registered one, exactly: a public client that sends a secret proves nothing with it.

    Raises:
        InvalidRequest: two methods at once.
        InvalidClient: unknown, disabled, wrong method, wrong or expired secret (RFC 6749 §5.2).
    """
    credentials = read_credentials(form, authorization)
    basic = credentials.method == "client_secret_basic"
    client = await store.find_client(tx, credentials.client_id)
    reason = _refusal(client, credentials, keys, now) or _too_old(client, policy.client_document_limit, now)
    if client is None or reason is not None:
        raise InvalidClient(
            "Client authentication failed.",
            challenge_basic=basic,
            reason=reason,
            client_id=client.client_id if client else None,
        )
    if credentials.secret is not None and client.secret_hash != keys.hash(credentials.secret):
        # Proven under SECRET_KEY_PREVIOUS, which is to go one day.
        await store.set_secret_hash(tx, client.client_id, keys.hash(credentials.secret))
    return client


def _refusal(client: Client | None, credentials: Credentials, keys: Keys, now: datetime) -> str | None:
    if client is None:
        return "unknown_client"
    if client.disabled_at is not None:
        return "client_disabled"
    if credentials.method != client.token_endpoint_auth_method:
        return "wrong_method"
    if client.is_public:
        return None
    presented = keys.hashes(credentials.secret or "")
    if not any(hmac.compare_digest(candidate, client.secret_hash or "") for candidate in presented):
        return "wrong_secret"
    if client.secret_expires_at is not None and now >= client.secret_expires_at:
        return "secret_expired"
    return None


def _too_old(client: Client | None, limit: timedelta, now: datetime) -> str | None:
    """A metadata document is never read from here: the last reading serves what was allowed, for a while."""
    if client is None or client.document_fetched_at is None or now < client.document_fetched_at + limit:
        return None
    return "document_stale"


def _read_basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("Client authentication failed.", challenge_basic=True, reason="unknown_scheme")
    try:
        client_id, colon, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise InvalidClient(
            "Client authentication failed.", challenge_basic=True, reason="malformed_header"
        ) from None
    # RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
    client_id, secret = unquote_plus(client_id), unquote_plus(secret)
    if not colon or not client_id or "\x00" in client_id:
        raise InvalidClient("Client authentication failed.", challenge_basic=True, reason="malformed_header")
    return client_id, secret
