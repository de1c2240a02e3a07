"""From a bearer token to a `Principal`: signature once per token and process, expiry and revocation on every call."""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from app.clock import Clock
from app.oauth import jwt
from app.oauth.editions import CLAIM, edition_of
from app.oauth.scopes import Scope, implied
from app.resource_server.principal import Principal, User
from app.resource_server.revocations import Revocations

_MOST_REMEMBERED = 10_000


class InvalidToken(Exception):
    """The token is unknown, expired, revoked or for another resource (RFC 6750 §3.1); the text says which."""


class RevokedToken(InvalidToken):
    """It is one of ours and would be good; `principal` is whom it spoke for."""

    def __init__(self, principal: Principal) -> None:
        super().__init__("The access token was revoked.")
        self.principal = principal


class UnknownToken(InvalidToken):
    """It is not one that our issuer signed."""

    def __init__(self) -> None:
        super().__init__("The access token is not known here.")


class Verifier(Protocol):
    """Tells who calls with a token."""

    async def verify(self, token: str) -> "Caller":
        """See `AccessTokenVerifier.verify`."""
        ...


# What was attached to a grant, by its id; raises `RevocationsUnknown` when it can't be read at present.
FindProps = Callable[[str], Awaitable[Mapping[str, Any]]]


class Caller(AuthenticatedUser):
    """A principal in the shape that the MCP SDK knows, so that it binds sessions and request state to it."""

    def __init__(
        self, principal: Principal, resource: str, *, lacks_props: bool = False, edition: object = 0
    ) -> None:
        super().__init__(
            AccessToken(
                token="",
                client_id=principal.client_id,
                scopes=sorted(principal.scopes),
                expires_at=int(principal.expires_at.timestamp()),
                resource=resource,
                subject=principal.subject,
                claims={"iss": principal.issuer},
            )
        )
        self.principal = principal
        self.lacks_props = lacks_props
        grant_id = principal.grant_id
        # With one of these its token is revoked.
        self.revocable = (
            principal.token_id,
            *((grant_id, edition_of(grant_id, edition)) if grant_id else ()),
        )


class AccessTokenReader:
    """Reads RFC 9068 access tokens of one issuer for one resource, by what stands in them alone.

    Args:
        keys: the issuer's public keys by id, asked anew for each call.
        catalogue: which scope implies which.
    """

    def __init__(
        self,
        issuer: str,
        resource: str,
        keys: Callable[[], Mapping[str, jwt.VerificationKey]],
        catalogue: tuple[Scope, ...] = (),
    ) -> None:
        self._issuer = issuer
        self._resource = resource
        self._keys = keys
        self._catalogue = catalogue
        self._remembered: OrderedDict[bytes, tuple[Caller, str]] = OrderedDict()

    def read(self, token: str, now: datetime) -> Caller:
        """Whom this token speaks for, unless it was revoked.

        Raises:
            InvalidToken: it is not good here and now.
        """
        if len(token) > jwt.LONGEST:
            raise InvalidToken("The access token is malformed.")
        # Only a digest is remembered: this memory holds nothing that could be used as a token.
        digest = hashlib.sha256(token.encode()).digest()
        caller, kid = self._remembered.get(digest, (None, ""))
        # A key that was withdrawn takes along what it signed, also what was verified while it was good.
        if caller is None or kid not in self._keys():
            self._remembered.pop(digest, None)
            caller, kid = self._identify(token, now)
            self._remember(digest, caller, kid)
        if now >= caller.principal.expires_at:
            self._remembered.pop(digest, None)
            raise InvalidToken("The access token has expired.")
        return caller

    def _remember(self, digest: bytes, caller: Caller, kid: str) -> None:
        self._remembered[digest] = caller, kid
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def _identify(self, token: str, now: datetime) -> tuple[Caller, str]:
        try:
            claims, kid = jwt.verify_and_name_key(token, self._keys(), jwt.ACCESS_TOKEN_TYPE)
        except jwt.InvalidJWT:
            raise UnknownToken from None
        if claims.get("iss") != self._issuer:
            raise InvalidToken("The access token is of another issuer.")
        if claims.get("aud") != self._resource:
            raise InvalidToken("The access token is for another resource.")
        if now < _instant(claims.get("nbf", 0)):
            raise InvalidToken("The access token is not valid yet.")
        principal = _principal_of(claims, self._catalogue)
        lacks_props = claims.get("props") is True
        caller = Caller(principal, self._resource, lacks_props=lacks_props, edition=claims.get(CLAIM, 0))
        return caller, kid


class AccessTokenVerifier:
    """Verifies access tokens where what is revoked is held in memory.

    Args:
        keys, catalogue: see `AccessTokenReader`.
        revocations: what is revoked.
        find_props: reads what belongs to a token that says so, once a token; without it tools get none.
    """

    def __init__(
        self,
        issuer: str,
        resource: str,
        keys: Callable[[], Mapping[str, jwt.VerificationKey]],
        revocations: Revocations,
        clock: Clock,
        catalogue: tuple[Scope, ...] = (),
        find_props: FindProps | None = None,
    ) -> None:
        self._reader = AccessTokenReader(issuer, resource, keys, catalogue)
        self._revocations = revocations
        self._clock = clock
        self._find_props = find_props

    async def verify(self, token: str) -> Caller:
        """Who calls with this token.

        Raises:
            InvalidToken: it is not good here and now.
            RevocationsUnknown: nobody can tell at present whether it is revoked.
        """
        now = self._clock.now()
        caller = self._reader.read(token, now)
        principal = caller.principal
        if await self._revocations.covers(caller.revocable, now):
            raise RevokedToken(principal)
        if caller.lacks_props and self._find_props is not None:
            caller.principal = replace(principal, props=await self._find_props(principal.grant_id or ""))
            caller.lacks_props = False
        return caller


def _instant(claim: object) -> datetime:
    """A NumericDate (RFC 7519 §2): a number, never a text."""
    if not isinstance(claim, int | float) or isinstance(claim, bool):
        raise InvalidToken("The access token has a malformed time.")
    try:
        return datetime.fromtimestamp(claim, UTC)
    except (OverflowError, ValueError, OSError):
        raise InvalidToken("The access token has a malformed time.") from None


def _principal_of(claims: Mapping[str, Any], catalogue: tuple[Scope, ...]) -> Principal:
    """RFC 9068 §2.2: the claims that must be there, in the types that they must have."""
    try:
        texts = {name: claims[name] for name in ("iss", "sub", "client_id", "jti")}
        expires_at = _instant(claims["exp"])
    except KeyError:
        raise InvalidToken("The access token lacks a claim.") from None
    if not all(isinstance(text, str) and text for text in texts.values()):
        raise InvalidToken("The access token lacks a claim.")
    scopes = frozenset(str(claims.get("scope", "")).split())
    person = User(
        id=texts["sub"],
        username=claims.get("preferred_username"),
        name=claims.get("name"),
        email=claims.get("email"),
    )
    return Principal(
        user=person if texts["sub"] != texts["client_id"] else None,
        client_id=texts["client_id"],
        client_name=claims.get("client_name"),
        scopes=scopes,
        grant_id=claims.get("grant_id"),
        token_id=texts["jti"],
        issuer=texts["iss"],
        expires_at=expires_at,
        implied=implied(scopes, catalogue) - scopes,
        proof_key=_proof_key(claims),
    )


def _proof_key(claims: Mapping[str, Any]) -> str | None:
    """The key that the caller must prove to hold (RFC 7800 §3.1, RFC 9449 §6.1)."""
    if "cnf" not in claims:
        return None
    cnf = claims["cnf"]
    key = cnf["jkt"] if isinstance(cnf, Mapping) and cnf.keys() == {"jkt"} else None
    if not isinstance(key, str):
        raise InvalidToken("The access token is bound in a way that is not known here.")
    return key
