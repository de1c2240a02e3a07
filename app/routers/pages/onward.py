"""What comes after a page that stands between a sign-in and its next step, read from its address."""

from typing import Annotated

from fastapi import Depends, Query

from app.routers.browser import BrowserDep
from app.routers.dependencies import ServicesDep, TransactionDep
from app.routers.pages.next_step import NextStep, find_next_step


async def read_onward(
    tx: TransactionDep,
    services: ServicesDep,
    browser: BrowserDep,
    request: Annotated[str, Query(max_length=100)] = "",
    device: Annotated[str, Query(max_length=100)] = "",
    page: Annotated[str, Query(alias="next", max_length=300)] = "",
) -> NextStep:
    """The next step that the address names."""
    return await find_next_step(tx, services, browser, {"request": request, "device": device, "next": page})


OnwardDep = Annotated[NextStep, Depends(read_onward)]
