"""The end of every sign-in, however the person showed who they are."""

from collections.abc import Sequence

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from app.accounts import store
from app.accounts.records import User
from app.accounts.sign_in import start_session
from app.audit import Origin
from app.database import Transaction
from app.routers.browser import Browser, set_session
from app.routers.pages.next_step import NextStep
from app.routers.services import Services


async def complete_sign_in(
    tx: Transaction,
    http: Request,
    services: Services,
    browser: Browser,
    origin: Origin,
    user: User,
    methods: Sequence[str],
    step: NextStep,
) -> Response:
    """Sign this browser in under a new session id and send it on. The caller commits before the answer leaves.

    Args:
        methods: how the person showed who they are (RFC 8176): `pwd`, `otp`, `hwk`, `fed`, …
    """
    if browser.session_id:
        # Whoever was signed in before is so no longer, on the server too (ASVS 7.2.4).
        await store.delete_sessions(tx, services.keys.hashes(browser.session_id))
    session_id = await start_session(
        tx,
        services.keys,
        user,
        origin,
        browser.id,
        http.headers.get("user-agent"),
        step.demand.time_of_sign_in(origin.now),
        methods,
    )
    response = RedirectResponse(services.address.path(step.path), 303, {"Cache-Control": "no-store"})
    set_session(response, services, session_id)
    return response
