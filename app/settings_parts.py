"""Settings that hold more than one value: lists of JSON objects, checked at start like everything else."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from app.oauth.errors import InvalidScope
from app.oauth.scopes import CATALOGUE, SERVER_SCOPES, parse_scope
from app.oauth.uris import InvalidURI, canonical_url, check_private_use_scheme, is_loopback

LogFormat = Literal["pretty", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
AccessLog = Literal["all", "quiet", "off"]

_PATH = re.compile(r"/mcp(?:/[A-Za-z0-9][A-Za-z0-9._~-]*)*\Z")


def _is_scope_name(value: str) -> str:
    try:
        names = parse_scope(value)
    except InvalidScope:
        names = ()
    if names != (value,):
        raise ValueError(f"{value} is not the name of a scope")
    return value


def _is_secure_url(value: str) -> str:
    try:
        url = canonical_url(value)
    except InvalidURI as error:
        raise ValueError(str(error)) from None
    if url.startswith("http://") and not is_loopback(url):
        raise ValueError("must be https, except on loopback")
    return url


def _is_issuer(value: str) -> str:
    # Compared letter by letter, also where a slash ends it (OpenID Connect Discovery §4.3).
    _is_secure_url(value)
    return value


def _is_private_use_scheme(value: str) -> str:
    try:
        return check_private_use_scheme(value)
    except InvalidURI as error:
        raise ValueError(f"{value} {error}") from None


ScopeName = Annotated[str, AfterValidator(_is_scope_name)]
IssuerURL = Annotated[str, AfterValidator(_is_issuer)]
SecureURL = Annotated[str, AfterValidator(_is_secure_url)]
RedirectScheme = Annotated[str, AfterValidator(_is_private_use_scheme)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScopeSetting(_Part):
    """One entry of `SCOPES`: see `app.oauth.scopes.Scope`."""

    name: ScopeName
    sentence: str = Field(min_length=1, max_length=200)
    detail: str | None = Field(default=None, max_length=200)
    implies: tuple[ScopeName, ...] = ()
    admins_only: bool = False
    on_demand: bool = False


class ResourceSetting(_Part):
    """One entry of `RESOURCES`: an MCP server of this process at `path`, or a resource elsewhere at `url`.

    Without `scopes` it takes those of every resource. An entry with the path `/mcp` describes the default one.
    """

    path: str | None = None
    server: str | None = None
    url: SecureURL | None = None
    name: str | None = Field(default=None, min_length=1, max_length=200)
    scopes: tuple[ScopeName, ...] | None = None
    required_scopes: tuple[ScopeName, ...] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("each entry has either a path or a url")
        if self.path is not None and not _PATH.match(self.path):
            raise ValueError("path must be /mcp or lie below it, as /mcp/notes")
        if self.url is not None and self.server is not None:
            raise ValueError("server belongs to a path: a resource elsewhere has its own")
        if self.path not in {None, "/mcp"} and self.server is None:
            raise ValueError("a path needs a server, as module:attribute")
        return self


class IssuerSetting(_Part):
    """One entry of `TRUSTED_ISSUERS`: see `app.authorization_server.policy.TrustedIssuer`."""

    issuer: str = Field(min_length=1, max_length=500)
    jwks_uri: SecureURL
    create_users: bool = False


class ProviderSetting(_Part):
    """One entry of `SIGN_IN_PROVIDERS`: with whom people sign in besides a password; see `app.upstream`.

    The further fields `authorization_endpoint`, `token_endpoint` and `api` are for a GitHub of one's own.
    """

    id: str = Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$")
    name: str = Field(min_length=1, max_length=40)
    kind: Literal["openid", "github"] = "openid"
    issuer: IssuerURL | None = None
    client_id: str = Field(min_length=1, max_length=300)
    client_secret: str = Field(min_length=1, max_length=1000, repr=False)
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post"] | None = None
    scopes: tuple[str, ...] | None = None
    sign_up: bool = False
    email_domains: tuple[str, ...] = ()
    authorization_endpoint: SecureURL | None = None
    token_endpoint: SecureURL | None = None
    api: SecureURL | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        endpoints = (self.authorization_endpoint, self.token_endpoint, self.api)
        if self.kind == "openid" and (self.issuer is None or any(endpoints)):
            raise ValueError(f"{self.id} needs an issuer, and finds its endpoints by it")
        if self.kind == "github" and self.issuer is not None:
            raise ValueError(f"{self.id} is a GitHub, which has no issuer")
        if self.kind == "github" and any(endpoints) and not all(endpoints):
            raise ValueError(f"{self.id} needs all three of authorization_endpoint, token_endpoint and api")
        return self

    @field_validator("email_domains")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(domain.lower().removeprefix("@") for domain in value)


def check_together(scopes: tuple[ScopeSetting, ...], resources: tuple[ResourceSetting, ...]) -> None:
    """Names that are declared once and used where they are declared.

    Raises:
        ValueError: for people who set them.
    """
    declared = [scope.name for scope in CATALOGUE] + [scope.name for scope in scopes]
    if len(declared) != len(set(declared)):
        raise ValueError("SCOPES declares a scope twice, or one that is always there")
    used = {name for scope in scopes for name in scope.implies}
    for resource in resources:
        used |= {*(resource.scopes or ()), *(resource.required_scopes or ())}
    if unknown := used - set(declared):
        raise ValueError(f"the scope {min(unknown)} is used, but SCOPES does not declare it")
    if used & SERVER_SCOPES:
        raise ValueError(f"the scope {min(used & SERVER_SCOPES)} belongs to no resource")
    places = [resource.path or resource.url for resource in resources]
    if len(places) != len(set(places)):
        raise ValueError("RESOURCES names a place twice")
