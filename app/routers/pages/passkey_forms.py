"""What the script of a page asks a browser's passkeys for, and the server that these belong to."""

import json
from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_address

from app.accounts.passkeys import Ceremony, RelyingParty, registration_options, request_options
from app.accounts.records import Passkey, User
from app.oauth.uris import host_of
from app.routers.services import Services


def relying_party(services: Services) -> RelyingParty | None:
    """This server, by `PUBLIC_URL` alone; None under an address without a name, to which no passkey can belong."""
    host = host_of(services.address.origin)
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return RelyingParty(host, services.address.origin)
    return None


def passkey_request(
    services: Services, ceremony: Ceremony, known: Sequence[Passkey], now: datetime
) -> str | None:
    """The JSON of a request for a passkey, for the form's `data-options`; None where there can be none."""
    party = relying_party(services)
    return json.dumps(request_options(services.keys, party, ceremony, known, now)) if party else None


def passkey_creation(
    services: Services, ceremony: Ceremony, user: User, known: Sequence[Passkey], now: datetime
) -> str | None:
    """The same for a new passkey of this person."""
    party = relying_party(services)
    return (
        json.dumps(registration_options(services.keys, party, ceremony, user, known, now)) if party else None
    )
