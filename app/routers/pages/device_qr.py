"""The address of the device page as a QR code, for devices that can't draw one and people who would rather use a phone.

All of it is made of what the address says; whether the code is good is not told.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.authorization_server.device_authorization import (
    format_user_code,
    read_user_code,
    verification_uri,
    verification_uri_complete,
)
from app.oauth.features import Feature
from app.routers.dependencies import ServicesDep, requires_feature
from app.routers.pages import qr_code
from app.routers.pages.render import render_page

router = APIRouter(tags=["pages"], dependencies=[requires_feature(Feature.DEVICE)])
# A picture for pages of others to show.
_PICTURE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def read_code(user_code: Annotated[str, Query(max_length=100)] = "") -> str:
    """The code in the address, as devices show it.

    Raises:
        HTTPException: 404, there is none.
    """
    code = read_user_code(user_code)
    if code is None:
        raise HTTPException(404)
    return format_user_code(code)


UserCodeDep = Annotated[str, Depends(read_code)]


@router.get("/device/qr")
async def show(http: Request, user_code: UserCodeDep, services: ServicesDep) -> Response:
    """A page with the code, to be scanned from another screen."""
    context = {
        "qr": qr_code.draw(verification_uri_complete(services.policy, user_code)),
        "user_code": user_code,
        "address": verification_uri(services.policy).partition("://")[2],
    }
    return render_page(http, "device_qr.html", context)


@router.get("/device/qr.svg")
async def draw(user_code: UserCodeDep, services: ServicesDep) -> Response:
    """The picture alone, for devices that show pictures."""
    picture = qr_code.draw_svg(verification_uri_complete(services.policy, user_code))
    return Response(picture, media_type="image/svg+xml", headers=_PICTURE)


@router.get("/device/qr.txt")
async def write(user_code: UserCodeDep, services: ServicesDep) -> Response:
    """The code in block characters, for programs in a terminal."""
    picture = qr_code.draw_text(verification_uri_complete(services.policy, user_code))
    return Response(picture, media_type="text/plain", headers=_PICTURE)
