"""What endpoints ask for in their signatures."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from app.accounts import store as accounts
from app.accounts.records import User
from app.audit import Origin, record
from app.authorization_server.client_authentication import read_keys
from app.authorization_server.proof_of_possession import nonces_of
from app.authorization_server.records import ResourceOwner
from app.database import Transaction
from app.oauth.credentials import mint_reference
from app.oauth.dpop import DPOP, Presented, read_presented
from app.oauth.errors import InvalidRequest, InvalidToken, OAuthError
from app.oauth.features import Feature
from app.oauth.parameters import Parameters, parse_parameters
from app.routers.endpoints import endpoint_of
from app.routers.errors import PageError
from app.routers.services import Services

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def get_services(request: Request) -> Services:
    """The running server's parts."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


def requires_feature(feature: Feature) -> Any:
    """For a route's `dependencies`: while the feature is switched off, there is nothing at its address."""

    def check(services: ServicesDep) -> None:
        if not services.policy.has(feature):
            raise HTTPException(404)

    return Depends(check)


def get_origin(request: Request, services: ServicesDep) -> Origin:
    """When and from where; trusted proxies were taken into account before."""
    return Origin(services.clock.now(), request.client.host if request.client else "unknown")


OriginDep = Annotated[Origin, Depends(get_origin)]


async def open_transaction(
    request: Request, services: ServicesDep, origin: OriginDep
) -> AsyncIterator[Transaction]:
    """One transaction a request. It is committed before the answer leaves, also when the answer is a refusal."""
    async with services.database.transaction(commit_on=(OAuthError, PageError)) as tx:
        try:
            yield tx
        except (OAuthError, PageError) as error:
            refusal = error.cause if isinstance(error, PageError) else error
            if refusal is not None and refusal.audited:
                await record_refusal(tx, request, origin, refusal)
            raise


async def record_refusal(tx: Transaction, request: Request, origin: Origin, refusal: OAuthError) -> None:
    """Keep what was refused, where and why, under a reference that the answer carries too.

    Of a source that is refused all the time only so much is kept; the counters go on.
    """
    if not await get_services(request).limits.may_record(origin.source):
        return
    refusal.reference = refusal.reference or mint_reference()
    await record(
        tx,
        f"refused {endpoint_of(request)}",
        origin,
        outcome=refusal.error,
        reason=refusal.reason or refusal.description,
        user_id=refusal.user_id,
        client_id=refusal.client_id,
        grant_id=refusal.grant_id,
        reference=refusal.reference,
    )


# Function scope: the default scope of such a dependency would commit after the answer has left.
TransactionDep = Annotated[Transaction, Depends(open_transaction, scope="function")]


async def read_form(request: Request) -> Parameters:
    """A form body, read before any transaction is opened: a slow sender must not hold a connection.

    Raises:
        InvalidRequest: wrong media type, malformed, or a NUL byte.
    """
    media_type = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise InvalidRequest("Content-Type must be application/x-www-form-urlencoded.")
    return parse_parameters(await request.body())


async def read_machine_form(request: Request, services: ServicesDep, origin: OriginDep) -> Parameters:
    """The form of an endpoint for machines, in which no parameter is repeated (OAuth 2.1 §3.2).

    If the client signs for itself, its keys are read now: no transaction is to wait for its host.

    Raises:
        InvalidRequest: as `read_form`, or one is repeated.
        TooManyFetches: keys would have to be read, and there is no place.
    """
    form = await read_form(request)
    form.refuse_repeated()
    await read_keys(services.client_keys, services.policy, form, origin)
    return form


FormDep = Annotated[Parameters, Depends(read_machine_form)]


def read_authorization(request: Request) -> str | None:
    """The `Authorization` header.

    Raises:
        InvalidRequest: there are two (OAuth 2.1 §2.4: one authentication method a request).
    """
    values = request.headers.getlist("authorization")
    if len(values) > 1:
        raise InvalidRequest("Only one Authorization header may be sent.")
    return values[0] if values else None


AuthorizationDep = Annotated[str | None, Depends(read_authorization)]


def read_proofs(request: Request) -> Sequence[str]:
    """The values of the `DPoP` headers; there may be one at most, which is the proof's own first rule."""
    return request.headers.getlist("dpop")


ProofsDep = Annotated[Sequence[str], Depends(read_proofs)]


def read_access_token(authorization: AuthorizationDep, proofs: ProofsDep, services: ServicesDep) -> Presented:
    """The access token of the `Authorization` header; never one in the address or the body (OAuth 2.1 §5.1).

    Raises:
        InvalidToken: there is none.
    """
    presented = read_presented(authorization, proofs)
    if presented is None or (presented.scheme == DPOP and not services.policy.has(Feature.DPOP)):
        raise InvalidToken("An access token is required.", presented=False, reason="no_token")
    return presented


AccessTokenDep = Annotated[Presented, Depends(read_access_token)]


def nonce_header(services: Services, origin: Origin, proofs: Sequence[str]) -> dict[str, str]:
    """The nonce for the next proof, where nonces are asked for and the client sends proofs (RFC 9449 §8.2)."""
    nonces = nonces_of(services.keys, services.policy)
    return {"DPoP-Nonce": nonces.current(origin.now)} if nonces is not None and proofs else {}


async def find_owner(tx: Transaction, user_id: str, *, hold: bool = False) -> ResourceOwner | None:
    """The accounts' answer to `FindResourceOwner`."""
    return owner_of(await accounts.find_user(tx, user_id, hold=hold))


def owner_of(user: User | None) -> ResourceOwner | None:
    """As `resource_owner`; None for someone deleted or disabled."""
    return None if user is None or user.disabled_at is not None else resource_owner(user)


def resource_owner(user: User) -> ResourceOwner:
    """A person who may sign in, as the authorization server knows them."""
    return ResourceOwner(
        id=user.id, username=user.username, name=user.name, email=user.email, is_admin=user.is_admin
    )
