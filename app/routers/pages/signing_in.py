"""The end of every sign-in, however the person showed who they are."""

from collections.abc import Sequence

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from app.accounts import second_factor, store
from app.accounts.records import User
from app.accounts.sign_in import start_session
from app.audit import Origin
from app.database import Transaction
from app.routers import metrics
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
    session_id: str | None = None,
) -> Response:
    """Sign this browser in under a new session id and send it on. The caller commits before the answer leaves.

    Someone who showed one factor and has a second one is asked for it first. Someone who must have one and has none is
    signed in, and sent to set it up.

    Args:
        methods: how the person showed who they are (RFC 8176): `pwd`, `otp`, `hwk`, `fed`, … `mfa` among them means
            that no further factor is needed.
        session_id: see `start_session`.
    """
    if await second_factor.is_awaited(tx, user.id, methods):
        pending = await second_factor.begin(tx, services.keys, user, browser.id, methods, step.query, origin)
        return _redirect(services, f"/login/second?sign_in={pending}")
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
        session_id,
    )
    metrics.sign_ins.labels("+".join(sorted(methods))).inc()
    everyone = services.second_factor is second_factor.SecondFactor.EVERYONE
    incomplete = everyone and second_factor.MULTIPLE not in methods
    response = _redirect(services, f"/account/security/start?{step.query}" if incomplete else step.path)
    set_session(response, services, session_id)
    return response


def _redirect(services: Services, path: str) -> Response:
    return RedirectResponse(services.address.path(path), 303, {"Cache-Control": "no-store"})
