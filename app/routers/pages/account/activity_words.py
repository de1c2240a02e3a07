"""What the events on record mean to the person whom they are about."""

from app.audit import AuditEvent
from app.oauth.scopes import Scope, parse_scope

WORDS = {
    "authenticator.added": "You set up an app for one-time codes",
    "authenticator.removed": "You removed the app for one-time codes",
    "client.registered": "You added an app",
    "device.code_refused": "A wrong code of a device was typed",
    "grant.approved": "You connected an app",
    "grant.denied": "You turned an app away",
    "grant.first_used": "An app was used for the first time",
    "grant.narrowed": "You took back a part of what an app may do",
    "grant.opened": "You opened the page to try the tools",
    "grant.revoked": "An app was disconnected",
    "grant.stepped_up": "You allowed an app more",
    "mail.refused": "An e-mail to you could not be sent",
    "mail.sent": "An e-mail was sent to you",
    "passkey.added": "You added a passkey",
    "passkey.refused": "A passkey was not accepted",
    "passkey.removed": "You removed a passkey",
    "passkey.renamed": "You renamed a passkey",
    "recovery_code.used": "A recovery code was used",
    "recovery_codes.made": "You got new recovery codes",
    "token.revoked": "An app gave a part of its access back",
    "user.created": "Your account was made",
    "user.disabled": "Your account was disabled",
    "user.email_changed": "Your e-mail address was changed",
    "user.email_link_made": "A link to confirm an e-mail address was asked for",
    "user.email_verified": "Your e-mail address was confirmed",
    "user.enabled": "Your account was enabled again",
    "user.invited": "You were invited",
    "user.joined": "You took the invitation and chose a password",
    "user.linked": "A sign-in elsewhere was linked to your account",
    "user.unlinked": "A sign-in elsewhere was taken off your account",
    "user.password_changed": "Your password was changed",
    "audit.exported": "You took the record of what happened along",
    "user.password_change_refused": "A change of your password was refused",
    "user.password_reset": "Your password was reset",
    "user.email_refused": "Too many e-mails to confirm an address were asked for",
    "user.reset_refused": "Too many e-mails about a new password were asked for",
    "user.reset_link_made": "A link to choose a new password was made",
    "user.rights_changed": "Your rights on this server were changed",
    "user.second_factor_refused": "The second step of a sign-in was refused",
    "user.second_factor_reset": "Your second steps of signing in were removed",
    "user.sign_in_refused": "A sign-in was refused",
    "user.signed_in": "You signed in",
    "user.signed_out": "You signed out",
    "user.signed_out_elsewhere": "You signed out everywhere else",
    "user.signed_out_everywhere": "You were signed out everywhere",
}
# On record for operators; people would learn nothing from them that another line does not tell.
UNTOLD = frozenset(
    {"authorization.requested", "token.exchanged", "token.issued", "user.approved", "user.deleted"}
)
SHOWN = frozenset(WORDS)

_BECAUSE = {
    "client": "The app did so itself.",
    "client_deleted": "The app was removed from this server.",
    "client_disabled": "An operator switched the app off.",
    "code_replay": "Its way in was used twice: somebody may have copied it.",
    "device_code_replay": "Its way in was used twice: somebody may have copied it.",
    "operator": "An operator did so.",
    "password_reset": "Your password was reset.",
    "person": "You did so.",
    "refresh_reuse": "What keeps it connected was used twice: somebody may have copied it.",
    "user_disabled": "Your account was disabled.",
}
_ABOUT_SCOPES = {"grant.narrowed", "grant.stepped_up"}


def words_of(event: AuditEvent) -> str:
    """What happened."""
    return WORDS[event.event]


def reason_of(event: AuditEvent, catalogue: tuple[Scope, ...]) -> str | None:
    """Why, or what it was about, where that can be said in plain words."""
    if event.event in _ABOUT_SCOPES:
        names = parse_scope(event.reason)
        return "; ".join(scope.sentence for scope in catalogue if scope.name in names) or None
    return _BECAUSE.get(event.reason or "") if event.event == "grant.revoked" else None
