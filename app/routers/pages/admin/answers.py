"""What the operator's pages share: what every template knows, the way back after a change, and refusals."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response

from app.oauth.errors import InvalidRequest
from app.routers.errors import PageError
from app.routers.pages.guards import Person
from app.routers.pages.words import moment


def page_context(person: Person, here: str) -> Mapping[str, Any]:
    """What every page shows; `at` makes a time ready for the macro `when`."""
    return {**person.context(here), "at": lambda then: moment(person.origin.now, then)}


def back_to(person: Person, path: str) -> Response:
    """After a change, the page that shows it; nobody keeps it."""
    return RedirectResponse(person.services.address.path(path), 303, {"Cache-Control": "no-store"})


def nothing_there(what: str) -> PageError:
    """The page for an id that names nothing, or nothing any more."""
    return PageError(
        "There is nothing here",
        what,
        status=404,
        who="You can, by checking the address.",
        advice="Go back to the list.",
    )


def bad_address(what: str) -> PageError:
    """The page for parameters that no link of ours has (ADM-9)."""
    return PageError(
        "This address can’t be right",
        what,
        who="You can, by checking the address.",
        advice="Go back to the list and follow its links.",
        cause=InvalidRequest("A parameter of the page is malformed.", reason="bad_parameter"),
    )


def refused(what: str, reason: str) -> PageError:
    """The page for a change that a rule forbids; nothing was done."""
    return PageError(
        "That was not done",
        what,
        status=409,
        who="You can, by doing something else first.",
        advice="Go back to the page that you came from.",
        cause=InvalidRequest("The change is refused.", reason=reason),
    )
