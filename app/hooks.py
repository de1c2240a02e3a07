"""The operator's own module: what it may decide, and how it is asked.

`HOOKS=package.module` names a module with any of these, each an `async def`:

    on_registration(registration: Registration) -> None
        before a client is stored, however it came; raise `Refused` to turn it away
    on_token_issue(issue: TokenIssue) -> TokenChanges | None
        before an access token is signed, whatever the grant; raise `Refused` to give none
    on_bearer(token: str, resource: str) -> ForeignCaller | None
        a bearer token that is not ours; None when it is not known there either
    on_error(failure: Failure) -> ErrorChanges | None
        after something was refused or broke, before the answer leaves

They run inside requests, so each must answer within `SECONDS`. One that breaks or takes longer lets nothing through:
the request is answered with 503 or 500 and the log tells why; only a broken `on_error` is merely logged.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, ClassVar

from app.oauth.errors import OAuthError, TemporarilyUnavailable

SECONDS = 2.0
# Claims that mean something here, or whose meaning is not the operator's to give (RFC 9068 §2.2, RFC 8693 §4).
RESERVED_CLAIMS = frozenset(
    {
        *(
            "iss",
            "sub",
            "aud",
            "exp",
            "nbf",
            "iat",
            "jti",
            "client_id",
            "client_name",
            "scope",
            "grant_id",
            "grant_edition",
        ),
        *("props", "cnf", "act", "may_act", "auth_time", "name", "preferred_username", "email"),
    }
)

log = logging.getLogger(__name__)


class Refused(OAuthError):
    """Raise it in a hook to refuse. The text is told to the client: printable ASCII without quotes or backslashes."""

    error = "access_denied"
    status = 403


class InvalidHooks(Exception):
    """`HOOKS` does not name a usable module; the text is one sentence for the operator."""


class BrokenHook(Exception):
    """A hook returned something that it must not."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A client that is about to be stored.

    Args:
        how: it came: dynamic, document or managed (RFC 7592).
        metadata: as RFC 7591 §2 names it, checked.
    """

    how: str
    metadata: Mapping[str, Any]
    source: str


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a token speaks for."""

    id: str
    username: str
    name: str
    email: str | None
    is_admin: bool


@dataclass(frozen=True, slots=True)
class TokenIssue:
    """An access token that is about to be signed.

    Args:
        person: None for a client that acts for itself.
        props: what was attached to the grant before; empty at first.
    """

    grant_type: str
    client_id: str
    grant_id: str
    resource: str
    scopes: tuple[str, ...]
    person: Person | None
    props: Mapping[str, Any]
    now: datetime


@dataclass(frozen=True, slots=True)
class TokenChanges:
    """What a hook makes of a token.

    Args:
        claims: further claims; the client can read them. Those of `RESERVED_CLAIMS` are not for hooks.
        scopes: fewer scopes than asked; None for all of them.
        lifetime: shorter than usual; None for the usual one.
        props: kept with the grant, encrypted, and given to tools as `principal.props`, never to the client; None
            leaves them as they are. JSON.
    """

    claims: Mapping[str, Any] = field(default_factory=dict)
    scopes: tuple[str, ...] | None = None
    lifetime: timedelta | None = None
    props: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ForeignCaller:
    """Whom a bearer token of someone else speaks for. `issuer` must not be ours; `expires_at` is in UTC."""

    issuer: str
    subject: str
    client_id: str
    scopes: tuple[str, ...]
    expires_at: datetime
    token_id: str
    username: str | None = None
    name: str | None = None
    email: str | None = None
    props: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that was refused or broke: the answer, and what only the audit record says."""

    endpoint: str
    status: int
    error: str
    description: str
    reason: str | None = None
    client_id: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorChanges:
    """Other words for the answer: `error_description`, and `error_uri` (RFC 6749 §5.2). The code stays."""

    description: str | None = None
    uri: str | None = None


Hook = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of this server; one that is not there changes nothing."""

    NAMES: ClassVar[tuple[str, ...]] = ("on_registration", "on_token_issue", "on_bearer", "on_error")

    on_registration: Hook | None = None
    on_token_issue: Hook | None = None
    on_bearer: Hook | None = None
    on_error: Hook | None = None

    async def registration(self, registration: Registration) -> None:
        """Ask whether this client may come.

        Raises:
            Refused: it may not.
            TemporarilyUnavailable: the hook took too long.
        """
        if self.on_registration is not None:
            await _ask(self.on_registration(registration), type(None))

    async def token_issue(self, issue: TokenIssue) -> TokenChanges:
        """Ask what this token is to be.

        Raises:
            Refused, TemporarilyUnavailable: as `registration`.
            BrokenHook: it changed something that is not for hooks.
        """
        if self.on_token_issue is None:
            return TokenChanges()
        changes = await _ask(self.on_token_issue(issue), TokenChanges, type(None)) or TokenChanges()
        if taken := RESERVED_CLAIMS & changes.claims.keys():
            raise BrokenHook(f"on_token_issue set the claim {min(taken)}, which is not for hooks.")
        if changes.scopes is not None and not set(changes.scopes) <= set(issue.scopes):
            raise BrokenHook("on_token_issue widened the scope.")
        if changes.lifetime is not None and changes.lifetime < timedelta(seconds=1):
            raise BrokenHook("on_token_issue set a lifetime below a second.")
        return changes

    async def bearer(self, token: str, resource: str, issuer: str) -> ForeignCaller | None:
        """Ask who calls with a token that is not ours.

        Args:
            issuer: ours.

        Raises:
            TemporarilyUnavailable: the hook took too long.
            BrokenHook: it named our issuer, or a time without a zone.
        """
        if self.on_bearer is None:
            return None
        caller: ForeignCaller | None = await _ask(self.on_bearer(token, resource), ForeignCaller, type(None))
        if caller is not None and caller.issuer == issuer:
            raise BrokenHook("on_bearer named our issuer, for which this server alone speaks.")
        if caller is not None and caller.expires_at.tzinfo is None:
            raise BrokenHook("on_bearer set expires_at without a time zone.")
        return caller

    async def error(self, failure: Failure) -> ErrorChanges:
        """Tell what went wrong; whatever the hook does, the answer leaves."""
        if self.on_error is None:
            return ErrorChanges()
        try:
            return await _ask(self.on_error(failure), ErrorChanges, type(None)) or ErrorChanges()
        except Exception:
            # It was told of a failure; its own must not hide that one.
            log.exception("The hook on_error failed")
            return ErrorChanges()


NO_HOOKS = Hooks()


def load_hooks(module: str | None) -> Hooks:
    """Import the operator's module.

    Raises:
        InvalidHooks: there is no such module, it has no hook, or one that is not an `async def`.
    """
    if module is None:
        return Hooks()
    try:
        found = import_module(module)
    except (ImportError, ValueError) as error:
        raise InvalidHooks(f"HOOKS names {module}, which can't be loaded: {error}.") from error
    hooks = {name: getattr(found, name) for name in Hooks.NAMES if hasattr(found, name)}
    if not hooks:
        raise InvalidHooks(f"HOOKS names {module}, which has none of {', '.join(Hooks.NAMES)}.")
    for name, hook in hooks.items():
        if not inspect.iscoroutinefunction(hook):
            raise InvalidHooks(f"{module}.{name} must be an async def.")
    return Hooks(**hooks)


async def _ask(answer: Awaitable[Any], *expected: type) -> Any:
    try:
        async with asyncio.timeout(SECONDS):
            result = await answer
    except TimeoutError:
        log.exception("A hook took longer than %s s", SECONDS)
        raise TemporarilyUnavailable from None
    if not isinstance(result, expected):
        raise BrokenHook(f"A hook returned {type(result).__name__}.")
    return result
