"""Audit events as steps of a timeline: what happened in words, and why it was refused."""

from collections.abc import Collection, Mapping
from typing import Any

from app.accounts import store as accounts
from app.accounts.records import User
from app.audit import AuditEvent
from app.database import Transaction
from app.routers.pages.guards import Person
from app.routers.pages.words import moment

_WORDS = {
    "authorization.requested": "Authorization asked",
    "client.approval_withdrawn": "Approval taken back",
    "client.approved": "Approved by an operator",
    "client.created": "Made by an operator",
    "client.deleted": "Deleted",
    "client.described": "Metadata document read",
    "client.disabled": "Disabled",
    "client.enabled": "Enabled",
    "client.registered": "Registered",
    "client.secret_rotated": "Secret changed",
    "client.updated": "Registration changed by the client",
    "client.withdrawn": "Metadata document gone",
    "device.asked": "A device asked",
    "grant.approved": "Consent given",
    "grant.denied": "Consent denied",
    "grant.first_used": "First call to the resource",
    "grant.narrowed": "Narrowed by the person",
    "grant.opened": "Allowed to act for itself",
    "grant.revoked": "Grant revoked",
    "grant.stepped_up": "Consent for more",
    "mail.refused": "E-mail not sent",
    "mail.sent": "E-mail sent",
    "token.exchanged": "Token exchanged",
    "token.issued": "First token issued",
    "token.revoked": "Access token revoked",
    "user.created": "Account made",
    "user.deleted": "Account deleted",
    "user.disabled": "Account disabled",
    "user.enabled": "Account enabled",
    "user.email_changed": "E-mail address changed",
    "user.email_link_made": "Asked to confirm an e-mail address",
    "user.email_verified": "E-mail address confirmed",
    "user.invited": "Invited",
    "user.joined": "Invitation taken",
    "user.linked": "Linked to an identity elsewhere",
    "user.unlinked": "No longer linked to an identity elsewhere",
    "user.password_reset": "Password reset",
    "user.email_refused": "E-mail to confirm an address refused",
    "user.reset_refused": "E-mail about a new password refused",
    "user.reset_link_made": "Link to a new password made",
    "user.rights_changed": "Rights changed",
    "server.ended_before": "Everything from before a moment ended",
    "user.sign_in_refused": "Sign-in refused",
    "user.signed_in": "Signed in",
    "user.signed_out": "Signed out",
    "user.signed_out_elsewhere": "Signed out elsewhere",
    "user.signed_out_everywhere": "Signed out everywhere",
}
_REFUSED = "refused "


def words_of(event: AuditEvent) -> str:
    """What happened, for operators; an event that has no words here is named as it is on record."""
    if event.event.startswith(_REFUSED):
        return f"Refused at {event.event.removeprefix(_REFUSED)}"
    return _WORDS.get(event.event, event.event)


async def steps_of(
    tx: Transaction, person: Person, events: Collection[AuditEvent], marked: str | None = None
) -> list[Mapping[str, Any]]:
    """The events as the macro `step` takes them; `marked` is the reference that somebody looks for."""
    who = await people_by_id(tx, {one for event in events for one in (event.user_id, event.actor_id) if one})
    return [
        {
            "at": moment(person.origin.now, event.at),
            "what": words_of(event),
            "reason": _reason(event),
            "refused": event.refused,
            "reference": event.reference,
            "source": event.source,
            "user": who.get(event.user_id or ""),
            "user_id": event.user_id,
            "actor": who.get(event.actor_id or ""),
            "client_id": event.client_id,
            "marked": marked is not None and event.reference == marked,
        }
        for event in events
    ]


async def people_by_id(tx: Transaction, ids: Collection[str]) -> Mapping[str, User]:
    """Those of these people who are still there."""
    return {user.id: user for user in await accounts.find_users(tx, ids)}


def _reason(event: AuditEvent) -> str | None:
    """The exact reason, which the answer may have kept to itself."""
    if not event.refused:
        return event.reason
    return f"{event.outcome} ({event.reason})" if event.reason else event.outcome
