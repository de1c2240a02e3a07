"""Each wrong setting is refused in one sentence; what providers print is understood."""

import pytest

from app.settings import InvalidSettings, Settings, load_settings
from tests.support.world import World


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> pytest.MonkeyPatch:
    """An empty folder and a secret key; nothing else is set."""
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SECRET_KEY", "k" * 32)
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("PUBLIC_URL", "http://example.com", id="http-off-loopback"),
        pytest.param("PUBLIC_URL", "https://example.com//evil.example", id="double-slash"),
        pytest.param("PUBLIC_URL", "https://example.com/a%20b", id="escaped"),
        pytest.param("PUBLIC_URL", "https://example.com/mcp", id="the-endpoint-itself"),
        pytest.param("PUBLIC_URL", "https://example.com/?a=b", id="query"),
        pytest.param("PORT", "70000", id="port"),
        pytest.param("WORKERS", "2", id="workers-on-sqlite"),
        pytest.param("DATABASE_URL", "mysql://localhost/x", id="other-database"),
        pytest.param("DATABASE_URL", "sqlite:///:memory:", id="memory"),
        pytest.param("DATABASE_URL", "postgresql://u:p@host:notaport/x", id="port-of-database"),
        pytest.param("DATABASE_URL", "postgresql://h/x?sslrootcert=a", id="unknown-parameter"),
        pytest.param("SECRET_KEY", "short", id="short-key"),
        pytest.param("TRUSTED_PROXIES", "not-an-address", id="proxy"),
        pytest.param("BOOTSTRAP_ADMIN_USERNAME", "admin", id="admin-without-password"),
        pytest.param("SHARED_EGRESS", "160.79.104.0/21, claude.ai", id="shared-egress"),
        pytest.param("REDIRECT_SCHEMES", "acme JavaScript", id="REG-5-scheme-that-browsers-run"),
        pytest.param("REDIRECT_SCHEMES", "https", id="scheme-of-the-web"),
        pytest.param("SMTP_URL", "mail.example:25", id="mail-server"),
        pytest.param("MAIL_FROM", "Door", id="sender"),
        pytest.param("MAIL_FROM", "door@example.com", id="sender-without-mail-server"),
        pytest.param("REDIRECT_SCHEMES", "acme://", id="scheme-with-more"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)

    with pytest.raises(InvalidSettings) as refusal:
        load_settings()

    assert len(str(refusal.value).splitlines()) == 1
    assert name.partition("_ADMIN")[0] in str(refusal.value)
    assert value != "short" or "k" * 32 not in str(refusal.value)


def test_pushed_requests_cannot_be_required_and_switched_off(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REQUIRE_PUSHED_REQUESTS", "true")
    assert load_settings().require_pushed_requests
    environment.setenv("FEATURES_OFF", "pushed_requests")
    with pytest.raises(InvalidSettings, match="REQUIRE_PUSHED_REQUESTS asks for pushed_requests"):
        load_settings()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p%40@h/x", "postgresql+asyncpg://u:p%40@h/x"),
        ("postgres://h/x?sslmode=require&channel_binding=require", "postgresql+asyncpg://h/x?ssl=require"),
        ("sqlite:////srv/x:y/db", "sqlite+aiosqlite:////srv/x:y/db"),
    ],
)
def test_database_urls_are_taken_as_they_are_printed(
    environment: pytest.MonkeyPatch, given: str, used: str
) -> None:
    environment.setenv("DATABASE_URL", given)

    assert load_settings().database_url == used


@pytest.mark.parametrize("path", ["/", "/login", "/healthz", "/readyz", "/.well-known/jwks.json"])
async def test_head_is_answered_like_get_without_a_body(world: World, path: str) -> None:
    answer = await world.browser().head(path)

    assert (answer.status_code, answer.content) == (200, b"")
