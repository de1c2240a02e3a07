"""What an operator does to a client; each change is asked twice on the page, and leaves an event that names them."""

from fastapi import APIRouter
from starlette.responses import Response

from app.authorization_server import approval, revocation
from app.routers.dependencies import TransactionDep
from app.routers.pages.admin.answers import back_to
from app.routers.pages.admin.client import find_client_or_refuse
from app.routers.pages.admin.clients import ONE, PATH
from app.routers.pages.forms import PageFormDep, field_of
from app.routers.pages.guards import OperatorDep, Person
from app.routers.pages.lists import link

router = APIRouter(prefix="/clients")


@router.post("/disable")
async def disable(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Keep the client out; what it was allowed is revoked at once (ADM-7)."""
    client = await find_client_or_refuse(tx, field_of(form, "client_id"))
    if client.disabled_at is None:
        await revocation.disable_client(tx, person.services.policy, client.client_id, person.origin)
    return _back(person, client.client_id)


@router.post("/enable")
async def enable(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Let it ask again; people approve anew."""
    client = await find_client_or_refuse(tx, field_of(form, "client_id"))
    if client.disabled_at is not None:
        await revocation.enable_client(tx, client.client_id, person.origin)
    return _back(person, client.client_id)


@router.post("/delete")
async def delete(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Remove it with everything that it was allowed; what happened stays on record."""
    client = await find_client_or_refuse(tx, field_of(form, "client_id"))
    await revocation.delete_client(tx, person.services.policy, client.client_id, person.origin)
    return back_to(person, PATH)


@router.post("/approve")
async def approve(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Vouch for it."""
    client = await find_client_or_refuse(tx, field_of(form, "client_id"))
    await approval.approve_client(tx, client.client_id, person.origin)
    return _back(person, client.client_id)


@router.post("/withdraw-approval")
async def withdraw_approval(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Vouch for it no longer."""
    client = await find_client_or_refuse(tx, field_of(form, "client_id"))
    await approval.withdraw_approval(tx, client.client_id, person.origin)
    return _back(person, client.client_id)


@router.post("/revoke-grants")
async def revoke_grants(tx: TransactionDep, person: OperatorDep, form: PageFormDep) -> Response:
    """Take back everything that people allowed it."""
    client = await find_client_or_refuse(tx, field_of(form, "client_id"))
    policy, origin = person.services.policy, person.origin
    await revocation.revoke_client(tx, policy, client.client_id, "operator", origin)
    return _back(person, client.client_id)


def _back(person: Person, client_id: str) -> Response:
    return back_to(person, link(ONE, {"id": client_id}))
