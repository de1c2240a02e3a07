"""Whom a verified token speaks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class User:
    """The person who signed in and approved; what they did not agree to tell is None."""

    id: str
    username: str | None
    name: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose access token was verified: exists only once checked.

    `user` is None for a client that acts for itself (RFC 9068 §2.2).
    `scopes` is what the token says; `implied` is what these scopes open besides, and empty without a hierarchy.
    `props` is what the operator's hooks attached to the grant; no client ever sees it.
    `proof_key` is the thumbprint of the key that the token is bound to (RFC 9449 §6.1); None for a bearer token.
    """

    user: User | None
    client_id: str
    client_name: str | None
    scopes: frozenset[str]
    grant_id: str | None
    token_id: str
    issuer: str
    expires_at: datetime
    implied: frozenset[str] = frozenset()
    props: Mapping[str, Any] = field(default_factory=dict)
    proof_key: str | None = None

    @property
    def subject(self) -> str:
        """Whom the token is about: the person, or else the client itself (`sub`)."""
        return self.client_id if self.user is None else self.user.id

    def allows(self, *scopes: str) -> bool:
        """Whether the caller has all of these scopes, by name or by a broader one that implies them."""
        return not self.missing(*scopes)

    def missing(self, *scopes: str) -> frozenset[str]:
        """Those of these scopes that the caller lacks."""
        return frozenset(scopes) - self.scopes - self.implied
