"""The tool tester: this server's own page, as the app through which a person tries the tools.

It is a client like any other, so that a call from the page goes the way of every call: a grant that the person sees
under their connected apps and an operator can revoke, the operator's hooks, a signed access token, the guard in front
of the tools. Whoever disables the client switches the page off. Nothing of it ever leaves the server.
"""

from datetime import timedelta

from app.audit import record
from app.authorization_server import grant_store, store
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.issuance import Issuance
from app.authorization_server.policy import Policy, Resource
from app.authorization_server.records import Client, Grant, ResourceOwner
from app.authorization_server.tokens import issue
from app.oauth.credentials import mint_id, mint_reference
from app.oauth.errors import AccessDenied
from app.oauth.scopes import SERVER_SCOPES, for_person, format_scope

CLIENT_ID = "ostiary_tool_tester"
GRANT_TYPE = "tool_tester"
_LIFETIME = timedelta(days=1)
_TOKEN_LIFETIME = timedelta(minutes=2)


async def open_tester(context: TokenContext, owner: ResourceOwner, resource: Resource) -> str:
    """An access token of this person for this resource, with all that they could allow an app there.

    Raises:
        AccessDenied: an operator disabled the page, or the person, as they are now.
        InvalidGrant: the operator's hook refused.
    """
    # Asked for again: whoever looked before may have waited for the server's list of tools.
    now_owner = await context.find_owner(context.tx, owner.id, hold=True)
    if now_owner is None:
        raise AccessDenied("You can no longer sign in here.", reason="user_disabled")
    owner = now_owner
    client = await _client(context)
    if client.disabled_at is not None:
        raise AccessDenied("This server’s operator switched this page off.", reason="tool_tester_disabled")
    scopes = allowable_scopes(context.policy, owner, resource)
    grant = await _grant(context, client, owner, resource, format_scope(scopes))
    until = context.origin.now + _TOKEN_LIFETIME
    response = await issue(context, Issuance(client, grant, owner, scopes, not_after=until), None)
    return response.access_token


def allowable_scopes(policy: Policy, owner: ResourceOwner, resource: Resource) -> tuple[str, ...]:
    """All that this person could allow an app at a resource."""
    asked = [scope.name for scope in policy.catalogue if scope.name in set(resource.scopes) - SERVER_SCOPES]
    return for_person(asked, owner.is_admin, policy.catalogue)


async def _client(context: TokenContext) -> Client:
    tx, now = context.tx, context.origin.now
    found = await store.hold_client(tx, CLIENT_ID)
    if found is None:
        # Of many requests at once, one makes it.
        await tx.lock(f"client {CLIENT_ID}")
        found = await store.find_client(tx, CLIENT_ID)
    if found is not None:
        return found
    client = Client(
        client_id=CLIENT_ID,
        client_name="Tool tester",
        redirect_uris=[],
        grant_types=[],
        response_types=[],
        token_endpoint_auth_method="none",  # noqa: S106 - a method, not a secret
        scope=None,
        information={},
        secret_hash=None,
        secret_expires_at=None,
        registration="manual",
        registered_from=None,
        created_at=now,
        last_used_at=None,
        disabled_at=None,
    )
    await store.add_client(tx, client)
    await record(tx, "client.created", context.origin, client_id=CLIENT_ID)
    return client


async def _grant(
    context: TokenContext, client: Client, owner: ResourceOwner, resource: Resource, scope: str
) -> Grant:
    """The person's grant of today; a new one when they may do more or less than then."""
    tx, now = context.tx, context.origin.now
    # Of many requests at once, one makes it.
    await tx.lock(f"tool tester of {owner.id}")
    for grant in await grant_store.list_grants(tx, 10, 0, user_id=owner.id, client_id=client.client_id):
        is_same = (grant.resource, grant.scope) == (resource.url, scope)
        if is_same and grant.is_live(now + _TOKEN_LIFETIME):
            return grant
    grant = Grant(
        id=mint_id("grant_"),
        user_id=owner.id,
        client_id=client.client_id,
        resource=resource.url,
        scope=scope,
        redirect_uri=None,
        reference=mint_reference(),
        created_at=now,
        expires_at=now + _LIFETIME,
        grant_type=GRANT_TYPE,
    )
    await grant_store.add_grant(tx, grant)
    await record(
        tx,
        "grant.opened",
        context.origin,
        user_id=owner.id,
        client_id=client.client_id,
        grant_id=grant.id,
        reference=grant.reference,
    )
    return grant
