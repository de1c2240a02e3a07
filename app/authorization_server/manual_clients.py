"""Clients that the operator makes: with whatever grant types there are, and looked after by nobody else."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.audit import Origin, record
from app.authorization_server import store
from app.authorization_server.client_metadata import check_metadata
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.authorization_server.registration import Registered
from app.database import Transaction
from app.oauth.credentials import CLIENT_SECRET, Keys, mint, mint_id
from app.oauth.errors import InvalidClientMetadata
from app.rows import values_of


async def create(
    tx: Transaction,
    keys: Keys,
    policy: Policy,
    metadata: dict[str, Any],
    introspects: Sequence[str],
    origin: Origin,
) -> Registered:
    """Make a client of this metadata (RFC 7591 §2), which may act for itself.

    Args:
        introspects: resources that it looks after, whose tokens it may ask about (RFC 7662).

    Raises:
        InvalidRedirectURI, InvalidClientMetadata: as at registration.
        InvalidTarget: no resource of ours.
    """
    resources = [policy.find_resource(url).url for url in introspects]
    checked = check_metadata(metadata, policy, default_auth_method="client_secret_basic", by_operator=True)
    client = Client(
        client_id=mint_id("client_"),
        **values_of(checked),
        secret_hash=None,
        secret_expires_at=None,
        registration="manual",
        registered_from=origin.source,
        created_at=origin.now,
        last_used_at=None,
        disabled_at=None,
        introspects=resources or None,
    )
    has_secret = client.token_endpoint_auth_method.startswith("client_secret")
    secret = mint(CLIENT_SECRET) if has_secret else None
    if secret is not None:
        client = _with_secret(keys, policy, client, secret, origin)
    await store.add_client(tx, client)
    await record(tx, "client.created", origin, client_id=client.client_id)
    return Registered(client, secret)


async def rotate_secret(
    tx: Transaction, keys: Keys, policy: Policy, client_id: str, origin: Origin
) -> Registered | None:
    """Give a client another secret, however it came; the old one stops working at once. None when there is no such
    client.

    Raises:
        InvalidClientMetadata: it authenticates otherwise.
    """
    client = await store.hold_client(tx, client_id)
    if client is None:
        return None
    if client.secret_hash is None:
        raise InvalidClientMetadata("The client has no secret.")
    secret = mint(CLIENT_SECRET)
    changed = _with_secret(keys, policy, client, secret, origin)
    await store.update_client(tx, changed)
    await record(tx, "client.secret_rotated", origin, client_id=client_id)
    return Registered(changed, secret)


def _with_secret(keys: Keys, policy: Policy, client: Client, secret: str, origin: Origin) -> Client:
    lifetime = policy.client_secret_lifetime
    return replace(
        client,
        secret_hash=keys.hash(secret),
        secret_expires_at=origin.now + lifetime if lifetime else None,
    )
