"""All settings, read once from the environment or `.env` and checked at start: one sentence for each refusal."""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.mail import read_sender, read_smtp_url
from app.oauth.credentials import mint_secret_key
from app.oauth.features import Feature
from app.oauth.uris import InvalidURI, canonical_url, is_loopback
from app.settings_parts import (
    AccessLog,
    IssuerSetting,
    LogFormat,
    LogLevel,
    ProviderSetting,
    RedirectScheme,
    ResourceSetting,
    ScopeSetting,
    check_together,
)

_SHORTEST_SECRET = 32
_METRICS = "PROMETHEUS_MULTIPROC_DIR"
# Parameters of a PostgreSQL URL: those that asyncpg takes, and those that it does well without.
_UNDERSTOOD = {"ssl", "host", "port", "target_session_attrs", "prepared_statement_cache_size"}
_NOT_NEEDED = {"channel_binding", "connect_timeout", "application_name", "gssencmode"}
_SECRET_FILE = Path("data/secret.key")


class InvalidSettings(Exception):
    """A setting is missing or wrong; the message is one sentence for each, for the operator."""


class Settings(BaseSettings):
    """The contract's settings; names in the environment are in upper case."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    public_url: str = ""
    database_url: str = "sqlite+aiosqlite:///./data/ostiary.db"
    secret_key: str = ""
    secret_key_previous: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    requests_at_once: int = Field(default=1000, ge=1)
    stop_seconds: int = Field(default=20, ge=1, le=3600)
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1", "::1")
    bootstrap_admin_username: str | None = None
    bootstrap_admin_password: str | None = None
    mcp_server: str = "app.mcp_server.server:mcp"
    mcp_sessions: bool | None = None
    tools_list: Literal["all", "mark", "hide"] = "all"
    allowed_origins: Annotated[tuple[str, ...] | None, NoDecode] = None
    access_token_seconds: int = Field(default=900, ge=5, le=3600)
    refresh_retry_seconds: int = Field(default=30, ge=0, le=60)
    limits_url: str | None = None
    registrations_per_minute: int = Field(default=300, ge=1)
    # What Anthropic publishes as the network from which Claude comes.
    shared_egress: Annotated[tuple[str, ...], NoDecode] = ("160.79.104.0/21",)
    redirect_schemes: Annotated[tuple[RedirectScheme, ...], NoDecode] = ()
    client_id_metadata_documents: bool = True
    client_id_metadata_hosts: Annotated[tuple[str, ...] | None, NoDecode] = None
    registration: Literal["open", "token", "closed"] = "open"
    registration_cap: int = Field(default=10_000, ge=1)
    registration_unused_days: int = Field(default=30, ge=1)
    audit_days: int = Field(default=365, ge=0)
    purge_seconds: int = Field(default=300, ge=0)
    signing_key_days: int = Field(default=90, ge=0)
    require_pushed_requests: bool = False
    dpop_nonces: bool = False
    scopes: tuple[ScopeSetting, ...] = ()
    resources: tuple[ResourceSetting, ...] = ()
    trusted_issuers: tuple[IssuerSetting, ...] = ()
    sign_in_providers: tuple[ProviderSetting, ...] = ()
    second_factor: Literal["optional", "operators", "everyone"] = "optional"
    smtp_url: str | None = None
    mail_from: str | None = None
    hooks: str | None = None
    features_off: Annotated[tuple[str, ...], NoDecode] = ()
    database_pool_size: int = Field(default=10, ge=1, le=200)
    log_format: LogFormat | None = None
    log_level: LogLevel = "info"
    access_log: AccessLog = "quiet"

    @field_validator(
        *("trusted_proxies", "shared_egress", "allowed_origins", "redirect_schemes"),
        *("client_id_metadata_hosts", "features_off"),
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("log_format", "log_level", "access_log", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("trusted_proxies", "shared_egress")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            try:
                ipaddress.ip_network(entry, strict=False)
            except ValueError:
                raise ValueError(f"{entry} is not an address or network") from None
        return value

    @field_validator("features_off")
    @classmethod
    def _features(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in set(Feature):
                raise ValueError(f"{name} is none of {', '.join(Feature)}")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: str | None) -> str | None:
        if value is not None:
            read_smtp_url(value)
        return value

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        if value is not None:
            read_sender(value)
        return value

    @field_validator("database_url")
    @classmethod
    def _driver(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        drivers = {
            "postgresql": "postgresql+asyncpg",
            "postgres": "postgresql+asyncpg",
            "sqlite": "sqlite+aiosqlite",
        }
        scheme = drivers.get(scheme, scheme)
        if not separator or scheme not in {"postgresql+asyncpg", "sqlite+aiosqlite"}:
            raise ValueError("must start with postgresql:// or sqlite:///")
        try:
            url = make_url(f"{scheme}://{rest}")
        except (ArgumentError, ValueError):
            raise ValueError("is not a database URL") from None
        if scheme.startswith("sqlite"):
            if not url.database or url.database == ":memory:":
                raise ValueError(
                    "must name a file: every connection to a memory database is a database of its own"
                )
            return f"{scheme}://{rest}"
        return _without_words_of_libpq(url).render_as_string(hide_password=False)

    @field_validator("limits_url")
    @classmethod
    def _store_of_limits(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in {"redis", "rediss", "valkey", "valkeys"}:
            raise ValueError("must start with redis://, rediss://, valkey:// or valkeys://")
        return value

    @model_validator(mode="before")
    @classmethod
    def _default_address(cls, values: dict[str, object]) -> dict[str, object]:
        if values.get("public_url"):
            return values
        port = str(values.get("port") or 8000)
        # A port that is none is refused under its own name.
        port = port if port.isdigit() and 1 <= int(port) <= 65535 else "8000"
        return {**values, "public_url": f"http://localhost:{port}"}

    @field_validator("public_url")
    @classmethod
    def _canonical(cls, value: str) -> str:
        try:
            url = canonical_url(value)
        except InvalidURI as error:
            raise ValueError(str(error)) from None
        path = urlsplit(url).path
        if "//" in path or "%" in path or path.endswith("/mcp"):
            raise ValueError("must have a plain path prefix, which does not end in /mcp")
        if url.startswith("http://") and not is_loopback(url):
            raise ValueError("must be https, except on loopback")
        return url

    @model_validator(mode="after")
    def _together(self) -> "Settings":
        if self.workers > 1 and self.is_sqlite:
            raise ValueError("WORKERS above 1 asks for PostgreSQL in DATABASE_URL")
        if (self.bootstrap_admin_username is None) != (self.bootstrap_admin_password is None):
            raise ValueError("BOOTSTRAP_ADMIN_USERNAME and BOOTSTRAP_ADMIN_PASSWORD go together")
        if (self.smtp_url is None) != (self.mail_from is None):
            raise ValueError("SMTP_URL and MAIL_FROM go together")
        check_together(self.scopes, self.resources)
        providers = [provider.id for provider in self.sign_in_providers]
        if len(providers) != len(set(providers)):
            raise ValueError("SIGN_IN_PROVIDERS names a provider twice")
        if self.require_pushed_requests and Feature.PUSHED_REQUESTS in self.features_off:
            raise ValueError(
                "REQUIRE_PUSHED_REQUESTS asks for pushed_requests, which FEATURES_OFF switches off"
            )
        for name, key in (("SECRET_KEY", self.secret_key), ("SECRET_KEY_PREVIOUS", self.secret_key_previous)):
            if key and len(key.encode()) < _SHORTEST_SECRET:
                raise ValueError(f"{name} must have at least {_SHORTEST_SECRET} bytes")
        return self

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of this machine."""
        return self.database_url.startswith("sqlite")

    @property
    def on_loopback(self) -> bool:
        """Whether the server's one address is one of this computer."""
        return is_loopback(self.public_url)

    @property
    def reads_loopback(self) -> bool:
        """Whether documents on this computer may be read: where nobody else can ask for them."""
        return self.on_loopback and self.host in {"127.0.0.1", "::1", "localhost"}

    @property
    def resource(self) -> str:
        """The URL of the protected MCP endpoint: the audience of access tokens."""
        return f"{self.public_url}/mcp"

    @property
    def path_prefix(self) -> str:
        """The path of `PUBLIC_URL`, empty without one."""
        return urlsplit(self.public_url).path

    @property
    def serves_sessions(self) -> bool:
        """Whether older clients get MCP sessions: by default only where one process serves everyone."""
        return self.is_sqlite if self.mcp_sessions is None else self.mcp_sessions


def load_settings() -> Settings:
    """Read the settings; on loopback, make a secret key at the first start.

    Raises:
        InvalidSettings: with a sentence for each setting that is wrong.
    """
    try:
        settings = Settings()
    except SettingsError as error:
        name = str(error).split('"')[1].upper()
        raise InvalidSettings(f"{name} is not JSON.") from None
    except ValidationError as error:
        raise InvalidSettings(
            "\n".join(_sentence(problem["loc"], problem["msg"]) for problem in error.errors())
        ) from None
    if settings.secret_key:
        return settings
    if not settings.on_loopback:
        raise InvalidSettings(
            "SECRET_KEY is required when PUBLIC_URL is not on loopback: at least 32 random bytes."
        )
    return settings.model_copy(update={"secret_key": _own_secret_key()})


def collector_named() -> bool:
    """Whether the environment names a collector of traces, in OpenTelemetry's own variables."""
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    switched_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return any(os.environ.get(name) for name in names) and not switched_off


def shared_metrics() -> str | None:
    """Where the worker processes of one server keep their metrics, as `prometheus_client` calls it; None for one."""
    return os.environ.get(_METRICS)


def share_metrics(directory: str) -> None:
    """Let the processes that are started from now on keep their metrics there."""
    os.environ[_METRICS] = directory


def make_private_directory(directory: Path) -> None:
    """Create a directory that only its owner can read."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def sqlite_path(database_url: str) -> Path | None:
    """The file of a SQLite URL; None for PostgreSQL."""
    url = make_url(database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _without_words_of_libpq(url: URL) -> URL:
    """A URL as providers print it, in the words of asyncpg."""
    query = {name: value for name, value in url.query.items() if name not in _NOT_NEEDED}
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    for name, value in query.items():
        if name not in _UNDERSTOOD or not isinstance(value, str):
            raise ValueError(f"has the parameter {name}, which is not understood here")
    return url.set(query=query)


def _own_secret_key() -> str:
    make_private_directory(_SECRET_FILE.parent)
    try:
        descriptor = os.open(_SECRET_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = _SECRET_FILE.read_text().strip()
        if len(key.encode()) < _SHORTEST_SECRET:
            raise InvalidSettings(
                f"{_SECRET_FILE} does not hold a secret key; restore it from a backup."
            ) from None
        return key
    with os.fdopen(descriptor, "w") as file:
        key = mint_secret_key()
        file.write(key + "\n")
    return key


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]).upper() if location else ""
    text = message.removeprefix("Value error, ")
    return f"{name} {text[0].lower()}{text[1:]}." if name else f"{text}."
