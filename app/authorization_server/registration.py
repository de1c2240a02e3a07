"""Dynamic client registration (RFC 7591)."""

from dataclasses import dataclass
from typing import Any

from app.audit import Origin, record, record_clients_deleted
from app.authorization_server import housekeeping, registration_store, store
from app.authorization_server.client_metadata import check_metadata, fingerprint
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.database import Transaction
from app.hooks import Hooks, Registration
from app.oauth.credentials import CLIENT_SECRET, Keys, mint, mint_id
from app.oauth.errors import OAuthError
from app.rows import values_of

# Each registration takes up to so many with it whose time is over, so that they never become many.
_SWEPT = 10


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
    """A client that was just registered, with the secret that is shown once."""

    client: Client
    secret: str | None

    def response(self) -> dict[str, Any]:
        """The client information response (RFC 7591 §3.2.1)."""
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
        if self.secret is not None:
            body["client_secret"] = self.secret
            body["client_secret_expires_at"] = (
                int(client.secret_expires_at.timestamp()) if client.secret_expires_at else 0
            )
        return body


async def register(
    tx: Transaction, keys: Keys, policy: Policy, hooks: Hooks, metadata: object, origin: Origin
) -> Registered:
    """Check the metadata in the order of RFC 7591 §2 and store the client.

    Fields that this server does not know, or that only it may decide (`client_id`, `client_secret` and the like),
    are ignored.

    Raises:
        InvalidRedirectURI, InvalidClientMetadata: RFC 7591 §3.2.2.
        Refused: the operator's hook turned it away.
        RegistrationsFull: the cap is reached, and no registration may go for this one.
    """
    checked = check_metadata(metadata, policy, default_auth_method="client_secret_basic")
    await hooks.registration(Registration("dynamic", values_of(checked), origin.source))
    public = checked.token_endpoint_auth_method == "none"  # noqa: S105 - a method, not a secret
    secret = None if public else mint(CLIENT_SECRET)
    lifetime = policy.client_secret_lifetime
    client = Client(
        client_id=mint_id("client_"),
        **values_of(checked),
        secret_hash=keys.hash(secret) if secret else None,
        secret_expires_at=origin.now + lifetime if secret and lifetime else None,
        registration="dynamic",
        registered_from=origin.source,
        created_at=origin.now,
        last_used_at=None,
        disabled_at=None,
        fingerprint=fingerprint(checked),
    )
    await _make_room(tx, policy, origin)
    await store.add_client(tx, client)
    await record(tx, "client.registered", origin, client_id=client.client_id)
    return Registered(client, secret)


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
