"""The pages of whoever is signed in."""

from fastapi import APIRouter

from app.routers.pages.account import one_time_codes, passkeys, security, sessions, tool_tester

router = APIRouter(prefix="/account", tags=["account"])
for page in (sessions, security, passkeys, one_time_codes, tool_tester):
    router.include_router(page.router)
