"""From settings to the authorization server's choices."""

from datetime import timedelta
from urllib.parse import urlsplit

from app.authorization_server.policy import Policy, Resource, TrustedIssuer
from app.mail import Mailer, read_sender, read_smtp_url
from app.oauth.features import Feature
from app.oauth.scopes import CATALOGUE, REQUIRED_AT_RESOURCE, Scope, supported_by_resource
from app.oauth.uris import PRIVATE_USE_SCHEMES
from app.settings import Settings
from app.settings_parts import ResourceSetting


def policy_of(settings: Settings) -> Policy:
    """The authorization server's choices, cut from the settings."""
    return Policy(
        issuer=settings.public_url,
        resources=_resources(settings),
        features=_features(settings),
        catalogue=_catalogue(settings),
        registration=settings.registration,
        registration_cap=settings.registration_cap,
        registration_unused_lifetime=timedelta(days=settings.registration_unused_days),
        require_pushed_requests=settings.require_pushed_requests,
        dpop_nonces=settings.dpop_nonces,
        trusted_issuers=tuple(TrustedIssuer(**issuer.model_dump()) for issuer in settings.trusted_issuers),
        access_token_lifetime=timedelta(seconds=settings.access_token_seconds),
        client_documents=settings.client_id_metadata_documents,
        client_document_hosts=_hosts(settings),
        private_use_schemes=PRIVATE_USE_SCHEMES | set(settings.redirect_schemes),
        refresh_retry_window=timedelta(seconds=settings.refresh_retry_seconds),
        audit_lifetime=timedelta(days=settings.audit_days) if settings.audit_days else None,
        signing_key_lifetime=timedelta(days=settings.signing_key_days) if settings.signing_key_days else None,
    )


def mailer_of(settings: Settings) -> Mailer | None:
    """Who sends letters; None where no mail server is set."""
    if settings.smtp_url is None or settings.mail_from is None:
        return None
    our_name = urlsplit(settings.public_url).hostname or ""
    return Mailer(read_smtp_url(settings.smtp_url), read_sender(settings.mail_from), our_name)


def _features(settings: Settings) -> frozenset[Feature]:
    """Assertions of people make sense only where somebody is trusted to make them."""
    off = set(map(Feature, settings.features_off))
    if not settings.trusted_issuers:
        off.add(Feature.JWT_BEARER)
    return frozenset(Feature) - off


def _catalogue(settings: Settings) -> tuple[Scope, ...]:
    return (*CATALOGUE, *(Scope(**scope.model_dump()) for scope in settings.scopes))


def _resources(settings: Settings) -> tuple[Resource, ...]:
    """The default resource first, described by its own entry where there is one."""
    everything = supported_by_resource(_catalogue(settings))
    entries = sorted(settings.resources, key=lambda entry: entry.path != "/mcp")
    if not entries or entries[0].path != "/mcp":
        entries.insert(0, ResourceSetting(path="/mcp"))
    return tuple(
        Resource(
            url=entry.url or f"{settings.public_url}{entry.path}",
            scopes=everything if entry.scopes is None else entry.scopes,
            required_scopes=REQUIRED_AT_RESOURCE
            if entry.required_scopes is None
            else frozenset(entry.required_scopes),
            name=entry.name,
        )
        for entry in entries
    )


def _hosts(settings: Settings) -> frozenset[str] | None:
    hosts = settings.client_id_metadata_hosts
    return None if hosts is None else frozenset(host.lower() for host in hosts)
