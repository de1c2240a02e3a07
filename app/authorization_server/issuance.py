"""What an access token is to say, before it is signed: the grant's part, and what the operator's hooks make of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.authorization_server import grant_store
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.props import open_props, seal_props
from app.authorization_server.records import Client, Grant, ResourceOwner
from app.hooks import Person, Refused, TokenChanges, TokenIssue
from app.oauth.errors import InvalidGrant


@dataclass(frozen=True, slots=True)
class Issuance:
    """Everything that an access token says.

    Args:
        owner: the person; None for a client that acts for itself, whose id is the subject then (RFC 9068 §2.2).
        claims: further claims, such as `act` (RFC 8693 §4.1).
        not_after: an earlier end than the policy's and the grant's.
        with_id_token: whether the person signed in here for this client, which then learns of it.
        nonce: the client's, repeated in the ID token.
    """

    client: Client
    grant: Grant
    owner: ResourceOwner | None
    scopes: tuple[str, ...]
    claims: Mapping[str, Any] = field(default_factory=dict)
    not_after: datetime | None = None
    with_id_token: bool = False
    nonce: str | None = None


async def ask_hooks(context: TokenContext, issuance: Issuance) -> Issuance:
    """The issuance with what the operator's hook changes; its `props` go to the grant, encrypted.

    Raises:
        InvalidGrant: the hook refused, so the client has to ask the person again.
    """
    grant, owner = issuance.grant, issuance.owner
    props = open_props(context.keys, grant.props_sealed)
    question = TokenIssue(
        grant_type=context.grant_type,
        client_id=issuance.client.client_id,
        grant_id=grant.id,
        resource=grant.resource,
        scopes=issuance.scopes,
        person=Person(owner.id, owner.username, owner.name, owner.email, owner.is_admin) if owner else None,
        props=props,
        now=context.origin.now,
    )
    try:
        changes = await context.hooks.token_issue(question)
    except Refused as refused:
        raise InvalidGrant(
            refused.description, reason="hook", client_id=issuance.client.client_id, grant_id=grant.id
        ) from None
    if changes.props is not None and changes.props != props:
        await grant_store.set_props(context.tx, grant.id, seal_props(context.keys, changes.props))
    return _changed(context, issuance, changes, bool(props if changes.props is None else changes.props))


def _changed(context: TokenContext, issuance: Issuance, changes: TokenChanges, has_props: bool) -> Issuance:
    """Tools look for props only where the token says that there are some."""
    claims = {**changes.claims, **issuance.claims, **({"props": True} if has_props else {})}
    ends = [issuance.not_after] if issuance.not_after is not None else []
    if changes.lifetime is not None:
        ends.append(context.origin.now + changes.lifetime)
    scopes = issuance.scopes
    if changes.scopes is not None:
        scopes = tuple(name for name in scopes if name in changes.scopes)
    return replace(issuance, claims=claims, scopes=scopes, not_after=min(ends, default=None))
