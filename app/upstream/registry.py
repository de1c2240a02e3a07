"""The providers that the operator chose, made from the settings."""

from collections.abc import Iterable, Mapping

from app.accounts.upstream import Welcome
from app.authorization_server.document_fetcher import DocumentFetcher
from app.authorization_server.key_sets import KeySets
from app.settings_parts import ProviderSetting
from app.upstream.github import Endpoints, GitHubProvider
from app.upstream.openid import OpenIDProvider
from app.upstream.provider import Credentials, Provider

_GITHUB = Endpoints(
    "https://github.com",
    "https://github.com/login/oauth/authorize",
    "https://github.com/login/oauth/access_token",
    "https://api.github.com",
)
_OPENID_SCOPES = ("openid", "email", "profile")
_GITHUB_SCOPES = ("read:user", "user:email")


def make_providers(
    settings: Iterable[ProviderSetting], fetcher: DocumentFetcher, key_sets: KeySets
) -> Mapping[str, Provider]:
    """All of them by their id, in the order of the settings."""
    return {one.id: _make(one, fetcher, key_sets) for one in settings}


def _make(setting: ProviderSetting, fetcher: DocumentFetcher, key_sets: KeySets) -> Provider:
    welcome = Welcome(setting.sign_up, frozenset(setting.email_domains))
    is_github = setting.kind == "github"
    scopes = setting.scopes or (_GITHUB_SCOPES if is_github else _OPENID_SCOPES)
    # GitHub reads our secret from the form alone.
    method = "client_secret_post" if is_github else setting.token_endpoint_auth_method
    credentials = Credentials(setting.client_id, setting.client_secret, " ".join(scopes), method)
    if is_github:
        return GitHubProvider(setting.id, setting.name, _endpoints(setting), credentials, welcome)
    issuer = setting.issuer or ""
    return OpenIDProvider(setting.id, setting.name, issuer, credentials, welcome, fetcher, key_sets)


def _endpoints(setting: ProviderSetting) -> Endpoints:
    if not (setting.authorization_endpoint and setting.token_endpoint and setting.api):
        return _GITHUB
    return Endpoints(setting.api, setting.authorization_endpoint, setting.token_endpoint, setting.api)
