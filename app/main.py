"""`create_app(settings)`: the one place where everything meets."""

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from app import __version__, logs
from app.accounts.passwords import HashCost
from app.application import Application
from app.authorization_server.document_fetcher import Egress
from app.clock import Clock, SystemClock
from app.routers import (
    authorize,
    client_configuration,
    device_authorization,
    discovery,
    health,
    introspection,
    pushed_requests,
    registration,
    revocation,
    token,
    userinfo,
)
from app.routers.endpoints import NoteEndpoint, templates_of
from app.routers.errors import install_error_handlers
from app.routers.middleware import (
    BodyLimit,
    HeadAsGet,
    NoPlainPages,
    OpenPaths,
    PublicPath,
    answer_headers,
)
from app.routers.pages import (
    account,
    admin,
    consent,
    device,
    device_qr,
    forgot,
    info,
    link,
    passkey_sign_in,
    second_factor,
    sign_in,
    upstream_sign_in,
)
from app.routers.pages.guards import install_sign_in_first
from app.routers.pages.render import STATIC, make_templates
from app.runtime import Runtime
from app.settings import Settings, load_settings
from app.tracing import Tracing, tracing_from_environment

_ROUTERS = (
    discovery,
    registration,
    client_configuration,
    token,
    revocation,
    introspection,
    device_authorization,
    userinfo,
    pushed_requests,
    authorize,
    sign_in,
    passkey_sign_in,
    second_factor,
    upstream_sign_in,
    link,
    forgot,
    consent,
    device,
    device_qr,
    info,
    account,
    admin,
    health,
)
_LARGEST_BODY = 64 * 1024


def create_app(
    settings: Settings | None = None,
    clock: Clock | None = None,
    egress: Egress | None = None,
    hash_cost: HashCost | None = None,
    tracing: Tracing | None = None,
) -> FastAPI:
    """The whole application; the schema must be there already (`ostiary migrate`).

    Args:
        settings: read from the environment when missing, as uvicorn's workers do.
        clock: the machine's own when missing.
        egress: how documents and keys of others are reached; the machine's own resolver and network when missing.
        hash_cost: what hashing a password costs; what production takes when missing.
        tracing: where traces go; in a process of its own, whereto the environment says.
    """
    # Without settings this is the only application of its process, as uvicorn's workers start it.
    whole_process = settings is None
    settings = settings or load_settings()
    if whole_process:
        logs.configure(settings.log_level, settings.log_format)
        tracing = tracing or tracing_from_environment()
    runtime = Runtime(
        settings, clock or SystemClock(), egress or Egress(), hash_cost or HashCost(), whole_process, tracing
    )
    prefix = settings.path_prefix
    secure = settings.public_url.startswith("https://")
    middleware = [
        *([Middleware(PublicPath, prefix=prefix)] if prefix else []),
        *([Middleware(NoPlainPages, public_url=settings.public_url)] if secure else []),
        Middleware(OpenPaths),
        Middleware(HeadAsGet),
        Middleware(BodyLimit, largest=_LARGEST_BODY, pages=True),
        Middleware(NoteEndpoint),
    ]
    app = Application(
        title="Ostiary",
        version=__version__,
        lifespan=runtime.lifespan,
        middleware=middleware,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # What it would tell others of a request has the query in it; spans of ours have not.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.watch(settings.trusted_proxies, settings.access_log, prefix, tracing.tracer if tracing else None)
    app.answer_headers = answer_headers(secure)
    app.requests_at_once = settings.requests_at_once
    app.state.templates = make_templates(prefix)
    app.mount("/static", StaticFiles(directory=STATIC))
    for module in _ROUTERS:
        app.include_router(module.router)
    app.state.route_templates = templates_of(app)
    install_error_handlers(app)
    install_sign_in_first(app)
    return app
