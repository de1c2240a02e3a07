"""What a person allowed was one app, as it described itself then (client ID metadata documents, draft-01 §6.3).

When the description changes, these rules hold:
- Consent is asked at every authorization, and shows what the app says then. What it was allowed before counts as held
  only while it still says the same.
- A question that was put before the change can no longer be approved, and a code goes nowhere but where the person
  was told it would go.
- Refresh tokens go on working, with the new keys if the keys are new: whoever holds the app's address is the app, and
  keys are to be changed now and then.
- They stop working where the app proved who it was when it was allowed, and no longer does: otherwise whoever stole a
  token would need no key any more, once the description says so.
- Whoever was not told that the app stays connected did not allow it: there is no refresh token for what was allowed
  before the app said that it wants one.
"""

import hashlib
import json

from app.authorization_server.records import Client

_PUBLIC = "none"
_STAYS = " stays"


def snapshot_of(client: Client, *, stays: bool = True) -> str:
    """How the client authenticates, a hash of what it says about itself to people, and whether it wants to stay.

    `stays` is False where the person left that out.
    """
    said = {
        "client_name": client.client_name,
        "redirect_uris": sorted(client.redirect_uris),
        "keys": sorted(json.dumps(key, sort_keys=True) for key in (client.jwks or {}).get("keys", ())),
        "jwks_uri": client.jwks_uri,
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return f"{client.token_endpoint_auth_method} {digest}{_STAYS if stays and wants_to_stay(client) else ''}"


def is_weaker(client: Client, snapshot: str | None) -> bool:
    """Whether a client that authenticated when a person allowed it does so no longer."""
    return client.is_public and snapshot is not None and not snapshot.startswith(f"{_PUBLIC} ")


def may_stay(client: Client, snapshot: str | None) -> bool:
    """Whether a client gets a refresh token: it wants one, and the person was told so; None where that was not kept."""
    return wants_to_stay(client) and (snapshot is None or snapshot.endswith(_STAYS))


def wants_to_stay(client: Client) -> bool:
    """Whether a client registered for refresh tokens."""
    return "refresh_token" in client.grant_types
