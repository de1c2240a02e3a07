"""The list of people, and making an account."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.accounts import links
from app.accounts.links import Purpose
from app.accounts.people import NewUser, Refused, create_user
from app.accounts.records import User
from app.accounts.user_search import UserSearch, search_users
from app.database import Transaction
from app.oauth.credentials import mint_password
from app.routers.dependencies import TransactionDep
from app.routers.pages.admin.answers import page_context
from app.routers.pages.admin.link_pages import link_page, send_page
from app.routers.pages.admin.queries import PAGE, read_query
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import OperatorDep, Person, ViewerDep, check_recent
from app.routers.pages.lists import Choice, Column, Pages, fresh_link, link
from app.routers.pages.render import render_page

router = APIRouter()
PATH = "/admin/users"
ONE = f"{PATH}/user"
_CREATE = f"{PATH}/create"
_WHO = {"admins": "administrators", "auditors": "auditors", "disabled": "disabled"}
_KNOWN = {"q": None, "who": list(_WHO), "after": None}
_RIGHTS = (("none", "An ordinary person"), ("auditor", "Auditor: looks"), ("admin", "Administrator: changes"))


@router.get("/users")
async def show_users(http: Request, tx: TransactionDep, person: ViewerDep) -> Response:
    """Everyone who may sign in, by name."""
    query, path = read_query(http, _KNOWN), person.services.address.path(PATH)
    who = query.get("who")
    search = UserSearch(
        words=query.get("q", "").strip(),
        admins=who == "admins",
        auditors=who == "auditors",
        disabled=who == "disabled",
        after=query.get("after"),
    )
    found = await search_users(tx, search, PAGE + 1)
    shown = found[:PAGE]
    older = link(path, query, after=shown[-1].username) if len(found) > PAGE else None
    context = {
        **page_context(person, "users"),
        "query": {name: query.get(name, "") for name in _KNOWN},
        "columns": [Column(label) for label in ("Person", "E-mail", "Rights", "Last sign-in", "State")],
        "people": shown,
        "one": person.services.address.path(ONE),
        "who": [
            Choice("all", fresh_link(path, query, who=None), who is None),
            *(Choice(words, fresh_link(path, query, who=name), who == name) for name, words in _WHO.items()),
        ],
        "pages": Pages(len(shown), None, fresh_link(path, query) if "after" in query else None, older),
        "create_path": _CREATE,
        "new": {"username": "", "name": "", "email": "", "right": "none"},
        "rights": _RIGHTS,
        "mail": person.services.dispatch is not None,
    }
    return render_page(http, "admin_users.html", context)


@router.post("/users/create")
async def create(http: Request, tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Make an account with a first password, or with an invitation to choose one; either is shown once. One with
    rights needs a recent sign-in: whoever has it is an operator too.
    """
    new = {name: field_of(form, name).strip() for name in ("username", "name", "email", "right")}
    context = {
        **page_context(person, "users"),
        "create_path": _CREATE,
        "rights": _RIGHTS,
        "mail": person.services.dispatch is not None,
        "list": PATH,
        "new": new,
    }
    how = field_of(form, "how")
    password = None if how in {"invite", "mail"} else mint_password()
    wanted = NewUser(
        new["username"],
        password,
        new["name"] or None,
        new["email"] or None,
        is_admin=new["right"] == "admin",
        is_auditor=new["right"] == "auditor",
    )
    if wanted.is_admin or wanted.is_auditor:
        await check_recent(tx, person, PATH)
    try:
        made = await create_user(tx, person.services.passwords, wanted, person.origin)
    except Refused as error:
        return render_page(http, "admin_user_refused.html", {**context, "error": str(error)}, status=400)
    if password is None:
        return await _invite(http, tx, person, made, by_mail=how == "mail")
    made_context = {**context, "user": made, "password": password, "one": person.services.address.path(ONE)}
    return render_page(http, "admin_user_made.html", made_context, script=True)


async def _invite(http: Request, tx: Transaction, person: Person, user: User, *, by_mail: bool) -> Response:
    """A link for someone new, sent where that is wished and can be, else shown."""
    keys, dispatch, purpose = person.services.keys, person.services.dispatch, Purpose.INVITATION
    if by_mail and dispatch is not None and user.email is not None:
        issued = await links.issue(tx, keys, user, purpose, person.origin, email=user.email)
        return send_page(http, person, dispatch, user, user.email, purpose, issued)
    return link_page(http, person, user, purpose, await links.issue(tx, keys, user, purpose, person.origin))
