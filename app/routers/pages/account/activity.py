"""What happened lately to a person, in plain words."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.audit import list_events
from app.authorization_server.connected_apps import find_clients
from app.routers.dependencies import TransactionDep
from app.routers.pages.account.activity_words import SHOWN, reason_of, words_of
from app.routers.pages.admin.answers import bad_address
from app.routers.pages.admin.queries import from_micros, read_place, read_query, to_micros, write_place
from app.routers.pages.guards import PersonDep
from app.routers.pages.lists import Pages, link
from app.routers.pages.render import render_page
from app.routers.pages.words import moment

router = APIRouter()
_PATH = "/account/activity"
AT_ONCE = 50


@router.get("/activity")
async def show_activity(http: Request, tx: TransactionDep, person: PersonDep) -> Response:
    """The latest first."""
    place = read_place(read_query(http, {"after": None}), "after", int)
    before = None
    if place is not None:
        if not (place[1].isascii() and place[1].isdecimal() and len(place[1]) < 19):
            raise bad_address("The address does not say where the list begins.")
        before = (from_micros(place[0]), int(place[1]))
    found = await list_events(tx, AT_ONCE + 1, user_id=person.id, events=SHOWN, before=before)
    events = found[:AT_ONCE]
    apps = await find_clients(tx, {event.client_id for event in events if event.client_id})
    names = {client_id: client.display_name for client_id, client in apps.items()}
    path, older = person.services.address.path(_PATH), None
    if len(found) > AT_ONCE:
        older = link(path, {}, after=write_place((to_micros(events[-1].at), str(events[-1].id))))
    steps = [
        {
            "at": moment(person.origin.now, event.at),
            "what": words_of(event),
            "reason": reason_of(event, person.services.policy.catalogue),
            "refused": event.refused,
            "by_operator": event.source == "cli" or event.actor_id not in {None, person.id},
            "source": event.source,
            "reference": event.reference,
            "client_id": event.client_id,
            "app": names.get(event.client_id or ""),
        }
        for event in events
    ]
    pages = Pages(len(steps), None, path if before else None, older)
    return render_page(
        http, "account_activity.html", {**person.context("activity"), "steps": steps, "pages": pages}
    )
