"""The client configuration endpoint (RFC 7592): a client reads, replaces or removes its own registration.

Refuses, in this order:
 1. a client that is not there, and a token that is not this client's         invalid_token
 2. a client that the operator disabled                                       access_denied
and when it replaces its metadata
 3. what only the server decides, another client_id or secret than its own    invalid_client_metadata
 4. what registration refuses                                                 invalid_redirect_uri or _client_metadata
 5. a public client that wants a secret, or one with a secret that wants none invalid_client_metadata
 6. what the operator's hook turns away                                       access_denied

The registration access token stays the same, so that an update whose answer was lost can be sent again.
"""

import hmac
from collections.abc import Mapping
from dataclasses import replace

from app.audit import Origin, record
from app.authorization_server import revocation, store
from app.authorization_server.approval import withdraw_approval
from app.authorization_server.client_metadata import check_metadata, fingerprint
from app.authorization_server.client_snapshot import snapshot_of
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.database import Transaction
from app.hooks import Hooks, Registration
from app.oauth.credentials import CLIENT_SECRET, Keys, TokenHash, mint
from app.oauth.errors import InvalidClientMetadata, InvalidToken, OAuthError
from app.rows import values_of

# RFC 7592 §2.2: an update must not hold them.
_OF_THE_SERVER = (
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
)


class ClientDisabled(OAuthError):
    """The operator disabled this client; its registration stays as it is."""

    error = "access_denied"
    status = 403


async def identify(tx: Transaction, keys: Keys, client_id: str, token: str) -> Client:
    """The client that this is the configuration endpoint of, once it has proven to be it; it stays as it is until the
    transaction ends.

    Raises:
        InvalidToken, ClientDisabled: as the head of this file says.
    """
    client = await store.hold_client(tx, client_id)
    if client is None or not _matches(keys, token, client.registration_token_hash):
        raise InvalidToken(
            "The registration access token is not good here.",
            reason="unknown_client" if client is None else "wrong_registration_token",
            client_id=client.client_id if client else None,
        )
    if client.disabled_at is not None:
        raise ClientDisabled("The client was disabled here.", reason="client_disabled", client_id=client_id)
    if client.registration_token_hash != keys.hash(token):
        # Proven under SECRET_KEY_PREVIOUS, which is to go one day.
        client = replace(client, registration_token_hash=keys.hash(token))
        await store.update_client(tx, client)
    return client


async def replace_metadata(
    tx: Transaction,
    keys: Keys,
    policy: Policy,
    hooks: Hooks,
    client: Client,
    metadata: object,
    origin: Origin,
) -> tuple[Client, str | None]:
    """Put this metadata in the place of what the client registered before (RFC 7592 §2.2).

    When it says something new to people, questions that wait for their answer can no longer be approved. Returns the
    client, and its secret if it got a new one.

    Raises:
        InvalidClientMetadata, InvalidRedirectURI, Refused: as the head of this file says.
    """
    _check_identity(keys, client, metadata)
    checked = check_metadata(
        metadata,
        policy,
        default_auth_method=client.token_endpoint_auth_method,
        by_operator=client.registered_with is not None,
    )
    public = checked.token_endpoint_auth_method == "none"  # noqa: S105 - a method, not a secret
    if public != client.is_public:
        raise InvalidClientMetadata(
            "token_endpoint_auth_method can not change between none and others; register anew."
        )
    await hooks.registration(Registration("managed", values_of(checked), origin.source))
    changed = replace(client, **values_of(checked), fingerprint=fingerprint(checked))
    changed, secret = _with_secret(keys, policy, changed, origin)
    if snapshot_of(client) != snapshot_of(changed):
        changed = replace(changed, changed_at=origin.now)
    await store.update_client(tx, changed)
    await record(tx, "client.updated", origin, client_id=client.client_id)
    if changed.changed_at != client.changed_at:
        await withdraw_approval(tx, client.client_id, origin, "changed")
    return changed, secret


async def remove(tx: Transaction, policy: Policy, client: Client, origin: Origin) -> None:
    """Remove the client with all that it was allowed, as it asks for (RFC 7592 §2.3)."""
    await revocation.delete_client(tx, policy, client.client_id, origin)


def _check_identity(keys: Keys, client: Client, metadata: object) -> None:
    """What an update says about itself, before what it wants (RFC 7592 §2.2)."""
    if not isinstance(metadata, Mapping):
        raise InvalidClientMetadata("The client metadata must be a JSON object.")
    if metadata.get("client_id") != client.client_id:
        raise InvalidClientMetadata("client_id must be the one in the address.")
    if any(field in metadata for field in _OF_THE_SERVER):
        raise InvalidClientMetadata(f"An update must not hold {', '.join(_OF_THE_SERVER)}.")
    secret = metadata.get("client_secret")
    if secret is not None and not (isinstance(secret, str) and _matches(keys, secret, client.secret_hash)):
        raise InvalidClientMetadata("client_secret must be the present one.", reason="wrong_secret")


def _with_secret(keys: Keys, policy: Policy, client: Client, origin: Origin) -> tuple[Client, str | None]:
    """The client with what its method of authentication needs: the secret that it has, a first one, or none.

    One whose time is over is replaced.
    """
    if not client.token_endpoint_auth_method.startswith("client_secret"):
        return replace(client, secret_hash=None, secret_expires_at=None), None
    expires_at = client.secret_expires_at
    if client.secret_hash is not None and (expires_at is None or origin.now < expires_at):
        return client, None
    secret, lifetime = mint(CLIENT_SECRET), policy.client_secret_lifetime
    changed = replace(
        client,
        secret_hash=keys.hash(secret),
        secret_expires_at=origin.now + lifetime if lifetime else None,
    )
    return changed, secret


def _matches(keys: Keys, presented: str, stored: TokenHash | None) -> bool:
    return any(hmac.compare_digest(candidate, stored or "") for candidate in keys.hashes(presented))
