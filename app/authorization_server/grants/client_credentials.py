"""The client credentials grant (RFC 6749 §4.4): a client acts for itself, and no person is asked.

Refuses, in this order:
 1. a malformed scope                                                       invalid_scope
 2. a client that the operator did not give this grant, or a public one     unauthorized_client
 3. a resource that is not ours                                             invalid_target
 4. a scope of which this client may have nothing                           invalid_scope
What a client asks for besides is left out, and the answer says so: MCP clients ask for all that a resource lists,
also for what can only be known of a person. There is no refresh token (§4.4.3). A client has one grant for each
resource and scope, so that an operator can see it and take it back: its tokens stop working at the next call.
"""

from dataclasses import dataclass

from app.audit import record
from app.authorization_server import grant_store
from app.authorization_server.authorization import choose_resource
from app.authorization_server.claims import CLAIMS_BY_SCOPE
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.issuance import Issuance
from app.authorization_server.policy import Policy, Resource
from app.authorization_server.records import Client, Grant
from app.authorization_server.tokens import TokenResponse, issue
from app.oauth.credentials import mint_id, mint_reference
from app.oauth.errors import InvalidScope, UnauthorizedClient
from app.oauth.parameters import Parameters
from app.oauth.scopes import format_scope, parse_scope

GRANT_TYPE = "client_credentials"


@dataclass(frozen=True, slots=True)
class ClientCredentialsRequest:
    """The form of a client that asks for itself."""

    scopes: tuple[str, ...]
    resource: tuple[str, ...]


def parse(form: Parameters) -> ClientCredentialsRequest:
    """Read the form.

    Raises:
        InvalidScope: the scope is malformed.
    """
    return ClientCredentialsRequest(parse_scope(form.get("scope")), form.all("resource"))


async def exchange(context: TokenContext, client: Client, request: ClientCredentialsRequest) -> TokenResponse:
    """Issue a token to the client itself.

    Raises:
        InvalidScope, InvalidTarget, UnauthorizedClient: as the head of this file says.
    """
    if GRANT_TYPE not in client.grant_types or client.is_public:
        raise UnauthorizedClient("This client may not act for itself.", client_id=client.client_id)
    resource = choose_resource(request.resource, context.policy)
    allowed = allowed_scopes(client, resource, context.policy)
    scopes = tuple(name for name in allowed if name in request.scopes) if request.scopes else allowed
    if not scopes:
        raise InvalidScope("This client may have nothing of this scope.", client_id=client.client_id)
    grant = await _own_grant(context, client, resource, format_scope(scopes))
    return await issue(context, Issuance(client, grant, None, scopes), None)


def allowed_scopes(client: Client, resource: Resource, policy: Policy) -> tuple[str, ...]:
    """What a client may have for itself at a resource: what the operator wrote down for it, else all but what is for
    administrators; never what tells about a person."""
    registered = parse_scope(client.scope)
    return tuple(
        scope.name
        for scope in policy.catalogue
        if scope.name in resource.scopes
        and scope.name not in CLAIMS_BY_SCOPE
        and (scope.name in registered if registered else not scope.admins_only)
    )


async def _own_grant(context: TokenContext, client: Client, resource: Resource, scope: str) -> Grant:
    """The client's grant, made when there is none that outlives the token."""
    tx, now = context.tx, context.origin.now
    wanted = (tx, client.client_id, resource.url, scope, now + context.policy.access_token_lifetime)
    found = await grant_store.find_own_grant(*wanted)
    if found is None:
        # Of many requests at once, one makes it.
        await tx.lock(f"grants of {client.client_id}")
        found = await grant_store.find_own_grant(*wanted)
    if found is not None:
        return found
    grant = Grant(
        id=mint_id("grant_"),
        user_id=None,
        client_id=client.client_id,
        resource=resource.url,
        scope=scope,
        redirect_uri=None,
        reference=mint_reference(),
        created_at=now,
        expires_at=now + context.policy.grant_lifetime,
        grant_type=GRANT_TYPE,
    )
    await grant_store.add_grant(tx, grant)
    await record(
        tx,
        "grant.opened",
        context.origin,
        client_id=client.client_id,
        grant_id=grant.id,
        reference=grant.reference,
    )
    return grant
