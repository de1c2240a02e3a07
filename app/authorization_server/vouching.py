"""How the accounts tell who is meant when a trusted issuer vouches for someone."""

from collections.abc import Mapping
from typing import Any, Protocol

from app.audit import Origin
from app.authorization_server.policy import TrustedIssuer
from app.authorization_server.records import ResourceOwner
from app.database import Transaction


class FindVouched(Protocol):
    """The person whom an issuer names in its claims (`sub`, perhaps `email`, `name`), made if the issuer may do so.

    None for someone unknown or disabled; the answer stays true until the transaction ends.
    """

    async def __call__(
        self, tx: Transaction, issuer: TrustedIssuer, claims: Mapping[str, Any], origin: Origin
    ) -> ResourceOwner | None: ...
