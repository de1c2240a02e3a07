"""One person: how they sign in, where they are, what they allowed, what happened; and what an operator does to them."""

from collections.abc import Awaitable

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.accounts import links, people, rights, store
from app.accounts.links import Purpose
from app.accounts.records import User
from app.accounts.sign_in import is_alive
from app.accounts.user_search import count_passkeys, list_identities
from app.audit import list_events
from app.authorization_server import revocation
from app.authorization_server.grant_search import GrantSearch, search_grants
from app.routers.dependencies import TransactionDep
from app.routers.pages.admin.answers import back_to, bad_address, nothing_there, page_context, refused
from app.routers.pages.admin.grant_rows import grant_rows
from app.routers.pages.admin.queries import is_storable, read_query
from app.routers.pages.admin.timeline import steps_of
from app.routers.pages.admin.users import ONE, PATH
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import OperatorDep, Person, ViewerDep, check_recent
from app.routers.pages.lists import Column, link
from app.routers.pages.render import render_page

router = APIRouter()
_SHOWN = 20
_RIGHTS = {"admin": (True, False), "auditor": (False, True), "none": (False, False)}


@router.get("/users/user")
async def show_user(http: Request, tx: TransactionDep, person: ViewerDep) -> Response:
    """One person; never what they sign in with."""
    query = read_query(http, {"id": None})
    user, now = await find_user(tx, query.get("id", "")), person.origin.now
    grants = await search_grants(tx, GrantSearch(user_id=user.id), now, _SHOWN + 1)
    path = person.services.address.path
    context = {
        **page_context(person, "users"),
        "user": user,
        "invites": links.needed_by(user) is Purpose.INVITATION,
        "mail": person.services.dispatch is not None and user.email is not None,
        "is_self": user.id == person.id,
        "sessions": [one for one in await store.list_sessions(tx, user.id) if is_alive(one, now)][:_SHOWN],
        "session_columns": [Column(label) for label in ("Browser", "Signed in", "Last used", "From", "With")],
        "identities": await list_identities(tx, user.id),
        "passkeys": await count_passkeys(tx, user.id),
        "grants": await grant_rows(tx, person, grants[:_SHOWN]),
        "grant_columns": [Column(label) for label in ("Client", "May do", "State", "Allowed", "Last token")],
        "more_grants": link(path("/admin/grants"), {"person": user.username})
        if len(grants) > _SHOWN
        else None,
        "steps": await steps_of(tx, person, await list_events(tx, _SHOWN, user_id=user.id)),
        "list": PATH,
        "action": lambda name: f"{PATH}/{name}",
    }
    return render_page(http, "admin_user.html", context)


@router.post("/users/disable")
async def disable(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Keep someone out: sessions end, connected apps are disconnected at once."""
    user = await _may(rights.check_may_go(tx, id_of(form), person.origin))
    if user.disabled_at is None:
        await people.disable_user(tx, user, person.origin)
        await revocation.revoke_user(tx, person.services.policy, user.id, "user_disabled", person.origin)
    return _back(person, user)


@router.post("/users/enable")
async def enable(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Let someone sign in again."""
    user = await find_user(tx, id_of(form))
    if user.disabled_at is not None:
        await people.enable_user(tx, user, person.origin)
    return _back(person, user)


@router.post("/users/delete")
async def delete(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Remove someone with sessions, grants and tokens; what happened stays on record (ADM-8)."""
    user = await _may(rights.check_may_go(tx, id_of(form), person.origin))
    await revocation.revoke_user(tx, person.services.policy, user.id, "user_deleted", person.origin)
    await rights.delete_user(tx, user.id, person.origin)
    return back_to(person, PATH)


@router.post("/users/sign-out")
async def sign_out(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """End every session of someone; their apps stay connected."""
    user = await find_user(tx, id_of(form))
    await rights.sign_out_everywhere(tx, user, person.origin)
    return _back(person, user)


@router.post("/users/rights")
async def change_rights(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Make someone an administrator, an auditor, or neither (ADM-10). To give a right needs a recent sign-in."""
    right = _RIGHTS.get(field_of(form, "right"))
    if right is None:
        raise bad_address("There is no such right.")
    is_admin, is_auditor = right
    if is_admin or is_auditor:
        await check_recent(tx, person, f"{ONE}?id={id_of(form)}")
    change = rights.set_rights(tx, id_of(form), person.origin, is_admin=is_admin, is_auditor=is_auditor)
    return _back(person, await _may(change))


async def _may(change: Awaitable[User | None]) -> User:
    """The person whom a change is about.

    Raises:
        PageError: there is nobody, or it is refused.
    """
    try:
        user = await change
    except people.Refused as error:
        raise refused(str(error), "indispensable") from None
    if user is None:
        raise _nobody()
    return user


async def find_user(tx: TransactionDep, user_id: str) -> User:
    """The person with this id.

    Raises:
        PageError: there is nobody.
    """
    user = await store.find_user(tx, user_id) if is_storable(user_id) else None
    if user is None:
        raise _nobody()
    return user


def id_of(form: PageFormDep) -> str:
    """The person whom a form is about; empty for what no id looks like."""
    user_id = field_of(form, "user_id")
    return user_id if is_storable(user_id) else ""


def _nobody() -> Exception:
    return nothing_there("There is nobody with this id, or no longer.")


def _back(person: Person, user: User) -> Response:
    return back_to(person, link(ONE, {"id": user.id}))
