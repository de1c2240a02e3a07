"""The device code grant (RFC 8628 §3.4, §3.5).

Refuses, in this order:
 1. a request without device code                                        invalid_request
 2. an unknown code, or one of another client                            invalid_grant
 3. a client that did not register for this grant                        unauthorized_client
 4. a resource other than the one that was asked for                     invalid_target
 5. a device that the person turned away                                 access_denied
 6. a code that ran out before anyone answered                           expired_token
 7. a poll too soon after the one before: the interval grows for good    slow_down
 8. a device that nobody answered yet                                    authorization_pending
 9. a code spent before: the grant falls with it                         invalid_grant
10. a code that was approved and ran out before it was redeemed          expired_token
11. a revoked grant, a disabled person                                   invalid_grant
A device that was approved gets its tokens however soon it asks: `slow_down` is a way of saying that it has to wait.
"""

from dataclasses import dataclass
from datetime import timedelta

from app.audit import record
from app.authorization_server import device_store, grant_store, revocation
from app.authorization_server.authorization import check_resource
from app.authorization_server.client_snapshot import may_stay
from app.authorization_server.grants.context import TokenContext, live_owner
from app.authorization_server.issuance import Issuance
from app.authorization_server.records import Client, DeviceAuthorization
from app.authorization_server.tokens import TokenResponse, first_refresh_token, issue
from app.oauth.errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidGrant,
    OAuthError,
    SlowDown,
    UnauthorizedClient,
)
from app.oauth.parameters import Parameters
from app.oauth.scopes import parse_scope

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
_REFUSED = "The device code is not valid."
_RAN_OUT = "The device code has expired; start again."
_SLOWER_BY = 5  # seconds (RFC 8628 §3.5)
# Two requests that leave a device an interval apart may arrive a little closer together.
_LEEWAY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class DeviceCodeRequest:
    """The form of a poll."""

    device_code: str
    resource: tuple[str, ...]


def parse(form: Parameters) -> DeviceCodeRequest:
    """Read the form.

    Raises:
        InvalidRequest: the code is missing, or something is repeated.
    """
    return DeviceCodeRequest(form.require("device_code"), form.all("resource"))


async def exchange(context: TokenContext, client: Client, request: DeviceCodeRequest) -> TokenResponse:
    """Answer a poll: with tokens once a person said yes.

    Raises:
        InvalidGrant, UnauthorizedClient, InvalidTarget, AccessDenied, ExpiredToken, SlowDown, AuthorizationPending:
            as the head of this file says.
    """
    tx, now = context.tx, context.origin.now
    device = await device_store.lock_by_device_code(tx, context.keys.hashes(request.device_code))
    if device is None or device.client_id != client.client_id:
        raise InvalidGrant(_REFUSED, reason="unknown_device_code", client_id=client.client_id)
    if GRANT_TYPE not in client.grant_types:
        raise UnauthorizedClient(
            "This client may not use the device authorization grant.", client_id=client.client_id
        )
    check_resource(request.resource, device, context.policy)
    grant = await grant_store.lock_by_device_code(tx, device.device_code_hash)
    if grant is None:
        raise await _unanswered(context, device)
    if device.spent_at is not None or not await device_store.spend_device_code(
        tx, device.device_code_hash, now
    ):
        await revocation.revoke_grant(tx, context.policy, grant.id, "device_code_replay", context.origin)
        raise InvalidGrant(
            _REFUSED, reason="device_code_replay", client_id=client.client_id, grant_id=grant.id
        )
    if now >= device.expires_at:
        raise ExpiredToken(_RAN_OUT, client_id=client.client_id, grant_id=grant.id)
    owner = await live_owner(context, client, grant, _REFUSED)
    refresh_token = None
    if may_stay(client, grant.client_snapshot):
        refresh_token, row = first_refresh_token(context, client, grant, request.device_code)
        await grant_store.add_refresh_token(tx, row)
    await record(
        tx,
        "token.issued",
        context.origin,
        user_id=owner.id,
        client_id=client.client_id,
        grant_id=grant.id,
        reference=grant.reference,
    )
    issuance = Issuance(client, grant, owner, parse_scope(grant.scope), with_id_token=True)
    return await issue(context, issuance, refresh_token)


async def _unanswered(context: TokenContext, device: DeviceAuthorization) -> OAuthError:
    """What a device without a grant is told: that it was turned away, has to wait, or waited too long."""
    now, client_id = context.origin.now, device.client_id
    if device.decision == "deny":
        return AccessDenied("The person did not allow it.", reason="device_denied", client_id=client_id)
    if now >= device.expires_at:
        return ExpiredToken(_RAN_OUT, reason="device_code_expired", client_id=client_id)
    wait = timedelta(seconds=device.interval) - _LEEWAY
    if device.polled_at is not None and now < device.polled_at + wait:
        interval = device.interval + _SLOWER_BY
        await device_store.note_poll(context.tx, device.device_code_hash, now, interval)
        return SlowDown(f"Ask again in {interval} seconds.", client_id=client_id)
    await device_store.note_poll(context.tx, device.device_code_hash, now, device.interval)
    return AuthorizationPending("The person has not answered yet.", client_id=client_id)
