"""Scopes: the wire string, the set, and the catalogue of what this server knows."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from app.oauth.errors import InvalidScope

# RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+\Z")
_MOST_SCOPES = 100

OFFLINE_ACCESS = "offline_access"
OPENID = "openid"
# What belongs to the authorization server alone: no resource asks for it.
SERVER_SCOPES = frozenset({OFFLINE_ACCESS, OPENID})
# With `openid` among them and nothing else, an app wants to know who signs in (OpenID Connect Core §5.4).
IDENTITY_SCOPES = frozenset({OPENID, "profile", "email", OFFLINE_ACCESS})


@dataclass(frozen=True, slots=True)
class Scope:
    """One permission: its name on the wire and the sentence that a person reads on the consent page.

    Args:
        implies: names of scopes that whoever has this one has too.
        admins_only: only people who operate the server may have it, and whatever implies it.
        on_demand: clients are told of it when an operation needs it, not when they first connect
            (MCP authorization, Step-Up Authorization Flow).
    """

    name: str
    sentence: str
    detail: str | None = None
    implies: tuple[str, ...] = ()
    admins_only: bool = False
    on_demand: bool = False


# The scopes of every installation; `SCOPES` adds more. The resource never asks for `offline_access` (MCP
# authorization, Refresh Tokens).
CATALOGUE: tuple[Scope, ...] = (
    Scope(OPENID, "Know that it is you", "when you come back, without learning your name"),
    Scope("mcp", "Use this server’s tools in your name"),
    Scope("profile", "Know who you are", "your name and the name you sign in with"),
    Scope("email", "See your e-mail address"),
    Scope(OFFLINE_ACCESS, "Stay connected when you are away"),
)
REQUIRED_AT_RESOURCE = frozenset({"mcp"})


def parse_scope(scope: str | None) -> tuple[str, ...]:
    """Split a `scope` parameter into its names, in order and each once.

    Surplus spaces are accepted, because Claude sends ` offline_access`.

    Raises:
        InvalidScope: a character outside RFC 6749 §3.3, or more names than anyone needs.
    """
    names = tuple(dict.fromkeys((scope or "").split(" ")))
    names = tuple(name for name in names if name)
    if len(names) > _MOST_SCOPES:
        raise InvalidScope("The scope parameter names too many scopes.")
    if not all(_SCOPE_TOKEN.match(name) for name in names):
        raise InvalidScope("The scope parameter is malformed.")
    return names


def format_scope(names: Iterable[str]) -> str:
    """The wire string for these names."""
    return " ".join(names)


def supported_by_server(catalogue: tuple[Scope, ...] = CATALOGUE) -> tuple[str, ...]:
    """What `scopes_supported` of the authorization server lists (RFC 8414 §2)."""
    return tuple(scope.name for scope in catalogue)


def supported_by_resource(catalogue: tuple[Scope, ...] = CATALOGUE) -> tuple[str, ...]:
    """What can mean something at a resource: all but what belongs to this server alone."""
    return tuple(scope.name for scope in catalogue if scope.name not in SERVER_SCOPES)


def worth_telling(names: Iterable[str], catalogue: tuple[Scope, ...] = CATALOGUE) -> tuple[Scope, ...]:
    """Those of these scopes that a person is told of one by one, in the catalogue's order.

    For how long the app stays is told besides; and who learns a name or an address knows that it is you.
    """
    untold = {OFFLINE_ACCESS}
    asked = set(names)
    if asked & {"profile", "email"}:
        untold.add(OPENID)
    return tuple(scope for scope in catalogue if scope.name in asked - untold)


def asked_at_first(names: Iterable[str], catalogue: tuple[Scope, ...] = CATALOGUE) -> tuple[str, ...]:
    """Those of a resource's scopes that metadata and the first challenge name: not what waits for an operation."""
    on_demand = {scope.name for scope in catalogue if scope.on_demand}
    return tuple(name for name in names if name not in on_demand)


def implied(names: Iterable[str], catalogue: tuple[Scope, ...] = CATALOGUE) -> frozenset[str]:
    """These scopes with all that they imply, however long the chain is; a circle does no harm."""
    implications = {scope.name: scope.implies for scope in catalogue if scope.implies}
    found = set(names)
    waiting = list(found) if implications else []
    while waiting:
        new = set(implications.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return frozenset(found)


def for_person(
    names: Iterable[str], is_admin: bool, catalogue: tuple[Scope, ...] = CATALOGUE
) -> tuple[str, ...]:
    """Those of these scopes that a person may have: `admins_only`, or whatever implies one that is, for admins."""
    if is_admin:
        return tuple(names)
    reserved = {scope.name for scope in catalogue if scope.admins_only}
    return tuple(name for name in names if not reserved or reserved.isdisjoint(implied((name,), catalogue)))
