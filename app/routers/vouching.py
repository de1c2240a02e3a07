"""Identity assertions on their way to the token endpoint: the issuer's keys, and the accounts' answer."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends

from app.accounts.identities import find_vouched_user
from app.audit import Origin
from app.authorization_server.flights import TooManyFetches
from app.authorization_server.grants import jwt_bearer
from app.authorization_server.key_sets import KeysUnavailable
from app.authorization_server.policy import TrustedIssuer
from app.authorization_server.records import ResourceOwner
from app.database import Transaction
from app.oauth.assertions import read_assertion
from app.oauth.features import Feature
from app.oauth.jwt import InvalidJWT
from app.routers.dependencies import FormDep, OriginDep, ServicesDep, owner_of


async def read_issuer_keys(form: FormDep, services: ServicesDep, origin: OriginDep) -> None:
    """Read the keys of the issuer of an assertion, before any transaction waits for the network.

    Only those of issuers that the operator trusts; what is wrong with the assertion is told by the grant, once the
    client is known.
    """
    assertions = form.all("assertion")
    if not services.policy.has(Feature.JWT_BEARER) or len(assertions) != 1:
        return
    try:
        assertion = read_assertion(assertions[0], jwt_bearer.TOKEN_TYPES)
        issuer = services.policy.find_issuer(assertion.claims.get("iss"))
        if issuer is not None:
            await services.key_sets.find(issuer.jwks_uri, assertion, origin.now, None)
    except (InvalidJWT, KeysUnavailable, TooManyFetches):
        return


IssuerKeysDep = Annotated[None, Depends(read_issuer_keys)]


async def find_vouched(
    tx: Transaction, issuer: TrustedIssuer, claims: Mapping[str, Any], origin: Origin
) -> ResourceOwner | None:
    """The accounts' answer to `FindVouched`."""
    user = await find_vouched_user(tx, issuer.issuer, claims, origin, create=issuer.create_users)
    return owner_of(user)
