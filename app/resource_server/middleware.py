"""The bearer check, as pure ASGI in front of the protected application: reads headers only, never the body."""

import logging
from collections.abc import Callable, Collection, Iterable

from mcp.server.auth.middleware.auth_context import auth_context_var
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.oauth.uris import LOOPBACK_HOSTS
from app.resource_server.challenge import Challenge, Challenges, refusal
from app.resource_server.revocations import RevocationsUnknown
from app.resource_server.verifier import AccessTokenVerifier, Caller, InvalidToken

log = logging.getLogger(__name__)


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
        refused: told the error code of each refusal, for the metrics.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: AccessTokenVerifier,
        challenges: Challenges,
        required_scopes: frozenset[str],
        origin_check: OriginCheck,
        refused: Callable[[str], None],
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._challenges = challenges
        self._required = required_scopes
        self._origin_check = origin_check
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller, token = await self._identify(scope)
        except _Refused as refused:
            self._refused(refused.error)
            answer = refused.challenge
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            await send({"type": "http.response.body", "body": answer.body})
            return
        scope["user"] = caller
        scope["headers"] = _without_credentials(scope["headers"])
        reset = auth_context_var.set(caller)
        try:
            await self._app(scope, receive, self._while_valid(token, send))
        except* _Ended:  # perhaps inside the group of a task that was streaming
            log.info("A stream ended with its token: %s", caller.principal.token_id)
        finally:
            auth_context_var.reset(reset)

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

    async def _identify(self, scope: Scope) -> tuple[Caller, str]:
        """Who sends this request, and with which token.

        Raises:
            _Refused: with the answer.
        """
        host, origin, authorization = _read_headers(scope)
        if not self._origin_check.allows(host, origin):
            raise _Refused(_FORBIDDEN, "forbidden_origin")
        token = _bearer_token(authorization)
        if token is None:
            raise _Refused(self._challenges.unauthenticated(), "unauthenticated")
        try:
            caller = await self._verifier.verify(token)
        except InvalidToken as error:
            raise _Refused(self._challenges.invalid_token(str(error)), "invalid_token") from None
        except RevocationsUnknown:
            raise _Refused(_UNAVAILABLE, "temporarily_unavailable") from None
        if not self._required <= caller.principal.scopes:
            raise _Refused(self._challenges.insufficient_scope(sorted(self._required)), "insufficient_scope")
        return caller, token


class _Ended(OSError):
    """To the application: the client is gone."""


class _Refused(Exception):
    def __init__(self, challenge: Challenge, error: str) -> None:
        super().__init__(error)
        self.challenge = challenge
        self.error = error


def _read_headers(scope: Scope) -> tuple[bytes | None, bytes | None, bytes | None]:
    """`Host`, `Origin` and `Authorization` in one pass."""
    host = origin = authorization = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            # Two of them can't both be believed.
            authorization = value if authorization is None else b""
        elif name == b"host":
            host = value
        elif name == b"origin":
            origin = value
    return host, origin, authorization


def _without_credentials(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers as the protected application may see them: no tool can pass on a token that it never gets.

    Blanks around a value are not part of it (RFC 9110 §5.5); uvicorn leaves those behind it.
    """
    return [(name, value.strip(b" \t")) for name, value in headers if name != b"authorization"]


def _bearer_token(authorization: bytes | None) -> str | None:
    """The token of an `Authorization` header; the scheme's case does not matter (RFC 6750 §2.1)."""
    if authorization is None:
        return None
    scheme, _, token = authorization.decode("latin-1").strip().partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token else None


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
