"""The pages of whoever is signed in."""

from fastapi import APIRouter

from app.routers.pages.account import (
    activity,
    apps,
    email,
    one_time_codes,
    passkeys,
    password,
    security,
    sessions,
    tool_tester,
    upstream,
)

router = APIRouter(prefix="/account", tags=["account"])
router.add_api_route("", apps.show_apps, methods=["GET"])
for page in (
    *(apps, activity, sessions, tool_tester),
    *(security, email, password, passkeys, one_time_codes, upstream),
):
    router.include_router(page.router)
