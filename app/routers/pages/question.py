"""What the question says that a person is asked about an app, wherever the app asks from."""

from datetime import datetime
from typing import Any

from app.accounts.sign_in import SignedIn
from app.authorization_server.client_snapshot import wants_to_stay
from app.authorization_server.consent import Proposal
from app.authorization_server.policy import Policy
from app.authorization_server.records import AuthorizationRequest, Client, DeviceAuthorization
from app.oauth.scopes import OFFLINE_ACCESS, parse_scope
from app.oauth.uris import host_of, is_loopback
from app.routers.pages.permissions import describe, sentences
from app.routers.services import Services


async def question(
    services: Services,
    asked: AuthorizationRequest | DeviceAuthorization,
    client: Client,
    current: SignedIn,
    proposal: Proposal,
) -> dict[str, Any]:
    """Who asks, whom, and for what; where the answer goes is for the page to add."""
    return {
        "user": {"username": current.user.username, "name": current.user.name},
        "client": {
            "name": client.display_name,
            "client_id": client.client_id,
            "verified_host": verified_host(client),
            "registered": _registered(client, asked.created_at),
            "approved": client.approved_at is not None,
        },
        "resource": asked.resource.partition("://")[2],
        "scopes": await describe(services, proposal, asked.resource),
        "dropped": list(parse_scope(asked.dropped_scope)),
        "withheld": sentences(services, proposal.withheld),
        "can_allow": not proposal.is_empty,
        "stay_days": _stay_days(services.policy, client),
        "stay_optional": OFFLINE_ACCESS in proposal.optional,
        "reference": asked.reference,
    }


def _stay_days(policy: Policy, client: Client) -> int | None:
    """For how long the app may come back without asking; it may when it registered for refresh tokens."""
    return policy.grant_lifetime.days if wants_to_stay(client) else None


def verified_host(client: Client) -> str | None:
    """The host that its metadata document was read from over TLS; loopback proves nothing about anyone."""
    if not client.is_document or is_loopback(client.client_id):
        return None
    return host_of(client.client_id)


def _registered(client: Client, now: datetime) -> str:
    if client.is_document:
        scheme, _, rest = client.client_id.partition("://")
        return f"described at {scheme}://{rest.partition('/')[0]}"
    days = (now.date() - client.created_at.date()).days
    when = "today" if days <= 0 else "yesterday" if days == 1 else f"{days} days ago"
    return (
        f"registered itself {when}" if client.registration == "dynamic" else f"added by the operator {when}"
    )
