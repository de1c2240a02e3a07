"""What comes after a sign-in: an app's question, a device, a page of ours, or the first page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from app.authorization_server import store as requests
from app.authorization_server.authentication import Demand, demand_of
from app.authorization_server.device_authorization import format_user_code, read_user_code
from app.authorization_server.records import AuthorizationRequest, Client
from app.database import Transaction
from app.oauth.features import Feature
from app.routers.browser import Browser
from app.routers.services import Services

# Pages for people who are signed in. Nothing else may stand in an address: it would lead people anywhere.
_OUR_PAGE = re.compile(r"/(?:account|admin)(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*(?:\?[A-Za-z0-9._~=&%+-]*)?\Z")
_LONGEST = 300
# The parameters of the sign-in page that say what comes next.
PARAMETERS = ("request", "device", "next", "fresh")
# For pages on which people change how they sign in: as old as a sign-in may be.
RECENT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits in this browser, and the client behind it."""

    request: AuthorizationRequest
    client: Client


@dataclass(frozen=True, slots=True)
class DeviceNext:
    """The device page is to come next, with this code in its field; None while it is still to be typed."""

    user_code: str | None

    @property
    def field(self) -> str:
        """How addresses and forms of this page say so."""
        return self.user_code or "new"

    @property
    def address(self) -> str:
        """The page."""
        return f"/device?user_code={self.user_code}" if self.user_code else "/device"


@dataclass(frozen=True, slots=True)
class NextStep:
    """What comes next; nothing set means the first page."""

    waiting: Waiting | None = None
    device: DeviceNext | None = None
    page: str | None = None
    # The page is for someone who signed in after this.
    signed_in_after: datetime | None = None

    @property
    def path(self) -> str:
        """The page after the sign-in."""
        if self.waiting:
            return f"/consent/{self.waiting.request.id}"
        if self.device:
            return self.device.address
        return self.page or "/"

    @property
    def demand(self) -> Demand:
        """What an app, or a page of ours, asks of the sign-in."""
        return demand_of(self.waiting.request) if self.waiting else Demand(self.signed_in_after)

    @property
    def fields(self) -> Mapping[str, str]:
        """The parameters by which the sign-in page, its forms and whoever goes elsewhere in between remember it."""
        if self.waiting:
            return {"request": self.waiting.request.id}
        if self.device:
            return {"device": self.device.field}
        if not self.page:
            return {}
        return {"next": self.page, **({"fresh": "true"} if self.signed_in_after else {})}

    @property
    def query(self) -> str:
        """The same as one string, to be kept in the database: `request=…`."""
        return urlencode(self.fields)


async def find_next_step(
    tx: Transaction, services: Services, browser: Browser, parameters: Mapping[str, str]
) -> NextStep:
    """Read what comes next from `PARAMETERS`; what is not known, or waits in another browser, counts as nothing."""
    device, page = parameters.get("device", ""), as_page(parameters.get("next", ""))
    return NextStep(
        waiting=await _find_waiting(tx, services, browser, parameters.get("request", "")),
        device=next_is_device(device) if device and services.policy.has(Feature.DEVICE) else None,
        page=page,
        signed_in_after=services.clock.now() - RECENT if page and parameters.get("fresh") else None,
    )


def as_page(path: str) -> str | None:
    """A path with its query, if it leads to one of our pages for people who are signed in."""
    return path if len(path) <= _LONGEST and _OUR_PAGE.match(path) else None


def next_is_device(typed: str) -> DeviceNext:
    """The device page with a code; what is none is left out."""
    code = read_user_code(typed)
    return DeviceNext(format_user_code(code) if code else None)


async def _find_waiting(
    tx: Transaction, services: Services, browser: Browser, request_id: str
) -> Waiting | None:
    """What waits in this browser under this id; no id holds what PostgreSQL can't even look for."""
    if not request_id or "\x00" in request_id:
        return None
    request = await requests.find_request(tx, request_id, browser.hashes(services.keys))
    client = await requests.find_client(tx, request.client_id) if request else None
    return Waiting(request, client) if request and client else None
