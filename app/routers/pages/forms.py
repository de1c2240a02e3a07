"""Forms of our own pages."""

from typing import Annotated

from fastapi import Depends, Request

from app.oauth.errors import OAuthError
from app.oauth.parameters import Parameters
from app.routers.browser import check_same_origin, forged
from app.routers.dependencies import ServicesDep, read_form


async def read_page_form(request: Request, services: ServicesDep) -> Parameters:
    """A form of one of our own pages.

    Raises:
        PageError: another site sent it, or it can't be read.
    """
    check_same_origin(request, services)
    return await _read(request)


async def read_unreferred_form(request: Request, services: ServicesDep) -> Parameters:
    """A form of one of our pages with `Referrer-Policy: no-referrer`.

    Raises:
        PageError: another site sent it, or it can't be read.
    """
    check_same_origin(request, services, from_nowhere=True)
    return await _read(request)


async def _read(request: Request) -> Parameters:
    try:
        return await read_form(request)
    except OAuthError:
        raise forged() from None


PageFormDep = Annotated[Parameters, Depends(read_page_form)]
UnreferredFormDep = Annotated[Parameters, Depends(read_unreferred_form)]


def field_of(form: Parameters, name: str) -> str:
    """A field of our own form; one that is missing or repeated counts as empty."""
    values = form.all(name)
    return values[0] if len(values) == 1 else ""
