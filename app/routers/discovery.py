"""Well-known documents: RFC 8414, RFC 9728 and the JWK set."""

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from app.authorization_server.metadata import authorization_server_metadata
from app.authorization_server.policy import Resource
from app.resource_server.metadata import WELL_KNOWN, resource_metadata
from app.routers.dependencies import ServicesDep
from app.routers.services import Services

router = APIRouter(tags=["discovery"])
_CACHEABLE = {"Cache-Control": "public, max-age=300"}


@router.get("/.well-known/oauth-authorization-server")
@router.get("/.well-known/openid-configuration")
async def authorization_server(services: ServicesDep) -> JSONResponse:
    """Authorization server metadata (RFC 8414 §3)."""
    return JSONResponse(authorization_server_metadata(services.policy), headers=_CACHEABLE)


@router.get("/.well-known/oauth-authorization-server/{path:path}")
@router.get("/.well-known/openid-configuration/{path:path}")
async def authorization_server_below(path: str, services: ServicesDep) -> JSONResponse:
    """The same document where clients insert the issuer's path, or the resource's (RFC 8414 §3.1)."""
    prefix = services.address.prefix
    if f"/{path}" not in {prefix, f"{prefix}/mcp"}:
        raise HTTPException(404)
    return await authorization_server(services)


@router.get("/mcp/.well-known/oauth-authorization-server")
@router.get("/mcp/.well-known/openid-configuration")
async def authorization_server_appended(services: ServicesDep) -> JSONResponse:
    """The same document where older clients append the well-known path to the resource's."""
    return await authorization_server(services)


@router.get(WELL_KNOWN)
async def protected_resource(services: ServicesDep) -> JSONResponse:
    """Protected resource metadata at the root, for clients that look only there (RFC 9728 §3)."""
    return _document(services, services.policy.default_resource)


@router.get(WELL_KNOWN + "/{path:path}")
async def protected_resource_below(path: str, services: ServicesDep) -> JSONResponse:
    """The document of one resource of this process at its own well-known address (RFC 9728 §3.1)."""
    address = services.address
    for resource in services.policy.resources:
        below = resource.url.removeprefix(address.origin)
        if resource.url in services.servers and f"/{path}" in {below, below.removeprefix(address.prefix)}:
            return _document(services, resource)
    raise HTTPException(404)


@router.get("/.well-known/jwks.json")
async def jwks(services: ServicesDep) -> JSONResponse:
    """The public signing keys (RFC 7517 §5)."""
    return JSONResponse(services.signing_keys.jwks(), headers=_CACHEABLE)


def _document(services: Services, resource: Resource) -> JSONResponse:
    server = services.servers[resource.url]
    name = resource.name or server.title or server.name
    policy = services.policy
    document = resource_metadata(
        resource.url, policy.issuer, policy.first_scopes(resource), name, policy.proof_algorithms
    )
    return JSONResponse(document, headers=_CACHEABLE)
