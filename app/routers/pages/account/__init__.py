"""The pages of whoever is signed in."""

from fastapi import APIRouter

from app.routers.pages.account import sessions, tool_tester

router = APIRouter(prefix="/account", tags=["account"])
for page in (sessions, tool_tester):
    router.include_router(page.router)
