"""The introspection endpoint (RFC 7662)."""

import re

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.authorization_server import introspection as rules
from app.oauth.errors import InvalidClient
from app.oauth.features import Feature
from app.routers.client_authentication import authenticate_client
from app.routers.dependencies import (
    NO_STORE,
    AuthorizationDep,
    FormDep,
    OriginDep,
    ServicesDep,
    TransactionDep,
    find_owner,
    requires_feature,
)

_REFUSED = re.compile(r"q=0(?:\.0{0,3})?\Z")

router = APIRouter(prefix="/oauth", tags=["oauth"], dependencies=[requires_feature(Feature.INTROSPECTION)])


@router.post("/introspect")
async def introspect(
    request: Request,
    form: FormDep,
    authorization: AuthorizationDep,
    services: ServicesDep,
    origin: OriginDep,
    tx: TransactionDep,
) -> Response:
    """What a token is good for (§2.1), in JSON, or signed for whoever asks for that media type (RFC 9701 §4)."""
    try:
        client = await authenticate_client(tx, services, form, authorization, origin)
    except InvalidClient as error:
        error.challenge_basic = True  # a way to authenticate is named also to who tried none (§2.3)
        raise
    token = form.require("token")
    try:
        response = await rules.introspect(
            tx, services.keys, services.signing_keys, services.policy, find_owner, client, token, origin.now
        )
    except InvalidClient as error:
        error.challenge_basic = True
        await services.limits.count_client_failure(origin.source, error.client_id)
        raise
    if not _is_named(rules.MEDIA_TYPE, request.headers.get("accept", "")):
        return JSONResponse(response, headers=NO_STORE)
    signed = rules.sign_response(response, services.signing_keys, services.policy.issuer, client, origin.now)
    return Response(signed, media_type=rules.MEDIA_TYPE, headers=NO_STORE)


def _is_named(media_type: str, accept: str) -> bool:
    """Whether an `Accept` header names a media type itself, and does not refuse it by `q=0` (RFC 9110 §12.5.1)."""
    for entry in accept.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        if name == media_type:
            return not any(_REFUSED.match(parameter) for parameter in parameters)
    return False
