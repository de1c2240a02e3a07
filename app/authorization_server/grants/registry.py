"""The grant types of the token endpoint, listed by hand."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from app.authorization_server.grants import authorization_code, refresh_token
from app.authorization_server.grants.context import TokenContext
from app.authorization_server.records import Client
from app.authorization_server.tokens import TokenResponse
from app.oauth.parameters import Parameters


@dataclass(frozen=True, slots=True)
class GrantType:
    """How a grant type reads its form and what it does."""

    parse: Callable[[Parameters], Any]
    exchange: Callable[[TokenContext, Client, Any], Awaitable[TokenResponse]]


GRANTS: dict[str, GrantType] = {
    module.GRANT_TYPE: GrantType(module.parse, module.exchange)
    for module in (authorization_code, refresh_token)
}
