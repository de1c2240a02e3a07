"""OpenID Connect providers (Core 1.0, Discovery 1.0): Google, Microsoft Entra, Keycloak, another Ostiary, …

An ID token is refused (Core §3.1.3.7), in this order: unreadable or of an algorithm that is not ours; signed by none of
the provider's keys; of another issuer; for another audience or authorized party; with another nonce; over, old, or of a
time to come; without a subject.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from app.accounts.upstream import Ticket, Vouched, Welcome
from app.authorization_server.document_fetcher import DISCOVERY, DocumentFetcher, DocumentUnreadable
from app.authorization_server.flights import TooManyFetches
from app.authorization_server.key_sets import KeySets, KeysUnavailable
from app.oauth import jwt
from app.oauth.uris import InvalidURI, canonical_url, is_loopback
from app.upstream.provider import (
    Answer,
    Credentials,
    ProviderFailed,
    authorization_address,
    oauth_client,
    read_json,
    redeem_code,
)

_LEEWAY = timedelta(minutes=1)
# An ID token is used at once; one that was made longer ago was kept by somebody.
_OLDEST = timedelta(minutes=10)
_SERVES = timedelta(days=1)
_PAUSE = timedelta(seconds=10)
_LONGEST_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class _Metadata:
    """What the provider says about itself (Discovery §3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    posts_secret: bool
    names_itself: bool


class OpenIDProvider:
    """A provider that is found by its issuer."""

    def __init__(
        self,
        name: str,
        label: str,
        issuer: str,
        credentials: Credentials,
        welcome: Welcome,
        fetcher: DocumentFetcher,
        key_sets: KeySets,
    ) -> None:
        self.id, self.label, self.welcome, self.issuer = name, label, welcome, issuer
        self._credentials = credentials
        self._fetcher = fetcher
        self._key_sets = key_sets
        self._metadata: _Metadata | None = None
        self._fresh_until: datetime | None = None
        self._serves_until: datetime | None = None
        self._failed: tuple[datetime, str] | None = None
        self._reading = asyncio.Lock()

    async def prepare(self, now: datetime) -> None:
        """See `Provider.prepare`. What was read last serves for a day while the provider does not answer; one request
        at a time asks it, and none for a while after it failed.
        """
        async with self._reading:
            if self._fresh_until is None or now >= self._fresh_until:
                await self._read(now)

    async def _read(self, now: datetime) -> None:
        if self._failed is not None and now < self._failed[0]:
            self._fall_back(self._failed[1], now)
            return
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        self._fetcher.trust(url)
        try:
            fetched = await self._fetcher.fetch(url, DISCOVERY)
            self._metadata = _read_metadata(fetched.document, self.issuer)
        except (DocumentUnreadable, ProviderFailed) as error:
            self._failed = now + _PAUSE, error.reason
            self._fall_back(error.reason, now)
            return
        self._fetcher.trust(self._metadata.jwks_uri)
        self._fresh_until, self._serves_until = now + fetched.fresh_for, now + _SERVES

    def _fall_back(self, reason: str, now: datetime) -> None:
        """Raises ProviderFailed: what was read last is too old, or there is nothing."""
        if self._serves_until is None or now >= self._serves_until:
            raise ProviderFailed(reason)

    def address(self, ticket: Ticket, redirect_uri: str, *, fresh: bool) -> str:
        """See `Provider.address`."""
        return authorization_address(
            self._known.authorization_endpoint,
            self._credentials,
            ticket,
            redirect_uri,
            nonce=ticket.nonce,
            **({"prompt": "login"} if fresh else {}),
        )

    async def redeem(self, answer: Answer, ticket: Ticket, now: datetime) -> Vouched:
        """See `Provider.redeem`."""
        await self.prepare(now)
        metadata = self._known
        # RFC 9207 §2.4: who promises to say who they are has to.
        if answer.issuer != self.issuer and (metadata.names_itself or answer.issuer is not None):
            raise ProviderFailed("wrong_issuer")
        method = self._credentials.method or ("client_secret_post" if metadata.posts_secret else None)
        credentials = replace(self._credentials, method=method)
        async with oauth_client(credentials, answer.redirect_uri) as client:
            token = await redeem_code(client, metadata.token_endpoint, answer.code, ticket.verifier)
            claims = await self._read_id_token(token.get("id_token"), ticket, now)
            if "email" not in claims and metadata.userinfo_endpoint:
                told = await read_json(client, metadata.userinfo_endpoint)
                # Core §5.3.2: of somebody else it must not be used.
                if not isinstance(told, Mapping) or told.get("sub") != claims["sub"]:
                    raise ProviderFailed("person_unreadable")
                claims = {**told, **claims}
        return Vouched(
            issuer=self.issuer,
            subject=claims["sub"],
            email=text_of(claims, "email"),
            email_verified=claims.get("email_verified") is True,
            username=text_of(claims, "preferred_username"),
            name=text_of(claims, "name"),
        )

    async def _read_id_token(self, token: object, ticket: Ticket, now: datetime) -> dict[str, Any]:
        if not isinstance(token, str):
            raise ProviderFailed("id_token_missing")
        try:
            unverified = jwt.read_unverified(token, ("jwt", ""), jwt.FOREIGN_ALGORITHMS)
            keys = await self._key_sets.find(self._known.jwks_uri, unverified, now, None)
        except jwt.InvalidJWT:
            raise ProviderFailed("id_token_malformed") from None
        except (KeysUnavailable, TooManyFetches):
            raise ProviderFailed("keys_unavailable") from None
        for key in keys.candidates(unverified.kid, unverified.algorithm):
            try:
                claims = jwt.verify_foreign(unverified, key.key)
            except jwt.InvalidJWT:
                continue
            _check_claims(claims, self.issuer, self._credentials.client_id, ticket.nonce, now)
            return claims
        raise ProviderFailed("id_token_signature")

    @property
    def _known(self) -> _Metadata:
        if self._metadata is None:
            raise ProviderFailed("not_prepared")
        return self._metadata


def _check_claims(claims: Mapping[str, Any], issuer: str, client_id: str, nonce: str, now: datetime) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    party = claims.get("azp")
    if claims.get("iss") != issuer:
        raise ProviderFailed("id_token_issuer")
    if client_id not in audiences or ((party is not None or len(audiences) > 1) and party != client_id):
        raise ProviderFailed("id_token_audience")
    if claims.get("nonce") != nonce:
        raise ProviderFailed("id_token_nonce")
    issued, expires = claims.get("iat"), claims.get("exp")
    if not _is_time(issued) or not _is_time(expires):
        raise ProviderFailed("id_token_time")
    at, leeway = now.timestamp(), _LEEWAY.total_seconds()
    if at >= expires + leeway or issued > at + leeway or at > issued + _OLDEST.total_seconds():
        raise ProviderFailed("id_token_time")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise ProviderFailed("id_token_subject")


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**40


def _read_metadata(document: object, issuer: str) -> _Metadata:
    """Raises ProviderFailed: not the metadata of this issuer (Discovery §4.3), or without what is needed."""
    if not isinstance(document, Mapping) or document.get("issuer") != issuer:
        raise ProviderFailed("discovery_issuer")
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    methods = methods if isinstance(methods, list) else []
    userinfo = document.get("userinfo_endpoint")
    return _Metadata(
        authorization_endpoint=_secure(document.get("authorization_endpoint")),
        token_endpoint=_secure(document.get("token_endpoint")),
        jwks_uri=_secure(document.get("jwks_uri")),
        userinfo_endpoint=None if userinfo is None else _secure(userinfo),
        posts_secret="client_secret_basic" not in methods and "client_secret_post" in methods,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _secure(url: object) -> str:
    try:
        canonical = canonical_url(url) if isinstance(url, str) else ""
    except InvalidURI:
        canonical = ""
    if not canonical.startswith("https://") and not (canonical and is_loopback(canonical)):
        raise ProviderFailed("discovery_unusable")
    return str(url)


def text_of(claims: Mapping[str, Any], name: str) -> str | None:
    """A claim that is a text."""
    value = claims.get(name)
    return value if isinstance(value, str) and value else None
