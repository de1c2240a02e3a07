"""Dynamic client registration (RFC 7591).

Refuses, in this order:
 1. anyone, where registration is closed                                    access_denied
 2. an initial access token that is not good, or none where one is needed   invalid_token
 3. metadata that is not acceptable                                         invalid_redirect_uri or _client_metadata
 4. what the operator's hook turns away                                     access_denied
 5. the last use of a token, when someone was faster                        invalid_token
 6. a registration for which there is no room                               temporarily_unavailable
"""

from dataclasses import dataclass
from typing import Any

from app.audit import Origin, record, record_clients_deleted
from app.authorization_server import housekeeping, initial_access_tokens, registration_store, store
from app.authorization_server.client_key_metadata import SECRET_METHODS
from app.authorization_server.client_metadata import check_metadata, fingerprint
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.database import Transaction
from app.hooks import Hooks, Registration
from app.oauth.credentials import (
    CLIENT_SECRET,
    INITIAL_ACCESS_TOKEN,
    REGISTRATION_ACCESS_TOKEN,
    Keys,
    mint,
    mint_id,
)
from app.oauth.errors import InvalidToken, OAuthError
from app.oauth.features import Feature
from app.rows import values_of

# Each registration takes up to so many with it whose time is over, so that they never become many.
_SWEPT = 10


class RegistrationClosed(OAuthError):
    """Nobody registers here; the operator makes the clients."""

    error = "access_denied"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "Registration is closed here; ask the operator of this server for a client.",
            reason="registration_closed",
        )


class RegistrationsFull(OAuthError):
    """As many registrations wait for their first use as this server keeps, and none of them may go yet."""

    error = "temporarily_unavailable"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "Too many apps registered here just now; try again in a minute.",
            reason="registrations_full",
            retry_after=60,
        )


@dataclass(frozen=True, slots=True)
class Registered:
    """A client, with those of its secrets that are known now: only their hashes are stored."""

    client: Client
    secret: str | None = None
    registration_token: str | None = None

    def response(self, issuer: str) -> dict[str, Any]:
        """The client information response (RFC 7591 §3.2.1, RFC 7592 §3)."""
        client = self.client
        body: dict[str, Any] = {
            "client_id": client.client_id,
            "client_id_issued_at": int(client.created_at.timestamp()),
            "redirect_uris": client.redirect_uris,
            "grant_types": client.grant_types,
            "response_types": client.response_types,
            "token_endpoint_auth_method": client.token_endpoint_auth_method,
            **client.information,
        }
        if client.client_name is not None:
            body["client_name"] = client.client_name
        if client.scope is not None:
            body["scope"] = client.scope
        for field in ("jwks", "jwks_uri", "token_endpoint_auth_signing_alg"):
            if (value := getattr(client, field)) is not None:
                body[field] = value
        if client.secret_hash is not None:
            body["client_secret_expires_at"] = (
                int(client.secret_expires_at.timestamp()) if client.secret_expires_at else 0
            )
        if self.secret is not None:
            body["client_secret"] = self.secret
        if self.registration_token is not None:
            body["registration_access_token"] = self.registration_token
            body["registration_client_uri"] = f"{issuer}/oauth/register/{client.client_id}"
        return body


async def register(
    tx: Transaction,
    keys: Keys,
    policy: Policy,
    hooks: Hooks,
    metadata: object,
    bearer: str | None,
    origin: Origin,
) -> Registered:
    """Check the metadata in the order of RFC 7591 §2 and store the client.

    Fields that this server does not know, or that only it may decide (`client_id`, `client_secret` and the like),
    are ignored.

    Args:
        bearer: the token that came along. With an initial access token the operator vouches: such a client may also
            use grant types in which nobody is asked, is not counted against the cap and never goes by itself.

    Raises:
        RegistrationClosed, InvalidToken, InvalidRedirectURI, InvalidClientMetadata, Refused, RegistrationsFull: as the
            head of this file says.
    """
    presented = await _admit(tx, keys, policy, bearer, origin)
    vouched = presented is not None
    checked = check_metadata(metadata, policy, default_auth_method="client_secret_basic", by_operator=vouched)
    await hooks.registration(Registration("dynamic", values_of(checked), origin.source))
    if presented is not None:
        await initial_access_tokens.spend(tx, keys, presented, origin.now)
    else:
        await _make_room(tx, policy, origin)
    secret = mint(CLIENT_SECRET) if checked.token_endpoint_auth_method in SECRET_METHODS else None
    lifetime = policy.client_secret_lifetime
    managed = policy.has(Feature.REGISTRATION_MANAGEMENT)
    registration_token = mint(REGISTRATION_ACCESS_TOKEN) if managed else None
    client = Client(
        client_id=mint_id("client_"),
        **values_of(checked),
        secret_hash=keys.hash(secret) if secret else None,
        secret_expires_at=origin.now + lifetime if secret and lifetime else None,
        registration="dynamic",
        registered_from=origin.source,
        registered_with=presented.token.id if presented else None,
        created_at=origin.now,
        last_used_at=None,
        disabled_at=None,
        fingerprint=fingerprint(checked),
        registration_token_hash=keys.hash(registration_token) if registration_token else None,
    )
    await store.add_client(tx, client)
    await record(tx, "client.registered", origin, client_id=client.client_id)
    return Registered(client, secret, registration_token)


async def _admit(
    tx: Transaction, keys: Keys, policy: Policy, bearer: str | None, origin: Origin
) -> initial_access_tokens.Presented | None:
    """The initial access token with which someone comes; None for someone who needs none.

    Raises:
        RegistrationClosed, InvalidToken.
    """
    if policy.registration == "closed":
        raise RegistrationClosed
    # Clients send tokens of all kinds along; where none is needed, only one that is meant for this is looked at.
    if bearer is not None and (policy.registration == "token" or bearer.startswith(INITIAL_ACCESS_TOKEN)):
        return await initial_access_tokens.check(tx, keys, bearer, origin.now)
    if policy.registration == "token":
        raise InvalidToken("An initial access token is required.", presented=False, reason="no_initial_token")
    return None


async def _make_room(tx: Transaction, policy: Policy, origin: Origin) -> None:
    """Keep the registrations that nobody ever used below the cap: the oldest one goes for the newest.

    Raises:
        RegistrationsFull.
    """
    # One after another, so that no two of them see the same last place.
    await tx.lock("registrations")
    await housekeeping.remove_unused_clients(tx, policy, origin, at_once=_SWEPT)
    cap = policy.registration_cap
    too_many = await registration_store.count_never_used(tx, cap + _SWEPT) - cap + 1
    if too_many <= 0:
        return
    registered_before = origin.now - policy.registration_grace
    gone = await registration_store.delete_never_used(tx, registered_before, origin.now, too_many)
    await record_clients_deleted(tx, origin, "cap_reached", gone)
    if not gone:
        raise RegistrationsFull
