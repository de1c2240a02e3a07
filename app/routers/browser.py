"""The browser's side: its cookies, whether a form really came from our page, and who is signed in."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, unquote

from fastapi import Depends, Request
from starlette.responses import Response

from app.accounts.second_factor import MULTIPLE, SecondFactor
from app.accounts.sign_in import ABSOLUTE, SignedIn, find_signed_in
from app.audit import Origin
from app.authorization_server.authentication import SignIn
from app.database import Transaction
from app.oauth.credentials import BROWSER, Keys, TokenHash, mint
from app.oauth.uris import InvalidURI, canonical_url, is_loopback
from app.routers.dependencies import ServicesDep
from app.routers.errors import PageError
from app.routers.services import PublicAddress, Services

_AN_HOUR = 3600
_A_YEAR = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Browser:
    """One browser: `id` names it from its first visit on; `session_id` says who signed in with it.

    The id is not a credential: it binds parked requests and sign-in forms to the browser that began them, and lets
    a person sign in from a known device while someone else guesses.
    """

    id: str
    is_new: bool
    session_id: str | None

    def hashes(self, keys: Keys) -> list[TokenHash]:
        """Under which hashes this browser's requests may be parked."""
        return keys.hashes(self.id)


def cookie_name(address: PublicAddress, name: str) -> str:
    """`__Host-` on https: no subdomain and no plain http can set such a cookie."""
    return f"__Host-ostiary_{name}" if address.secure else f"ostiary_{name}"


def get_browser(request: Request, services: ServicesDep) -> Browser:
    """The browser that sent this request; one without a cookie gets a new id."""
    known = request.cookies.get(cookie_name(services.address, "browser"), "")
    is_new = not known.startswith(BROWSER) or len(known) > 100
    session_id = request.cookies.get(cookie_name(services.address, "session"))
    return Browser(mint(BROWSER) if is_new else known, is_new, session_id)


BrowserDep = Annotated[Browser, Depends(get_browser)]


def remember_browser(response: Response, services: Services, browser: Browser) -> None:
    """Set the browser's cookie on its first visit."""
    if browser.is_new:
        _set_cookie(response, services.address, "browser", browser.id, _A_YEAR)


def set_session(response: Response, services: Services, session_id: str) -> None:
    """Sign the browser in."""
    _set_cookie(response, services.address, "session", session_id, int(ABSOLUTE.total_seconds()))


def keep_next_step(response: Response, services: Services, query: str) -> None:
    """Let the browser keep what comes next while a letter is on its way: an hour, or not any more when `query` is
    empty. It stands in no letter, so nobody sends anybody anywhere by having one written.
    """
    _set_cookie(response, services.address, "next", quote(query, safe=""), _AN_HOUR if query else 0)


def kept_next_step(request: Request, services: Services) -> dict[str, str]:
    """What the browser kept, as parameters of the sign-in page. Anything may stand there, so they are read as those
    are.
    """
    kept = request.cookies.get(cookie_name(services.address, "next"), "")
    return dict(parse_qsl(unquote(kept)))


def clear_session(response: Response, services: Services) -> None:
    """Sign the browser out."""
    _set_cookie(response, services.address, "session", "", 0)


async def signed_in(
    tx: Transaction,
    services: Services,
    browser: Browser,
    origin: Origin,
    *,
    touch: bool = True,
    anyhow: bool = False,
) -> SignedIn | None:
    """Who is signed in with this browser; see `find_signed_in`.

    Where everyone has to show a second factor, someone who did not counts as not signed in, but for pages that take
    them `anyhow`: those on which one signs in, or sets a second factor up.
    """
    current = await find_signed_in(tx, services.keys, browser.session_id, origin.now, touch=touch)
    return current if current is None or anyhow or is_complete(services, current) else None


def is_complete(services: Services, current: SignedIn) -> bool:
    """Whether a sign-in had the factors that everyone has to show here."""
    return services.second_factor is not SecondFactor.EVERYONE or MULTIPLE in current.methods


def me_of(current: SignedIn | None) -> dict[str, Any] | None:
    """Who is signed in, as the header of `wide.html` says it."""
    if current is None:
        return None
    user = current.user
    return {
        "name": user.name,
        "username": user.username,
        "is_admin": user.is_admin,
        "is_auditor": user.is_auditor,
    }


def sign_in_of(current: SignedIn | None) -> SignIn | None:
    """The sign-in of this browser, if there is one, as requests ask about it."""
    return as_sign_in(current) if current else None


def as_sign_in(current: SignedIn) -> SignIn:
    """A sign-in as the authorization server knows it."""
    return SignIn(current.user.id, current.since, current.methods)


def check_same_origin(request: Request, services: Services, *, from_nowhere: bool = False) -> None:
    """Refuse forms that another site sent; their hidden token is checked besides.

    `from_nowhere` is for forms of pages that forbid a referrer: a browser names no origin when it sends them, but
    still tells that they come from our own site.

    Raises:
        PageError: 403.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None and site not in {"same-origin", "none"}:
        raise forged()
    if from_nowhere and origin == "null":
        return
    if origin is not None and not _is_ours(origin, services.address):
        raise forged()


def forged() -> PageError:
    """What a form without its own token gets."""
    return PageError(
        "This page is out of date",
        "The form did not come from this browser’s own page, so nothing was done.",
        status=403,
        who="You can, by starting again.",
        advice="Go back to the app and start the connection again.",
    )


def _is_ours(origin: str, address: PublicAddress) -> bool:
    if origin == address.origin:
        return True
    # On loopback, localhost and 127.0.0.1 are the same server to the person who types them.
    same_port = origin.rpartition(":")[2] == address.origin.rpartition(":")[2]
    try:
        return address.loopback and same_port and is_loopback(canonical_url(origin))
    except InvalidURI:
        return False


def _set_cookie(response: Response, address: PublicAddress, name: str, value: str, max_age: int) -> None:
    response.set_cookie(
        cookie_name(address, name),
        value,
        max_age=max_age,
        path="/",
        secure=address.secure,
        httponly=True,
        samesite="lax",
    )
