"""The operator's pages: admins change things here, auditors look."""

from fastapi import APIRouter

from app.routers.pages.admin import clients, keys

router = APIRouter(prefix="/admin", tags=["admin"])
for page in (clients, keys):
    router.include_router(page.router)
