"""Client authentication, wherever clients authenticate: none, client_secret_basic, client_secret_post, private_key_jwt.

Exactly one method in a request, and exactly the registered one.
"""

import hmac
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote_plus

from app.audit import Origin
from app.authorization_server import store
from app.authorization_server.client_assertions import (
    ASSERTION_TYPE,
    TOKEN_TYPES,
    assertion_refusal,
    claims_refusal,
)
from app.authorization_server.client_key_metadata import PRIVATE_KEY_JWT, auth_methods
from app.authorization_server.client_keys import ClientKeys
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.database import Transaction
from app.oauth.assertions import read_assertion
from app.oauth.credentials import Keys
from app.oauth.errors import InvalidClient, InvalidRequest
from app.oauth.features import Feature
from app.oauth.jwt import InvalidJWT, Unverified
from app.oauth.parameters import Parameters

_FAILED = "Client authentication failed."


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request claims: an id, the method, and what is to prove it."""

    client_id: str
    method: str
    secret: str | None = None
    assertion: Unverified | None = None


def read_credentials(form: Parameters, authorization: str | None) -> Credentials:
    """Find the client's credentials in a request (RFC 6749 §2.3).

    Raises:
        InvalidRequest: two methods at once.
        InvalidClient: none at all, a malformed header, or an assertion that is none.
    """
    in_form, secret = form.get("client_id"), form.get("client_secret")
    signs = form.get("client_assertion") is not None or form.get("client_assertion_type") is not None
    if (authorization is not None) + (secret is not None) + signs > 1:
        raise InvalidRequest("Only one client authentication method may be used.")
    if signs:
        assertion, client_id = _read_assertion(form)
        return Credentials(client_id, PRIVATE_KEY_JWT, assertion=assertion)
    if authorization is not None:
        client_id, secret = _read_basic(authorization)
        if in_form is not None and in_form != client_id:
            raise InvalidRequest("client_id differs from the Authorization header.")
        return Credentials(client_id, "client_secret_basic", secret)
    if in_form is None:
        raise InvalidClient("Client authentication is required.", reason="no_credentials")
    return Credentials(in_form, "none" if secret is None else "client_secret_post", secret)


async def read_keys(client_keys: ClientKeys, policy: Policy, form: Parameters, origin: Origin) -> None:
    """Read the keys of a client that signs for itself, before any transaction waits for the network.

    Nothing is read for an assertion that will be refused anyway, nor for a client that is not known here.

    Raises:
        TooManyFetches: as many documents as are read at once are being read.
    """
    if form.get("client_assertion") is None or not policy.has(Feature.PRIVATE_KEY_JWT):
        return
    try:
        assertion, client_id = _read_assertion(form)
    except InvalidClient:
        return
    client = await client_keys.find_client(client_id)
    if client is None or client.disabled_at is not None:
        return
    if claims_refusal(client, assertion, policy, origin.now) is None:
        await client_keys.read(client, assertion, origin)


async def authenticate(
    tx: Transaction,
    keys: Keys,
    client_keys: ClientKeys,
    policy: Policy,
    form: Parameters,
    authorization: str | None,
    origin: Origin,
) -> Client:
    """The client that sent this request, once it has proven to be it.

    The method must be the registered one, exactly: a public client that sends a secret proves nothing with it. The
    keys of a client that signs were read before (`client_assertions.read_keys`).

    Raises:
        InvalidRequest: two methods at once.
        InvalidClient: unknown, disabled, wrong method, wrong or expired secret, an assertion that does not prove it
            (RFC 6749 §5.2).
    """
    now, credentials = origin.now, read_credentials(form, authorization)
    basic = credentials.method == "client_secret_basic"
    client = await store.find_client(tx, credentials.client_id)
    reason = _refusal(client, credentials, keys, policy, now)
    reason = reason or _too_old(client, policy.client_document_limit, now)
    if client is not None and reason is None and credentials.assertion is not None:
        reason = await assertion_refusal(tx, client, credentials.assertion, client_keys, policy, origin)
    if client is None or reason is not None:
        raise InvalidClient(
            _FAILED,
            challenge_basic=basic,
            reason=reason,
            client_id=client.client_id if client else None,
        )
    if credentials.secret is not None and client.secret_hash != keys.hash(credentials.secret):
        # Proven under SECRET_KEY_PREVIOUS, which is to go one day.
        await store.set_secret_hash(tx, client.client_id, keys.hash(credentials.secret))
    return client


def _refusal(
    client: Client | None, credentials: Credentials, keys: Keys, policy: Policy, now: datetime
) -> str | None:
    if client is None:
        return "unknown_client"
    if client.disabled_at is not None:
        return "client_disabled"
    if credentials.method != client.token_endpoint_auth_method:
        return "wrong_method"
    if credentials.method not in auth_methods(policy):
        return "method_off"
    if client.is_public or credentials.assertion is not None:
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


def _read_assertion(form: Parameters) -> tuple[Unverified, str]:
    """The assertion, and the client that it says it is of; `client_id` need not be sent (RFC 7521 §4.2)."""
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidClient(_FAILED, reason="assertion_type")
    try:
        assertion = read_assertion(form.get("client_assertion") or "", TOKEN_TYPES)
    except InvalidJWT:
        raise InvalidClient(_FAILED, reason="assertion_malformed") from None
    client_id = assertion.claims.get("sub")
    # What can't be printed could not be looked up.
    is_name = isinstance(client_id, str) and client_id.isprintable()
    if not is_name or form.get("client_id") not in {None, client_id}:
        raise InvalidClient(_FAILED, reason="assertion_subject")
    return assertion, str(client_id)


def _read_basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient(_FAILED, challenge_basic=True, reason="unknown_scheme")
    try:
        client_id, colon, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise InvalidClient(_FAILED, challenge_basic=True, reason="malformed_header") from None
    # RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
    client_id, secret = unquote_plus(client_id), unquote_plus(secret)
    if not colon or not client_id or "\x00" in client_id:
        raise InvalidClient(_FAILED, challenge_basic=True, reason="malformed_header")
    return client_id, secret
