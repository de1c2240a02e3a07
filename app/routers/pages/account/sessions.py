"""Where someone is signed in, and how they sign out there."""

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from app.accounts import store
from app.accounts.sign_in import end_other_sessions, end_session, is_alive
from app.oauth.credentials import TokenHash
from app.routers.browser import clear_session
from app.routers.dependencies import TransactionDep
from app.routers.pages.browsers import browser_name
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import PersonDep, WriterDep
from app.routers.pages.lists import Column
from app.routers.pages.render import render_page
from app.routers.pages.words import moment

router = APIRouter()
_HERE = "sessions"
_PATH = "/account/sessions"
_COLUMNS = [Column(label) for label in ("Browser", "Signed in", "With", "Last used", "From", "Sign out")]
_METHODS = {
    "pwd": "password",
    "hwk": "passkey",
    "swk": "passkey",
    "otp": "one-time code",
    "kba": "recovery code",
    "fed": "another provider",
}


def how_signed_in(methods: str) -> str:
    """The methods that a session names (RFC 8176), in words; those that only tell of others are left out."""
    words = dict.fromkeys(_METHODS[name] for name in methods.split() if name in _METHODS)
    return " and ".join(words) or "another way"


@router.get("/sessions")
async def show_sessions(http: Request, tx: TransactionDep, person: PersonDep) -> Response:
    """Every browser that is signed in, this one first."""
    found = await store.list_sessions(tx, person.id)
    own = person.signed_in.session_hash
    sessions = sorted(
        (session for session in found if is_alive(session, person.origin.now)),
        key=lambda session: session.id_hash != own,
    )
    now = person.origin.now
    context = {
        **person.context(_HERE),
        "columns": _COLUMNS,
        "sessions": [
            {
                "own": session.id_hash == own,
                "id_hash": session.id_hash,
                "name": browser_name(session.user_agent),
                "user_agent": session.user_agent,
                "how": how_signed_in(session.methods),
                "since": moment(now, session.created_at),
                "seen": moment(now, session.last_seen_at),
                "source": session.source,
            }
            for session in sessions
        ],
        "end_path": f"{_PATH}/end",
        "others_path": f"{_PATH}/end-others",
    }
    return render_page(http, "account_sessions.html", context)


@router.post("/sessions/end")
async def end(tx: TransactionDep, person: WriterDep, form: PageFormDep) -> Response:
    """Sign out one browser; the hash of a session that names it in the form opens nothing."""
    ended = TokenHash(field_of(form, "session"))
    await end_session(tx, person.id, ended, person.origin)
    response = RedirectResponse(person.services.address.path(_PATH), 303, {"Cache-Control": "no-store"})
    if ended == person.signed_in.session_hash:
        clear_session(response, person.services)
    return response


@router.post("/sessions/end-others")
async def end_others(tx: TransactionDep, person: WriterDep) -> Response:
    """Sign out every browser but this one."""
    await end_other_sessions(tx, person.signed_in, person.origin)
    return RedirectResponse(person.services.address.path(_PATH), 303, {"Cache-Control": "no-store"})
