"""The check of access tokens, as pure ASGI in front of the protected application.

It reads headers only, and the body only where an operation may need more than the resource asks of everyone.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp_types import PARSE_ERROR
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.oauth.dpop import DPOP, Presented, WrongBinding, read_presented
from app.oauth.errors import InvalidDPoPProof
from app.oauth.uris import LOOPBACK_HOSTS
from app.resource_server.challenge import Challenge, Challenges, refusal, with_reference
from app.resource_server.handles import SCOPE_KEY as HANDLES
from app.resource_server.handles import HandleSealer
from app.resource_server.operations import (
    BodyTooLarge,
    Disconnected,
    UnreadableBody,
    needed_scopes,
    read_body,
)
from app.resource_server.possession import PossessionCheck, ReplaysUnknown
from app.resource_server.principal import Principal
from app.resource_server.requirements import Requirements
from app.resource_server.revocations import RevocationsUnknown
from app.resource_server.verifier import Caller, InvalidToken, RevokedToken, Verifier

log = logging.getLogger(__name__)

_CREDENTIALS = frozenset({b"authorization", b"dpop"})


@dataclass(frozen=True, slots=True)
class Denial:
    """Somebody whose token is one of ours was refused: who, why (for the operator), with which error, from where."""

    principal: Principal
    reason: str
    error: str
    source: str


class OriginCheck:
    """Which `Host` and `Origin` may call (MCP transport, DNS rebinding).

    Args:
        origins: allowed origins, exactly spelled; None for any.
        loopback_only: the server is on loopback: only loopback hosts and origins, at any port.
    """

    def __init__(self, origins: Collection[str] | None, loopback_only: bool) -> None:
        self._origins = None if origins is None else frozenset(origins)
        self._loopback_only = loopback_only

    def allows(self, host: bytes | None, origin: bytes | None) -> bool:
        """Whether a request with these headers may go on."""
        if (
            self._loopback_only
            and _without_port((host or b"").decode("latin-1").lower()) not in LOOPBACK_HOSTS
        ):
            return False
        if origin is None:
            return True
        text = origin.decode("latin-1")
        if self._origins is not None and text in self._origins:
            return True
        if self._loopback_only:
            scheme, _, rest = text.partition("://")
            return scheme in {"http", "https"} and _without_port(rest) in LOOPBACK_HOSTS
        return self._origins is None


class BearerGuard:
    """Lets a request through with a `Caller` in its scope, or answers 401, 403 or 503.

    Args:
        refused: told the status and error code of each refusal, for the metrics.
        requirements: what single operations need beyond `required_scopes`; None for nothing.
        possession: lets tokens in that are bound to a key; None where they mean nothing.
        handles: what tools seal their handles with; None where no tool asks for it.
        used: told the grant and the client's address of each call that is let through. Not to fail, nor to wait.
        noted: told of each refusal of somebody who is known here; returns the reference for the answer, if any.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier,
        challenges: Challenges,
        required_scopes: frozenset[str],
        origin_check: OriginCheck,
        refused: Callable[[int, str], None],
        requirements: Requirements | None = None,
        possession: PossessionCheck | None = None,
        handles: HandleSealer | None = None,
        used: Callable[[str, str], None] | None = None,
        noted: Callable[[Denial], Awaitable[str | None]] | None = None,
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._challenges = challenges
        self._required = required_scopes
        self._origin_check = origin_check
        self._refused = refused
        self._requirements = requirements
        self._possession = possession
        self._handles = handles
        self._used = used
        self._noted = noted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller, token = await self._identify(scope)
            bound = caller.principal.proof_key is not None
            receive = await self._check_operation(scope, receive, caller.principal)
        except Disconnected:
            return
        except _Refused as refused:
            answer = await self._answer(refused, scope)
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            await send({"type": "http.response.body", "body": answer.body})
            return
        if self._used is not None and (grant_id := caller.principal.grant_id):
            self._used(grant_id, _source_of(scope))
        if bound and self._possession is not None:
            send = self._possession.with_nonce(send)
        scope["user"] = caller
        scope[HANDLES] = self._handles
        scope["headers"] = _without_credentials(scope["headers"])
        reset = auth_context_var.set(caller)
        try:
            await self._app(scope, receive, self._while_valid(token, send))
        except* _Ended:  # perhaps inside the group of a task that was streaming
            log.info("A stream ended with its token: %s", caller.principal.token_id)
        finally:
            auth_context_var.reset(reset)

    async def _answer(self, refused: "_Refused", scope: Scope) -> Challenge:
        """Count a refusal; one of somebody who is known here is noted, and its answer says under which reference."""
        answer = refused.challenge
        self._refused(answer.status, refused.error)
        if self._noted is None or refused.denied is None:
            return answer
        denied = Denial(*refused.denied, refused.error, _source_of(scope))
        reference = await self._noted(denied)
        return with_reference(answer, reference) if reference else answer

    def _while_valid(self, token: str, send: Send) -> Send:
        """`send`, but a stream that stays open says nothing more once its token is expired or revoked."""

        async def checked(message: Message) -> None:
            if message.get("more_body"):
                try:
                    await self._verifier.verify(token)
                except (InvalidToken, RevocationsUnknown):
                    await send({"type": "http.response.body", "body": b""})
                    raise _Ended from None
            await send(message)

        return checked

    async def _check_operation(self, scope: Scope, receive: Receive, principal: Principal) -> Receive:
        """Let the caller do what the body asks for; returns how the application reads the body after that.

        Raises:
            _Refused: with the answer.
            Disconnected: nobody waits for one.
        """
        if self._requirements is None or not self._requirements.exist or scope["method"] != "POST":
            return receive
        try:
            body, receive = await read_body(receive)
            needed = needed_scopes(body, self._requirements)
        except UnreadableBody:
            raise _Refused(_UNREADABLE, "parse_error") from None
        except BodyTooLarge:
            raise _Refused(_TOO_LARGE, "content_too_large") from None
        if not principal.allows(*needed):
            raise self._insufficient(principal, self._required | needed)
        return receive

    async def _identify(self, scope: Scope) -> tuple[Caller, str]:
        """Who sends this request, and with which token.

        Raises:
            _Refused: with the answer.
        """
        host, origin, authorization, proofs = _read_headers(scope)
        if not self._origin_check.allows(host, origin):
            raise _Refused(_FORBIDDEN, "forbidden_origin")
        presented = read_presented(authorization, proofs)
        if presented is None or (presented.scheme == DPOP and self._possession is None):
            raise _Refused(self._challenges.unauthenticated(), "unauthenticated")
        dpop = presented.scheme == DPOP
        principal: Principal | None = None
        try:
            caller = await self._verifier.verify(presented.token)
            principal = caller.principal
            if dpop or caller.principal.proof_key is not None:
                await self._check_possession(presented, scope["method"], caller.principal)
        except RevokedToken as error:
            answer = self._challenges.invalid_token(str(error), dpop=dpop)
            raise _Refused(answer, "invalid_token", (error.principal, "revoked")) from None
        except (InvalidToken, WrongBinding) as error:
            answer = self._challenges.invalid_token(str(error), dpop=dpop)
            denied = (principal, "wrong_binding") if principal else None
            raise _Refused(answer, "invalid_token", denied) from None
        except InvalidDPoPProof as error:
            answer = self._challenges.invalid_proof(error)
            denied = (principal, error.reason or "proof") if principal else None
            raise _Refused(answer, error.error, denied) from None
        except (RevocationsUnknown, ReplaysUnknown):
            raise _Refused(_UNAVAILABLE, "temporarily_unavailable") from None
        if not caller.principal.allows(*self._required):
            raise self._insufficient(caller.principal, self._required)
        return caller, presented.token

    async def _check_possession(self, presented: Presented, method: str, principal: Principal) -> None:
        """See `PossessionCheck.check`; where keys mean nothing, a token that is bound to one opens nothing."""
        if self._possession is None:
            raise WrongBinding("The access token is bound to a key, which means nothing here.")
        await self._possession.check(presented, method, principal)

    def _insufficient(self, principal: Principal, needed: Iterable[str]) -> "_Refused":
        dpop = principal.proof_key is not None
        scopes = sorted(needed)
        challenge = self._challenges.insufficient_scope(scopes, dpop=dpop)
        return _Refused(challenge, "insufficient_scope", (principal, f"needs {' '.join(scopes)}"))


class _Ended(OSError):
    """To the application: the client is gone."""


class _Refused(Exception):
    """`denied` is who was refused, where that is known, and why."""

    def __init__(self, challenge: Challenge, error: str, denied: tuple[Principal, str] | None = None) -> None:
        super().__init__(error)
        self.challenge = challenge
        self.error = error
        self.denied = denied


def _source_of(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


def _read_headers(scope: Scope) -> tuple[bytes | None, bytes | None, str | None, tuple[str, ...]]:
    """`Host`, `Origin`, `Authorization` and every `DPoP` in one pass."""
    host = origin = authorization = None
    proofs: tuple[str, ...] = ()
    for name, value in scope["headers"]:
        if name == b"authorization":
            # Two of them can't both be believed.
            authorization = value.decode("latin-1") if authorization is None else ""
        elif name == b"host":
            host = value
        elif name == b"origin":
            origin = value
        elif name == b"dpop":
            proofs = (*proofs, value.decode("latin-1"))
    return host, origin, authorization, proofs


def _without_credentials(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers as the protected application may see them: no tool can pass on a token that it never gets.

    Blanks around a value are not part of it (RFC 9110 §5.5); uvicorn leaves those behind it.
    """
    return [(name, value.strip(b" \t")) for name, value in headers if name not in _CREDENTIALS]


def _without_port(host: str) -> str:
    bare, colon, port = host.rpartition(":")
    return bare if colon and port.isdigit() else host


_FORBIDDEN = refusal(
    403, {"error": "access_denied", "error_description": "This Host or Origin may not call here."}
)
_UNAVAILABLE = refusal(
    503,
    {"error": "temporarily_unavailable", "error_description": "Try again shortly."},
    [(b"retry-after", b"2")],
)
_TOO_LARGE = refusal(413, {"error": "invalid_request", "error_description": "The request body is too large."})
# What the MCP SDK answers to the same.
_UNREADABLE = refusal(
    400, {"jsonrpc": "2.0", "id": None, "error": {"code": PARSE_ERROR, "message": "Parse error"}}
)
