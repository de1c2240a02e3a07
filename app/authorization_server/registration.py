"""Dynamic client registration (RFC 7591)."""

from dataclasses import dataclass
from typing import Any

from app.audit import Origin, record
from app.authorization_server import store
from app.authorization_server.client_metadata import check_metadata
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.database import Transaction
from app.hooks import Hooks, Registration
from app.oauth.credentials import CLIENT_SECRET, Keys, mint, mint_id
from app.rows import values_of


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
    )
    await store.add_client(tx, client)
    await record(tx, "client.registered", origin, client_id=client.client_id)
    return Registered(client, secret)
