"""The operator's pages: admins change things here, auditors look."""

from fastapi import APIRouter

from app.routers.pages.admin import (
    audit,
    client,
    client_actions,
    clients,
    doctor,
    grants,
    keys,
    overview,
    user,
    user_links,
    users,
)

router = APIRouter(prefix="/admin", tags=["admin"])
# FastAPI includes no router whose path is empty.
router.add_api_route("", overview.show_overview, methods=["GET"])
for page in (clients, client, client_actions, grants, users, user, user_links, keys, doctor, audit):
    router.include_router(page.router)
