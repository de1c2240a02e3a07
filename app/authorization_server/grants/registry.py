"""The grant types of the token endpoint, listed by hand."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from app.authorization_server.grants import (
    authorization_code,
    client_credentials,
    device_code,
    jwt_bearer,
    refresh_token,
    token_exchange,
)
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.policy import Policy
from app.authorization_server.records import Client
from app.authorization_server.tokens import TokenResponse
from app.oauth.features import Feature
from app.oauth.parameters import Parameters


@dataclass(frozen=True, slots=True)
class GrantType:
    """How a grant type reads its form and what it does."""

    parse: Callable[[Parameters], Any]
    exchange: Callable[[TokenContext, Client, Any], Awaitable[TokenResponse]]


_ALWAYS = (authorization_code, refresh_token)
# Those that an operator may switch off.
_OPTIONAL: dict[Feature, Any] = {
    Feature.DEVICE: device_code,
    Feature.CLIENT_CREDENTIALS: client_credentials,
    Feature.TOKEN_EXCHANGE: token_exchange,
    Feature.JWT_BEARER: jwt_bearer,
}


# Nobody is asked when they are used, so only clients that the operator made have them (ASVS 10.4.4).
_OPERATORS_ONLY = frozenset({Feature.CLIENT_CREDENTIALS, Feature.JWT_BEARER})


def grant_types(policy: Policy) -> dict[str, GrantType]:
    """What the token endpoint understands, by `grant_type`."""
    modules = [*_ALWAYS, *(module for feature, module in _OPTIONAL.items() if policy.has(feature))]
    return {module.GRANT_TYPE: GrantType(module.parse, module.exchange) for module in modules}


def switched_off(policy: Policy) -> tuple[str, ...]:
    """The grant types that clients might have here if the operator had not switched them off. A client that names one
    besides others gets the others, and is told so (RFC 7591 §2, §3.2.1)."""
    return tuple(
        module.GRANT_TYPE
        for feature, module in _OPTIONAL.items()
        if feature not in _OPERATORS_ONLY and not policy.has(feature)
    )


def registrable(policy: Policy, *, by_operator: bool = False) -> tuple[str, ...]:
    """The grant types that a client may register for (RFC 7591 §2)."""
    barred = set() if by_operator else {_OPTIONAL[feature] for feature in _OPERATORS_ONLY & _OPTIONAL.keys()}
    return tuple(name for name in grant_types(policy) if name not in {module.GRANT_TYPE for module in barred})
